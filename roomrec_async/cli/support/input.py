"""What the command line gives: rooms from arguments, files and standard input, and instants."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TextIO, TypeAlias

import attrs
import click

from roomrec_async._validate import check_room_sid
from roomrec_async.errors import InvalidArgumentError

from .stdio import in_thread, standard_input

OnRefused: TypeAlias = Callable[[str, str], object]

STANDARD_INPUT: Final = "-"

# What every command that runs the simulator can be asked for.
recordings_option: Final = click.option(
    "--recordings",
    type=click.IntRange(0),
    default=120,
    show_default=True,
    metavar="N",
    help="Recordings of a room at the most.",
)
seed_option: Final = click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Another seed, another account."
)


class Instant(click.ParamType[datetime]):
    """An ISO 8601 date and time with its time zone."""

    name = "instant"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant that a text means."""
        try:
            instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 date and time, such as 2026-03-01T09:30:00Z", param, ctx)
        if instant.utcoffset() is None:
            with_time = f"{instant.isoformat()}Z"
            self.fail(f"{value!r} has no time zone: for UTC write {with_time}, else add +02:00 or alike", param, ctx)
        return instant


def check_room(_: click.Context, __: click.Parameter, rooms: tuple[str, ...]) -> tuple[str, ...]:
    """The rooms that are named as arguments, if each is a room SID, or the sign for standard input."""
    for room in rooms:
        if room != STANDARD_INPUT:
            try:
                check_room_sid(room)
            except InvalidArgumentError as error:
                raise click.BadParameter(_reason(error), param_hint="ROOM") from None
    return rooms


def _reason(error: InvalidArgumentError) -> str:
    return str(error).replace("room_sid", "a room SID", 1)


@attrs.frozen
class RoomSources:
    """The rooms of a command, pulled one by one: first the arguments, then the files.

    Attributes:
        rooms: room SIDs; "-" stands for those on standard input.
        files: names of files with a room SID a line; "-" is standard input, too.
    """

    rooms: Iterable[str]
    files: Iterable[str]

    async def sids(self, refused: OnRefused) -> AsyncGenerator[str, None]:
        """The SIDs. No line is read before it is asked for.

        Args:
            refused: is called for each malformed line with its place, such as ``rooms.txt:17``, and what is wrong.
        """
        for room in self.rooms:
            if room != STANDARD_INPUT:
                yield room
                continue
            async for sid in _in_file(STANDARD_INPUT, refused):
                yield sid
        for name in self.files:
            async for sid in _in_file(name, refused):
                yield sid


async def _in_file(name: str, refused: OnRefused) -> AsyncGenerator[str, None]:
    place, number = "standard input" if name == STANDARD_INPUT else name, 0
    async for line in _lines(name):
        number += 1
        sid = line.partition("#")[0].strip()
        try:
            if sid:
                yield check_room_sid(sid)
        except InvalidArgumentError as error:
            refused(f"{place}:{number}", _reason(error))


async def _lines(name: str) -> AsyncGenerator[str, None]:
    file = await in_thread(partial(_opened, name))
    while line := await in_thread(file.readline):
        yield line
    # Only here: after an interruption a read may still be under way, and closing would wait for it.
    file.close()


def _opened(name: str) -> TextIO:
    if name == STANDARD_INPUT:
        return standard_input()
    return Path(name).open(encoding="utf-8-sig", errors="replace")
