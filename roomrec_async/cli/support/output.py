"""Lines on standard output, written while the event loop goes on, and beside a progress line."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.text import Text

from roomrec_async._asyncio import cancel_and_wait

from .stdio import open_stdout, run_in_daemon_thread

_MAX_QUEUED: Final = 1_000


class StdoutWriter:
    """Writes to standard output in a thread: requests do not time out because a pager waits for its user.

    At most a thousand texts are queued. Beyond that, :meth:`write` waits; the event loop never does.
    """

    def __init__(self) -> None:
        self._file = open_stdout()
        # Texts that are not yet given to a thread.
        self._queue: list[str] = []
        # Writes until the queue is empty; None while nothing was queued.
        self._task: asyncio.Task[None] | None = None

    async def write(self, text: str) -> None:
        """Write a text, such as a line with its end.

        Raises:
            OSError: an earlier text could not be written.
        """
        if self._task is not None and (self._task.done() or len(self._queue) >= _MAX_QUEUED):
            await self._flush()
        self._queue.append(text)
        if self._task is None:
            self._task = asyncio.create_task(self._write_queue())

    async def _flush(self) -> None:
        task = self._task
        self._task = None
        if task is not None:
            await task

    async def _write_queue(self) -> None:
        while self._queue:
            text = "".join(self._queue)
            self._queue.clear()
            await run_in_daemon_thread(partial(self._write_blocking, text))

    def _write_blocking(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None or isinstance(exc, Exception):
            await self._flush()
        elif self._task is not None:
            # Cancelled or interrupted: the reader may never take the rest.
            await cancel_and_wait(self._task)


class LineWriter:
    """Writes lines to standard output, for a command that shows progress meanwhile.

    Where standard output is the terminal that shows the progress, the lines appear above it.

    Args:
        console: shows the progress.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stdout: StdoutWriter | None = None
        if not console.is_terminal or not sys.stdout.isatty():
            self._stdout = StdoutWriter()

    async def write(self, line: str) -> None:
        """Write a line, given without its end.

        Raises:
            OSError: an earlier line could not be written.
        """
        if self._stdout is None:
            self._console.print(Text(line), soft_wrap=True)
        else:
            await self._stdout.write(f"{line}\n")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stdout is not None:
            await self._stdout.__aexit__(exc_type, exc, traceback)
