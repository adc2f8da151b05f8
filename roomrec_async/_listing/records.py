"""Records as a table: for data frames, for notebooks and for terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from roomrec_async.models import Model, Room

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN: Final = 20
_NOTHING: Final = "-"


class Records(list[Model]):
    """Recordings or rooms: a list, which notebooks and rich show as a table.

    Example:
        >>> recordings = await client.recordings("RM...").to_list()
        >>> pandas.DataFrame(recordings.to_rows())
        >>> polars.DataFrame(recordings.to_rows(), infer_schema_length=None)
        >>> rich.print(recordings)
    """

    def to_rows(self) -> list[dict[str, object]]:
        """Each record as a dictionary of all its fields, by the API's names.

        Dates are aware datetimes and enums strings; sizes are bytes, durations seconds, offsets milliseconds.
        """
        return [attrs.asdict(record, recurse=False, value_serializer=_plain) for record in self]

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415  it reads a table of all entities

        titles = "".join(f"<th>{escape(column.title)}</th>" for column in self._columns)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        table = f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>" if self else ""
        return f"{table}<p>{self._counted}</p>"

    def __rich__(self) -> Table:
        from rich.table import Table  # noqa: PLC0415  whoever asks for it has it
        from rich.text import Text  # noqa: PLC0415

        # Texts, and no strings: rich takes strings for markup, and participants have typed some of them.
        table = Table(caption=Text(self._counted))
        for column in self._columns:
            table.add_column(Text(column.title))
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    @property
    def _columns(self) -> tuple[_Column, ...]:
        return _OF_ROOMS if self and isinstance(self[0], Room) else _OF_RECORDINGS

    def _rows(self) -> Iterator[list[str]]:
        for record in self[:_SHOWN]:
            yield [column.told(getattr(record, column.field)) for column in self._columns]

    @property
    def _counted(self) -> str:
        what = "room" if self and isinstance(self[0], Room) else "recording"
        counted = f"{len(self):,} {what}{'' if len(self) == 1 else 's'}"
        return counted if len(self) <= _SHOWN else f"the first {_SHOWN} of {counted}"


def _plain(_: object, __: object, value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _text(value: object) -> str:
    printable = (char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(_plain(None, None, value)))
    return _NOTHING if value is None else "".join(printable)


def _instant(value: object) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else _NOTHING


def _length(value: object) -> str:
    return str(timedelta(seconds=value)) if isinstance(value, int) else _NOTHING


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _NOTHING


class _Column(msgspec.Struct, frozen=True):
    title: str
    field: str
    told: Callable[[object], str] = _text


_OF_RECORDINGS: Final = (
    _Column("sid", "sid"),
    _Column("room_sid", "room_sid"),
    _Column("type", "type"),
    _Column("status", "status"),
    _Column("date_created (UTC)", "date_created", _instant),
    _Column("duration", "duration", _length),
    _Column("size (bytes)", "size", _number),
    _Column("track_name", "track_name"),
)
_OF_ROOMS: Final = (
    _Column("sid", "sid"),
    _Column("status", "status"),
    _Column("date_created (UTC)", "date_created", _instant),
    _Column("duration", "duration", _length),
    _Column("type", "type"),
    _Column("unique_name", "unique_name"),
)
