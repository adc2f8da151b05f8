"""The script in Redis, operation by operation: what counts once, who is missed, and what a clock set back leaves."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from importlib.resources import files
from uuid import uuid4

import attrs
import pytest
from redis.asyncio import Redis

from roomrec_async.integrations.redis.fallback import PART_USED, Part, Place
from roomrec_async.integrations.redis.settings import Limits

from .conftest import RedisServer

SCRIPT = files("roomrec_async.integrations.redis").joinpath("script.lua").read_text("utf-8")
SECOND = 1_000_000
SUFFIXES = ("", ":leases", ":seen", ":members", ":reads", ":reads:log", ":writes", ":writes:log")


@attrs.frozen
class Script:
    """The script for one limit, with operations by any member.

    Attributes:
        client: the client of Redis.
        name: the limit's name.
        concurrency: as the script takes it: -1 for a limit that adapts.
        processes: number of processes that all members expect.
    """

    client: Redis
    name: str = attrs.field(factory=lambda: uuid4().hex)
    concurrency: int = 20
    processes: int = 10

    def key(self, suffix: str) -> str:
        return f"roomrec:{{{self.name}}}{suffix}"

    async def run(
        self, operation: str, member: str, *arguments: str | int, lead: int = 15_000
    ) -> Sequence[bytes | int]:
        keys = [self.key(suffix) for suffix in SUFFIXES]
        settings = (self.concurrency, 80, 20, 3 * SECOND, self.processes)
        return await self.client.eval(SCRIPT, 8, *keys, operation, *settings, member, 5_000, lead, *arguments)

    async def open(self) -> None:
        """Let the limit be known, so that nothing waits for a lease."""
        await self.run("renew", "first")
        await self.client.hset(self.key(""), "open", 0)

    async def state(self, field: str) -> float:
        return float(await self.client.hget(self.key(""), field) or 0)

    async def keep_alive(self, members: Sequence[str], seconds: float) -> Sequence[bytes | int]:
        """Let members give signs of life, and return the last reply."""
        until = time.monotonic() + seconds
        reply: Sequence[bytes | int] = ()
        while time.monotonic() < until:
            for member in members:
                reply = await self.run("renew", member)
            await asyncio.sleep(0.2)
        return reply


async def test_a_release_that_is_sent_twice_counts_once(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client, concurrency=-1)
        await script.open()
        reply = await script.run("acquire", "one", 1, "one:1")
        start = int(reply[8])
        # With others in flight, each success raises the limit.
        expiry = (time.time() + 60) * SECOND
        await client.zadd(script.key(":leases"), {f"other:{number}": expiry for number in range(30)})
        entries, limits = [], []
        for _ in range(3):
            await script.run("release", "one", "one:1", 20_000, "accepted", 1)
            entries.append(int(await client.zscore(script.key(":reads:log"), "one:1")) - start)
            limits.append(await script.state("limit"))
    assert entries == [20_000] * 3
    assert limits == [9.0] * 3


async def test_a_request_that_never_started_can_be_withdrawn_again(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client)
        await script.open()
        await script.run("acquire", "one", 1, "one:1")
        for _ in range(2):
            await script.run("release", "one", "one:1", -1, "", 0)
            assert await client.zscore(script.key(":reads:log"), "one:1") is None
            assert await client.zcard(script.key(":leases")) == 0


@pytest.mark.parametrize(("processes", "alive", "silent"), [(10, 6, 2), (10, 20, 8), (1, 3, 2)])
async def test_the_parts_of_members_that_are_silent_are_left_alone(
    redis: RedisServer, processes: int, alive: int, silent: int
) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client, processes=processes)
        members = [f"m{number}" for number in range(alive)]
        for member in members:
            await script.run("renew", member)
        reply = await script.keep_alive(members[silent:], 2.5)
        assert await script.state("reserve") == silent
        # The others keep the number in mind that the silent ones know.
        assert reply[2] == max(processes, alive)

        if processes > alive:
            return
        # Where as many are there as before, the silent ones have been replaced.
        await script.keep_alive([*members[silent:], *(f"new{number}" for number in range(silent))], 1.5)
        assert await script.state("reserve_until") < time.time() * SECOND + SECOND / 2


async def test_members_that_leave_are_not_missed(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client, processes=2)
        members = [f"m{number}" for number in range(8)]
        for member in members:
            await script.run("renew", member)
        for member in members[:6]:
            await script.run("leave", member)
        reply = await script.keep_alive(members[6:], 2.5)
        assert (await script.state("reserve"), reply[2]) == (0, 2)


async def test_a_probe_is_no_sign_of_life(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client)
        await script.run("renew", "other")
        written = await script.state("clock")
        reply = await script.run("probe", "lost")
        assert len(reply) == 5
        assert await client.zrange(script.key(":members"), 0, -1) == [b"other"]
        # A server that cannot write refuses it.
        assert await script.state("clock") > written


@pytest.mark.parametrize(("pause", "left"), [(60 * SECOND, 59), (0, 3)])
async def test_a_pause_outlasts_a_clock_that_is_set_back(redis: RedisServer, pause: int, left: float) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client)
        await script.open()
        await script.run("pause", "one", pause)
        await client.hset(script.key(""), "clock", int(time.time() * SECOND) + SECOND)
        await script.run("renew", "one")
        assert await script.state("open") / SECOND - time.time() == pytest.approx(left, abs=0.5)


@pytest.mark.parametrize("lead", [15_000, -1], ids=["notified", "polling"])
async def test_what_one_call_does_is_bounded_by_the_waiters(redis: RedisServer, lead: int) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client)
        await script.open()
        await script.run("pause", "m0", 3 * SECOND)
        members, waiters = range(40), range(32)
        for member in members:
            names = [f"m{member}:{number}" for number in waiters]
            await script.run("acquire", f"m{member}", 16, *names, lead=lead)
        await client.hset(script.key(""), "open", 0)
        await client.config_resetstat()
        await script.run("acquire", "m39", 16, *(f"m39:{number}" for number in waiters), lead=lead)
        calls = sum(each["calls"] for each in (await client.info("commandstats")).values())
    assert calls < 2 * len(members) * len(waiters)


def fullest_second(processes: int) -> int:
    """Return the most reads that a process without Redis starts in a second, each in time or as late as it may be."""
    part = Part(Limits(None, 80, 20), None, Place(0, processes))
    chance = random.Random(processes)
    latest = min(0.499 * processes / (80 * PART_USED), 0.0499)
    starts: list[float] = []
    now = 0.0
    while now < 200:
        begins = part.next_start("read", now)
        now = part.next_start("read", begins + chance.choice([0.0, latest]))
        part.started("read", now)
        starts.append(now)
    return max(sum(start <= other < start + 1 for other in starts) for start in starts)


@pytest.mark.parametrize(("processes", "silent"), [(4, 1), (4, 2), (4, 3), (10, 5), (40, 10), (40, 39)])
async def test_those_who_are_left_and_those_who_are_silent_stay_within_the_rate(
    redis: RedisServer, processes: int, silent: int
) -> None:
    async with Redis.from_url(redis.url) as client:
        script = Script(client, processes=processes)
        members = [f"m{number}" for number in range(processes)]
        for member in members:
            await script.run("renew", member)
        await script.keep_alive(members[silent:], 2.3)
        await client.hset(script.key(""), "open", 0)
        reply = await script.run("acquire", members[-1], 1, f"{members[-1]}:1")
        # The next start is as far away as the rate asks for that is left, but for what is made up for.
        interval = await script.state("slot:read") - int(reply[8]) + 50_000
        left = round(1.01 * SECOND / interval)
    assert left >= 1
    assert left == 1 or left + silent * fullest_second(processes) <= 80
