"""Shards: the groups of rooms that become tasks on a cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias, TypeVar

import attrs

from roomrec_async._listing.fanout import RoomSids, iter_room_sids
from roomrec_async.client import RecordingsClient

Result = TypeVar("Result")

# A report must fit into memory, also when all of ten million rooms fail.
_MAX_REPORTED_FAILURES: Final = 1_000


@attrs.frozen
class Shard:
    """A group of rooms that one task handles.

    Attributes:
        index: its index, from 0.
        room_sids: its rooms.
        names: the names of its rooms, as far as they are known and needed, by SID.
    """

    index: int
    room_sids: tuple[str, ...]
    names: Mapping[str, str] = attrs.field(factory=dict)


ShardFunction: TypeAlias = Callable[[RecordingsClient, Shard], Awaitable[Result]]
"""Called on a worker for each shard. It is pickled, and runs again if its worker dies."""


async def split_into_shards(room_sids: RoomSids, size: int) -> AsyncGenerator[Shard, None]:
    """Yield the rooms in shards of the given size; the last one may be smaller. Rooms are pulled as needed."""
    index = 0
    pending: list[str] = []
    async with aclosing(iter_room_sids(room_sids)) as pulled:
        async for room_sid in pulled:
            pending.append(room_sid)
            if len(pending) == size:
                yield Shard(index, tuple(pending))
                index += 1
                pending.clear()
    if pending:
        yield Shard(index, tuple(pending))


def add_failures(failures: dict[str, Result], more: Mapping[str, Result]) -> None:
    """Add failures, by SID, to those of a report, up to 1,000 in all."""
    for sid, failure in more.items():
        if len(failures) >= _MAX_REPORTED_FAILURES:
            return
        failures[sid] = failure
