"""The rooms that a command works on: from arguments, files and standard input."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
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
        allow_empty: True if there may be nothing on standard input.
    """

    rooms: Iterable[str]
    files: Iterable[str]
    allow_empty: bool = False

    @asynccontextmanager
    async def open(self, on_invalid_line: OnInvalidLine) -> AsyncGenerator[AsyncGenerator[str, None], None]:
        """Open the room SIDs for the time of a block, as those of :meth:`sids`.

        The first one is read at once: a mistake in the input shows before anything is sent or written.
        """
        async with aclosing(self.sids(on_invalid_line)) as sids:
            first = await anext(sids, None)
            async with aclosing(prepend(first, sids)) as all_sids:
                yield all_sids

    async def sids(self, on_invalid_line: OnInvalidLine) -> AsyncGenerator[str, None]:
        """Yield the room SIDs. A line is read only when its SID is asked for.

        Raises:
            InvalidArgumentError: there is nothing on standard input.
            OSError: a file cannot be read.
        """
        for room in self.rooms:
            if room != STDIN:
                yield room
                continue
            async with aclosing(read_sids(STDIN, on_invalid_line, self.allow_empty)) as sids:
                async for sid in sids:
                    yield sid

        for name in self.files:
            async with aclosing(read_sids(name, on_invalid_line, self.allow_empty)) as sids:
                async for sid in sids:
                    yield sid


async def prepend(first: str | None, others: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Yield the first room SID, if there is one, and the others."""
    if first is not None:
        yield first
    async for sid in others:
        yield sid


async def read_sids(name: str, on_invalid_line: OnInvalidLine, allow_empty: bool) -> AsyncGenerator[str, None]:
    """Yield the room SIDs in a file. Blank lines, comments and malformed lines are skipped.

    Raises:
        InvalidArgumentError: the file is standard input, and nothing but blank lines is in it.
    """
    source = "standard input" if name == STDIN else name
    number = 0
    is_empty = True
    async with aclosing(read_lines(name)) as lines:
        async for line in lines:
            number += 1
            is_empty = is_empty and not line.strip()
            sid = line.partition("#")[0].strip()
            try:
                if sid:
                    yield check_room_sid(sid)
            except InvalidArgumentError as error:
                on_invalid_line(f"{source}:{number}", format_sid_error(error))

    # So ends a pipe whose first command has failed. A comment is enough to say that there are no rooms.
    if name == STDIN and is_empty and not allow_empty:
        raise InvalidArgumentError(
            "there is nothing on standard input: if that is right, and no command before this one failed, "
            "add --allow-empty"
        )


async def read_lines(name: str) -> AsyncGenerator[str, None]:
    """Yield the lines of a file, without blocking the event loop: a pipe can take its time."""
    file = await run_in_daemon_thread(partial(open_text, name))
    while line := await run_in_daemon_thread(file.readline):
        try:
            yield line
        except GeneratorExit:
            # The reader has stopped early.
            file.close()
            raise
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
