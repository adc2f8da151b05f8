"""A web app that streams the recordings of a room as JSON lines.

One client serves all requests: it holds the connections and the account's limits. Try it with the simulator::

    roomrec simulate --write-rooms rooms.txt -- python examples/web_app.py
    curl "http://127.0.0.1:8000/rooms/$(head -1 rooms.txt)/recordings?status=completed"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from roomrec_async import (
    InvalidArgumentError,
    NotFoundError,
    Page,
    Recording,
    RecordingsClient,
    RequestTimeoutError,
    RoomRecError,
    to_json_lines,
)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, RecordingsClient]]:
    """Open the client when the app starts, and close it when the app stops."""
    async with RecordingsClient.from_env() as client:
        yield {"client": client}


async def list_recordings(request: Request) -> Response:
    """Stream a room's recordings; ``?resume=`` continues after an error in the middle of a stream."""
    client: RecordingsClient = request.state.client
    pager = client.recordings(
        request.path_params["room_sid"],
        status=request.query_params.get("status"),
        resume=request.query_params.get("resume"),
        timeout=30,  # for each page; a browser that disconnects before the first page is noticed only after it
    )
    pages = pager.pages()
    # An error of the first page can still become an HTTP status. Later, the status line has been sent already.
    first = await anext(pages, None)
    return StreamingResponse(lines(first, pages), media_type="application/x-ndjson")


async def lines(first: Page[Recording] | None, rest: AsyncGenerator[Page[Recording], None]) -> AsyncIterator[str]:
    """Yield one chunk for each page. If the browser disconnects, no further pages are fetched."""
    async with aclosing(rest):
        if first is not None:
            yield chunk(first)
        try:
            async for page in rest:
                yield chunk(page)
        except RoomRecError as error:
            yield json.dumps({"error": str(error), "resume": error.resume_token}) + "\n"


def chunk(page: Page[Recording]) -> str:
    """Return the recordings of a page as JSON lines."""
    return to_json_lines(page.items).decode()


STATUSES: Final = {
    InvalidArgumentError: HTTPStatus.BAD_REQUEST,
    NotFoundError: HTTPStatus.NOT_FOUND,
    RequestTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
    RoomRecError: HTTPStatus.BAD_GATEWAY,
}


async def error_response(_: Request, error: Exception) -> Response:
    """Return the first status that fits the error, with its message."""
    status = next(status for error_class, status in STATUSES.items() if isinstance(error, error_class))
    # Starlette declares every handler's error as an Exception; this one is registered for the library's alone.
    return JSONResponse({"error": cast("RoomRecError", error).message}, status_code=status)


app = Starlette(
    routes=[Route("/rooms/{room_sid}/recordings", list_recordings)],
    exception_handlers=dict.fromkeys(STATUSES, error_response),
    lifespan=lifespan,
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, port=parser.parse_args().port)
