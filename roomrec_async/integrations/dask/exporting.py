"""Export the recordings of rooms to Parquet on a cluster."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, Unpack

import attrs
from distributed import Client

from roomrec_async._asyncio import run_in_thread
from roomrec_async._destinations import local_path
from roomrec_async._listing.fanout import RoomSids
from roomrec_async._tables import check_formats, open_table, recording_columns, recording_row
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import AuthenticationError, InvalidArgumentError, RoomRecError
from roomrec_async.models import Recording, RoomResult

from .jobs import Job, check_cluster, check_rooms
from .paths import absolute_path, check_visible, marker_file
from .settings import ClusterSettings
from .shards import Shard, add_failures

# Recordings that are converted and written by one call in a thread.
_ROWS_PER_WRITE: Final = 1_000


@attrs.define
class ExportProgress:
    """Progress of an export, updated while it runs, whenever a shard is finished.

    Attributes:
        shards: number of files that are complete.
        rooms: number of rooms that are finished, failed ones included.
        recordings: number of recordings written.
        failed: number of rooms that failed.
    """

    shards: int = 0
    rooms: int = 0
    recordings: int = 0
    failed: int = 0


@attrs.frozen
class ExportReport:
    """Result of an export.

    Attributes:
        directory: the directory of the files, ``part-000000.parquet`` and so on, one for each shard.
        files: number of files.
        bytes: total size of the files, in bytes.
        rooms: number of rooms, failed ones included.
        recordings: number of recordings written.
        failures: errors of rooms by their SIDs, for the first 1,000. Recordings listed before the error are in the
            room's file.
        failed: number of rooms that failed.
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
    """Write the recordings of rooms to Parquet, one file for each shard: ``part-000000.parquet`` and so on.

    A file has the name of its shard, and only complete files have it: a shard that runs again writes the same file
    again. Memory does not grow with the recordings of a shard. If the export fails, the files that are complete stay.
    The extras ``dask`` and ``parquet`` are needed, also on the workers.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable. A room named twice is written twice.
        directory: a directory that all workers and the caller see under this name. It is made if it does not exist.
        settings: the credentials, and the division of the quota.
        progress: updated while the export runs.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` is each room's, ``timeout`` each
            page's.

    Raises:
        InvalidArgumentError: an argument is out of bounds, or the directory holds an earlier export.
        ConfigurationError: the cluster cannot be used, a worker does not see the directory, or an extra is missing.
        AuthenticationError: the credentials were refused.
        RoomRecError: the cluster dropped a shard.
        OSError: a file cannot be written.
    """
    check_rooms(settings, room_sids, options)
    check_cluster(cluster)
    check_formats(["parquet"])
    path = absolute_path(local_path("directory", directory))
    await run_in_thread(partial(_make_directory, path))

    totals = _ExportTotals()
    async with marker_file(path) as marker:
        exporter = _ShardExporter(path, marker, options)
        exported = Job(cluster, settings, "export").run(room_sids, exporter.run)
        try:
            async with aclosing(exported):
                async for shard, outcome in exported:
                    totals.add(shard, outcome)
                    if progress is not None:
                        totals.update(progress)
        finally:
            await run_in_thread(partial(_remove_temporary_files, path))
    return totals.report(path)


@attrs.frozen
class _ShardExporter:
    """Writes the file of a shard, on a worker."""

    directory: Path
    # Name of the caller's marker file in the directory.
    marker: str
    options: RoomOptions

    async def run(self, client: RecordingsClient, shard: Shard) -> _ShardExport:
        """Write the recordings of a shard's rooms to its file."""
        # The caller has the extra, the worker may not.
        check_formats(["parquet"])
        await check_visible(self.directory, self.marker)

        # A worker that was declared dead may still be writing: the last one to finish replaces the other's file, with
        # the same content.
        path = self.directory / f"part-{shard.index:06d}.parquet"
        failures: dict[str, RoomRecError] = {}
        recordings = client.stream(shard.room_sids, on_error=partial(_add_failure, failures), **self.options)
        async with aclosing(recordings):
            count = await _write_parquet(path, recordings)

        return _ShardExport(failures, count, path.stat().st_size, files=1)


def _add_failure(failures: dict[str, RoomRecError], result: RoomResult) -> None:
    """Note the error of a room; raise the one that all rooms would have."""
    if isinstance(result.error, AuthenticationError):
        raise result.error
    if result.error is not None:
        failures[result.room_sid] = result.error


async def _write_parquet(path: Path, recordings: AsyncGenerator[Recording, None]) -> int:
    """Write recordings to a file, and return their number."""
    count = 0
    with open_table(path, recording_columns(), "parquet") as table:
        rows: list[Recording] = []
        async for recording in recordings:
            rows.append(recording)
            if len(rows) >= _ROWS_PER_WRITE:
                count += len(rows)
                await run_in_thread(partial(table.write, [recording_row(row) for row in rows]))
                rows.clear()
        count += len(rows)
        await run_in_thread(partial(table.write, [recording_row(row) for row in rows]))
    return count


@attrs.frozen
class _ShardExport:
    """Result of one shard."""

    failures: dict[str, RoomRecError]
    recordings: int = 0
    bytes: int = 0
    files: int = 0


@attrs.define
class _ExportTotals:
    """Sums over all shards that are finished."""

    files: int = 0
    bytes: int = 0
    rooms: int = 0
    recordings: int = 0
    failed: int = 0
    failures: dict[str, RoomRecError] = attrs.field(factory=dict)

    def add(self, shard: Shard, outcome: _ShardExport | RoomRecError) -> None:
        """Add a shard. An error is that of each of its rooms."""
        if isinstance(outcome, RoomRecError):
            outcome = _ShardExport(dict.fromkeys(shard.room_sids, outcome))
        self.files += outcome.files
        self.bytes += outcome.bytes
        self.rooms += len(shard.room_sids)
        self.recordings += outcome.recordings
        self.failed += len(outcome.failures)
        add_failures(self.failures, outcome.failures)

    def update(self, progress: ExportProgress) -> None:
        """Copy the numbers into the caller's progress."""
        progress.shards = self.files
        progress.rooms = self.rooms
        progress.recordings = self.recordings
        progress.failed = self.failed

    def report(self, directory: Path) -> ExportReport:
        """Return the report."""
        return ExportReport(
            directory=str(directory),
            files=self.files,
            bytes=self.bytes,
            rooms=self.rooms,
            recordings=self.recordings,
            failures=self.failures,
            failed=self.failed,
        )


def _make_directory(directory: Path) -> None:
    """Make the directory, and raise if it holds files of an earlier export: readers would take them for this one's."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("part-*.parquet")):
        raise InvalidArgumentError(
            f"{directory} holds part-*.parquet of an earlier export: remove them, or name another directory"
        )


def _remove_temporary_files(directory: Path) -> None:
    """Remove what workers that died have left behind."""
    for path in directory.glob(".part-*.parquet.*"):
        path.unlink(missing_ok=True)
