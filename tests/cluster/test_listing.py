"""Listing on a cluster of processes gives the same as in one process, even when a worker dies."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from distributed import Client

from roomrec_async import ConfigurationError, InvalidArgumentError, NotFoundError, RoomRecError
from roomrec_async.integrations.dask import as_completed_on
from roomrec_async.simulator import Simulator

from .conftest import (
    UNKNOWN_ROOM,
    UNLIMITED,
    assert_each_once,
    collect,
    kill_the_worker_at,
    requests_when_idle,
    settings,
)


def without_request_id(error: RoomRecError | None) -> str:
    return re.sub(r"RQ[0-9a-f]{32}", "RQ", str(error))


async def test_gives_what_one_process_gives(cluster: Client) -> None:
    async with Simulator(23, (0, 60), 3, **UNLIMITED) as simulator, simulator.client() as client:
        rooms = [*simulator.room_sids, UNKNOWN_ROOM, "no room"]
        options: dict[str, Any] = {"status": "completed", "limit": 40}
        alone = {result.room_sid: result async for result in client.as_completed(rooms, **options)}
        results = await collect(as_completed_on(cluster, rooms, settings=settings(simulator), **options))
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
        running = asyncio.create_task(collect(as_completed_on(mortal_cluster, simulator.room_sids, settings=options)))
        await kill_the_worker_at(mortal_cluster, simulator, simulator.room_sids[5], shard=0)
        results = await running
        assert_each_once(results, simulator)
        stats = simulator.stats
    # The shard of the dead worker has run again, and nothing else has; all of it within the account's quota.
    assert 40 < stats.requests <= 50
    assert (stats.refused, stats.by_status) == (0, {200: stats.by_status[200]})
    assert stats.peak_in_flight <= 8


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
            await requests_when_idle(cluster, simulator)
            assert simulator.stats.requests == pulled <= 5 * (2 + 2 + 1)
        assert await requests_when_idle(cluster, simulator) == pulled


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
            as_completed_on("tcp://127.0.0.1:8786", rooms, settings=right)
        assert simulator.stats.requests == 0
