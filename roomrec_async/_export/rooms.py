"""The rooms of a shard, each once and in an order of their own, on disk: ten million of them take no memory."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Final

from roomrec_async._api.arguments import room_sid_of
from roomrec_async._asyncio import run_in_thread
from roomrec_async._listing.fanout import RoomSids, iter_room_sids
from roomrec_async._validate import canonical_sid
from roomrec_async.models import Room

from .shard import Shard, key_hash

# Rooms that are stored by one call in a thread.
_BATCH_SIZE: Final = 10_000


class SortedRooms:
    """Rooms by the hash of their SIDs, so that neither their order nor their number in the source matters."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        columns = "hash INTEGER, sid TEXT, name TEXT, PRIMARY KEY (hash, sid)"
        database.execute(f"CREATE TABLE rooms ({columns}) WITHOUT ROWID")

    async def fill(self, room_sids: RoomSids, shard: Shard) -> None:
        """Add the rooms of a shard.

        Raises:
            InvalidArgumentError: a SID is malformed.
        """
        batch: list[tuple[int, str, str | None]] = []
        name: str | None = None

        def sid_of(room: object) -> str:
            nonlocal name
            name = room.unique_name if isinstance(room, Room) else None
            return room_sid_of(room)

        async with aclosing(iter_room_sids(room_sids, sid_of)) as pulled:
            async for room_sid in pulled:
                sid = canonical_sid(room_sid)
                if shard.owns(sid):
                    batch.append((key_hash(sid), sid, name))
                if len(batch) >= _BATCH_SIZE:
                    await run_in_thread(partial(self._add, batch))
                    batch = []
        await run_in_thread(partial(self._add, batch))

    def summarize(self) -> tuple[int, str]:
        """Return the number of the rooms, and the SHA-256 of their SIDs."""
        digest = hashlib.sha256()
        count = 0
        for (sid,) in self._database.execute("SELECT sid FROM rooms ORDER BY hash, sid"):
            digest.update(sid.encode())
            count += 1
        return count, digest.hexdigest()

    def batches(self, size: int) -> Iterator[dict[str, str | None]]:
        """Yield all rooms by SID, each with its name if it is known, so many at a time; the last ones may be fewer."""
        rows = self._database.execute("SELECT sid, name FROM rooms ORDER BY hash, sid")
        while batch := rows.fetchmany(size):
            yield dict(batch)

    def count(self) -> int:
        """Return the number of the rooms."""
        (count,) = self._database.execute("SELECT count(*) FROM rooms").fetchone()
        return int(count)

    def shards(self, count: int) -> Iterator[dict[str, str | None]]:
        """Yield the rooms of each of so many shards, in their order; where a shard has none, an empty set.

        SQLite sorts them, in a temporary file if they are many.
        """
        query = "SELECT hash % ? AS shard, sid, name FROM rooms ORDER BY shard, hash, sid"
        groups = groupby(self._database.execute(query, (count,)), key=itemgetter(0))
        shard, rows = next(groups, (count, iter(())))
        for index in range(count):
            rooms: dict[str, str | None] = {}
            if index == shard:
                rooms = {sid: name for _, sid, name in rows}
                shard, rows = next(groups, (count, iter(())))
            yield rooms

    def _add(self, batch: list[tuple[int, str, str | None]]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO rooms VALUES (?, ?, ?)", batch)


@contextmanager
def open_sorted_rooms() -> Iterator[SortedRooms]:
    """Open an empty set of rooms in a temporary file, which is gone with the process."""
    # An empty name: SQLite removes the file as soon as it is open.
    with closing(sqlite3.connect("", check_same_thread=False, isolation_level=None)) as database:
        yield SortedRooms(database)
