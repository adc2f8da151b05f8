"""The rooms that a command works on: from arguments, files and standard input."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, TextIO, TypeAlias

import attrs

from roomrec_async._validate import check_room_sid
from roomrec_async.errors import InvalidArgumentError

from .stdio import open_stdin, run_in_daemon_thread

STDIN: Final = "-"
"""Stands for standard input, among rooms and files."""

OnInvalidLine: TypeAlias = Callable[[str, str], object]
"""Called with the position of a malformed line, such as ``rooms.txt:17``, and what is wrong with it."""


@attrs.frozen
class RoomSources:
    """The rooms of a command: first those of its arguments, then those in files.

    Attributes:
        rooms: room SIDs; "-" stands for those on standard input.
        files: names of files with one room SID per line; "-" is standard input here, too.
    """

    rooms: Iterable[str]
    files: Iterable[str]

    async def sids(self, on_invalid_line: OnInvalidLine) -> AsyncGenerator[str, None]:
        """Yield the room SIDs. A line is read only when its SID is asked for."""
        for room in self.rooms:
            if room != STDIN:
                yield room
                continue
            async for sid in read_sids(STDIN, on_invalid_line):
                yield sid

        for name in self.files:
            async for sid in read_sids(name, on_invalid_line):
                yield sid


async def read_sids(name: str, on_invalid_line: OnInvalidLine) -> AsyncGenerator[str, None]:
    """Yield the room SIDs in a file. Blank lines, comments and malformed lines are skipped."""
    source = "standard input" if name == STDIN else name
    number = 0
    async for line in read_lines(name):
        number += 1
        sid = line.partition("#")[0].strip()
        try:
            if sid:
                yield check_room_sid(sid)
        except InvalidArgumentError as error:
            on_invalid_line(f"{source}:{number}", format_sid_error(error))


async def read_lines(name: str) -> AsyncGenerator[str, None]:
    """Yield the lines of a file, without blocking the event loop: a pipe can take its time."""
    file = await run_in_daemon_thread(partial(open_text, name))
    while line := await run_in_daemon_thread(file.readline):
        yield line
    # Not in a finally block: after an interruption a read may still be under way, and closing would wait for it.
    file.close()


def open_text(name: str) -> TextIO:
    """Open a file, or standard input, as text.

    Raises:
        OSError: it cannot be opened.
    """
    if name == STDIN:
        return open_stdin()
    # Files from Windows begin with a byte order mark. Other bytes than UTF-8 become a malformed line.
    return Path(name).open(encoding="utf-8-sig", errors="replace")


def format_sid_error(error: InvalidArgumentError) -> str:
    """Return why a text is not a room SID, for people who know nothing of the argument ``room_sid``."""
    return str(error).replace("room_sid", "a room SID", 1)
