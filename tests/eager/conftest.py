"""The tests here run with tasks that start eagerly, within the call that creates them (Python 3.12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping


def _new_event_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Make pytest-asyncio run the tests of this folder with eager tasks."""
    return {"eager tasks": _new_event_loop}
