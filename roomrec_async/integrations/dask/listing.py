"""The recordings of rooms, brought to the caller."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Unpack

from distributed import Client

from roomrec_async._api.codec import pack, unpack
from roomrec_async._listing.fanout import RoomSids
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import RoomRecError
from roomrec_async.models import RoomResult

from .jobs import Job, check_cluster, check_rooms
from .settings import ClusterSettings
from .shards import Shard


def as_completed_on(
    cluster: Client, room_sids: RoomSids, *, settings: ClusterSettings, **options: Unpack[RoomOptions]
) -> AsyncGenerator[RoomResult, None]:
    """One result for each room, shard by shard as they finish: ``RecordingsClient.as_completed`` on a cluster.

    A room that fails is a result with an error. Rooms are pulled as there are slots for them, and a slow consumer
    stops the shards. Leaving the loop cancels what is on the cluster.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``. Where the caller reaches the workers, with
            ``direct_to_workers=True`` too: the recordings do not go through the scheduler then.
        room_sids: any iterable or async iterable. A room named twice is listed twice.
        settings: who calls, and how the quota is divided.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` and ``timeout`` are each room's.

    Raises:
        InvalidArgumentError: an argument is outside its bounds.
        ConfigurationError: the cluster cannot be used: it has no workers, other versions, or other slots.
        RoomRecError: the cluster dropped a shard.
    """
    check_rooms(settings, room_sids, options)
    check_cluster(cluster)
    return _as_completed(Job(cluster, settings, "list"), room_sids, options)


async def _as_completed(job: Job, room_sids: RoomSids, options: RoomOptions) -> AsyncGenerator[RoomResult, None]:
    async with aclosing(job.run(room_sids, partial(_list_shard, options))) as listed:
        async for shard, outcome in listed:
            if isinstance(outcome, RoomRecError):
                for room_sid in shard.room_sids:
                    yield RoomResult(room_sid, [], outcome)
            else:
                # One by one, as they are wanted: a shard at once would hold up the event loop.
                for each in outcome:
                    room_sid, packed, error = pickle.loads(each)  # noqa: S301  from our own workers
                    yield RoomResult(room_sid, unpack(packed), error)


async def _list_shard(options: RoomOptions, client: RecordingsClient, shard: Shard) -> list[bytes]:
    # Packed at once: it needs a fourth of the memory, and whatever passes it on does not look into it.
    results = client.as_completed(shard.room_sids, **options)
    async with aclosing(results):
        return [_packed(result) async for result in results]


def _packed(result: RoomResult) -> bytes:
    return pickle.dumps((result.room_sid, pack(result.recordings), result.error), pickle.HIGHEST_PROTOCOL)
