"""Lists of records that convert to data frames and show as tables in notebooks and terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from roomrec_async._format import format_count, format_date, format_duration, format_number
from roomrec_async._text import safe_text
from roomrec_async.models import Model, Participant, Recording, Room

if TYPE_CHECKING:
    from rich.table import Table

_MAX_ROWS_SHOWN: Final = 20
_EMPTY_CELL: Final = "-"


class Records(list[Model]):
    """A list of recordings, rooms or participants that notebooks and rich show as a table.

    Example:
        >>> recordings = await client.recordings("RM...").to_list()
        >>> pandas.DataFrame(recordings)
        >>> polars.DataFrame(recordings.to_rows(), infer_schema_length=None)
        >>> rich.print(recordings)

    ``polars.DataFrame(recordings)`` has one column for each field, too, but its dates, which are in UTC, do not say so,
    and a codec of a room's that is not known yet is an error.
    """

    def to_rows(self) -> list[dict[str, object]]:
        """Return each record as a dictionary of all its fields, by the API's names.

        Dates are aware datetimes and enums strings; sizes are bytes, durations seconds, offsets milliseconds.
        """
        return [attrs.asdict(record, recurse=False, value_serializer=enum_to_str) for record in self]

    if not TYPE_CHECKING:

        @classmethod
        def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
            # Only pydantic calls this, and needs it.
            from roomrec_async._pydantic import list_schema  # noqa: PLC0415

            return list_schema(cls, source, handler, Recording | Room | Participant)

    def _repr_html_(self) -> str:
        """Return the table as HTML; Jupyter calls this."""
        # Imported late: its tables take time to load, and only notebooks need them.
        from html import escape  # noqa: PLC0415

        table = ""
        if self:
            titles = "".join(f"<th>{escape(column.title)}</th>" for column in self._columns)
            rows = "".join(
                "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
            )
            table = f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
        return f"{table}<p>{self._caption}</p>"

    def __rich__(self) -> Table:
        # Imported late: rich is an extra, and only rich itself calls this.
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        # Text, not str: rich reads a string as markup, and participants may type some.
        table = Table(caption=Text(self._caption))
        for column in self._columns:
            table.add_column(Text(column.title))
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    @property
    def _model(self) -> type[Recording | Room | Participant]:
        # An empty list does not know what it is a list of; most are of recordings.
        return type(self[0]) if self else Recording

    @property
    def _columns(self) -> tuple[_Column, ...]:
        return _COLUMNS[self._model]

    def _rows(self) -> Iterator[list[str]]:
        for record in self[:_MAX_ROWS_SHOWN]:
            yield [column.cell(record) for column in self._columns]

    @property
    def _caption(self) -> str:
        count = format_count(len(self), self._model.__name__.lower())
        if len(self) <= _MAX_ROWS_SHOWN:
            return count
        return f"the first {_MAX_ROWS_SHOWN} of {count}"


def merge_listings(earlier: Iterable[Recording], later: Sequence[Recording]) -> list[Recording]:
    """Return the recordings of two listings, each SID once: as the later listing has it where both do."""
    later_sids = {recording.sid for recording in later if recording.sid is not None}
    return [*(recording for recording in earlier if recording.sid not in later_sids), *later]


def enum_to_str(_instance: object, _field: object, value: object) -> object:
    """Return an enum's value as a plain string, and anything else as it is; for :func:`attrs.asdict`."""
    return value.value if isinstance(value, Enum) else value


class _Column(msgspec.Struct, frozen=True):
    """A column of the table.

    Attributes:
        title: heading.
        field: name of the record's attribute.
        format_value: makes text of a value that is not None.
    """

    title: str
    field: str
    format_value: Callable[[Any], str] = safe_text

    def cell(self, record: Recording | Room | Participant) -> str:
        """Return a record's text in this column."""
        value = getattr(record, self.field)
        if value is None:
            return _EMPTY_CELL
        return self.format_value(value)


_RECORDING_COLUMNS: Final = (
    _Column("sid", "sid"),
    _Column("room_sid", "room_sid"),
    _Column("type", "type"),
    _Column("status", "status"),
    _Column("date_created (UTC)", "date_created", format_date),
    _Column("duration", "duration", format_duration),
    _Column("size (bytes)", "size", format_number),
    _Column("track_name", "track_name"),
)
_ROOM_COLUMNS: Final = (
    _Column("sid", "sid"),
    _Column("status", "status"),
    _Column("date_created (UTC)", "date_created", format_date),
    _Column("duration", "duration", format_duration),
    _Column("type", "type"),
    _Column("unique_name", "unique_name"),
)
_PARTICIPANT_COLUMNS: Final = (
    _Column("sid", "sid"),
    _Column("room_sid", "room_sid"),
    _Column("status", "status"),
    _Column("start_time (UTC)", "start_time", format_date),
    _Column("end_time (UTC)", "end_time", format_date),
    _Column("duration", "duration", format_duration),
    _Column("identity", "identity"),
)
_COLUMNS: Final[Mapping[type[Recording | Room | Participant], tuple[_Column, ...]]] = {
    Recording: _RECORDING_COLUMNS,
    Room: _ROOM_COLUMNS,
    Participant: _PARTICIPANT_COLUMNS,
}
