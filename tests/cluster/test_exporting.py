"""Exports that a cluster writes to a directory or a store, in the shards that other processes can write, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pyarrow.dataset as ds
import pytest
from distributed import Client
from obstore.store import MemoryStore

from roomrec_async import (
    AuthenticationError,
    ConfigurationError,
    Credentials,
    ExportProgress,
    ExportReport,
    InvalidArgumentError,
    RateLimiter,
    RoomRecError,
)
from roomrec_async._export.shard import Shard as ExportShard
from roomrec_async._export.shard import key_hash
from roomrec_async._export.store import lock_shard
from roomrec_async.integrations.dask import ClusterSettings, export_on, exporting, jobs
from roomrec_async.integrations.dask.exporting import _Totals
from roomrec_async.integrations.dask.shards import Shard
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator

from ..integration.conftest import S3Server, s3
from .conftest import (
    UNKNOWN_ROOM,
    UNLIMITED,
    expected,
    kill_the_worker_at,
    requests_when_idle,
    rows,
    settings,
    until,
)

__all__ = ["s3"]


def parts(directory: Path) -> list[str]:
    """Return the names of the parts, without what is random in them."""
    return sorted(path.name.split("-", 2)[2] for path in directory.glob("part-*"))


def manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest, without what is random in the names of its parts."""
    found = json.loads((directory / "_roomrec/run-00001/manifest.json").read_text())
    for part in found["parts"]:
        part["name"] = part["name"].split("-", 2)[2]
    return found


def exported(directory: Path) -> list[str]:
    return sorted(ds.dataset(directory).to_table()["sid"].to_pylist())


def asked(simulator: Simulator, since: int = 0) -> list[str]:
    """Return the rooms that were asked for, from some request on."""
    return sorted(request.path.split("/")[3] for request in [*simulator.requests][since:])


async def test_has_what_shards_without_a_cluster_have(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(23, (0, 60), 3, **UNLIMITED) as simulator, simulator.client() as client:
        progress, directory = ExportProgress(), tmp_path / "new" / "export"
        rooms = [*simulator.room_sids, UNKNOWN_ROOM]
        report = await export_on(
            cluster, rooms, directory, settings=settings(simulator), progress=progress, status="completed"
        )
        alone = [
            await client.export(rooms, tmp_path / "alone", shard=(index, 5), status="completed")
            for index in (4, 2, 5, 1, 3)
        ]
        completed = expected(simulator, status="completed")
    assert exported(directory) == completed
    assert rows(directory) == rows(tmp_path / "alone")
    assert parts(directory) == parts(tmp_path / "alone")
    assert manifest(directory) == manifest(tmp_path / "alone")
    # The text has the ID of the request.
    assert list(report.failures) == [UNKNOWN_ROOM]
    assert "was not found" in report.failures[UNKNOWN_ROOM]
    assert [sid for each in alone for sid in each.failures] == [UNKNOWN_ROOM]
    assert attrs.evolve(report, failures={}) == ExportReport(
        run=1,
        complete=True,
        recordings=len(completed),
        parts=len(parts(directory)),
        bytes=sum(path.stat().st_size for path in directory.glob("part-*")),
        pending=0,
        before=None,
        failures={},
        failed=1,
        manifest=str(directory / "_roomrec/run-00001/manifest.json"),
    )
    assert progress == ExportProgress(units=5, finished=5, recordings=len(completed), failed=1)


async def test_names_of_rooms_identities_and_json_lines(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(8, (1, 3), 4, **UNLIMITED) as simulator, simulator.client() as client:
        rooms = client.rooms(status="completed")
        report = await export_on(
            cluster, rooms, tmp_path / "new", settings=settings(simulator), format="jsonl", identities=True
        )
        await client.export(rooms, tmp_path / "alone", format="jsonl", identities=True)
        truth = expected(simulator, *[str(room.sid) async for room in rooms])
    new, alone = (
        sorted(line for path in (tmp_path / each).glob("part-*.jsonl") for line in path.read_text().splitlines())
        for each in ("new", "alone")
    )
    assert new == alone
    assert report.recordings == len(new) == len(truth)
    assert all(json.loads(line)["participant_identity"] and json.loads(line)["room_name"] for line in new)


async def test_each_part_has_the_rooms_of_its_shard(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(12, (1, 9), **UNLIMITED) as simulator:
        # However often a room is given.
        rooms = list(simulator.room_sids)
        await export_on(cluster, rooms * 2, tmp_path, settings=settings(simulator, rooms_per_shard=4))
        for path in tmp_path.glob("part-*"):
            shard = ExportShard(int(path.name.split("-")[4]), 3)
            of_shard = [sid for sid in rooms if shard.owns(sid)]
            assert [row["sid"] for row in rows(path)] == expected(simulator, *of_shard)
        assert asked(simulator) == sorted(rooms)
    assert len(list(tmp_path.glob("part-*"))) == 3


async def test_a_worker_dies_in_mid_run(mortal_cluster: Client, tmp_path: Path) -> None:
    async with Simulator(30, (1, 9), reads_per_second=30, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=10)
        exporting = asyncio.create_task(export_on(mortal_cluster, simulator.room_sids, tmp_path, settings=options))
        room_sid = simulator.room_sids[5]
        await kill_the_worker_at(mortal_cluster, simulator, room_sid, shard=key_hash(room_sid) % 3)
        report = await exporting
        assert exported(tmp_path) == expected(simulator)
        assert report.recordings == len(expected(simulator))
        # Another worker has asked for what is in one shard again.
        most = max(sum(ExportShard(index, 3).owns(sid) for sid in simulator.room_sids) for index in (1, 2, 3))
        assert 30 < simulator.stats.requests <= 30 + most
        assert simulator.stats.refused == 0
    # Nothing half, and nothing twice: also not what the dead worker has begun.
    assert len(parts(tmp_path)) == 3
    assert list((tmp_path / "_roomrec/tmp").iterdir()) == []


async def test_an_export_that_is_cancelled_leaves_nothing_running_and_resumes(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(40, 1, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=5, reads_per_second=20)
        exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, tmp_path, settings=options))
        done = tmp_path / "_roomrec/run-00001"
        await until(lambda: len(list(done.glob("shard-*[0-9].json"))) >= 2)
        exporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exporting
        before = await requests_when_idle(cluster, simulator)
        assert before < 40
        # Other settings of the cluster change nothing, once there is a plan.
        written = [int(path.stem.split("-")[1]) for path in done.glob("shard-*[0-9].json")]
        again = settings(simulator, rooms_per_shard=50, reads_per_second=1000)
        report = await export_on(cluster, reversed(simulator.room_sids), tmp_path, settings=again)
        missing = [sid for sid in simulator.room_sids if key_hash(sid) % 8 + 1 not in written]
        assert asked(simulator, before) == sorted(missing)
        assert exported(tmp_path) == expected(simulator)
        assert (report.complete, report.recordings, report.parts) == (True, 40, 8)
        # All is done.
        assert await export_on(cluster, simulator.room_sids, tmp_path, settings=options) == report
        assert len(simulator.requests) == before + len(missing)


async def test_begun_without_a_cluster_and_finished_on_one(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(20, (1, 3), **UNLIMITED) as simulator, simulator.client() as client:
        for index in (7, 2):
            assert not (await client.export(simulator.room_sids, tmp_path, shard=(index, 7))).complete
        before = len(simulator.requests)
        report = await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
        missing = [sid for sid in simulator.room_sids if key_hash(sid) % 7 + 1 not in (7, 2)]
        assert asked(simulator, before) == sorted(missing)
        assert exported(tmp_path) == expected(simulator)
    assert (report.complete, report.recordings) == (True, len(exported(tmp_path)))


@pytest.mark.slow
async def test_begun_on_a_cluster_and_finished_without_one(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(20, (1, 3), latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=2, reads_per_second=20)
        exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, tmp_path, settings=options))
        await until(lambda: any((tmp_path / "_roomrec").glob("run-00001/shard-*[0-9].json")))
        exporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exporting
        await requests_when_idle(cluster, simulator)
        async with simulator.client(limiter=RateLimiter()) as client:
            for index in reversed(range(1, 11)):
                report = await client.export(simulator.room_sids, tmp_path, shard=(index, 10))
        assert report.complete
        assert exported(tmp_path) == expected(simulator)


async def test_to_a_store(cluster: Client, s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("clustered"), "nightly")
    async with Simulator(12, (1, 3), **UNLIMITED) as simulator:
        report = await export_on(cluster, simulator.room_sids, store, settings=settings(simulator))
        recordings = len(expected(simulator))
    assert (report.complete, report.recordings) == (True, recordings)
    assert report.manifest == "s3://clustered/nightly/_roomrec/run-00001/manifest.json"
    listed = json.loads(s3.content("clustered", "nightly/_roomrec/run-00001/manifest.json"))["parts"]
    stored = [name for name in s3.objects("clustered") if name.startswith("nightly/part-")]
    assert sorted(f"nightly/{part['name']}" for part in listed) == sorted(stored)
    assert sum(part["recordings"] for part in listed) == recordings


async def test_other_settings_than_those_of_the_export_are_refused(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(12, 1, **UNLIMITED) as simulator:
        rooms, options = simulator.room_sids, settings(simulator)
        await export_on(cluster, rooms, tmp_path, settings=options, status="completed", limit=3)
        requests = len(simulator.requests)
        for given, message in (
            ({"limit": 3, "status": "failed"}, "with the filters Status=completed, Limit=3, and not Status=failed, L"),
            ({}, "with the filters Status=completed, Limit=3, and not none: give the same, or another destination"),
            ({"limit": 3, "status": "completed", "format": "jsonl"}, "the format parquet, and not jsonl"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                await export_on(cluster, rooms, tmp_path, settings=options, **given)  # type: ignore[arg-type]
        # What is not given decides nothing.
        with pytest.raises(ConfigurationError, match="are not the same: give the same rooms"):
            await export_on(cluster, rooms[1:], tmp_path, settings=options, status="completed", limit=3, page_size=7)
        assert len(simulator.requests) == requests


async def test_an_export_whose_shards_are_too_large_for_tasks(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_MAX_ROOMS_PER_TASK", 11)
    async with Simulator(12, 1, **UNLIMITED) as simulator, simulator.client() as client:
        await client.export(simulator.room_sids, tmp_path)
        with pytest.raises(ConfigurationError, match="holds an export in 1 shard, and 12 rooms are too many"):
            await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))


async def test_a_worker_that_does_not_see_the_directory(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The workers work elsewhere.
    elsewhere = Path("/proc/self/cwd/export")
    async with Simulator(1, 1) as simulator:
        with pytest.raises(ConfigurationError, match=rf"worker tcp://.* does not see the export in {elsewhere}.*share"):
            await export_on(cluster, simulator.room_sids, elsewhere, settings=settings(simulator))
        assert simulator.stats.requests == 0


async def test_a_store_that_cannot_be_sent_to_the_workers(cluster: Client) -> None:
    store = ObjectStore(MemoryStore())
    async with Simulator(1, 1) as simulator:
        with pytest.raises(ConfigurationError, match="destination cannot be sent to the workers"):
            await export_on(cluster, simulator.room_sids, store, settings=settings(simulator))
        assert simulator.stats.requests == 0


async def test_no_rooms(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(1, 1) as simulator:
        report = await export_on(cluster, [], tmp_path, settings=settings(simulator))
    assert (report.complete, report.recordings, report.parts) == (True, 0, 0)


async def test_refused_credentials_end_it(cluster: Client, tmp_path: Path) -> None:
    async with Simulator(100, 1, 103) as simulator:
        wrong = Credentials(simulator.credentials.account_sid, "wrong")
        options = ClusterSettings(credentials=wrong, base_url=simulator.base_url, rooms_per_shard=10)
        with pytest.raises(AuthenticationError):
            await export_on(cluster, simulator.room_sids, tmp_path, settings=options)
    assert parts(tmp_path) == []


async def test_a_shard_that_another_process_is_at_is_waited_for(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_BUSY_INTERVAL", 0.05)
    async with Simulator(20, 1, **UNLIMITED) as simulator:
        progress = ExportProgress()
        with lock_shard(tmp_path, "shard-00002"):
            exporting = asyncio.create_task(
                export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator), progress=progress)
            )
            # The other shards go on.
            await until(lambda: progress.finished == 3)
            assert not exporting.done()
        report = await exporting
        assert (report.complete, report.failed) == (True, 0)
        assert exported(tmp_path) == expected(simulator)


async def test_a_shard_that_another_process_does_not_let_go_of_fails(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_BUSY_INTERVAL", 0.05)
    monkeypatch.setattr(jobs, "_MAX_BUSY", 0.2)
    async with Simulator(20, 1, **UNLIMITED) as simulator:
        with lock_shard(tmp_path, "shard-00002"):
            report = await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
        missing = sorted(sid for sid in simulator.room_sids if ExportShard(2, 4).owns(sid))
        assert (report.complete, report.manifest, report.failed) == (False, None, len(missing))
        assert sorted(report.failures) == missing
        assert set(report.failures.values()) == {f"another process is exporting to {tmp_path}: wait for its end"}
        again = await export_on(cluster, simulator.room_sids, tmp_path, settings=settings(simulator))
        assert (again.complete, again.failed) == (True, 0)
        assert exported(tmp_path) == expected(simulator)


def test_an_error_of_a_shard_is_that_of_each_of_its_rooms() -> None:
    totals = _Totals(2)
    totals.add(Shard(0, ("a", "b")), RoomRecError("workers kept dying"))
    totals.add(Shard(1, ("c", "d", "e")), ExportReport(1, False, 7, 1, 100, 0, None, {"d": "no such room"}, 1, None))
    progress = ExportProgress()
    totals.update(progress)
    assert progress == ExportProgress(units=2, finished=1, recordings=7, failed=3)
    failures = {"a": "workers kept dying", "b": "workers kept dying", "d": "no such room"}
    assert totals.report(None) == ExportReport(1, False, 7, 1, 100, 0, None, failures, 3, None)


async def test_a_destination_that_nobody_can_use(
    cluster: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def never() -> AsyncIterator[str]:
        pytest.fail("a room was read")
        yield ""

    async with Simulator(2, 1, 103) as simulator:
        for destination, message in (
            ("ftp://host/x", "destination cannot be ftp://"),
            (Path("s3://bucket/x"), "give the URL s3:// as text"),
            ("", "destination is empty"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                await export_on(cluster, never(), destination, settings=settings(simulator))
        assert (simulator.stats.requests, list(tmp_path.iterdir())) == (0, [])
