"""Archive the recordings of rooms on a cluster."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from distributed import Client

from roomrec_async._archive.ledger import Ledger
from roomrec_async._archive.manifest import check_has_no_manifest, write_manifest
from roomrec_async._archive.report import ArchiveProgress, ArchiveReport
from roomrec_async._archive.run import check_path_text, ledger_destination
from roomrec_async._asyncio import run_in_thread
from roomrec_async._destinations import local_path, resolve_destination
from roomrec_async._listing.fanout import RoomSids, check_room_sids
from roomrec_async._tables import TableFormat, check_formats
from roomrec_async._validate import check_account_sid
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import ConfigurationError, RoomRecError

from .jobs import Job, check_cluster
from .paths import absolute_path, check_picklable, check_visible, marker_file
from .settings import ClusterSettings
from .shards import Shard, add_failures, split_into_shards

if TYPE_CHECKING:
    from roomrec_async.protocols import Decryption, Destination


async def archive_on(
    cluster: Client,
    room_sids: RoomSids,
    destination: str | os.PathLike[str] | Destination,
    *,
    settings: ClusterSettings,
    delete: bool = False,
    account_sid: str | None = None,
    decryption: Callable[[], Decryption] | None = None,
    ledgers: str | os.PathLike[str] | None = None,
    manifest: Collection[TableFormat] = ("jsonl", "parquet"),
    downloads: int = 8,
    retry_failed: bool = False,
    progress: ArchiveProgress | None = None,
) -> ArchiveReport:
    """Archive all completed recordings of rooms: :meth:`roomrec_async.RecordingsClient.archive`, shard by shard.

    Each shard has a ledger of its own. To resume, run it again with the same rooms, in the same order, and the same
    ``rooms_per_shard``; otherwise recordings may be copied and listed a second time, but none is lost.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable; each room once.
        destination: a directory that all workers and the caller see under this name, or a store: its URL, such
            as ``s3://bucket/prefix``, or an object that can be pickled.
        settings: the credentials, and the division of the quota.
        delete: True to delete recordings at the source, each on proof of its copy: see
            :meth:`roomrec_async.RecordingsClient.archive`.
        account_sid: the account whose recordings may be deleted; by default that of the credentials.
        decryption: returns the decryption of encrypted media; called on the worker, once for each shard, such as
            ``partial(PrivateKey.from_file, "/shared/key.pem")``. Private keys are not sent to the workers.
        ledgers: the directory of the ledgers, ``000000.sqlite3`` and so on, which all workers and the caller see; by
            default ``ledgers`` in the destination. It is required with a store.
        manifest: formats of the manifest, which lists all recordings in these ledgers and is written at the end, as far
            as it has changed. With more than 1,000 recordings it is in parts, at least one for each ledger.
        downloads: maximum number of media that each shard copies at once.
        retry_failed: True to try recordings that failed in earlier runs at once, however often they failed.
        progress: updated while the archive runs, whenever a shard is finished. It includes what earlier runs have
            archived of these rooms.

    Returns:
        The contents of the archive. Recordings that failed are in its ``failures``, and retried by the next runs.

    Raises:
        InvalidArgumentError: an argument is out of bounds.
        ConfigurationError: the cluster or a ledger cannot be used, a worker does not see the directory, or an extra is
            missing.
        AuthenticationError: the credentials were refused.
        RoomRecError: the cluster dropped a shard.
        OSError: a disk is full, or cannot be written.
    """
    check_room_sids(room_sids)
    check_cluster(cluster)
    check_formats(manifest)
    if account_sid is not None:
        check_account_sid(account_sid)
    destination = resolve_destination(destination)
    check_picklable("destination", destination)
    check_picklable("decryption", decryption)
    target, ledger_directory = _resolve_paths(destination, ledgers)
    await run_in_thread(partial(ledger_directory.mkdir, parents=True, exist_ok=True))
    if not await run_in_thread(partial(ledger_paths, ledger_directory)):
        await check_has_no_manifest(target, manifest)

    if progress is None:
        progress = ArchiveProgress()
    totals = _ArchiveTotals()
    async with marker_file(ledger_directory) as marker:
        archiver = _ShardArchiver(
            marker, target, ledger_directory, delete, account_sid, decryption, downloads, retry_failed
        )
        job = Job(cluster, settings, "archive")
        shards = split_into_shards(room_sids, settings.rooms_per_shard)
        archived = job.run(await job.prepare(), shards, archiver.run)
        async with aclosing(archived):
            async for shard, outcome in archived:
                totals.add(shard, outcome)
                totals.update(progress)
    progress.listing = False

    ledger = _CombinedLedger(ledger_directory, ledger_destination(target))
    return totals.report(await write_manifest(ledger, target, manifest))


@attrs.frozen
class _ShardArchiver:
    """Archives a shard, on a worker."""

    # Name of the caller's marker file in the directory of the ledgers.
    marker: str
    destination: Path | Destination
    ledger_directory: Path
    delete: bool
    account_sid: str | None
    decryption: Callable[[], Decryption] | None
    downloads: int
    retry_failed: bool

    async def run(self, client: RecordingsClient, shard: Shard) -> ArchiveReport:
        """Archive the recordings of a shard's rooms, with the shard's ledger and without a manifest."""
        await check_visible(self.ledger_directory, self.marker)
        decryption = None
        if self.decryption is not None:
            decryption = await run_in_thread(self.decryption)
        return await client.archive(
            shard.room_sids,
            self.destination,
            delete=self.delete,
            account_sid=self.account_sid,
            decryption=decryption,
            ledger=self.ledger_directory / f"{shard.index:06d}.sqlite3",
            manifest=(),
            downloads=self.downloads,
            retry_failed=self.retry_failed,
        )


@attrs.define
class _ArchiveTotals:
    """Sums over all shards that are finished."""

    archived: int = 0
    bytes: int = 0
    deleted: int = 0
    external: int = 0
    failed: int = 0
    left_alone: int = 0
    failures: dict[str, str] = attrs.field(factory=dict)
    postponed: int = 0
    next_tries: dict[str, datetime] = attrs.field(factory=dict)

    def add(self, shard: Shard, outcome: ArchiveReport | RoomRecError) -> None:
        """Add a shard. An error is that of each of its rooms."""
        if isinstance(outcome, RoomRecError):
            self.failed += len(shard.room_sids)
            add_failures(self.failures, dict.fromkeys(shard.room_sids, str(outcome)))
            return
        self.archived += outcome.archived
        self.bytes += outcome.bytes
        self.deleted += outcome.deleted
        self.external += outcome.external
        self.failed += outcome.failed
        self.left_alone += outcome.left_alone
        add_failures(self.failures, outcome.failures)
        self.postponed += outcome.postponed
        self.next_tries |= {sid: when for sid, when in outcome.next_tries.items() if sid in self.failures}

    def update(self, progress: ArchiveProgress) -> None:
        """Copy the numbers into the caller's progress."""
        progress.found = self.archived + self.external + self.failed
        progress.archived = self.archived
        progress.deleted = self.deleted
        progress.failed = self.failed
        progress.bytes = self.bytes
        # A finished shard has no bytes to come.
        progress.expected_bytes = self.bytes

    def report(self, manifest: tuple[str, ...]) -> ArchiveReport:
        """Return the report, with the paths or URLs of the manifests."""
        return ArchiveReport(
            archived=self.archived,
            bytes=self.bytes,
            deleted=self.deleted,
            external=self.external,
            failures=self.failures,
            failed=self.failed,
            manifest=manifest,
            left_alone=self.left_alone,
            postponed=self.postponed,
            next_tries=self.next_tries,
        )


class _CombinedLedger:
    """The ledgers of all shards."""

    def __init__(self, directory: Path, destination: str) -> None:
        self._directory = directory
        # The destination that the ledgers were made for, which they check.
        self._destination = destination

    async def ledgers(self) -> AsyncGenerator[tuple[str, Ledger], None]:
        """Yield each ledger, open until the next one, and what the names of its parts of the manifest begin with."""
        for path in await run_in_thread(partial(ledger_paths, self._directory)):
            async with Ledger(path, self._destination) as ledger:
                yield f"{path.stem}-", ledger


def ledger_paths(directory: Path) -> list[Path]:
    """Return the ledgers in a directory, in the order of their shards."""
    return sorted(directory.glob("*.sqlite3"))


def _resolve_paths(
    destination: str | os.PathLike[str] | Destination, ledgers: str | os.PathLike[str] | None
) -> tuple[Path | Destination, Path]:
    """Return the destination and the directory of the ledgers, with absolute paths."""
    ledger_directory = None if ledgers is None else absolute_path(local_path("ledgers", ledgers))
    if isinstance(destination, (str, os.PathLike)):
        check_path_text(destination)
        directory = absolute_path(destination)
        return directory, ledger_directory or directory / "ledgers"
    if ledger_directory is None:
        raise ConfigurationError("an archive in a store needs a directory for its ledgers, which all workers see")
    return destination, ledger_directory
