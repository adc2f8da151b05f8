"""Clusters of processes on this machine, in programs of their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from distributed import Client, Scheduler

from roomrec_async import InvalidArgumentError
from roomrec_async.integrations.dask import as_completed_on, local_cluster
from roomrec_async.simulator import Simulator

from .conftest import assert_each_once, collect, settings
from .processes import is_gone, start, wait_until

_TWO_CLUSTERS = """
import asyncio
from roomrec_async.integrations.dask import local_cluster

async def main():
    async with local_cluster(1) as one, local_cluster(2) as two:
        print(len(await one.nthreads()), len(await two.nthreads()), *(await two.nthreads()).values())

if __name__ == "__main__":
    asyncio.run(main())
"""


_HEARTS_BEAT_TO_THE_END = """
import asyncio
from roomrec_async.integrations.dask import local_cluster

async def hearts_beat(dask_worker):
    async def forever():
        while dask_worker.status.name == "running":
            await dask_worker.heartbeat()
    dask_worker.hearts = [asyncio.create_task(forever()) for _ in range(3)]

async def main():
    async with local_cluster(2) as cluster:
        await cluster.run(hearts_beat)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_local_cluster_ends_quietly_whatever_its_workers_were_saying(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_HEARTS_BEAT_TO_THE_END, "utf-8")
    with start(sys.executable, "-W", "error", script) as running:
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (0, "", "")


def test_two_local_clusters_are_no_trouble_to_each_other(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_TWO_CLUSTERS, "utf-8")
    with start(sys.executable, "-W", "error", script) as running:
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (0, "1 2 1 1\n", "")
    wait_until(lambda: is_gone(running.pid))


async def test_a_local_cluster_needs_a_process() -> None:
    with pytest.raises(InvalidArgumentError, match="workers must be an integer from 1, not 0"):
        async with local_cluster(0):
            pass


async def slots_of(cluster: Client, account_sid: str) -> int:
    """Return into how many slots the quota of an account is divided."""

    def sizes(dask_scheduler: Scheduler) -> Mapping[str, int]:
        return dict(dask_scheduler.extensions["semaphores"].max_leases)

    return (await cluster.run_on_scheduler(sizes))[f"roomrec-{account_sid}"]


@pytest.mark.parametrize("workers", [1, 3])
async def test_each_worker_of_a_local_cluster_has_a_slot_and_no_slot_is_without_one(workers: int) -> None:
    async with Simulator(2, 1) as simulator, local_cluster(workers) as cluster:
        options = settings(simulator, slots=None, max_concurrency=None)
        assert_each_once(await collect(as_completed_on(cluster, simulator.room_sids, settings=options)), simulator)
        assert await slots_of(cluster, simulator.credentials.account_sid) == workers


async def test_by_an_address_the_number_of_workers_does_not_matter() -> None:
    async with (
        Simulator(2, 1) as simulator,
        local_cluster(1) as local,
        Client(local.scheduler.address, asynchronous=True) as cluster,
    ):
        options = settings(simulator, slots=None, max_concurrency=None)
        assert_each_once(await collect(as_completed_on(cluster, simulator.room_sids, settings=options)), simulator)
        assert await slots_of(cluster, simulator.credentials.account_sid) == 4
