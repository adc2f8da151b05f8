"""The recordings of rooms as Parquet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, Unpack
from uuid import uuid4

import attrs
from distributed import Client

from roomrec_async._api.codec import to_dict
from roomrec_async._asyncio import run_in_thread
from roomrec_async._listing.fanout import RoomSids
from roomrec_async._tables import check_formats, open_table, recording_columns
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import AuthenticationError, InvalidArgumentError, RoomRecError
from roomrec_async.models import Recording, RoomResult

from .jobs import Job, check_cluster, check_rooms
from .paths import absolute, check_seen, shared
from .settings import ClusterSettings
from .shards import Shard, failures_of, keep_some

_ROWS_AT_ONCE: Final = 1_000


@attrs.define
class ExportProgress:
    """How far an export is, to be looked at while it runs; it moves by whole shards.

    Attributes:
        shards: files that are in their place.
        rooms: rooms that are done, those that failed included.
        recordings: recordings that were written.
        failed: rooms that failed.
    """

    shards: int = 0
    rooms: int = 0
    recordings: int = 0
    failed: int = 0


@attrs.frozen
class ExportReport:
    """What an export has written.

    Attributes:
        directory: where the files are, ``part-000000.parquet`` and so on, one a shard.
        files: how many.
        bytes: how many bytes these have.
        rooms: how many rooms there were, those that failed included.
        recordings: how many recordings were written.
        failures: why a room failed, by its SID, for the first 1,000. What it gave before that is in its file.
        failed: how many rooms failed.
    """

    directory: str
    files: int
    bytes: int
    rooms: int
    recordings: int
    failures: Mapping[str, RoomRecError]
    failed: int


async def export_on(
    cluster: Client,
    room_sids: RoomSids,
    directory: str | os.PathLike[str],
    *,
    settings: ClusterSettings,
    progress: ExportProgress | None = None,
    **options: Unpack[RoomOptions],
) -> ExportReport:
    """Write the recordings of rooms as Parquet, one file a shard: ``part-000000.parquet`` and so on.

    A file has the name of its shard, and takes its place when it is whole: a shard that runs again writes the same
    file again. Memory does not grow with the recordings of a shard. If the export fails, the files that are complete
    stay. The extras ``dask`` and ``parquet`` are needed, also on the workers.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable. A room named twice is written twice.
        directory: a directory that all workers and the caller see under this name. It is made if it is not there.
        settings: who calls, and how the quota is divided.
        progress: is kept up to date, to be looked at meanwhile.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` is each room's, ``timeout`` each
            page's.

    Raises:
        InvalidArgumentError: an argument is outside its bounds, or the directory holds an earlier export.
        ConfigurationError: the cluster cannot be used, a worker does not see the directory, or an extra is missing.
        AuthenticationError: the credentials were refused.
        RoomRecError: the cluster dropped a shard.
        OSError: a file cannot be written.
    """
    check_rooms(settings, room_sids, options)
    check_cluster(cluster)
    check_formats(["parquet"])
    place = absolute(directory)
    await run_in_thread(partial(_prepare_export, place))
    progress, parts = progress or ExportProgress(), _Parts()
    async with shared(place) as token:
        exported = Job(cluster, settings, "export").run(room_sids, partial(_export_shard, place, token, options))
        try:
            async with aclosing(exported):
                async for shard, outcome in exported:
                    parts.add(shard, outcome if isinstance(outcome, _Part) else _Part(failures_of(shard, outcome)))
                    _tell_export(progress, parts)
        finally:
            await run_in_thread(partial(_remove_leftovers, place))
    return ExportReport(
        str(place), parts.files, parts.bytes, parts.rooms, parts.recordings, parts.failures, parts.failed
    )


async def _export_shard(
    directory: Path, token: str, options: RoomOptions, client: RecordingsClient, shard: Shard
) -> _Part:
    check_formats(["parquet"])
    await check_seen(directory, token)
    name, count, failures = f"part-{shard.number:06d}.parquet", 0, dict[str, RoomRecError]()

    def failed(result: RoomResult) -> None:
        if isinstance(result.error, AuthenticationError):
            raise result.error
        if result.error is not None:
            failures[result.room_sid] = result.error

    # A worker that was taken for dead may still write. Each writes its own, and the last one whole is the same.
    own = directory / f".{name}.{uuid4().hex[:8]}"
    with open_table(own, recording_columns(), "parquet") as table:
        rows: list[Recording] = []
        recordings = client.stream(shard.room_sids, on_error=failed, **options)
        async with aclosing(recordings):
            async for recording in recordings:
                rows.append(recording)
                if len(rows) >= _ROWS_AT_ONCE:
                    count += len(rows)
                    await run_in_thread(partial(table.write, [to_dict(row) for row in rows]))
                    rows.clear()
        count += len(rows)
        await run_in_thread(partial(table.write, [to_dict(row) for row in rows]))
    size = own.stat().st_size
    own.replace(directory / name)
    return _Part(failures, count, size, 1)


@attrs.frozen
class _Part:
    """What a shard has exported."""

    failures: dict[str, RoomRecError]
    recordings: int = 0
    bytes: int = 0
    files: int = 0


@attrs.define
class _Parts:
    """What all shards have exported."""

    files: int = 0
    bytes: int = 0
    rooms: int = 0
    recordings: int = 0
    failed: int = 0
    failures: dict[str, RoomRecError] = attrs.field(factory=dict)

    def add(self, shard: Shard, part: _Part) -> None:
        """One more."""
        self.files += part.files
        self.bytes += part.bytes
        self.rooms += len(shard.room_sids)
        self.recordings += part.recordings
        self.failed += len(part.failures)
        keep_some(self.failures, part.failures)


def _tell_export(progress: ExportProgress, parts: _Parts) -> None:
    progress.shards, progress.rooms = parts.files, parts.rooms
    progress.recordings, progress.failed = parts.recordings, parts.failed


def _prepare_export(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("part-*.parquet")):
        raise InvalidArgumentError(
            f"{directory} holds part-*.parquet of an earlier export: remove them, or name another directory"
        )


def _remove_leftovers(directory: Path) -> None:
    """What workers that died have left."""
    for path in directory.glob(".part-*.parquet.*"):
        path.unlink(missing_ok=True)
