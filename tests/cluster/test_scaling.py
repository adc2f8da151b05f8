"""Workers that join and leave in mid-run, with the scheduler and the workers as Dask's own commands start them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import Client

from roomrec_async.integrations.dask import export_on
from roomrec_async.simulator import Simulator

from .conftest import expected, names, rows, settings
from .processes import Commands

_ENVIRONMENT = {
    "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": "2s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
}


async def reach(simulator: Simulator, requests: int, exporting: asyncio.Task[object]) -> None:
    """Wait for so many requests, or the end of the export."""
    async with asyncio.timeout(120):
        while simulator.stats.requests < requests and not exporting.done():
            await asyncio.sleep(0.02)


async def number_of_workers(cluster: Client, number: int) -> None:
    async with asyncio.timeout(120):
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
        assert [row["sid"] for row in rows(directory)] == expected(simulator)
        assert (report.rooms, report.failed, report.recordings) == (80, 0, len(expected(simulator)))
    assert names(directory) == [f"part-{number:06d}.parquet" for number in range(16)]
