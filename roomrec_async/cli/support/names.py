"""Rooms by their unique names, where a command takes a room."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

import attrs

from roomrec_async._asyncio import map_concurrently
from roomrec_async._format import format_count, format_date
from roomrec_async._listing.pager import Pager
from roomrec_async._media.delete import is_unknown
from roomrec_async._text import safe_repr, safe_text
from roomrec_async._validate import ROOM_SID, check_room_sid
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError, RoomRecError
from roomrec_async.models import Recording, Room, RoomResult, RoomStatus

ANY_STATUS: Final = (RoomStatus.IN_PROGRESS, RoomStatus.COMPLETED, RoomStatus.FAILED)
"""Statuses in the order in which to list rooms: one that ends meanwhile is then in two lists, and not in none."""

# What somebody meant to be a SID: of a room but of a wrong length, or of something else.
_INTENDED_SID: Final = re.compile(r"RM[0-9a-fA-F]*|[a-zA-Z]{2}[0-9a-fA-F]{20,}|(?i:RM[0-9a-z]{28,36})")

# Longer than any name that the service gives: a line of something that is no list of rooms.
_MAX_NAME_LENGTH: Final = 256
_MAX_CANDIDATES: Final = 5

# Recordings whose rooms' names are looked up at once; the limits may allow fewer requests.
_NAMED_AT_ONCE: Final = 100


def check_room(room: str) -> str:
    """Return a room, given by its SID or its unique name.

    Raises:
        InvalidArgumentError: it can be neither.
    """
    if _INTENDED_SID.fullmatch(room):
        return check_room_sid(room)
    # An empty line, and a line of a file that is not text.
    if not room.strip() or len(room) > _MAX_NAME_LENGTH or "\ufffd" in room or not room.isprintable():
        return check_room_sid(room)
    return room


async def check_no_name(room: str) -> str:
    """Return the SID of a room, where nobody can look up a name.

    Raises:
        InvalidArgumentError: it is no SID.
    """
    check_room(room)
    if ROOM_SID.fullmatch(room):
        return room
    raise InvalidArgumentError(
        f"{safe_repr(room)} is no SID, and the workers do not look up names: give SIDs, or set credentials here, too"
    )


class RoomNames:
    """Finds rooms by their unique names, and asks for each name once.

    A name is unique among the rooms in progress only: any number of those that have ended can share it.
    """

    def __init__(self, client: RecordingsClient) -> None:
        self._client = client
        # What was found for each name: a SID, or why there is none.
        self._found: dict[str, str | InvalidArgumentError] = {}

    async def find(self, room: str) -> str:
        """Return the SID of a room that is given by its SID or its unique name.

        Raises:
            InvalidArgumentError: no room has this name, or several have.
            RoomRecError: the service did not answer, or refused.
        """
        check_room(room)
        if ROOM_SID.fullmatch(room):
            return room
        if room not in self._found:
            self._found[room] = await self._look_up(room)
        found = self._found[room]
        if isinstance(found, InvalidArgumentError):
            raise found
        return found

    async def _look_up(self, name: str) -> str | InvalidArgumentError:
        lists = [self._client.rooms(status=status, unique_name=name) for status in ANY_STATUS]
        async with aclosing(join_lists(lists)) as rooms:
            # A gateway may not pass the filter on: no recording of another room must be deleted for that.
            found = [room async for room in rooms if (room.unique_name or "").casefold() == name.casefold()]
        match found:
            case [Room(sid=str() as sid)]:
                return sid
            case []:
                return InvalidArgumentError(
                    f"no room is named {safe_repr(name)}, neither one in progress nor one that has ended or failed"
                )
            case _:
                return InvalidArgumentError(format_candidates(name, found))


@attrs.frozen
class RoomNaming:
    """Looks up the unique names of recordings' rooms: one request for each room.

    Attributes:
        client: fetches the rooms.
        on_error: called with each room that could not be fetched.
    """

    client: RecordingsClient
    on_error: Callable[[RoomResult], object]
    _names: dict[str | None, str | None] = attrs.field(factory=dict)

    def name_of(self, recording: Recording) -> str | None:
        """Return the name of a recording's room, once its recordings have come out of :meth:`pass_on`."""
        return self._names.get(recording.room_sid)

    async def pass_on(self, recordings: AsyncGenerator[Recording, None]) -> AsyncGenerator[Recording, None]:
        """Yield recordings in their order, some later than they came: the names of their rooms are looked up first."""
        batch: list[Recording] = []
        async with aclosing(recordings):
            async for recording in recordings:
                batch.append(recording)
                if len(batch) >= _NAMED_AT_ONCE:
                    await self._look_up(batch)
                    for named in batch:
                        yield named
                    batch = []
        await self._look_up(batch)
        for named in batch:
            yield named

    async def _look_up(self, recordings: list[Recording]) -> None:
        rooms = {each.room_sid: None for each in recordings if each.room_sid and each.room_sid not in self._names}

        async def source() -> AsyncGenerator[str, None]:
            for room_sid in rooms:
                yield room_sid

        async with aclosing(map_concurrently(source(), self._fetch, lambda: _NAMED_AT_ONCE)) as found:
            async for room_sid, name in found:
                self._names[room_sid] = name

    async def _fetch(self, room_sid: str) -> AsyncGenerator[tuple[str, str | None], None]:
        name = None
        try:
            name = (await self.client.room(room_sid)).unique_name
        except RoomRecError as error:
            # Nobody knows the name of a room that the service does not know any more.
            if not is_unknown(error):
                self.on_error(RoomResult(room_sid, [], error))
        yield room_sid, name


async def join_lists(lists: Sequence[Pager[Room]], limit: int | None = None) -> AsyncGenerator[Room, None]:
    """Yield the rooms of lists, each once, up to a limit.

    A room that changes its status between two lists may be in both of them.
    """
    seen: set[str | None] = set()
    count = 0
    for rooms in lists:
        async with aclosing(aiter(rooms)) as records:
            async for room in records:
                if room.sid in seen:
                    continue
                if count == limit:
                    return
                count += 1
                # The last list has none of its own twice, and may be long.
                if rooms is not lists[-1]:
                    seen.add(room.sid)
                yield room


def format_candidates(name: str, rooms: list[Room]) -> str:
    """Return the message for a name of several rooms, with the newest of them."""
    newest = sorted(rooms, key=lambda room: room.date_created.timestamp() if room.date_created else 0, reverse=True)
    lines = [format_candidate(room) for room in newest[:_MAX_CANDIDATES]]
    if len(rooms) > _MAX_CANDIDATES:
        lines.append(f"and {len(rooms) - _MAX_CANDIDATES:,} more, which 'roomrec rooms --name' lists")
    return f"{format_count(len(rooms), 'room')} are named {safe_repr(name)}, give a SID instead: {'; '.join(lines)}"


def format_candidate(room: Room) -> str:
    """Return the SID, the status and the date of a room."""
    created = "at an unknown time"
    if room.date_created is not None:
        created = f"{format_date(room.date_created, timespec='minutes')} UTC"
    return f"{safe_text(room.sid or '?')} ({safe_text(room.status or '?')}, created {created})"
