"""The directory of an export, and its store under a lease."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from roomrec_async import ConfigurationError, MediaError
from roomrec_async import _lease as leases
from roomrec_async._export.store import STATE_FOLDER, DirectoryStore, LeasedStore, ReplacePart, open_store
from roomrec_async._lease import Lease, ObjectVersion
from roomrec_async.integrations.stores import ObjectStore

LEASE = f"{STATE_FOLDER}/shard-00001.lease"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store in which those who watch a lease wait for an instant only."""
    monkeypatch.setattr(leases, "BEAT", 0.001)
    return ObjectStore(MemoryStore())


async def test_of_many_who_create_one_is_first(tmp_path: Path) -> None:
    stores = [DirectoryStore(tmp_path, f"shard-{index}") for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        created = [*pool.map(lambda store: store._create("a/plan.json", store.shard.encode()), stores)]
    assert sum(created) == 1
    assert await stores[0].read("a/plan.json") == stores[created.index(True)].shard.encode()
    assert [*(tmp_path / STATE_FOLDER / "tmp").iterdir()] == []


async def test_what_a_killed_process_left_is_not_written_through(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, "shard")
    assert await store.create("plan.json", b"first")
    # Killed between the second name of the file and the removal of the first.
    os.link(tmp_path / "plan.json", tmp_path / STATE_FOLDER / "tmp" / "shard.plan.json")
    assert not await store.create("plan.json", b"second")
    assert await store.read("plan.json") == b"first"
    await store.replace("plan.json", io.BytesIO(b"third"))
    assert await store.read("plan.json") == b"third"


async def test_a_missing_file(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, "shard")
    assert await store.read("missing") is None
    assert not await store.exists("missing")


async def test_a_shard_is_written_by_one_process(tmp_path: Path) -> None:
    async with open_store(tmp_path, "shard-00001"), open_store(tmp_path, "shard-00002"):
        with pytest.raises(MediaError, match="another process is exporting"):
            async with open_store(tmp_path, "shard-00001"):
                pass
    async with open_store(tmp_path, "shard-00001"):
        pass


async def test_a_destination_that_cannot_hold_an_export() -> None:
    with pytest.raises(ConfigurationError, match="read and create"):
        async with open_store(object(), "shard"):  # type: ignore[arg-type]
            pass


async def take_over(store: ObjectStore) -> tuple[LeasedStore, ReplacePart]:
    """Take the lease, from whoever has it, and prepare a part."""
    leased = LeasedStore(store, Lease(store, LEASE, "exporting"))
    await leased.lease.acquire()
    return leased, await leased.prepare_part("part-1")


async def test_who_lost_the_lease_writes_no_part(store: ObjectStore) -> None:
    _, replace_late = await take_over(store)
    heir, replace = await take_over(store)
    await replace(io.BytesIO(b"of the heir"))
    for content in (b"of the dead", bytes(6 * 2**20)):
        with pytest.raises(MediaError, match="taken over"):
            await replace_late(io.BytesIO(content))
    assert await heir.read("part-1") == b"of the heir"


async def test_what_arrived_late_is_replaced_by_the_heir(store: ObjectStore) -> None:
    _, replace_late = await take_over(store)
    heir, replace = await take_over(store)
    await replace_late(io.BytesIO(b"late"))
    await replace(io.BytesIO(b"of the heir"))
    assert await heir.read("part-1") == b"of the heir"


async def test_a_directory_of_obstore_has_no_lease(tmp_path: Path) -> None:
    destination = ObjectStore(LocalStore(tmp_path))
    async with open_store(destination, "shard-00001"), open_store(destination, "shard-00001"):
        pass
    assert [*tmp_path.rglob("*.lease")] == []


async def test_a_store_that_ignores_conditions_is_refused(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def obey(self: ObjectStore, name: str, data: bytes, version: ObjectVersion | None) -> ObjectVersion | None:
        await self.delete(name)
        return await exchange(self, name, data, None)

    exchange = ObjectStore.exchange
    monkeypatch.setattr(ObjectStore, "exchange", obey)
    with pytest.raises(ConfigurationError, match=r"memory:/// ignores conditional requests .* or to a directory"):
        async with open_store(store, "shard-00001"):
            pass
