"""Tables of recordings and rooms, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import attrs
from rich.cells import set_cell_size
from rich.console import Console
from rich.text import Text

from roomrec_async._format import format_date, format_duration, format_size
from roomrec_async._text import safe_text
from roomrec_async.models import Recording, Room

_Model = TypeVar("_Model", Recording, Room)

_GAP: Final = "  "
_EMPTY_CELL: Final = "-"

# Width of the last column. With less, it is left out.
_MIN_LAST_WIDTH: Final = 12
_MAX_LAST_WIDTH: Final = 40

_format_minute: Final = partial(format_date, timespec="minutes")


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        title: heading.
        field: name of the record's attribute.
        width: width in terminal cells; wide characters take two of them.
        format_value: makes text of a value that is not None.
        align_right: True for numbers.
    """

    title: str
    field: str
    width: int
    format_value: Callable[[Any], str] = safe_text
    align_right: bool = False

    def heading(self) -> str:
        """Return the title in the width of the column."""
        return self._fit(self.title)

    def cell(self, record: Recording | Room) -> str:
        """Return a record's value in the width of the column."""
        value = getattr(record, self.field)
        text = "" if value is None else self.format_value(value)
        return self._fit(text or _EMPTY_CELL)

    def _fit(self, text: str) -> str:
        # Numbers have no wide characters.
        if self.align_right:
            return text.rjust(self.width)[: self.width]
        return set_cell_size(text, self.width)


# By importance: a narrow terminal shows the first ones. The last one gets the rest of the line.
_RECORDING_COLUMNS: Final = (
    Column("recording", "sid", 34),
    Column("type", "type", 5),
    Column("status", "status", 10),
    Column("started (UTC)", "date_created", 16, _format_minute),
    Column("length", "duration", 7, format_duration, align_right=True),
    Column("size", "size", 8, format_size, align_right=True),
    Column("track", "track_name", _MAX_LAST_WIDTH),
)
_ROOM_COLUMNS: Final = (
    Column("room", "sid", 34),
    Column("status", "status", 11),
    Column("created (UTC)", "date_created", 16, _format_minute),
    Column("length", "duration", 7, format_duration, align_right=True),
    Column("type", "type", 12),
    Column("name", "unique_name", _MAX_LAST_WIDTH),
)


class Table(Generic[_Model]):
    """A table of records, formatted row by row. It keeps none of them."""

    def __init__(self, columns: Sequence[Column], width: int) -> None:
        self._columns = fit_columns(columns, width)

    @classmethod
    def for_recordings(cls, width: int) -> Table[Recording]:
        """Return a table of recordings for lines of a width."""
        return Table(_RECORDING_COLUMNS, width)

    @classmethod
    def for_rooms(cls, width: int) -> Table[Room]:
        """Return a table of rooms for lines of a width."""
        return Table(_ROOM_COLUMNS, width)

    def header(self) -> Text:
        """Return the line above the rows."""
        return join_cells((column.heading() for column in self._columns), "dim")

    def row(self, record: _Model) -> Text:
        """Return the line for a record."""
        return join_cells(column.cell(record) for column in self._columns)


def fit_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """Return those columns that fit into a width, the last one adjusted to what is left of it."""
    fitting: list[Column] = []
    left = width
    for column in columns[:-1]:
        if left < column.width:
            return fitting
        fitting.append(column)
        left -= column.width + len(_GAP)

    if left >= _MIN_LAST_WIDTH:
        last = columns[-1]
        fitting.append(attrs.evolve(last, width=min(left, last.width)))
    return fitting


def join_cells(cells: Iterable[str], style: str = "") -> Text:
    """Return the cells of a line as text."""
    return Text(_GAP.join(cells).rstrip(), style)


def room_heading(room_sid: str) -> Text:
    """Return the line above the recordings of a room."""
    return Text(f"Room {safe_text(room_sid)}", "bold")


def render_lines(console: Console, *lines: Text) -> str:
    """Return lines as they are written to a console, with their colors and ends."""
    with console.capture() as capture:
        for line in lines:
            console.print(line, soft_wrap=True)
    return capture.get()
