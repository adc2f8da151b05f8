"""Connections that break: what is noise of the network, and what is a failure of the service."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Self

import aiohttp
import pytest

from roomrec_async import (
    ConnectionFailedError,
    RateLimiter,
    RecordingsClient,
    RetryPolicy,
    RoomRecError,
    ServerError,
    Timeout,
)
from roomrec_async.events import Activity, Attempt
from roomrec_async.protocols import Permit
from roomrec_async.simulator import Simulator

from .raw_server import CREDENTIALS, ROOM_SID, Request, page, raw_server, response


def client(url: str, permits: int | None = None, **options: Any) -> RecordingsClient:
    options.setdefault("retry", RetryPolicy(base_delay=0.001))
    return RecordingsClient(CREDENTIALS, base_url=url, limiter=RateLimiter(permits, None, None), **options)


def rooms(count: int) -> list[str]:
    return [f"RM{number:032x}" for number in range(count)]


class Middlebox:
    """Serves every request, and after :meth:`forget` kills each connection from before at its next use."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._old: set[int] = set()
        self._forgotten: frozenset[int] = frozenset()

    def forget(self) -> None:
        self._forgotten = frozenset(self._old)

    async def __call__(self, request: Request) -> bytes | None:
        if request.connection.number in self._forgotten:
            if self._how == "reset":
                request.connection.reset()
            return None
        self._old.add(request.connection.number)
        if not self._forgotten:
            # Long enough for all of them to be under way at once, each on a connection of its own.
            await asyncio.sleep(0.2)
        return response(page())


async def test_a_malformed_response_of_a_pooled_connection_is_not_asked_for_again() -> None:
    served = 0

    async def handle(request: Request) -> bytes:
        nonlocal served
        served += 1
        return response(page()) if served == 1 else b"HTTP/1.1 2x0 nonsense\r\n\r\n"

    async with raw_server(handle) as server, client(server.url, retry=RetryPolicy(max_attempts=1)) as one:
        await one.recordings(ROOM_SID).to_list()
        with pytest.raises(RoomRecError):
            await one.recordings(ROOM_SID).to_list()
        assert served == 2


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("pooled", [1, 5, 20])
async def test_a_list_survives_any_number_of_dead_pooled_connections(how: str, pooled: int) -> None:
    middlebox = Middlebox(how)
    async with raw_server(middlebox) as server, client(server.url) as listing:
        await listing.gather(rooms(pooled))
        middlebox.forget()
        before = len(server.requests)
        assert len(await listing.recordings(ROOM_SID).to_list()) == 1
        # One on a dead connection, and one on a new one.
        assert len(server.requests) - before == 2


@pytest.mark.parametrize(("pooled", "asked"), [(100, 100), (60, 200)])
async def test_rooms_survive_a_pool_of_dead_connections(pooled: int, asked: int) -> None:
    middlebox = Middlebox("reset")
    async with raw_server(middlebox) as server, client(server.url) as listing:
        await listing.gather(rooms(pooled))
        middlebox.forget()
        before = len(server.requests)
        found = await listing.gather(rooms(asked))
        assert [len(recordings) for recordings in found.values()] == asked * [1]
        assert len(server.requests) - before == asked + pooled


async def test_a_deletion_survives_a_dead_connection_as_well() -> None:
    middlebox = Middlebox("reset")

    async def handle(request: Request) -> bytes | None:
        answer = await middlebox(request)
        return response(b"", "204 No Content") if answer and request.method == "DELETE" else answer

    async with raw_server(handle) as server, client(server.url) as listing:
        await listing.recordings(ROOM_SID).to_list()
        middlebox.forget()
        assert await listing.delete(ROOM_SID, "RT" + "1" * 32)
        assert [request.method for request in server.requests] == ["GET", "DELETE", "DELETE"]


async def test_observers_see_both_requests_and_the_limiter_grants_both() -> None:
    class Attempts:
        def __init__(self) -> None:
            self.seen: list[tuple[int, int | None]] = []

        def started(self, activity: Activity) -> None: ...

        def ended(self, activity: Activity) -> None:
            if isinstance(activity, Attempt):
                self.seen.append((activity.number, activity.status))

    middlebox, attempts = Middlebox("reset"), Attempts()
    retry = RetryPolicy(max_attempts=1)
    async with raw_server(middlebox) as server, client(server.url, retry=retry, observers=[attempts]) as listing:
        await listing.recordings(ROOM_SID).to_list()
        middlebox.forget()
        await listing.recordings(ROOM_SID).to_list()
    assert attempts.seen == [(1, 200), (1, None), (2, 200)]


async def test_what_breaks_on_a_new_connection_is_a_failure() -> None:
    async def handle(request: Request) -> bytes | None:
        request.connection.reset()
        return None

    retry = RetryPolicy(max_attempts=2, base_delay=0)
    async with raw_server(handle) as server, client(server.url, retry=retry) as listing:
        with pytest.raises(ConnectionFailedError) as caught:
            await listing.recordings(ROOM_SID).to_list()
    assert caught.value.attempts == len(server.requests) == 2


async def test_retries_that_succeed_never_use_up_the_budget() -> None:
    """Every second request is refused once, for longer than any budget would last."""
    seen: Counter[str] = Counter()

    async def handle(request: Request) -> bytes | None:
        seen[request.target] += 1
        return response(b"", "503 Service Unavailable") if seen[request.target] % 2 else response(page())

    async with raw_server(handle) as server, client(server.url, retry=RetryPolicy(base_delay=0, budget=5)) as listing:
        for _ in range(100):
            assert len(await listing.recordings(ROOM_SID).to_list()) == 1
        assert len(server.requests) == 200


async def test_one_fault_that_hits_everything_in_flight_fails_nothing() -> None:
    """The first 100 requests are reset, each on its new connection."""
    count = 0

    async def handle(request: Request) -> bytes | None:
        nonlocal count
        count += 1
        if count <= 100:
            while count < 100:
                await asyncio.sleep(0.001)
            request.connection.reset()
            return None
        return response(page())

    async with raw_server(handle) as server, client(server.url, 100) as listing:
        found = await listing.gather(rooms(300), return_exceptions=True)
    assert [room for room, result in found.items() if isinstance(result, RoomRecError)] == []
    assert len(server.requests) == 400


@pytest.mark.parametrize("fault", ["503", "reset"])
async def test_an_outage_costs_at_most_two_fifths_more_requests(fault: str) -> None:
    async def handle(request: Request) -> bytes | None:
        if fault == "reset":
            request.connection.reset()
            return None
        return response(b"", "503 Service Unavailable")

    async with raw_server(handle) as server, client(server.url, 100) as listing:
        found = await listing.gather(rooms(300), return_exceptions=True)
    assert all(isinstance(result, (ServerError, ConnectionFailedError)) for result in found.values())
    assert len(server.requests) <= 1.4 * 300


async def test_an_error_says_that_the_retry_budget_ended_it() -> None:
    async def handle(_: Request) -> bytes:
        return response(b"", "503 Service Unavailable")

    retry = RetryPolicy(base_delay=0, budget=1)
    async with raw_server(handle) as server, client(server.url, 1, retry=retry) as listing:
        with pytest.raises(ServerError, match="the client's retry budget is used up") as caught:
            await listing.recordings(ROOM_SID).to_list()
    assert caught.value.retry_budget_exhausted
    assert caught.value.attempts == 2


async def test_an_error_after_all_attempts_does_not_blame_the_budget() -> None:
    async def handle(_: Request) -> bytes:
        return response(b"", "503 Service Unavailable")

    retry = RetryPolicy(base_delay=0, max_attempts=2)
    async with raw_server(handle) as server, client(server.url, 1, retry=retry) as listing:
        with pytest.raises(ServerError) as caught:
            await listing.recordings(ROOM_SID).to_list()
    assert "budget" not in str(caught.value)
    assert not caught.value.retry_budget_exhausted


@pytest.mark.parametrize("lent", [False, True], ids=["own session", "lent session"])
async def test_a_proxy_that_never_answers_connect_is_given_up_in_time(lent: bool) -> None:
    async def handle(_: Request) -> bytes | None:
        await asyncio.sleep(60)
        return None

    loop = asyncio.get_running_loop()
    timeout = Timeout(total=20, connect=0.3, read=0.5)
    async with raw_server(handle) as proxy:
        session = aiohttp.ClientSession() if lent else None
        begun = loop.time()
        retry = RetryPolicy(max_attempts=1)
        async with client(
            "https://video.example", proxy=proxy.url, session=session, timeout=timeout, retry=retry
        ) as listing:
            with pytest.raises(RoomRecError):
                await listing.recordings(ROOM_SID).to_list()
        if session is not None:
            await session.close()
    assert loop.time() - begun < 10


async def test_a_resolver_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: Any, **__: Any) -> list[Any]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(aiohttp.resolver.DefaultResolver, "resolve", resolve)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    timeout = Timeout(total=20, connect=0.3, read=0.5)
    retry = RetryPolicy(max_attempts=1)
    async with client("https://video.example", timeout=timeout, retry=retry) as listing:
        with pytest.raises(RoomRecError, match=r"no connection within 0\.3 s"):
            await listing.recordings(ROOM_SID).to_list()
    assert loop.time() - begun < 10


class PlainPermit:
    """A permit that a program may have made itself."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def accepted(self) -> None: ...

    def rate_limited(self) -> None: ...


class CountingPermit(PlainPermit):
    """One that remembers how late requests were sent."""

    def __init__(self, late: list[float]) -> None:
        self.sent_late = late.append


class OneLimiter(RateLimiter):
    """Grants one permit again and again."""

    def __init__(self, permit: Permit) -> None:
        super().__init__()
        self._permit = permit

    def read(self) -> Permit:
        return self._permit


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the look-up of a name take 0.2 s."""
    look_up = socket.getaddrinfo

    def slowly(*arguments: Any, **options: Any) -> list[Any]:
        time.sleep(0.2)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)


@pytest.mark.usefixtures("slow_names")
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "429 Too Many Requests", None])
async def test_the_limiter_hears_how_long_it_took_to_connect(status: str | None) -> None:
    late: list[float] = []
    # Each opens a connection where the one before was broken.
    opened = 1 if status else 3

    async def serve(_: Request) -> bytes | None:
        return status and response(page(), status)

    async with raw_server(serve) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        limiter, retry = OneLimiter(CountingPermit(late)), RetryPolicy(max_attempts=1)
        async with RecordingsClient(CREDENTIALS, base_url=url, limiter=limiter, retry=retry) as listing:
            for _ in range(3):
                with suppress(RoomRecError):
                    await listing.recordings(ROOM_SID).to_list()
    assert len(server.requests) == 3
    assert len(late) == opened
    # aiohttp remembers the address.
    assert late[0] >= 0.2
    assert all(0 < seconds < late[0] for seconds in late[1:])


async def test_a_permit_need_not_care_how_long_it_took_to_connect() -> None:
    async def serve(_: Request) -> bytes:
        return response(page(3))

    async with raw_server(serve) as server:
        limiter = OneLimiter(PlainPermit())
        async with RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as listing:
            assert len(await listing.recordings(ROOM_SID)) == 3


async def test_running_out_of_file_descriptors_fails_no_room() -> None:
    async with Simulator(200, 1, reads_per_second=None, concurrency_limit=None, latency=(0.01, 0.02)) as simulator:
        account, token = simulator.credentials.username, simulator.credentials.password
        arguments = [simulator.base_url, account, token, *simulator.room_sids]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _FEW_DESCRIPTORS, *arguments, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
    assert printed.decode().strip() == "200 rooms, 0 failed"


_FEW_DESCRIPTORS = """
import asyncio, resource, sys
from roomrec_async import Credentials, RateLimiter, RecordingsClient

async def main(base_url, account, token, *room_sids):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    limiter = RateLimiter(150, None, None)
    async with RecordingsClient(Credentials(account, token), base_url=base_url, limiter=limiter) as client:
        found = await client.gather(room_sids, return_exceptions=True)
    print(f"{len(found)} rooms, {sum(isinstance(each, Exception) for each in found.values())} failed")

asyncio.run(main(*sys.argv[1:]))
"""
