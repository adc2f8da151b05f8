"""Real clusters of processes on this machine, and helpers to watch them and to kill their workers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster, Semaphore

from roomrec_async import Recording, RoomResult
from roomrec_async.integrations.dask import ClusterSettings, local_cluster
from roomrec_async.simulator import Simulator, faults

# A slot of a worker that was killed is free again after this time, not after 30 seconds.
LEASES = {"distributed.scheduler.locks.lease-timeout": "2s"}
UNKNOWN_ROOM = "RM" + "0" * 32
UNLIMITED: dict[str, Any] = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of a cluster: two processes of one thread each."""
    with (
        dask.config.set(LEASES),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture
async def cluster(address: str) -> AsyncIterator[Client]:
    """A client of that cluster, when both workers are there."""
    async with Client(address, asynchronous=True) as client:
        await client.wait_for_workers(2)
        yield client


@pytest.fixture
async def mortal_cluster() -> AsyncIterator[Client]:
    """Another such cluster, for a test that kills a worker: other tests need not wait for the one that replaces it."""
    with dask.config.set(LEASES):
        async with local_cluster(2) as client:
            yield client


def settings(simulator: Simulator, **options: Any) -> ClusterSettings:
    """Settings with two slots, shards of five rooms, and the quota that the simulator enforces."""
    return ClusterSettings(
        credentials=simulator.credentials,
        base_url=simulator.base_url,
        **{
            "rooms_per_shard": 5,
            "slots": 2,
            "reads_per_second": simulator.reads_per_second or 1000,
            "writes_per_second": simulator.writes_per_second or 1000,
            "max_concurrency": simulator.concurrency_limit,
            **options,
        },
    )


async def collect(results: AsyncIterator[RoomResult]) -> list[RoomResult]:
    return [result async for result in results]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def worker_pids(cluster: Client) -> list[int]:
    return list((await cluster.run(os.getpid)).values())


async def kill_a_worker(cluster: Client) -> None:
    os.kill((await worker_pids(cluster))[0], signal.SIGKILL)


async def kill_the_worker_at(cluster: Client, simulator: Simulator, room_sid: str, *, shard: int) -> None:
    """Kill the worker that waits for an answer about this room of a shard: it never comes."""
    simulator.inject(faults.StallHeaders(60), path_contains=room_sid)
    await until(lambda: any(room_sid in request.path for request in simulator.requests))

    # Once its worker knows the job, a shard has a second task.
    keys = re.compile(rf".*-{shard:06d}(-[0-9]+)?")
    processing = await cluster.processing()
    workers = await cluster.run(os.getpid)
    victims = [pid for worker, pid in workers.items() if any(keys.fullmatch(str(key)) for key in processing[worker])]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)


async def slots_taken(cluster: Client, simulator: Simulator, slots: int = 2) -> int:
    """Return how many shards of the account hold a slot right now, anywhere on the cluster."""
    name = f"roomrec-{simulator.credentials.account_sid}"
    return int(await Semaphore(slots, name, cluster.scheduler, cluster.loop).get_value())


async def requests_when_idle(cluster: Client, simulator: Simulator, slots: int = 2) -> int:
    """Wait until no shard runs or holds a slot, and return how many requests there were."""
    async with asyncio.timeout(20):
        while await slots_taken(cluster, simulator, slots):
            await asyncio.sleep(0.02)
        while any((await cluster.processing()).values()):
            await asyncio.sleep(0.02)
    return simulator.stats.requests


async def hide_marker(directory: Path, room_sids: list[str]) -> AsyncIterator[str]:
    """Yield rooms, after removing the caller's marker file: as if the workers saw another directory of this name."""
    for marker in directory.glob(".roomrec-*"):
        marker.unlink()
    for room_sid in room_sids:
        yield room_sid


def expected(simulator: Simulator, *room_sids: str, status: str | None = None) -> list[str]:
    """Return the SIDs of all recordings of these rooms, by default of all rooms, in order."""
    return sorted(
        str(record["sid"]) for sid in room_sids or simulator.room_sids for record in simulator.recordings(sid, status)
    )


def sids(recordings: list[Recording]) -> list[str]:
    return sorted(str(recording.sid) for recording in recordings)


def assert_each_once(results: list[RoomResult], simulator: Simulator) -> None:
    """Assert that there is one result for each room, with all its recordings."""
    assert Counter(result.room_sid for result in results) == Counter(simulator.room_sids)
    for result in results:
        assert result.error is None
        assert sids(result.recordings) == expected(simulator, result.room_sid)


def rows(path: Path) -> list[dict[str, object]]:
    """Return all rows of a Parquet file, or of all files of a directory, by their SIDs."""
    return sorted(pq.read_table(path).to_pylist(), key=lambda row: str(row["sid"]))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
