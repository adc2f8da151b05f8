"""Shards that nobody wants any more stop, and release their slots."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client

from roomrec_async import RoomRecError
from roomrec_async.integrations.dask import as_completed_on
from roomrec_async.integrations.dask.stopping import Stopper
from roomrec_async.simulator import Simulator

from .conftest import collect, requests_when_idle, settings, until


async def test_a_caller_who_is_cancelled_leaves_nothing_running(cluster: Client) -> None:
    async with Simulator(200, 1, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=100, reads_per_second=40)
        running = asyncio.create_task(collect(as_completed_on(cluster, simulator.room_sids, settings=options)))
        await until(lambda: simulator.stats.requests >= 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        # The slots were given back: far more than the few requests that were under way would be needed otherwise.
        assert await requests_when_idle(cluster, simulator) < 100
        # Whoever waited for a slot has not taken one with it.
        few = simulator.room_sids[:4]
        assert len(await collect(as_completed_on(cluster, few, settings=options))) == 4


async def test_a_caller_who_disappears_leaves_nothing_running(cluster: Client) -> None:
    async with Simulator(200, 1, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=100, reads_per_second=40)
        async with Client(cluster.scheduler.address, asynchronous=True) as other:
            running = asyncio.create_task(collect(as_completed_on(other, simulator.room_sids, settings=options)))
            await until(lambda: simulator.stats.requests >= 10)
        with pytest.raises(RoomRecError, match="the cluster has dropped roomrec-list-"):
            await running
        assert await requests_when_idle(cluster, simulator) < 100


def worker_with(**states: str) -> Any:
    """Return as much of a worker as a stopper looks at: the states of its tasks."""
    return SimpleNamespace(state=SimpleNamespace(tasks={key: SimpleNamespace(state=states[key]) for key in states}))


async def run_shard(stopper: Stopper, worker: Any, key: str) -> None:
    with stopper.cancel_on_release(worker, key):
        await asyncio.sleep(60)


class TestStopper:
    async def test_only_the_release_of_its_key_cancels_a_shard(self) -> None:
        stopper = Stopper()
        running = asyncio.create_task(run_shard(stopper, worker_with(key="executing"), "key"))
        await asyncio.sleep(0)
        stopper.transition("key", "executing", "memory")
        stopper.transition("key", "waiting", "released")
        stopper.transition("other", "executing", "released")
        await asyncio.sleep(0.01)
        assert not running.done()

        stopper.transition("key", "executing", "released")
        with pytest.raises(asyncio.CancelledError):
            await running
        # It is forgotten.
        stopper.transition("key", "executing", "released")

    @pytest.mark.parametrize("states", [{}, {"key": "cancelled"}])
    async def test_a_shard_that_was_released_before_it_began_does_not_begin(self, states: dict[str, str]) -> None:
        with pytest.raises(asyncio.CancelledError), Stopper().cancel_on_release(worker_with(**states), "key"):
            pytest.fail("it has begun")

    async def test_waits_for_the_shards_of_one_job(self) -> None:
        stopper = Stopper()
        worker = worker_with(**{"one-0": "executing", "one-1": "executing", "two-0": "executing"})
        shards = {key: asyncio.create_task(run_shard(stopper, worker, key)) for key in worker.state.tasks}
        await asyncio.sleep(0)
        waiting = asyncio.create_task(stopper.wait_stopped("one-"))
        shards["one-0"].cancel()
        await asyncio.sleep(0.01)
        assert not waiting.done()

        shards["one-1"].cancel()
        async with asyncio.timeout(5):
            await waiting
            await stopper.wait_stopped("three-")
        assert not shards["two-0"].done()
        shards["two-0"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await shards["two-0"]
