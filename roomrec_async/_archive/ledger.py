"""Ledger of an archive: its recordings and the state of each, in SQLite."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs

from roomrec_async._api.codec import from_dict, to_dict
from roomrec_async._asyncio import run_in_thread
from roomrec_async._media.download import Download
from roomrec_async.errors import ConfigurationError
from roomrec_async.models import Recording

_Result = TypeVar("_Result")

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
    error TEXT
);
CREATE INDEX IF NOT EXISTS recordings_by_state ON recordings (state, number);
CREATE TABLE IF NOT EXISTS listed_rooms (room_sid TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_INSERT: Final = "INSERT OR IGNORE INTO recordings (sid, recording, state) VALUES (?, ?, ?)"
# The version of the schema; a ledger of another version is refused.
_VERSION: Final = 1
# Entries read at once.
_BATCH_SIZE: Final = 500


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
    """Not archived; the next run retries it."""


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

    @property
    def sid(self) -> str:
        """SID of the recording."""
        return self.recording.sid or ""


@attrs.frozen
class Count:
    """A number of recordings, and of their bytes."""

    recordings: int
    bytes: int


class Ledger:
    """The ledger of one archive. What a method has recorded is on the disk when it returns.

    Args:
        path: the SQLite file, created if missing.
        destination: where the archive is. A ledger belongs to one destination.

    Use it with ``async with``, which raises:
        ConfigurationError: the file is not a ledger, is the ledger of another destination, or is in use.

    Every method raises:
        OSError: the disk is full, or cannot be read or written.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self._path = path
        self._destination = destination
        # SQLite blocks while it waits for the disk. One thread of its own: statements run one after another.
        self._thread = ThreadPoolExecutor(1, "roomrec-ledger")
        # Closes the connection, if there is one.
        self._resources = ExitStack()
        self._connection: sqlite3.Connection

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

    async def add_recordings(self, recordings: Iterable[Recording]) -> Count:
        """Add recordings, and return how many were new. Entries that exist already are left alone."""

        def insert() -> Count:
            count = 0
            size = 0
            with self._connection:
                for recording in recordings:
                    state = State.EXTERNAL if recording.media_external_location else State.FOUND
                    row = (recording.sid, to_json(recording), state)
                    if self._connection.execute(_INSERT, row).rowcount:
                        count += 1
                        size += recording.size or 0
            return Count(count, size)

        return await self._call(insert)

    async def mark_archived(self, entry: Entry, copy: Download) -> None:
        """Record that a verified copy is in the archive."""
        await self._write(
            "UPDATE recordings SET state = ?, location = ?, bytes = ?, sha256 = ?, etag = ?, archived_at = ?, "
            "error = NULL WHERE number = ?",
            [(State.ARCHIVED, copy.location, copy.size, copy.sha256, copy.etag, utc_now(), entry.number)],
        )

    async def mark_deleted(self, entry: Entry) -> None:
        """Record that the recording is deleted at the source."""
        await self._write(
            "UPDATE recordings SET state = ?, deleted_at = ?, error = NULL WHERE number = ?",
            [(State.DELETED, utc_now(), entry.number)],
        )

    async def mark_failed(self, entry: Entry, error: str) -> None:
        """Record that copying or deleting failed. A recording that has a verified copy stays archived."""
        await self._write(
            "UPDATE recordings SET state = CASE state WHEN ? THEN ? ELSE state END, error = ? WHERE number = ?",
            [(State.FOUND, State.FAILED, error, entry.number)],
        )

    async def mark_missing(self, entry: Entry) -> None:
        """Record that the copy is missing or damaged, so that the recording is copied again."""
        await self._write(
            "UPDATE recordings SET state = ?, archived_at = NULL WHERE number = ?", [(State.FOUND, entry.number)]
        )

    async def retry_failed(self) -> None:
        """Return all failed recordings to the queue."""
        await self._write("UPDATE recordings SET state = ? WHERE state = ?", [(State.FOUND, State.FAILED)])

    async def mark_room_listed(self, room_sid: str) -> None:
        """Record that all recordings of a room are in the ledger."""
        await self._write("INSERT OR IGNORE INTO listed_rooms VALUES (?)", [(room_sid,)])

    async def is_room_listed(self, room_sid: str) -> bool:
        """Return True if the room was marked as listed since the last :meth:`forget_listed_rooms`."""
        return bool(await self._read("SELECT 1 FROM listed_rooms WHERE room_sid = ?", (room_sid,)))

    async def forget_listed_rooms(self) -> None:
        """Unmark all rooms: they may have new recordings from now on."""
        await self._write("DELETE FROM listed_rooms", [()])

    async def next_entries(self, states: Iterable[State], after: int) -> list[Entry]:
        """Return the next entries in any of these states, in order of their numbers.

        Args:
            states: the states.
            after: the number of the last entry seen; 0 to start at the beginning.

        Returns:
            At most 500 entries; an empty list if there are no more.
        """
        wanted = tuple(states)
        placeholders = ", ".join("?" * len(wanted))
        rows = await self._read(
            f"SELECT * FROM recordings WHERE state IN ({placeholders}) AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (*wanted, after, _BATCH_SIZE),
        )
        return [entry_from_row(row) for row in rows]

    async def entries(self) -> AsyncGenerator[list[Entry], None]:
        """Yield all entries in order of their numbers, in batches."""
        number = 0
        while batch := await self.next_entries(State, number):
            yield batch
            number = batch[-1].number

    async def counts(self) -> dict[State, Count]:
        """Return the number of recordings in each state, and the bytes of their copies."""
        rows = await self._read("SELECT state, count(*) AS n, total(bytes) AS bytes FROM recordings GROUP BY state", ())
        found = {row["state"]: Count(row["n"], int(row["bytes"])) for row in rows}
        return {state: found.get(state, Count(0, 0)) for state in State}

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
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
            # SQLITE_BUSY, SQLITE_READONLY and their like; a file that is not a database is a DatabaseError.
            is_operational = isinstance(error, sqlite3.OperationalError)
            reason = "cannot be used; another archive may be using it already" if is_operational else "is not a ledger"
            raise ConfigurationError(f"{self._path} {reason}: {error}") from None

    def _set_up(self) -> None:
        # The lock is exclusive and held until the ledger is closed: of two runs at once, one could delete a recording
        # while the other one replaces its copy.
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # A commit is one append to the write-ahead log. FULL syncs it to disk each time: with NORMAL, a power loss may
        # undo the last commits.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

        with self._connection:
            self._connection.executescript(_SCHEMA)
            about = self._connection.execute("SELECT version, destination FROM about").fetchone()
            if about is None:
                self._connection.execute("INSERT INTO about VALUES (?, ?)", (_VERSION, self._destination))
        if about is not None and tuple(about) != (_VERSION, self._destination):
            raise ConfigurationError(
                f"{self._path} is the ledger of {about[1]} (version {about[0]}), not of {self._destination}"
            )

    async def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        def write() -> None:
            with self._connection:
                self._connection.executemany(statement, rows)

        await self._call(write)

    async def _read(self, query: str, values: tuple[object, ...]) -> list[sqlite3.Row]:
        return await self._call(lambda: self._connection.execute(query, values).fetchall())

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
    )


def is_disk_full(error: sqlite3.Error) -> bool:
    """Return True if SQLite could not write because the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def to_json(recording: Recording) -> str:
    """Return a recording as JSON, for the table."""
    return json.dumps(to_dict(recording), separators=(",", ":"))


def parse_instant(text: str | None) -> datetime | None:
    """Return the instant in a column, or None if it is null."""
    return None if text is None else datetime.fromisoformat(text)


def utc_now() -> str:
    """Return the current instant in ISO 8601, for the table."""
    return datetime.now(UTC).isoformat()
