"""Workers that join, leave and stop in mid-run, started by Dask's own commands or by adaptive scaling."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from contextlib import ExitStack
from pathlib import Path

import dask.config
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

from roomrec_async import ExportReport
from roomrec_async._export.shard import Shard
from roomrec_async.integrations.dask import export_on
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator, faults

from ..integration.conftest import S3Server, s3
from .conftest import LEASES, expected, names, settings, until
from .processes import Commands

__all__ = ["s3"]

_ENVIRONMENT = {
    "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": "2s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
}


async def reach(simulator: Simulator, requests: int, exporting: asyncio.Task[object]) -> None:
    """Wait for so many requests, or the end of the export."""
    async with asyncio.timeout(180):
        while simulator.stats.requests < requests and not exporting.done():
            await asyncio.sleep(0.02)


async def number_of_workers(cluster: Client, number: int) -> None:
    async with asyncio.timeout(180):
        while len(await cluster.nthreads()) != number:
            await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_workers_join_and_leave_in_mid_run(tmp_path: Path) -> None:
    """0, 4, 1, 0 and 3 workers: some are killed, one is asked to end."""
    commands = Commands(tmp_path, _ENVIRONMENT)
    directory = tmp_path / "export"
    async with Simulator(80, (1, 3), reads_per_second=8, latency=0.02) as simulator:
        with ExitStack() as processes:
            processes.enter_context(commands.scheduler())
            async with Client(scheduler_file=str(commands.file), asynchronous=True) as cluster:
                options = settings(simulator, slots=None, max_concurrency="auto")
                exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, directory, settings=options))
                first = [processes.enter_context(commands.worker()) for _ in range(4)]
                await number_of_workers(cluster, 4)
                await reach(simulator, simulator.stats.requests + 5, exporting)
                for process, number in zip(first[:3], (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM), strict=True):
                    process.send_signal(number)
                await number_of_workers(cluster, 1)
                await reach(simulator, simulator.stats.requests + 5, exporting)
                first[3].kill()
                await number_of_workers(cluster, 0)
                for _ in range(3):
                    processes.enter_context(commands.worker())
                report = await exporting
        assert simulator.stats.refused == 0
        assert_complete(report, directory, simulator)


def assert_complete(report: ExportReport, directory: Path, simulator: Simulator) -> None:
    """Assert that all records of the account are in the parts, each once, and that nothing else is left."""
    truth = expected(simulator)
    assert sorted(ds.dataset(directory).to_table()["sid"].to_pylist()) == truth
    assert (report.complete, report.failed, report.recordings) == (True, 0, len(truth))
    listed = json.loads((directory / "_roomrec/run-00001/manifest.json").read_text())["parts"]
    assert names(directory) == ["_roomrec", *(part["name"] for part in listed)]
    assert names(directory / "_roomrec/tmp") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_adaptive_scaling_in_mid_run(tmp_path: Path) -> None:
    """From none to 4, to 1 and to 3, with more rooms than that takes; then another run does the rest."""
    async with Simulator(4000, (1, 3), reads_per_second=8, latency=0.02) as simulator:
        with dask.config.set({**LEASES, "distributed.scheduler.allowed-failures": 10}):
            async with (
                LocalCluster(
                    n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, asynchronous=True
                ) as workers,
                Client(workers, asynchronous=True) as cluster,
            ):
                options = settings(simulator, slots=None, max_concurrency="auto", rooms_per_shard=100)
                workers.adapt(minimum=0, maximum=4, interval="100ms")
                exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, tmp_path, settings=options))
                await reach(simulator, 1, exporting)
                for number in (4, 1, 3):
                    workers.adapt(minimum=number, maximum=number, interval="100ms")
                    await number_of_workers(cluster, number)
                    await reach(simulator, simulator.stats.requests + 5, exporting)
                    assert not exporting.done()
                exporting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await exporting
                simulator.reads_per_second = None
                options = settings(simulator, slots=None, max_concurrency="auto")
                report = await export_on(cluster, simulator.room_sids, tmp_path, settings=options)
        assert_complete(report, tmp_path, simulator)


def a_room_of_the_first_shard(simulator: Simulator) -> str:
    """Return a room of the first of six shards: when its worker stops, others have something to do."""
    return next(sid for sid in simulator.room_sids if Shard(1, 6).owns(sid))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("counts_as_dead", [True, False])
async def test_a_worker_that_stops_for_a_while(tmp_path: Path, *, counts_as_dead: bool) -> None:
    """It has a shard when it stops. If the scheduler counts it as dead, others wait until it lets go of the shard."""
    variables = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s"} if counts_as_dead else {}
    commands = Commands(tmp_path, {**_ENVIRONMENT, **variables})
    directory = tmp_path / "export"
    async with Simulator(30, (1, 3)) as simulator:
        with ExitStack() as processes:
            processes.enter_context(commands.scheduler())
            victim = processes.enter_context(commands.worker("victim"))
            async with Client(scheduler_file=str(commands.file), asynchronous=True) as cluster:
                await number_of_workers(cluster, 1)
                room_sid = a_room_of_the_first_shard(simulator)
                simulator.inject(faults.StallHeaders(60), path_contains=room_sid)
                options = settings(simulator)
                exporting = asyncio.create_task(export_on(cluster, simulator.room_sids, directory, settings=options))
                await until(lambda: any(room_sid in request.path for request in simulator.requests))
                victim.send_signal(signal.SIGSTOP)
                requests = simulator.stats.requests
                processes.enter_context(commands.worker("other"))
                if counts_as_dead:
                    await reach(simulator, requests + 10, exporting)
                    await number_of_workers(cluster, 1)
                else:
                    # For longer than a slot's lease. The other one may have nothing to do: Dask would have to ask the
                    # stopped worker for the shards that it was given.
                    await number_of_workers(cluster, 2)
                    await asyncio.sleep(5)
                victim.send_signal(signal.SIGCONT)
                report = await exporting
                if counts_as_dead:
                    # It finds that it is no longer one of the cluster, and leaves nothing behind.
                    await asyncio.to_thread(victim.wait, 120)
        assert_complete(report, directory, simulator)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_worker_that_stops_for_a_while_and_exports_to_a_store(tmp_path: Path, s3: S3Server) -> None:
    """Another one takes the shard over, and nothing that the first one wrote or writes is in it twice."""
    commands = Commands(tmp_path, {**_ENVIRONMENT, "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s"})
    store = ObjectStore(s3.bucket("stopped"))
    async with Simulator(30, (1, 3)) as simulator:
        with ExitStack() as processes:
            processes.enter_context(commands.scheduler())
            victim = processes.enter_context(commands.worker("victim"))
            async with Client(scheduler_file=str(commands.file), asynchronous=True) as cluster:
                await number_of_workers(cluster, 1)
                room_sid = a_room_of_the_first_shard(simulator)
                simulator.inject(faults.StallHeaders(60), path_contains=room_sid)
                exporting = asyncio.create_task(
                    export_on(cluster, simulator.room_sids, store, settings=settings(simulator))
                )
                await until(lambda: any(room_sid in request.path for request in simulator.requests))
                victim.send_signal(signal.SIGSTOP)
                processes.enter_context(commands.worker("other"))
                shard = "_roomrec/run-00001/shard-00001.json"
                async with asyncio.timeout(180):
                    while shard not in await asyncio.to_thread(s3.objects, "stopped"):
                        await asyncio.sleep(0.2)
                victim.send_signal(signal.SIGCONT)
                report = await exporting
                await asyncio.to_thread(victim.wait, 120)
        tables = [
            pq.read_table(io.BytesIO(s3.content("stopped", name)))
            for name in s3.objects("stopped")
            if name.startswith("part-")
        ]
        truth = expected(simulator)
        assert sorted(sid for table in tables for sid in table["sid"].to_pylist()) == truth
        assert (report.complete, report.recordings, report.failed) == (True, len(truth), 0)
