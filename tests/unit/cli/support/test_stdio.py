"""Standard input and output for threads."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from roomrec_async.cli.support.stdio import open_stdin, run_in_daemon_thread
from roomrec_async.errors import InvalidArgumentError


async def test_the_result_comes_from_a_daemon_thread() -> None:
    thread = await run_in_daemon_thread(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon


async def test_an_exception_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_in_daemon_thread(lambda: 1 // 0)


async def test_the_event_loop_goes_on_while_a_function_blocks() -> None:
    released = threading.Event()
    waiting = asyncio.create_task(run_in_daemon_thread(lambda: released.wait(10)))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    released.set()
    assert await waiting


async def test_a_caller_that_is_cancelled_does_not_wait_for_the_function() -> None:
    released = threading.Event()
    waiting = asyncio.create_task(run_in_daemon_thread(lambda: released.wait(10)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
    assert not released.is_set()
    released.set()


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidArgumentError, match="standard input is closed: give rooms as arguments"):
        open_stdin()
