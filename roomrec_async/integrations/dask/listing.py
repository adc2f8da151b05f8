"""List the recordings of rooms on a cluster, for the caller."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Unpack

from distributed import Client

from roomrec_async._api.codec import deserialize_recordings, serialize_recordings
from roomrec_async._listing.fanout import RoomSids
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import RoomRecError
from roomrec_async.models import RoomResult

from .jobs import Job, check_cluster, check_rooms
from .settings import ClusterSettings
from .shards import Shard, split_into_shards


def as_completed_on(
    cluster: Client, room_sids: RoomSids, *, settings: ClusterSettings, **options: Unpack[RoomOptions]
) -> AsyncGenerator[RoomResult, None]:
    """Yield one result for each room, shard by shard as they finish: ``RecordingsClient.as_completed`` on a cluster.

    A room that fails is a result with an error. Rooms are pulled as slots become free, and a slow consumer holds up
    the shards. Leaving the loop cancels the shards on the cluster.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``. Where the caller can reach the workers, also with
            ``direct_to_workers=True``: then recordings do not pass through the scheduler.
        room_sids: any iterable or async iterable. A room named twice is listed twice.
        settings: the credentials, and the division of the quota.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` and ``timeout`` are each room's.

    Raises:
        InvalidArgumentError: an argument is out of bounds.
        ConfigurationError: the cluster cannot be used: it has other versions, or another number of slots.
        RoomRecError: the cluster dropped a shard.
    """
    check_rooms(settings, room_sids, options)
    check_cluster(cluster)
    shards = split_into_shards(room_sids, settings.rooms_per_shard)
    return _as_completed(Job(cluster, settings, "list"), shards, options)


async def _as_completed(
    job: Job, shards: AsyncGenerator[Shard, None], options: RoomOptions
) -> AsyncGenerator[RoomResult, None]:
    async with aclosing(job.run(await job.prepare(), shards, partial(_list_shard, options))) as listed:
        async for shard, outcome in listed:
            if isinstance(outcome, RoomRecError):
                for room_sid in shard.room_sids:
                    yield RoomResult(room_sid, [], outcome)
            else:
                # One room at a time: unpacking a whole shard at once would block the event loop.
                for packed_result in outcome:
                    yield _unpack_result(packed_result)


async def _list_shard(options: RoomOptions, client: RecordingsClient, shard: Shard) -> list[bytes]:
    # Packed room by room: a fourth of the memory, and one opaque value for whatever passes it on.
    results = client.as_completed(shard.room_sids, **options)
    async with aclosing(results):
        return [_pack_result(result) async for result in results]


def _pack_result(result: RoomResult) -> bytes:
    recordings = serialize_recordings(result.recordings)
    return pickle.dumps((result.room_sid, recordings, result.error), pickle.HIGHEST_PROTOCOL)


def _unpack_result(packed_result: bytes) -> RoomResult:
    room_sid, recordings, error = pickle.loads(packed_result)  # noqa: S301  from our own workers
    return RoomResult(room_sid, deserialize_recordings(recordings), error)
