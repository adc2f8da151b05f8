"""Waiting for what must not be left behind."""

from __future__ import annotations

import asyncio
import time
from threading import Event

import pytest

from roomrec_async._asyncio import cancel_and_wait, run_in_thread, wait_finished


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
