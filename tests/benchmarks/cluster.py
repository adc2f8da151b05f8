"""One worker process of a cluster against two, by wall time: ``python -m tests.benchmarks.cluster``.

The job is bound by the CPU time of the workers: pages of 1,000 recordings, served from memory, without a quota. The
server and the caller need CPUs of their own. On a machine with two CPUs they compete with the two workers, and the
ratio of the wall times is lower than it would be elsewhere. So the ratio of the CPU times is printed, too: that of a
single worker over that of the busier one of two. It is 2 if the work is divided evenly and has no overhead.

Each shard ends with the second in which its slot cools down. That second is included, with one worker as with two.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import attrs
from distributed import Client
from rich.console import Console
from rich.table import Table

from roomrec_async import Credentials
from roomrec_async.integrations.dask import ClusterSettings, as_completed_on, export_on, local_cluster
from tests.benchmarks.contenders import AUTH_TOKEN
from tests.benchmarks.processes import Server
from tests.benchmarks.rooms import ACCOUNT_SID, room_sid

ROUNDS: Final = 3
SHARDS: Final = 4
ROOMS: Final = 150
RECORDINGS: Final = 1_000

Job = Callable[[Client, list[str], ClusterSettings], Awaitable[int]]


@attrs.frozen
class Round:
    """The times of one run, in seconds.

    Attributes:
        seconds: wall time.
        worker: CPU time of the busiest worker.
        caller: CPU time of this process, which includes the scheduler.
    """

    seconds: float
    worker: float
    caller: float


async def export(cluster: Client, rooms: list[str], settings: ClusterSettings) -> int:
    with tempfile.TemporaryDirectory() as directory:
        return (await export_on(cluster, rooms, Path(directory), settings=settings)).recordings


async def listing(cluster: Client, rooms: list[str], settings: ClusterSettings) -> int:
    return sum([len(result.recordings) async for result in as_completed_on(cluster, rooms, settings=settings)])


async def measure(job: Job, workers: int, base_url: str) -> Round:
    settings = ClusterSettings(
        credentials=Credentials(ACCOUNT_SID, AUTH_TOKEN),
        base_url=base_url,
        rooms_per_shard=ROOMS,
        slots=workers,
        reads_per_second=100_000,
        writes_per_second=100_000,
        max_concurrency=4 * workers,
    )
    rooms = [room_sid(1, RECORDINGS, number) for number in range(SHARDS * ROOMS)]
    async with local_cluster(workers) as cluster:
        # Warm up: imports at first use are not measured.
        await job(cluster, rooms[:1], settings)
        before = await cluster.run(time.process_time)
        caller_before = time.process_time()
        began = time.perf_counter()
        assert await job(cluster, rooms, settings) == len(rooms) * RECORDINGS
        seconds = time.perf_counter() - began
        caller = time.process_time() - caller_before
        used = await cluster.run(time.process_time)
        return Round(seconds, max(used[worker] - before[worker] for worker in used), caller)


async def main() -> None:
    table = Table(title=f"{SHARDS * ROOMS * RECORDINGS:,} recordings, {os.cpu_count()} CPUs, median of {ROUNDS}")
    for heading in ("job", "1 worker", "2 workers", "ratio", "lowest to highest", "ratio of CPU", "CPU of the caller"):
        table.add_column(heading)
    with Server() as server:
        for job in (export, listing):
            rounds = [[await measure(job, workers, server.base_url) for workers in (1, 2)] for _ in range(ROUNDS)]
            one, two = (statistics.median(row[index].seconds for row in rounds) for index in (0, 1))
            cpu = statistics.median(row[0].worker / row[1].worker for row in rounds)
            ratios = sorted(row[0].seconds / row[1].seconds for row in rounds)
            caller = statistics.median(row[1].caller for row in rounds)
            table.add_row(
                job.__name__,
                f"{one:.1f} s",
                f"{two:.1f} s",
                f"{one / two:.2f}x",
                f"{ratios[0]:.2f}x to {ratios[-1]:.2f}x",
                f"{cpu:.2f}x",
                f"{caller:.1f} s",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    asyncio.run(main())
