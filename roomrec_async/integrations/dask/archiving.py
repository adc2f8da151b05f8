"""The media of rooms in an archive."""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs
from distributed import Client

from roomrec_async._archive.ledger import Entry, Ledger
from roomrec_async._archive.manifest import write_manifest
from roomrec_async._archive.report import ArchiveProgress, ArchiveReport
from roomrec_async._asyncio import run_in_thread
from roomrec_async._listing.fanout import RoomSids, check_room_sids
from roomrec_async._tables import TableFormat, check_formats
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import ConfigurationError, RoomRecError

from .jobs import Job, check_cluster
from .paths import absolute, check_seen, shared
from .settings import ClusterSettings
from .shards import Shard, failures_of, keep_some

if TYPE_CHECKING:
    from roomrec_async.protocols import Decryption, Destination


async def archive_on(
    cluster: Client,
    room_sids: RoomSids,
    destination: str | os.PathLike[str] | Destination,
    *,
    settings: ClusterSettings,
    delete: bool = False,
    decryption: Callable[[], Decryption] | None = None,
    ledgers: str | os.PathLike[str] | None = None,
    manifest: Collection[TableFormat] = ("jsonl", "parquet"),
    downloads: int = 8,
    progress: ArchiveProgress | None = None,
) -> ArchiveReport:
    """Archive all completed recordings of rooms: :meth:`roomrec_async.RecordingsClient.archive`, shard by shard.

    Each shard has a ledger of its own. Run it again with the same rooms, in the same order, and the same
    ``rooms_per_shard``, and it goes on where it was; otherwise recordings may be copied and listed a second time, but
    none is lost.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable; each room once.
        destination: a directory that all workers and the caller see under this name, or a store that can be pickled,
            such as :class:`roomrec_async.integrations.stores.ObjectStore` for a bucket.
        settings: who calls, and how the quota is divided.
        delete: whether recordings are deleted at the source, each when its copy is verified and safe.
        decryption: is called for each shard, where it runs, for what encrypted media are decrypted with, such as
            ``partial(PrivateKey.from_file, "/shared/key.pem")``: private keys do not travel.
        ledgers: the directory of the ledgers, ``000000.sqlite3`` and so on, which all workers and the caller see; by
            default ``ledgers`` in the directory. It must be given with a store.
        manifest: the formats of the list of all that is in these ledgers, which is written at the end.
        downloads: how many media each shard copies at once.
        progress: is kept up to date, to be looked at meanwhile; it moves by whole shards, and counts what earlier runs
            have archived of these, too.

    Returns:
        What the archive holds of these rooms. What failed is in its ``failures``, and tried again by the next run.

    Raises:
        InvalidArgumentError: an argument is outside its bounds.
        ConfigurationError: the cluster or a ledger cannot be used, a worker does not see the directory, or an extra is
            missing.
        AuthenticationError: the credentials were refused.
        RoomRecError: the cluster dropped a shard.
        OSError: a disk is full, or cannot be written.
    """
    check_room_sids(room_sids)
    check_cluster(cluster)
    check_formats(manifest)
    _check_pickles(destination, decryption)
    place, books = _archive_places(destination, ledgers)
    await run_in_thread(partial(books.mkdir, parents=True, exist_ok=True))
    progress, reports = progress or ArchiveProgress(), _Reports()
    async with shared(books) as token:
        copying = _ShardArchive(token, place, books, delete, decryption, downloads)
        archived = Job(cluster, settings, "archive").run(room_sids, copying.run)
        async with aclosing(archived):
            async for shard, outcome in archived:
                reports.add(shard, outcome)
                reports.tell(progress)
    progress.listing = False
    # The manifest wants the entries of one ledger after another, and nothing else of a ledger.
    written = await write_manifest(cast("Ledger", _Ledgers(books, _ledger_place(place))), place, manifest)
    return reports.report(written)


@attrs.frozen
class _ShardArchive:
    """How a shard is archived, on its worker."""

    token: str
    destination: Path | Destination
    ledgers: Path
    delete: bool
    decryption: Callable[[], Decryption] | None
    downloads: int

    async def run(self, client: RecordingsClient, shard: Shard) -> ArchiveReport:
        """Archive it."""
        await check_seen(self.ledgers, self.token)
        return await client.archive(
            shard.room_sids,
            self.destination,
            delete=self.delete,
            decryption=None if self.decryption is None else await run_in_thread(self.decryption),
            ledger=self.ledgers / f"{shard.number:06d}.sqlite3",
            manifest=(),
            downloads=self.downloads,
        )


@attrs.define
class _Reports:
    """What all shards have archived."""

    archived: int = 0
    bytes: int = 0
    deleted: int = 0
    external: int = 0
    failed: int = 0
    failures: dict[str, str] = attrs.field(factory=dict)

    def add(self, shard: Shard, report: ArchiveReport | RoomRecError) -> None:
        """One more."""
        if isinstance(report, RoomRecError):
            self.failed += len(shard.room_sids)
            keep_some(self.failures, {sid: str(error) for sid, error in failures_of(shard, report).items()})
            return
        self.archived += report.archived
        self.bytes += report.bytes
        self.deleted += report.deleted
        self.external += report.external
        self.failed += report.failed
        keep_some(self.failures, report.failures)

    def tell(self, progress: ArchiveProgress) -> None:
        """Put it into the progress."""
        progress.found = self.archived + self.external + self.failed
        progress.archived, progress.deleted, progress.failed = self.archived, self.deleted, self.failed
        progress.bytes = progress.expected_bytes = self.bytes

    def report(self, manifest: tuple[str, ...]) -> ArchiveReport:
        """All of it."""
        return ArchiveReport(
            self.archived, self.bytes, self.deleted, self.external, self.failures, self.failed, manifest
        )


class _Ledgers:
    """The ledgers of all shards, as if they were one."""

    def __init__(self, directory: Path, destination: str) -> None:
        self._directory = directory
        self._destination = destination

    async def entries(self) -> AsyncGenerator[list[Entry], None]:
        """All recordings, some at a time."""
        for path in await run_in_thread(lambda: sorted(self._directory.glob("*.sqlite3"))):
            async with Ledger(path, self._destination) as ledger, aclosing(ledger.entries()) as entries:
                async for some in entries:
                    yield some


def _check_pickles(destination: object, decryption: object) -> None:
    for name, each in (("destination", destination), ("decryption", decryption)):
        try:
            pickle.dumps(each)
        except Exception as error:  # noqa: BLE001  they raise whatever they like
            raise ConfigurationError(f"{name} cannot be sent to the workers: {error}") from None


def _archive_places(
    destination: str | os.PathLike[str] | Destination, ledgers: str | os.PathLike[str] | None
) -> tuple[Path | Destination, Path]:
    if isinstance(destination, (str, os.PathLike)):
        place = absolute(destination)
        return place, absolute(ledgers) if ledgers is not None else place / "ledgers"
    if ledgers is None:
        raise ConfigurationError("an archive in a store needs a directory for its ledgers, which all workers see")
    return destination, absolute(ledgers)


def _ledger_place(destination: Path | Destination) -> str:
    return str(destination.resolve()) if isinstance(destination, Path) else destination.location("")
