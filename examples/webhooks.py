"""A Starlette app that receives recording callbacks, and downloads each recording when it is complete.

    pip install starlette uvicorn
    TWILIO_ACCOUNT_SID=... TWILIO_AUTH_TOKEN=... PUBLIC_URL=https://app.example/recordings python examples/webhooks.py

``PUBLIC_URL`` is the status callback URL of the rooms. The service signs that URL; behind a proxy, it differs from the
one that this program sees.
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
    """Check a callback, and start the download of a recording that is complete."""
    url = os.environ["PUBLIC_URL"]
    if request.url.query:
        url += f"?{request.url.query}"
    try:
        event = webhooks.receive(url, await request.body(), request.headers, os.environ["TWILIO_AUTH_TOKEN"])
    except SignatureError as error:
        log.warning("rejected a callback: %s", error)
        return Response(status_code=403)
    except DecodeError as error:
        log.warning("malformed callback: %s", error)
        return Response(status_code=400)

    if event.status_callback_event == webhooks.RecordingEventType.COMPLETED:
        # The service waits for the response, so the download runs in the background. The service may send an event
        # twice, which does no harm: both lead to the same file.
        request.state.downloads.create_task(fetch(request.state.client, event.recording()))
    return Response(status_code=204)


async def fetch(client: RecordingsClient, recording: Recording) -> None:
    """Download a recording; log errors instead of raising them, which would cancel the other downloads."""
    directory = Path(os.environ.get("MEDIA_DIRECTORY", "media"))
    try:
        # The media may be available only some seconds after the callback.
        download = await client.download(recording, f"{directory}/", wait=60)
    except (RoomRecError, OSError) as error:
        log.error("download failed: %s", error)
    else:
        log.info("%s: %d bytes", download.location, download.size)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
    """Open the client when the app starts; when it stops, finish the downloads and close the client."""
    # The group is entered last and left first: the client stays open until all downloads are finished.
    async with RecordingsClient.from_env() as client, asyncio.TaskGroup() as downloads:
        yield {"client": client, "downloads": downloads}


app = Starlette(routes=[Route("/recordings", receive, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    if "PUBLIC_URL" not in os.environ:
        sys.exit("PUBLIC_URL is not set: it must be the status callback URL of your rooms")
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
