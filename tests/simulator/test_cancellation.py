"""Each operation, cancelled at every await that it passes: nothing is left behind, and the client goes on."""

from __future__ import annotations

import asyncio
import tempfile
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from datetime import UTC, datetime
from typing import Any

import pytest

from roomrec_async import RateLimiter, Recording, RecordingsClient, RetryPolicy
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
    return sim.world.deletions.clear()


async def download(client: RecordingsClient, sim: Simulator) -> object:
    sim.store.inject(faults.ResetMidBody(after=100_000))
    with tempfile.TemporaryDirectory() as directory:
        return await client.download(a_recording(sim), directory)


async def archive(client: RecordingsClient, sim: Simulator) -> object:
    with tempfile.TemporaryDirectory() as directory:
        report = await client.archive(sim.room_sids[:1], directory, delete=True, manifest=("jsonl",))
    sim.world.deletions.clear()
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
            sim.world.deletions.clear()
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
