"""The rooms of a shard."""

from __future__ import annotations

import pytest

from roomrec_async import InvalidArgumentError, Room
from roomrec_async._export.rooms import open_sorted_rooms
from roomrec_async._export.shard import Shard

ROOMS = [f"RM{number:032x}" for number in range(1000, 26_000)]


async def test_each_room_once_whatever_the_order() -> None:
    summaries = []
    for given in (ROOMS, [*reversed(ROOMS), *ROOMS[:9], ROOMS[20].upper()]):
        with open_sorted_rooms() as rooms:
            await rooms.fill(given, Shard())
            batches = [*rooms.batches(700)]
            summaries.append((rooms.summarize(), batches))
    assert summaries[0] == summaries[1]
    (count, _), batches = summaries[0]
    assert count == len(ROOMS)
    assert sorted(sid for batch in batches for sid in batch) == ROOMS
    assert {len(batch) for batch in batches[:-1]} == {700}


async def test_other_rooms_have_another_digest() -> None:
    digests = set()
    for given in (ROOMS, ROOMS[1:], [*ROOMS[1:], f"RM{7:032x}"]):
        with open_sorted_rooms() as rooms:
            await rooms.fill(given, Shard())
            digests.add(rooms.summarize()[1])
    assert len(digests) == 3


async def test_shards_divide_the_rooms() -> None:
    found: list[str] = []
    for index in (1, 2, 3):
        with open_sorted_rooms() as rooms:
            await rooms.fill(iter(ROOMS), Shard(index, 3))
            found += [sid for batch in rooms.batches(1000) for sid in batch]
    assert sorted(found) == ROOMS


@pytest.mark.parametrize("count", [1, 3, 40])
async def test_all_shards_at_once_are_those_that_each_finds(count: int) -> None:
    with open_sorted_rooms() as rooms:
        await rooms.fill([Room(sid=ROOMS[0], unique_name="daily"), *ROOMS[1:20]], Shard())
        assert rooms.count() == 20
        shards = [*rooms.shards(count)]
    # Some of 40 shards have none.
    assert len(shards) == count
    for index, shard in enumerate(shards, 1):
        with open_sorted_rooms() as rooms:
            await rooms.fill(ROOMS[:20], Shard(index, count))
            assert list(shard) == [sid for batch in rooms.batches(100) for sid in batch]
    assert [shard[ROOMS[0]] for shard in shards if ROOMS[0] in shard] == ["daily"]


async def test_rooms_keep_their_names() -> None:
    given = [Room(sid=ROOMS[0], unique_name="daily"), ROOMS[1], Room(sid=ROOMS[2])]
    with open_sorted_rooms() as rooms:
        await rooms.fill(given, Shard())
        assert [*rooms.batches(9)] == [{ROOMS[0]: "daily", ROOMS[1]: None, ROOMS[2]: None}]


async def test_a_malformed_sid_is_refused() -> None:
    with open_sorted_rooms() as rooms:
        with pytest.raises(InvalidArgumentError, match="room_sid"):
            await rooms.fill([*ROOMS[:3], "RM1"], Shard())
