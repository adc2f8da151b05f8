"""``--columns``, ``--wide`` and ``--sort``: which fields of records are shown, and in which order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final, TypeVar

import attrs
import click

from roomrec_async._api.codec import encode_lines
from roomrec_async._tables import PARTICIPANT_COLUMN, ROOM_NAME_COLUMN, Column, Row, record_columns, record_row
from roomrec_async._text import safe_repr
from roomrec_async.models import Recording, Room

_Command = TypeVar("_Command", bound=Callable[..., object])
_Model = TypeVar("_Model", Recording, Room)

# The titles of tables, for the fields that have other names.
_ALIASES: Final = {
    "recording": "sid",
    "room": "room_sid",
    "participant": "participant_sid",
    "track": "track_name",
    "name": "unique_name",
    "started": "date_created",
    "created": "date_created",
    "length": "duration",
}


def columns_of(model: type[Recording | Room]) -> dict[str, Column]:
    """Return all columns that can be shown of a model, by name."""
    columns = record_columns(model)
    if model is Recording:
        columns += [PARTICIPANT_COLUMN, ROOM_NAME_COLUMN]
    return {column.name: column for column in columns}


def find_column(model: type[Recording | Room], name: str) -> str:
    """Return the name of a column, given by its name or by its title in a table.

    Raises:
        BadParameter: there is none.
    """
    columns = columns_of(model)
    key = name.strip().lower()
    alias = _ALIASES.get(key, key)
    # The table of rooms has a column "room", too: its SID.
    if model is Room and alias == "room_sid":
        alias = "sid"
    for candidate in (key, alias):
        if candidate in columns:
            return candidate
    raise click.BadParameter(f"there is no column {safe_repr(name)}: choose from {', '.join(columns)}")


def column_options(model: type[Recording | Room]) -> Callable[[_Command], _Command]:
    """Return the options ``--columns``, ``--wide`` and ``--sort`` for records of a model."""

    def parse_columns(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
        if text is None:
            return None
        return tuple(dict.fromkeys(find_column(model, name) for name in text.split(",")))

    def parse_sort(_: click.Context, __: click.Parameter, text: str | None) -> SortKey | None:
        if text is None:
            return None
        name = text.removeprefix("-")
        field = find_column(model, name)
        if field == ROOM_NAME_COLUMN.name:
            raise click.BadParameter(f"{field} is looked up once the order is known: sort by room_sid")
        return SortKey(field, descending=name != text)

    def add(command: _Command) -> _Command:
        columns = click.option(
            "--columns",
            metavar="A,B,...",
            callback=parse_columns,
            help="Only these fields, in this order: in a table, JSON or a file. A wrong name lists all.",
        )
        wide = click.option("--wide", is_flag=True, help="Show all columns of a table, however wide the terminal is.")
        sort = click.option(
            "--sort",
            metavar="FIELD",
            callback=parse_sort,
            help="Sort by this field, or downwards by -FIELD. All records are held in memory for it.",
        )
        return columns(wide(sort(command)))

    return add


@attrs.frozen
class SortKey:
    """What records are sorted by.

    Attributes:
        field: name of the field.
        descending: True for the largest or latest first.
    """

    field: str
    descending: bool

    async def sort(self, records: AsyncGenerator[_Model, None]) -> AsyncGenerator[_Model, None]:
        """Yield records in order, those without a value last."""
        async with aclosing(records):
            everything = [record async for record in records]
        known = [record for record in everything if getattr(record, self.field) is not None]
        for record in sorted(known, key=self._key, reverse=self.descending):
            yield record
        for record in everything:
            if getattr(record, self.field) is None:
                yield record

    def _key(self, record: Recording | Room) -> tuple[float, str]:
        value = getattr(record, self.field)
        if isinstance(value, datetime):
            return value.timestamp(), ""
        if isinstance(value, int):
            return value, ""
        return 0, str(value).casefold()


def check_wide(wide: bool, columns: Sequence[str] | None, *, as_table: bool) -> None:
    """Check that ``--wide`` has something to widen.

    Raises:
        UsageError: it has not.
    """
    if wide and columns is not None:
        raise click.UsageError("--wide cannot be used with --columns, which are shown whatever they take")
    if wide and not as_table:
        raise click.UsageError("--wide is for a table: add --table")


def make_row(record: Recording | Room, room_name: str | None = None) -> Row:
    """Return a record as a row with the columns of :func:`columns_of`.

    Args:
        record: the record.
        room_name: the name of a recording's room, if it is known.
    """
    row = record_row(record)
    if isinstance(record, Recording):
        return {**row, PARTICIPANT_COLUMN.name: record.participant_sid, ROOM_NAME_COLUMN.name: room_name}
    return row


def format_json(record: Recording | Room, columns: Sequence[str] | None = None, room_name: str | None = None) -> str:
    """Return a record, or these columns of it, as JSON in one line, without its end."""
    if columns is None:
        return encode_lines([record]).decode().rstrip("\n")
    row = make_row(record, room_name)
    return encode_lines([{name: row[name] for name in columns}]).decode().rstrip("\n")
