"""The rooms that a command works on: from arguments, files and standard input."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TextIO, TypeAlias

import attrs

from roomrec_async._text import safe_text
from roomrec_async.errors import InvalidArgumentError

from .lines import LineParser
from .stdio import decode_text, open_stdin, run_in_daemon_thread

STDIN: Final = "-"
"""Stands for standard input, among rooms and files."""

OnInvalidLine: TypeAlias = Callable[[str, str], object]
"""Called with the position of a malformed line, such as ``rooms.txt:17``, and what is wrong with it."""

OnRepeated: TypeAlias = Callable[[int], object]
"""Called with how often a room was given that had been given before."""


FindRoom: TypeAlias = Callable[[str], Awaitable[str]]
"""Returns the SID of the room that a text names, by SID or unique name."""

# Files that people have beside those that can be read, by their first bytes.
_OTHER_FILES: Final = {
    b"PAR1": "is a Parquet file: give it as .csv or .jsonl",
    b"PK\x03\x04": "is a spreadsheet or an archive: save it as CSV",
    b"\x1f\x8b": "is compressed: unpack it first",
}


@attrs.frozen
class RoomSources:
    """The rooms of a command: first those of its arguments, then those in files. Each room is given once.

    Attributes:
        rooms: room SIDs, or unique names; "-" stands for those on standard input.
        files: names of files with one room per line; "-" is standard input here, too.
        allow_empty: True if there may be nothing on standard input.
    """

    rooms: Iterable[str]
    files: Iterable[str]
    allow_empty: bool = False

    @asynccontextmanager
    async def open(
        self, find_room: FindRoom, on_invalid_line: OnInvalidLine, on_repeated: OnRepeated
    ) -> AsyncGenerator[AsyncGenerator[str, None], None]:
        """Open the room SIDs for the time of a block, as those of :meth:`sids`.

        The arguments are looked up and the first room is read at once: a mistake in the input shows before anything
        is listed or written.

        Raises:
            InvalidArgumentError: an argument names no room, or several.
        """
        rooms = [room if room == STDIN else await find_room(room) for room in self.rooms]
        sources = attrs.evolve(self, rooms=rooms)
        async with aclosing(sources.sids(find_room, on_invalid_line, on_repeated)) as sids:
            first = await anext(sids, None)
            async with aclosing(prepend(first, sids)) as all_sids:
                yield all_sids

    async def sids(
        self, find_room: FindRoom, on_invalid_line: OnInvalidLine, on_repeated: OnRepeated
    ) -> AsyncGenerator[str, None]:
        """Yield the room SIDs, each once. A line is read only when its SID is asked for.

        Args:
            find_room: looks up names.
            on_invalid_line: called for each line that names no room, or several.
            on_repeated: called at the end with how often a room was given that had been given before, if any was.

        Raises:
            InvalidArgumentError: there is nothing on standard input, or a file is not text.
            OSError: a file cannot be read.
        """
        seen: set[bytes] = set()
        repeated = 0
        async with aclosing(self._all_sids(find_room, on_invalid_line)) as sids:
            async for sid in sids:
                # Half the memory of the text, and the same for both spellings.
                key = bytes.fromhex(sid[2:])
                if key in seen:
                    repeated += 1
                    continue
                seen.add(key)
                yield sid
        if repeated:
            on_repeated(repeated)

    async def _all_sids(self, find_room: FindRoom, on_invalid_line: OnInvalidLine) -> AsyncGenerator[str, None]:
        for room in self.rooms:
            if room != STDIN:
                yield room
                continue
            async with aclosing(read_sids(STDIN, find_room, on_invalid_line, self.allow_empty)) as sids:
                async for sid in sids:
                    yield sid

        for name in self.files:
            async with aclosing(read_sids(name, find_room, on_invalid_line, self.allow_empty)) as sids:
                async for sid in sids:
                    yield sid


async def prepend(first: str | None, others: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Yield the first room SID, if there is one, and the others."""
    if first is not None:
        yield first
    async for sid in others:
        yield sid


async def read_sids(
    name: str, find_room: FindRoom, on_invalid_line: OnInvalidLine, allow_empty: bool
) -> AsyncGenerator[str, None]:
    """Yield the SIDs of the rooms in a file. Blank lines, comments and malformed lines are skipped.

    Raises:
        InvalidArgumentError: the file is standard input, and nothing but blank lines is in it; or it is not text.
    """
    source = "standard input" if name == STDIN else name
    parser = LineParser()
    number = 0
    is_empty = True
    has_rooms = False
    async with aclosing(read_lines(name)) as lines:
        async for line in lines:
            number += 1
            is_empty = is_empty and not line.strip()
            # Text has no zero bytes. One among rooms is a damaged line, which costs no other room.
            if "\0" in line and not has_rooms:
                raise InvalidArgumentError(f"{safe_text(source)} is not text: give a room on each line, or CSV")
            try:
                room = parser.parse(line)
                if room is not None:
                    yield await find_room(room)
                    has_rooms = True
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
        InvalidArgumentError: it is not text.
        OSError: it cannot be opened.
    """
    if name == STDIN:
        return open_stdin()
    file = Path(name).open("rb")  # noqa: SIM115  the caller closes it
    start = file.peek(4)
    for magic, reason in _OTHER_FILES.items():
        if start.startswith(magic):
            file.close()
            raise InvalidArgumentError(f"{safe_text(name)} {reason}")
    return decode_text(file)


def format_sid_error(error: InvalidArgumentError) -> str:
    """Return why a text is not a room SID, for people who know nothing of the argument ``room_sid``."""
    return str(error).replace("room_sid", "a room SID", 1)
