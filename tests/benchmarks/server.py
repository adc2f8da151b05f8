"""A server that answers pre-rendered pages as fast as asyncio can: a process of its own, never the bottleneck.

``python -m tests.benchmarks.server LATENCY`` prints its port, and runs until its standard input ends. A room's SID
says how many pages of how many recordings it has (:func:`room_sid`), so that there are as many rooms as one likes.
What it answers is what the simulator answers. ``GET /requests`` says how many requests there were since it was last
asked; a request with the header ``X-Compressed`` is answered with gzip.
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

SHAPES: Final = [(4, 50), (1, 1000), (1, 5), (2, 20), (1, 20)]
"""Pages and recordings a page."""

_ROOM: Final = re.compile(rb"RM([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{16}")
_HEADERS: Final = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTwilio-Request-Id: RQ00000000000000000000000000000000\r\n"
    "Twilio-Request-Duration: 0.010\r\nTwilio-Concurrent-Requests: 1\r\n"
)


def room_sid(pages: int, size: int, number: int = 0) -> str:
    """A room that has so many pages of so many recordings."""
    return f"RM{pages:08x}{size:08x}{number:016x}"


class Answers:
    """The answers, by shape of the room and query."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._by_query: dict[bytes, tuple[bytes, bytes]] = {}
        self.requests = 0

    async def render(self) -> None:
        """Ask the simulator for every page that will be asked for."""
        for pages, size in SHAPES:
            await self._render(pages, size, f"?PageSize={size}")
        # What a client with its defaults asks for: the API's 50 a page, or the largest page there is.
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
                asked = url.removeprefix(simulator.base_url).replace(simulator.room_sids[0], room)
                body = body.replace(simulator.room_sids[0], room).replace(simulator.base_url, self._host)
                self._by_query[asked.encode()] = _plain_and_compressed(body.encode())
                url = page["meta"]["next_page_url"]

    def to(self, head: bytes) -> bytes:
        """The answer to a request."""
        path = head.split(b" ", 2)[1]
        if path == b"/requests":
            body, self.requests = str(self.requests).encode(), 0
            return _answer(body)
        self.requests += 1
        plain, compressed = self._by_query[_ROOM.sub(rb"RM\g<1>\g<2>0000000000000000", path)]
        return compressed if b"X-Compressed" in head else plain


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, answers: Answers, latency: float) -> None:
        self._answers = answers
        self._latency = latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for head in self._heads(data):
            answer = self._answers.to(head)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)
            else:
                self._transport.write(answer)

    def _heads(self, data: bytes) -> Iterator[bytes]:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            yield head


def _plain_and_compressed(body: bytes) -> tuple[bytes, bytes]:
    return _answer(body), _answer(gzip.compress(body, 6), "Content-Encoding: gzip\r\n")


def _answer(body: bytes, headers: str = "") -> bytes:
    return f"{_HEADERS}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def main(latency: float) -> None:
    loop = asyncio.get_running_loop()
    answers = Answers("")
    server = await loop.create_server(lambda: Connection(answers, latency), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers._host = f"http://127.0.0.1:{port}"
    await answers.render()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
