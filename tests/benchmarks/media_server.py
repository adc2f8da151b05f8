"""A file server that uses the kernel's sendfile, in a process of its own.

``python -m tests.benchmarks.media_server DIR`` prints its port, and runs until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web


def application(directory: Path) -> web.Application:
    """Return the API, with the URLs of media, and the store with the media, on one origin."""

    async def locate(request: web.Request) -> web.Response:
        url = f"{request.url.origin()}/media/{request.match_info['sid']}?X-Amz-Signature=0"
        return web.json_response({"redirect_to": url}, status=302)

    async def media(request: web.Request) -> web.FileResponse:
        return web.FileResponse(directory / request.match_info["sid"])

    app = web.Application()
    app.router.add_get("/v1/Rooms/{room_sid}/Recordings/{sid}/Media", locate)
    app.router.add_get("/media/{sid}", media)
    return app


async def main(directory: Path) -> None:
    runner = web.AppRunner(application(directory), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
