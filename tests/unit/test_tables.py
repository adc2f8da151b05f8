"""Tables of recordings in each format: complete or not at all, and read back as they were written."""

from __future__ import annotations

import csv
import errno
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError, Recording, from_dict
from roomrec_async._tables import (
    Column,
    Row,
    TableFormat,
    check_formats,
    open_table,
    recording_columns,
    recording_row,
    table_format,
)
from roomrec_async.models import Codec, MediaType, RecordingStatus

FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
each_format = pytest.mark.parametrize("format_", FORMATS)

COLUMNS = (
    Column("sid", "text"),
    Column("track_name", "text", untrusted=True),
    Column("size", "integer"),
    Column("created", "instant"),
    Column("links", "json"),
)
FULL: Row = {
    "sid": "RT1",
    "track_name": 'a "quoted", name\r\nof two lines \N{GRINNING FACE}',
    "size": 2**63 - 1,
    "created": datetime(2026, 3, 1, 9, 30, 0, 1, tzinfo=UTC),
    "links": {"media": None, "é": [1, 2.5, {"deep": True}]},
}
INDIA = timezone(timedelta(hours=5, minutes=30))
EMPTY: Row = dict.fromkeys(FULL)


def write(path: Path, rows: Iterable[Row], columns: Iterable[Column] = COLUMNS) -> None:
    with open_table(path, list(columns), table_format(path)) as table:
        table.write(rows)


def read(path: Path, columns: Iterable[Column] = COLUMNS) -> list[dict[str, object]]:
    """The rows of a file, with dates as aware datetimes and maps as maps."""
    kinds = {column.name: column.kind for column in columns}
    return [{name: _value(kinds[name], value) for name, value in row.items()} for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file, strict=True)]


def _value(kind: str, value: object) -> object:
    if value is None or value == "":
        return None
    if kind == "instant":
        return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return json.loads(value) if kind in ("integer", "json") and isinstance(value, str) else value


def as_read(row: Row) -> dict[str, object]:
    return {column.name: _value(column.kind, row[column.name]) for column in COLUMNS}


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@each_format
class TestEachFormat:
    def test_what_is_written_is_read(self, tmp_path: Path, format_: str) -> None:
        path = tmp_path / f"x.{format_}"
        write(path, [FULL, EMPTY, {**EMPTY, "links": {}}])
        assert read(path) == [as_read(FULL), as_read(EMPTY), as_read({**EMPTY, "links": {}})]

    def test_a_recording_survives(self, tmp_path: Path, format_: str) -> None:
        recording = Recording(
            sid="RT1",
            status=RecordingStatus("archiving\nsoon"),
            type=MediaType.VIDEO,
            codec=Codec("AV1"),
            track_name="Ångström, Ph.D.",
            size=0,
            date_created=datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            grouping_sids={"room_sid": "RM1", "odd": [None, {"x": 1}]},
        )
        path = tmp_path / f"x.{format_}"
        write(path, [recording_row(recording)], recording_columns())
        (row,) = read(path, recording_columns())
        as_json = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        assert from_dict(Recording, as_json) == recording

    def test_missing_values_and_foreign_ones(self, tmp_path: Path, format_: str) -> None:
        path = tmp_path / f"x.{format_}"
        write(path, [{"sid": "RT1", "of no column": 1}])
        assert read(path) == [{**EMPTY, "sid": "RT1"}]

    def test_rows_come_in_pieces_and_stay_in_order(self, tmp_path: Path, format_: TableFormat) -> None:
        path = tmp_path / f"x.{format_}"
        with open_table(path, COLUMNS, format_) as table:
            for start in range(0, 25_000, 1_001):
                table.write({"size": number} for number in range(start, min(start + 1_001, 25_000)))
        assert [row["size"] for row in _as_numbers(path)] == list(range(25_000))

    def test_text_that_is_not_unicode_is_written_escaped(self, tmp_path: Path, format_: str) -> None:
        path = tmp_path / f"x.{format_}"
        write(path, [{"track_name": "\ud83d\0", "links": {"\ud83d": "\ud83d"}}])
        (row,) = read(path)
        assert row["track_name"] == ("\ud83d\0" if format_ == "jsonl" else "\\ud83d\0")
        assert row["links"] == {"\ud83d": "\ud83d"}

    @pytest.mark.parametrize("text", ["", "\ud83d"])
    def test_numbers_that_json_lacks_are_null(self, tmp_path: Path, format_: str, text: str) -> None:
        path = tmp_path / f"x.{format_}"
        write(path, [{"sid": "RT1", "links": {"a": float("nan"), "b": [float("inf"), "NaN"], "c": text}}])
        (row,) = read(path)
        assert row["links"] == {"a": None, "b": [None, "NaN"], "c": text}

    def test_appears_only_when_it_is_complete(self, tmp_path: Path, format_: TableFormat) -> None:
        path = tmp_path / f"x.{format_}"
        path.write_text("of yesterday")
        with open_table(path, COLUMNS, format_) as table:
            table.write([FULL])
            assert path.read_text() == "of yesterday"
            assert len(files_in(tmp_path)) == 2
        assert read(path) == [as_read(FULL)]
        assert files_in(tmp_path) == [path.name]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
    def test_an_error_leaves_what_was_there(
        self, tmp_path: Path, format_: TableFormat, error: type[BaseException], capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / f"x.{format_}"
        path.write_text("of yesterday")
        with pytest.raises(error):
            with open_table(path, COLUMNS, format_) as table:
                table.write(FULL for _ in range(10_001))
                raise error
        # Writers that complain when they are collected would spoil the standard error of a program.
        gc.collect()
        assert (path.read_text(), files_in(tmp_path)) == ("of yesterday", [path.name])
        assert capfd.readouterr() == ("", "")

    def test_a_row_that_cannot_be_written_leaves_nothing(self, tmp_path: Path, format_: str) -> None:
        with pytest.raises((TypeError, ValueError)):
            write(tmp_path / f"x.{format_}", [FULL, {"links": object()}])
        assert files_in(tmp_path) == []

    @pytest.mark.parametrize("size", [1_000, 400_000])
    def test_a_full_disk_names_the_file_and_leaves_nothing(self, tmp_path: Path, format_: str, size: int) -> None:
        path = tmp_path / f"x.{format_}"
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", _FULL_DISK, str(path), str(size)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stderr == ""
        assert result.stdout == f"[Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}: '{path}'\n"
        assert files_in(tmp_path) == []

    def test_a_hundred_thousand_rows_need_no_more_memory_than_ten_thousand(
        self, tmp_path: Path, format_: TableFormat
    ) -> None:
        # tracemalloc does not see Arrow's memory.
        peaks, pools = [], []
        for count in (15_000, 100_000):
            tracemalloc.start()
            with open_table(tmp_path / f"x.{format_}", COLUMNS, format_) as table:
                for _ in range(count // 1_000):
                    table.write({"sid": f"RT{number}", "size": number} for number in range(1_000))
                    pools.append(pa.total_allocated_bytes())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < peaks[0] + 1_000_000
        assert max(pools) < 20_000_000


def _as_numbers(path: Path) -> Iterator[dict[str, object]]:
    for row in _rows(path):
        yield {"size": int(str(row["size"]))}


_FULL_DISK = """
import gc, os, resource, sys
from pathlib import Path
from roomrec_async._tables import Column, table_format, open_table

path, size = Path(sys.argv[1]), int(sys.argv[2])
table_format(path)
unlimited, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
try:
    with open_table(path, [Column("name", "text")], table_format(path)) as table:
        table.write({"name": os.urandom(50).hex()} for _ in range(5_000 if size < 100_000 else 50_000))
except OSError as error:
    print(error)
gc.collect()
resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, hard))
"""


class TestCsv:
    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
    def test_formulas_are_disarmed_in_what_participants_type(self, tmp_path: Path, first: str) -> None:
        write(tmp_path / "x.csv", [{"sid": f"{first}1", "track_name": f"{first}1"}])
        assert _rows(tmp_path / "x.csv")[0] == {**_texts(), "sid": f"{first}1", "track_name": f"'{first}1"}

    @pytest.mark.parametrize("name", ["", "a=1", "'=1", " =1"])
    def test_other_names_stay_as_they_are(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / "x.csv", [{"track_name": name}])
        assert _rows(tmp_path / "x.csv")[0] == {**_texts(), "track_name": name}

    def test_negative_numbers_stay_numbers(self, tmp_path: Path) -> None:
        write(tmp_path / "x.csv", [{"size": -1}])
        assert _rows(tmp_path / "x.csv")[0] == {**_texts(), "size": "-1"}

    def test_is_what_rfc_4180_says(self, tmp_path: Path) -> None:
        write(
            tmp_path / "x.csv",
            [{"sid": 'a"b,c\nd', "created": datetime(2026, 3, 1, 9, 30, tzinfo=INDIA), "links": {"a": 1}}],
        )
        assert (tmp_path / "x.csv").read_bytes() == (
            b"sid,track_name,size,created,links\r\n"
            b'"a""b,c\nd",,,2026-03-01T09:30:00+05:30,"{""a"":1}"\r\n'
        )  # fmt: skip


def _texts() -> dict[str, str]:
    return dict.fromkeys(FULL, "")


def test_json_lines_have_every_column_in_order(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", [{"links": {"é": 1}, "sid": "RT1"}])
    expected = b'{"sid":"RT1","track_name":null,"size":null,"created":null,"links":{"\xc3\xa9":1}}\n'
    assert (tmp_path / "x.jsonl").read_bytes() == expected


class TestParquet:
    @pytest.mark.parametrize("rows", [[], [EMPTY], [FULL], [EMPTY, FULL]])
    def test_the_schema_is_that_of_the_columns_whatever_the_values(self, tmp_path: Path, rows: list[Row]) -> None:
        write(tmp_path / "x.parquet", rows)
        schema = pq.read_schema(tmp_path / "x.parquet")
        assert dict(zip(schema.names, schema.types, strict=True)) == {
            "sid": pa.string(),
            "track_name": pa.string(),
            "size": pa.int64(),
            "created": pa.timestamp("us", tz="UTC"),
            "links": pa.string(),
        }
        assert all(field.nullable for field in schema)

    def test_instants_are_utc(self, tmp_path: Path) -> None:
        write(tmp_path / "x.parquet", [{"created": datetime(2026, 3, 1, 1, 30, tzinfo=INDIA)}])
        (row,) = pq.read_table(tmp_path / "x.parquet").to_pylist()
        assert row["created"] == datetime(2026, 2, 28, 20, tzinfo=UTC)

    def test_is_written_in_groups_compressed_with_dictionaries(self, tmp_path: Path) -> None:
        write(tmp_path / "x.parquet", ({"sid": "completed"} for _ in range(25_000)))
        metadata = pq.ParquetFile(tmp_path / "x.parquet").metadata
        assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [
            10_000,
            10_000,
            5000,
        ]
        column = metadata.row_group(0).column(0)
        assert column.compression == "ZSTD"
        assert "RLE_DICTIONARY" in column.encodings

    def test_rows_do_not_wait_for_a_whole_group(self, tmp_path: Path) -> None:
        class CountedRow(dict[str, object]):
            alive = 0
            most = 0

            def __init__(self) -> None:
                super().__init__(sid="completed")
                CountedRow.alive += 1
                CountedRow.most = max(CountedRow.most, CountedRow.alive)

            def __del__(self) -> None:
                CountedRow.alive -= 1

        write(tmp_path / "x.parquet", (CountedRow() for _ in range(25_000)))
        assert len(read(tmp_path / "x.parquet")) == 25_000
        assert CountedRow.most < 2000

    @pytest.mark.parametrize(
        ("number", "kept"), [(2**63 - 1, True), (-(2**63), True), (2**63, False), (-(2**63) - 1, False)]
    )
    def test_numbers_have_64_bits(self, tmp_path: Path, number: int, kept: bool) -> None:
        write(tmp_path / "x.parquet", [{"size": number}])
        assert read(tmp_path / "x.parquet")[0]["size"] == (number if kept else None)


class TestColumns:
    def test_are_the_fields_of_recordings(self) -> None:
        assert [column.name for column in recording_columns()] == [field.name for field in attrs.fields(Recording)]

    def test_have_their_kinds(self) -> None:
        kinds = {column.name: column.kind for column in recording_columns()}
        assert {name for name, kind in kinds.items() if kind == "integer"} == {"size", "duration", "offset"}
        assert {name for name, kind in kinds.items() if kind == "json"} == {"grouping_sids", "links"}
        instants = {"date_created", "date_updated", "date_deleted"}
        assert {name for name, kind in kinds.items() if kind == "instant"} == instants

    def test_participants_name_tracks(self) -> None:
        assert [column.name for column in recording_columns() if column.untrusted] == ["track_name"]


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "expected"), [("a.jsonl", "jsonl"), ("a.b.CSV", "csv"), ("/x.csv/out.Parquet", "parquet")]
    )
    def test_the_ending_decides(self, name: str, expected: str) -> None:
        assert table_format(Path(name)) == expected

    @pytest.mark.parametrize("name", ["a", "a.json", "a.csv.gz", "csv", ".csv", "-", "a.\x1b[2J"])
    def test_other_endings_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidArgumentError, match=r"must end in one of \.jsonl, \.csv, \.parquet, not") as caught:
            table_format(Path(name))
        assert "\x1b" not in str(caught.value)

    def test_unknown_ones_are_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match="must be one of jsonl, csv, parquet, not 'xlsx'"):
            check_formats(["xlsx"])

    def test_parquet_needs_its_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        for check in (lambda: table_format(Path("a.parquet")), lambda: check_formats(["csv", "parquet"])):
            with pytest.raises(ConfigurationError, match=r"pip install 'roomrec-async\[parquet\]'"):
                check()
        assert table_format(Path("a.csv")) == "csv"
