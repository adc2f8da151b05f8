"""Tests of what depends most on when tasks start: fan-out, prefetch, cancellation, closing and broken connections."""

from __future__ import annotations

import asyncio

from roomrec_async import RateLimiter
from roomrec_async.simulator import Simulator

from ..integration._media.conftest import client, recording, store
from ..integration._media.test_download import TestCancellation, TestDeadline, TestResume
from ..integration._media.test_locate import TestBrokenConnections
from ..integration.test_cancellation import sim, test_cancelled_at_every_await
from ..integration.test_closing import server, test_everything_under_way_ends_within_a_second
from ..integration.test_connections import (
    test_a_list_survives_any_number_of_dead_pooled_connections,
    test_an_outage_costs_at_most_two_fifths_more_requests,
)
from ..unit.test_asyncio import (
    test_all_of_it_comes_when_the_workers_become_fewer_and_the_work_ends,
    test_what_is_ready_together_is_taken_without_turns_of_the_event_loop,
    test_with_fewer_workers_less_is_ready,
)

__all__ = [
    "TestBrokenConnections",
    "TestCancellation",
    "TestDeadline",
    "TestResume",
    "client",
    "recording",
    "server",
    "sim",
    "store",
    "test_a_list_survives_any_number_of_dead_pooled_connections",
    "test_all_of_it_comes_when_the_workers_become_fewer_and_the_work_ends",
    "test_an_outage_costs_at_most_two_fifths_more_requests",
    "test_cancelled_at_every_await",
    "test_everything_under_way_ends_within_a_second",
    "test_what_is_ready_together_is_taken_without_turns_of_the_event_loop",
    "test_with_fewer_workers_less_is_ready",
]


async def test_tasks_are_eager() -> None:
    started = False

    async def start() -> None:
        nonlocal started
        started = True

    task = asyncio.get_running_loop().create_task(start())
    assert started
    await task


async def test_hundreds_of_permits_need_no_recursion() -> None:
    async with (
        Simulator(rooms=800, recordings_per_room=1, reads_per_second=None, concurrency_limit=None) as simulator,
        simulator.client(limiter=RateLimiter(400, None, None)) as listing,
    ):
        assert len(await listing.gather(simulator.room_sids)) == 800
        assert len([result async for result in listing.as_completed(simulator.room_sids)]) == 800
        assert len([recording async for recording in listing.stream(simulator.room_sids)]) == 800
