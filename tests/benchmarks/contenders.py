"""The clients that are compared by listing a room, each in a process of its own.

``python -m tests.benchmarks.contenders NAME BASE_URL [--freeze]`` reads commands from standard input, one per line, and
prints a line of JSON for each. A command has the number of pages, the recordings per page, 1 for the contender's
default page size or else 0, and how many times to list the room: ``PAGES SIZE DEFAULTS LISTS``. With ``--freeze``, the
garbage collector leaves alone what was there before a command, so that a count does not depend on when it last ran.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import aiohttp

from tests.benchmarks.rooms import ACCOUNT_SID, room_sid

AUTH_TOKEN: Final = "benchmark-token"

ListRoom = Callable[[str, int | None], Awaitable[int]]
"""Lists a room with a page size, or with the contender's default, and returns the number of recordings."""


async def ours(base_url: str, stack: AsyncExitStack) -> ListRoom:
    """Return this library, with its defaults except for the quota of 80 requests per second."""
    from roomrec_async import Credentials, RateLimiter, RecordingsClient

    credentials = Credentials(ACCOUNT_SID, AUTH_TOKEN)
    limiter = RateLimiter(reads_per_second=None)
    client = await stack.enter_async_context(RecordingsClient(credentials, base_url=base_url, limiter=limiter))

    async def list_room(sid: str, page_size: int | None) -> int:
        count = 0
        async for recording in client.recordings(sid, page_size=page_size):
            assert recording.sid
            count += 1
        return count

    return list_room


async def official(base_url: str, stack: AsyncExitStack) -> ListRoom:
    """Return the provider's own client."""
    from twilio.http.async_http_client import AsyncTwilioHttpClient
    from twilio.rest import Client

    http = await stack.enter_async_context(AsyncTwilioHttpClient())
    client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
    client.video.base_url = base_url

    async def list_room(sid: str, page_size: int | None) -> int:
        options = {} if page_size is None else {"page_size": page_size}
        count = 0
        async for recording in await client.video.v1.rooms(sid).recordings.stream_async(**options):
            assert recording.sid
            count += 1
        return count

    return list_room


async def by_hand(base_url: str, stack: AsyncExitStack) -> ListRoom:
    """Return the loop that a good engineer writes by hand: no types, no limits, no retries."""
    import orjson

    session = await stack.enter_async_context(_session())

    async def list_room(sid: str, page_size: int | None) -> int:
        count = 0
        url: str | None = f"{base_url}/v1/Rooms/{sid}/Recordings?PageSize={page_size or 1000}"
        while url:
            async with session.get(url) as response:
                response.raise_for_status()
                page = orjson.loads(await response.read())
            for recording in page["recordings"]:
                assert recording["sid"]
                count += 1
            url = page["meta"]["next_page_url"]
        return count

    return list_room


async def bytes_only(base_url: str, stack: AsyncExitStack) -> ListRoom:
    """Return the lower bound: it reads the bytes, and searches them for nothing but the next URL."""
    session = await stack.enter_async_context(_session())

    async def list_room(sid: str, page_size: int | None) -> int:
        url: str | None = f"{base_url}/v1/Rooms/{sid}/Recordings?PageSize={page_size or 1000}"
        while url:
            async with session.get(url) as response:
                body = await response.read()
            _, _, tail = body[:2000].partition(b'"next_page_url":')
            url = tail.split(b'"', 2)[1].decode() if tail.startswith(b'"') else None
        return int(sid[2:10], 16) * int(sid[10:18], 16)

    return list_room


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)})


OURS: Final = "roomrec_async"
CONTENDERS: Final = {
    OURS: ours,
    "twilio 9.13.0": official,
    "by hand": by_hand,
    "bytes only": bytes_only,
}


async def main(name: str, base_url: str, *, freeze: bool) -> None:
    async with AsyncExitStack() as stack:
        list_room = await CONTENDERS[name](base_url, stack)
        while line := await asyncio.to_thread(sys.stdin.readline):
            pages, size, defaults, lists = (int(word) for word in line.split())
            if freeze:
                gc.collect()
                gc.freeze()
            measured = await _measure(list_room, room_sid(pages, size), None if defaults else size, lists)
            assert measured["recordings"] == pages * size * lists
            print(json.dumps(measured), flush=True)


async def _measure(list_room: ListRoom, sid: str, page_size: int | None, lists: int) -> dict[str, float]:
    recordings = 0
    mark()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(lists):
        recordings += await list_room(sid, page_size)
    mark()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "recordings": recordings}


def mark() -> None:
    """Begin or end what is counted: callgrind writes its counts each time that this function of the C library runs."""
    os.getpgrp()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], freeze="--freeze" in sys.argv))
