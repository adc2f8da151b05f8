"""Fixtures for the tests of programs that use the library.

Add ``pytest_plugins = ["roomrec_async.simulator.pytest_plugin"]`` to the top-level ``conftest.py``. The fixtures are
synchronous, so they work in synchronous tests and with every asyncio plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .simulator import Simulator


@pytest.fixture
def room_simulator_factory() -> Iterator[Callable[[Simulator], Simulator]]:
    """Return a function that starts a given simulator, which runs until the end of the test.

    ``simulator = room_simulator_factory(Simulator(rooms=3, latency=0.1))``
    """
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def room_simulator(room_simulator_factory: Callable[[Simulator], Simulator]) -> Simulator:
    """Return a running simulator of a new account, without quotas and without a concurrency limit."""
    return room_simulator_factory(Simulator(reads_per_second=None, writes_per_second=None, concurrency_limit=None))


@pytest.fixture
def room_simulator_env(room_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Return ``room_simulator``, and set the environment variables with which ``from_env()`` makes a client of it."""
    for name, value in room_simulator.environment().items():
        monkeypatch.setenv(name, value)
    return room_simulator
