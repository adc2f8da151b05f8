"""SIGTERM and SIGHUP: they end a command as Ctrl-C does, so that it cleans up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Final, TypeVar

_Result = TypeVar("_Result")


def available_signals(*names: str) -> tuple[signal.Signals, ...]:
    """Return those of some signals that this system has. Windows has few of them, and ends a process without any."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


_SIGNALS: Final = available_signals("SIGTERM", "SIGHUP")

# Added to the number of a signal, for the exit code: as shells have it.
_EXIT_CODE_BASE: Final = 128


class TerminatedError(KeyboardInterrupt):
    """Raised where a signal ends the command. As a KeyboardInterrupt, it is caught by nothing that catches errors."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code: int = _EXIT_CODE_BASE + number


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise in this block when a signal arrives. Not in other threads than the main one, which get no signals.

    Raises:
        TerminatedError: SIGTERM or SIGHUP arrived.
    """

    def on_signal(number: int, _: FrameType | None) -> None:
        raise TerminatedError(number)

    with handle_signals(on_signal):
        yield


@contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Call a function when a signal arrives during this block. Ignored signals, as with nohup, stay ignored."""
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = [number for number, action in previous.items() if action not in (signal.SIG_IGN, None)]
    if current_thread() is not main_thread():
        handled = []
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, previous[number])


def run_async(main: Coroutine[object, object, _Result]) -> _Result:
    """Run a coroutine, as :func:`asyncio.run` does; a signal cancels it, as Ctrl-C does.

    Raises:
        TerminatedError: SIGTERM or SIGHUP arrived, and the coroutine has ended.
    """
    received: list[int] = []
    try:
        return asyncio.run(cancel_on_signals(main, received))
    except asyncio.CancelledError:
        if received:
            raise TerminatedError(received[0]) from None
        raise


async def cancel_on_signals(main: Coroutine[object, object, _Result], received: list[int]) -> _Result:
    """Await a coroutine, cancel this task when a signal arrives, and add the signal's number to a list."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def cancel(number: int) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    # The call wakes up the loop, which may be waiting.
    with handle_signals(lambda number, _: loop.call_soon_threadsafe(cancel, number)):
        return await main
