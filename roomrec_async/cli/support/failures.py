"""Failures of rooms, recordings and input lines that do not end a command: printed on stderr and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from rich.console import Console

from roomrec_async._files import atomic_write
from roomrec_async._format import format_count
from roomrec_async._text import safe_text
from roomrec_async.errors import AuthenticationError, RoomRecError
from roomrec_async.models import RoomResult

from .errors import ExitCode, format_error
from .log import current_log, stderr_console


@attrs.define
class Failures:
    """The failures of one run.

    Attributes:
        console: standard error.
        count: number of failures.
    """

    console: Console = attrs.field(factory=stderr_console)
    count: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the run."""
        return ExitCode.FAILURE if self.count else ExitCode.SUCCESS

    def add(self, sid: str | None, error: RoomRecError) -> None:
        """Count and print the failure of a room or a recording.

        Raises:
            AuthenticationError: the error is one; every other request would be refused, too.
        """
        if isinstance(error, AuthenticationError):
            raise error
        name = safe_text(sid or "a recording without a SID")
        self.count += 1
        self._write(f"{name}: {format_error(error)}", logging.ERROR)

    def add_room(self, result: RoomResult) -> None:
        """Count and print the failure of a room."""
        if result.error is not None:
            self.add(result.room_sid, result.error)

    def add_line(self, position: str, reason: str) -> None:
        """Count and print an input line that names no room."""
        self.count += 1
        self._write(f"{safe_text(position)}: {safe_text(reason)}", logging.ERROR)

    def print_repeated(self, count: int) -> None:
        """Print how often a room was given that had been given before: that is no failure."""
        self.print(f"{format_count(count, 'repeated room')} skipped: each room is taken once")

    def print(self, line: str) -> None:
        """Print a line on stderr, above the progress if it is shown."""
        self._write(line, logging.INFO)

    def _write(self, line: str, level: int) -> None:
        current_log().write(line, level, console=self.console)

    def format_suffix(self) -> str:
        """Return the end of a summary, such as ``, 3 failed``; empty if nothing failed."""
        return f", {self.count:,} failed" if self.count else ""


@contextmanager
def write_failed_rooms(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Open the file for the SIDs of failed rooms, one per line, which appears when the block has ended.

    Yields:
        A function that adds a SID. It does nothing if the path is None.
    """
    if path is None:
        yield lambda _: None
        return
    with atomic_write(path) as file:
        yield lambda room_sid: file.write(f"{room_sid}\n".encode())
