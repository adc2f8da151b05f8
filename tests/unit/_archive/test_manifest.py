"""The manifest of an archive: every recording in the ledger, in a directory or in a store."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roomrec_async import Download, Recording
from roomrec_async._archive import manifest as manifest_module
from roomrec_async._archive.ledger import Ledger
from roomrec_async._archive.manifest import write_manifest

LEDGER_COLUMNS = ["state", "location", "bytes", "sha256", "etag", "archived_at", "deleted_at", "error", "unproven"]
COLUMNS = [*(field.name for field in attrs.fields(Recording)), *LEDGER_COLUMNS]


class MemoryStore:
    """Keeps objects in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.chunk_sizes: list[int] = []

    def location(self, name: str) -> str:
        return f"memory://{name}"

    async def size(self, name: str) -> int | None:
        return len(self.objects[name]) if name in self.objects else None

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        received = [chunk async for chunk in chunks]
        self.chunk_sizes = [len(chunk) for chunk in received]
        self.objects[name] = b"".join(received)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """One recording in each state that a run can end with."""
    async with Ledger(tmp_path / "ledger.sqlite3", "/archive") as ledger:
        external = Recording(sid="RT4", media_external_location="https://bucket.example/RT4")
        await ledger.add_recordings([Recording(sid="RT1", track_name="=1+1", size=3), Recording(sid="RT2")])
        await ledger.add_recordings([Recording(sid="RT3"), external])
        [archived, deleted, failed, _] = await ledger.next_entries(0)
        await ledger.mark_archived(archived, Download("RT1", "/archive/RT1.mka", 3, "digest", '"etag"'))
        await ledger.mark_archived(deleted, Download("RT2", "/archive/RT2.mka", 4, "digest 2"))
        await ledger.mark_deleted(deleted)
        await ledger.mark_failed(failed, "no key")
        yield ledger


async def test_json_lines_have_the_recording_and_the_ledgers_columns(ledger: Ledger, tmp_path: Path) -> None:
    assert await write_manifest(ledger, tmp_path, ["jsonl"]) == (str(tmp_path / "manifest.jsonl"),)
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [(row["sid"], row["state"], row["location"], row["bytes"], row["sha256"], row["error"]) for row in rows] == [
        ("RT1", "archived", "/archive/RT1.mka", 3, "digest", None),
        ("RT2", "deleted", "/archive/RT2.mka", 4, "digest 2", None),
        ("RT3", "failed", None, None, None, "no key"),
        ("RT4", "external", None, None, None, None),
    ]
    assert (rows[0]["track_name"], rows[0]["size"], rows[0]["etag"]) == ("=1+1", 3, '"etag"')
    assert [row["archived_at"] is not None for row in rows] == [True, True, False, False]
    assert [row["deleted_at"] is not None for row in rows] == [False, True, False, False]


async def test_each_format_has_the_same_recordings(ledger: Ledger, tmp_path: Path) -> None:
    expected = tuple(str(tmp_path / f"manifest.{name}") for name in ("csv", "parquet"))
    assert await write_manifest(ledger, str(tmp_path), ["csv", "parquet"]) == expected
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sid"] for row in rows] == ["RT1", "RT2", "RT3", "RT4"]
    # What participants type is disarmed in CSV.
    assert rows[0]["track_name"] == "'=1+1"
    table = pq.read_table(tmp_path / "manifest.parquet")
    assert table.column_names == COLUMNS
    assert table["state"].to_pylist() == ["archived", "deleted", "failed", "external"]
    types = {name: table.schema.field(name).type for name in ("bytes", "archived_at", "deleted_at", "error")}
    instant = pa.timestamp("us", tz="UTC")
    assert types == {"bytes": pa.int64(), "archived_at": instant, "deleted_at": instant, "error": pa.string()}


async def test_an_earlier_manifest_is_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("of yesterday\n" * 100)
    await write_manifest(ledger, tmp_path, ["jsonl"])
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 4
    assert list(tmp_path.glob("*.part")) == []


async def test_no_format_is_no_file(ledger: Ledger, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert await write_manifest(ledger, tmp_path, []) == ()
    assert sorted(tmp_path.iterdir()) == before


async def test_a_store_gets_it_in_chunks_and_no_file_is_left(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(manifest_module, "_READ_SIZE", 100)
    store = MemoryStore()
    assert await write_manifest(ledger, store, ["jsonl"]) == ("memory://manifest.jsonl",)
    assert list(temporary.iterdir()) == []
    await write_manifest(ledger, tmp_path, ["jsonl"])
    content = (tmp_path / "manifest.jsonl").read_bytes()
    assert store.objects == {"manifest.jsonl": content}
    assert store.chunk_sizes == [len(content[start : start + 100]) for start in range(0, len(content), 100)]
