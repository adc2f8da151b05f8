"""Tables of records as files: JSON lines, CSV or Parquet. Everything here blocks: run it in a thread."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol, TypeAlias, cast, get_args, get_type_hints

import attrs

from ._api.codec import encode_ascii, encode_lines
from ._dates import format_iso8601
from ._files import atomic_write
from ._text import safe_repr
from ._validate import refusal
from .errors import ConfigurationError, InvalidArgumentError
from .models import Recording, Room

if TYPE_CHECKING:
    import pyarrow as pa

TableFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]

Row: TypeAlias = Mapping[str, object]
"""Values of a row by column name: those of a record's fields."""

_FORMATS: Final[tuple[TableFormat, ...]] = get_args(TableFormat)
# Rows that wait to be converted for Parquet: as a dictionary, a row takes ten times the memory that it takes in Arrow.
_ROWS_PER_BATCH: Final = 1_000
_BATCHES_PER_ROW_GROUP: Final = 10
# A spreadsheet evaluates text with one of these prefixes as a formula (CSV injection, described by OWASP).
_FORMULA_PREFIXES: Final = ("=", "+", "-", "@", "\t", "\r")
_FIELDS: Final = tuple(field.name for field in attrs.fields(Recording))
_field_values: Final = attrgetter(*_FIELDS)
_ROOM_FIELDS: Final = tuple(field.name for field in attrs.fields(Room))
_room_values: Final = attrgetter(*_ROOM_FIELDS)
# Names that applications and participants choose.
_UNTRUSTED_FIELDS: Final = ("track_name", "unique_name")
# The integers that a Parquet column of type INT64 can hold.
_INT64: Final = range(-(2**63), 2**63)


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        name: its name, and the key of its values in a row.
        kind: the type of its values; ``instant`` is ISO 8601 text with an offset, ``json`` is any JSON value.
        untrusted: True if participants choose the values.
    """

    name: str
    kind: Literal["text", "integer", "boolean", "instant", "json"]
    untrusted: bool = False


PARTICIPANT_COLUMN: Final = Column("participant_sid", "text")
"""The SID of a recording's participant, which is not a field of its own."""

ROOM_NAME_COLUMN: Final = Column("room_name", "text", untrusted=True)
"""The unique name of a recording's room, which its record does not have."""


def recording_columns() -> list[Column]:
    """Return the columns for recordings: one per field of the model, in the same order."""
    return record_columns(Recording)


def record_columns(model: type[Recording | Room]) -> list[Column]:
    """Return the columns for a model: one per field, in the same order."""
    hints = get_type_hints(model)
    return [
        Column(field.name, column_kind(hints[field.name]), untrusted=field.name in _UNTRUSTED_FIELDS)
        for field in attrs.fields(model)
    ]


def recording_row(recording: Recording) -> Row:
    """Return a recording as a row of the table with :func:`recording_columns`."""
    return dict(zip(_FIELDS, _field_values(recording), strict=True))


def record_row(record: Recording | Room) -> Row:
    """Return a record as a row of the table with :func:`record_columns`."""
    if isinstance(record, Recording):
        return recording_row(record)
    return dict(zip(_ROOM_FIELDS, _room_values(record), strict=True))


def table_format(path: Path) -> TableFormat:
    """Return the format of a table file, by the ending of its name.

    Raises:
        InvalidArgumentError: the ending is not that of a format.
        ConfigurationError: the format needs an extra that is not installed.
    """
    for name in _FORMATS:
        if path.suffix.lower() == f".{name}":
            check_formats([name])
            return name
    endings = ", ".join(f".{name}" for name in _FORMATS)
    raise InvalidArgumentError(f"a table's file must end in one of {endings}, not {safe_repr(path.name)}")


def check_formats(formats: Collection[TableFormat]) -> None:
    """Check that formats exist, and that what they need is installed.

    Raises:
        InvalidArgumentError: a format does not exist.
        ConfigurationError: a format needs an extra that is not installed.
    """
    if isinstance(formats, str) or not isinstance(formats, Collection):
        hint = ": put one format into a list" if isinstance(formats, str) else ""
        raise InvalidArgumentError(f"{refusal('the manifest', 'a list of formats', formats)}{hint}")
    for name in formats:
        if name not in _FORMATS:
            raise InvalidArgumentError(f"a table's format must be one of {', '.join(_FORMATS)}, not {safe_repr(name)}")
    if "parquet" in formats and find_spec("pyarrow") is None:
        raise ConfigurationError("Parquet needs pyarrow: pip install 'roomrec-async[parquet]'")


class TableWriter(Protocol):
    """Writes rows to an open file, in one of the formats."""

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows."""

    def finish(self) -> None:
        """Write buffered rows, and the footer if the format has one."""

    def abandon(self) -> None:
        """Stop writing: the file is about to be removed."""


@contextmanager
def open_table(path: Path, columns: Sequence[Column], file_format: TableFormat) -> Iterator[TableWriter]:
    """Open a table file that appears at ``path`` only if the block succeeds.

    In CSV, untrusted text that a spreadsheet would evaluate as a formula is prefixed with an apostrophe. In CSV and
    Parquet, a lone surrogate, which UTF-8 cannot encode, is written as its backslash escape. In Parquet, an integer of
    more than 64 bits is written as null; in JSON, a number that JSON does not have.

    Args:
        path: the file; an existing one is overwritten.
        columns: the columns.
        file_format: the format of the file.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(path) as file, write_table(file, columns, file_format) as writer:
        yield writer


@contextmanager
def write_table(
    file: BinaryIO, columns: Sequence[Column], file_format: TableFormat, metadata: Mapping[str, str] | None = None
) -> Iterator[TableWriter]:
    """Write a table to an open file, complete when the block succeeds.

    Args:
        file: the file; it stays open.
        columns: the columns.
        file_format: the format; its values are encoded as by :func:`open_table`.
        metadata: texts for the metadata of a Parquet file; the other formats have none.
    """
    writer: TableWriter
    if file_format == "parquet":
        writer = _ParquetWriter(file, columns, metadata)
    else:
        writer = _TEXT_WRITERS[file_format](file, columns)
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.abandon()
        raise


class _JsonLinesWriter:
    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]

    def write(self, rows: Iterable[Row]) -> None:
        self._file.write(encode_lines([{name: row.get(name) for name in self._names} for row in rows]))

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _CsvWriter:
    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        # The columns whose values csv would not write as they should be, each with its position.
        self._converted = [
            (position, convert)
            for position, column in enumerate(columns)
            if (convert := csv_conversion(column)) is not None
        ]
        # Unbuffered, so that nothing is left to flush when the table is abandoned.
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
        self._writer = csv.writer(self._text)
        self._writer.writerow(self._names)

    def write(self, rows: Iterable[Row]) -> None:
        self._writer.writerows(map(self._values, rows))

    def _values(self, row: Row) -> list[object]:
        values: list[object] = list(map(row.get, self._names))
        for position, convert in self._converted:
            if values[position] is not None:
                values[position] = convert(values[position])
        return values

    def finish(self) -> None:
        # Leave the file open: it is the caller's to flush and to close.
        self._text.detach()

    def abandon(self) -> None:
        pass


class _ParquetWriter:
    def __init__(self, file: BinaryIO, columns: Sequence[Column], metadata: Mapping[str, str] | None) -> None:
        import pyarrow as pa  # noqa: PLC0415  an extra
        import pyarrow.parquet as pq  # noqa: PLC0415  an extra

        types = {
            "text": pa.string(),
            "integer": pa.int64(),
            "boolean": pa.bool_(),
            "instant": pa.timestamp("us", "UTC"),
            "json": pa.string(),
        }
        self._columns = columns
        self._schema = pa.schema([(column.name, types[column.kind]) for column in columns], metadata)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        # The rows of the next batch, and the batches of the next row group.
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.append(row)
            if len(self._rows) >= _ROWS_PER_BATCH:
                self._convert_rows()
                if len(self._batches) >= _BATCHES_PER_ROW_GROUP:
                    self._write_group()

    def finish(self) -> None:
        if self._rows:
            self._convert_rows()
        if self._batches:
            self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        # An open writer writes its footer when it is garbage-collected, and prints an error if the file is closed.
        self._writer.is_open = False

    def _convert_rows(self) -> None:
        import pyarrow as pa  # noqa: PLC0415  an extra

        arrays: list[pa.Array] = []
        for column, field in zip(self._columns, self._schema, strict=True):
            arrays.append(parquet_array(column, [row.get(column.name) for row in self._rows], field.type))
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def _write_group(self) -> None:
        import pyarrow as pa  # noqa: PLC0415  an extra

        self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches.clear()


_TEXT_WRITERS: Final[Mapping[TableFormat, Callable[[BinaryIO, Sequence[Column]], TableWriter]]] = {
    "jsonl": _JsonLinesWriter,
    "csv": _CsvWriter,
}


def column_kind(hint: object) -> Literal["text", "integer", "boolean", "instant", "json"]:
    """Return the kind of column for the type hint of a field, which is a union with None."""
    alternatives = get_args(hint)
    if int in alternatives:
        return "integer"
    if bool in alternatives:
        return "boolean"
    if datetime in alternatives:
        return "instant"
    # Statuses, types and codecs are enumerations of strings.
    if any(isinstance(alternative, type) and issubclass(alternative, str) for alternative in alternatives):
        return "text"
    return "json"


def csv_conversion(column: Column) -> Callable[[object], object] | None:
    """Return what converts the values of a column for :mod:`csv`, or None if they need no conversion."""
    if column.kind in {"json", "boolean"}:
        return encode_ascii
    if column.kind == "instant":
        return csv_instant
    return disarm_formula if column.untrusted else None


def csv_instant(value: object) -> str:
    """Return a date as text."""
    return format_iso8601(cast("datetime", value))


def disarm_formula(value: object) -> object:
    """Return a value, with an apostrophe before text that a spreadsheet would evaluate as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_PREFIXES):
        return f"'{value}"
    return value


def parquet_array(column: Column, values: Sequence[object], arrow_type: pa.DataType) -> pa.Array:
    """Return the values of a column as Arrow has them."""
    import pyarrow as pa  # noqa: PLC0415  an extra

    if column.kind == "json":
        return pa.array([None if value is None else encode_ascii(value) for value in values], arrow_type)

    # Most values need no conversion, which would take longer than everything else.
    with suppress(UnicodeEncodeError, OverflowError, pa.ArrowException):
        return pa.array(values, arrow_type)
    return pa.array([parquet_value(column, value) for value in values], arrow_type)


def parquet_value(column: Column, value: object) -> object:
    """Return a value of a column, unless it is one of JSON values, as it is passed to Arrow."""
    match column.kind, value:
        case _, None:
            return None
        case "text", _:
            return str(value).encode(errors="backslashreplace")
        case "integer", int():
            return value if value in _INT64 else None
        case _:
            return value
