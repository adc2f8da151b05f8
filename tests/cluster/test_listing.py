"""Listing on a cluster of processes: the same as in one process, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client

from roomrec_async import ConfigurationError, Credentials, InvalidArgumentError, NotFoundError, RoomRecError, RoomResult
from roomrec_async.integrations.dask import ClusterSettings, archive_on, as_completed_on, local_cluster
from roomrec_async.simulator import Simulator

from .conftest import all_over, expected, kill_a_worker, kill_the_worker_at, settings, sids, until

UNKNOWN_ROOM = "RM" + "0" * 32
UNLIMITED: dict[str, Any] = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}


async def collected(results: AsyncIterator[RoomResult]) -> list[RoomResult]:
    return [result async for result in results]


def without_request_id(error: RoomRecError | None) -> str:
    return re.sub(r"RQ[0-9a-f]{32}", "RQ", str(error))


def assert_each_once(results: list[RoomResult], simulator: Simulator) -> None:
    assert Counter(result.room_sid for result in results) == Counter(simulator.room_sids)
    for result in results:
        assert result.error is None
        assert sids(result.recordings) == expected(simulator, result.room_sid)


async def test_gives_what_one_process_gives(cluster: Client) -> None:
    async with Simulator(23, (0, 60), 3, **UNLIMITED) as simulator, simulator.client() as client:
        rooms = [*simulator.room_sids, UNKNOWN_ROOM, "no room"]
        options: dict[str, Any] = {"status": "completed", "limit": 40}
        alone = {result.room_sid: result async for result in client.as_completed(rooms, **options)}
        results = await collected(as_completed_on(cluster, rooms, settings=settings(simulator), **options))
    assert Counter(result.room_sid for result in results) == Counter(rooms)
    for result in results:
        assert result.recordings == alone[result.room_sid].recordings
        assert type(result.error) is type(alone[result.room_sid].error)
        assert without_request_id(result.error) == without_request_id(alone[result.room_sid].error)
    by_room = {result.room_sid: result for result in results}
    assert isinstance(by_room[UNKNOWN_ROOM].error, NotFoundError)
    assert isinstance(by_room["no room"].error, InvalidArgumentError)


async def test_a_worker_dies_in_mid_run(mortal_cluster: Client) -> None:
    async with Simulator(40, (1, 20), reads_per_second=30, concurrency_limit=8, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=10)
        running = asyncio.create_task(collected(as_completed_on(mortal_cluster, simulator.room_sids, settings=options)))
        await kill_the_worker_at(mortal_cluster, simulator, 5)
        results = await running
        assert_each_once(results, simulator)
        stats = simulator.stats
    # The shard of the dead worker has run again, and nothing else has; all of it within the account's quota.
    assert 40 < stats.requests <= 50
    assert (stats.refused, stats.by_status) == (0, {200: stats.by_status[200]})
    assert stats.peak_in_flight <= 8


async def test_where_workers_die_again_and_again_its_rooms_have_errors() -> None:
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        async with Simulator(12, 1, latency=0.1) as simulator, local_cluster(2) as cluster:
            options = settings(simulator, rooms_per_shard=6, reads_per_second=10)
            running = asyncio.create_task(collected(as_completed_on(cluster, simulator.room_sids, settings=options)))
            await until(lambda: simulator.stats.requests >= 4)
            await kill_a_worker(cluster)
            results = await running
            failed = {result.room_sid for result in results if result.error}
            assert Counter(result.room_sid for result in results) == Counter(simulator.room_sids)
            assert failed in ({*simulator.room_sids[:6]}, {*simulator.room_sids[6:]})
            assert all("worker after worker died" in str(result.error) for result in results if result.error)


async def test_the_quota_is_the_accounts_also_between_jobs_and_shards(cluster: Client) -> None:
    """Two jobs, two workers, one slot: shards of a single room follow each other as fast as they can."""
    async with Simulator(5, 1, 104, reads_per_second=2, concurrency_limit=1, latency=0.1) as simulator:
        options = settings(simulator, slots=1, rooms_per_shard=1, max_concurrency=1)
        first, second = simulator.room_sids[:3], simulator.room_sids[3:]
        results = await asyncio.gather(
            collected(as_completed_on(cluster, first, settings=options)),
            collected(as_completed_on(cluster, second, settings=options)),
        )
        assert_each_once(results[0] + results[1], simulator)
        stats = simulator.stats
    assert (stats.requests, stats.refused, stats.peak_in_flight) == (5, 0, 1)


async def test_jobs_of_an_account_must_agree_on_the_slots(cluster: Client) -> None:
    async with Simulator(3, 1, 101) as simulator:
        await collected(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator)))
        requests = simulator.stats.requests
        with pytest.raises(ConfigurationError, match=r"same number of slots, here 3.*expected: 2"):
            await collected(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator, slots=3)))
        assert simulator.stats.requests == requests


async def test_by_default_there_is_a_slot_for_each_thread(cluster: Client) -> None:
    async with Simulator(3, 1, 102) as simulator:
        await collected(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator, slots=None)))
        with pytest.raises(ConfigurationError, match="expected: 2"):
            await collected(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator, slots=1)))


async def test_rooms_are_pulled_as_they_are_needed_and_leaving_stops_all(cluster: Client) -> None:
    pulled = 0

    def rooms(simulator: Simulator) -> Iterator[str]:
        nonlocal pulled
        for room_sid in simulator.room_sids:
            pulled += 1
            yield room_sid

    async with Simulator(1000, 1, latency=0.05) as simulator:
        results = as_completed_on(cluster, rooms(simulator), settings=settings(simulator, reads_per_second=40))
        async with aclosing(results):
            assert (await anext(results)).error is None
            # A consumer that takes nothing stops the shards: those with a slot, and few more, are there and done.
            await all_over(cluster, simulator)
            assert simulator.stats.requests == pulled <= 5 * (2 + 2 + 1)
        assert await all_over(cluster, simulator) == pulled


async def test_a_caller_who_is_cancelled_leaves_nothing_running(cluster: Client) -> None:
    async with Simulator(200, 1, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=100, reads_per_second=40)
        running = asyncio.create_task(collected(as_completed_on(cluster, simulator.room_sids, settings=options)))
        await until(lambda: simulator.stats.requests >= 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        # The slots were given back: far more than the few requests that were under way would be needed otherwise.
        assert await all_over(cluster, simulator) < 100
        # Whoever waited for a slot has not taken one with it.
        few = simulator.room_sids[:4]
        assert len(await collected(as_completed_on(cluster, few, settings=options))) == 4


async def test_a_caller_who_disappears_leaves_nothing_running(cluster: Client) -> None:
    async with Simulator(200, 1, latency=0.05) as simulator:
        options = settings(simulator, rooms_per_shard=100, reads_per_second=40)
        async with Client(cluster.scheduler.address, asynchronous=True) as other:
            running = asyncio.create_task(collected(as_completed_on(other, simulator.room_sids, settings=options)))
            await until(lambda: simulator.stats.requests >= 10)
        with pytest.raises(RoomRecError, match="the cluster has dropped roomrec-list-"):
            await running
        assert await all_over(cluster, simulator) < 100


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
    assert all(re.fullmatch(r"roomrec-list-[0-9a-f]{8}-00000[01]", key) for key in seen)
    assert "Compute Failed" in logged
    assert "_run_shard" in logged
    secret, header = simulator.credentials.password, simulator.credentials.authorization.split()[1]
    for text in (logged, repr(options), str(options), repr(results), *seen):
        assert secret not in text
        assert header not in text


async def test_mistakes_are_refused_before_anything_is_sent(cluster: Client) -> None:
    async with Simulator(2, 1) as simulator:
        right, rooms = settings(simulator), simulator.room_sids
        with pytest.raises(InvalidArgumentError, match="page_size"):
            as_completed_on(cluster, rooms, settings=right, page_size=0)
        with pytest.raises(InvalidArgumentError, match="room_sids must be an iterable"):
            as_completed_on(cluster, rooms[0], settings=right)
        with pytest.raises(InvalidArgumentError, match="time zone"):
            naive = datetime.now(UTC).replace(tzinfo=None)
            as_completed_on(cluster, rooms, settings=right, date_created_after=naive)
        with pytest.raises(ConfigurationError, match="a Dask client for this event loop"):
            as_completed_on("tcp://127.0.0.1:8786", rooms, settings=right)  # type: ignore[arg-type]
        assert simulator.stats.requests == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "slots must be an integer from 1"),
        ({"slots": True}, "slots must be an integer from 1"),
        ({"slots": 21}, "slots must be at most 20"),
        ({"slots": 4, "max_concurrency": 3}, "slots must be at most 3"),
        ({"rooms_per_shard": 0}, "rooms_per_shard must be an integer from 1"),
        ({"reads_per_second": 0}, "reads_per_second must be positive"),
        ({"reads_per_second": 0.5}, "slots must be at most 0"),
        ({"max_concurrency": "much"}, "max_concurrency must be"),
        ({"base_url": "http://example.com"}, "https"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ClusterSettings(credentials=Credentials("AC" + 32 * "0", "secret"), **options)


async def test_a_local_cluster_needs_a_process() -> None:
    with pytest.raises(ConfigurationError, match="workers must be an integer from 1, not 0"):
        async with local_cluster(0):
            pass
