"""Rooms in shards, and the failures that a report keeps. Needs no cluster, but importing it loads ``distributed``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async.integrations.dask.shards import Shard, add_failures, split_into_shards


@pytest.mark.parametrize(
    ("rooms", "shards"),
    [
        ("", []),
        ("a", [Shard(0, ("a",))]),
        ("abc", [Shard(0, ("a", "b", "c"))]),
        ("abcdefg", [Shard(0, ("a", "b", "c")), Shard(1, ("d", "e", "f")), Shard(2, ("g",))]),
        ("aaaa", [Shard(0, ("a", "a", "a")), Shard(1, ("a",))]),
    ],
)
async def test_rooms_in_shards_of_three(rooms: str, shards: list[Shard]) -> None:
    async def asynchronous() -> AsyncIterator[str]:
        for room in rooms:
            yield room

    assert [shard async for shard in split_into_shards(list(rooms), 3)] == shards
    assert [shard async for shard in split_into_shards(asynchronous(), 3)] == shards


async def test_rooms_are_pulled_when_their_shard_is_asked_for() -> None:
    pulled = 0

    def rooms() -> Iterator[str]:
        nonlocal pulled
        while True:
            pulled += 1
            yield f"room {pulled}"

    shards = split_into_shards(rooms(), 3)
    assert pulled == 0
    await anext(shards)
    assert pulled == 3
    await anext(shards)
    assert pulled == 6
    await shards.aclose()


async def test_anything_other_than_a_string_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="must be the SID of a room or a Room, not 7"):
        _ = [shard async for shard in split_into_shards(["a", 7], 3)]


def test_a_report_keeps_the_first_thousand_failures() -> None:
    failures = {str(number): "first" for number in range(998)}
    add_failures(failures, {"a": "second", "b": "second", "c": "second"})
    assert len(failures) == 1_000
    assert list(failures)[-2:] == ["a", "b"]
    add_failures(failures, {"d": "third"})
    assert len(failures) == 1_000
