"""A Starlette app that receives status callbacks: it downloads each recording, and reports each room that has ended.

    pip install starlette uvicorn
    TWILIO_ACCOUNT_SID=... TWILIO_AUTH_TOKEN=... PUBLIC_URL=https://app.example/recordings python examples/webhooks.py

``PUBLIC_URL`` is the status callback URL of the rooms. The service signs that URL; behind a proxy, it differs from the
one that this program sees. Both methods of a callback work, POST and GET.
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

from roomrec_async import (
    DecodeError,
    Recording,
    RecordingsClient,
    RecordingStatus,
    RoomRecError,
    SignatureError,
    webhooks,
)
from roomrec_async.webhooks import RecordingEvent, RecordingEventType, RoomEvent, RoomEventType

log = logging.getLogger("webhooks")


async def receive(request: Request) -> Response:
    """Check a callback, and start what it asks for."""
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

    # The service waits for the response, so the work runs in the background. The service may send an event twice,
    # which does no harm: both downloads lead to the same file.
    match event:
        case RecordingEvent(status_callback_event=RecordingEventType.COMPLETED):
            request.state.tasks.create_task(fetch(request.state.client, event.recording()))
        case RoomEvent(status_callback_event=RoomEventType.ENDED, room_sid=str(room_sid)):
            request.state.tasks.create_task(report(request.state.client, room_sid))
    return Response(status_code=204)


async def fetch(client: RecordingsClient, recording: Recording) -> None:
    """Download a recording; log errors instead of raising them, which would cancel the other tasks."""
    directory = Path(os.environ.get("MEDIA_DIRECTORY", "media"))
    try:
        # The media may be available only some seconds after the callback.
        download = await client.download(recording, f"{directory}/", wait=60)
    except (RoomRecError, OSError) as error:
        log.error("download failed: %s", error)
    else:
        log.info("%s: %d bytes", download.location, download.size)


async def report(client: RecordingsClient, room_sid: str) -> None:
    """Log what a room that has ended has recorded."""
    try:
        recordings = await client.recordings(room_sid).to_list()
    except RoomRecError as error:
        log.error("no list of the recordings: %s", error)
    else:
        ready = sum(recording.status == RecordingStatus.COMPLETED for recording in recordings)
        log.info("%s has ended: %d recordings, %d of them complete", room_sid, len(recordings), ready)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
    """Open the client when the app starts; when it stops, finish the tasks and close the client."""
    # The group is entered last and left first: the client stays open until all tasks are finished.
    async with RecordingsClient.from_env() as client, asyncio.TaskGroup() as tasks:
        yield {"client": client, "tasks": tasks}


app = Starlette(routes=[Route("/recordings", receive, methods=["GET", "POST"])], lifespan=lifespan)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    if "PUBLIC_URL" not in os.environ:
        sys.exit("PUBLIC_URL is not set: it must be the status callback URL of your rooms")
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
