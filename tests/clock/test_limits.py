"""The rate limiter, on an event loop whose clock runs ahead: waits take no time, and are exact."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError, RateLimiter


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
