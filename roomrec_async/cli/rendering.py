"""Recordings, errors and progress as text for people. What the service sent is untrusted here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
from rich.cells import set_cell_size
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from roomrec_async.errors import APIError, RoomRecError, TransportError
from roomrec_async.models import Recording

_GAP: Final = "  "
_NOTHING: Final = "-"
_TRACK_AT_LEAST: Final = 12
_TRACK_AT_MOST: Final = 40
_BAR_AT_LEAST, _BAR_AT_MOST, _BESIDE_THE_BAR = 8, 40, 70


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
class _Column:
    title: str
    width: int
    value: Callable[[Recording], str]
    right: bool = False

    def cell(self, text: str) -> str:
        """A text in the column's width, cut or filled up; wide characters count as two."""
        if self.right:
            return text.rjust(self.width)[: self.width]
        return set_cell_size(text, self.width)


def _started(recording: Recording) -> str:
    return _instant_told(recording.date_created) if recording.date_created else _NOTHING


def _instant_told(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


# In the order of importance: a narrow terminal shows as many as fit.
_COLUMNS: Final = (
    _Column("recording", 34, lambda recording: plain(recording.sid or _NOTHING)),
    _Column("type", 5, lambda recording: plain(recording.type or _NOTHING)),
    _Column("status", 10, lambda recording: plain(recording.status or _NOTHING)),
    _Column("started (UTC)", 16, _started),
    _Column(
        "length",
        7,
        lambda recording: _NOTHING if recording.duration is None else length_told(recording.duration),
        right=True,
    ),
    _Column("size", 8, lambda recording: _NOTHING if recording.size is None else size_told(recording.size), right=True),
)


class RecordingTable:
    """Recordings as rows, one by one: nothing is kept.

    Args:
        width: how many characters fit into a line.
    """

    def __init__(self, width: int) -> None:
        self._columns = list(_fitting(width))

    def heading(self, room_sid: str) -> Text:
        """What goes above the rows of a room."""
        titles = _GAP.join(column.cell(column.title) for column in self._columns)
        return Text.assemble((f"Room {plain(room_sid)}\n", "bold"), (titles.rstrip(), "dim"))

    def row(self, recording: Recording) -> Text:
        """One recording."""
        cells = [column.cell(column.value(recording)) for column in self._columns]
        return Text(_GAP.join(cells).rstrip())


def _fitting(width: int) -> Iterator[_Column]:
    left = width
    for column in _COLUMNS:
        if left < column.width:
            return
        yield column
        left -= column.width + len(_GAP)
    if left >= _TRACK_AT_LEAST:
        yield _Column("track", min(left, _TRACK_AT_MOST), lambda recording: plain(recording.track_name or _NOTHING))


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
