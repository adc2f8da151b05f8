"""A run of an archive: list recordings, copy and verify them, delete them at the source if asked, write the manifest.

A run may be killed at any instant and started again. Each step is recorded in the ledger before another one relies on
it: a recording is deleted at the source only after its copy was verified, synced to disk, marked as archived and read
back. A run touches only what its source names, whatever else the ledger contains.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from roomrec_async._api.params import media_path
from roomrec_async._asyncio import call_destination, cancel_and_wait, map_concurrently, run_in_thread
from roomrec_async._files import file_size, is_same_place, make_directory
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async._lease import LeaseLostError
from roomrec_async._listing.fanout import RoomSids, as_completed, iter_room_sids
from roomrec_async._listing.lists import Lists
from roomrec_async._listing.scan import DateWindow, scan
from roomrec_async._media.delete import delete_recording, is_deleted, refusal
from roomrec_async._media.download import DownloadOperation, check_destination
from roomrec_async._media.locate import Media, media_name
from roomrec_async._tables import TableFormat, check_formats
from roomrec_async._text import safe_text
from roomrec_async._validate import ROOM_SID, canonical_sid, check_account_sid, check_integer
from roomrec_async.config import Timeout
from roomrec_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    InvalidArgumentError,
    RoomRecError,
    VerificationError,
)
from roomrec_async.models import Recording, RecordingStatus
from roomrec_async.protocols import Decryption, Destination

from .backoff import is_waiting, next_try
from .guard import GuardedStore, can_hold_state
from .ledger import KEPT_AFTER, LEDGER_NAME, Count, Entry, Ledger, State, counted_size
from .manifest import check_has_no_manifest, check_manifest, manifest_paths, write_manifest
from .proof import StoredCopy, check_proof, doubt, read_back
from .report import ArchiveProgress, ArchiveReport
from .stored import LocalState, StateError, StoredState, check_has_no_state, open_state

Source: TypeAlias = RoomSids | DateWindow
"""Recordings to archive: those of some rooms, or all that began in a window of time."""

_MAX_SID_LENGTH: Final = 40
# Failures whose messages are kept for the report; those after them are only counted.
_MAX_FAILURES: Final = 1000
# Recordings with a copy that are taken from the queue at once.
_KEPT_BATCH_SIZE: Final = 32


@attrs.frozen(kw_only=True)
class ArchiveOperation:
    """One run of an archive.

    Args:
        transport: sends the requests.
        lists: opens the lists of rooms and windows.
        timeout: bounds connecting and each read; there is no bound for a download as a whole.
        source: the recordings to archive.
        destination: a directory, or a store.
        ledger: the SQLite file that records what is done; None for the one in the directory, or the state in the store.
        delete: True to delete recordings at the source once they are archived.
        account_sid: the account whose recordings may be deleted; None for that of the credentials.
        decryption: decrypts encrypted media.
        manifest: the formats of the manifest.
        downloads: maximum number of media copied at once.
        retry_failed: True to try all that failed in earlier runs at once, however often it failed.
        progress: kept up to date.

    Raises:
        InvalidArgumentError: an argument is out of its bounds.
        ConfigurationError: a store needs a ledger and has none; or a format of the manifest needs an extra that is not
            installed.
    """

    transport: Transport
    lists: Lists
    timeout: Timeout
    source: Source
    destination: str | os.PathLike[str] | Destination
    ledger: str | os.PathLike[str] | None
    delete: bool
    account_sid: str | None
    decryption: Decryption | None
    manifest: Collection[TableFormat]
    downloads: int
    retry_failed: bool
    progress: ArchiveProgress

    def __attrs_post_init__(self) -> None:
        check_destination(self.destination)
        if isinstance(self.destination, (str, os.PathLike)):
            check_path_text(self.destination)
        elif self.ledger is None and not can_hold_state(self.destination):
            raise ConfigurationError(
                f"an archive in {self.destination.location('')} needs a ledger, since its objects have no versions: "
                "name a file for it (--ledger FILE on the command line)"
            )
        check_integer("downloads", self.downloads, minimum=1)
        if self.account_sid is not None:
            check_account_sid(self.account_sid)
        check_formats(self.manifest)

    async def run(self) -> ArchiveReport:
        """Archive everything.

        Raises:
            InvalidArgumentError: a manifest would replace something else than a file.
            ConfigurationError: the ledger, or the state in the store, cannot be used.
            MediaError: another process is archiving with it, or has taken over; or the state could not be written.
            AuthenticationError: the credentials were refused.
            ClientClosedError: the client was closed meanwhile.
            RoomRecError: a window could not be listed. The recordings found before that are archived.
            OSError: the disk is full, or cannot be written. The next run resumes.
        """
        if isinstance(self.destination, (str, os.PathLike)):
            await run_in_thread(partial(self._prepare_directory, Path(self.destination)))
        async with self._open() as run:
            await run.archive()
            return await run.finish()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[_Run, None]:
        """Open the ledger, or the state in the store."""
        account_sid = self.transport.account_sid
        if self.ledger is None and can_hold_state(self.destination):
            async with open_state(self.destination, account_sid) as state:
                guarded = GuardedStore(self.destination, state.lease)
                yield _Run(attrs.evolve(self, destination=guarded, ledger=state.ledger_path), state.ledger, state)
            return
        if not isinstance(self.destination, (str, os.PathLike)):
            # A store that does not answer fails here once, and not for each recording.
            await check_has_no_state(self.destination)
        if not await run_in_thread(self._ledger_path.exists):
            await check_has_no_manifest(self.destination, self.manifest)
        async with Ledger(
            self._ledger_path, self._ledger_destination, store=store_of(self.destination), account_sid=account_sid
        ) as ledger:
            yield _Run(self, ledger, LocalState())

    def _prepare_directory(self, directory: Path) -> None:
        make_directory(directory)
        # Not only at the end, when everything is copied.
        for path in manifest_paths(directory, self.manifest):
            check_manifest(path)
            # The manifest may become a directory of parts.
            if any(is_same_place(ledger, path) for ledger in (self._ledger_path, self._ledger_path.parent)):
                raise InvalidArgumentError(f"the manifest would replace the ledger, {path}: name another file for it")

    @property
    def deletable_account(self) -> str:
        """SID of the account whose recordings may be deleted."""
        return self.account_sid or self.transport.account_sid

    @property
    def _ledger_path(self) -> Path:
        if self.ledger is not None:
            return Path(self.ledger)
        # Only a directory comes without one.
        return Path(str(self.destination)) / LEDGER_NAME

    @property
    def _ledger_destination(self) -> str:
        """Destination that the ledger belongs to: ``.`` for the directory that it is in, which may be moved with it."""
        return "." if self.ledger is None else ledger_destination(self.destination)


class _RefusedError(VerificationError):
    """A recording is not deleted, whatever its copy is."""


class _Run:
    """A run with its ledger open."""

    def __init__(self, operation: ArchiveOperation, ledger: Ledger, state: LocalState | StoredState) -> None:
        self._operation = operation
        self._progress = operation.progress
        self._ledger = ledger
        self._state = state
        # Messages by the SID of a recording or room.
        self._failures: dict[str, str] = {}
        self._next_tries: dict[str, datetime] = {}
        self._postponed = 0
        # Set when the ledger has new entries, and when listing has ended.
        self._changed = asyncio.Event()
        # Not that of the progress, which belongs to the caller, and may have been used before.
        self._is_listing = True
        # True while a resumed run goes through rooms that it need not list again, to what is new behind them.
        self._is_skipping = False
        self._progress.listing = True

    async def archive(self) -> None:
        """List and process recordings at the same time. The ledger is the queue between the two, of any length."""
        await self._ledger.begin_run()
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

    async def finish(self) -> ArchiveReport:
        """Write the manifests, once everything is archived, and return the report."""
        operation = self._operation
        # This run is complete: the next one lists every room again.
        await self._ledger.forget_listed_rooms()
        await self._state.sync()
        manifest = await write_manifest(self._ledger, operation.destination, operation.manifest)
        await self._state.finish()
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
            left_alone=await self._ledger.count_left_alone(),
            postponed=self._postponed,
            next_tries=self._next_tries,
        )

    async def _list(self) -> None:
        source = self._operation.source
        try:
            if isinstance(source, DateWindow):
                await self._list_window(source)
            else:
                await self._list_rooms(source)
        finally:
            self._is_skipping = False
            self._is_listing = False
            self._progress.listing = False
            self._changed.set()

    async def _list_window(self, window: DateWindow) -> None:
        lists = self._operation.lists
        open_window = lists.window_opener(status=RecordingStatus.COMPLETED)
        scope = self._operation.transport.operation_scope()
        async with aclosing(scan(window, open_window, lists.max_rooms, scope)) as batches:
            async for recordings in batches:
                await self._add([recording for recording in recordings if self._is_in_window(recording, window)])
        # Those that an interrupted run has deleted, without being able to record it, are listed no more.
        self._count_found(await self._ledger.queue_window(window.after, window.before))

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
                await self._add([item for item in result.recordings if self._is_in_room(item, result.room_sid)])
                if result.error is None:
                    # As in a window.
                    self._count_found(await self._ledger.queue_room(result.room_sid))
                    await self._ledger.mark_room_listed(result.room_sid)
                else:
                    self._record_failure(result.room_sid, result.error)

    async def _unlisted(self, room_sids: RoomSids) -> AsyncGenerator[str, None]:
        """Yield the rooms that a previous run, if it was interrupted, had not listed; queue what it found of others.

        To delete, all rooms are listed: what was found then may belong elsewhere by now.
        """
        async for room_sid in iter_room_sids(room_sids):
            # A malformed SID fails as its room; the ledger may not even be able to store it.
            is_stored = not self._operation.delete and ROOM_SID.fullmatch(room_sid) is not None
            self._is_skipping = is_stored and await self._ledger.is_room_listed(room_sid)
            if self._is_skipping:
                self._count_found(await self._ledger.queue_room(room_sid))
            else:
                # Earlier copies may be looked at while this room is listed.
                self._changed.set()
                yield room_sid

    async def _add(self, recordings: list[Recording]) -> None:
        usable = [recording for recording in recordings if self._is_usable(recording)]
        self._count_found(await self._ledger.add_recordings(usable))
        await self._state.checkpoint()

    def _is_in_window(self, recording: Recording, window: DateWindow) -> bool:
        """Return True if a recording began in the window; without a date, record the failure of a deletion.

        The service's filters have whole seconds, and it is not documented whether they include the ends.
        """
        created = recording.date_created
        if created is not None:
            return window.after <= created and (window.before is None or created < window.before)
        if not self._operation.delete:
            return True
        self._leave_alone(recording, "it has no date, and may lie outside the window; to delete it, name its room")
        return False

    def _is_in_room(self, recording: Recording, room_sid: str) -> bool:
        """Return True if a recording is of the room that was listed; otherwise record the failure: nobody named it."""
        if recording.room_sid is None or canonical_sid(recording.room_sid) == canonical_sid(room_sid):
            return True
        other = safe_text(recording.room_sid, _MAX_SID_LENGTH)
        self._leave_alone(recording, f"the list of {room_sid} has it, but it says that it is of {other}")
        return False

    def _leave_alone(self, recording: Recording, reason: str) -> None:
        sid = shown_sid(recording)
        self._record_failure(sid, VerificationError(f"{sid} was neither copied nor deleted: {reason}"))

    def _is_usable(self, recording: Recording) -> bool:
        """Return True if a recording has the SIDs that lead to its media; otherwise record the failure."""
        try:
            media_path(recording)
        except InvalidArgumentError as error:
            self._record_failure(shown_sid(recording), error)
            return False
        return True

    def _count_found(self, found: Count) -> None:
        """Count recordings that are new in the queue, and wake the task that processes them."""
        self._progress.found += found.recordings
        self._progress.expected_bytes += found.bytes
        self._changed.set()

    async def _pending(self) -> AsyncGenerator[Entry, None]:
        """Yield the entries to process, first those to be copied, until there are none and listing has ended."""
        position = 0
        kept_position = KEPT_AFTER
        while True:
            # Both before the query: what is added after it sets the event again, and is found in the next round.
            may_grow = self._is_listing
            self._changed.clear()
            entries, position = await self._ledger.next_queued(position, KEPT_AFTER)
            if not entries and not self._is_skipping:
                # Few at once: what is found meanwhile does not wait for long.
                entries, kept_position = await self._ledger.next_queued(kept_position, limit=_KEPT_BATCH_SIZE)
                for entry in await self._lacking(entries):
                    yield entry
            else:
                for entry in entries:
                    yield entry

            if not entries and not may_grow:
                return
            if not entries:
                await self._changed.wait()

    async def _lacking(self, entries: list[Entry]) -> list[Entry]:
        """Return the recordings that have to be looked at one by one, of those with a copy.

        Files are looked at together: that is much less work, where nothing has changed.
        """
        destination = self._operation.destination
        if self._operation.delete or not isinstance(destination, (str, os.PathLike)):
            return entries
        directory = Path(destination)
        sizes = await run_in_thread(lambda: [file_size(directory / copy_name(entry)) for entry in entries])
        return [
            entry
            for entry, size in zip(entries, sizes, strict=True)
            if size is None or size != entry.bytes or may_improve(entry)
        ]

    async def _process(self, entry: Entry) -> AsyncGenerator[Entry, None]:
        """Copy a recording if it has no usable copy; if asked, delete it at the source on proof of the copy."""
        try:
            if self._is_postponed(entry):
                await self._postpone(entry)
            elif self._operation.delete:
                await self._move(entry)
            else:
                await self._keep(entry)
        except RoomRecError as error:
            self._record_failure(entry.sid, error)
            await self._ledger.mark_failed(entry, str(error))
            # What needs no request may be tried by each run.
            if not isinstance(error, _RefusedError) and not self._needs_key(entry):
                await self._mark_tried(entry, error)
        await self._state.checkpoint()
        yield entry

    def _is_postponed(self, entry: Entry) -> bool:
        """Return True if a recording failed in earlier runs, and is not tried in this one.

        One that has a copy is postponed only where it would be deleted: what is kept is looked at by each run.
        """
        if self._operation.retry_failed or entry.error is None:
            return False
        if entry.state is State.ARCHIVED and not self._operation.delete:
            return False
        return self._needs_key(entry) or is_waiting(entry, datetime.now(UTC))

    def _needs_key(self, entry: Entry) -> bool:
        """Return True if a recording without a copy is encrypted, and this run has no key."""
        has_key = self._operation.decryption is not None
        return bool(entry.recording.encryption_key) and not has_key and entry.state is not State.ARCHIVED

    async def _postpone(self, entry: Entry) -> None:
        """Report the failure of an earlier run once more. A copy that is lost meanwhile is made again."""
        if entry.state is State.ARCHIVED:
            await self._keep(entry)
        else:
            self._progress.expected_bytes -= counted_size(entry.recording)
        self._postponed += 1
        self._count_failure(entry.sid, entry.error or "", entry.retry_at)

    async def _mark_tried(self, entry: Entry, error: RoomRecError | None) -> None:
        """Record that a recording was tried in vain, and when the next run should try it."""
        retry_at = next_try(entry, error, datetime.now(UTC))
        await self._ledger.mark_tried(entry, retry_at)
        if retry_at is not None and entry.sid in self._failures:
            self._next_tries[entry.sid] = retry_at

    async def _move(self, entry: Entry) -> None:
        """Delete a recording at the source, on proof of its copy.

        Raises:
            VerificationError: the copy is no proof. The recording stays at the source, and the copy in the archive.
        """
        reason = refusal(entry.recording, self._operation.deletable_account)
        if reason is not None:
            # The copy is not read back: whatever it is, the recording stays.
            await self._keep(entry)
            raise _RefusedError(f"{entry.sid} stays at the source: {reason}")

        stored = None
        if entry.state is State.ARCHIVED:
            stored = await self._read_back(entry)
        is_intact = stored is not None and stored.is_intact(entry)
        if not is_intact or may_improve(entry):
            entry = await self._replace(entry, is_intact=is_intact)
            stored = await self._read_back(entry)
        check_proof(entry, stored)
        await self._delete(entry)

    async def _replace(self, entry: Entry, *, is_intact: bool) -> Entry:
        """Copy a recording again; if that fails, mark a copy that is not intact as missing."""
        try:
            return await self._copy(entry)
        except RoomRecError:
            if entry.state is State.ARCHIVED and not is_intact:
                await self._ledger.mark_missing(entry)
            raise

    async def _copy(self, entry: Entry) -> Entry:
        """Download a recording to the archive, and mark it as archived. The download verifies and syncs the copy.

        Until then, an earlier copy stays in the archive and in the ledger.
        """
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
        unproven = doubt(entry.recording, download.size, is_matroska=download.is_matroska is True)
        await self._ledger.mark_archived(entry, download, unproven)
        if unproven is not None and entry.recording.size is not None:
            # It may be made again, but not by every run for ever.
            await self._mark_tried(entry, None)
        self._progress.archived += 1
        return attrs.evolve(entry, location=download.location, bytes=download.size, sha256=download.sha256)

    async def _keep(self, entry: Entry) -> None:
        """Copy a recording if it has no copy, or one that proves nothing and may be a proof when it is made again."""
        has_copy = entry.state is State.ARCHIVED and await self._stored_size(copy_name(entry)) == entry.bytes
        is_doubtful = may_improve(entry) and (self._operation.retry_failed or not is_waiting(entry, datetime.now(UTC)))
        if not has_copy or is_doubtful:
            await self._replace(entry, is_intact=has_copy)

    async def _stored_size(self, name: str) -> int | None:
        destination = self._operation.destination
        if isinstance(destination, (str, os.PathLike)):
            return await asyncio.to_thread(file_size, Path(destination) / name)
        with self._operation.transport.operation_scope():
            return await call_destination(destination.size(name))

    async def _read_back(self, entry: Entry) -> StoredCopy | None:
        # Closing the client ends it.
        with self._operation.transport.operation_scope():
            return await read_back(self._operation.destination, copy_name(entry))

    async def _delete(self, entry: Entry) -> None:
        operation = self._operation
        room_sid = entry.recording.room_sid
        # Where the copy is, and its digest, must not be known to this process only.
        await self._state.sync()
        if not await delete_recording(operation.transport, room_sid, entry.sid, Deadline.start(operation.timeout)):
            await self._check_deleted(entry)
        await self._ledger.mark_deleted(entry)
        self._progress.deleted += 1

    async def _check_deleted(self, entry: Entry) -> None:
        """Check that a recording that its room no longer has is not in another one.

        Raises:
            VerificationError: it is.
        """
        operation = self._operation
        if not await is_deleted(operation.transport, entry.sid, Deadline.start(operation.timeout)):
            raise VerificationError(
                f"{entry.sid} stays at the source: {entry.recording.room_sid} does not have it, but the account does"
            )

    def _add_bytes(self, size: int) -> None:
        self._progress.bytes += size

    def _record_failure(self, sid: str, error: RoomRecError) -> None:
        if isinstance(error, (AuthenticationError, ClientClosedError, LeaseLostError, StateError)):
            # All others would fail in the same way.
            raise error
        self._count_failure(sid, str(error))

    def _count_failure(self, sid: str, message: str, retry_at: datetime | None = None) -> None:
        self._progress.failed += 1
        if len(self._failures) < _MAX_FAILURES:
            self._failures[sid] = message
            if retry_at is not None:
                self._next_tries[sid] = retry_at


def check_path_text(path: str | os.PathLike[str]) -> None:
    """Check that a path can be written to the ledger and the manifest, which are UTF-8.

    Raises:
        InvalidArgumentError: it has bytes that are no text.
    """
    # Also where it leads to: that is what the ledger of a directory elsewhere has.
    for text in (os.fspath(path), os.path.realpath(path)):
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = safe_text(text)
            raise InvalidArgumentError(
                f"{shown} has bytes that are no UTF-8: name another folder for the archive"
            ) from None


def shown_sid(recording: Recording) -> str:
    """Return the SID of a recording as it is shown, whatever the service sent."""
    if recording.sid:
        return safe_text(recording.sid, _MAX_SID_LENGTH)
    return f"a recording of {safe_text(recording.room_sid or 'no room', _MAX_SID_LENGTH)} without a SID"


def ledger_destination(destination: str | os.PathLike[str] | Destination) -> str:
    """Return the destination that a ledger elsewhere belongs to."""
    if isinstance(destination, (str, os.PathLike)):
        return str(Path(destination).resolve())
    return destination.location("")


def store_of(destination: str | os.PathLike[str] | Destination) -> str | None:
    """Return the service that has a store, which the names of its objects do not tell; None if it does not say."""
    endpoint = getattr(destination, "endpoint", None)
    return endpoint if isinstance(endpoint, str) else None


def room_folder(recording: Recording) -> str:
    """Return the folder of a recording's room in the archive, with a slash at its end."""
    return f"{recording.room_sid}/" if recording.room_sid else ""


def copy_name(entry: Entry) -> str:
    """Return the name of a recording's copy in the archive."""
    return room_folder(entry.recording) + media_name(entry.recording)


def may_improve(entry: Entry) -> bool:
    """Return True if a copy that proves nothing may be a proof when it is made again.

    That is not the case while the service announces no size: any copy would be as doubtful as the one there is.
    """
    return entry.unproven is not None and entry.recording.size is not None
