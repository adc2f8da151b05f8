"""Waiting for what must not be left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

_Result = TypeVar("_Result")


async def over(future: asyncio.Future[_Result]) -> None:
    """Wait until it is over, whatever it ends in, and however often whoever waits is cancelled meanwhile.

    For what cannot be stopped, such as a thread, and for what must be stopped before its caller goes on.

    Raises:
        CancelledError: whoever waits was cancelled, and it is over now.
    """
    cancellation = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancellation = error
    if not future.cancelled():
        future.exception()  # or it would be reported as one that nobody looked at
    if cancellation is not None:
        raise cancellation


async def from_thread(function: Callable[[], _Result], executor: Executor | None = None) -> _Result:
    """What ``function`` returns, from a thread, by default one of the event loop's.

    Threads cannot be stopped: whoever is cancelled waits for its end.
    """
    working = asyncio.get_running_loop().run_in_executor(executor, function)
    await over(working)
    return working.result()


async def cancelled(task: asyncio.Task[_Result]) -> None:
    """Cancel a task and wait until it is over, whatever it ends in."""
    task.cancel()
    await over(task)
