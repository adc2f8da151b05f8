"""Tests of what depends most on the event loop, run on uvloop: cancellation, timeouts, broken connections, threads."""

from __future__ import annotations

import asyncio

import uvloop

from ..integration._media.conftest import client, recording, store
from ..integration._media.test_download import TestCancellation, TestDeadline, TestExistingFiles, TestResume
from ..integration._media.test_locate import TestBrokenConnections, TestExpiry, TestTimeouts
from ..integration.test_cancellation import sim, test_cancelled_at_every_await

__all__ = [
    "TestBrokenConnections",
    "TestCancellation",
    "TestDeadline",
    "TestExistingFiles",
    "TestExpiry",
    "TestResume",
    "TestTimeouts",
    "client",
    "recording",
    "sim",
    "store",
    "test_cancelled_at_every_await",
]


async def test_this_is_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
