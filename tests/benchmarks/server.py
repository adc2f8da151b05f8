"""A server of pre-rendered pages, as fast as asyncio can be: a process of its own, never the bottleneck.

``python -m tests.benchmarks.server LATENCY`` prints its port, and runs until its standard input ends. A room's SID
contains the number of its pages and of recordings per page (:func:`.rooms.room_sid`), so that there is any number of
rooms. The pages are those of the simulator. ``GET /requests`` returns the number of requests since it was last called;
a request with the header ``X-Compressed`` gets a response with gzip.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import sys
from collections.abc import Iterator
from typing import Final

import aiohttp

from roomrec_async.simulator import Simulator
from tests.benchmarks.rooms import ACCOUNT_SID, room_sid

SHAPES: Final = [(4, 50), (1, 1000), (1, 200), (1, 50), (1, 12), (1, 5), (2, 20), (1, 20)]
"""Numbers of pages, and of recordings per page."""

_ROOM: Final = re.compile(rb"RM([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{16}")
_HEADERS: Final = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTwilio-Request-Id: RQ00000000000000000000000000000000\r\n"
    "Twilio-Request-Duration: 0.010\r\nTwilio-Concurrent-Requests: 1\r\n"
)


class Responses:
    """The responses, by shape of the room and query."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._by_query: dict[bytes, tuple[bytes, bytes]] = {}
        self.requests = 0

    async def render(self) -> None:
        """Render every page that will be requested, with the simulator."""
        for pages, size in SHAPES:
            await self._render(pages, size, f"?PageSize={size}")
        # Requests of clients with their defaults: the API's 50 per page, or the largest page.
        await self._render(1, 1000, "")
        await self._render(1, 1000, "?PageSize=50")

    async def _render(self, pages: int, size: int, query: str) -> None:
        room = room_sid(pages, size)
        async with (
            Simulator(rooms=1, recordings_per_room=pages * size, reads_per_second=None) as simulator,
            aiohttp.ClientSession(headers={"Authorization": simulator.credentials.authorization}) as session,
        ):
            url: str | None = f"{simulator.base_url}/v1/Rooms/{simulator.room_sids[0]}/Recordings{query}"
            while url:
                async with session.get(url) as response:
                    body, page = await response.text(), await response.json()
                target = url.removeprefix(simulator.base_url).replace(simulator.room_sids[0], room)
                body = body.replace(simulator.room_sids[0], room).replace(simulator.base_url, self._host)
                body = body.replace(simulator.credentials.account_sid, ACCOUNT_SID)
                self._by_query[target.encode()] = _plain_and_compressed(body.encode())
                url = page["meta"]["next_page_url"]

    def response_to(self, head: bytes) -> bytes:
        """Return the response to a request, given its headers."""
        path = head.split(b" ", 2)[1]
        if path == b"/requests":
            body = str(self.requests).encode()
            self.requests = 0
            return _http_response(body)
        self.requests += 1
        plain, compressed = self._by_query[_ROOM.sub(rb"RM\g<1>\g<2>0000000000000000", path)]
        return compressed if b"X-Compressed" in head else plain


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, responses: Responses, latency: float) -> None:
        self._responses = responses
        self._latency = latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for head in self._heads(data):
            response = self._responses.response_to(head)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, response)
            else:
                self._transport.write(response)

    def _heads(self, data: bytes) -> Iterator[bytes]:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            yield head


def _plain_and_compressed(body: bytes) -> tuple[bytes, bytes]:
    return _http_response(body), _http_response(gzip.compress(body, 6), "Content-Encoding: gzip\r\n")


def _http_response(body: bytes, headers: str = "") -> bytes:
    return f"{_HEADERS}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def main(latency: float) -> None:
    loop = asyncio.get_running_loop()
    responses = Responses("")
    server = await loop.create_server(lambda: Connection(responses, latency), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    responses._host = f"http://127.0.0.1:{port}"
    await responses.render()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
