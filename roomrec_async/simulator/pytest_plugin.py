"""Fixtures for the tests of programs that use the library.

Put ``pytest_plugins = ["roomrec_async.simulator.pytest_plugin"]`` into the top ``conftest.py``. The fixtures are plain
synchronous ones: they serve synchronous tests and those of every asyncio plugin alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .simulator import Simulator


@pytest.fixture
def room_simulator_factory() -> Iterator[Callable[[Simulator], Simulator]]:
    """Starts a simulator with settings of one's own, until the end of the test.

    ``simulator = room_simulator_factory(Simulator(rooms=3, latency=0.1))``
    """
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def room_simulator(room_simulator_factory: Callable[[Simulator], Simulator]) -> Simulator:
    """A running simulator of a new account, without quotas and without a limit of concurrency."""
    return room_simulator_factory(Simulator(reads_per_second=None, writes_per_second=None, concurrency_limit=None))


@pytest.fixture
def room_simulator_env(room_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The same, with the environment variables that lead ``RecordingsClient.from_env()`` to it."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", room_simulator.credentials.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", room_simulator.credentials.password)
    monkeypatch.delenv("TWILIO_API_KEY", raising=False)
    monkeypatch.delenv("TWILIO_API_SECRET", raising=False)
    monkeypatch.setenv("ROOMREC_BASE_URL", room_simulator.base_url)
    return room_simulator
