"""An archive: everything that was recorded, copied, verified, listed in a manifest, and deleted at the source if asked.

It may be killed at any instant and run again. What is done is in the ledger before anything is done that relies on it:
a copy is verified, on the disk and in the ledger before the recording is deleted at the source.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from roomrec_async._asyncio import cancel_and_wait, map_concurrently, run_in_thread
from roomrec_async._files import file_digest, file_size
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async._listing.fanout import RoomSids, as_completed, iter_room_sids
from roomrec_async._listing.lists import Lists
from roomrec_async._listing.scan import DateWindow, scan
from roomrec_async._media.delete import delete_recording
from roomrec_async._media.download import DownloadOperation, check_destination
from roomrec_async._media.locate import Media, media_name
from roomrec_async._tables import TableFormat, check_formats
from roomrec_async._validate import check_integer
from roomrec_async.config import Timeout
from roomrec_async.errors import AuthenticationError, ConfigurationError, RoomRecError
from roomrec_async.models import Recording, RecordingStatus
from roomrec_async.protocols import Decryption, Destination

from .ledger import Entry, Ledger, State
from .manifest import write_manifest
from .report import ArchiveProgress, ArchiveReport

Source: TypeAlias = RoomSids | DateWindow
"""What is archived: the recordings of these rooms, or all that began in this window."""

LEDGER_NAME: Final = "ledger.sqlite3"
"""The ledger in the directory of its archive."""

_FAILURES_TOLD: Final = 1000


@attrs.frozen(kw_only=True)
class ArchiveOperation:
    """One run of an archive.

    Args:
        transport: sends the requests.
        lists: opens the lists of rooms and windows.
        timeout: bounds connecting and each read; a download as a whole has no bound.
        source: what is archived.
        destination: a directory, or something that takes media.
        ledger: the SQLite file that says what is done; None for the one in the directory.
        delete: whether what is in the archive is deleted at the source.
        decryption: what encrypted media are decrypted with.
        manifest: the formats in which the manifest is written.
        downloads: how many media are copied at once.
        progress: is kept up to date.

    Raises:
        InvalidArgumentError: an argument is outside its bounds.
        ConfigurationError: a store has no ledger, or a format of the manifest needs an extra that is not installed.
    """

    transport: Transport
    lists: Lists
    timeout: Timeout
    source: Source
    destination: str | os.PathLike[str] | Destination
    ledger: str | os.PathLike[str] | None
    delete: bool
    decryption: Decryption | None
    manifest: Collection[TableFormat]
    downloads: int
    progress: ArchiveProgress

    def __attrs_post_init__(self) -> None:
        check_destination(self.destination)
        if self.ledger is None and not isinstance(self.destination, (str, os.PathLike)):
            raise ConfigurationError(
                "an archive in a store needs a ledger: name a file for it (--ledger FILE on the command line)"
            )
        check_integer("downloads", self.downloads, minimum=1)
        check_formats(self.manifest)

    async def run(self) -> ArchiveReport:
        """Archive everything.

        Raises:
            ConfigurationError: the ledger cannot be used.
            AuthenticationError: the credentials were refused.
            RoomRecError: a window could not be listed. What was found before that is archived.
            OSError: the disk is full, or cannot be written. What is done is done, and the next run goes on.
        """
        if isinstance(self.destination, (str, os.PathLike)):
            await run_in_thread(partial(Path(self.destination).mkdir, parents=True, exist_ok=True))
        else:
            # A store that does not answer is told of once, and not for each recording.
            await self.destination.size("manifest.jsonl")
        async with Ledger(self._ledger_path, self._place) as ledger:
            run = _Run(self, ledger)
            await run.archive()
            # All that was found is settled: the next run is a new one, and looks into every room again.
            await ledger.list_anew()
            return await run.report()

    @property
    def _ledger_path(self) -> Path:
        if self.ledger is not None or not isinstance(self.destination, (str, os.PathLike)):
            return Path(self.ledger or LEDGER_NAME)
        return Path(self.destination) / LEDGER_NAME

    @property
    def _place(self) -> str:
        """What the ledger is the ledger of. A directory may be moved, with the ledger in it."""
        if isinstance(self.destination, (str, os.PathLike)):
            return "." if self.ledger is None else str(Path(self.destination).resolve())
        return self.destination.location("")


class _Run:
    """One run, with its ledger open."""

    def __init__(self, operation: ArchiveOperation, ledger: Ledger) -> None:
        self._operation = operation
        self._progress = operation.progress
        self._ledger = ledger
        self._failures: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def archive(self) -> None:
        """List and settle side by side: the ledger is the queue between them, and holds any number."""
        await self._ledger.try_again()
        counts = await self._ledger.counts()
        self._progress.found = sum(count.recordings for count in counts.values())
        listing = asyncio.create_task(self._list())
        try:
            settled = map_concurrently(self._unsettled(), self._settle, lambda: self._operation.downloads)
            async with aclosing(settled):
                async for _ in settled:
                    pass
            await listing
        finally:
            await cancel_and_wait(listing)

    async def report(self) -> ArchiveReport:
        """What the archive holds now, with its manifests written."""
        operation = self._operation
        manifest = await write_manifest(self._ledger, operation.destination, operation.manifest)
        counts = await self._ledger.counts()
        archived, deleted = counts[State.ARCHIVED], counts[State.DELETED]
        return ArchiveReport(
            archived=archived.recordings + deleted.recordings,
            bytes=archived.bytes + deleted.bytes,
            deleted=deleted.recordings,
            external=counts[State.EXTERNAL].recordings,
            failures=self._failures,
            failed=self._progress.failed,
            manifest=manifest,
        )

    async def _list(self) -> None:
        source = self._operation.source
        try:
            if isinstance(source, DateWindow):
                await self._list_window(source)
            else:
                await self._list_rooms(source)
        finally:
            self._progress.listing = False
            self._changed.set()

    async def _list_window(self, window: DateWindow) -> None:
        lists = self._operation.lists
        open_window = lists.window_opener(status=RecordingStatus.COMPLETED)
        async with aclosing(scan(window, open_window, lists.max_rooms)) as found:
            async for recordings in found:
                await self._enter(recordings)

    async def _list_rooms(self, room_sids: RoomSids) -> None:
        lists = self._operation.lists
        open_room = lists.room_opener(status=RecordingStatus.COMPLETED)
        async with (
            aclosing(self._unlisted(room_sids)) as unlisted,
            aclosing(as_completed(unlisted, open_room, lists.max_rooms)) as results,
        ):
            async for result in results:
                await self._enter(result.recordings)
                if result.error is None:
                    await self._ledger.room_listed(result.room_sid)
                else:
                    self._failed(result.room_sid, result.error)

    async def _unlisted(self, room_sids: RoomSids) -> AsyncGenerator[str, None]:
        """The rooms that the run before this one has not listed before it was killed."""
        async for room_sid in iter_room_sids(room_sids):
            if not await self._ledger.is_listed(room_sid):
                yield room_sid

    async def _enter(self, recordings: list[Recording]) -> None:
        new = await self._ledger.found(recordings)
        self._progress.found += new.recordings
        self._progress.expected_bytes += new.bytes
        self._changed.set()

    async def _unsettled(self) -> AsyncGenerator[Entry, None]:
        """What is still to be done, as long as there may be more."""
        number = 0
        while True:
            more = self._progress.listing
            self._changed.clear()
            entries = await self._ledger.next((State.FOUND, State.ARCHIVED), number)
            for entry in entries:
                number = entry.number
                yield entry
            if not entries and not more:
                return
            if not entries:
                await self._changed.wait()

    async def _settle(self, entry: Entry) -> AsyncGenerator[Entry, None]:
        """Do what is to be done for one recording."""
        try:
            if entry.state is State.ARCHIVED and not await self._is_kept(entry):
                await self._ledger.lost(entry)
                await self._copy(entry)
            elif entry.state is State.FOUND:
                await self._copy(entry)
            if self._operation.delete:
                await self._delete(entry)
        except RoomRecError as error:
            self._failed(entry.sid, error)
            await self._ledger.failed(entry, str(error))
        yield entry

    async def _copy(self, entry: Entry) -> None:
        operation = self._operation
        timeout = attrs.evolve(operation.timeout, total=None)
        download = await DownloadOperation(
            Media("download", operation.transport, entry.recording, 0.0, operation.timeout, timeout),
            operation.destination,
            operation.decryption,
            self._arrived,
            folder=_folder(entry.recording),
            # A file that only looks right may have been put there by anybody.
            overwrite=True,
        ).run(Deadline.start(timeout))
        await self._ledger.archived(entry, download)
        self._progress.archived += 1

    async def _is_kept(self, entry: Entry) -> bool:
        """Whether the copy of an earlier run is still there; looked at closely, if it is to become the only one."""
        name, destination = _folder(entry.recording) + media_name(entry.recording), self._operation.destination
        if isinstance(destination, (str, os.PathLike)):
            path = Path(destination) / name
            if await asyncio.to_thread(file_size, path) != entry.bytes:
                return False
            return not self._operation.delete or await asyncio.to_thread(file_digest, path) == entry.sha256
        return not self._operation.delete or await destination.size(name) == entry.bytes

    async def _delete(self, entry: Entry) -> None:
        recording = entry.recording
        operation = self._operation
        deadline = Deadline.start(operation.timeout)
        await delete_recording(operation.transport, recording.room_sid or "", entry.sid, deadline)
        await self._ledger.deleted(entry)
        self._progress.deleted += 1

    def _arrived(self, size: int) -> None:
        self._progress.bytes += size

    def _failed(self, sid: str, error: RoomRecError) -> None:
        if isinstance(error, AuthenticationError):
            # It would be the same with all the others.
            raise error
        self._progress.failed += 1
        if len(self._failures) < _FAILURES_TOLD:
            self._failures[sid] = str(error)


def _folder(recording: Recording) -> str:
    return f"{recording.room_sid}/" if recording.room_sid else ""
