"""The tests here run on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Make pytest-asyncio run the tests of this folder on uvloop."""
    return {"uvloop": uvloop.new_event_loop}
