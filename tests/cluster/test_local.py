"""Clusters of processes on this machine, in programs of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async.integrations.dask import local_cluster

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
