"""Records as rows of a file: JSON lines, CSV or Parquet. Blocking: for threads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol, TypeAlias, get_args, get_type_hints

import attrs

from ._files import full_disk_named, whole_file
from ._text import safe_repr
from .errors import ConfigurationError, InvalidArgumentError
from .models import Recording

if TYPE_CHECKING:
    import pyarrow as pa

TableFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]

Row: TypeAlias = Mapping[str, object]
"""The values of a row by their columns' names, JSON-ready as from :func:`roomrec_async.to_dict`."""

_FORMATS: Final[tuple[TableFormat, ...]] = get_args(TableFormat)
_ROW_GROUP: Final = 10_000
# What makes a spreadsheet take a text for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_INT64: Final = range(-(2**63), 2**63)


@attrs.frozen
class Column:
    """A column.

    Attributes:
        name: its name, and the key of its values in a row.
        kind: what its values are; ``instant`` is ISO 8601 with an offset, ``json`` is any JSON value.
        untrusted: whether participants have typed them.
    """

    name: str
    kind: Literal["text", "integer", "instant", "json"]
    untrusted: bool = False


def recording_columns() -> list[Column]:
    """The columns of recordings, in the order of their fields."""
    hints = get_type_hints(Recording)
    return [
        Column(field.name, _kind(hints[field.name]), field.name == "track_name") for field in attrs.fields(Recording)
    ]


def format_of(path: Path) -> TableFormat:
    """The format that a file's name asks for.

    Raises:
        InvalidArgumentError: it asks for none.
        ConfigurationError: it needs an extra that is not installed.
    """
    for each in _FORMATS:
        if path.suffix.lower() == f".{each}":
            check_formats([each])
            return each
    endings = ", ".join(f".{each}" for each in _FORMATS)
    raise InvalidArgumentError(f"a table's file must end in one of {endings}, not {safe_repr(path.name)}")


def check_formats(formats: Collection[TableFormat]) -> None:
    """Whether these formats exist, and can be written here.

    Raises:
        InvalidArgumentError: one does not exist.
        ConfigurationError: one needs an extra that is not installed.
    """
    for each in formats:
        if each not in _FORMATS:
            raise InvalidArgumentError(f"a table's format must be one of {', '.join(_FORMATS)}, not {safe_repr(each)}")
    if "parquet" in formats and find_spec("pyarrow") is None:
        raise ConfigurationError("Parquet needs pyarrow: pip install 'roomrec-async[parquet]'")


class TableWriter(Protocol):
    """A table that is being written."""

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows."""

    def finish(self) -> None:
        """Write what is held back, and the end."""

    def abandon(self) -> None:
        """Write nothing any more."""


@contextmanager
def open_table(path: Path, columns: Sequence[Column], format: TableFormat) -> Iterator[TableWriter]:  # noqa: A002
    """A table in a file, which is in its place when the block ends well, and is not there when it does not.

    In CSV, an untrusted text that a spreadsheet would take for a formula has an apostrophe before it. In CSV and
    Parquet, half a surrogate pair, which UTF-8 cannot say, is written as its escape; in Parquet, a number of more than
    64 bits is null.

    Args:
        path: the file; one that is there is replaced.
        columns: the columns.
        format: how it is written.

    Raises:
        OSError: the file cannot be written.
    """
    with full_disk_named(path), whole_file(path) as file:
        yield from _written(_WRITERS[format](file, columns))


def _written(writer: TableWriter) -> Iterator[TableWriter]:
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.abandon()
        raise


class _JsonLines:
    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            values = {name: row.get(name) for name in self._names}
            self._file.write(json.dumps(values, separators=(",", ":")).encode() + b"\n")

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _Csv:
    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
        self._writer = csv.writer(self._text)
        self._writer.writerow([column.name for column in columns])

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._writer.writerow([_cell(column, row.get(column.name)) for column in self._columns])

    def finish(self) -> None:
        self._text.detach()

    def abandon(self) -> None:
        pass


class _Parquet:
    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        import pyarrow as pa  # noqa: PLC0415  an extra
        import pyarrow.parquet as pq  # noqa: PLC0415  an extra

        types = {"text": pa.string(), "integer": pa.int64(), "instant": pa.timestamp("us", "UTC"), "json": pa.string()}
        self._columns = columns
        self._schema = pa.schema([(column.name, types[column.kind]) for column in columns])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.append(row)
            if len(self._rows) >= _ROW_GROUP:
                self._write_group()

    def finish(self) -> None:
        if self._rows:
            self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        # It would write its end when it is collected, and complain on stderr that the file is closed.
        self._writer.is_open = False

    def _write_group(self) -> None:
        import pyarrow as pa  # noqa: PLC0415  an extra

        arrays: list[pa.Array] = [
            pa.array([_parquet_value(column, row.get(column.name)) for row in self._rows], field.type)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


_WRITERS: Final[Mapping[TableFormat, Callable[[BinaryIO, Sequence[Column]], TableWriter]]] = {
    "jsonl": _JsonLines,
    "csv": _Csv,
    "parquet": _Parquet,
}


def _kind(hint: object) -> Literal["text", "integer", "instant", "json"]:
    alternatives = get_args(hint)
    if int in alternatives:
        return "integer"
    if datetime in alternatives:
        return "instant"
    return "text" if any(isinstance(each, type) and issubclass(each, str) for each in alternatives) else "json"


def _cell(column: Column, value: object) -> object:
    if column.kind == "json" and value is not None:
        return json.dumps(value, separators=(",", ":"))
    if column.untrusted and isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _parquet_value(column: Column, value: object) -> object:
    match column.kind, value:
        case _, None:
            return None
        case "json", _:
            return json.dumps(value, separators=(",", ":"))
        case "instant", _:
            return datetime.fromisoformat(str(value))
        case "text", _:
            return str(value).encode(errors="backslashreplace")
        case _:
            return value if value in _INT64 else None
