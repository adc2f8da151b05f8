"""Manifests of more recordings than a file has: in parts, of which only what has changed is written."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from roomrec_async import Download, InvalidArgumentError, MediaType, Recording
from roomrec_async._archive import ledger as ledger_module
from roomrec_async._archive import manifest as manifest_module
from roomrec_async._archive.kept import open_kept
from roomrec_async._archive.ledger import Ledger
from roomrec_async._archive.manifest import check_manifest, write_manifest
from roomrec_async._archive.reader import make_reader

# Parts are a tenth as large as they are, so that the tests are, too.
PART_SIZE = 100
COUNT = 230


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "TRACKING", ledger_module.TRACKING.replace("1000", str(PART_SIZE)))
    monkeypatch.setattr(ledger_module, "PART_SIZE", PART_SIZE)
    monkeypatch.setattr(manifest_module, "PART_SIZE", PART_SIZE)


def room_sid(number: int) -> str:
    return f"RM{number:032x}"


def recording(number: int) -> Recording:
    return Recording(sid=f"RT{number:032x}", room_sid=room_sid(number % 23), size=3, type=MediaType.AUDIO)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(tmp_path / "ledger.sqlite3", ".") as ledger:
        yield ledger


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


async def add(ledger: Ledger, *numbers: int) -> None:
    await ledger.add_recordings(map(recording, numbers))


async def archive_entry(ledger: Ledger, number: int) -> None:
    [entry, *_] = await ledger.next_entries(number - 1)
    await ledger.mark_archived(entry, Download(entry.sid, f"/x/{entry.sid}.mka", 3, "ab" * 32))


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a manifest, as a program that has never heard of this package reads them."""
    files = sorted(path.glob("part-*.jsonl")) if path.is_dir() else [path]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def written(directory: Path, before: dict[Path, int] | None = None) -> dict[Path, int]:
    """Return the inode of each file, of those that are not as they were before."""
    found = {path: path.stat().st_ino for path in directory.rglob("*") if path.is_file()}
    return {path: inode for path, inode in found.items() if before is None or before.get(path) != inode}


async def test_a_large_one_is_a_directory_of_parts(ledger: Ledger, archive: Path) -> None:
    await add(ledger, *range(COUNT))
    paths = await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert paths == (str(archive / "manifest.jsonl"), str(archive / "manifest.parquet"))
    assert names(archive) == ["manifest.jsonl", "manifest.parquet"]
    assert names(archive / "manifest.jsonl") == [f"part-00000{part}.jsonl" for part in range(3)]
    sids = [f"RT{number:032x}" for number in range(COUNT)]
    assert [row["sid"] for row in rows(archive / "manifest.jsonl")] == sids
    # As pandas, Spark and DuckDB read it.
    assert pq.read_table(archive / "manifest.parquet")["sid"].to_pylist() == sids
    assert ds.dataset(archive / "manifest.parquet").count_rows() == COUNT


async def test_only_parts_that_have_changed_are_written(ledger: Ledger, archive: Path) -> None:
    await add(ledger, *range(COUNT))
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    before = written(archive)
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert written(archive, before) == {}

    await add(ledger, *range(COUNT, COUNT + 10))
    await archive_entry(ledger, 5)
    await write_manifest(ledger, archive, ["jsonl"])
    changed = {archive / "manifest.jsonl" / f"part-00000{part}.jsonl" for part in (0, 2)}
    assert set(written(archive, before)) == changed
    assert [row["state"] for row in rows(archive / "manifest.jsonl")[3:6]] == ["found", "archived", "found"]
    # Another format has not been written meanwhile, and catches up.
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert set(written(archive, before)) == changed | {
        archive / "manifest.parquet" / f"part-00000{part}.parquet" for part in (0, 2)
    }
    assert ds.dataset(archive / "manifest.parquet").count_rows() == COUNT + 10


async def test_a_small_one_is_written_only_if_it_has_changed(ledger: Ledger, archive: Path) -> None:
    await add(ledger, *range(10))
    await write_manifest(ledger, archive, ["jsonl"])
    before = written(archive)
    await write_manifest(ledger, archive, ["jsonl"])
    assert written(archive, before) == {}
    await archive_entry(ledger, 3)
    await write_manifest(ledger, archive, ["jsonl"])
    assert set(written(archive, before)) == {archive / "manifest.jsonl"}
    assert rows(archive / "manifest.jsonl")[2]["state"] == "archived"


@pytest.mark.parametrize("count", [10, COUNT])
@pytest.mark.parametrize("how", ["removed", "replaced", "touched"])
async def test_what_something_else_has_changed_is_written_again(
    ledger: Ledger, archive: Path, count: int, how: str
) -> None:
    await add(ledger, *range(count))
    await write_manifest(ledger, archive, ["jsonl"])
    before = rows(archive / "manifest.jsonl")
    *_, file = sorted(path for path in archive.rglob("*.jsonl") if path.is_file())
    content = file.read_bytes()
    if how == "removed":
        file.unlink()
    else:
        file.write_bytes(b"x" * (len(content) if how == "touched" else 7))
        # Clocks of file systems are coarse.
        os.utime(file, (0, 0))
    await write_manifest(ledger, archive, ["jsonl"])
    assert rows(archive / "manifest.jsonl") == before


async def test_a_file_becomes_a_directory_when_it_grows(ledger: Ledger, archive: Path) -> None:
    await add(ledger, *range(100))
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert len(rows(archive / "manifest.jsonl")) == 100
    assert (archive / "manifest.jsonl").is_file()
    # A run that was killed has left some of it.
    (archive / ".manifest.jsonl.parts").mkdir()
    (archive / ".manifest.jsonl.parts" / ".part-000001.jsonl.0123456789abcdef.part").write_text("{")
    (archive / ".manifest.jsonl.parts" / "part-000007.jsonl").write_text("{}\n")
    await add(ledger, 100)
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert names(archive) == ["manifest.jsonl", "manifest.parquet"]
    assert len(rows(archive / "manifest.jsonl")) == ds.dataset(archive / "manifest.parquet").count_rows() == 101
    before = written(archive)
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert written(archive, before) == {}


async def test_the_file_stays_until_all_parts_are_written(
    ledger: Ledger, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(ledger, *range(5))
    await write_manifest(ledger, archive, ["jsonl"])
    before = (archive / "manifest.jsonl").read_bytes()
    await add(ledger, *range(5, COUNT))
    write_tables = manifest_module.write_tables

    async def run_out_of_space(entries: Any, files: dict[Path, Any]) -> list[int]:
        if any("part-000002" in path.name for path in files):
            raise OSError(28, "No space left on device")
        return await write_tables(entries, files)

    monkeypatch.setattr(manifest_module, "write_tables", run_out_of_space)
    with pytest.raises(OSError, match="No space"):
        await write_manifest(ledger, archive, ["jsonl"])
    assert (archive / "manifest.jsonl").read_bytes() == before
    monkeypatch.setattr(manifest_module, "write_tables", write_tables)
    await write_manifest(ledger, archive, ["jsonl"])
    assert len(rows(archive / "manifest.jsonl")) == COUNT


@pytest.mark.parametrize("count", [10, COUNT])
async def test_a_run_that_was_killed_between_two_steps_has_left_nothing_that_stops_the_next_one(
    ledger: Ledger, archive: Path, count: int
) -> None:
    # A directory whose last part was deleted, before it was removed itself.
    (archive / "manifest.jsonl").mkdir(parents=True)
    (archive / "manifest.jsonl" / ".part-000001.jsonl.0123456789abcdef.part").write_text("{")
    (archive / "manifest.jsonl" / "part-000000.jsonl").write_text("{}\n")
    (archive / "manifest.parquet").mkdir()
    check_manifest(archive / "manifest.jsonl")
    check_manifest(archive / "manifest.parquet")
    await add(ledger, *range(count))
    await write_manifest(ledger, archive, ["jsonl", "parquet"])
    assert len(rows(archive / "manifest.jsonl")) == count
    assert ds.dataset(archive / "manifest.parquet").count_rows() == count


async def test_a_directory_that_is_no_manifest_is_refused(archive: Path) -> None:
    (archive / "manifest.jsonl").mkdir(parents=True)
    (archive / "manifest.jsonl" / "notes.txt").touch()
    with pytest.raises(InvalidArgumentError, match=r"manifest\.jsonl is no regular file"):
        check_manifest(archive / "manifest.jsonl")
    assert names(archive / "manifest.jsonl") == ["notes.txt"]


async def test_the_first_parts_appear_together(ledger: Ledger, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(ledger, *range(COUNT))
    seen: list[list[str]] = []
    write_tables = manifest_module.write_tables

    async def look(entries: Any, files: dict[Path, Any]) -> list[int]:
        seen.append([name for name in names(archive) if not name.startswith(".")])
        return await write_tables(entries, files)

    monkeypatch.setattr(manifest_module, "write_tables", look)
    await write_manifest(ledger, archive, ["jsonl"])
    assert seen == [[], [], []]
    assert len(rows(archive / "manifest.jsonl")) == COUNT


async def test_a_manifest_of_an_earlier_version_is_replaced(ledger: Ledger, archive: Path) -> None:
    archive.mkdir()
    await add(ledger, *range(COUNT))
    (archive / "manifest.jsonl").write_text("".join(f'{{"sid": "RT{number}"}}\n' for number in range(COUNT)))
    await write_manifest(ledger, archive, ["jsonl"])
    assert [row["sid"] for row in rows(archive / "manifest.jsonl")] == [f"RT{number:032x}" for number in range(COUNT)]


async def test_after_the_ledger_was_lost_it_has_what_the_new_one_has(
    ledger: Ledger, archive: Path, tmp_path: Path
) -> None:
    await add(ledger, *range(COUNT))
    await write_manifest(ledger, archive, ["jsonl"])
    for count, is_file in ((120, False), (3, True)):
        async with Ledger(tmp_path / f"{count}.sqlite3", ".") as other:
            await add(other, *range(count))
            await write_manifest(other, archive, ["jsonl"])
        assert len(rows(archive / "manifest.jsonl")) == count
        assert (archive / "manifest.jsonl").is_file() is is_file


async def test_a_store_that_cannot_delete_gets_one_object(ledger: Ledger) -> None:
    class Store:
        def __init__(self) -> None:
            self.objects: dict[str, bytes] = {}
            self.writes = 0

        def location(self, name: str) -> str:
            return f"memory://{name}"

        async def size(self, name: str) -> int | None:
            return len(self.objects[name]) if name in self.objects else None

        async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
            self.objects[name] = b"".join([chunk async for chunk in chunks])
            self.writes += 1

    store = Store()
    await add(ledger, *range(COUNT))
    for _ in range(2):
        assert await write_manifest(ledger, store, ["jsonl"]) == ("memory://manifest.jsonl",)
    assert (list(store.objects), store.writes) == (["manifest.jsonl"], 1)
    assert len(store.objects["manifest.jsonl"].splitlines()) == COUNT


class TestReaders:
    @pytest.fixture
    async def kept(self, ledger: Ledger, archive: Path) -> Path:
        await add(ledger, *range(COUNT))
        for number in (8, 120, 230):
            await archive_entry(ledger, number)
        await write_manifest(ledger, archive, ["jsonl", "parquet"])
        return archive

    @pytest.mark.parametrize(
        "source", ["", "manifest.jsonl", "manifest.parquet", "manifest.jsonl/part-000000.jsonl", room_sid(7)]
    )
    async def test_what_was_kept(self, kept: Path, source: str) -> None:
        (kept / room_sid(7)).mkdir()
        (kept / room_sid(7) / f"{recording(7).sid}.mka").write_bytes(b"abc")
        room = await open_kept(kept / source, room_sid(7))
        # The seventh of 23 rooms has its recordings in all parts.
        assert len(room.recordings) == (10 if "part" not in source else 5)
        first = room.recordings[0]
        assert (first.recording, first.sha256, first.problem) == (recording(7), "ab" * 32, None)
        assert (await room.fetch(first, kept)).read_bytes() == b"abc"

    @pytest.mark.parametrize("table_format", ["jsonl", "parquet"])
    def test_recordings(self, kept: Path, table_format: str) -> None:
        read = make_reader(kept / f"manifest.{table_format}", ["sid", "size"])
        assert [each.sid for each in read()] == [f"RT{number:032x}" for number in range(COUNT)]

    def test_a_damaged_row_is_named_with_its_part(self, kept: Path) -> None:
        (kept / "manifest.jsonl" / "part-000001.jsonl").write_text("{}\n")
        with pytest.raises(ValueError, match=r"manifest\.jsonl, part-000001\.jsonl, line 1: it has no sid"):
            list(make_reader(kept / "manifest.jsonl", ["sid"])())

    def test_a_directory_without_parts_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty.jsonl").mkdir()
        with pytest.raises(ValueError, match=r"empty\.jsonl has no parts of a manifest"):
            list(make_reader(tmp_path / "empty.jsonl", ["sid"])())
