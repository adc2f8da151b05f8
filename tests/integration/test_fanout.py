"""Many rooms at once, on real sockets: order, failures, back-pressure, and what is left behind."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from roomrec_async import (
    InvalidArgumentError,
    NotFoundError,
    RateLimiter,
    RecordingsClient,
    RetryPolicy,
    RoomRecError,
    RoomResult,
    RoomsFailedError,
    ServerError,
)
from roomrec_async.simulator import Simulator, faults

UNKNOWN = "RM" + "9" * 32


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=12, recordings_per_room=(0, 30), reads_per_second=None, concurrency_limit=None
    ) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    limiter = RateLimiter(4, None, None)
    async with sim.client(limiter=limiter, retry=RetryPolicy(max_attempts=2, base_delay=0)) as client:
        yield client
    assert limiter.in_flight == limiter.waiting == 0


def truth(sim: Simulator, room_sid: str) -> list[object]:
    return [record["sid"] for record in sim.recordings(room_sid)]


async def assert_all_is_quiet(sim: Simulator, client: RecordingsClient) -> None:
    """In a few turns of the loop, no task, no permit, no request is left."""
    async with asyncio.timeout(2):
        while asyncio.all_tasks() - {asyncio.current_task()} - _server_tasks() or client.limiter.in_flight:
            await asyncio.sleep(0.01)
    requests = sim.stats.requests
    await asyncio.sleep(0.05)
    assert sim.stats.requests == requests


def _server_tasks() -> set[Any]:
    return {task for task in asyncio.all_tasks() if "aiohttp.web" in repr(task) or "RequestHandler" in repr(task)}


class TestGather:
    async def test_each_room_with_its_recordings_in_the_order_given(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        rooms = list(reversed(sim.room_sids))
        by_room = await client.gather(rooms)
        assert list(by_room) == rooms
        assert {room: [r.sid for r in got] for room, got in by_room.items()} == {r: truth(sim, r) for r in rooms}

    async def test_a_room_that_is_named_twice_is_fetched_once(self, sim: Simulator, client: RecordingsClient) -> None:
        room, other = sim.room_sids[:2]
        assert list(await client.gather([room, other, room])) == [room, other]
        assert sim.stats.requests == 2

    async def test_no_rooms(self, sim: Simulator, client: RecordingsClient) -> None:
        assert await client.gather([]) == {}

    async def test_an_async_iterable(self, sim: Simulator, client: RecordingsClient) -> None:
        async def rooms() -> AsyncIterator[str]:
            for room_sid in sim.room_sids:
                await asyncio.sleep(0)
                yield room_sid

        assert list(await client.gather(rooms())) == list(sim.room_sids)

    async def test_the_first_error_is_raised_and_the_rest_is_cancelled(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        sim.latency = 0.05
        with pytest.raises(NotFoundError, match=UNKNOWN):
            await client.gather([UNKNOWN, *sim.room_sids])
        await assert_all_is_quiet(sim, client)
        assert sim.stats.requests < 12

    async def test_exceptions_are_returned_where_asked_for(self, sim: Simulator, client: RecordingsClient) -> None:
        rooms = [sim.room_sids[0], UNKNOWN, "nonsense", sim.room_sids[1]]
        by_room = await client.gather(rooms, return_exceptions=True)
        assert list(by_room) == rooms
        assert isinstance(by_room[UNKNOWN], NotFoundError)
        assert isinstance(by_room["nonsense"], InvalidArgumentError)
        assert isinstance(by_room[sim.room_sids[1]], list)

    async def test_a_malformed_sid_is_refused_before_anything_is_sent(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        with pytest.raises(InvalidArgumentError, match="'nonsense'"):
            await client.gather([*sim.room_sids, "nonsense"])
        assert sim.stats.requests == 0

    async def test_options_are_those_of_a_room(self, sim: Simulator, client: RecordingsClient) -> None:
        by_room = await client.gather(sim.room_sids, status="completed", limit=2)
        assert all(len(recordings) <= 2 for recordings in by_room.values())
        assert {r.status for recordings in by_room.values() for r in recordings} == {"completed"}

    async def test_cancelling_it_leaves_nothing_behind(self, sim: Simulator, client: RecordingsClient) -> None:
        sim.latency = 5
        gathering = asyncio.create_task(client.gather(sim.room_sids))
        while sim.stats.in_flight < 4:
            await asyncio.sleep(0.01)
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        assert client.limiter.in_flight == 0
        sim.latency = 0
        assert len(await client.gather(sim.room_sids)) == 12


@pytest.mark.parametrize("method", ["gather", "as_completed", "stream"])
@pytest.mark.parametrize(
    ("rooms", "options", "message"),
    [
        ("RM" + "1" * 32, {}, "not 'RM.*put one room into a list"),
        (None, {}, "not None"),
        ([], {"page_size": 1001}, "page_size"),
        ([], {"limit": -1}, "limit"),
    ],
)
async def test_bad_arguments_are_refused_at_once(
    sim: Simulator, client: RecordingsClient, method: str, rooms: Any, options: Any, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        called = getattr(client, method)(rooms, **options)
        await called
    assert sim.stats.requests == 0


@pytest.mark.parametrize("method", ["gather", "as_completed", "stream"])
@pytest.mark.parametrize("canceller", ["itself", "a timeout around its rooms"])
async def test_a_source_that_cancels_whoever_pulls_from_it_ends_nothing_quietly(
    sim: Simulator, client: RecordingsClient, method: str, canceller: str
) -> None:
    async def rooms() -> AsyncIterator[str]:
        async with asyncio.timeout(0.05 if canceller != "itself" else None):
            for number, room_sid in enumerate(sim.room_sids):
                if number == 3 and canceller == "itself":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                    await asyncio.sleep(0)
                yield room_sid

    async def consume() -> None:
        if method == "gather":
            await client.gather(rooms())
        else:
            async for _ in getattr(client, method)(rooms()):
                pass

    if canceller != "itself":
        sim.latency = 0.2
    async with asyncio.timeout(20):
        with pytest.raises(RoomRecError, match="nobody cancelled the operation"):
            await consume()
    await assert_all_is_quiet(sim, client)


class TestAsCompleted:
    async def test_one_result_for_each_room(self, sim: Simulator, client: RecordingsClient) -> None:
        results = [result async for result in client.as_completed(sim.room_sids, page_size=7)]
        got = {result.room_sid: [r.sid for r in result.recordings] for result in results}
        assert got == {room: truth(sim, room) for room in sim.room_sids}
        assert all(result.error is None for result in results)

    async def test_rooms_come_as_they_finish(self, sim: Simulator, client: RecordingsClient) -> None:
        sim.inject(faults.StallHeaders(0.5), path_contains=sim.room_sids[0])
        order = [result.room_sid async for result in client.as_completed(sim.room_sids)]
        assert order[-1] == sim.room_sids[0]

    async def test_a_room_named_twice_comes_twice(self, sim: Simulator, client: RecordingsClient) -> None:
        room = sim.room_sids[0]
        assert [result.room_sid async for result in client.as_completed([room, room])] == [room, room]

    async def test_a_failure_is_that_rooms_and_keeps_what_came_before_it(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        room = next(room for room in sim.room_sids if len(truth(sim, room)) > 8)
        sim.inject(faults.Respond(500), path_contains=f"{room}/Recordings?PageSize=8&Page=1", times=2)
        results = {r.room_sid: r async for r in client.as_completed(sim.room_sids, page_size=8)}
        assert len(results) == 12
        (failed,) = [result for result in results.values() if result.error]
        assert failed.room_sid == room
        assert isinstance(failed.error, ServerError)
        rest = await client.recordings(room, resume=failed.error.resume_token).to_list()
        assert [r.sid for r in failed.recordings + rest] == truth(sim, room)

    async def test_work_in_flight_is_bounded_and_rooms_are_pulled_as_needed(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        pulled = 0

        def rooms() -> Iterator[str]:
            nonlocal pulled
            while True:
                pulled += 1
                yield sim.room_sids[pulled % 12]

        async with aclosing(client.as_completed(rooms())) as results:
            taken = 0
            async for _ in results:
                taken += 1
                assert len(asyncio.all_tasks()) < 25
                if taken == 20:
                    break
        # Beyond those taken: two rooms for each of four permits, and one result that waits to be taken.
        assert 20 <= pulled <= 29
        assert sim.stats.peak_in_flight <= 4

    async def test_a_slow_consumer_stops_the_fetching(self, sim: Simulator, client: RecordingsClient) -> None:
        async with aclosing(client.as_completed(list(sim.room_sids) * 10)) as results:
            await anext(results)
            await asyncio.sleep(0.2)
            assert sim.stats.requests <= 10

    @pytest.mark.parametrize(("permits", "failing"), [(1, 1), (4, 4), (10, 5)])
    async def test_rooms_that_wait_to_be_tried_again_leave_their_permits_to_others(
        self, permits: int, failing: int
    ) -> None:
        async with (
            Simulator(rooms=60, recordings_per_room=1, latency=0.05, reads_per_second=None) as sim,
            sim.client(limiter=RateLimiter(permits, None, None), retry=RetryPolicy(max_attempts=2)) as client,
        ):
            for room in sim.room_sids[:failing]:
                sim.inject(faults.Respond(503, headers={"Retry-After": "30"}), path_contains=room)
            async with asyncio.timeout(20), aclosing(client.as_completed(sim.room_sids)) as results:
                first = [await anext(results) for _ in range(10)]
                sim.stats.peak_in_flight = 0
                rest = [await anext(results) for _ in range(50 - failing)]
            assert all(result.error is None for result in first + rest)
            assert sim.stats.peak_in_flight == permits

    async def test_rooms_that_were_given_up_while_backing_off_hold_no_slot(self) -> None:
        pulled = 0

        def rooms() -> Iterator[str]:
            nonlocal pulled
            for room_sid in sim.room_sids:
                pulled += 1
                yield room_sid

        async with (
            Simulator(rooms=60, recordings_per_room=1, reads_per_second=None) as sim,
            sim.client(limiter=RateLimiter(10, None, None)) as client,
        ):
            sim.inject(faults.Respond(503, headers={"Retry-After": "30"}), times=9)
            async with asyncio.timeout(20), aclosing(client.as_completed(sim.room_sids[:12])) as results:
                await anext(results)
            async with asyncio.timeout(20), aclosing(client.as_completed(rooms())) as results:
                await anext(results)
                await asyncio.sleep(0.2)
            # A room for each permit, and three results that wait to be taken or are.
            assert pulled <= 13

    async def test_leaving_the_loop_stops_everything(self, sim: Simulator, client: RecordingsClient) -> None:
        sim.latency = (0.01, 1)
        async for _ in client.as_completed(sim.room_sids):
            break
        await assert_all_is_quiet(sim, client)

    async def test_an_error_in_the_callers_iterable_is_the_callers(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        def rooms() -> Iterator[str]:
            yield sim.room_sids[0]
            raise OSError("the file is gone")

        with pytest.raises(OSError, match="the file is gone"):
            async for _ in client.as_completed(rooms()):
                pass
        await assert_all_is_quiet(sim, client)

    async def test_what_is_no_string_is_a_mistake_and_not_the_end(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        rooms: Any = [None, sim.room_sids[0]]
        with pytest.raises(InvalidArgumentError, match="must be the SID of a room or a Room, not None"):
            async for _ in client.as_completed(rooms):
                pass

    async def test_an_async_generator_of_the_callers_is_closed_by_the_caller_alone(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        async def rooms() -> AsyncIterator[str]:
            for room_sid in sim.room_sids:
                yield room_sid

        source = rooms()
        async with aclosing(client.as_completed(source)) as results:
            await anext(results)
        rest = [room async for room in source]
        assert 0 < len(rest) < 12


class TestStream:
    async def test_all_recordings_of_all_rooms(self, sim: Simulator, client: RecordingsClient) -> None:
        got = [recording.sid async for recording in client.stream(sim.room_sids, page_size=7)]
        expected = [sid for room in sim.room_sids for sid in truth(sim, room)]
        assert len(got) == len(expected)
        assert set(got) == set(expected)

    async def test_failures_are_reported_after_everything_else_was_delivered(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        got = []
        with pytest.raises(RoomsFailedError, match=r"2 rooms could not be listed.*20404") as caught:
            async for recording in client.stream([UNKNOWN, *sim.room_sids, "nonsense"]):
                got.append(recording.sid)
        assert len(got) == sum(len(truth(sim, room)) for room in sim.room_sids)
        assert set(caught.value.errors) == {UNKNOWN, "nonsense"}
        assert isinstance(caught.value.errors[UNKNOWN], NotFoundError)

    async def test_failures_go_to_on_error_where_there_is_one(self, sim: Simulator, client: RecordingsClient) -> None:
        failed: list[RoomResult] = []
        async for _ in client.stream([UNKNOWN, *sim.room_sids], on_error=failed.append):
            pass
        assert [result.room_sid for result in failed] == [UNKNOWN]

    async def test_what_on_error_raises_ends_the_stream(self, sim: Simulator, client: RecordingsClient) -> None:
        def fatal(result: RoomResult) -> None:
            raise LookupError(result.room_sid)

        with pytest.raises(LookupError, match=UNKNOWN):
            async for _ in client.stream([UNKNOWN, *sim.room_sids], on_error=fatal):
                pass
        await assert_all_is_quiet(sim, client)

    async def test_leaving_the_loop_stops_everything(self, sim: Simulator, client: RecordingsClient) -> None:
        sim.latency = 0.02
        async for _ in client.stream(sim.room_sids, page_size=1):
            break
        await assert_all_is_quiet(sim, client)

    @pytest.mark.slow
    async def test_memory_stays_flat(self) -> None:
        async with (
            Simulator(rooms=800, recordings_per_room=20, reads_per_second=None, concurrency_limit=None) as sim,
            sim.client(limiter=RateLimiter(20, None, None)) as client,
        ):
            tracemalloc.start()
            try:
                count = 0
                async for _ in client.stream(sim.room_sids):
                    count += 1
                    if count == 1000:
                        early, _ = tracemalloc.get_traced_memory()
                        tracemalloc.reset_peak()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert count == 16_000
        # Everything together would be 20 MB. The simulator notes its requests in the same process: some 2 KB each.
        assert peak - early < 4_000_000


@pytest.mark.slow
async def test_a_hidden_concurrency_limit_is_found_and_no_room_fails() -> None:
    # The latency is so long that the service's bound is met, and not that of a slow machine.
    async with Simulator(
        rooms=400, recordings_per_room=2, latency=0.12, reads_per_second=None, concurrency_limit=12
    ) as sim:
        limiter = RateLimiter(reads_per_second=None)
        async with sim.client(limiter=limiter) as client:
            results = [result async for result in client.as_completed(sim.room_sids)]
    assert [result for result in results if result.error] == []
    assert sum(len(result.recordings) for result in results) == 800
    assert sim.stats.refused <= 0.02 * sim.stats.requests + 12
    assert limiter.max_concurrency is not None
    assert 9 <= limiter.max_concurrency <= 15
