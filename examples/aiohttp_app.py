"""An aiohttp.web app that tells how much is recorded in a room. Its client lives as long as the app.

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


async def client_of(app: web.Application) -> AsyncIterator[None]:
    async with RecordingsClient.from_env(timeout=30) as client:
        app[CLIENT] = client
        yield


async def room(request: web.Request) -> web.Response:
    seconds = size = count = 0
    async for recording in request.app[CLIENT].recordings(request.match_info["room_sid"], status="completed"):
        count += 1
        seconds += recording.duration or 0
        size += recording.size or 0
    return web.json_response({"recordings": count, "minutes": seconds / 60, "bytes": size})


@web.middleware
async def errors_told(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidArgumentError as error:
        return web.json_response({"error": str(error)}, status=400)
    except NotFoundError as error:
        return web.json_response({"error": str(error)}, status=404)
    except RoomRecError as error:
        return web.json_response({"error": str(error)}, status=502)


def make_app() -> web.Application:
    app = web.Application(middlewares=[errors_told])
    app.cleanup_ctx.append(client_of)
    app.router.add_get("/rooms/{room_sid}", room)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    # With handler_cancellation, whoever hangs up ends the requests that were made for him.
    web.run_app(make_app(), host="127.0.0.1", port=parser.parse_args().port, handler_cancellation=True)
