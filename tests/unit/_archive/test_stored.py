"""The state of an archive in a store in memory: what it is made of, and what is deleted of it."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import Any

import pytest
from obstore.store import MemoryStore

from roomrec_async import ConfigurationError, MediaError, Recording
from roomrec_async._archive import stored as stored_module
from roomrec_async._archive.guard import GuardedStore, can_hold_state
from roomrec_async._archive.stored import INDEX, StateError, StoredState, open_state
from roomrec_async._lease import Lease, LeaseLostError
from roomrec_async.integrations.stores import ObjectStore

ACCOUNT = "AC" + "a" * 32


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setattr(stored_module, "_MAX_PARTS", 3)
    return ObjectStore(MemoryStore())


async def add(state: StoredState, *numbers: int) -> None:
    await state.ledger.add_recordings(Recording(sid=f"RT{number:032x}", room_sid="RM1") for number in numbers)


async def numbers_in(store: ObjectStore) -> list[int]:
    async with open_state(store, ACCOUNT) as state:
        return [int(entry.sid[2:], 16) for entry in await state.ledger.next_entries(0)]


async def names_in(store: ObjectStore) -> set[str]:
    return {name async for name, _ in store.sizes("_roomrec/archive/")}


async def index_of(store: ObjectStore) -> dict[str, Any]:
    found = await store.read_version(INDEX)
    assert found
    return json.loads(found[0])


async def named_in_index(store: ObjectStore) -> set[str]:
    index = await index_of(store)
    journals = [*index["journals"], {"folder": index["folder"], "parts": 0}]
    parts = {name for name in await names_in(store) if any(name.startswith(each["folder"]) for each in journals)}
    return {file["name"] for file in index["files"]} | parts


async def test_parts_become_files_and_what_is_no_longer_named_is_deleted(store: ObjectStore) -> None:
    async with open_state(store, ACCOUNT) as state:
        await add(state, *range(1, 300))
    number, most = 299, 0
    for _ in range(24):
        async with open_state(store, ACCOUNT) as state:
            for _ in range(2):
                number += 1
                await add(state, number)
                await state.finish()
        assert await names_in(store) == await named_in_index(store)
        most = max(most, len((await index_of(store))["files"]))
        assert len(await names_in(store)) <= 3 + most
    assert await numbers_in(store) == list(range(1, number + 1))
    # Files are added, until they have outgrown the first one.
    assert most > 1
    assert len((await index_of(store))["files"]) < 24 * 2 // 3


async def test_a_run_without_changes_writes_the_index_only(store: ObjectStore) -> None:
    async with open_state(store, ACCOUNT) as state:
        await add(state, 1)
        await state.finish()
    before = await names_in(store)
    for _ in range(3):
        async with open_state(store, ACCOUNT) as state:
            await state.sync()
            await state.finish()
    assert await names_in(store) == before
    assert len((await index_of(store))["journals"]) == 1


async def test_many_who_wait_are_served_by_few_writes(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_module, "_MAX_PARTS", 100)
    async with open_state(store, ACCOUNT) as state:

        async def note(number: int) -> None:
            await add(state, number)
            await state.sync()
            assert number in written

        written: list[int] = []
        create = ObjectStore.create

        async def slow(self: ObjectStore, name: str, data: bytes) -> bool:
            entries = await state.ledger.next_entries(0)
            await asyncio.sleep(0.05)
            done = await create(self, name, data)
            written.extend(int(entry.sid[2:], 16) for entry in entries)
            return done

        monkeypatch.setattr(ObjectStore, "create", slow)
        await asyncio.gather(*map(note, range(1, 41)))
        assert len(await names_in(store)) < 10
    assert await numbers_in(store) == sorted(set(written))


async def test_what_was_done_before_an_error_is_kept(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_state(store, ACCOUNT) as state:
            await add(state, 1, 2)
            raise ZeroDivisionError
    assert await numbers_in(store) == [1, 2]


async def test_a_request_that_is_sent_again_is_no_conflict(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    create, exchange = ObjectStore.create, ObjectStore.exchange

    async def create_twice(self: ObjectStore, name: str, data: bytes) -> bool:
        await create(self, name, data)
        return await create(self, name, data)

    async def exchange_twice(self: ObjectStore, name: str, data: bytes, version: Any) -> Any:
        await exchange(self, name, data, version)
        return await exchange(self, name, data, version)

    monkeypatch.setattr(ObjectStore, "create", create_twice)
    monkeypatch.setattr(ObjectStore, "exchange", exchange_twice)
    for number in (1, 2, 3, 4):
        async with open_state(store, ACCOUNT) as state:
            await add(state, number)
            await state.finish()
    assert await numbers_in(store) == [1, 2, 3, 4]


@pytest.mark.parametrize("what", ["part", "index"])
async def test_what_something_else_has_written_is_not_replaced(store: ObjectStore, what: str) -> None:
    async with open_state(store, ACCOUNT) as state:
        await add(state, 1)
        if what == "part":
            assert await store.create(f"{state.index.folder}000001.jsonl.gz", b"theirs")
        else:
            state.index.obsolete.append("none")
            found = await store.read_version(INDEX)
            assert found
            assert await store.exchange(INDEX, b"theirs", found[1])
        with pytest.raises(MediaError, match="was written by something else: run the archive again"):
            await (state.sync() if what == "part" else state.delete_obsolete())
        if what == "part":
            # Nothing is written from then on.
            await add(state, 2)
            with pytest.raises(StateError, match="was written by something else"):
                await state.checkpoint()
            assert len(await names_in(store)) == 1


async def test_a_file_that_does_not_arrive_as_it_was_sent_replaces_nothing(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ObjectStore.write

    async def damage(self: ObjectStore, name: str, chunks: Any) -> None:
        async def damaged() -> Any:
            async for chunk in chunks:
                yield chunk[:-1] + b"?"

        await write(self, name, damaged())

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "write", damage)
        with pytest.raises(StateError, match=r"cannot be written: .* its digest is another one"):
            async with open_state(store, ACCOUNT) as state:
                for number in (1, 2, 3):
                    await add(state, number)
                    await state.finish()
    assert (await index_of(store))["files"] == []
    assert await numbers_in(store) == [1, 2, 3]


async def test_a_temporary_file_that_cannot_be_written_ends_the_run(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with open_state(store, ACCOUNT) as state:
        await add(state, 1)
        with monkeypatch.context() as patch:
            patch.setattr(stored_module, "append_file", fail)
            with pytest.raises(OSError, match="No space left"):
                await state.sync()
        await add(state, 2)
        # What was not kept here must not be missing in a file, either.
        with pytest.raises(StateError, match="No space left"):
            await state.checkpoint()
    assert await numbers_in(store) == [1]


async def test_who_may_not_delete_archives_nevertheless(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: ObjectStore, name: str) -> None:
        raise MediaError(f"{self.location(name)}: 403 Forbidden")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "delete", refuse)
        for number in range(1, 8):
            async with open_state(store, ACCOUNT) as state:
                await add(state, number)
                await state.finish()
    left = await names_in(store)
    assert left > await named_in_index(store)
    # Those that were named last are deleted as soon as that is allowed.
    assert await numbers_in(store) == list(range(1, 8))
    assert await names_in(store) < left
    assert (await index_of(store))["obsolete"] == []


async def test_a_run_that_is_cancelled_while_it_writes_leaves_a_state(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ObjectStore.create
    arrived = asyncio.Event()

    async def slow(self: ObjectStore, name: str, data: bytes) -> bool:
        arrived.set()
        await asyncio.sleep(0.05)
        return await create(self, name, data)

    async def archive() -> None:
        async with open_state(store, ACCOUNT) as state:
            for number in range(1, 100):
                await add(state, number)
                await state.finish()

    monkeypatch.setattr(ObjectStore, "create", slow)
    for _ in range(4):
        arrived.clear()
        running = asyncio.create_task(archive())
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert 1 in await numbers_in(store)


class TestGuard:
    @pytest.fixture
    async def guarded(self, store: ObjectStore) -> GuardedStore:
        lease = Lease(store, "lease", "archiving")
        await lease.acquire()
        return GuardedStore(store, lease)

    async def chunks(self, guarded: GuardedStore) -> Any:
        yield b"late"
        await self.rob(guarded)

    async def rob(self, guarded: GuardedStore) -> None:
        found = await guarded.store.read_version("lease")
        assert found
        await guarded.store.exchange("lease", b'{"holder": "heir"}', found[1])
        # As if it had been stopped for long.
        guarded.lease._confirmed_at = 0.0

    async def test_it_writes_and_deletes_while_the_lease_is_held(self, guarded: GuardedStore) -> None:
        async def chunks() -> Any:
            yield b"content"

        await guarded.write("a", chunks())
        assert await guarded.size("a") == 7
        assert b"".join([chunk async for chunk in guarded.read("a")]) == b"content"
        assert {name async for name, _ in guarded.sizes("")} == {"a", "lease"}
        await guarded.delete("a")
        assert await guarded.size("a") is None
        assert guarded.location("a") == "memory:///a"

    async def test_an_upload_that_outlives_the_lease_is_discarded(self, guarded: GuardedStore) -> None:
        await guarded.store.create("a", b"of the heir")
        with pytest.raises(LeaseLostError):
            await guarded.write("a", self.chunks(guarded))
        with pytest.raises(LeaseLostError):
            await guarded.delete("a")
        assert await guarded.size("a") == len(b"of the heir")

    def test_a_store_needs_all_methods(self, store: ObjectStore) -> None:
        assert can_hold_state(store)
        assert not can_hold_state("s3://bucket")

        class Unversioned:
            is_versioned = False

        assert not can_hold_state(Unversioned())  # type: ignore[arg-type]


async def test_the_account_is_that_of_the_first_run(store: ObjectStore) -> None:
    async with open_state(store, ACCOUNT.replace("AC", "ac")):
        pass
    async with open_state(store, ACCOUNT):
        pass
    with pytest.raises(ConfigurationError, match="has the archive of account"):
        async with open_state(store, "AC" + "b" * 32):
            pass
