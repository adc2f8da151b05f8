"""A FastAPI app that answers with typed recordings: one client in its lifespan, and documented responses.

Try it with the simulator, and open http://127.0.0.1:8000/docs::

    roomrec simulate --write-rooms rooms.txt -- python examples/fastapi_app.py
    curl "http://127.0.0.1:8000/rooms/$(head -1 rooms.txt)/recordings"
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from roomrec_async import InvalidArgumentError, NotFoundError, RateLimitError, RecordingsClient, RoomRecError


class RecordingResponse(BaseModel):
    """The part of a recording that this app shows."""

    model_config = ConfigDict(from_attributes=True)

    sid: str
    type: str | None
    status: str | None
    duration: int | None
    date_created: datetime | None


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
    if isinstance(error, InvalidArgumentError):
        status = 400
    elif isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, RateLimitError):
        status = 503
    else:
        status = 502
    return JSONResponse({"detail": str(error)}, status)


@app.get("/rooms/{room_sid}/recordings")
async def recordings(
    room_sid: str, client: Client, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[RecordingResponse]:
    """List the first recordings of a room."""
    found = await client.recordings(room_sid, limit=limit).to_list()
    return [RecordingResponse.model_validate(each) for each in found]


@app.get("/rooms/{room_sid}/recordings/{sid}")
async def recording(room_sid: str, sid: str, client: Client) -> RecordingResponse:
    """Fetch one recording."""
    found = await client.recording(room_sid, sid)
    if found.status == "deleted":
        raise HTTPException(410, "the recording was deleted")
    return RecordingResponse.model_validate(found)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
