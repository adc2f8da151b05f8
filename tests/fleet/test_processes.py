"""Several processes that share one account, which refuses requests over its quota."""

from __future__ import annotations

import asyncio
import sys

import pytest

from roomrec_async.integrations.redis import RedisRateLimiter
from roomrec_async.simulator import Simulator

from .conftest import LEASE, RedisServer, fleet, most_in_a_second

MAX_LATE_FRACTION = 0.01


def report(figures: str) -> None:
    """Print figures for people; pytest shows them with -s or -rP."""
    sys.stdout.write(f"\n{figures}\n")


def arrivals(simulator: Simulator) -> list[float]:
    return [request.arrived_at for request in simulator.requests]


def assert_within_the_quota(simulator: Simulator) -> None:
    """Allow for a few refusals: a request that started in time can arrive late from a process that waits for a CPU.

    It is refused and retried. On an idle machine there are none.
    """
    stats = simulator.stats
    report(f"{stats.refused} of {stats.requests} refused, {most_in_a_second(arrivals(simulator))} in one second")
    assert stats.refused <= stats.requests * MAX_LATE_FRACTION
    assert stats.peak_in_flight <= simulator.concurrency_limit


async def test_the_rate_of_an_account_is_kept_and_used(redis: RedisServer, known: str) -> None:
    async with Simulator(1, 1, reads_per_second=80, concurrency_limit=20, latency=(0.02, 0.15)) as simulator:
        before = redis.calls("evalsha")
        async with fleet(4, simulator, redis.url, seconds=5, at_once=10, name=known) as workers:
            done = await asyncio.gather(*(worker.done() for worker in workers))
        trips = redis.calls("evalsha") - before
        assert_within_the_quota(simulator)
    times = arrivals(simulator)
    used = (len(times) - 1) / (times[-1] - times[0]) / 80
    report(f"rate: {used:.1%} of the quota, by process {done}, {trips / sum(done):.2f} round trips a request")
    assert min(done) >= sum(done) / len(done) / 2


async def test_the_concurrency_of_an_account_is_kept_and_used(redis: RedisServer, known: str) -> None:
    async with Simulator(1, 1, reads_per_second=80, concurrency_limit=8, latency=0.4) as simulator:
        before = redis.calls("evalsha")
        async with fleet(
            3, simulator, redis.url, seconds=5, at_once=10, name=known, max_concurrency=8, processes=3
        ) as workers:
            done = await asyncio.gather(*(worker.done() for worker in workers))
        trips = redis.calls("evalsha") - before
        assert_within_the_quota(simulator)
    times = arrivals(simulator)
    used = len(times) * 0.4 / (times[-1] + 0.4 - times[0]) / 8
    report(f"concurrency: {used:.1%} of the quota, by process {done}, {trips / sum(done):.2f} round trips a request")
    assert min(done) >= sum(done) / len(done) / 2


async def test_the_permits_of_a_process_that_was_killed_are_free_again(redis: RedisServer, known: str) -> None:
    async with Simulator(1, 1, latency=60) as simulator:
        async with fleet(1, simulator, redis.url, seconds=60, at_once=20, name=known) as (worker,):
            async with asyncio.timeout(10):
                while redis.leases(known) < 20:
                    await asyncio.sleep(0.02)
            await worker.kill()
    assert redis.leases(known) == 20
    async with RedisRateLimiter(redis.url, name=known, lease_seconds=LEASE) as limiter:
        async with asyncio.timeout(LEASE + 1), asyncio.TaskGroup() as group:
            together = asyncio.Barrier(20)

            async def request() -> None:
                async with limiter.read():
                    await together.wait()

            for _ in range(20):
                group.create_task(request())


@pytest.mark.timeout(90)
async def test_redis_is_lost_and_comes_back_empty_in_mid_run(own_redis: RedisServer) -> None:
    own_redis.start()
    async with Simulator(1, 1, reads_per_second=80, concurrency_limit=20, latency=(0.02, 0.15)) as simulator:
        async with fleet(3, simulator, own_redis.url, seconds=17, at_once=12, name="AC", processes=3) as workers:
            await asyncio.sleep(LEASE + 1)
            with_redis = len(simulator.requests)
            own_redis.stop()
            await asyncio.sleep(LEASE + 2)
            without_redis = len(simulator.requests) - with_redis
            own_redis.start()
            done = await asyncio.gather(*(worker.done() for worker in workers))
        assert_within_the_quota(simulator)
        assert sum(done) == simulator.stats.by_status[200]
    again = arrivals(simulator)[-160:]
    used = (len(again) - 1) / (again[-1] - again[0]) / 80
    report(
        f"Redis lost: {with_redis} before, {without_redis} meanwhile, {sum(done)} in all; then {used:.1%} of the quota"
    )
    assert with_redis > 0
    assert without_redis > 0
    # The new server counts from its start: the processes returned to it, and each request needs two commands.
    assert own_redis.calls("evalsha") >= 320
