"""The engine of everything that is done for many at once: how much it pulls, and how often it wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from roomrec_async._asyncio import map_concurrently


class Pieces:
    """Numbers without an end, that counts how many were pulled."""

    def __init__(self) -> None:
        self.pulled = 0

    async def __call__(self) -> AsyncGenerator[int, None]:
        while True:
            self.pulled += 1
            yield self.pulled


async def in_the_next_turn(piece: int) -> AsyncGenerator[int, None]:
    await asyncio.sleep(0)
    yield piece


async def settled() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("workers", "more"), [(1, 1), (4, 1), (5, 2), (40, 10)])
async def test_there_is_a_quarter_more_than_what_is_in_work_with_the_consumers_own(workers: int, more: int) -> None:
    pieces = Pieces()
    async with aclosing(map_concurrently(pieces(), in_the_next_turn, lambda: workers)) as items:
        for taken in range(1, 30):
            await anext(items)
            await settled()
            assert pieces.pulled - (taken - 1) == workers + more


async def test_with_fewer_workers_less_is_ready() -> None:
    pieces, workers = Pieces(), 40
    async with aclosing(map_concurrently(pieces(), in_the_next_turn, lambda: workers)) as items:
        await anext(items)
        await settled()
        workers = 4
        for _ in range(200):
            await anext(items)
        await settled()
        assert pieces.pulled == 200 + 4 + 1


async def test_all_of_it_comes_when_the_workers_become_fewer_and_the_work_ends() -> None:
    workers = 40

    async def work() -> AsyncGenerator[int, None]:
        nonlocal workers
        for piece in range(100):
            workers = max(2, workers - 1)
            yield piece

    async with asyncio.timeout(10):
        got = [item async for item in map_concurrently(work(), in_the_next_turn, lambda: workers)]
    assert sorted(got) == list(range(100))


async def test_what_is_ready_together_is_taken_without_turns_of_the_event_loop() -> None:
    loop, turns = asyncio.get_running_loop(), 0

    def count() -> None:
        nonlocal turns, ticking
        turns += 1
        ticking = loop.call_soon(count)

    ticking = loop.call_soon(count)
    async with aclosing(map_concurrently(Pieces()(), in_the_next_turn, lambda: 40)) as items:
        for _ in range(1000):
            await anext(items)
    ticking.cancel()
    assert turns < 500
