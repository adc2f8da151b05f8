"""What depends on the event loop most, on uvloop: cancellation, time-outs, sockets that break, threads beside it."""

from __future__ import annotations

import asyncio

import uvloop

from ..integration.test_cancellation import sim, test_cancelled_at_every_await
from ..integration.test_download_faults import (
    TestBrokenConnections,
    TestExpiry,
    TestFilesThatAreThere,
    TestTime,
    client,
    recording,
    store,
)

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
