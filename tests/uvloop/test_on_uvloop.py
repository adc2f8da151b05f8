"""What depends on the event loop most, on uvloop: cancellation, time-outs, sockets that break, threads beside it."""

from __future__ import annotations

import asyncio

import uvloop

from ..integration._media.test_download import (
    TestBrokenConnections,
    TestExpiry,
    TestFilesThatAreThere,
    TestTime,
    client,
    recording,
    store,
)
from ..integration.test_cancellation import sim, test_cancelled_at_every_await

__all__ = [
    "TestBrokenConnections",
    "TestExpiry",
    "TestFilesThatAreThere",
    "TestTime",
    "client",
    "recording",
    "sim",
    "store",
    "test_cancelled_at_every_await",
]


async def test_this_is_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
