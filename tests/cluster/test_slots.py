"""Slots: fractions of the quota that are held, released and handed on."""

from __future__ import annotations

import asyncio
import gc
from typing import cast

import pytest
from distributed import Client, Semaphore
from yarl import URL

from roomrec_async.events import Attempt, Operation, Request
from roomrec_async.integrations.dask import as_completed_on, slots
from roomrec_async.integrations.dask.slots import LastRequest
from roomrec_async.simulator import Simulator

from .conftest import assert_each_once, collect, settings


async def test_the_quota_is_the_accounts_also_between_jobs_and_shards(cluster: Client) -> None:
    """Two jobs, two workers, one slot: shards of a single room follow each other as fast as they can."""
    async with Simulator(5, 1, 104, reads_per_second=2, concurrency_limit=1, latency=0.1) as simulator:
        options = settings(simulator, slots=1, rooms_per_shard=1, max_concurrency=1)
        first, second = simulator.room_sids[:3], simulator.room_sids[3:]
        results = await asyncio.gather(
            collect(as_completed_on(cluster, first, settings=options)),
            collect(as_completed_on(cluster, second, settings=options)),
        )
        assert_each_once(results[0] + results[1], simulator)
        stats = simulator.stats
    assert (stats.requests, stats.refused, stats.peak_in_flight) == (5, 0, 1)


async def test_finished_shards_leave_no_timers(cluster: Client) -> None:
    # Inside the test, so that the workers need not import it.
    def refreshing_semaphores() -> int:
        semaphores = (each for each in gc.get_objects() if type(each) is Semaphore)
        return sum(semaphore.refresh_callback.is_running() for semaphore in semaphores)

    # Other tests of this process hold semaphores of their own.
    before = refreshing_semaphores()
    async with Simulator(20, 1) as simulator:
        rooms = simulator.room_sids
        await collect(as_completed_on(cluster, rooms, settings=settings(simulator, rooms_per_shard=1)))
        # A worker forgets a task a moment after its result is there.
        async with asyncio.timeout(5):
            while any((await cluster.run(refreshing_semaphores)).values()):
                await asyncio.sleep(0.05)
        assert refreshing_semaphores() <= before


class FakeSemaphore:
    """Answers each call of ``acquire`` with the next of the given answers, once it may."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.may_answer = asyncio.Event()
        self.released = 0

    async def acquire(self, timeout: float) -> bool:
        await self.may_answer.wait()
        return self.answers.pop(0)

    async def release(self) -> None:
        self.released += 1


async def test_a_slot_is_asked_for_until_it_is_granted() -> None:
    semaphore = FakeSemaphore(False, False, True, False)
    semaphore.may_answer.set()
    await slots._acquire(cast("Semaphore", semaphore))
    assert (semaphore.answers, semaphore.released) == ([False], 0)


@pytest.mark.parametrize("granted", [True, False])
async def test_a_slot_that_is_granted_to_a_cancelled_caller_is_released(granted: bool) -> None:
    semaphore = FakeSemaphore(granted)
    waiting = asyncio.create_task(slots._acquire(cast("Semaphore", semaphore)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert not waiting.done()

    semaphore.may_answer.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert semaphore.released == int(granted)


class TestLastRequest:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The time of the clock, as the only item."""
        clock = [100.0]
        monkeypatch.setattr(slots, "monotonic", lambda: clock[0])
        return clock

    def test_a_slot_cools_down_for_more_than_a_second_after_an_attempt(self, clock: list[float]) -> None:
        last_request = LastRequest()
        operation = Operation("recordings", "/v1/Rooms")
        request = Request(operation, "GET", URL("https://example.com"))
        attempt = Attempt(request, 1)
        assert last_request.remaining_cooldown() == 0

        last_request.started(attempt)
        assert last_request.remaining_cooldown() == pytest.approx(1.1)
        clock[0] = 100.6
        last_request.ended(attempt)
        assert last_request.remaining_cooldown() == pytest.approx(0.5)
        clock[0] = 101.2
        assert last_request.remaining_cooldown() == 0

    def test_only_attempts_are_requests_that_were_sent(self, clock: list[float]) -> None:
        last_request = LastRequest()
        operation = Operation("recordings", "/v1/Rooms")
        last_request.started(operation)
        last_request.started(Request(operation, "GET", URL("https://example.com")))
        assert last_request.remaining_cooldown() == 0
