"""Exports of a page of records, by this library and by hand.

``python -m tests.benchmarks.exports BASE_URL`` runs each of :data:`EXPORTS` several times, between two marks. By hand,
a good engineer writes what the service sent, from dictionaries; the values in the files are the same.
"""

from __future__ import annotations

import csv
import gc
import io
import json
import sys
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from roomrec_async import Recording, from_dict, to_json_lines
from roomrec_async._api.codec import decode_recordings
from roomrec_async._tables import TableFormat, recording_columns, recording_row, write_table
from tests.benchmarks.contenders import mark
from tests.benchmarks.rooms import room_sid

SIZE: Final = 1000
"""Records of the page."""

ROUNDS: Final = 3
"""How often each export runs; the first time warms up."""

Page: TypeAlias = tuple[list[Recording], list[dict[str, Any]]]
"""The records of a page, and the same as dictionaries."""

_MAPS: Final = ("links", "grouping_sids")
_DATES: Final = ("date_created", "date_deleted", "date_updated")


def table(file_format: TableFormat, recordings: Iterable[Recording]) -> bytes:
    """Return a table as the command line writes it."""
    file = io.BytesIO()
    with write_table(file, recording_columns(), file_format) as writer:
        writer.write(map(recording_row, recordings))
    return file.getvalue()


def json_lines_by_hand(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return JSON lines."""
    return b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)


def csv_by_hand(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return CSV, with the two maps as JSON."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [column.name for column in recording_columns()])
    writer.writeheader()
    for record in records:
        writer.writerow({**record, **{name: json.dumps(record[name], separators=(",", ":")) for name in _MAPS}})
    return file.getvalue().encode()


def parquet_by_hand(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return Parquet, with the two maps as JSON and with dates as timestamps."""
    kinds = {"text": pa.string(), "json": pa.string(), "integer": pa.int64(), "instant": pa.timestamp("us", "UTC")}
    schema = pa.schema([(column.name, kinds[column.kind]) for column in recording_columns()])
    rows = [
        {
            **record,
            **{name: json.dumps(record[name], separators=(",", ":")) for name in _MAPS},
            **{name: record[name] and datetime.fromisoformat(record[name]) for name in _DATES},
        }
        for record in records
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
    return file.getvalue()


EXPORTS: Final[dict[str, tuple[Callable[[list[Recording]], bytes], Callable[[list[dict[str, Any]]], bytes]]]] = {
    "JSON lines": (to_json_lines, json_lines_by_hand),
    "CSV": (partial(table, "csv"), csv_by_hand),
    "Parquet": (partial(table, "parquet"), parquet_by_hand),
}
"""Each export by this library and by hand."""


def check(ours: Mapping[str, bytes], by_hand: Mapping[str, bytes]) -> None:
    """Check that both have written the same values, but for the case of codecs, which is the service's by hand."""
    lines, lines_by_hand = (files["JSON lines"].splitlines() for files in (ours, by_hand))
    read = partial(from_dict, Recording)
    assert list(map(read, map(json.loads, lines))) == list(map(read, map(json.loads, lines_by_hand)))
    rows, rows_by_hand = (csv.reader(io.StringIO(files["CSV"].decode().upper())) for files in (ours, by_hand))
    assert list(rows) == list(rows_by_hand)
    tables = [pq.read_table(io.BytesIO(files["Parquet"])).drop_columns(["codec"]) for files in (ours, by_hand)]
    assert tables[0].equals(tables[1])


def main(base_url: str) -> None:
    with urllib.request.urlopen(f"{base_url}/v1/Rooms/{room_sid(1, SIZE)}/Recordings?PageSize={SIZE}") as response:
        body = response.read()
    recordings, records = decode_recordings(body).items, orjson.loads(body)["recordings"]
    ours: dict[str, bytes] = {}
    by_hand: dict[str, bytes] = {}
    for name, (export, export_by_hand) in EXPORTS.items():
        ours[name] = _run(partial(export, recordings))
        by_hand[name] = _run(partial(export_by_hand, records))
    check(ours, by_hand)


def _run(export: Callable[[], bytes]) -> bytes:
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS):
        mark()
        exported = export()
        mark()
    return exported


if __name__ == "__main__":
    main(sys.argv[1])
