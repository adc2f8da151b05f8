"""Retry-After: the service pauses a client, and nobody waits for what cannot come in time."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from contextlib import suppress

import pytest

from roomrec_async import RateLimiter, RateLimitError, RecordingsClient, RetryPolicy
from roomrec_async._http.pauses import Pauses

from .raw_server import CREDENTIALS, ROOM_SID, Request, page, raw_server, response

REFUSED = response(
    b'{"code": 20429, "message": "Too Many Requests", "status": 429}', "429 Too Many Requests", "Retry-After: 86400"
)


async def refuse_the_first(request: Request) -> bytes:
    return REFUSED if request.target.startswith("/v1/Rooms?") else response(page())


def client(url: str, **options: object) -> RecordingsClient:
    return RecordingsClient(CREDENTIALS, base_url=url, limiter=RateLimiter(5, None, None), **options)


async def test_a_pause_is_30_seconds_at_most_by_default() -> None:
    assert RetryPolicy().max_retry_after == 30


async def test_others_fail_at_once_where_the_pause_outlasts_their_deadline() -> None:
    loop = asyncio.get_running_loop()
    async with raw_server(refuse_the_first) as server, client(server.url) as shared:
        refused = asyncio.ensure_future(shared.rooms(timeout=100).to_list())
        await asyncio.sleep(0.2)
        begun = loop.time()
        with pytest.raises(RateLimitError, match=r"a pause \(Retry-After\) that lasts \d+\.\d s more") as caught:
            await shared.recordings(ROOM_SID, timeout=10).to_list()
        assert loop.time() - begun < 5
        assert caught.value.attempts == 0
        assert 20 < (caught.value.retry_after or 0) <= 30
        assert ROOM_SID in str(caught.value)
        assert len(server.requests) == 1
        refused.cancel()


@pytest.mark.parametrize("permits", [1, 4])
async def test_those_who_wait_already_fail_at_once_as_well(permits: int) -> None:
    blocked = asyncio.Event()

    async def handle(request: Request) -> bytes:
        await blocked.wait()
        return REFUSED

    loop = asyncio.get_running_loop()
    limiter = RateLimiter(permits, None, None)
    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as shared,
    ):
        # All of them are refused at the same moment.
        refused = [asyncio.ensure_future(shared.rooms(timeout=100).to_list()) for _ in range(permits)]
        await asyncio.sleep(0.1)
        waiting = [asyncio.ensure_future(shared.recordings(ROOM_SID, timeout=10).to_list()) for _ in range(3)]
        rooms = [f"RM{number:032x}" for number in range(6)]
        gathering = asyncio.ensure_future(shared.gather(rooms, timeout=10, return_exceptions=True))
        patient = asyncio.ensure_future(shared.recordings(ROOM_SID, timeout=100).to_list())
        await asyncio.sleep(0.1)
        begun = loop.time()
        blocked.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        gathered = await gathering
        assert loop.time() - begun < 5
        assert {type(result) for result in (*results, *gathered.values())} == {RateLimitError}
        assert list(gathered) == rooms
        assert not patient.done()
        for task in (*refused, patient):
            task.cancel()
        await asyncio.gather(*refused, patient, return_exceptions=True)
        assert limiter.in_flight == limiter.waiting == 0


async def test_a_pause_ends_early_when_a_later_request_comes_through() -> None:
    async def handle(request: Request) -> bytes:
        if request.target.startswith("/v1/Rooms?"):
            await asyncio.sleep(0.2)
            return REFUSED
        # Sent after the one that is refused, and answered after it.
        await asyncio.sleep(0.4)
        return response(page())

    loop = asyncio.get_running_loop()
    async with raw_server(handle) as server, client(server.url) as shared:
        refused = asyncio.ensure_future(shared.rooms(timeout=100).to_list())
        await asyncio.sleep(0.05)
        in_flight = asyncio.ensure_future(shared.recordings(ROOM_SID, timeout=100).to_list())
        await asyncio.sleep(0.25)
        begun = loop.time()
        assert len(await shared.recordings(ROOM_SID, timeout=100).to_list()) == 1
        assert loop.time() - begun < 5
        assert len(await in_flight) == 1
        refused.cancel()


async def test_an_earlier_request_that_comes_through_does_not_end_a_pause() -> None:
    async def handle(request: Request) -> bytes:
        if request.target.startswith("/v1/Rooms?"):
            return REFUSED
        await asyncio.sleep(0.3)
        return response(page())

    async with raw_server(handle) as server, client(server.url) as shared:
        earlier = asyncio.ensure_future(shared.recordings(ROOM_SID, timeout=100).to_list())
        await asyncio.sleep(0.05)
        refused = asyncio.ensure_future(shared.rooms(timeout=100).to_list())
        assert len(await earlier) == 1
        with pytest.raises(RateLimitError):
            await shared.recordings(ROOM_SID, timeout=5).to_list()
        refused.cancel()


def refused(retry_after: float) -> RateLimitError:
    return RateLimitError(
        status=429,
        code=20429,
        message="Too Many Requests",
        more_info=None,
        request_id=None,
        method="GET",
        url="https://video.twilio.com/v1/Rooms",
        retry_after=retry_after,
        attempts=1,
    )


async def test_clients_of_one_limiter_share_its_pause() -> None:
    loop = asyncio.get_running_loop()
    limiter = RateLimiter(5, None, None)
    async with (
        raw_server(refuse_the_first) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as one,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as other,
    ):
        patient = asyncio.ensure_future(one.rooms(timeout=100).to_list())
        await asyncio.sleep(0.2)
        begun = loop.time()
        with pytest.raises(RateLimitError, match="a pause"):
            await other.recordings(ROOM_SID, timeout=10).to_list()
        assert loop.time() - begun < 5
        patient.cancel()


async def test_the_latest_refusal_counts_in_whatever_order_they_arrive() -> None:
    limiter = RateLimiter(5, None, None)
    pauses = Pauses.shared_by(limiter)
    pauses.start(refused(20), 20, 105.0)
    pauses.start(refused(20), 20, 100.0)
    pauses.came_through(103.0)
    # A request that was sent before the refusal ends no pause.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), limiter.read():
            pass


async def test_those_who_would_be_too_late_after_a_pause_go_on_where_it_ends_at_the_same_moment() -> None:
    async def handle(request: Request) -> bytes:
        return response(page())

    limiter = RateLimiter(1, None, None)
    pauses = Pauses.shared_by(limiter)
    loop = asyncio.get_running_loop()
    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as shared,
    ):
        async with limiter.read():
            waiting = asyncio.ensure_future(shared.recordings(ROOM_SID, timeout=10).to_list())
            await asyncio.sleep(0.1)
            pauses.start(refused(20), 20, 100.0)
            # Between the end of the wait and the next turn of the one who waits.
            loop.call_soon(pauses.came_through, 101.0)
            await asyncio.sleep(0.1)
        assert len(await waiting) == 1
    assert limiter.in_flight == limiter.waiting == len(pauses.waiting) == 0


class Fleet(RateLimiter):
    """Like a limiter in Redis: its pauses last as long as they were asked for."""

    def pause(self, seconds: float) -> None:
        if seconds:
            super().pause(seconds)


async def test_a_pause_that_the_limiter_does_not_end_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: Request) -> bytes:
        return response(page())

    caplog.set_level(logging.INFO, "roomrec_async")
    limiter = Fleet(5, None, None)
    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as shared,
    ):
        await shared.recordings(ROOM_SID).to_list()
        pauses = Pauses.shared_by(limiter)
        pauses.start(refused(20), 20, 100.0)
        pauses.came_through(101.0)
        with pytest.raises(RateLimitError, match="a pause"):
            await shared.recordings(ROOM_SID, timeout=10).to_list()
    assert "ends early" not in caplog.text


async def test_nothing_is_left_of_limiters_that_are_gone() -> None:
    before = len(Pauses._by_limiter)
    for _ in range(50):
        async with RecordingsClient(CREDENTIALS):
            pass
    gc.collect()
    assert len(Pauses._by_limiter) <= before


async def test_a_refusal_keeps_nothing_of_the_callers_in_memory() -> None:
    class Upload:
        """Something large that a caller has in a variable."""

    kept: list[weakref.ref[Upload]] = []

    async def handle(request: Request) -> bytes:
        return REFUSED

    async def call(shared: RecordingsClient) -> None:
        upload = Upload()
        kept.append(weakref.ref(upload))
        with suppress(RateLimitError):
            await shared.rooms(timeout=10).to_list()

    async with raw_server(handle) as server, client(server.url) as shared:
        await call(shared)
        gc.collect()
        assert [each() for each in kept] == [None]


async def test_a_client_that_pauses_for_no_time_ends_nobodys_pause() -> None:
    limiter = RateLimiter(5, None, None)

    async def handle(request: Request) -> bytes:
        return REFUSED

    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=limiter) as patient,
        RecordingsClient(
            CREDENTIALS, base_url=server.url, limiter=limiter, retry=RetryPolicy(max_attempts=1, max_retry_after=0)
        ) as impatient,
    ):
        both = [asyncio.ensure_future(each.rooms(timeout=100).to_list()) for each in (patient, impatient)]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), limiter.read():
                pass
        both[0].cancel()
        await asyncio.gather(*both, return_exceptions=True)
