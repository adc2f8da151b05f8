"""Export the records of rooms on a cluster, in shards that any other process can write, too."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Unpack

import attrs
from distributed import Client, get_worker

from roomrec_async._asyncio import run_in_thread
from roomrec_async._destinations import resolve_destination
from roomrec_async._export.report import ExportProgress, ExportReport
from roomrec_async._export.rooms import SortedRooms, open_sorted_rooms
from roomrec_async._export.run import ExportOperation
from roomrec_async._export.shard import MAX_SHARDS
from roomrec_async._export.shard import Shard as ExportShard
from roomrec_async._export.state import Export, State
from roomrec_async._export.store import unlocked_store
from roomrec_async._format import format_count
from roomrec_async._listing.fanout import RoomSids, check_room_sids
from roomrec_async._validate import check_instance
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import ConfigurationError, RoomRecError
from roomrec_async.models import Room

from .jobs import Job, check_cluster
from .paths import absolute_path, check_picklable
from .settings import ClusterSettings
from .shards import Shard, add_failures

if TYPE_CHECKING:
    from roomrec_async.protocols import Destination

# Rooms of a task, which the caller and the scheduler hold in memory: more of them would take more than 10 MB.
_MAX_ROOMS_PER_TASK: Final = 100_000


async def export_on(
    cluster: Client,
    room_sids: RoomSids,
    destination: str | os.PathLike[str] | Destination,
    *,
    settings: ClusterSettings,
    format: Literal["parquet", "jsonl"] = "parquet",  # noqa: A002  as in client.export()
    identities: bool = False,
    progress: ExportProgress | None = None,
    **options: Unpack[RoomOptions],
) -> ExportReport:
    """Write the records of rooms to ``part-*`` files that are tables: the shards of an export, each as a task.

    The files, and the state beside them, are those of :meth:`roomrec_async.RecordingsClient.export` with ``shard``. The
    caller, the scheduler and workers may be killed at any moment: run again, on this cluster or another one, it
    resumes, and asks only for what is not yet written. Each recording is in one part, once. What is left can also be
    written without a cluster, shard by shard, and the other way round.

    Rooms are read to their end before the first of them is asked for, and sorted in a temporary file of 55 MB for each
    million. The extra ``parquet`` is needed on the workers for that format, and ``stores`` for a store.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable; each room once. An export that is resumed needs the same rooms, in
            any order.
        destination: a directory that all workers and the caller see under this name; or a store: its URL, such as
            ``s3://bucket/prefix``, for which each worker takes credentials from its own environment, or an object that
            can be pickled, which is sent to the workers with the credentials that it holds.
        settings: the credentials, and the division of the quota. A new export has a shard for each ``rooms_per_shard``,
            at most 10,000; one that is resumed keeps its shards.
        format: ``parquet`` or ``jsonl``.
        identities: as for :meth:`roomrec_async.RecordingsClient.export`.
        progress: updated while the export runs, whenever a shard is finished; its units are the shards.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` is each room's, ``timeout`` each
            page's.

    Returns:
        The report of all shards. Rooms that failed are in its ``failures``. The next call asks for them again, but for
        those that the service does not know.

    Raises:
        InvalidArgumentError: an argument is out of bounds.
        ConfigurationError: the cluster cannot be used, the destination holds another export, a worker does not see it,
            or an extra is missing.
        AuthenticationError: the credentials were refused.
        MediaError: a store did not answer, or refused a request.
        RoomRecError: the cluster dropped a shard.
        OSError: a disk is full, or cannot be written.
    """
    check_cluster(cluster)
    check_room_sids(room_sids)
    check_instance("progress", progress, ExportProgress, "ExportProgress()")
    target = _portable_destination(destination)
    # Checks the other arguments, and sends nothing.
    operation = settings.offline_client()._export_operation((), target, format=format, identities=identities, **options)
    job = Job(cluster, settings, "export")
    pool = await job.prepare()
    with open_sorted_rooms() as rooms:
        await rooms.fill(room_sids, ExportShard())
        operation = await _divide(operation, rooms, settings.rooms_per_shard)
        shards = operation.shard.count
        exporter = _ShardExporter(target, await operation.prepare(), shards, format, identities, options)
        totals = _Totals(shards)
        async with aclosing(job.run(pool, _split(rooms, shards), exporter.run)) as exported:
            async for shard, outcome in exported:
                totals.add(shard, outcome)
                if progress is not None:
                    totals.update(progress)
    return totals.report(await operation.close())


async def _divide(operation: ExportOperation, rooms: SortedRooms, rooms_per_shard: int) -> ExportOperation:
    """Return the operation with as many shards as the export in the destination has, or as a new one needs.

    Raises:
        ConfigurationError: that export has so few that their rooms are too many for a task.
    """
    store = unlocked_store(operation.destination)
    export = await State(store).load("export", Export)
    count = await run_in_thread(rooms.count)
    shards = max(1, min(MAX_SHARDS, ceil(count / rooms_per_shard)))
    if export is not None:
        shards = export.settings.shards
        if ceil(count / shards) > max(_MAX_ROOMS_PER_TASK, rooms_per_shard):
            raise ConfigurationError(
                f"{store.location('')} holds an export in {format_count(shards, 'shard')}, and {count:,} rooms are too "
                "many for so few tasks: finish it without a cluster, or name another destination"
            )
    return attrs.evolve(operation, shard=ExportShard(1, shards))


async def _split(rooms: SortedRooms, count: int) -> AsyncGenerator[Shard, None]:
    """Yield the rooms in the shards of an export."""
    shards = enumerate(rooms.shards(count))
    while (found := await run_in_thread(partial(next, shards, None))) is not None:
        index, names = found
        yield Shard(index, tuple(names), {sid: name for sid, name in names.items() if name is not None})


@attrs.frozen
class _ShardExporter:
    """Writes a shard, on a worker."""

    destination: str | Path | Destination
    export_id: str
    shards: int
    format: Literal["parquet", "jsonl"]
    identities: bool
    options: RoomOptions

    async def run(self, client: RecordingsClient, shard: Shard) -> ExportReport:
        """Write what is not yet written of a shard."""
        operation = client._export_operation(
            [Room(sid=sid, unique_name=shard.names.get(sid)) for sid in shard.room_sids],
            self.destination,
            format=self.format,
            shard=(shard.index + 1, self.shards),
            identities=self.identities,
            **self.options,
        )
        await self._check_visible(operation)
        return await operation.write_shard()

    async def _check_visible(self, operation: ExportOperation) -> None:
        """Raise on a worker that does not see the caller's export in the destination.

        A directory of the same name on the worker's own disk would take its files, and nobody would find them.

        Raises:
            ConfigurationError: there is none, or another one.
        """
        store = unlocked_store(operation.destination)
        export = await State(store).load("export", Export)
        if export is None or export.id != self.export_id:
            raise ConfigurationError(
                f"worker {get_worker().address} does not see the export in {store.location('')}: it must be a "
                "directory or a store that all share"
            )


@attrs.define
class _Totals:
    """Sums over all shards that are finished."""

    shards: int
    finished: int = 0
    recordings: int = 0
    parts: int = 0
    bytes: int = 0
    failed: int = 0
    failures: dict[str, str] = attrs.field(factory=dict)

    def add(self, shard: Shard, outcome: ExportReport | RoomRecError) -> None:
        """Add a shard. An error is that of each of its rooms."""
        if isinstance(outcome, RoomRecError):
            self.failed += len(shard.room_sids)
            add_failures(self.failures, dict.fromkeys(shard.room_sids, str(outcome)))
            return
        self.finished += 1
        self.recordings += outcome.recordings
        self.parts += outcome.parts
        self.bytes += outcome.bytes
        self.failed += outcome.failed
        add_failures(self.failures, outcome.failures)

    def update(self, progress: ExportProgress) -> None:
        """Copy the numbers into the caller's progress."""
        progress.units = self.shards
        progress.finished = self.finished
        progress.recordings = self.recordings
        progress.failed = self.failed

    def report(self, manifest: str | None) -> ExportReport:
        """Return the report, with the location of the manifest, if all shards are done."""
        return ExportReport(
            # Of rooms, there is one run.
            run=1,
            complete=manifest is not None,
            recordings=self.recordings,
            parts=self.parts,
            bytes=self.bytes,
            pending=0,
            before=None,
            failures=self.failures,
            failed=self.failed,
            manifest=manifest,
        )


def _portable_destination(destination: str | os.PathLike[str] | Destination) -> str | Path | Destination:
    """Return a destination as the workers can use it.

    The URL of a store stays one: each worker opens it with the credentials of its own environment.

    Raises:
        InvalidArgumentError: it is neither a path nor a store.
        ConfigurationError: the store cannot be used, or cannot be sent to the workers.
    """
    resolved = resolve_destination(destination)
    if isinstance(resolved, (str, os.PathLike)):
        return absolute_path(resolved)
    if isinstance(destination, (str, os.PathLike)):
        return os.fspath(destination)
    check_picklable("destination", destination)
    return destination
