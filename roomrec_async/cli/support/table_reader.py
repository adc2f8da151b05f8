"""Recordings out of files that this package has written: manifests of archives, and lists. Blocking."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs

from roomrec_async._api.codec import from_dict
from roomrec_async._tables import check_formats
from roomrec_async._text import safe_repr
from roomrec_async.errors import DecodeError, InvalidArgumentError, RoomRecError
from roomrec_async.models import Recording

_ROWS_AT_ONCE: Final = 1_000
# No line of a table is anywhere near that long; a file without line breaks is no table.
_LONGEST_LINE: Final = 2**24


def reader_for(path: Path, fields: Collection[str]) -> Callable[[], Iterator[Recording]]:
    """What reads the recordings in a file, one by one, with these fields only; nothing is read yet.

    Args:
        path: the file, whose name ends in ``.jsonl`` or ``.parquet``.
        fields: the fields that are of interest; the table must have them all.

    Raises:
        InvalidArgumentError: the file's name says that it is something else; or, when reading, it is.
        ConfigurationError: reading Parquet needs an extra that is not installed.
    """
    match path.suffix.lower():
        case ".jsonl":
            return lambda: _recordings(path, _json_rows(path), fields)
        case ".parquet":
            check_formats(["parquet"])
            return lambda: _recordings(path, _parquet_rows(path, fields), fields)
        case _:
            raise InvalidArgumentError(
                f"a manifest's file must end in .jsonl or .parquet, not {safe_repr(path.name)}: "
                "'roomrec archive' and 'roomrec list -o' write such files"
            )


@attrs.frozen
class _Row:
    place: str
    values: Mapping[str, object]


def _recordings(path: Path, rows: Iterable[_Row], fields: Collection[str]) -> Iterator[Recording]:
    for row in rows:
        missing = [field for field in fields if field not in row.values]
        if missing:
            raise _refused(path, row.place, f"it has no {' and no '.join(missing)}, so it is no recording")
        try:
            yield from_dict(Recording, {field: row.values[field] for field in fields})
        except DecodeError as error:
            raise _refused(path, row.place, str(error)) from None


def _json_rows(path: Path) -> Iterator[_Row]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            place = f"line {number:,}"
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                raise _refused(path, place, "it is no JSON") from None
            if not isinstance(values, dict):
                raise _refused(path, place, "it is no JSON object")
            yield _Row(place, values)


def _parquet_rows(path: Path, fields: Collection[str]) -> Iterator[_Row]:
    import pyarrow as pa  # noqa: PLC0415  an extra
    import pyarrow.parquet as pq  # noqa: PLC0415  an extra

    try:
        with pq.ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[*fields]):
                for values in batch.to_pylist():
                    number += 1
                    yield _Row(f"row {number:,}", {name: _json_value(value) for name, value in values.items()})
    except pa.ArrowException as error:
        raise InvalidArgumentError(f"{path} cannot be read as Parquet: {error}") from None


def _json_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _refused(path: Path, place: str, reason: str) -> RoomRecError:
    return InvalidArgumentError(f"{path}, {place}: {reason}")
