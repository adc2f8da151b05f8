"""The tests here run on an event loop whose clock runs ahead: waits take no time, and are exact."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import looptime


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes event loops with, for the tests of this folder."""
    return {"fast clock": looptime.new_event_loop}
