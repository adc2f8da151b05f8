"""Timeouts that share one timer, on an event loop whose clock runs ahead."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from roomrec_async import ClientClosedError
from roomrec_async._http.timers import SharedTimer, TimeoutScope


def now() -> float:
    return asyncio.get_running_loop().time()


def timers() -> int:
    """The timers of the event loop that are still to fire."""
    return sum(not handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)


@pytest.fixture(autouse=True)
async def _nothing_goes_wrong_in_callbacks() -> AsyncIterator[None]:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    yield
    assert reported == []


async def test_a_scope_expires_when_it_is_due() -> None:
    timer, begun = SharedTimer(), now()
    with pytest.raises(TimeoutError), timer.scope_for(3):
        await asyncio.sleep(10)
    assert now() - begun == pytest.approx(3)
    with pytest.raises(TimeoutError), TimeoutScope(timer, begun + 5):
        await asyncio.sleep(10)
    assert now() - begun == pytest.approx(5)


async def test_a_scope_that_was_left_expires_nothing_that_comes_after_it() -> None:
    timer = SharedTimer()
    with timer.scope_for(3) as scope:
        await asyncio.sleep(2)
    await asyncio.sleep(10)
    assert not scope.expired


async def test_a_block_that_cleans_up_slowly_is_not_cancelled_again() -> None:
    timer, ended = SharedTimer(), False
    with pytest.raises(TimeoutError), timer.scope_for(3):
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(5)
            ended = True
    assert ended


async def test_scopes_that_are_due_earlier_and_earlier_share_one_timer() -> None:
    timer, before = SharedTimer(), timers()
    with timer.scope_for(9), timer.scope_for(6), timer.scope_for(3):
        assert timers() == before + 1


@pytest.mark.parametrize("seconds", [1, 3, 30])
async def test_each_of_many_scopes_expires_at_its_own_time(seconds: int) -> None:
    timer, begun, ended = SharedTimer(), now(), {}

    async def block(after: float) -> None:
        try:
            with timer.scope_for(after):
                await asyncio.sleep(1000)
        except TimeoutError:
            ended[after] = now() - begun

    await asyncio.gather(*(block(after) for after in (seconds, 2, 20, 200)))
    assert ended == {after: pytest.approx(after) for after in ended}
    assert set(ended) == {seconds, 2, 20, 200}


@pytest.mark.parametrize(("seconds", "ends_at"), [(5, 7), (1, 3), (0.5, 2.5)])
async def test_a_scope_can_be_rescheduled_to_later_and_to_earlier(seconds: float, ends_at: float) -> None:
    timer, begun = SharedTimer(), now()
    with pytest.raises(TimeoutError), timer.scope_for(4) as scope:
        await asyncio.sleep(2)
        scope.reschedule(seconds)
        await asyncio.sleep(100)
    assert now() - begun == pytest.approx(ends_at)
    assert scope.seconds == seconds


async def test_a_wait_that_takes_too_long_ends_before_the_deadline_and_the_block_may_go_on() -> None:
    timer, begun, task = SharedTimer(), now(), asyncio.current_task()
    assert task is not None
    with pytest.raises(TimeoutError), TimeoutScope(timer, begun + 10) as scope:
        for waits in (1, 2):
            scope.reschedule(1)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(100)
            assert scope.wait_expired()
            assert (now() - begun, task.cancelling()) == (pytest.approx(waits), 0)
        scope.end_wait()
        assert not scope.wait_expired()
        await asyncio.sleep(100)
    assert now() - begun == pytest.approx(10)
    assert (scope.expired, task.cancelling()) == (True, 0)


async def test_no_wait_goes_past_the_deadline_and_the_deadline_is_no_wait() -> None:
    timer, begun, claimed = SharedTimer(), now(), []
    with pytest.raises(TimeoutError), TimeoutScope(timer, begun + 3) as scope:
        scope.reschedule(5)
        try:
            await asyncio.sleep(100)
        finally:
            claimed.append(scope.wait_expired())
    assert now() - begun == pytest.approx(3)
    assert (claimed, scope.expired) == ([False], True)


@pytest.mark.parametrize("cancelled_at", [1.0, 0.5])
async def test_a_cancellation_from_outside_is_no_wait_that_took_too_long(cancelled_at: float) -> None:
    timer, claimed = SharedTimer(), []

    async def block() -> None:
        with TimeoutScope(timer, math.inf) as scope:
            scope.reschedule(1)
            try:
                await asyncio.sleep(100)
            finally:
                claimed.append(scope.wait_expired())

    task = asyncio.create_task(block())
    asyncio.get_running_loop().call_later(cancelled_at, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert claimed == [False]


async def test_a_wait_that_ends_in_another_error_leaves_the_deadline_in_force() -> None:
    timer, begun, task = SharedTimer(), now(), asyncio.current_task()
    assert task is not None
    with pytest.raises(TimeoutError), TimeoutScope(timer, begun + 5) as scope:
        scope.reschedule(1)
        # Somebody on the way has made another error of the cancellation.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(100)
        scope.end_wait()
        assert task.cancelling() == 0
        await asyncio.sleep(100)
    assert now() - begun == pytest.approx(5)


async def test_closing_ends_a_block_whose_wait_took_too_long_at_the_same_moment() -> None:
    timer, claimed = SharedTimer(), []

    async def block() -> None:
        with TimeoutScope(timer, math.inf) as scope:
            scope.reschedule(1)
            try:
                await asyncio.sleep(100)
            finally:
                scope.close()
                claimed.append(scope.wait_expired())

    with pytest.raises(ClientClosedError):
        await asyncio.create_task(block())
    assert claimed == [False]


async def test_a_pause_restarts_timeouts_and_leaves_deadlines_alone() -> None:
    timer, begun = SharedTimer(), now()
    with pytest.raises(TimeoutError), TimeoutScope(timer, begun + 8), timer.scope_for(1) as scope:
        with timer.paused():
            await asyncio.sleep(5)
        await asyncio.sleep(0.9)
        scope.reschedule(1)
        with timer.paused():
            await asyncio.sleep(100)
    assert now() - begun == pytest.approx(8)
    assert not scope.expired


async def test_a_paused_timeout_expires_in_full_after_the_pause() -> None:
    timer, begun = SharedTimer(), now()
    with pytest.raises(TimeoutError), timer.scope_for(1):
        with timer.paused():
            await asyncio.sleep(5)
        await asyncio.sleep(100)
    assert now() - begun == pytest.approx(6)


async def test_a_pause_is_for_one_task_only() -> None:
    timer = SharedTimer()

    async def other() -> None:
        with timer.scope_for(1):
            await asyncio.sleep(3)

    with timer.scope_for(2), timer.paused():
        with pytest.raises(TimeoutError):
            await asyncio.create_task(other())
        await asyncio.sleep(5)


async def test_infinity_never_expires_and_needs_no_timer() -> None:
    timer, before = SharedTimer(), timers()
    with TimeoutScope(timer, math.inf), timer.scope_for(math.inf):
        assert timers() == before
        await asyncio.sleep(10_000)


async def test_a_cancellation_from_outside_stays_a_cancellation() -> None:
    timer = SharedTimer()

    async def block() -> None:
        with timer.scope_for(5):
            await asyncio.sleep(100)

    task = asyncio.create_task(block())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_same_moment_stays_a_cancellation() -> None:
    timer = SharedTimer()

    async def block() -> None:
        with timer.scope_for(5):
            await asyncio.sleep(100)

    task = asyncio.create_task(block())
    asyncio.get_running_loop().call_later(5, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_two_scopes_that_expire_at_once_end_both_blocks_once() -> None:
    timer, task = SharedTimer(), asyncio.current_task()
    assert task is not None
    with pytest.raises(TimeoutError), timer.scope_for(5) as outer, timer.scope_for(5) as inner:
        await asyncio.sleep(100)
    assert outer.expired
    assert inner.expired
    assert task.cancelling() == 0


async def test_a_thousand_scopes_share_one_timer_and_closing_leaves_none() -> None:
    timer, before = SharedTimer(), timers()

    async def block() -> None:
        with timer.scope_for(50):
            await asyncio.sleep(10)

    tasks = [asyncio.create_task(block()) for _ in range(1000)]
    await asyncio.sleep(1)
    assert timers() == before + len(tasks) + 1
    await asyncio.gather(*tasks)
    timer.close()
    assert timers() == before


async def test_an_error_in_the_block_passes_through() -> None:
    timer = SharedTimer()
    with pytest.raises(KeyError), timer.scope_for(5):
        raise KeyError


def test_the_next_event_loop_has_a_timer_of_its_own() -> None:
    timer = SharedTimer()

    async def block() -> None:
        with pytest.raises(TimeoutError), timer.scope_for(0.02):
            await asyncio.sleep(5)

    asyncio.run(block())
    asyncio.run(block())
