"""Standard input and output for threads, so that the event loop need not wait for them."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TextIO, TypeVar, cast

_Result = TypeVar("_Result")


async def run_in_daemon_thread(function: Callable[[], _Result]) -> _Result:
    """Run a function in a thread of its own, and return its result.

    Unlike with :func:`asyncio.to_thread`, the program can end while the function blocks: nothing can interrupt a read
    from a terminal or a write to a pager.
    """
    future: Future[_Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  the awaiting task gets it
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


def open_stdin() -> TextIO:
    """Return standard input as a file of its own, for :func:`run_in_daemon_thread`.

    At exit, the interpreter takes the locks of ``sys.stdin`` and ``sys.stdout``: it would crash while a thread that
    blocks holds one of them.

    Raises:
        OSError: standard input is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    # Files from Windows begin with a byte order mark.
    return reopen(sys.stdin, "r", "utf-8-sig")


def open_stdout() -> TextIO:
    """Return standard output as a file of its own; see :func:`open_stdin`."""
    return reopen(sys.stdout, "w", sys.stdout.encoding)


def reopen(stream: TextIO, mode: str, encoding: str) -> TextIO:
    """Return another file object for the descriptor of a stream."""
    # Closing the file must not close the descriptor, which belongs to the process.
    return cast("TextIO", open(stream.fileno(), mode, encoding=encoding, errors="replace", closefd=False))
