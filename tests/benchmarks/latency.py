"""The makespan of many rooms at high latency: two pages per room, 100 ms per response, 100 requests in flight."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Final

from roomrec_async import Credentials, RateLimiter, RecordingsClient
from tests.benchmarks.contenders import AUTH_TOKEN, CONTENDERS
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import Server
from tests.benchmarks.rooms import ACCOUNT_SID, room_sid

_MAX_IN_FLIGHT: Final = 100
_LATENCY: Final = 0.1
_SIZE: Final = 20

ListRooms = Callable[[Iterable[str]], Awaitable[None]]
"""Lists rooms, 100 requests at a time."""


async def measure(rooms: int, rounds: int) -> Iterator[Figure]:
    """Return the makespan of each contender over the ideal one, median of the rounds."""
    ideal = rooms * 2 * _LATENCY / _MAX_IN_FLIGHT
    ratios: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    for _ in range(rounds):
        for name, contender in _CONTENDERS.items():
            with Server(_LATENCY) as server:
                ratios[name].append(await _makespan(contender, server.base_url, rooms) / ideal)
    figures = [Figure(name, statistics.median(ratios[name]), "x", _TARGETS.get(name, "")) for name in _CONTENDERS]
    return iter(figures)


async def _makespan(
    contender: Callable[[str, AsyncExitStack], Awaitable[ListRooms]], base_url: str, rooms: int
) -> float:
    async with AsyncExitStack() as stack:
        list_rooms = await contender(base_url, stack)
        await list_rooms(room_sid(2, _SIZE, number) for number in range(_MAX_IN_FLIGHT))  # opens the connections
        begin = time.perf_counter()
        await list_rooms(room_sid(2, _SIZE, number) for number in range(rooms))
        return time.perf_counter() - begin


async def _ours(base_url: str, stack: AsyncExitStack) -> ListRooms:
    credentials = Credentials(ACCOUNT_SID, AUTH_TOKEN)
    limiter = RateLimiter(_MAX_IN_FLIGHT, None, None)
    client = await stack.enter_async_context(RecordingsClient(credentials, base_url=base_url, limiter=limiter))

    async def list_rooms(sids: Iterable[str]) -> None:
        async for result in client.as_completed(sids, page_size=_SIZE):
            assert len(result.recordings) == 2 * _SIZE

    return list_rooms


async def _by_hand(base_url: str, stack: AsyncExitStack) -> ListRooms:
    list_room = await CONTENDERS["by hand"](base_url, stack)
    permits = asyncio.Semaphore(_MAX_IN_FLIGHT)

    async def one(sid: str) -> None:
        async with permits:
            assert await list_room(sid, _SIZE) == 2 * _SIZE

    async def list_rooms(sids: Iterable[str]) -> None:
        await asyncio.gather(*(one(sid) for sid in sids))

    return list_rooms


async def _bare_sockets(base_url: str, stack: AsyncExitStack) -> ListRooms:
    """Return the overhead of the server and the machine: raw requests, with responses that are not decoded."""
    host, port = base_url.removeprefix("http://").split(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(_MAX_IN_FLIGHT)]
    for _, writer in connections:
        stack.callback(writer.close)

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))

    async def list_rooms(sids: Iterable[str]) -> None:
        each = iter(sids)

        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for sid in each:
                for _ in range(2):
                    await send(reader, writer, f"/v1/Rooms/{sid}/Recordings?PageSize={_SIZE}")

        await asyncio.gather(*(work(*connection) for connection in connections))

    return list_rooms


_OURS: Final = "makespan over the ideal, 100 ms per response, 100 in flight"
_CONTENDERS: Final = {
    _OURS: _ours,
    "the same by hand": _by_hand,
    "the same by bare sockets, nothing decoded": _bare_sockets,
}
_TARGETS: Final = {_OURS: "at most 1.05"}
