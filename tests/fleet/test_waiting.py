"""What an operator sees of a limiter that waits."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from roomrec_async.integrations.redis import RedisRateLimiter

from .conftest import LEASE, RedisServer

LONG = LEASE + 2.5


async def wait_long(limiter: RedisRateLimiter) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LONG):
            await limiter.read().__aenter__()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_long_pause_is_logged_once_and_can_be_read(
    redis: RedisServer, known: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        RedisRateLimiter(redis.url, name=known, lease_seconds=LEASE) as one,
        RedisRateLimiter(redis.url, name=known, lease_seconds=LEASE) as other,
    ):
        async with one.read(), other.read():
            assert (one.paused_until, one.degraded) == (None, False)
        one.pause(LONG + 0.5)
        assert one.paused_until is not None
        assert abs(one.paused_until - datetime.now(UTC) - timedelta(seconds=LONG + 0.5)) < timedelta(seconds=0.3)
        await asyncio.gather(wait_long(one), wait_long(other))
        assert len(warnings(caplog)) == 2
        assert all("1 requests wait" in each and "paused by Retry-After" in each for each in warnings(caplog))
        await asyncio.sleep(1)


async def test_a_long_wait_for_permits_is_logged_once(
    redis: RedisServer, known: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        RedisRateLimiter(redis.url, name=f"{known}-busy", max_concurrency=1, lease_seconds=LEASE) as holder,
        RedisRateLimiter(redis.url, name=f"{known}-busy", max_concurrency=1, lease_seconds=LEASE) as other,
    ):
        async with holder.read():
            await wait_long(other)
    assert [each.rpartition(": ")[2] for each in warnings(caplog)] == ["all permits are in use"]


async def test_a_clock_that_went_back_is_noticed(
    redis: RedisServer, known: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{known}-clock"
    async with RedisRateLimiter(redis.url, name=name, lease_seconds=LEASE) as limiter:
        async with limiter.read():
            pass
        with redis.client() as client:
            # As if the server had been an hour ahead.
            hour = 3_600_000_000
            state = f"roomrec:{{{name}}}"
            for field in ("clock", "slot:read", "open"):
                client.hset(state, field, int(client.hget(state, field) or 0) + hour)
        async with asyncio.timeout(LEASE + 2), limiter.read():
            pass
        with redis.client() as client:
            assert client.hget(state, "cause") == b"clock"


async def test_degradation_can_be_read(own_redis: RedisServer) -> None:
    own_redis.start()
    async with RedisRateLimiter(own_redis.url, name="AC", lease_seconds=LEASE) as limiter:
        async with asyncio.timeout(LEASE + 2), limiter.read():
            pass
        own_redis.stop()
        async with asyncio.timeout(LEASE):
            while not limiter.degraded:
                await asyncio.sleep(0.05)
        assert limiter.paused_until is not None
        own_redis.start()
        async with asyncio.timeout(LEASE):
            while limiter.degraded:
                await asyncio.sleep(0.05)
