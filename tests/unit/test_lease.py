"""A lease in a store."""

from __future__ import annotations

import asyncio

import pytest
from obstore.store import MemoryStore

from roomrec_async import MediaError
from roomrec_async import _lease as leases
from roomrec_async._lease import Lease, LeaseLostError, ObjectVersion, hold
from roomrec_async.integrations.stores import ObjectStore

NAME = "_roomrec/shard-00001.lease"


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(MemoryStore())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who watch a lease wait for an instant only."""
    monkeypatch.setattr(leases, "BEAT", 0.001)


@pytest.mark.usefixtures("short")
async def test_a_lease_that_does_not_change_is_taken_over_and_its_holder_told(store: ObjectStore) -> None:
    dead, living = Lease(store, NAME, "exporting"), Lease(store, NAME, "exporting")
    await dead.acquire()
    await living.acquire()
    await living.confirm()
    for _ in range(2):
        with pytest.raises(LeaseLostError, match="another process has taken over and is exporting to memory:///"):
            await dead.confirm()
    # Nor does it let go what is another's.
    await dead.release()
    await living.confirm()


async def test_a_lease_that_changes_is_left_alone(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Lease(store, NAME, "exporting")
    await holder.acquire()

    async def sleep(_: float) -> None:
        await holder.confirm()

    monkeypatch.setattr(leases.asyncio, "sleep", sleep)
    with pytest.raises(MediaError, match=r"another process is exporting to memory:///: wait"):
        await Lease(store, NAME, "exporting").acquire()
    await holder.confirm()


async def test_a_lease_that_is_let_go_is_free_at_once(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 1e6)
    async with hold(Lease(store, NAME, "exporting")):
        pass
    async with hold(Lease(store, NAME, "exporting")):
        pass


@pytest.mark.usefixtures("short")
async def test_of_many_who_take_over_one_does(store: ObjectStore) -> None:
    await Lease(store, NAME, "exporting").acquire()
    heirs = [Lease(store, NAME, "exporting") for _ in range(8)]
    results = await asyncio.gather(*(heir.acquire() for heir in heirs), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, MediaError) for result in results) == 7
    await heirs[results.index(None)].confirm()


@pytest.mark.usefixtures("short")
async def test_a_damaged_lease_is_watched_as_one_that_is_held(store: ObjectStore) -> None:
    await store.create(NAME, b"{")
    await Lease(store, NAME, "exporting").acquire()


class Unsure(ObjectStore):
    """Obeys, and its answer is lost: the request that is sent again finds another version."""

    async def exchange(self, name: str, data: bytes, version: ObjectVersion | None) -> ObjectVersion | None:
        await super().exchange(name, data, version)
        return await super().exchange(name, data, version)


async def test_an_answer_that_was_lost_is_no_loss() -> None:
    lease = Lease(Unsure(MemoryStore()), NAME, "exporting")
    await lease.acquire()
    for _ in range(3):
        await lease.confirm()


async def test_a_store_that_fails_is_no_loss(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(store, NAME, "exporting")
    await lease.acquire()

    async def fail(*_: object) -> None:
        raise MediaError("down")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "exchange", fail)
        with pytest.raises(MediaError, match="down"):
            await lease.confirm()
    await lease.confirm()


@pytest.mark.parametrize("obeyed", ["If-None-Match", "If-Match", "both"])
async def test_a_store_that_ignores_conditions_is_found_out(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, obeyed: str
) -> None:
    exchange = ObjectStore.exchange
    lease = Lease(store, NAME, "exporting")
    await lease.acquire()

    async def forget(self: ObjectStore, name: str, data: bytes, version: ObjectVersion | None) -> ObjectVersion | None:
        kind = "If-None-Match" if version is None else "If-Match"
        if obeyed not in (kind, "both"):
            # As a store does that does not know the header.
            await self.delete(name)
            version = None
        return await exchange(self, name, data, version)

    monkeypatch.setattr(ObjectStore, "exchange", forget)
    assert await lease.is_exclusive() is (obeyed == "both")
    if obeyed == "both":
        await lease.confirm()


async def test_a_lease_is_confirmed_when_that_was_done_too_long_ago(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, now = Lease(store, NAME, "exporting"), 1000.0
    monkeypatch.setattr(leases, "monotonic", lambda: now)
    await lease.acquire()
    found = await store.read_version(NAME)
    assert found
    await store.exchange(NAME, b'{"holder": "another"}', found[1])
    now += 2 * leases.BEAT
    await lease.ensure()
    now += 0.001
    for _ in range(2):
        with pytest.raises(LeaseLostError):
            await lease.ensure()
