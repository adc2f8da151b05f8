"""Jobs share one quota, survive what they can, and reveal no secret."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import aclosing
from functools import partial
from pathlib import Path

import dask.config
import pytest
from distributed import Client

from roomrec_async import ConfigurationError, NotFoundError, RecordingsClient
from roomrec_async.integrations.dask import archive_on, as_completed_on, jobs, local_cluster
from roomrec_async.integrations.dask.jobs import Job
from roomrec_async.integrations.dask.shards import Shard, split_into_shards
from roomrec_async.simulator import Simulator

from .conftest import collect, kill_a_worker, settings, until


async def test_rooms_whose_workers_keep_dying_have_errors() -> None:
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        async with Simulator(12, 1, latency=0.1) as simulator, local_cluster(2) as cluster:
            options = settings(simulator, rooms_per_shard=6, reads_per_second=10)
            running = asyncio.create_task(collect(as_completed_on(cluster, simulator.room_sids, settings=options)))
            await until(lambda: simulator.stats.requests >= 4)
            await kill_a_worker(cluster)
            results = await running
            failed = {result.room_sid for result in results if result.error}
            assert Counter(result.room_sid for result in results) == Counter(simulator.room_sids)
            assert failed in ({*simulator.room_sids[:6]}, {*simulator.room_sids[6:]})
            assert all("workers kept dying" in str(result.error) for result in results if result.error)


async def test_jobs_of_an_account_must_agree_on_the_slots(cluster: Client) -> None:
    async with Simulator(3, 1, 101) as simulator:
        await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator)))
        requests = simulator.stats.requests
        with pytest.raises(ConfigurationError, match=r"same number of slots, here 3.*expected: 2"):
            await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator, slots=3)))
        assert simulator.stats.requests == requests


async def test_by_default_there_are_four_slots_however_many_workers_there_are(cluster: Client) -> None:
    async with Simulator(3, 1, 102) as simulator:
        await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator, slots=None)))
        with pytest.raises(ConfigurationError, match="expected: 4"):
            await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator, slots=1)))


async def test_no_secret_is_shown_anywhere(cluster: Client, tmp_path: Path) -> None:
    seen: list[str] = []
    async with Simulator(6, 1, latency=0.2) as simulator:
        options = settings(simulator)
        results = as_completed_on(cluster, simulator.room_sids, settings=options)
        async with aclosing(results):
            assert (await anext(results)).error is None
            seen = await cluster.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        # What fails on a worker is logged there, with a representation of the task.
        with pytest.raises(ValueError, match="invalid literal"):
            await archive_on(
                cluster, simulator.room_sids, tmp_path, settings=options, decryption=partial(int, "x"), manifest=()
            )
    logged = str([await cluster.get_worker_logs(), await cluster.get_scheduler_logs()])
    assert seen
    assert all(re.fullmatch(r"roomrec-list-[0-9a-f]{8}-00000[01](-[0-9]+)?", key) for key in seen)
    assert "Compute Failed" in logged
    assert "_run_shard" in logged
    secret, header = simulator.credentials.password, simulator.credentials.authorization.split()[1]
    for text in (logged, repr(options), str(options), repr(results), *seen):
        assert secret not in text
        assert header not in text


@pytest.mark.parametrize(
    ("scheduler", "worker", "message"),
    [
        ("9.9", "9.9", r"the scheduler has roomrec-async 9\.9, and this program has roomrec-async 1\.0: install"),
        ("1.0", "9.9", r"the worker tcp://10\.0\.0\.1:1 has roomrec-async 9\.9, and this program"),
        ("1.0", None, r"the worker tcp://10\.0\.0\.1:1 has no roomrec-async, and this program"),
    ],
)
async def test_all_must_have_the_same_version(
    cluster: Client, monkeypatch: pytest.MonkeyPatch, scheduler: str, worker: str | None, message: str
) -> None:
    async def get_versions(packages: list[str]) -> dict[str, object]:
        (package,) = packages
        return {
            "client": {"packages": {package: "1.0"}},
            "scheduler": {"packages": {package: scheduler}},
            "workers": {"tcp://10.0.0.1:1": {"packages": {package: worker}}},
        }

    monkeypatch.setattr(cluster, "get_versions", get_versions)
    async with Simulator(1, 1) as simulator:
        with pytest.raises(ConfigurationError, match=message):
            await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator)))
        assert simulator.stats.requests == 0


async def test_an_error_of_the_service_is_not_retried_by_the_cluster(cluster: Client, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    async def fail(client: RecordingsClient, shard: Shard) -> None:
        with calls.open("a") as file:
            file.write("called\n")
        raise NotFoundError(status=404, message="gone", method="GET", url="https://example.com")

    async with Simulator(1, 1) as simulator:
        job = Job(cluster, settings(simulator), "test")
        with pytest.raises(NotFoundError, match="gone"):
            _ = [
                result async for result in job.run(await job.prepare(), split_into_shards(simulator.room_sids, 5), fail)
            ]
    assert calls.read_text() == "called\n"


async def test_any_other_error_of_a_task_is_retried_twice(cluster: Client, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    async def fail(client: RecordingsClient, shard: Shard) -> str:
        with calls.open("a") as file:
            file.write("called\n")
        if calls.read_text().count("called") <= 2:
            raise ZeroDivisionError
        return "done"

    async with Simulator(1, 1) as simulator:
        job = Job(cluster, settings(simulator), "test")
        results = [
            result async for result in job.run(await job.prepare(), split_into_shards(simulator.room_sids, 5), fail)
        ]
    assert results == [(Shard(0, tuple(simulator.room_sids)), "done")]
    assert calls.read_text() == "called\n" * 3


async def test_a_worker_of_another_version_that_joins_later_is_named(
    cluster: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For the workers, the caller is the one with another version.
    monkeypatch.setattr(jobs, "__version__", "9.9")
    async with Simulator(1, 1) as simulator:
        message = r"the worker tcp://.* has roomrec-async \d.*, and the caller has roomrec-async 9\.9: install"
        with pytest.raises(ConfigurationError, match=message):
            await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator)))
        assert simulator.stats.requests == 0
