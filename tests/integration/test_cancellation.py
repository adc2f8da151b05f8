"""Each operation, cancelled at every await that it passes: nothing is left behind, and the client goes on."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from datetime import UTC, datetime
from typing import Any

import pytest

from roomrec_async import RateLimiter, Recording, RecordingsClient, RetryPolicy, RoomRecError
from roomrec_async.simulator import Simulator, faults

BEGINNING = datetime(2025, 12, 1, tzinfo=UTC)

# A loop that is left in its body ends its generator by way of the event loop.
TURNS_TO_END = 5

Operation = Callable[[RecordingsClient, Simulator], Coroutine[Any, Any, object]]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        4, 9, seed=1, reads_per_second=None, writes_per_second=None, concurrency_limit=None, media_size=300_000
    ) as simulator:
        yield simulator


async def list_one(client: RecordingsClient, sim: Simulator) -> object:
    return await client.recordings(sim.room_sids[0], page_size=4).to_list()


async def iterate_one(client: RecordingsClient, sim: Simulator) -> object:
    return [recording async for recording in client.recordings(sim.room_sids[0], page_size=4)]


async def page_one(client: RecordingsClient, sim: Simulator) -> object:
    async for _ in client.recordings(sim.room_sids[0], page_size=4).pages():
        await asyncio.sleep(0)
    return None


async def first_of_one(client: RecordingsClient, sim: Simulator) -> object:
    return await client.recordings(sim.room_sids[0]).first()


async def gather_many(client: RecordingsClient, sim: Simulator) -> object:
    return await client.gather(sim.room_sids, page_size=4)


async def complete_many(client: RecordingsClient, sim: Simulator) -> object:
    return [result async for result in client.as_completed(sim.room_sids, page_size=4)]


async def stream_many(client: RecordingsClient, sim: Simulator) -> object:
    return [recording async for recording in client.stream(sim.room_sids, page_size=4)]


async def retried(client: RecordingsClient, sim: Simulator) -> object:
    sim.inject(faults.Respond(503), times=2)
    return await client.recordings(sim.room_sids[0]).to_list()


async def list_rooms(client: RecordingsClient, sim: Simulator) -> object:
    return await client.rooms(status="completed", page_size=1).to_list()


async def gather_via_account(client: RecordingsClient, sim: Simulator) -> object:
    return await client.gather(sim.room_sids, via="account", date_created_after=BEGINNING, page_size=20)


async def fetch_and_delete(client: RecordingsClient, sim: Simulator) -> object:
    recording = a_recording(sim)
    await client.recording(sim.room_sids[0], str(recording.sid))
    await client.delete(sim.room_sids[0], str(recording.sid))
    return sim.account.deletions.clear()


async def download(client: RecordingsClient, sim: Simulator) -> object:
    sim.store.inject(faults.ResetMidBody(after=100_000))
    with tempfile.TemporaryDirectory() as directory:
        return await client.download(a_recording(sim), directory)


async def archive(client: RecordingsClient, sim: Simulator) -> object:
    with tempfile.TemporaryDirectory() as directory:
        report = await client.archive(sim.room_sids[:1], directory, delete=True, manifest=("jsonl",))
    sim.account.deletions.clear()
    return report


def a_recording(sim: Simulator) -> Recording:
    record = next(sim.recordings(sim.room_sids[0], "completed"))
    return Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0], size=int(str(record["size"])))


OPERATIONS = [
    list_one, iterate_one, page_one, first_of_one, gather_many, complete_many, stream_many, retried, list_rooms,
    gather_via_account, fetch_and_delete, download, archive,
]  # fmt: skip


@types.coroutine
def cancelled_at(coroutine: Coroutine[Any, Any, object], number: int) -> Generator[Any, Any, bool]:
    """Run a coroutine and cancel it at its n-th await; whether it passed so many."""
    awaits = 0
    thrown: BaseException | None = None
    while True:
        try:
            awaited = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
        except StopIteration:
            return awaits >= number
        awaits += 1
        if awaits == number:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001  it goes to the coroutine
            thrown = error
        else:
            thrown = None


async def ended(awaitable: Awaitable[bool]) -> bool:
    return await awaitable


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_cancelled_at_every_await(operation: Operation, sim: Simulator) -> None:
    limiter = RateLimiter(2, None, None)
    servers = asyncio.all_tasks()
    async with sim.client(limiter=limiter, retry=RetryPolicy(base_delay=0.001)) as client:
        await list_one(client, sim)  # opens a connection
        for number in range(1, 1000):
            sim.clear_faults()
            sim.store.clear_faults()
            sim.account.deletions.clear()
            task = asyncio.create_task(ended(cancelled_at(operation(client, sim), number)))
            await asyncio.wait([task])
            if not task.cancelled():
                assert task.result() is False, f"await {number} swallowed its cancellation"
                break
            for _ in range(TURNS_TO_END):
                await asyncio.sleep(0)
            assert limiter.in_flight == limiter.waiting == 0, f"cancelled at await {number}"
            left = {task for task in asyncio.all_tasks() - servers if "RequestHandler" not in repr(task)}
            assert not left, f"cancelled at await {number}"
        assert number > 1
        sim.clear_faults()
        assert len(await client.gather(sim.room_sids)) == 4


ENDED_EARLY = [gather_many, stream_many, complete_many, gather_via_account, download, archive]


def tasks_left(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}


@pytest.mark.parametrize("operation", ENDED_EARLY, ids=lambda operation: operation.__name__)
async def test_a_time_out_around_it_leaves_nothing(operation: Operation, sim: Simulator) -> None:
    limiter = RateLimiter(2, None, None)
    servers = asyncio.all_tasks()
    async with sim.client(limiter=limiter) as client:
        for turn in range(1, 6):
            sim.store.clear_faults()
            sim.inject(faults.StallBody(after=10, seconds=0.02), times=None)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(turn / 300):
                    await operation(client, sim)
            for _ in range(TURNS_TO_END):
                await asyncio.sleep(0)
            assert limiter.in_flight == limiter.waiting == 0
            assert not tasks_left(servers)
        sim.clear_faults()
        assert len(await client.gather(sim.room_sids)) == 4


@pytest.mark.parametrize("operation", ENDED_EARLY, ids=lambda operation: operation.__name__)
async def test_a_task_group_that_fails_beside_it_leaves_nothing(operation: Operation, sim: Simulator) -> None:
    limiter = RateLimiter(2, None, None)
    servers = asyncio.all_tasks()

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise LookupError("something else went wrong")

    async with sim.client(limiter=limiter) as client:
        sim.inject(faults.StallBody(after=10, seconds=0.02), times=None)
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(operation(client, sim))
                group.create_task(fail())
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        for _ in range(TURNS_TO_END):
            await asyncio.sleep(0)
        assert limiter.in_flight == limiter.waiting == 0
        assert not tasks_left(servers)
        sim.clear_faults()
        assert len(await client.gather(sim.room_sids)) == 4


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_an_event_loop_that_ends_under_it_leaves_nothing(operation: Operation) -> None:
    """What :func:`asyncio.run` does to tasks that nobody waits for, and to generators that nobody has closed."""
    limiter = RateLimiter(2, None, None)
    reported: list[object] = []

    async def operate(simulator: Simulator) -> None:
        async with simulator.client(limiter=limiter) as client:
            abandoned = aiter(client.stream(simulator.room_sids, page_size=1))
            await anext(abandoned)
            simulator.inject(faults.StallBody(after=10, seconds=0.5), times=None)
            await operation(client, simulator)

    async def leave_it(simulator: Simulator) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        task = asyncio.create_task(operate(simulator))
        await asyncio.sleep(0.03)
        assert not task.done()

    with Simulator(4, 9, seed=1, reads_per_second=None, writes_per_second=None, media_size=300_000) as simulator:
        asyncio.run(leave_it(simulator))
    gc.collect()
    assert limiter.in_flight == limiter.waiting == 0
    assert reported == []


async def test_a_prefetch_that_somebody_else_cancels_has_failed(sim: Simulator) -> None:
    """As by a program that cancels all tasks but its own."""
    sim.latency = 0.05
    async with sim.client() as client:
        pages = client.recordings(sim.room_sids[0], page_size=4).pages()
        await anext(pages)
        await asyncio.sleep(0.01)
        (prefetch,) = [task for task in asyncio.all_tasks() if "._fetch()" in repr(task)]
        prefetch.cancel()
        with pytest.raises(RoomRecError, match="nobody cancelled the operation") as caught:
            await anext(pages)
        rest = client.recordings(sim.room_sids[0], page_size=4, resume=caught.value.resume_token)
        assert len(await rest.to_list()) == 9 - 4
