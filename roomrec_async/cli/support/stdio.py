"""Reading and writing pipes beside the event loop, in threads that nobody waits for."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Final, Self, TextIO, TypeVar, cast

from roomrec_async._asyncio import cancel_and_wait

_Result = TypeVar("_Result")

_LINES_AHEAD: Final = 1_000


async def in_thread(function: Callable[[], _Result]) -> _Result:
    """What ``function`` returns, from a thread of its own.

    Unlike with :func:`asyncio.to_thread`, the program can end while it blocks: nobody can interrupt a read from a
    terminal or a write to a pager.
    """
    future: Future[_Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  it goes to the task that waits
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


def standard_input() -> TextIO:
    """Standard input as a file of its own, for :func:`in_thread`.

    The interpreter takes the lock of ``sys.stdin``, and that of ``sys.stdout``, when it ends: it would crash while a
    thread blocks with one of them.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    return _reopened(sys.stdin, "r", "utf-8-sig")


def standard_output() -> TextIO:
    """Standard output as a file of its own; see :func:`standard_input`."""
    return _reopened(sys.stdout, "w", sys.stdout.encoding)


def _reopened(stream: TextIO, mode: str, encoding: str) -> TextIO:
    return cast("TextIO", open(stream.fileno(), mode, encoding=encoding, errors="replace", closefd=False))


class LineWriter:
    """Standard output, line by line.

    Lines are written as they come, in a thread, and at most a thousand wait there: then whoever produces them waits,
    but the event loop does not. Requests under way do not time out because somebody reads the output in a pager.
    """

    def __init__(self) -> None:
        self._file = standard_output()
        self._lines: list[str] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, line: str) -> None:
        """Write a line, its end included.

        Raises:
            OSError: an earlier line could not be written.
        """
        if self._writing is not None and (self._writing.done() or len(self._lines) >= _LINES_AHEAD):
            await self._written()
        self._lines.append(line)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _write_all(self) -> None:
        while self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            await in_thread(partial(self._write_now, text))

    def _write_now(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            await self._written()
        elif self._writing is not None:
            await cancel_and_wait(self._writing)
