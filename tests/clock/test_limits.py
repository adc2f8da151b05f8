"""The rate limiter, on an event loop whose clock runs ahead: waits take no time, and are exact."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError, RateLimiter

NEVER_ENDING: list[asyncio.Task[None]] = []


def now() -> float:
    return asyncio.get_running_loop().time()


async def starts(limiter: RateLimiter, count: int, *, write: bool = False, lasting: float = 0.0) -> list[float]:
    """When each of many requests that were made at once could start."""
    times: list[float] = []

    async def request() -> None:
        async with limiter.write() if write else limiter.read():
            times.append(now())
            await asyncio.sleep(lasting)

    await asyncio.gather(*(request() for _ in range(count)))
    return times


def most_in_a_second(times: Iterable[float]) -> int:
    times = sorted(times)
    return max(sum(start <= other < start + 1 for other in times) for start in times)


class TestConcurrency:
    async def test_no_more_than_the_bound_are_in_flight(self) -> None:
        limiter = RateLimiter(3, None, None)
        in_flight = []

        async def request() -> None:
            async with limiter.read():
                in_flight.append(limiter.in_flight)
                await asyncio.sleep(1)

        await asyncio.gather(*(request() for _ in range(10)))
        assert max(in_flight) == 3
        assert now() == pytest.approx(4, abs=0.01)
        assert limiter.in_flight == limiter.waiting == 0

    async def test_first_come_first_served_across_reads_and_writes(self) -> None:
        limiter = RateLimiter(1, None, None)
        order = []

        async def request(name: str) -> None:
            async with limiter.write() if name.startswith("w") else limiter.read():
                order.append(name)
                await asyncio.sleep(0.01)

        names = ["r1", "w1", "r2", "r3", "w2", "w3", "r4"]
        await asyncio.gather(*(request(name) for name in names))
        assert order == names

    async def test_an_error_gives_the_permit_back(self) -> None:
        limiter = RateLimiter(1, None, None)
        with pytest.raises(KeyError):
            async with limiter.read():
                raise KeyError
        async with asyncio.timeout(1), limiter.read():
            assert limiter.in_flight == 1

    @pytest.mark.parametrize("victim", range(6))
    async def test_a_cancelled_waiter_takes_no_permit_and_blocks_nobody(self, victim: int) -> None:
        limiter = RateLimiter(1, None, None)
        done = []

        async def request(number: int) -> None:
            async with limiter.read():
                await asyncio.sleep(1)
                done.append(number)

        tasks = [asyncio.create_task(request(number)) for number in range(6)]
        await asyncio.sleep(0.5)
        tasks[victim].cancel()
        await asyncio.wait(tasks)
        assert done == [number for number in range(6) if number != victim]
        assert limiter.in_flight == limiter.waiting == 0

    async def test_cancelled_in_the_moment_of_admission_gives_the_permit_back(self) -> None:
        limiter = RateLimiter(1, None, None)
        holder = limiter.read()
        await holder.__aenter__()
        waiter = asyncio.create_task(starts(limiter, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await holder.__aexit__(None, None, None)  # admits the waiter, which has not run yet
        assert limiter.in_flight == 1
        waiter.cancel()
        await asyncio.wait([waiter])
        assert limiter.in_flight == 0


class TestPace:
    async def test_no_window_of_a_second_sees_more_and_little_is_wasted(self) -> None:
        times = await starts(RateLimiter(None, 80, None), 400)
        assert most_in_a_second(times) <= 80
        assert 400 / max(times) >= 0.97 * 80

    async def test_writes_have_a_rate_of_their_own(self) -> None:
        limiter = RateLimiter(None, 80, 20)
        reads, writes = await asyncio.gather(starts(limiter, 240), starts(limiter, 60, write=True))
        assert most_in_a_second(writes) == 20
        assert most_in_a_second(reads) <= 80
        assert max(reads) < 3.2
        assert max(writes) < 3.2

    async def test_writes_that_wait_for_their_rate_hold_no_permit(self) -> None:
        limiter = RateLimiter(2, None, 1)
        writes = asyncio.create_task(starts(limiter, 5, write=True))
        await asyncio.sleep(0)
        await starts(limiter, 50)
        assert now() < 1
        await writes

    async def test_a_rate_below_one_a_second(self) -> None:
        times = await starts(RateLimiter(None, 0.5, None), 3)
        assert [round(b - a, 1) for a, b in pairwise(times)] == [2.0, 2.0]

    async def test_the_first_requests_after_a_rest_do_not_wait_long_and_do_not_burst(self) -> None:
        limiter = RateLimiter(None, 80, None)
        await starts(limiter, 100)
        await asyncio.sleep(60)
        begin = now()
        times = [time - begin for time in await starts(limiter, 100)]
        assert times[0] == 0
        assert sum(time < 0.01 for time in times) <= 6
        assert most_in_a_second(times) <= 80

    async def test_a_cancelled_waiter_leaves_the_pace_to_the_others(self) -> None:
        limiter = RateLimiter(None, 1, None)
        tasks = [asyncio.create_task(starts(limiter, 1)) for _ in range(4)]
        await asyncio.sleep(0.1)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert now() == pytest.approx(2.04, abs=0.1)

    @pytest.mark.parametrize("per_second", [1, 2, 7, 40, 80, 300])
    async def test_a_second_that_arrives_a_little_short_sees_no_more_than_the_rate(self, per_second: int) -> None:
        times = await relative_starts(RateLimiter(None, per_second, None), per_second * 4)
        # 10 ms: what the network takes from the distance of two requests.
        assert max(sum(start <= other < start + 1.01 for other in times) for start in times) <= per_second

    @pytest.mark.parametrize("per_second", [0.1, 0.5, 1, 2, 10, 80])
    async def test_it_goes_no_slower_than_needed(self, per_second: float) -> None:
        times = await relative_starts(RateLimiter(None, per_second, None), 100)
        assert 0.97 * per_second <= rate(times[-50:]) <= per_second

    @pytest.mark.parametrize("per_second", [0.1, 0.5, 0.9])
    async def test_a_rate_below_one_a_second_is_a_time_between_two(self, per_second: float) -> None:
        times = await relative_starts(RateLimiter(None, per_second, None), 10)
        assert all(1 / per_second <= after - before <= 1.03 / per_second for before, after in pairwise(times))

    @pytest.mark.parametrize(("per_second", "most"), [(1.5, 2), (2.5, 3), (10.9, 11)])
    async def test_no_second_sees_more_than_a_rate_rounded_up_and_the_rate_is_reached(
        self, per_second: float, most: int
    ) -> None:
        times = await relative_starts(RateLimiter(None, per_second, None), 50)
        assert max(sum(start <= other < start + 1 for other in times) for start in times) == most
        assert 0.97 * per_second <= rate(times[-30:]) <= per_second

    @pytest.mark.parametrize(
        ("per_second", "at_once"),
        [
            # One, and those of 50 ms.
            pytest.param(82, 5, id="a little more than 4 in 50 ms"),
            pytest.param(101, 5, id="a little less than 5 in 50 ms"),
        ],
    )
    async def test_after_a_rest_no_more_than_50_ms_are_made_up_for(self, per_second: int, at_once: int) -> None:
        limiter = RateLimiter(None, per_second, None)
        for _ in range(3):
            await asyncio.sleep(10)
            times = await relative_starts(limiter, 30)
            assert sum(time == 0 for time in times) == at_once

    async def test_one_rate_is_not_the_others(self) -> None:
        limiter = RateLimiter(None, 100, 10)
        reads, writes = await asyncio.gather(relative_starts(limiter, 300), relative_starts(limiter, 30, write=True))
        assert 90 < rate(reads) <= 100
        assert 9 < rate(writes) <= 10


class TestConnecting:
    """A request for which a connection is opened reaches the service late, and those after it do not."""

    @pytest.mark.parametrize("permits", [8, 40, None])
    @pytest.mark.parametrize("connecting", [0.03, 0.15, 0.5])
    async def test_the_service_sees_no_more_than_the_rate_in_any_second(
        self, connecting: float, permits: int | None
    ) -> None:
        limiter = RateLimiter(permits, 80, None)
        idle = 0
        arrivals: list[float] = []

        async def request() -> None:
            nonlocal idle
            async with limiter.read() as permit:
                seconds = 0.0 if idle else connecting
                idle = max(0, idle - 1)
                await asyncio.sleep(seconds)
                arrivals.append(now())
                await asyncio.sleep(0.1)
                if seconds:
                    permit.sent_late(seconds)
                idle += 1

        await asyncio.gather(*(request() for _ in range(400)))
        assert most_in_a_second(arrivals) <= 80
        assert 0.97 * 80 <= rate(sorted(arrivals)[-200:]) <= 80

    async def test_what_was_sent_later_than_the_log_reaches_back_changes_nothing(self) -> None:
        limiter = RateLimiter(None, 2, None)
        async with limiter.read() as slow:
            times = await relative_starts(limiter, 5)
            slow.sent_late(0.1)
        times += await relative_starts(limiter, 5)
        assert limiter.in_flight == 0
        assert rate(times[:5]) == pytest.approx(rate(times[5:]), rel=0.01)

    async def test_writes_are_counted_for_themselves(self) -> None:
        limiter = RateLimiter(None, 10, 2)
        async with limiter.write() as permit:
            await asyncio.sleep(0.7)
            permit.sent_late(0.7)
        async with limiter.write():
            pass
        reads, writes = await asyncio.gather(relative_starts(limiter, 11), relative_starts(limiter, 1, write=True))
        assert reads[-1] == pytest.approx(1.02, abs=0.01)
        # Not a second after the first one could start, but after it was sent: then, the second one started, too.
        assert writes == [pytest.approx(1.02, abs=0.01)]


class TestPause:
    async def test_a_pause_holds_everyone(self) -> None:
        limiter = RateLimiter(None, None, None)
        limiter.pause(7)
        reads, writes = await asyncio.gather(starts(limiter, 3), starts(limiter, 3, write=True))
        assert min(reads + writes) == pytest.approx(7, abs=0.01)

    async def test_a_shorter_pause_does_not_shorten_a_longer_one(self) -> None:
        limiter = RateLimiter(None, None, None)
        limiter.pause(7)
        limiter.pause(1)
        assert await starts(limiter, 1) == [pytest.approx(7, abs=0.01)]

    async def test_after_a_pause_the_pace_still_holds(self) -> None:
        limiter = RateLimiter(None, 10, None)
        waiting = asyncio.create_task(starts(limiter, 40))
        await asyncio.sleep(0.5)
        limiter.pause(3)
        assert most_in_a_second(await waiting) <= 10

    async def test_a_pause_in_the_midst_holds_those_that_wait_already(self) -> None:
        limiter = RateLimiter(None, 10, None)
        waiting = asyncio.create_task(relative_starts(limiter, 20))
        await asyncio.sleep(0.5)
        limiter.pause(3)
        times = await waiting
        assert not [time for time in times if 0.5 < time < 3.5]
        assert 3.5 in times

    async def test_a_longer_pause_lengthens_a_shorter_one(self) -> None:
        limiter = RateLimiter(None, None, None)
        limiter.pause(1)
        waiting = asyncio.create_task(relative_starts(limiter, 2))
        await asyncio.sleep(0.5)
        limiter.pause(7)
        assert await waiting == [7.5, 7.5]

    async def test_a_pause_of_nothing_holds_nobody(self) -> None:
        limiter = RateLimiter(None, None, None)
        limiter.pause(0)
        assert await relative_starts(limiter, 2) == [0, 0]

    async def test_requests_that_are_in_flight_go_on_and_end(self) -> None:
        limiter = RateLimiter(1, None, None)
        async with limiter.read():
            limiter.pause(5)
            waiting = asyncio.create_task(relative_starts(limiter, 1))
            await asyncio.sleep(1)
        assert limiter.in_flight == 0
        assert await waiting == [5]

    async def test_a_pause_that_is_over_is_forgotten(self) -> None:
        limiter = RateLimiter(None, None, None)
        limiter.pause(2)
        await asyncio.sleep(3)
        assert await relative_starts(limiter, 3) == [0, 0, 0]


@pytest.mark.parametrize(
    "bad",
    [
        {"max_concurrency": 0},
        {"max_concurrency": -1},
        {"max_concurrency": True},
        {"reads_per_second": 0},
        {"reads_per_second": -5},
        {"writes_per_second": float("nan")},
        {"writes_per_second": float("inf")},
    ],
)
def test_bounds_that_cannot_work_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(bad))):
        RateLimiter(**bad)


async def relative_starts(limiter: RateLimiter, count: int, *, write: bool = False) -> list[float]:
    """When each of many requests that were made at once could start, in seconds from now."""
    begin = now()
    times: list[float] = []

    async def request() -> None:
        async with limiter.write() if write else limiter.read():
            times.append(now() - begin)

    await asyncio.gather(*(request() for _ in range(count)))
    return times


def rate(times: list[float]) -> float:
    """Starts a second, of those after the first."""
    return (len(times) - 1) / (max(times) - min(times))


class Held:
    """Requests that hold their permits until they are ended, and the order in which they could start."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.started: list[str] = []

    async def ask(self, *names: str) -> None:
        """Requests of these names ask for a permit, in this order; those that begin with w are writes."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._request(name))
            await turns()

    async def end(self, *names: str) -> None:
        """They give their permits back."""
        for name in names:
            self._ends[name].set()
            await self._tasks.pop(name)
        await turns()

    async def give_up(self, *names: str) -> None:
        """They are cancelled."""
        for name in names:
            task = self._tasks.pop(name)
            task.cancel()
            await asyncio.wait([task])

    async def end_all(self) -> None:
        """Whoever is left, in the order of asking."""
        await self.end(*self._tasks)

    async def _request(self, name: str) -> None:
        async with self._limiter.write() if name.startswith("w") else self._limiter.read():
            self.started.append(name)
            await self._ends[name].wait()


async def turns() -> None:
    """Let everybody run who can, without any time going by."""
    for _ in range(10):
        await asyncio.sleep(0)


class TestDefaults:
    async def test_reads_keep_to_the_published_quota_and_use_it(self) -> None:
        times = await relative_starts(RateLimiter(None), 800)
        assert 0.97 * 80 <= rate(times) <= 80

    async def test_writes_keep_to_the_published_quota_and_use_it(self) -> None:
        times = await relative_starts(RateLimiter(None), 200, write=True)
        assert 0.97 * 20 <= rate(times) <= 20

    @pytest.mark.parametrize(("write", "quota"), [(False, 80), (True, 20)], ids=["reads", "writes"])
    async def test_the_defaults_are_the_published_quotas(self, write: bool, quota: int) -> None:
        by_default = await relative_starts(RateLimiter(None), 400, write=write)
        as_published = await relative_starts(RateLimiter(None, quota, quota), 400, write=write)
        assert by_default == pytest.approx(as_published, abs=0.001)

    async def test_the_bound_of_requests_in_flight_is_one_that_is_found(self) -> None:
        limiter = RateLimiter()
        begins_with = limiter.max_concurrency
        assert begins_with is not None
        async with limiter.read() as permit:
            permit.rate_limited()
        assert limiter.max_concurrency == 1, "the one request that was in flight was one too many"

    async def test_without_bounds_everything_starts_at_once(self) -> None:
        limiter = RateLimiter(None, None, None)
        assert limiter.max_concurrency is None
        assert await relative_starts(limiter, 300) == [0] * 300
        assert await relative_starts(limiter, 300, write=True) == [0] * 300

    async def test_a_bound_that_was_given_stays_whatever_the_service_answers(self) -> None:
        limiter = RateLimiter(4, None, None)
        async with limiter.read() as permit:
            permit.rate_limited()
            permit.accepted()
        assert limiter.max_concurrency == 4


class TestWhatItTells:
    async def test_how_many_are_out_and_how_many_wait(self) -> None:
        limiter = RateLimiter(2, None, None)
        assert (limiter.in_flight, limiter.waiting) == (0, 0)
        held = Held(limiter)
        await held.ask("r1")
        assert (limiter.in_flight, limiter.waiting) == (1, 0)
        await held.ask("w1", "r2", "w2", "r3")
        assert (limiter.in_flight, limiter.waiting) == (2, 3)
        await held.give_up("r2")
        assert (limiter.in_flight, limiter.waiting) == (2, 2)
        await held.end("r1")
        assert (limiter.in_flight, limiter.waiting) == (2, 1)
        await held.end_all()
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    async def test_whoever_waits_for_the_pace_waits(self) -> None:
        limiter = RateLimiter(None, 1, 1)
        tasks = [asyncio.create_task(relative_starts(limiter, 3, write=write)) for write in (False, True)]
        await asyncio.sleep(0.5)
        assert (limiter.in_flight, limiter.waiting) == (0, 4)
        await asyncio.gather(*tasks)
        assert limiter.waiting == 0


class TestWhoComesNext:
    async def test_nobody_overtakes_a_write_that_waits_for_the_bound_to_grow(self) -> None:
        await self.grows("w", "r")

    async def test_nobody_overtakes_a_read_that_waits_for_the_bound_to_grow(self) -> None:
        await self.grows("r", "w")

    async def grows(self, waits: str, comes_later: str) -> None:
        limiter = RateLimiter("auto", None, None)
        bound = limiter.max_concurrency
        assert bound is not None
        held = Held(limiter)
        permit = limiter.read()
        await permit.__aenter__()
        await held.ask(*(f"r{number}" for number in range(bound - 1)))
        await held.ask(f"{waits} waits")
        permit.accepted()
        assert limiter.max_concurrency == bound + 1, "a round of requests came through: there is room for one more"
        await held.ask(f"{comes_later} comes later")
        assert held.started[bound - 1 :] == [f"{waits} waits"]
        await permit.__aexit__(None, None, None)
        await held.end_all()

    @pytest.mark.parametrize("gives_up", ["r2", "w2", "r3", "w3"])
    async def test_whoever_gives_up_is_passed_over(self, gives_up: str) -> None:
        held = Held(RateLimiter(1, None, None))
        queue = ["r1", "r2", "w2", "r3", "w3"]
        await held.ask(*queue)
        await held.give_up(gives_up)
        queue.remove(gives_up)
        for name in queue:
            await held.end(name)
        assert held.started == queue

    async def test_reads_go_on_while_writes_wait_for_their_rate_and_the_other_way_around(self) -> None:
        held = Held(RateLimiter(None, 1, None))
        await held.ask("r1", "r2", "w1")
        assert held.started == ["r1", "w1"]
        await asyncio.sleep(1.1)
        assert held.started == ["r1", "w1", "r2"]
        await held.end_all()

    async def test_of_two_that_may_start_at_the_same_time_the_first_that_came_does(self) -> None:
        limiter = RateLimiter(1, None, None)
        limiter.pause(1)
        held = Held(limiter)
        await held.ask("w1", "r1", "w2", "r2")
        assert held.started == []
        await asyncio.sleep(1.1)
        for name in ("w1", "r1", "w2", "r2"):
            await held.end(name)
        assert held.started == ["w1", "r1", "w2", "r2"]

    @pytest.mark.parametrize("queue", [["r1", "w1"], ["w1", "r1"]], ids=" before ".join)
    @pytest.mark.parametrize("holder", ["r0", "w0"])
    async def test_how_long_reads_or_writes_have_rested_gives_them_no_precedence(
        self, holder: str, queue: list[str]
    ) -> None:
        held = Held(RateLimiter(1, 10, 10))
        await held.ask(holder)
        await asyncio.sleep(60)
        await held.ask(*queue)
        for name in (holder, *queue):
            await held.end(name)
        assert held.started == [holder, *queue]

    async def test_whoever_may_start_sooner_is_not_held_by_who_came_sooner(self) -> None:
        limiter = RateLimiter(None, 0.1, 1)
        await relative_starts(limiter, 1)
        await relative_starts(limiter, 1, write=True)
        read, write = await asyncio.gather(relative_starts(limiter, 1), relative_starts(limiter, 1, write=True))
        assert 0.9 < write[0] < 1.1
        assert 9 < read[0] < 11


class TestPermits:
    @pytest.mark.parametrize("turns_before", range(4))
    async def test_cancelled_around_the_moment_of_admission_loses_no_permit(self, turns_before: int) -> None:
        limiter = RateLimiter(1, None, None)
        held = Held(limiter)
        await held.ask("r1", "r2", "r3")
        held._ends["r1"].set()
        for _ in range(turns_before):
            await asyncio.sleep(0)
        await held.give_up("r2")
        await turns()
        assert held.started[-1] == "r3"
        assert (limiter.in_flight, limiter.waiting) == (1, 0)
        await held.end("r3")
        assert limiter.in_flight == 0

    async def test_an_admission_that_was_cancelled_is_the_next_ones(self) -> None:
        limiter = RateLimiter(1, None, None)
        holder = limiter.read()
        await holder.__aenter__()
        held = Held(limiter)
        await held.ask("r1", "w1")
        await holder.__aexit__(None, None, None)  # admits r1, which has not run yet
        await held.give_up("r1")
        await turns()
        assert held.started == ["w1"]
        await held.end_all()

    async def test_the_pace_of_a_permit_that_was_cancelled_is_used_up(self) -> None:
        limiter = RateLimiter(None, 1, None)
        async with limiter.read():
            pass
        times = await relative_starts(limiter, 2)
        assert [round(time, 1) for time in times] == [1.0, 2.0]

    async def test_a_refusal_counts_for_the_number_of_requests_at_its_start(self) -> None:
        limiter = RateLimiter("auto", None, None)
        permits = [limiter.read() for _ in range(5)]
        for permit in permits:
            await permit.__aenter__()
        permits[3].rate_limited()  # the fourth in flight: three were well
        assert limiter.max_concurrency is not None
        assert 2 <= limiter.max_concurrency <= 3
        for permit in permits:
            await permit.__aexit__(None, None, None)

    async def test_a_refusal_of_one_that_waited_counts_for_the_number_of_requests_at_its_start(self) -> None:
        limiter = RateLimiter("auto", None, None)
        limiter.pause(1)
        permits = [limiter.read() for _ in range(5)]
        await asyncio.gather(*(permit.__aenter__() for permit in permits))
        permits[3].rate_limited()
        assert limiter.max_concurrency is not None
        assert 2 <= limiter.max_concurrency <= 3
        for permit in permits:
            await permit.__aexit__(None, None, None)

    async def test_a_bound_grows_only_when_it_was_reached(self) -> None:
        limiter = RateLimiter("auto", None, None)
        bound = limiter.max_concurrency
        for _ in range(50):
            async with limiter.read() as permit:
                permit.accepted()
        assert limiter.max_concurrency == bound


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency must be an integer from 1, 'auto' or None, not 0"),
        ({"max_concurrency": -3}, "max_concurrency must be an integer from 1, 'auto' or None, not -3"),
        ({"max_concurrency": 2.5}, "max_concurrency must be an integer from 1, 'auto' or None, not 2.5"),
        ({"max_concurrency": False}, "max_concurrency must be an integer from 1, 'auto' or None, not False"),
        (
            {"max_concurrency": "automatic"},
            "max_concurrency must be an integer from 1, 'auto' or None, not 'automatic'",
        ),
        ({"reads_per_second": 0}, "reads_per_second must be positive and at most 1,000,000, or None, not 0"),
        ({"reads_per_second": -0.5}, "reads_per_second must be positive and at most 1,000,000, or None, not -0.5"),
        (
            {"reads_per_second": float("inf")},
            "reads_per_second must be positive and at most 1,000,000, or None, not inf",
        ),
        (
            {"reads_per_second": "80"},
            (
                "reads_per_second must be positive and at most 1,000,000, or None, not '80': "
                "a text, such as an environment variable, becomes a number with float(...)"
            ),
        ),
        ({"reads_per_second": True}, "reads_per_second must be positive and at most 1,000,000, or None, not True"),
        (
            {"reads_per_second": 10**5000},
            "reads_per_second must be positive and at most 1,000,000, or None, not a very large int",
        ),
        (
            {"max_concurrency": -(10**5000)},
            "max_concurrency must be an integer from 1, 'auto' or None, not a very large int",
        ),
        ({"reads_per_second": 9.3e18}, "reads_per_second must be positive and at most 1,000,000, or None, not 9.3e+18"),
        ({"writes_per_second": 0.0}, "writes_per_second must be positive and at most 1,000,000, or None, not 0.0"),
        (
            {"writes_per_second": float("nan")},
            "writes_per_second must be positive and at most 1,000,000, or None, not nan",
        ),
    ],
)
def test_a_refusal_names_the_bound_what_it_must_be_and_what_it_was(bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        RateLimiter(**bounds)
    assert str(caught.value) == message


@pytest.mark.parametrize("bounds", [(1, 0.001, 0.001), (1_000_000, 1_000_000, 1_000_000)])
async def test_bounds_may_be_very_small_and_very_large(bounds: tuple[int, float, float]) -> None:
    limiter = RateLimiter(*bounds)
    assert await relative_starts(limiter, 1) == await relative_starts(limiter, 1, write=True) == [0]
    assert limiter.max_concurrency == bounds[0]


def test_a_limiter_may_be_used_in_one_loop_after_the_other() -> None:
    limiter = RateLimiter(1, None, None)

    async def use() -> None:
        async with limiter.read():
            await asyncio.sleep(0)

    asyncio.run(use())
    asyncio.run(use())


def test_a_limiter_in_use_in_another_loop_says_what_to_do() -> None:
    limiter = RateLimiter(1, None, None)

    async def hold() -> None:
        async with limiter.read():
            await asyncio.to_thread(asyncio.run, use_elsewhere())

    async def use_elsewhere() -> None:
        with pytest.raises(ConfigurationError, match="create one limiter for each loop"):
            async with limiter.read():
                raise AssertionError("two loops had the permit")

    asyncio.run(hold())


def test_a_limiter_whose_loop_was_closed_with_waiters_in_it_says_what_to_do() -> None:
    limiter = RateLimiter(1, None, None)

    async def wait() -> None:
        async with limiter.read(), limiter.read():
            raise AssertionError("one permit was granted twice")

    loop = asyncio.new_event_loop()
    task = loop.create_task(wait())
    # Its loop is closed before it ends: it must not be collected, either.
    NEVER_ENDING.append(task)
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def use() -> None:
        with pytest.raises(ConfigurationError, match="when that one ended"):
            async with limiter.read():
                raise AssertionError("the limiter forgot who waits")

    asyncio.run(use())


async def test_a_pause_of_nothing_ends_a_pause() -> None:
    limiter = RateLimiter(1, None, None)
    limiter.pause(60)
    waiting = asyncio.ensure_future(relative_starts(limiter, 1))
    await asyncio.sleep(5)
    assert not waiting.done()
    limiter.pause(0)
    assert await waiting == pytest.approx([5], abs=0.01)
