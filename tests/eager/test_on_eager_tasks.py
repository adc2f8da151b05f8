"""What only eager tasks show. ``nox -s eager`` runs the integration and unit tests on them as well."""

from __future__ import annotations

import asyncio

from roomrec_async import RateLimiter
from roomrec_async.simulator import Simulator


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
