"""Parquet and archives that a cluster writes into a directory that all its workers see."""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from distributed import Client

from roomrec_async import (
    ArchiveProgress,
    AuthenticationError,
    ConfigurationError,
    Credentials,
    InvalidArgumentError,
    NotFoundError,
    to_dict,
)
from roomrec_async._tables import open_table, recording_columns
from roomrec_async.integrations.dask import ClusterSettings, ExportProgress, archive_on, export_on
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.simulator import Simulator

from .conftest import all_over, expected, kill_a_worker, kill_the_worker_at, settings, until

UNKNOWN_ROOM = "RM" + "0" * 32
UNLIMITED: dict[str, Any] = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}

Row = dict[str, object]


def rows(path: Path) -> list[Row]:
    """All rows of a file, or of all files of a directory as any program reads it, by their SIDs."""
    return sorted(pq.read_table(path).to_pylist(), key=lambda row: str(row["sid"]))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def media(directory: Path) -> dict[str, bytes]:
    """What is in an archive but the books that are kept of it."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.glob("RM*/*")}


def parts(count: int) -> list[str]:
    return [f"part-{number:06d}.parquet" for number in range(count)]


async def hidden(directory: Path, room_sids: list[str]) -> AsyncIterator[str]:
    """Rooms, and a directory in which the workers do not find what the caller has put there."""
    for token in directory.glob(".roomrec-*"):
        token.unlink()
    for room_sid in room_sids:
        yield room_sid


class TestExport:
    async def test_has_what_one_process_gathers(self, cluster: Client, tmp_path: Path) -> None:
        async with Simulator(23, (0, 60), 3, **UNLIMITED) as simulator, simulator.client() as client:
            gathered = await client.gather(simulator.room_sids, status="completed")
            progress, directory = ExportProgress(), tmp_path / "new" / "export"
            rooms = [*simulator.room_sids, UNKNOWN_ROOM]
            report = await export_on(
                cluster, rooms, directory, settings=settings(simulator), progress=progress, status="completed"
            )
        recordings = [recording for each in gathered.values() for recording in each]
        with open_table(tmp_path / "alone.parquet", recording_columns(), "parquet") as table:
            table.write([to_dict(recording) for recording in recordings])
        assert rows(directory) == rows(tmp_path / "alone.parquet")
        assert names(directory) == parts(5)
        assert report.directory == str(directory)
        assert (report.files, report.rooms, report.recordings, report.failed) == (5, 24, len(recordings), 1)
        assert report.bytes == sum(path.stat().st_size for path in directory.iterdir())
        assert isinstance(report.failures[UNKNOWN_ROOM], NotFoundError)
        assert progress == ExportProgress(shards=5, rooms=24, recordings=len(recordings), failed=1)

    async def test_each_room_is_in_the_file_of_its_shard(self, cluster: Client, tmp_path: Path) -> None:
        async with Simulator(12, (1, 9), **UNLIMITED) as simulator:
            await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
            for number, name in enumerate(parts(3)):
                of_shard = simulator.room_sids[number * 5 : number * 5 + 5]
                assert [row["sid"] for row in rows(tmp_path / name)] == expected(simulator, *of_shard)

    async def test_a_worker_dies_in_mid_run(self, mortal_cluster: Client, tmp_path: Path) -> None:
        async with Simulator(30, (1, 9), reads_per_second=30, latency=0.05) as simulator:
            options = settings(simulator, rooms_per_shard=10)
            exporting = asyncio.create_task(export_on(mortal_cluster, simulator.room_sids, tmp_path, settings=options))
            await kill_the_worker_at(mortal_cluster, simulator, 5)
            report = await exporting
            assert [row["sid"] for row in rows(tmp_path)] == expected(simulator)
            assert report.recordings == len(expected(simulator))
            assert 30 < simulator.stats.requests <= 40
            assert simulator.stats.refused == 0
        # Nothing half, and nothing twice: also not what the dead worker has begun.
        assert names(tmp_path) == parts(3)

    async def test_an_export_that_is_cancelled_leaves_nothing_running(self, cluster: Client, tmp_path: Path) -> None:
        async with Simulator(200, 1, latency=0.05) as simulator:
            options = settings(simulator, rooms_per_shard=100, reads_per_second=40)
            exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, tmp_path, settings=options))
            await until(lambda: simulator.stats.requests >= 10)
            exporting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exporting
            assert await all_over(cluster, simulator) < 100
        assert names(tmp_path) == []

    async def test_an_earlier_export_is_not_mixed_with_this_one(self, cluster: Client, tmp_path: Path) -> None:
        (tmp_path / "part-000007.parquet").touch()
        async with Simulator(1, 1) as simulator:
            with pytest.raises(InvalidArgumentError, match=r"holds part-.* of an earlier export"):
                await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
            assert simulator.stats.requests == 0

    async def test_a_worker_that_does_not_see_the_directory(self, cluster: Client, tmp_path: Path) -> None:
        async with Simulator(1, 1) as simulator:
            rooms = hidden(tmp_path, list(simulator.room_sids))
            with pytest.raises(ConfigurationError, match=r"worker tcp://127\.0\.0\.1:\d+ does not see .*share"):
                await export_on(cluster, rooms, tmp_path, settings=settings(simulator))
            assert simulator.stats.requests == 0

    async def test_refused_credentials_end_it(self, cluster: Client, tmp_path: Path) -> None:
        async with Simulator(100, 1, 103) as simulator:
            wrong = Credentials(simulator.credentials.account_sid, "wrong")
            options = ClusterSettings(credentials=wrong, base_url=simulator.base_url, rooms_per_shard=10)
            with pytest.raises(AuthenticationError):
                await export_on(cluster, simulator.room_sids, tmp_path, settings=options)
        assert names(tmp_path) == []


class TestArchive:
    async def test_has_what_one_process_archives(self, cluster: Client, tmp_path: Path) -> None:
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

    async def test_a_worker_dies_while_recordings_are_deleted(self, mortal_cluster: Client, tmp_path: Path) -> None:
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

    async def test_a_full_disk_of_a_worker_is_an_error_that_names_the_file(
        self, mortal_cluster: Client, tmp_path: Path
    ) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        await mortal_cluster.run(resource.setrlimit, resource.RLIMIT_FSIZE, (200_000, hard))
        async with Simulator(10, 3, media_size=400_000, **UNLIMITED) as simulator:
            with pytest.raises(OSError, match=r"\.part") as caught:
                await archive_on(mortal_cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
        assert (caught.value.errno, caught.value.__cause__) == (errno.EFBIG, None)

    async def test_encrypted_recordings_are_decrypted_by_the_workers(self, cluster: Client, tmp_path: Path) -> None:
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

    async def test_mistakes_are_refused_before_anything_is_sent(self, cluster: Client, tmp_path: Path) -> None:
        async with Simulator(1, 1) as simulator:
            right, rooms = settings(simulator), simulator.room_sids
            key = PrivateKey(generate_private_key(65537, 2048))
            with pytest.raises(ConfigurationError, match="decryption cannot be sent to the workers"):
                await archive_on(cluster, rooms, tmp_path, settings=right, decryption=lambda: key)
            with pytest.raises(InvalidArgumentError, match="downloads must be an integer from 1"):
                await archive_on(cluster, rooms, tmp_path, settings=right, downloads=0)
            with pytest.raises(InvalidArgumentError, match="format"):
                await archive_on(cluster, rooms, tmp_path, settings=right, manifest=["xls"])  # type: ignore[list-item]
            with pytest.raises(ConfigurationError, match="does not see"):
                directory = tmp_path / "ledgers"
                await archive_on(cluster, hidden(directory, list(rooms)), tmp_path, settings=right)
            assert simulator.stats.requests == 0
            assert names(tmp_path / "ledgers") == []
