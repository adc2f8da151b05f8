"""Shards: what rooms become on a cluster, and what is said of their rooms together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias, TypeVar

import attrs

from roomrec_async._listing.fanout import RoomSids, iter_room_sids
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import RoomRecError

Result = TypeVar("Result")
_FAILURES_TOLD: Final = 1_000


@attrs.frozen
class Shard:
    """Some of the rooms.

    Attributes:
        number: its place, from 0, in the order of the rooms.
        room_sids: its rooms.
    """

    number: int
    room_sids: tuple[str, ...]


Work: TypeAlias = Callable[[RecordingsClient, Shard], Awaitable[Result]]
"""What is done with a shard, on a worker. It is pickled, and may be done again."""


async def in_shards(room_sids: RoomSids, size: int) -> AsyncGenerator[Shard, None]:
    """Rooms in shards of this size, pulled as these are wanted."""
    number, held = 0, list[str]()
    async with aclosing(iter_room_sids(room_sids)) as each:
        async for room_sid in each:
            held.append(room_sid)
            if len(held) == size:
                yield Shard(number, tuple(held))
                number, held = number + 1, []
    if held:
        yield Shard(number, tuple(held))


def failures_of(shard: Shard, error: RoomRecError) -> dict[str, RoomRecError]:
    """What an error of the whole shard is to each of its rooms."""
    return dict.fromkeys(shard.room_sids, error)


def keep_some(kept: dict[str, Result], more: Mapping[str, Result]) -> None:
    """Keep the first 1,000."""
    for sid, reason in more.items():
        if len(kept) >= _FAILURES_TOLD:
            return
        kept[sid] = reason
