"""Read recordings from files that this package wrote: manifests of archives, and lists. Everything here blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import attrs

from roomrec_async._api.codec import from_dict
from roomrec_async._tables import check_formats, recording_columns
from roomrec_async._text import safe_repr, safe_text
from roomrec_async.errors import DecodeError, InvalidArgumentError, RoomRecError
from roomrec_async.models import Recording

from .parts import part_paths

# Rows that are converted at once, of those that Parquet keeps together.
_BATCH_SIZE: Final = 1_000

# Parquet has no type for any JSON value: these columns are text.
_JSON_COLUMNS: Final = frozenset(column.name for column in recording_columns() if column.kind == "json")

# Bytes. No line of a table comes near; a file without line breaks is not a table.
_MAX_LINE_LENGTH: Final = 2**24


def make_reader(path: Path, fields: Collection[str]) -> Callable[[], Iterator[Recording]]:
    """Return a function that yields the recordings in a file, one by one. It opens the file when it is called.

    Args:
        path: the file, whose name ends in ``.jsonl`` or ``.parquet``.
        fields: the fields to read, all of which the file must have; the others are None.

    Raises:
        InvalidArgumentError: the file has another extension; later, while reading: it holds something else.
        ConfigurationError: reading Parquet needs an extra that is not installed.
    """
    check_extension(path)
    return lambda: read_recordings(path, open_rows(path, fields), fields)


def check_extension(path: Path) -> None:
    """Check that a table can be read.

    Raises:
        InvalidArgumentError: its name does not end in ``.jsonl`` or ``.parquet``.
        ConfigurationError: reading Parquet needs an extra that is not installed.
    """
    extension = path.suffix.lower()
    if extension == ".parquet":
        check_formats(["parquet"])
    elif extension != ".jsonl":
        within = [path / name for name in ("manifest.jsonl", "manifest.parquet") if (path / name).exists()]
        instead = "'roomrec archive' and 'roomrec list -o' write such files"
        if within:
            instead = f"give {safe_text(str(within[0]))}"
        raise InvalidArgumentError(
            f"a manifest's file must end in .jsonl or .parquet, not {safe_repr(path.name)}: {instead}"
        )


def open_rows(path: Path, fields: Collection[str]) -> Iterator[Row]:
    """Return the rows of a table; of Parquet, with these fields only.

    Raises:
        InvalidArgumentError: the file has another extension; later, while reading: it holds something else.
        ConfigurationError: reading Parquet needs an extra that is not installed.
    """
    check_extension(path)
    if path.is_dir():
        return rows_of_parts(path, fields)
    if path.suffix.lower() == ".jsonl":
        return json_rows(path)
    return parquet_rows(path, fields)


def rows_of_parts(directory: Path, fields: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a table in parts, one part after another. Raises as :func:`open_rows` does."""
    paths = part_paths(directory)
    if not paths:
        raise InvalidArgumentError(f"{directory} has no parts of a manifest, such as part-000000{directory.suffix}")
    for path in paths:
        for row in open_rows(path, fields):
            yield Row(f"{path.name}, {row.position}", row.values)


@attrs.frozen
class Row:
    """A row of a file.

    Attributes:
        position: its position in the file, for messages, such as ``line 17``.
        values: its values by column name, JSON-ready.
    """

    position: str
    values: Mapping[str, object]


def read_recordings(path: Path, rows: Iterable[Row], fields: Collection[str]) -> Iterator[Recording]:
    """Yield the recordings in rows.

    Raises:
        InvalidArgumentError: a row is not a recording.
    """
    for row in rows:
        missing = [field for field in fields if field not in row.values]
        if missing:
            raise row_error(path, row.position, f"it has no {' and no '.join(missing)}, so it is not a recording")
        try:
            yield from_dict(Recording, {field: row.values[field] for field in fields})
        except DecodeError as error:
            raise row_error(path, row.position, str(error)) from None


def json_rows(path: Path) -> Iterator[Row]:
    """Yield the lines of a JSON lines file as rows.

    Raises:
        InvalidArgumentError: a line is not a JSON object.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_LENGTH), b""), 1):
            position = f"line {number:,}"
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                raise row_error(path, position, "it is not JSON") from None
            if not isinstance(values, dict):
                raise row_error(path, position, "it is not a JSON object")
            yield Row(position, values)


def parquet_rows(path: Path, fields: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a Parquet file, with those of the fields that it has.

    Raises:
        InvalidArgumentError: it is not a Parquet file, or damaged.
        OSError: the file cannot be read.
    """
    for number, values in enumerate(read_parquet(path, fields), 1):
        yield parquet_row(path, f"row {number:,}", values)


def read_parquet(path: Path, fields: Collection[str]) -> Iterator[dict[str, object]]:
    """Yield the rows of a Parquet file as Arrow has them. Raises as :func:`parquet_rows` does."""
    import pyarrow as pa  # noqa: PLC0415  an extra
    import pyarrow.parquet as pq  # noqa: PLC0415  an extra

    try:
        with path.open("rb") as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(_BATCH_SIZE, columns=[*fields]):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        # Arrow's errors for damaged data are all of these; those of the operating system have a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidArgumentError(f"{path} cannot be read as Parquet: {error}") from None


def parquet_row(path: Path, position: str, values: Mapping[str, object]) -> Row:
    """Return a row of a Parquet file with values as JSON has them.

    Raises:
        InvalidArgumentError: a column that holds JSON holds something else.
    """
    row: dict[str, object] = {}
    for name, value in values.items():
        row[name] = parse_column(path, position, name, value) if name in _JSON_COLUMNS else json_value(value)
    return Row(position, row)


def parse_column(path: Path, position: str, name: str, text: object) -> object:
    """Return the value of a column that holds JSON.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if text is None:
        return None
    try:
        return json.loads(cast("str", text))
    except (ValueError, TypeError, RecursionError):
        raise row_error(path, position, f"{name} is not JSON") from None


def json_value(value: object) -> object:
    """Return a value of a Parquet file as JSON has it: dates and times as text."""
    return value.isoformat() if isinstance(value, datetime) else value


def row_error(path: Path, position: str, reason: str) -> RoomRecError:
    """Return the error for a row that is not a recording."""
    return InvalidArgumentError(f"{path}, {position}: {reason}")
