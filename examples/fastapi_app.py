"""A FastAPI app that answers with typed recordings: one client in its lifespan, and documented responses.

Try it with the simulator, and open http://127.0.0.1:8000/docs::

    roomrec simulate --write-rooms rooms.txt -- python examples/fastapi_app.py
    curl "http://127.0.0.1:8000/rooms/$(head -1 rooms.txt)/recordings"
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse

from roomrec_async import (
    InvalidArgumentError,
    NotFoundError,
    RateLimitError,
    Recording,
    RecordingsClient,
    RequestTimeoutError,
    RoomRecError,
)

STATUSES = {InvalidArgumentError: 400, NotFoundError: 404, RateLimitError: 503, RequestTimeoutError: 504}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client when the app starts, and close it when it stops."""
    # Nobody waits for a page longer than this.
    async with RecordingsClient.from_env(timeout=20) as client:
        app.state.client = client
        yield


def get_client(request: Request) -> RecordingsClient:
    """Return the app's client, for ``Depends``."""
    client: RecordingsClient = request.app.state.client
    return client


app = FastAPI(title="Recordings", lifespan=lifespan)
Client = Annotated[RecordingsClient, Depends(get_client)]


@app.exception_handler(RoomRecError)
async def on_error(_: Request, error: RoomRecError) -> JSONResponse:
    """Answer with the status that fits an error, for all routes."""
    # The message is for people; str(error), with the URL and the request ID, is for the log.
    logging.getLogger(__name__).warning("%s", error)
    return JSONResponse({"detail": error.message}, STATUSES.get(type(error), 502))


@app.get("/rooms/{room_sid}/recordings")
async def recordings(
    room_sid: str, client: Client, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[Recording]:
    """List the first recordings of a room."""
    return await client.recordings(room_sid, limit=limit)


@app.get("/rooms/{room_sid}/recordings/{sid}")
async def recording(room_sid: str, sid: str, client: Client) -> Recording:
    """Fetch one recording."""
    found = await client.recording(room_sid, sid)
    if found.status == "deleted":
        raise HTTPException(410, "the recording was deleted")
    return found


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
