"""An aiohttp.web app that reports how much was recorded in a room. One client lives as long as the app.

Try it with the simulator::

    roomrec simulate --write-rooms rooms.txt -- python examples/aiohttp_app.py
    curl "http://127.0.0.1:8000/rooms/$(head -1 rooms.txt)"
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from roomrec_async import InvalidArgumentError, NotFoundError, RecordingsClient, RoomRecError

CLIENT: Final = web.AppKey("client", RecordingsClient)


async def client_context(app: web.Application) -> AsyncIterator[None]:
    """Open the client when the app starts, and close it when the app stops."""
    async with RecordingsClient.from_env(timeout=30) as client:
        app[CLIENT] = client
        yield


async def room(request: web.Request) -> web.Response:
    """Return the number, the minutes and the bytes of a room's completed recordings."""
    count = 0
    seconds = 0
    size = 0
    async for recording in request.app[CLIENT].recordings(request.match_info["room_sid"], status="completed"):
        count += 1
        seconds += recording.duration or 0
        size += recording.size or 0

    return web.json_response({"recordings": count, "minutes": seconds / 60, "bytes": size})


@web.middleware
async def error_responses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the library's errors into HTTP responses."""
    try:
        return await handler(request)
    except InvalidArgumentError as error:
        return web.json_response({"error": error.message}, status=400)
    except NotFoundError as error:
        return web.json_response({"error": error.message}, status=404)
    except RoomRecError as error:
        return web.json_response({"error": error.message}, status=502)


def make_app() -> web.Application:
    app = web.Application(middlewares=[error_responses])
    app.cleanup_ctx.append(client_context)
    app.router.add_get("/rooms/{room_sid}", room)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    # With handler_cancellation, a browser that disconnects cancels the requests made on its behalf.
    web.run_app(make_app(), host="127.0.0.1", port=parser.parse_args().port, handler_cancellation=True)
