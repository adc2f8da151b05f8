"""Parquet files that a cluster writes to a directory that all its workers see."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from distributed import Client

from roomrec_async import (
    AuthenticationError,
    ConfigurationError,
    Credentials,
    InvalidArgumentError,
    NotFoundError,
    RoomRecError,
)
from roomrec_async._tables import open_table, recording_columns, recording_row
from roomrec_async.integrations.dask import ClusterSettings, ExportProgress, ExportReport, export_on
from roomrec_async.integrations.dask.exporting import _ExportTotals, _ShardExport
from roomrec_async.integrations.dask.shards import Shard
from roomrec_async.simulator import Simulator

from .conftest import (
    UNKNOWN_ROOM,
    UNLIMITED,
    expected,
    hide_marker,
    kill_the_worker_at,
    names,
    requests_when_idle,
    rows,
    settings,
    until,
)


def parts(count: int) -> list[str]:
    return [f"part-{number:06d}.parquet" for number in range(count)]


async def test_has_what_one_process_gathers(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(23, (0, 60), 3, **UNLIMITED) as simulator, simulator.client() as client:
        gathered = await client.gather(simulator.room_sids, status="completed")
        progress, directory = ExportProgress(), tmp_path / "new" / "export"
        rooms = [*simulator.room_sids, UNKNOWN_ROOM]
        report = await export_on(
            cluster, rooms, directory, settings=settings(simulator), progress=progress, status="completed"
        )
    recordings = [recording for each in gathered.values() for recording in each]
    with open_table(tmp_path / "alone.parquet", recording_columns(), "parquet") as table:
        table.write([recording_row(recording) for recording in recordings])
    assert rows(directory) == rows(tmp_path / "alone.parquet")
    assert names(directory) == parts(5)
    assert report.directory == str(directory)
    assert (report.files, report.rooms, report.recordings, report.failed) == (5, 24, len(recordings), 1)
    assert report.bytes == sum(path.stat().st_size for path in directory.iterdir())
    assert isinstance(report.failures[UNKNOWN_ROOM], NotFoundError)
    assert progress == ExportProgress(shards=5, rooms=24, recordings=len(recordings), failed=1)


async def test_each_room_is_in_the_file_of_its_shard(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(12, (1, 9), **UNLIMITED) as simulator:
        await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
        for number, name in enumerate(parts(3)):
            of_shard = simulator.room_sids[number * 5 : number * 5 + 5]
            assert [row["sid"] for row in rows(tmp_path / name)] == expected(simulator, *of_shard)


async def test_a_worker_dies_in_mid_run(mortal_cluster: Client, tmp_path: Path) -> None:
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


async def test_an_export_that_is_cancelled_leaves_nothing_running(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(200, 1, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=100, reads_per_second=40)
        exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, tmp_path, settings=options))
        await until(lambda: simulator.stats.requests >= 10)
        exporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exporting
        assert await requests_when_idle(cluster, simulator) < 100
    assert names(tmp_path) == []


async def test_an_earlier_export_is_not_mixed_with_this_one(cluster: Client, tmp_path: Path) -> None:
    (tmp_path / "part-000007.parquet").touch()
    async with Simulator(1, 1) as simulator:
        with pytest.raises(InvalidArgumentError, match=r"holds part-.* of an earlier export"):
            await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
        assert simulator.stats.requests == 0


async def test_a_worker_that_does_not_see_the_directory(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(1, 1) as simulator:
        rooms = hide_marker(tmp_path, list(simulator.room_sids))
        with pytest.raises(ConfigurationError, match=r"worker tcp://127\.0\.0\.1:\d+ does not see .*share"):
            await export_on(cluster, rooms, tmp_path, settings=settings(simulator))
        assert simulator.stats.requests == 0


async def test_refused_credentials_end_it(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(100, 1, 103) as simulator:
        wrong = Credentials(simulator.credentials.account_sid, "wrong")
        options = ClusterSettings(credentials=wrong, base_url=simulator.base_url, rooms_per_shard=10)
        with pytest.raises(AuthenticationError):
            await export_on(cluster, simulator.room_sids, tmp_path, settings=options)
    assert names(tmp_path) == []


def test_an_error_of_a_shard_is_that_of_each_of_its_rooms() -> None:
    died = RoomRecError("workers kept dying")
    not_found = RoomRecError("no such room")
    totals = _ExportTotals()
    totals.add(Shard(0, ("a", "b")), died)
    totals.add(Shard(1, ("c", "d", "e")), _ShardExport({"d": not_found}, recordings=7, bytes=100, files=1))
    progress = ExportProgress()
    totals.update(progress)
    assert progress == ExportProgress(shards=1, rooms=5, recordings=7, failed=3)
    assert totals.report(Path("/exports")) == ExportReport(
        "/exports", 1, 100, 5, 7, {"a": died, "b": died, "d": not_found}, 3
    )


async def test_a_text_with_a_scheme_is_no_directory(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Simulator(2, 1, 103) as simulator:
        with pytest.raises(InvalidArgumentError, match="directory must be a local path, which s3:// is not"):
            await export_on(cluster, simulator.room_sids, "s3://bucket/x", settings=settings(simulator))
        assert (simulator.stats.requests, names(tmp_path)) == (0, [])
