"""The ledger of an archive: which recordings there are and how far each has come, in SQLite."""

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
_ENTER: Final = "INSERT OR IGNORE INTO recordings (sid, recording, state) VALUES (?, ?, ?)"
_VERSION: Final = 1
_AT_ONCE: Final = 500


class State(StrEnum):
    """How far a recording has come."""

    FOUND = "found"
    """Listed, and not in the archive yet."""
    ARCHIVED = "archived"
    """In the archive, verified, and on the disk."""
    DELETED = "deleted"
    """In the archive, and deleted at the source."""
    EXTERNAL = "external"
    """In a bucket of the account's own, where it stays."""
    FAILED = "failed"
    """Not archived; the next run tries again."""


@attrs.frozen(kw_only=True)
class Entry:
    """A recording in the ledger.

    Attributes:
        number: its place, from 1, in the order in which recordings were found.
        recording: what the service said of it.
        state: how far it has come.
        location: the path or URL of its copy.
        bytes: how many the copy has.
        sha256: the digest of these, in hexadecimal.
        etag: the ETag of the version that was copied.
        archived_at: when the copy was verified.
        deleted_at: when it was deleted at the source.
        error: why it failed.
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
        """The recording's SID."""
        return self.recording.sid or ""


@attrs.frozen
class Count:
    """A number of recordings, and how many bytes they have."""

    recordings: int
    bytes: int


class Ledger:
    """The ledger of one destination. What a method has recorded is on the disk when it returns.

    Args:
        path: the SQLite file; it is made if it is not there.
        destination: what it is the ledger of.

    Use it with ``async with``, which raises:
        ConfigurationError: the file is no ledger, or that of another destination, or in use by another archive.

    Every method raises:
        OSError: the disk is full, or cannot be read or written.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self._path = path
        self._destination = destination
        # SQLite waits for the disk: that is for a thread, always the same one.
        self._thread = ThreadPoolExecutor(1, "roomrec-ledger")
        self._opened = ExitStack()
        self._connection: sqlite3.Connection

    async def __aenter__(self) -> Self:
        try:
            await self._call(self._open)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        try:
            await self._call(self._opened.close)
        finally:
            self._thread.shutdown(wait=False)

    async def found(self, recordings: Iterable[Recording]) -> Count:
        """Enter recordings; those that are in it stay as they are. The result is what was not."""

        def enter() -> Count:
            count = size = 0
            with self._connection:
                for recording in recordings:
                    state = State.EXTERNAL if recording.media_external_location else State.FOUND
                    row = (recording.sid, _json(recording), state)
                    if self._connection.execute(_ENTER, row).rowcount:
                        count += 1
                        size += recording.size or 0
            return Count(count, size)

        return await self._call(enter)

    async def archived(self, entry: Entry, copy: Download) -> None:
        """A verified copy is in the archive."""
        await self._write(
            "UPDATE recordings SET state = ?, location = ?, bytes = ?, sha256 = ?, etag = ?, archived_at = ?, "
            "error = NULL WHERE number = ?",
            [(State.ARCHIVED, copy.location, copy.size, copy.sha256, copy.etag, _now(), entry.number)],
        )

    async def deleted(self, entry: Entry) -> None:
        """It is deleted at the source."""
        await self._write(
            "UPDATE recordings SET state = ?, deleted_at = ?, error = NULL WHERE number = ?",
            [(State.DELETED, _now(), entry.number)],
        )

    async def failed(self, entry: Entry, error: str) -> None:
        """It could not be copied, or not be deleted; what has a verified copy stays archived."""
        await self._write(
            "UPDATE recordings SET state = CASE state WHEN ? THEN ? ELSE state END, error = ? WHERE number = ?",
            [(State.FOUND, State.FAILED, error, entry.number)],
        )

    async def lost(self, entry: Entry) -> None:
        """Its copy is no longer in the archive."""
        await self._write(
            "UPDATE recordings SET state = ?, archived_at = NULL WHERE number = ?", [(State.FOUND, entry.number)]
        )

    async def try_again(self) -> None:
        """What has failed is to be archived again."""
        await self._write("UPDATE recordings SET state = ? WHERE state = ?", [(State.FOUND, State.FAILED)])

    async def room_listed(self, room_sid: str) -> None:
        """All recordings of a room are in the ledger."""
        await self._write("INSERT OR IGNORE INTO listed_rooms VALUES (?)", [(room_sid,)])

    async def is_listed(self, room_sid: str) -> bool:
        """Whether this was recorded of the room since the last :meth:`list_anew`."""
        return bool(await self._read("SELECT 1 FROM listed_rooms WHERE room_sid = ?", (room_sid,)))

    async def list_anew(self) -> None:
        """The rooms may have new recordings from now on."""
        await self._write("DELETE FROM listed_rooms", [()])

    async def next(self, states: Iterable[State], after: int) -> list[Entry]:
        """The next recordings in one of these states, by their number: some of them, and none if there are no more."""
        listed = tuple(states)
        marks = ", ".join("?" * len(listed))
        rows = await self._read(
            f"SELECT * FROM recordings WHERE state IN ({marks}) AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (*listed, after, _AT_ONCE),
        )
        return [_entry(row) for row in rows]

    async def entries(self) -> AsyncGenerator[list[Entry], None]:
        """All recordings, by their number, some at a time."""
        number = 0
        while some := await self.next(State, number):
            yield some
            number = some[-1].number

    async def counts(self) -> dict[State, Count]:
        """How many recordings are in which state, and how many bytes their copies have."""
        rows = await self._read("SELECT state, count(*) AS n, total(bytes) AS bytes FROM recordings GROUP BY state", ())
        found = {row["state"]: Count(row["n"], int(row["bytes"])) for row in rows}
        return {state: found.get(state, Count(0, 0)) for state in State}

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{self._path} cannot be opened: {error}") from None
        self._connection = self._opened.enter_context(closing(connection))
        self._connection.row_factory = sqlite3.Row
        try:
            self._set_up()
        except sqlite3.Error as error:
            if _is_full(error):
                raise
            in_use = isinstance(error, sqlite3.OperationalError)
            why = "cannot be used, perhaps by another archive already" if in_use else "is no ledger of an archive"
            raise ConfigurationError(f"{self._path} {why}: {error}") from None

    def _set_up(self) -> None:
        # Exclusive: two archives at once would delete under each other's hands.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
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
        try:
            return await run_in_thread(function, self._thread)
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _broken(self, error: sqlite3.Error) -> OSError:
        if _is_full(error):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        return OSError(errno.EIO, str(error), str(self._path))


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        number=row["number"],
        recording=from_dict(Recording, json.loads(row["recording"])),
        state=State(row["state"]),
        location=row["location"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        etag=row["etag"],
        archived_at=_instant(row["archived_at"]),
        deleted_at=_instant(row["deleted_at"]),
        error=row["error"],
    )


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _json(recording: Recording) -> str:
    return json.dumps(to_dict(recording), separators=(",", ":"))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _now() -> str:
    return datetime.now(UTC).isoformat()
