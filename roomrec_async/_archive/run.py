"""A run of an archive: list recordings, copy and verify them, delete them at the source if asked, write the manifest.

A run may be killed at any instant and started again. Each step is recorded in the ledger before another one relies on
it: a recording is deleted at the source only after its copy was verified, synced to disk and marked as archived.
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
from roomrec_async._files import file_sha256, file_size
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
"""Recordings to archive: those of some rooms, or all that began in a window of time."""

LEDGER_NAME: Final = "ledger.sqlite3"
"""Name of the ledger in a directory that is archived to."""

# Failures whose messages are kept for the report; those after them are only counted.
_MAX_FAILURES: Final = 1000


@attrs.frozen(kw_only=True)
class ArchiveOperation:
    """One run of an archive.

    Args:
        transport: sends the requests.
        lists: opens the lists of rooms and windows.
        timeout: bounds connecting and each read; there is no bound for a download as a whole.
        source: the recordings to archive.
        destination: a directory, or a store.
        ledger: the SQLite file that records what is done; None for the one in the directory.
        delete: True to delete recordings at the source once they are archived.
        decryption: decrypts encrypted media.
        manifest: the formats of the manifest.
        downloads: maximum number of media copied at once.
        progress: kept up to date.

    Raises:
        InvalidArgumentError: an argument is out of its bounds.
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
            RoomRecError: a window could not be listed. The recordings found before that are archived.
            OSError: the disk is full, or cannot be written. The next run resumes.
        """
        if isinstance(self.destination, (str, os.PathLike)):
            await run_in_thread(partial(Path(self.destination).mkdir, parents=True, exist_ok=True))
        else:
            # A store that does not answer fails here once, and not for each recording.
            await self.destination.size("manifest.jsonl")
        async with Ledger(self._ledger_path, self._ledger_destination) as ledger:
            run = _Run(self, ledger)
            await run.archive()
            # This run is complete: the next one lists every room again.
            await ledger.forget_listed_rooms()
            return await run.report()

    @property
    def _ledger_path(self) -> Path:
        if self.ledger is not None or not isinstance(self.destination, (str, os.PathLike)):
            return Path(self.ledger or LEDGER_NAME)
        return Path(self.destination) / LEDGER_NAME

    @property
    def _ledger_destination(self) -> str:
        """Destination that the ledger belongs to: ``.`` for the directory that it is in, which may be moved with it."""
        if not isinstance(self.destination, (str, os.PathLike)):
            return self.destination.location("")
        if self.ledger is None:
            return "."
        return str(Path(self.destination).resolve())


class _Run:
    """A run with its ledger open."""

    def __init__(self, operation: ArchiveOperation, ledger: Ledger) -> None:
        self._operation = operation
        self._progress = operation.progress
        self._ledger = ledger
        # Messages by the SID of a recording or room.
        self._failures: dict[str, str] = {}
        # Set when the ledger has new entries, and when listing has ended.
        self._changed = asyncio.Event()

    async def archive(self) -> None:
        """List and process recordings at the same time. The ledger is the queue between the two, of any length."""
        await self._ledger.retry_failed()
        counts = await self._ledger.counts()
        self._progress.found = sum(count.recordings for count in counts.values())
        listing = asyncio.create_task(self._list())
        try:
            processed = map_concurrently(self._pending(), self._process, lambda: self._operation.downloads)
            async with aclosing(processed):
                async for _ in processed:
                    pass
            # Raises the error of a window that could not be listed.
            await listing
        finally:
            await cancel_and_wait(listing)

    async def report(self) -> ArchiveReport:
        """Write the manifests, and return the report."""
        operation = self._operation
        manifest = await write_manifest(self._ledger, operation.destination, operation.manifest)
        counts = await self._ledger.counts()
        archived = counts[State.ARCHIVED]
        deleted = counts[State.DELETED]
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
        scope = self._operation.transport.operation_scope()
        async with aclosing(scan(window, open_window, lists.max_rooms, scope)) as batches:
            async for recordings in batches:
                await self._add(recordings)

    async def _list_rooms(self, room_sids: RoomSids) -> None:
        lists = self._operation.lists
        open_room = lists.room_opener(status=RecordingStatus.COMPLETED)
        async with (
            aclosing(self._unlisted(room_sids)) as unlisted,
            aclosing(
                as_completed(unlisted, open_room, lists.max_rooms, self._operation.transport.operation_scope())
            ) as results,
        ):
            async for result in results:
                await self._add(result.recordings)
                if result.error is None:
                    await self._ledger.mark_room_listed(result.room_sid)
                else:
                    self._record_failure(result.room_sid, result.error)

    async def _unlisted(self, room_sids: RoomSids) -> AsyncGenerator[str, None]:
        """Yield the rooms that a previous run, if it was interrupted, had not listed."""
        async for room_sid in iter_room_sids(room_sids):
            if not await self._ledger.is_room_listed(room_sid):
                yield room_sid

    async def _add(self, recordings: list[Recording]) -> None:
        new = await self._ledger.add_recordings(recordings)
        self._progress.found += new.recordings
        self._progress.expected_bytes += new.bytes
        self._changed.set()

    async def _pending(self) -> AsyncGenerator[Entry, None]:
        """Yield the entries to process, until there are none and listing has ended."""
        number = 0
        while True:
            # Both before the query: what is added after it sets the event again, and is found in the next round.
            may_grow = self._progress.listing
            self._changed.clear()
            entries = await self._ledger.next_entries((State.FOUND, State.ARCHIVED), number)
            for entry in entries:
                number = entry.number
                yield entry

            if not entries and not may_grow:
                return
            if not entries:
                await self._changed.wait()

    async def _process(self, entry: Entry) -> AsyncGenerator[Entry, None]:
        """Copy a recording if it has no verified copy, and then delete it at the source if asked."""
        try:
            if entry.state is State.ARCHIVED and not await self._is_copy_intact(entry):
                await self._ledger.mark_missing(entry)
                await self._copy(entry)
            elif entry.state is State.FOUND:
                await self._copy(entry)
            if self._operation.delete:
                await self._delete(entry)
        except RoomRecError as error:
            self._record_failure(entry.sid, error)
            await self._ledger.mark_failed(entry, str(error))
        yield entry

    async def _copy(self, entry: Entry) -> None:
        """Download a recording to the archive, and mark it as archived. The download verifies and syncs the copy."""
        operation = self._operation
        stream_timeout = attrs.evolve(operation.timeout, total=None)
        download = await DownloadOperation(
            Media("download", operation.transport, entry.recording, 0.0, operation.timeout, stream_timeout),
            operation.destination,
            operation.decryption,
            self._add_bytes,
            folder=room_folder(entry.recording),
            # A file of the right name and size that is not in the ledger may be anybody's.
            overwrite=True,
        ).run(Deadline.start(stream_timeout))
        await self._ledger.mark_archived(entry, download)
        self._progress.archived += 1

    async def _is_copy_intact(self, entry: Entry) -> bool:
        """Return True if the copy of an earlier run is still there.

        If the recording is to be deleted, so that the copy becomes the only one, a file must have the same digest, and
        an object in a store the same size. Otherwise a file must have the same size, and stores are not asked.
        """
        name = room_folder(entry.recording) + media_name(entry.recording)
        destination = self._operation.destination
        will_delete = self._operation.delete
        if not isinstance(destination, (str, os.PathLike)):
            return not will_delete or await destination.size(name) == entry.bytes

        path = Path(destination) / name
        if await asyncio.to_thread(file_size, path) != entry.bytes:
            return False
        return not will_delete or await asyncio.to_thread(file_sha256, path) == entry.sha256

    async def _delete(self, entry: Entry) -> None:
        operation = self._operation
        deadline = Deadline.start(operation.timeout)
        # False, for a recording that the service no longer knows, is as good as True.
        await delete_recording(operation.transport, entry.recording.room_sid or "", entry.sid, deadline)
        await self._ledger.mark_deleted(entry)
        self._progress.deleted += 1

    def _add_bytes(self, size: int) -> None:
        self._progress.bytes += size

    def _record_failure(self, sid: str, error: RoomRecError) -> None:
        if isinstance(error, AuthenticationError):
            # All others would fail in the same way.
            raise error
        self._progress.failed += 1
        if len(self._failures) < _MAX_FAILURES:
            self._failures[sid] = str(error)


def room_folder(recording: Recording) -> str:
    """Return the folder of a recording's room in the archive, with a slash at its end."""
    return f"{recording.room_sid}/" if recording.room_sid else ""
