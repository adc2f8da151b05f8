"""A fleet through failures of Redis: failover, a full Redis, one that hangs, and connections that stop.

Each test prints the requests per second before, during and after; pytest shows them with -rP.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import pytest
from redis import Redis

from roomrec_async.integrations.redis import RedisRateLimiter
from roomrec_async.simulator import Simulator

from .conftest import LEASE, DelayingProxy, RedisServer, fleet, most_in_a_second

QUOTA = 80
WORKERS = 4
MAX_LATE_FRACTION = 0.01
# Of the quota of 80; a loaded machine reaches less.
ENOUGH = 0.5 * QUOTA
BEFORE = LEASE + 4
DURING = LEASE + 5
AFTER = LEASE + 6
# The last seconds of each phase, in which nothing changes any more.
SETTLED = 2.0


class Phases:
    """Measures the requests per second in the last seconds of each phase."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._began = time.monotonic()
        self.rates: list[float] = []

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds - SETTLED)
        before = len(self._simulator.requests)
        began = time.monotonic()
        await asyncio.sleep(SETTLED)
        self.rates.append((len(self._simulator.requests) - before) / (time.monotonic() - began))

    def check(self, disturbance: str) -> None:
        arrivals = [request.arrived_at for request in self._simulator.requests]
        stats = self._simulator.stats
        by_second = [
            sum(1 for arrival in arrivals if second <= arrival - arrivals[0] < second + 1)
            for second in range(int(arrivals[-1] - arrivals[0]) + 1)
        ]
        sys.stdout.write(
            f"\n{disturbance}: {', '.join(f'{rate:.0f}' for rate in self.rates)} requests/s before, during and after; "
            f"{most_in_a_second(arrivals)} in the fullest second, {stats.refused} of {stats.requests} refused\n"
            f"by second: {by_second}\n"
        )
        # A request that started in time can arrive late from a process that waits for a CPU: it is refused and retried.
        # On an idle machine there are none, and at most 80 in any second.
        assert stats.refused <= stats.requests * MAX_LATE_FRACTION


def simulator() -> Simulator:
    return Simulator(1, 1, reads_per_second=QUOTA, concurrency_limit=20, latency=(0.02, 0.1))


def total_seconds(*phases: float) -> float:
    return sum(phases) + 2


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["the old primary stays as a replica", "the old primary dies"])
async def test_failover_behind_one_address(way: str) -> None:
    primary, replica = RedisServer(), RedisServer()
    for server in (primary, replica):
        server.start()
    replica.follow(primary)
    try:
        async with simulator() as sim, DelayingProxy(primary.port) as address:
            async with fleet(
                WORKERS, sim, address.url, seconds=total_seconds(BEFORE, DURING, AFTER), at_once=12, name="AC"
            ):
                phases = Phases(sim)
                await phases.wait(BEFORE)
                replica.promote()
                if way.endswith("dies"):
                    primary.stop()
                else:
                    primary.follow(replica)
                # The address does not lead to the new primary at once.
                await phases.wait(DURING)
                address.target = replica.port
                await phases.wait(AFTER)
            phases.check(f"failover, {way}")
    finally:
        primary.stop()
        replica.stop()
    assert phases.rates[0] >= ENOUGH
    # Four of ten parts, of which each uses nine tenths, are 29 requests per second.
    assert 0.1 * QUOTA <= phases.rates[1] <= 0.4 * QUOTA
    assert phases.rates[2] >= ENOUGH


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_full_redis(own_redis: RedisServer) -> None:
    own_redis.start()
    async with simulator() as sim:
        async with fleet(
            WORKERS, sim, own_redis.url, seconds=total_seconds(BEFORE, DURING, AFTER), at_once=12, name="AC"
        ):
            phases = Phases(sim)
            await phases.wait(BEFORE)
            with own_redis.client() as client:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", "1")
                await phases.wait(DURING)
                client.config_set("maxmemory", "0")
            await phases.wait(AFTER)
        phases.check("full (noeviction)")
    assert 0.1 * QUOTA <= phases.rates[1] <= 0.4 * QUOTA
    assert phases.rates[2] >= ENOUGH


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_redis_that_hangs(own_redis: RedisServer) -> None:
    own_redis.start()
    async with simulator() as sim:
        async with fleet(
            WORKERS, sim, own_redis.url, seconds=total_seconds(BEFORE, DURING, AFTER), at_once=12, name="AC"
        ):
            phases = Phases(sim)
            await phases.wait(BEFORE)
            own_redis.send_signal(signal.SIGSTOP)
            await phases.wait(DURING)
            own_redis.send_signal(signal.SIGCONT)
            await phases.wait(AFTER)
        phases.check("hangs (SIGSTOP)")
    assert 0.1 * QUOTA <= phases.rates[1] <= 0.4 * QUOTA
    assert phases.rates[2] >= ENOUGH


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_redis_that_loads_its_data() -> None:
    server = RedisServer(None, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    server.start()
    try:
        async with simulator() as sim:
            async with fleet(
                WORKERS, sim, server.url, seconds=total_seconds(BEFORE, DURING, AFTER), at_once=12, name="AC"
            ):
                phases = Phases(sim)
                await phases.wait(BEFORE)
                with Redis(port=server.port, socket_timeout=60) as client:
                    # Microseconds for each key.
                    client.config_set("key-load-delay", "1000")
                    client.execute_command("DEBUG", "POPULATE", str(int(1000 * DURING)))
                    loading = asyncio.create_task(asyncio.to_thread(client.execute_command, "DEBUG", "RELOAD"))
                    await phases.wait(DURING)
                    await loading
                await phases.wait(AFTER)
            phases.check("loads its data (LOADING)")
        assert server.calls("debug") == 2
    finally:
        server.stop()
    assert 0.1 * QUOTA <= phases.rates[1] <= 0.4 * QUOTA
    assert phases.rates[2] >= ENOUGH


@pytest.mark.timeout(120)
@pytest.mark.parametrize("processes", [10, 40])
async def test_forty_processes_without_redis_stay_within_the_rate(own_redis: RedisServer, processes: int) -> None:
    own_redis.start()
    starts: list[float] = []
    in_flight: list[int] = []

    async def request_again_and_again(limiter: RedisRateLimiter) -> None:
        while True:
            async with limiter.read():
                starts.append(time.monotonic())
                in_flight.append(sum(each.in_flight for each in limiters))
                await asyncio.sleep(0.1)

    limiters = [RedisRateLimiter(own_redis.url, name="AC", processes=processes, lease_seconds=LEASE) for _ in range(40)]
    requesting = [asyncio.create_task(request_again_and_again(limiter)) for limiter in limiters for _ in range(2)]
    while len(starts) < QUOTA * 2:
        await asyncio.sleep(0.05)
    own_redis.stop()
    while not all(limiter.degraded for limiter in limiters):
        await asyncio.sleep(0.05)
    await asyncio.sleep(LEASE)
    before = len(starts)
    await asyncio.sleep(4)
    rate = (len(starts) - before) / 4
    for task in requesting:
        task.cancel()
    await asyncio.wait(requesting)
    for limiter in limiters:
        await limiter.aclose()

    sys.stdout.write(f"\n40 without Redis: {rate:.0f} requests/s, {most_in_a_second(starts)} in the fullest second\n")
    assert most_in_a_second(starts) <= QUOTA
    assert max(in_flight) <= 20
    # Parts of half a permit are turns: a quarter of the time, for the requests of the others to end.
    assert rate >= 0.15 * QUOTA


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_some_processes_lose_redis_and_others_do_not(own_redis: RedisServer) -> None:
    own_redis.start()
    async with simulator() as sim, DelayingProxy(own_redis.port) as address:
        urls = [own_redis.url, own_redis.url, address.url, address.url]
        seconds = total_seconds(BEFORE, DURING, AFTER)
        async with fleet(WORKERS, sim, urls, seconds=seconds, at_once=12, name="AC", processes=WORKERS):
            phases = Phases(sim)
            await phases.wait(BEFORE)
            address.stop()
            await phases.wait(DURING)
            address.go_on()
            await phases.wait(AFTER)
        phases.check("two of four processes lose Redis")
    assert phases.rates[1] >= ENOUGH
    assert phases.rates[2] >= ENOUGH


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_process_is_suspended_and_goes_on(own_redis: RedisServer) -> None:
    own_redis.start()
    async with simulator() as sim:
        seconds = total_seconds(BEFORE, DURING, AFTER)
        async with fleet(WORKERS, sim, own_redis.url, seconds=seconds, at_once=12, name="AC") as workers:
            phases = Phases(sim)
            await phases.wait(BEFORE)
            workers[0].process.send_signal(signal.SIGSTOP)
            await phases.wait(DURING)
            workers[0].process.send_signal(signal.SIGCONT)
            await phases.wait(AFTER)
        phases.check("one of four processes is suspended")
    assert phases.rates[1] >= ENOUGH
    assert phases.rates[2] >= ENOUGH


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("workers", "round_trip"), [(1, 0.02), (4, 0.1)])
async def test_a_distant_redis(own_redis: RedisServer, workers: int, round_trip: float) -> None:
    own_redis.start()
    async with simulator() as sim, DelayingProxy(own_redis.port, round_trip) as address:
        async with fleet(workers, sim, address.url, seconds=total_seconds(10), at_once=20, name="AC"):
            phases = Phases(sim)
            await phases.wait(10)
        phases.check(f"{workers} processes, {round_trip * 1000:g} ms to Redis")
    assert phases.rates[0] >= ENOUGH
