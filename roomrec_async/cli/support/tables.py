"""Tables of recordings and rooms, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

import attrs
from rich.cells import set_cell_size
from rich.console import Console
from rich.text import Text

from roomrec_async._api.codec import encode_ascii
from roomrec_async._dates import format_iso8601
from roomrec_async._format import format_date, format_duration, format_size
from roomrec_async._text import safe_text
from roomrec_async.models import Recording, Room

_Model = TypeVar("_Model", Recording, Room)

_GAP: Final = "  "
_EMPTY_CELL: Final = "-"

# Width of a column of names. With less, it is left out.
_MIN_FLEXIBLE_WIDTH: Final = 9
_MAX_FLEXIBLE_WIDTH: Final = 40
_SID_WIDTH: Final = 34
_GENERIC_WIDTH: Final = 20
# Most names of rooms, so that one can be copied from the table.
_NAME_WIDTH: Final = 26

_format_minute: Final = partial(format_date, timespec="minutes")


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        title: heading.
        field: name of the record's attribute.
        width: width in terminal cells; wide characters take two of them. A flexible column has more of what is left
            of the line, and less where it is the last one that fits.
        format_value: makes text of a value that is not None.
        align_right: True for numbers.
        importance: 1 for the column that is shown first, where not all fit.
        is_flexible: True if the column's width depends on the line's.
        read: returns the value of a record that is not in an attribute of it.
    """

    title: str
    field: str
    width: int
    format_value: Callable[[Any], str] = safe_text
    align_right: bool = False
    importance: int = 1
    is_flexible: bool = False
    read: Callable[[Any], object] | None = None

    def heading(self) -> str:
        """Return the title in the width of the column."""
        return self._fit(self.title)

    def cell(self, record: Recording | Room) -> str:
        """Return a record's value in the width of the column."""
        value = getattr(record, self.field) if self.read is None else self.read(record)
        text = "" if value is None else self.format_value(value)
        return self._fit(text or _EMPTY_CELL)

    def _fit(self, text: str) -> str:
        # Numbers have no wide characters.
        if self.align_right:
            return text.rjust(self.width)[: self.width]
        return set_cell_size(text, self.width)


# In the order of a row. A narrow terminal shows the most important ones; tracks and names get the rest of the line.
_RECORDING_COLUMNS: Final = (
    Column("recording", "sid", 34, importance=1),
    Column("type", "type", 5, importance=2),
    Column("status", "status", 10, importance=7),
    Column("started (UTC)", "date_created", 16, _format_minute, importance=5),
    Column("length", "duration", 7, format_duration, align_right=True, importance=6),
    Column("size", "size", 8, format_size, align_right=True, importance=3),
    Column("track", "track_name", _MIN_FLEXIBLE_WIDTH, importance=4, is_flexible=True),
    Column("participant", "participant_sid", 34, importance=9),
)
_ROOM_COLUMN: Final = Column("room", "room_sid", 34, importance=8)
_ROOM_COLUMNS: Final = (
    Column("room", "sid", 34, importance=1),
    Column("status", "status", 11, importance=4),
    Column("created (UTC)", "date_created", 16, _format_minute, importance=3),
    Column("length", "duration", 7, format_duration, align_right=True, importance=5),
    Column("type", "type", 12, importance=6),
    Column("name", "unique_name", _NAME_WIDTH, importance=2, is_flexible=True),
)

_COLUMNS: Final[Mapping[type, Sequence[Column]]] = {
    Recording: (*_RECORDING_COLUMNS, _ROOM_COLUMN),
    Room: _ROOM_COLUMNS,
}


class Table(Generic[_Model]):
    """A table of records, formatted row by row. It keeps none of them.

    Args:
        columns: the columns.
        width: width of a line in terminal cells, or None to show all columns whatever they take.

    Attributes:
        left_out: titles of the columns that do not fit.
    """

    def __init__(self, columns: Sequence[Column], width: int | None) -> None:
        self._columns = fit_columns(columns, width)
        shown = {column.field for column in self._columns}
        self.left_out: list[str] = [column.title for column in columns if column.field not in shown]

    @classmethod
    def for_recordings(cls, width: int | None, *, with_room: bool = False) -> Table[Recording]:
        """Return a table of recordings for lines of a width, with a column for the room if rows are not grouped."""
        return Table((*_RECORDING_COLUMNS, _ROOM_COLUMN) if with_room else _RECORDING_COLUMNS, width)

    @classmethod
    def for_rooms(cls, width: int | None) -> Table[Room]:
        """Return a table of rooms for lines of a width."""
        return Table(_ROOM_COLUMNS, width)

    @classmethod
    def for_fields(
        cls, model: type[_Model], names: Sequence[str], readers: Mapping[str, Callable[[_Model], object]] | None = None
    ) -> Table[_Model]:
        """Return a table of these fields, whatever they take.

        Args:
            model: what the records are.
            names: the names of the fields.
            readers: by name, what returns the values of fields that are no attributes.
        """
        usual = {column.field: column for column in _COLUMNS[model]}
        columns = [usual.get(name) or generic_column(name) for name in names]
        return Table([attrs.evolve(column, read=(readers or {}).get(column.field)) for column in columns], None)

    def header(self) -> Text:
        """Return the line above the rows."""
        return join_cells((column.heading() for column in self._columns), "dim")

    def row(self, record: _Model) -> Text:
        """Return the line for a record."""
        return join_cells(column.cell(record) for column in self._columns)

    def format_left_out(self) -> str:
        """Return which columns do not fit; empty if all do."""
        if not self.left_out:
            return ""
        return f"not shown for lack of width: {', '.join(self.left_out)}"


def fit_columns(columns: Sequence[Column], width: int | None) -> list[Column]:
    """Return those columns that fit into a width, in their order, the flexible one adjusted to what is left of it."""
    if width is None:
        return [attrs.evolve(column, width=_MAX_FLEXIBLE_WIDTH) if column.is_flexible else column for column in columns]

    left = width + len(_GAP)
    widths: dict[str, int] = {}
    for column in sorted(columns, key=lambda column: column.importance):
        needed = column.width
        if column.is_flexible:
            needed = max(_MIN_FLEXIBLE_WIDTH, min(column.width, left - len(_GAP)))
        if needed + len(_GAP) <= left:
            widths[column.field] = needed
            left -= needed + len(_GAP)
    fitting = [attrs.evolve(column, width=widths[column.field]) for column in columns if column.field in widths]
    return [
        attrs.evolve(column, width=min(column.width + left, _MAX_FLEXIBLE_WIDTH)) if column.is_flexible else column
        for column in fitting
    ]


def generic_column(name: str) -> Column:
    """Return a column for a field that is usually not in a table."""
    width = _SID_WIDTH if name.endswith("sid") else max(_GENERIC_WIDTH, len(name))
    return Column(name, name, width, format_any)


def format_any(value: object) -> str:
    """Return any value of a field as text."""
    if isinstance(value, datetime):
        return format_iso8601(value)
    if isinstance(value, str):
        return safe_text(value)
    return safe_text(encode_ascii(value))


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
