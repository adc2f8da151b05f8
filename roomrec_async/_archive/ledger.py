"""Ledger of an archive: its recordings and the state of each, in SQLite."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs

from roomrec_async._api.codec import from_dict, to_dict
from roomrec_async._asyncio import run_in_thread
from roomrec_async._files import BusyError, make_directory, sync_directory
from roomrec_async._media.download import Download
from roomrec_async._validate import INT64_MAX, canonical_sid
from roomrec_async.errors import ConfigurationError, DecodeError
from roomrec_async.models import Recording

from .journal import COMPRESSION, all_lines, replay, take_changes, watch_changes
from .tracking import DROP_TRACKING, PART_SIZE, TRACKING

_Result = TypeVar("_Result")

LEDGER_NAME: Final = "ledger.sqlite3"
"""Name of the ledger in a directory that is archived to."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS about (version INTEGER NOT NULL, destination TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recordings (
    number INTEGER PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    recording TEXT NOT NULL,
    state TEXT NOT NULL,
    location TEXT,
    bytes INTEGER,
    sha256 TEXT,
    etag TEXT,
    archived_at TEXT,
    deleted_at TEXT,
    error TEXT,
    unproven TEXT,
    room_sid TEXT,
    created REAL,
    size INTEGER
);
CREATE INDEX IF NOT EXISTS recordings_by_state ON recordings (state, number);
CREATE INDEX IF NOT EXISTS recordings_by_room ON recordings (room_sid, number);
CREATE INDEX IF NOT EXISTS recordings_by_date ON recordings (created);
CREATE TABLE IF NOT EXISTS listed_rooms (room_sid TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (kind TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
"""
# What the source of a run names. It is not kept: SQLite syncs nothing for it, and the next run need not delete it.
_QUEUE: Final = """
CREATE TEMPORARY TABLE queue (
    position INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE, attempts INTEGER, retry_at REAL
);
"""
# Tables of a ledger whose first run was killed before it recorded which destination the ledger belongs to.
_DROP_UNFINISHED: Final = f"""
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS recordings;
DROP TABLE IF EXISTS about;
{DROP_TRACKING}
COMMIT;
"""
# A known recording keeps its state. Its fields are those of the latest list, by which its copy is judged.
_INSERT: Final = """
INSERT INTO recordings (sid, recording, state, room_sid, created, size) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (sid) DO UPDATE SET
    recording = excluded.recording, room_sid = excluded.room_sid, created = excluded.created, size = excluded.size
WHERE state <> 'deleted' AND (recordings.recording, recordings.room_sid, recordings.created, recordings.size)
    IS NOT (excluded.recording, excluded.room_sid, excluded.created, excluded.size)
"""
_FORGET_FAILURE: Final = "DELETE FROM failures WHERE number = (SELECT number FROM recordings WHERE sid = ?)"
_NOT_QUEUED: Final = "NOT EXISTS (SELECT 1 FROM queue WHERE queue.number = recordings.number)"
# Version 1 had no columns after "error". Its functions are those of :func:`add_sql_functions`.
_MIGRATION_FROM_1: Final = """
BEGIN IMMEDIATE;
ALTER TABLE recordings ADD COLUMN unproven TEXT;
ALTER TABLE recordings ADD COLUMN room_sid TEXT;
ALTER TABLE recordings ADD COLUMN created REAL;
ALTER TABLE recordings ADD COLUMN size INTEGER;
UPDATE recordings SET
    room_sid = indexed_room(recording), created = indexed_date(recording), size = indexed_size(recording);
UPDATE about SET version = 2;
COMMIT;
"""
# The version of the schema. Version 1 is migrated; a ledger of any other version is refused.
_VERSION: Final = 2
# Entries read at once.
_BATCH_SIZE: Final = 500

KEPT_AFTER: Final = 2**40
"""Position in the queue behind which all recordings have a copy at hand. Those before it are to be copied."""

_LAST_POSITION: Final = 2**62


class State(StrEnum):
    """State of a recording."""

    FOUND = "found"
    """Listed, and not in the archive yet."""
    ARCHIVED = "archived"
    """In the archive: verified, and on the disk."""
    DELETED = "deleted"
    """In the archive, and deleted at the source."""
    EXTERNAL = "external"
    """In the account's own bucket; never copied or deleted."""
    FAILED = "failed"
    """Not archived; runs that name it retry it, ever more rarely."""


@attrs.frozen(kw_only=True)
class Entry:
    """A recording in the ledger.

    Attributes:
        number: sequence number, from 1, in the order in which recordings were found.
        recording: the recording as the service listed it.
        state: the state.
        location: path or URL of the copy.
        bytes: size of the copy.
        sha256: SHA-256 of the copy, in hexadecimal.
        etag: ETag of the version that was copied.
        archived_at: when the copy was verified.
        deleted_at: when the recording was deleted at the source.
        error: message of the error with which it failed last.
        unproven: why the copy is no proof that the source may be deleted; None if nothing speaks against it.
        attempts: runs that have failed with it since it was proven last, or changed at the source; 0 if it is not from
            the queue.
        retry_at: when the next run should try it; None if any run may, or if it is not from the queue.
    """

    number: int
    recording: Recording
    state: State
    location: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    etag: str | None = None
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    error: str | None = None
    unproven: str | None = None
    attempts: int = 0
    retry_at: datetime | None = None

    @property
    def sid(self) -> str:
        """SID of the recording."""
        return self.recording.sid or ""


@attrs.frozen
class Count:
    """A number of recordings, and of their bytes."""

    recordings: int
    bytes: int

    def __add__(self, other: Count) -> Count:
        return Count(self.recordings + other.recordings, self.bytes + other.bytes)


@attrs.frozen
class WrittenFile:
    """A file of the manifest.

    Attributes:
        revision: the revision of what is in it.
        version: identifies it; a file that something else has written in its place has another one.
    """

    revision: int
    version: str


class Ledger:
    """The ledger of one archive. What a method has recorded is on the disk when it returns.

    Args:
        path: the SQLite file, created if missing.
        destination: where the archive is. A ledger belongs to one destination.
        store: the service that has the store; None for a directory, or not to compare it.
        account_sid: the account whose recordings are archived; None not to compare it.
        name: what to call a ledger of this run only, in the message of an error in its rows; None for its path.

    Use it with ``async with``, which raises:
        ConfigurationError: the file is not a ledger, or is the ledger of another destination or account.
        BusyError: another archive is using it.

    Every method raises:
        OSError: the disk is full, or cannot be read or written; or the file is no longer there.
    """

    def __init__(
        self,
        path: Path,
        destination: str,
        *,
        store: str | None = None,
        account_sid: str | None = None,
        name: str | None = None,
    ) -> None:
        self._path = path
        self._name = name or str(path)
        self._destination = destination
        self._owners = {"store": store, "account": account_sid and canonical_sid(account_sid)}
        # The file as it was opened.
        self._status: os.stat_result
        # SQLite blocks while it waits for the disk. One thread of its own: statements run one after another.
        self._thread = ThreadPoolExecutor(1, "roomrec-ledger")
        # Closes the connection, if there is one.
        self._resources = ExitStack()
        self._connection: sqlite3.Connection
        # Recordings that were queued so far.
        self._queued = 0

    async def __aenter__(self) -> Self:
        try:
            await self._call(self._open)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        try:
            await self._call(self._resources.close)
        finally:
            self._thread.shutdown(wait=False)

    async def begin_run(self) -> None:
        """Empty the queue: nothing is named by the source of the run that begins."""
        await self._write("DELETE FROM queue", [()])

    async def add_recordings(self, recordings: Iterable[Recording]) -> Count:
        """Add recordings that the source of this run names, and queue them.

        Entries that exist already keep their state, and take over the fields that the service lists now.

        Returns:
            The number of recordings that are new in the queue, and the bytes of those that are still to be copied.
        """

        def insert() -> Count:
            added = Count(0, 0)
            with self._connection:
                for recording in recordings:
                    state = State.EXTERNAL if recording.media_external_location else State.FOUND
                    row = (recording.sid, to_json(recording), state, *indexed_values(recording))
                    if self._connection.execute(_INSERT, row).rowcount > 0:
                        # It is another one than that which failed.
                        self._connection.execute(_FORGET_FAILURE, (recording.sid,))
                    added += self._enqueue("sid = ?", (recording.sid,))
            return added

        return await self._execute(insert)

    async def queue_room(self, room_sid: str) -> Count:
        """Queue the recordings of a room that runs before this one have found. Returns the same as adding them."""
        return await self._execute(partial(self._enqueue_all, "room_sid = ?", (canonical_sid(room_sid),)))

    async def queue_window(self, after: datetime, before: datetime | None) -> Count:
        """Queue the recordings that began in a window of time, as :meth:`queue_room` does for a room."""
        end = math.inf if before is None else before.timestamp()
        return await self._execute(partial(self._enqueue_all, "created >= ? AND created < ?", (after.timestamp(), end)))

    async def next_queued(
        self, after: int, before: int = _LAST_POSITION, limit: int = _BATCH_SIZE
    ) -> tuple[list[Entry], int]:
        """Return the next recordings in the queue that are to be copied, and then those that have a copy at hand.

        Args:
            after: the position returned last; 0 to start at the beginning, and :data:`KEPT_AFTER` to start with those
                that have a copy.
            before: the position to end before.
            limit: maximum number of entries.

        Returns:
            The entries, none if there are no more at present; and the position of the last one.
        """
        # CROSS JOIN: SQLite keeps this order of the tables, and so reads only the batch, in its order.
        rows = await self._read(
            "SELECT recordings.*, position, attempts, retry_at FROM queue CROSS JOIN recordings USING (number) "
            "WHERE position > ? AND position < ? AND state IN (?, ?, ?) ORDER BY position LIMIT ?",
            (after, before, State.FOUND, State.FAILED, State.ARCHIVED, limit),
        )
        return [self._queued_entry(row) for row in rows], rows[-1]["position"] if rows else after

    async def count_left_alone(self) -> int:
        """Return the number of archived recordings that the source of this run does not name."""
        [row] = await self._read(
            "SELECT ifnull((SELECT recordings FROM counts WHERE state = ?), 0) "
            "- (SELECT count(*) FROM queue CROSS JOIN recordings USING (number) WHERE state = ?) AS n",
            (State.ARCHIVED, State.ARCHIVED),
        )
        return int(row["n"])

    async def mark_archived(self, entry: Entry, copy: Download, unproven: str | None = None) -> None:
        """Record that a copy is in the archive, and why it is no proof that the source may be deleted, if so."""
        values = (State.ARCHIVED, copy.location, copy.size, copy.sha256, copy.etag, utc_now(), unproven, entry.number)

        def write() -> None:
            with self._connection:
                self._connection.execute(
                    "UPDATE recordings SET state = ?, location = ?, bytes = ?, sha256 = ?, etag = ?, archived_at = ?, "
                    "error = NULL, unproven = ? WHERE number = ?",
                    values,
                )
                if unproven is None:
                    self._connection.execute("DELETE FROM failures WHERE number = ?", (entry.number,))

        await self._execute(write)

    async def mark_deleted(self, entry: Entry) -> None:
        """Record that the recording is deleted at the source."""

        def write() -> None:
            with self._connection:
                self._connection.execute(
                    "UPDATE recordings SET state = ?, deleted_at = ?, error = NULL, unproven = NULL WHERE number = ?",
                    (State.DELETED, utc_now(), entry.number),
                )
                self._connection.execute("DELETE FROM failures WHERE number = ?", (entry.number,))

        await self._execute(write)

    async def mark_failed(self, entry: Entry, error: str) -> None:
        """Record that copying or deleting failed. A recording that has a verified copy stays archived."""
        await self._write(
            "UPDATE recordings SET state = CASE state WHEN ? THEN ? ELSE state END, error = ? WHERE number = ?",
            [(State.FOUND, State.FAILED, error, entry.number)],
        )

    async def mark_tried(self, entry: Entry, retry_at: datetime | None) -> None:
        """Record that this run has tried a recording in vain, and when another one should; None for the next run."""
        await self._write(
            "INSERT INTO failures VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE SET "
            "attempts = excluded.attempts, retry_at = excluded.retry_at",
            [(entry.number, entry.attempts + 1, None if retry_at is None else retry_at.timestamp())],
        )

    async def mark_missing(self, entry: Entry) -> None:
        """Record that the copy is missing or damaged, so that the recording is copied again."""
        await self._write(
            "UPDATE recordings SET state = ?, archived_at = NULL WHERE number = ?", [(State.FOUND, entry.number)]
        )

    async def mark_room_listed(self, room_sid: str) -> None:
        """Record that all recordings of a room are in the ledger."""
        await self._write("INSERT OR IGNORE INTO listed_rooms VALUES (?)", [(canonical_sid(room_sid),)])

    async def is_room_listed(self, room_sid: str) -> bool:
        """Return True if the room was marked as listed since the last :meth:`forget_listed_rooms`."""
        return bool(await self._read("SELECT 1 FROM listed_rooms WHERE room_sid = ?", (canonical_sid(room_sid),)))

    async def forget_listed_rooms(self) -> None:
        """Unmark all rooms: they may have new recordings from now on."""
        await self._write("DELETE FROM listed_rooms", [()])

    async def next_entries(self, after: int, last: int = INT64_MAX) -> list[Entry]:
        """Return the next entries, in order of their numbers.

        Args:
            after: the number of the last entry seen; 0 to start at the beginning.
            last: the number of the last entry to return.

        Returns:
            At most 500 entries; an empty list if there are no more.
        """
        rows = await self._read(
            "SELECT * FROM recordings WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (after, last, _BATCH_SIZE),
        )
        return [self._entry(row) for row in rows]

    async def entries(self, part: int | None = None) -> AsyncGenerator[list[Entry], None]:
        """Yield the entries of a part of the manifest, or all, in order of their numbers, in batches."""
        number = 0 if part is None else part * PART_SIZE
        last = INT64_MAX if part is None else number + PART_SIZE
        while batch := await self.next_entries(number, last):
            yield batch
            number = batch[-1].number

    async def counts(self) -> dict[State, Count]:
        """Return the number of recordings in each state, and the bytes of their copies."""
        rows = await self._read("SELECT state, recordings, bytes FROM counts", ())
        found = {row["state"]: Count(row["recordings"], row["bytes"]) for row in rows}
        return {state: found.get(state, Count(0, 0)) for state in State}

    async def part_revisions(self) -> dict[int, int]:
        """Return the revision of each part of the manifest, which grows whenever one of its rows changes."""
        rows = await self._read("SELECT part, revision FROM parts ORDER BY part", ())
        return {row["part"]: row["revision"] for row in rows}

    async def written_files(self) -> dict[str, WrittenFile]:
        """Return what was written of the manifest, by name."""
        rows = await self._read("SELECT name, revision, version FROM manifest_files", ())
        return {row["name"]: WrittenFile(row["revision"], row["version"]) for row in rows}

    async def mark_written(self, name: str, file: WrittenFile) -> None:
        """Record that a file of the manifest has been written."""
        await self._write(
            "INSERT OR REPLACE INTO manifest_files VALUES (?, ?, ?)", [(name, file.revision, file.version)]
        )

    async def watch_changes(self) -> None:
        """Note from now on which rows change, for :meth:`take_changes`."""
        await self._execute(lambda: watch_changes(self._connection))

    async def take_changes(self) -> list[str]:
        """Return what has changed since this was called last, as lines from which a journal is made."""
        return await self._execute(lambda: take_changes(self._connection))

    async def write_all(self, path: Path) -> None:
        """Write all rows to a compressed file, as the lines of a journal."""

        def write() -> None:
            with gzip.open(path, "wb", COMPRESSION) as file:
                file.writelines(line.encode() for line in all_lines(self._connection))

        await self._execute(write)

    async def replay(self, read: Callable[[], Iterable[bytes]]) -> None:
        """Take the rows of another ledger over, whose lines are read. This one is new.

        Raises:
            ValueError: a line is none of a journal.
        """
        await self._execute(lambda: replay(self._connection, read()))

    async def ledgers(self) -> AsyncGenerator[tuple[str, Ledger], None]:
        """Yield this ledger, as the only one that a manifest is made of."""
        yield "", self

    def _open(self) -> None:
        make_directory(self._path.parent)
        try:
            # No timeout: a run holds the lock of its ledger to its end, which may be days away.
            connection = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{self._path} cannot be opened: {error}") from None

        self._connection = self._resources.enter_context(closing(connection))
        self._connection.row_factory = sqlite3.Row
        try:
            self._set_up()
        except sqlite3.Error as error:
            if is_disk_full(error):
                raise
            if is_busy(error):
                raise BusyError(f"another process is archiving with {self._path}: wait for its end") from None
            # SQLITE_READONLY and its like; a file that is not a database is a DatabaseError.
            is_operational = isinstance(error, sqlite3.OperationalError)
            reason = "cannot be used" if is_operational else "is not a ledger"
            raise ConfigurationError(f"{self._path} {reason}: {error}") from None
        self._status = self._path.stat()
        # SQLite does not sync the name of a new file.
        sync_directory(self._path.parent)

    def _set_up(self) -> None:
        # The lock is exclusive and held until the ledger is closed: of two runs at once, one could delete a recording
        # while the other one replaces its copy.
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # A commit is one append to the write-ahead log. FULL syncs it to disk each time: with NORMAL, a power loss may
        # undo the last commits.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

        self._check_version()
        with self._connection:
            self._connection.executescript(_SCHEMA)
            if self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'counts'").fetchone() is None:
                self._connection.executescript(TRACKING)
            self._connection.executescript(_QUEUE)
            if self._connection.execute("SELECT version FROM about").fetchone() is None:
                self._connection.execute("INSERT INTO about VALUES (?, ?)", (_VERSION, self._destination))
            for kind, name in self._owners.items():
                if name:
                    self._check_owner(kind, name)

    def _check_owner(self, kind: str, name: str) -> None:
        """Check that the ledger is that of a store or an account. A ledger that has none becomes theirs."""
        self._connection.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (kind, name))
        [owner] = self._connection.execute("SELECT name FROM owners WHERE kind = ?", (kind,)).fetchone()
        if owner != name:
            raise ConfigurationError(f"{self._path} is the ledger of {kind} {owner}, not of {name}: name another file")

    def _check_version(self) -> None:
        """Check that the ledger, if there is one, is that of the destination, and migrate it to the present version."""
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return
        if "about" not in tables:
            raise ConfigurationError(f"{self._path} is not a ledger: it has other tables ({', '.join(sorted(tables))})")

        about = self._connection.execute("SELECT version, destination FROM about").fetchone()
        if about is None:
            self._drop_unfinished(tables)
            return
        if about["version"] not in (1, _VERSION) or about["destination"] != self._destination:
            raise ConfigurationError(
                f"{self._path} is the ledger of {about[1]} (version {about[0]}), not of {self._destination}"
            )
        if about["version"] == 1:
            add_sql_functions(self._connection)
            self._connection.executescript(_MIGRATION_FROM_1)

    def _drop_unfinished(self, tables: set[str]) -> None:
        """Drop the empty tables of a run that was killed before it recorded what they belong to."""
        if "recordings" in tables and self._connection.execute("SELECT 1 FROM recordings").fetchone() is not None:
            raise ConfigurationError(f"{self._path} is damaged: it does not say of which archive its recordings are")
        self._connection.executescript(_DROP_UNFINISHED)

    def _enqueue_all(self, condition: str, values: tuple[object, ...]) -> Count:
        with self._connection:
            return self._enqueue(condition, values)

    def _enqueue(self, condition: str, values: tuple[object, ...]) -> Count:
        """Queue the recordings that meet a condition and are not queued yet. Returns as :meth:`add_recordings` does."""
        selected = f"FROM recordings LEFT JOIN failures USING (number) WHERE {condition} AND {_NOT_QUEUED}"
        row = self._connection.execute(
            f"SELECT count(*) AS n, total(CASE WHEN state IN (?, ?) THEN size END) AS bytes {selected}",
            (State.FOUND, State.FAILED, *values),
        ).fetchone()
        self._connection.execute(
            "INSERT INTO queue SELECT CASE state WHEN ? THEN ? ELSE 0 END + ? + row_number() OVER (ORDER BY number), "
            f"number, attempts, retry_at {selected}",
            (State.ARCHIVED, KEPT_AFTER, self._queued, *values),
        )
        self._queued += row["n"]
        return Count(row["n"], int(row["bytes"]))

    def _queued_entry(self, row: sqlite3.Row) -> Entry:
        retry_at = None if row["retry_at"] is None else datetime.fromtimestamp(row["retry_at"], UTC)
        return attrs.evolve(self._entry(row), attempts=row["attempts"] or 0, retry_at=retry_at)

    def _entry(self, row: sqlite3.Row) -> Entry:
        """Return the entry in a row.

        Raises:
            ConfigurationError: the row is damaged.
        """
        try:
            entry = entry_from_row(row)
        except (ValueError, TypeError, DecodeError) as error:
            reason: str | None = str(error)
        else:
            reason = mismatch(row, entry)
            if reason is None:
                return entry
        raise ConfigurationError(
            f"{self._name} is damaged: row {row['number']} cannot be read: {reason}. Restore it from a backup"
        )

    async def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        def write() -> None:
            with self._connection:
                self._connection.executemany(statement, rows)

        await self._execute(write)

    async def _read(self, query: str, values: tuple[object, ...]) -> list[sqlite3.Row]:
        return await self._execute(lambda: self._connection.execute(query, values).fetchall())

    async def _execute(self, function: Callable[[], _Result]) -> _Result:
        """Run a function in the ledger's thread, if the file is still there.

        SQLite would go on with a file that was deleted, whose directory may be gone with all copies.

        Raises:
            OSError: it is not, or SQLite failed.
        """

        def execute() -> _Result:
            if not os.path.samestat(self._path.stat(), self._status):
                raise FileNotFoundError(errno.ENOENT, "the ledger was replaced while it was in use", str(self._path))
            return function()

        return await self._call(execute)

    async def _call(self, function: Callable[[], _Result]) -> _Result:
        """Run a function in the ledger's thread.

        Raises:
            OSError: SQLite failed.
        """
        try:
            return await run_in_thread(function, self._thread)
        except sqlite3.Error as error:
            if is_disk_full(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path)) from None
            raise OSError(errno.EIO, str(error), str(self._path)) from None


def entry_from_row(row: sqlite3.Row) -> Entry:
    """Return the entry in a row of the table."""
    return Entry(
        number=row["number"],
        recording=from_dict(Recording, json.loads(row["recording"])),
        state=State(row["state"]),
        location=row["location"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        etag=row["etag"],
        archived_at=parse_instant(row["archived_at"]),
        deleted_at=parse_instant(row["deleted_at"]),
        error=row["error"],
        unproven=row["unproven"],
    )


def indexed_values(recording: Recording) -> tuple[str | None, float | None, int | None]:
    """Return what the ledger finds a recording by, and sums up: its room, the date of its beginning, its size."""
    room_sid = None if recording.room_sid is None else canonical_sid(recording.room_sid)
    created = None if recording.date_created is None else recording.date_created.timestamp()
    is_countable = recording.size is not None and abs(recording.size) <= INT64_MAX
    return room_sid, created, recording.size if is_countable else None


def counted_size(recording: Recording) -> int:
    """Return the bytes of a recording that the sums of a run have."""
    return indexed_values(recording)[2] or 0


def mismatch(row: sqlite3.Row, entry: Entry) -> str | None:
    """Return how the columns of a row contradict its recording, or None if they do not.

    A source names a recording by these columns, so they must be those of what is copied and deleted.
    """
    if entry.sid != row["sid"]:
        return f"it is that of {row['sid']!r}, with the fields of {entry.sid!r}"
    for name, field in zip(("room_sid", "created", "size"), indexed_values(entry.recording), strict=True):
        # By a null, nothing is found.
        if row[name] not in (None, field):
            return f"its {name} is {row[name]!r}, and that of its recording {field!r}"
    return None


def add_sql_functions(connection: sqlite3.Connection) -> None:
    """Define the functions that the migration uses: each returns one of a row's indexed values."""

    def define(name: str, index: int) -> None:
        def indexed_value(text: str) -> str | float | None:
            try:
                return indexed_values(from_dict(Recording, json.loads(text)))[index]
            except (ValueError, TypeError, DecodeError):
                # Nothing names a damaged row.
                return None

        connection.create_function(name, 1, indexed_value)

    for index, name in enumerate(("indexed_room", "indexed_date", "indexed_size")):
        define(name, index)


def is_disk_full(error: sqlite3.Error) -> bool:
    """Return True if SQLite could not write because the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def is_busy(error: sqlite3.Error) -> bool:
    """Return True if another connection holds the lock of the database."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def to_json(recording: Recording) -> str:
    """Return a recording as JSON, for the table."""
    return json.dumps(to_dict(recording), separators=(",", ":"))


def parse_instant(text: str | None) -> datetime | None:
    """Return the instant in a column, or None if it is null."""
    return None if text is None else datetime.fromisoformat(text)


def utc_now() -> str:
    """Return the current instant in ISO 8601, for the table."""
    return datetime.now(UTC).isoformat()
