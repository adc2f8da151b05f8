"""The rate limiter on the real clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roomrec_async import RateLimiter


@pytest.mark.parametrize("seconds", [0.0, 0.01], ids=["end at once", "end after a while"])
async def test_a_start_takes_one_timer_however_many_wait_and_end_meanwhile(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    limiter = RateLimiter(None, 400, None)
    timers = 0
    call_at = loop.call_at

    def counting(when: float, callback: Any, *args: Any, **options: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += getattr(callback, "__self__", None) is limiter
        return call_at(when, callback, *args, **options)

    async def request() -> None:
        async with limiter.read():
            await asyncio.sleep(seconds)

    monkeypatch.setattr(loop, "call_at", counting)
    await asyncio.gather(*(request() for _ in range(100)))
    # Fewer where a timer was late, and more than one could start.
    assert 0 < timers <= 100
