"""Recordings, errors and progress as text for people. What the service sent is untrusted here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

import attrs
from rich.cells import set_cell_size
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from roomrec_async.errors import APIError, RoomRecError, TransportError
from roomrec_async.models import Recording, Room

_Model = TypeVar("_Model", Recording, Room)

_GAP: Final = "  "
_NOTHING: Final = "-"
_LAST_AT_LEAST: Final = 12
_LAST_AT_MOST: Final = 40
_BAR_AT_LEAST, _BAR_AT_MOST, _BESIDE_THE_BAR, _BESIDE_THE_BYTES = 8, 40, 70, 90


def plain(text: str) -> str:
    """Untrusted text without what could steer a terminal or break a line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def failure_told(error: RoomRecError) -> str:
    """Why something could not be had, in one line that leaves out what was asked for."""
    if isinstance(error, APIError):
        code = f", code {error.code}" if error.code is not None else ""
        request = f" (request id {error.request_id})" if error.request_id else ""
        hint = f"; {error.hint}" if error.hint else ""
        return plain(f"HTTP {error.status}{code}: {error.message}{request}{hint}")
    if isinstance(error, TransportError):
        return plain(f"{error.message}, after {counted(error.attempts, 'attempt')}")
    return plain(str(error))


def size_told(size: int) -> str:
    """A number of bytes, such as ``1.2 GB``."""
    return decimal(size)


def length_told(seconds: float) -> str:
    """A number of seconds as hours, minutes and seconds."""
    return str(timedelta(seconds=int(seconds)))


def hours_told(seconds: int) -> str:
    """A number of seconds as hours."""
    return f"{seconds / 3600:,.1f} h"


def pace_told(recordings: int, elapsed: float) -> str:
    """How many recordings there are after so many seconds, and how many that is a second."""
    return f"{counted(recordings, 'recording')} · {recordings / elapsed if elapsed else 0:,.0f}/s"


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural where it belongs: ``1 room``, ``1,200 rooms``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


@attrs.frozen
class _Column(Generic[_Model]):
    title: str
    width: int
    value: Callable[[_Model], str]
    right: bool = False

    def cell(self, text: str) -> str:
        """A text in the column's width, cut or filled up; wide characters count as two."""
        if self.right:
            return text.rjust(self.width)[: self.width]
        return set_cell_size(text, self.width)


def _instant_told(instant: datetime | None) -> str:
    return _NOTHING if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _or_nothing(value: int | None, told: Callable[[int], str]) -> str:
    return _NOTHING if value is None else told(value)


# In the order of importance: a narrow terminal shows as many as fit, and the last one gets what is left.
_OF_RECORDINGS: Final = (
    _Column[Recording]("recording", 34, lambda recording: plain(recording.sid or _NOTHING)),
    _Column[Recording]("type", 5, lambda recording: plain(recording.type or _NOTHING)),
    _Column[Recording]("status", 10, lambda recording: plain(recording.status or _NOTHING)),
    _Column[Recording]("started (UTC)", 16, lambda recording: _instant_told(recording.date_created)),
    _Column[Recording]("length", 7, lambda recording: _or_nothing(recording.duration, length_told), right=True),
    _Column[Recording]("size", 8, lambda recording: _or_nothing(recording.size, size_told), right=True),
    _Column[Recording]("track", _LAST_AT_MOST, lambda recording: plain(recording.track_name or _NOTHING)),
)
_OF_ROOMS: Final = (
    _Column[Room]("room", 34, lambda room: plain(room.sid or _NOTHING)),
    _Column[Room]("status", 11, lambda room: plain(room.status or _NOTHING)),
    _Column[Room]("created (UTC)", 16, lambda room: _instant_told(room.date_created)),
    _Column[Room]("length", 7, lambda room: _or_nothing(room.duration, length_told), right=True),
    _Column[Room]("type", 12, lambda room: plain(room.type or _NOTHING)),
    _Column[Room]("name", _LAST_AT_MOST, lambda room: plain(room.unique_name or _NOTHING)),
)


class Table(Generic[_Model]):
    """Records as rows, one by one: nothing is kept."""

    def __init__(self, columns: Sequence[_Column[_Model]], width: int) -> None:
        self._columns: list[_Column[_Model]] = list(_fitting(columns, width))

    @classmethod
    def of_recordings(cls, width: int) -> Table[Recording]:
        """Recordings, in lines of so many characters."""
        return Table(_OF_RECORDINGS, width)

    @classmethod
    def of_rooms(cls, width: int) -> Table[Room]:
        """Rooms, in lines of so many characters."""
        return Table(_OF_ROOMS, width)

    def titles(self) -> Text:
        """What goes above the rows."""
        return Text(_GAP.join(column.cell(column.title) for column in self._columns).rstrip(), "dim")

    def row(self, record: _Model) -> Text:
        """One record."""
        cells = [column.cell(column.value(record)) for column in self._columns]
        return Text(_GAP.join(cells).rstrip())


def _fitting(columns: Sequence[_Column[_Model]], width: int) -> Iterator[_Column[_Model]]:
    left, last = width, columns[-1]
    for column in columns[:-1]:
        if left < column.width:
            return
        yield column
        left -= column.width + len(_GAP)
    if left >= _LAST_AT_LEAST:
        yield attrs.evolve(last, width=min(left, last.width))


def room_heading(room_sid: str) -> Text:
    """What goes above the recordings of a room."""
    return Text(f"Room {plain(room_sid)}", "bold")


def rendered(console: Console, *lines: Text) -> str:
    """Lines as they are written to this console."""
    with console.capture() as capture:
        for line in lines:
            console.print(line, soft_wrap=True)
    return capture.get()


class _Told(ProgressColumn):
    """What a function says at the moment; it is given the seconds since the beginning."""

    def __init__(self, tell: Callable[[float], str]) -> None:
        super().__init__()
        self._tell = tell

    def render(self, task: Task) -> Text:
        """The text."""
        return Text(self._tell(task.elapsed or 0.0), no_wrap=True)


@contextmanager
def progress_shown(
    console: Console, tell: Callable[[float], str], *, rooms: int | None = None
) -> Iterator[Callable[[], None]]:
    """One line of progress on a terminal, gone at the end; nothing elsewhere.

    Args:
        console: where.
        tell: what the line says; it is given the seconds since the beginning.
        rooms: how many rooms there are, where that is known.

    Yields:
        What to call when one of the rooms is done.
    """
    bar = BarColumn(bar_width=max(_BAR_AT_LEAST, min(_BAR_AT_MOST, console.width - _BESIDE_THE_BAR)))
    start = (SpinnerColumn(),) if rooms is None else (bar, MofNCompleteColumn())
    progress = Progress(*start, _Told(tell), console=console, transient=True, disable=not console.is_terminal)
    with progress:
        task = progress.add_task("", total=rooms)
        yield lambda: progress.advance(task)


@contextmanager
def transfers_shown(
    console: Console, amounts: Callable[[], tuple[int, int]], tell: Callable[[float], str]
) -> Iterator[None]:
    """One line of progress for bytes on a terminal, gone at the end; nothing elsewhere.

    Args:
        console: where.
        amounts: how many bytes have arrived at the moment, and how many there are to be.
        tell: what the line says beside them; it is given the seconds since the beginning.
    """
    bar = BarColumn(bar_width=max(_BAR_AT_LEAST, min(_BAR_AT_MOST, console.width - _BESIDE_THE_BYTES)))
    columns = (bar, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), _Told(tell))
    with _Polled(amounts, *columns, console=console, transient=True, disable=not console.is_terminal):
        yield


class _Polled(Progress):
    """Progress that asks for its numbers whenever it is drawn."""

    def __init__(
        self,
        amounts: Callable[[], tuple[int, int]],
        *columns: ProgressColumn,
        console: Console,
        transient: bool,
        disable: bool,
    ) -> None:
        self._amounts = amounts
        super().__init__(*columns, console=console, transient=transient, disable=disable)
        self._bytes = self.add_task("", total=0)

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn."""
        if self.task_ids:
            completed, total = self._amounts()
            # Not by update(): to that, another total is another task, whose speed is not known yet; and a task that
            # has once reached its total is over.
            self.tasks[0].total, self.tasks[0].finished_time = total or None, None
            self.update(self._bytes, completed=completed)
        return super().get_renderables()
