"""Receive recording callbacks in a Starlette app, and fetch each recording when it is complete.

    pip install starlette uvicorn
    TWILIO_ACCOUNT_SID=... TWILIO_AUTH_TOKEN=... PUBLIC_URL=https://app.example/recordings python examples/webhooks.py

``PUBLIC_URL`` is what rooms have as their status callback URL. Behind a proxy that is not what this program sees, and
the signature is over it.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roomrec_async import DecodeError, Recording, RecordingsClient, RoomRecError, SignatureError, webhooks

log = logging.getLogger("webhooks")


async def receive(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    try:
        event = webhooks.receive(
            os.environ["PUBLIC_URL"] + query, await request.body(), request.headers, os.environ["TWILIO_AUTH_TOKEN"]
        )
    except SignatureError as error:
        log.warning("refused: %s", error)
        return Response(status_code=403)
    except DecodeError as error:
        log.warning("not understood: %s", error)
        return Response(status_code=400)
    if event.status_callback_event == webhooks.RecordingEventType.COMPLETED:
        # The service waits for the answer, and not for the download. Twice the same event: twice the same file.
        request.state.downloads.create_task(fetch(request.state.client, event.recording()))
    return Response(status_code=204)


async def fetch(client: RecordingsClient, recording: Recording) -> None:
    directory = Path(os.environ.get("MEDIA_DIRECTORY", "media"))
    try:
        # Media can come some seconds after their callback.
        download = await client.download(recording, f"{directory}/", wait=60)
    except (RoomRecError, OSError) as error:
        log.error("%s", error)
    else:
        log.info("%s: %d bytes", download.location, download.size)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
    # The group comes last: when the app stops, downloads that are under way are finished before the client is closed.
    async with RecordingsClient.from_env() as client, asyncio.TaskGroup() as downloads:
        yield {"client": client, "downloads": downloads}


app = Starlette(routes=[Route("/recordings", receive, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    if "PUBLIC_URL" not in os.environ:
        sys.exit("PUBLIC_URL is not set: what rooms have as their status callback URL")
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
