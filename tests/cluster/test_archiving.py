"""Archives that a cluster writes to a directory that all its workers see."""

from __future__ import annotations

import asyncio
import errno
import resource
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from distributed import Client

from roomrec_async import (
    ArchiveProgress,
    ArchiveReport,
    ConfigurationError,
    InvalidArgumentError,
    Recording,
    RoomRecError,
)
from roomrec_async._archive.kept import open_kept
from roomrec_async._archive.ledger import Ledger
from roomrec_async._archive.manifest import write_manifest
from roomrec_async.integrations.dask import archive_on
from roomrec_async.integrations.dask.archiving import _ArchiveTotals, _CombinedLedger
from roomrec_async.integrations.dask.shards import Shard
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator

from .conftest import UNLIMITED, hide_marker, kill_a_worker, names, rows, settings, until


def media(directory: Path) -> dict[str, bytes]:
    """Return the media of an archive, without its manifests and ledgers."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.glob("RM*/*")}


async def test_has_what_one_process_archives(cluster: Client, tmp_path: Path) -> None:
    async with (
        Simulator(12, (0, 9), media_size=(0, 20_000), **UNLIMITED) as simulator,
        simulator.client() as client,
    ):
        alone = await client.archive(simulator.room_sids, tmp_path / "alone")
        progress = ArchiveProgress()
        report = await archive_on(
            cluster, simulator.room_sids, tmp_path / "new", settings=settings(simulator), progress=progress
        )
        assert (report.archived, report.bytes, report.external) == (alone.archived, alone.bytes, alone.external)
        assert (report.failures, report.failed, report.deleted) == (alone.failures, alone.failed, 0)
        assert report.archived > 0
        assert media(tmp_path / "new") == media(tmp_path / "alone")
        assert names(tmp_path / "new" / "ledgers") == ["000000.sqlite3", "000001.sqlite3", "000002.sqlite3"]
        own = {"location", "archived_at"}
        ours, theirs = (
            [{name: value for name, value in row.items() if name not in own} for row in rows(tmp_path / each)]
            for each in ("new/manifest.parquet", "alone/manifest.parquet")
        )
        assert ours == theirs
        assert report.manifest == tuple(str(tmp_path / "new" / f"manifest.{kind}") for kind in ("jsonl", "parquet"))
        assert (progress.archived, progress.listing) == (report.archived, False)
        # Run again, it copies nothing.
        copied = simulator.store.stats.requests
        again = await archive_on(cluster, simulator.room_sids, tmp_path / "new", settings=settings(simulator))
        assert again == report
        assert simulator.store.stats.requests == copied


async def test_a_worker_dies_while_recordings_are_deleted(mortal_cluster: Client, tmp_path: Path) -> None:
    options: dict[str, Any] = {"reads_per_second": 60, "writes_per_second": 20, "concurrency_limit": 8}
    async with Simulator(10, (3, 5), media_size=1_000, latency=0.03, **options) as simulator:
        before = {
            str(each["sid"]): each for sid in simulator.room_sids for each in simulator.recordings(sid, "completed")
        }
        archiving = asyncio.create_task(
            archive_on(mortal_cluster, simulator.room_sids, tmp_path, settings=settings(simulator), delete=True)
        )
        await until(lambda: simulator.stats.by_status[204] >= 3)
        await kill_a_worker(mortal_cluster)
        report = await archiving
        assert report.failed == 0
        assert report.archived + report.external == len(before)
        assert report.deleted == report.archived
        assert sorted(str(row["sid"]) for row in rows(tmp_path / "manifest.parquet")) == sorted(before)
        left = [each for sid in simulator.room_sids for each in simulator.recordings(sid, "completed")]
        assert all(each["media_external_location"] for each in left)
        assert simulator.stats.refused == 0
    kept = [path for path in media(tmp_path) if not path.endswith((".part", ".etag"))]
    assert len(kept) == report.archived


async def test_a_full_disk_of_a_worker_is_an_error_that_names_the_file(mortal_cluster: Client, tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    await mortal_cluster.run(resource.setrlimit, resource.RLIMIT_FSIZE, (200_000, hard))
    async with Simulator(10, 3, media_size=400_000, **UNLIMITED) as simulator:
        with pytest.raises(OSError, match=r"\.part") as caught:
            await archive_on(mortal_cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
    assert (caught.value.errno, caught.value.__cause__) == (errno.EFBIG, None)


async def test_encrypted_recordings_are_decrypted_by_the_workers(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(10, (0, 5), 14, media_size=1_000, **UNLIMITED) as simulator:
        key = tmp_path / "key.pem"
        key.write_bytes(simulator.private_key_pem)
        encrypted = [
            sid for sid in simulator.room_sids if any(each["encryption_key"] for each in simulator.recordings(sid))
        ]
        assert encrypted
        report = await archive_on(
            cluster,
            encrypted,
            tmp_path / "archive",
            settings=settings(simulator),
            decryption=partial(PrivateKey.from_file, key),
            manifest=["jsonl"],
        )
        completed = [each for sid in encrypted for each in simulator.recordings(sid, "completed")]
        assert (report.archived, report.failed) == (len(completed), 0)
        for each in completed:
            name = f"{each['room_sid']}/{each['sid']}.{each['container_format']}"
            assert (tmp_path / "archive" / name).read_bytes() == b"".join(simulator.media(str(each["sid"])))


async def test_mistakes_are_refused_before_anything_is_sent(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(1, 1) as simulator:
        right, rooms = settings(simulator), simulator.room_sids
        key = PrivateKey(generate_private_key(65537, 2048))
        with pytest.raises(ConfigurationError, match="decryption cannot be sent to the workers"):
            await archive_on(cluster, rooms, tmp_path, settings=right, decryption=lambda: key)
        with pytest.raises(InvalidArgumentError, match="downloads must be an integer from 1"):
            await archive_on(cluster, rooms, tmp_path, settings=right, downloads=0)
        with pytest.raises(InvalidArgumentError, match="format"):
            await archive_on(cluster, rooms, tmp_path, settings=right, manifest=["xls"])
        with pytest.raises(ConfigurationError, match="does not see"):
            directory = tmp_path / "ledgers"
            await archive_on(cluster, hide_marker(directory, list(rooms)), tmp_path, settings=right)
        assert simulator.stats.requests == 0
        assert names(tmp_path / "ledgers") == []


async def test_the_manifest_of_an_archive_without_a_cluster_is_left_alone(cluster: Client, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("{}\n")
    async with Simulator(1, 1) as simulator:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="is the manifest of an archive whose ledger is elsewhere"):
                await archive_on(
                    cluster, simulator.room_sids, tmp_path, settings=settings(simulator), manifest=["jsonl"]
                )
        assert simulator.stats.requests == 0
    assert manifest.read_text() == "{}\n"


async def test_an_archive_in_a_store_needs_a_directory_for_ledgers(cluster: Client) -> None:
    async with Simulator(1, 1) as simulator:
        store = ObjectStore.from_url("s3://bucket/prefix")
        with pytest.raises(ConfigurationError, match="an archive in a store needs a directory for its ledgers"):
            await archive_on(cluster, simulator.room_sids, store, settings=settings(simulator))
        assert simulator.stats.requests == 0


def test_an_error_of_a_shard_is_that_of_each_of_its_rooms() -> None:
    totals = _ArchiveTotals()
    totals.add(Shard(0, ("a", "b")), RoomRecError("workers kept dying"))
    tries = {"RT1": datetime(2026, 3, 1, tzinfo=UTC)}
    totals.add(
        Shard(1, ("c", "d")),
        ArchiveReport(5, 100, 2, 3, {"RT1": "no space"}, 1, (), left_alone=4, postponed=1, next_tries=tries),
    )
    progress = ArchiveProgress()
    totals.update(progress)
    assert progress == ArchiveProgress(11, 5, 2, 3, bytes=100, expected_bytes=100)
    failures = {"a": "workers kept dying", "b": "workers kept dying", "RT1": "no space"}
    assert totals.report(("manifest.jsonl",)) == ArchiveReport(
        5, 100, 2, 3, failures, 3, ("manifest.jsonl",), left_alone=4, postponed=1, next_tries=tries
    )


async def test_a_large_manifest_is_in_parts_of_which_those_of_shards_without_anything_new_stay(tmp_path: Path) -> None:
    ledgers, archive = tmp_path / "ledgers", tmp_path / "archive"

    async def add(shard: int, *numbers: int) -> None:
        async with Ledger(ledgers / f"{shard:06d}.sqlite3", "here") as ledger:
            await ledger.add_recordings(
                Recording(sid=f"RT{number:032x}", room_sid=f"RM{shard:032x}") for number in numbers
            )

    async def write() -> dict[str, int]:
        await write_manifest(_CombinedLedger(ledgers, "here"), archive, ["parquet"])
        return {path.name: path.stat().st_ino for path in archive.rglob("*.parquet") if path.is_file()}

    await add(0, *range(400))
    await add(1, *range(400, 1_000))
    assert list(await write()) == ["manifest.parquet"]
    assert len(rows(archive / "manifest.parquet")) == 1_000
    await add(2, *range(1_000, 2_100))
    before = await write()
    assert sorted(before) == [
        "part-000000-000000.parquet",
        "part-000001-000000.parquet",
        "part-000002-000000.parquet",
        "part-000002-000001.parquet",
    ]
    assert await write() == before
    await add(1, 2_100)
    after = await write()
    assert [name for name in sorted(after) if after[name] != before[name]] == ["part-000001-000000.parquet"]
    assert [row["sid"] for row in rows(archive / "manifest.parquet")] == [f"RT{number:032x}" for number in range(2_101)]
    room = await open_kept(archive, f"RM{1:032x}")
    assert len(room.recordings) == 601


async def test_a_text_with_a_scheme_is_no_directory(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Simulator(2, 1, 103) as simulator:
        start = partial(archive_on, cluster, simulator.room_sids, settings=settings(simulator))
        with pytest.raises(InvalidArgumentError, match="destination cannot be ftp://"):
            await start("ftp://host/x")
        with pytest.raises(ConfigurationError, match="needs a directory for its ledgers"):
            await start("s3://bucket/x")
        with pytest.raises(InvalidArgumentError, match="ledgers must be a local path"):
            await start("s3://bucket/x", ledgers="s3://bucket/ledgers")
        assert (simulator.stats.requests, names(tmp_path)) == (0, [])
