"""Waiting for what must not be left behind, and working on many things at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Final, Generic, TypeVar

from roomrec_async.errors import ConfigurationError, RoomRecError

_Result = TypeVar("_Result")
_Work = TypeVar("_Work")
_Item = TypeVar("_Item")

_WORKERS_PER_READY_SLOT: Final = 4
_NO_SCOPE: Final = nullcontext()


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        ConfigurationError: there is none, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "no asyncio event loop is running: await this in a coroutine that asyncio.run() runs; under trio, in "
            "trio_asyncio's aio_as_trio()"
        ) from None


def unrequested_cancellation() -> RoomRecError:
    """Return the error for an operation that met a CancelledError though nobody cancelled it."""
    return RoomRecError(
        "something that the operation waited for was cancelled, though nobody cancelled the operation: look for a task "
        "or a session that the program cancels or closes meanwhile"
    )


def is_cancelling() -> bool:
    """Return True if somebody asked for the cancellation of the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def call_destination(call: Awaitable[_Result]) -> _Result:
    """Return what a method of a destination returns.

    Raises:
        RoomRecError: it ended cancelled, though nobody cancelled the current task.
    """
    try:
        return await call
    except asyncio.CancelledError:
        if is_cancelling():
            raise
        raise unrequested_cancellation() from None


async def task_result(task: asyncio.Task[_Result]) -> _Result:
    """Wait for a task, and return its result. Cancelling the caller cancels the task.

    Raises:
        RoomRecError: the task was cancelled, though nobody cancelled the current one.
    """
    return await call_destination(task)


async def wait_finished(future: asyncio.Future[_Result]) -> None:
    """Wait until a future is done, whatever it ends with, and however often the waiting task is cancelled meanwhile.

    For what cannot be stopped, such as a thread, and for what must have stopped before its caller goes on.

    Raises:
        CancelledError: the waiting task was cancelled; the future is done nevertheless.
    """
    cancellation = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancellation = error

    # An exception that nobody retrieves would be reported when the future is collected.
    if not future.cancelled():
        future.exception()
    if cancellation is not None:
        raise cancellation


async def run_in_thread(function: Callable[[], _Result], executor: Executor | None = None) -> _Result:
    """Run a function in a thread, by default one of the event loop's, and return its result.

    Threads cannot be stopped: a caller that is cancelled waits for the end of the function.
    """
    working = running_loop().run_in_executor(executor, function)
    await wait_finished(working)
    return working.result()


async def open_in_thread(function: Callable[[], _Result], discard: Callable[[_Result], object]) -> _Result:
    """Run a function that opens or creates something in a thread, and return it.

    Args:
        function: opens it.
        discard: closes or removes it, for a caller that is cancelled meanwhile and never gets it.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        await wait_finished(opening)
    except asyncio.CancelledError:
        if opening.exception() is None:
            discard(opening.result())
        raise
    return opening.result()


async def cancel_and_wait(task: asyncio.Task[_Result]) -> None:
    """Cancel a task and wait until it is done, whatever it ends with."""
    task.cancel()
    await wait_finished(task)


async def map_concurrently(
    source: AsyncGenerator[_Work, None],
    produce: Callable[[_Work], AsyncGenerator[_Item, None]],
    limit: Callable[[], int],
    scope: AbstractContextManager[object] = _NO_SCOPE,
) -> AsyncGenerator[_Item, None]:
    """Yield what ``produce`` yields for each piece of work, as items become ready.

    Work is pulled from the source as there is capacity for it. Where the consumer is slow, workers wait, and nothing
    more is pulled, produced or kept than what they are at, and for every four of them one item that is ready or in the
    consumer's hands. Leaving the generator cancels all work under way and closes the source.

    Args:
        source: the pieces of work.
        produce: yields the items of a piece.
        limit: returns how many pieces may be under way; asked again and again, because it may change.
        scope: a block that all of the work runs in, such as one that ends when a client is closed.
    """
    pool = _WorkerPool(source, produce, limit)
    workers = running_loop().create_task(pool.run(scope))
    # Also if it is cancelled before it begins.
    workers.add_done_callback(lambda _: pool.ready.put_nowait(None))
    try:
        while (ready := await pool.ready.get()) is not None:
            yield ready[0]
            pool.ready_slots.release()
        await task_result(workers)
    finally:
        try:
            await cancel_and_wait(workers)
        finally:
            await source.aclose()


class _WorkerPool(Generic[_Work, _Item]):
    """The workers of :func:`map_concurrently`.

    A worker that has an item goes on at once, so that the consumer finds many where many came together: to wait for
    the consumer each time would cost turns of the event loop.
    """

    def __init__(
        self,
        source: AsyncGenerator[_Work, None],
        produce: Callable[[_Work], AsyncGenerator[_Item, None]],
        limit: Callable[[], int],
    ) -> None:
        self._source = source
        self._produce = produce
        self._limit = limit
        # The task of run(), whose cancellation or failure cancels the workers.
        self._task: asyncio.Task[object] | None = None
        # Number of workers that run.
        self._workers = 0
        # True while a worker is being started: a worker that sees it runs within that call.
        self._starting = False
        # An async generator cannot be iterated by two tasks at once.
        self._source_lock = asyncio.Lock()
        # Items that are ready, each in a tuple because it may be None; None after the last one.
        self.ready: asyncio.Queue[tuple[_Item] | None] = asyncio.Queue()
        # How many more items may be ready or in the consumer's hands.
        self.ready_slots = asyncio.Semaphore(0)

    async def run(self, scope: AbstractContextManager[object]) -> None:
        """Run workers until the source is exhausted and all work is done."""
        self._task = asyncio.current_task()
        try:
            with scope:
                async with asyncio.TaskGroup() as group:
                    self._start_workers(group, 1)
        except BaseExceptionGroup as failures:
            # The first one is what went wrong; the others are its consequences.
            raise failures.exceptions[0] from None

        # A worker that was cancelled before it began could not say so.
        if self._workers:
            raise unrequested_cancellation()

    def _start_workers(self, group: asyncio.TaskGroup, count: int) -> None:
        # At least one: where the limit is 0 for a moment, the source is not exhausted.
        for _ in range(min(count, max(1, self._limit()) - self._workers)):
            if self._workers % _WORKERS_PER_READY_SLOT == 0:
                self.ready_slots.release()
            self._workers += 1
            self._starting = True
            group.create_task(self._run_worker(group))
            self._starting = False

    async def _worker_done(self) -> None:
        self._workers -= 1
        if self._workers % _WORKERS_PER_READY_SLOT == 0:
            await self.ready_slots.acquire()

    async def _run_worker(self, group: asyncio.TaskGroup) -> None:
        """Take piece after piece, while there are any and this worker is not one too many.

        A worker that finds work starts the next two, so that little work needs few workers and much work has them soon.
        """
        try:
            # Where tasks start eagerly, each worker would start the next ones within its own call, and these theirs.
            if self._starting:
                await asyncio.sleep(0)
            while self._workers <= max(1, self._limit()) and (work := await self._next_work()) is not None:
                self._start_workers(group, 2)
                async with aclosing(self._produce(work[0])) as items:
                    async for item in items:
                        await self.ready_slots.acquire()
                        self.ready.put_nowait((item,))
            await self._worker_done()
        except asyncio.CancelledError:
            # Not that of the worker itself: the source, or a timeout in it, may have cancelled the worker's task.
            if self._task is not None and self._task.cancelling():
                raise
            # A task group takes a cancelled worker for one that is done, and the rest of its work would be lost.
            raise unrequested_cancellation() from None

    async def _next_work(self) -> tuple[_Work] | None:
        async with self._source_lock:
            async for work in self._source:
                return (work,)
        return None
