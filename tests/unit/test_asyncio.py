"""Waiting for what must not be left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from threading import Event

import pytest

from roomrec_async._asyncio import cancel_and_wait, map_concurrently, open_in_thread, run_in_thread, wait_finished
from roomrec_async.errors import RoomRecError


async def test_whoever_is_cancelled_twice_still_comes_after_the_thread() -> None:
    ended = Event()

    def work() -> None:
        time.sleep(0.1)
        ended.set()

    waiting = asyncio.create_task(run_in_thread(work))
    for _ in range(2):
        await asyncio.sleep(0.02)
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()


async def test_what_the_thread_gives_or_raises_comes_out() -> None:
    assert await run_in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(lambda: 1 / 0)


async def test_what_is_opened_for_a_caller_who_is_cancelled_is_discarded(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    started, goes_on = Event(), Event()

    def create() -> Path:
        path.touch()
        started.set()
        goes_on.wait(30)
        return path

    opening = asyncio.create_task(open_in_thread(create, Path.unlink))
    await asyncio.to_thread(started.wait, 30)
    opening.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not path.exists()

    assert await open_in_thread(create, Path.unlink) == path
    assert path.exists()
    with pytest.raises(ZeroDivisionError):
        await open_in_thread(lambda: 1 / 0, lambda _: pytest.fail("there is nothing to discard"))


async def test_a_task_that_takes_its_time_to_end_is_waited_for() -> None:
    steps: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            steps.append("ended")

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    ending = asyncio.create_task(cancel_and_wait(task))
    await asyncio.sleep(0.01)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert steps == ["ended"]


async def test_an_error_that_nobody_wants_is_not_reported() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def fail() -> None:
        raise ValueError("nobody wants it")

    await wait_finished(asyncio.create_task(fail()))
    await asyncio.sleep(0)
    assert reported == []


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


async def test_a_pool_that_somebody_else_cancels_has_failed() -> None:
    """As by a program that cancels all tasks but its own."""

    async def source() -> AsyncGenerator[int, None]:
        for number in range(5):
            await asyncio.sleep(0)
            yield number

    async def produce(number: int) -> AsyncGenerator[int, None]:
        yield number

    before = asyncio.all_tasks()
    async with aclosing(map_concurrently(source(), produce, lambda: 1)) as items:
        await anext(items)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        with pytest.raises(RoomRecError, match="nobody cancelled the operation"):
            async for _ in items:
                pass


@pytest.mark.parametrize("name", ["_WorkerPool.run()", "_run_worker()"])
async def test_a_task_of_a_pool_that_somebody_else_cancels_before_it_begins_has_failed(name: str) -> None:
    async def source() -> AsyncGenerator[int, None]:
        for number in range(5):
            yield number

    async def take_all() -> list[int]:
        return [item async for item in map_concurrently(source(), in_the_next_turn, lambda: 1)]

    taking = asyncio.create_task(take_all())
    while not (found := [task for task in asyncio.all_tasks() if name in repr(task)]):
        await asyncio.sleep(0)
    found[0].cancel()
    with pytest.raises(RoomRecError, match="nobody cancelled the operation"):
        async with asyncio.timeout(10):
            await taking


async def test_a_limit_that_ends_cancelled_is_a_failure() -> None:
    async def source() -> AsyncGenerator[int, None]:
        yield 1

    async def produce(number: int) -> AsyncGenerator[int, None]:
        yield number

    def limit() -> int:
        raise asyncio.CancelledError

    with pytest.raises(RoomRecError, match="nobody cancelled the operation"):
        async for _ in map_concurrently(source(), produce, limit):
            pass
