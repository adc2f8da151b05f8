"""Real clusters of processes on this machine, and what the tests ask of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import dask.config
import pytest
from distributed import Client, LocalCluster, Semaphore

from roomrec_async import Recording
from roomrec_async.integrations.dask import ClusterSettings, local_cluster
from roomrec_async.simulator import Simulator, faults

LEASES = {"distributed.scheduler.locks.lease-timeout": "2s"}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Two processes of one thread each."""
    with (
        dask.config.set(LEASES),
        LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture
async def cluster(address: str) -> AsyncIterator[Client]:
    """A client of it, when all of it is there."""
    async with Client(address, asynchronous=True) as client:
        await client.wait_for_workers(2)
        yield client


@pytest.fixture
async def mortal_cluster() -> AsyncIterator[Client]:
    """Another such cluster, for a test that kills: no other test waits for what comes after the dead."""
    with dask.config.set(LEASES):
        async with local_cluster(2) as client:
            yield client


def settings(simulator: Simulator, **options: Any) -> ClusterSettings:
    """Two slots, and the quota that the simulator keeps."""
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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def pids(cluster: Client) -> list[int]:
    return list((await cluster.run(os.getpid)).values())


async def kill_a_worker(cluster: Client) -> None:
    os.kill((await pids(cluster))[0], signal.SIGKILL)


async def kill_the_worker_at(cluster: Client, simulator: Simulator, number: int) -> None:
    """Kill it while it waits for an answer about this room, which never comes: in the middle of the room's shard."""
    room_sid = simulator.room_sids[number]
    simulator.inject(faults.StallHeaders(60), path_contains=room_sid)
    await until(lambda: any(room_sid in request.path for request in simulator.requests))
    shard = f"-{number // 10:06d}"
    processing, workers = await cluster.processing(), await cluster.run(os.getpid)
    victims = [pid for worker, pid in workers.items() if any(str(key).endswith(shard) for key in processing[worker])]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)


async def slots_taken(cluster: Client, simulator: Simulator, slots: int = 2) -> int:
    """How many shards of the account hold a slot right now, anywhere on the cluster."""
    name = f"roomrec-{simulator.credentials.account_sid}"
    return int(await Semaphore(slots, name, cluster.scheduler, cluster.loop).get_value())


async def all_over(cluster: Client, simulator: Simulator, slots: int = 2) -> int:
    """How many requests there were when the last shard had ended, of its own accord."""
    async with asyncio.timeout(20):
        while await slots_taken(cluster, simulator, slots):
            await asyncio.sleep(0.02)
        while any((await cluster.processing()).values()):
            await asyncio.sleep(0.02)
    return simulator.stats.requests


def expected(simulator: Simulator, *room_sids: str, status: str | None = None) -> list[str]:
    """The SIDs of all recordings of these rooms, by default of all, in order."""
    return sorted(
        str(record["sid"]) for sid in room_sids or simulator.room_sids for record in simulator.recordings(sid, status)
    )


def sids(recordings: list[Recording]) -> list[str]:
    return sorted(str(recording.sid) for recording in recordings)
