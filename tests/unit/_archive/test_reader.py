"""Recordings read from files: what this package writes, and what is something else or damaged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roomrec_async import InvalidArgumentError, Recording
from roomrec_async._archive.reader import make_reader
from roomrec_async._tables import open_table, recording_columns, table_format

FIELDS = ("sid", "room_sid", "type", "status", "date_created", "duration", "size", "track_name")
GOOD: dict[str, Any] = {
    "sid": "RT1",
    "room_sid": "RM1",
    "type": "audio",
    "status": "completed",
    "date_created": None,
    "duration": 1,
    "size": 1,
    "track_name": None,
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = recording_columns()
    with open_table(path, columns, table_format(path)) as table:
        table.write([dict.fromkeys((column.name for column in columns), None) | row for row in rows])


@pytest.mark.parametrize("extension", ["jsonl", "JSONL", "parquet"])
def test_the_fields_that_are_asked_for_are_read(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"recordings.{extension}"
    created = {
        "date_created": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        "duration": 60,
        "size": 2**40,
        "track_name": "é \U0001f600",
    }
    # More rows than are read at once.
    write_rows(path, [GOOD | created | {"sid": f"RT{number}", "codec": "opus"} for number in range(2_500)])
    recordings = list(make_reader(path, FIELDS)())
    assert [recording.sid for recording in recordings] == [f"RT{number}" for number in range(2_500)]
    assert recordings[-1] == Recording(
        sid="RT2499",
        room_sid="RM1",
        type="audio",
        status="completed",
        date_created=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        duration=60,
        size=2**40,
        track_name="é \U0001f600",
    )


@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
def test_a_file_is_read_each_time_the_reader_is_called(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"recordings.{extension}"
    read = make_reader(path, FIELDS)
    with pytest.raises(FileNotFoundError):
        list(read())
    write_rows(path, [GOOD])
    assert list(read()) == list(read()) != []


@pytest.mark.parametrize("name", ["recordings.csv", "recordings", "jsonl", "\x1b[2J.txt"])
def test_other_extensions_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"must end in \.jsonl or \.parquet") as raised:
        make_reader(tmp_path / name, FIELDS)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "it is not JSON"),
        ("", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        (json.dumps(GOOD | {"duration": "long"}), "duration"),
        (json.dumps({name: value for name, value in GOOD.items() if name != "sid"}), "it has no sid, so"),
    ],
)
def test_a_line_that_is_not_a_recording(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n", "utf-8")
    recordings = make_reader(path, FIELDS)()
    assert next(recordings).sid == "RT1"
    with pytest.raises(InvalidArgumentError) as raised:
        next(recordings)
    assert str(raised.value).startswith(f"{path}, line 2: ")
    assert message in str(raised.value)


def test_a_row_of_parquet_that_is_not_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD | {"duration": "long"}]), path)
    with pytest.raises(InvalidArgumentError, match="row 1: "):
        list(make_reader(path, FIELDS)())
    pq.write_table(pa.table({"sid": ["RM1"], "status": ["completed"]}), path)
    with pytest.raises(InvalidArgumentError, match="it has no room_sid and no type"):
        list(make_reader(path, FIELDS)())


@pytest.mark.parametrize("content", [b"", b"PAR1\x00\x00", b"{}\n"])
def test_a_file_that_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.parquet"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError) as raised:
        list(make_reader(path, FIELDS)())
    assert str(raised.value).startswith(f"{path} cannot be read as Parquet: ")


def test_parquet_with_values_that_python_has_not(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    not_utf8 = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    # The last one begins in the year 0 in UTC.
    own = Recording(sid="RT1", date_created=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    for values in (not_utf8, pa.array([1], pa.timestamp("ns", "UTC")), pa.array([10**15], pa.duration("s")), own):
        if isinstance(values, Recording):
            write_rows(path, [attrs.asdict(values)])
        else:
            pq.write_table(pa.table({name: values if name == "sid" else [None] for name in FIELDS}), path)
        with pytest.raises(InvalidArgumentError) as raised:
            list(make_reader(path, FIELDS)())
        assert str(raised.value).startswith(f"{path} cannot be read as Parquet: ")


@pytest.mark.parametrize("position", [5, 25, 40, -12, -30, -60, -200])
def test_damaged_parquet_is_named(tmp_path: Path, position: int) -> None:
    path = tmp_path / "manifest.parquet"
    write_rows(path, [GOOD | {"sid": f"RT{number:032x}"} for number in range(50)])
    content = bytearray(path.read_bytes())
    content[position : position + 4] = bytes(~byte & 0xFF for byte in content[position : position + 4])
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError) as raised:
        list(make_reader(path, FIELDS)())
    assert str(path) in str(raised.value)


def test_maps_are_read_from_parquet_as_from_json(tmp_path: Path) -> None:
    fields = ("sid", "links", "grouping_sids")
    given = {"sid": "RT1", "links": {"media": "https://x"}, "grouping_sids": {"room_sid": "RM1", "odd": [1, None]}}
    for extension in ("jsonl", "parquet"):
        path = tmp_path / f"maps.{extension}"
        write_rows(path, [given, {"sid": "RT2"}])
        first, second = make_reader(path, fields)()
        assert (first.links, first.grouping_sids) == (given["links"], given["grouping_sids"])
        assert (second.links, second.grouping_sids) == (None, None)


@pytest.mark.parametrize("values", [["{"], ["[" * 100_000], [7]], ids=["cut", "deep", "a number"])
def test_a_map_that_is_no_json_is_named(tmp_path: Path, values: list[object]) -> None:
    path = tmp_path / "maps.parquet"
    pq.write_table(pa.table({"sid": ["RT1"], "links": values}), path)
    with pytest.raises(InvalidArgumentError, match="row 1: links is not JSON"):
        list(make_reader(path, ("sid", "links"))())
