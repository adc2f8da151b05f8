"""Many rooms at once: gather, as_completed and stream, on one engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, aclosing
from datetime import date
from typing import TypeAlias, cast

from roomrec_async._api.arguments import named_room_sid, room_sid_of
from roomrec_async._asyncio import map_concurrently
from roomrec_async._validate import ROOM_SID, canonical_sid, refusal
from roomrec_async.errors import ClientClosedError, InvalidArgumentError, RoomRecError, RoomsFailedError
from roomrec_async.models import Recording, Room, RoomResult

from .pager import Pager, collect
from .records import Records

RoomSids: TypeAlias = Iterable[str | Room] | AsyncIterable[str | Room]
"""Rooms or their SIDs, such as ``client.rooms(...)``; pulled one by one, as there is capacity for them."""

OpenRoom: TypeAlias = Callable[[str], Pager[Recording]]
"""Returns the list of a room's recordings."""

OnError: TypeAlias = Callable[[RoomResult], object]
"""Called with the result of each room that failed."""

Limit: TypeAlias = Callable[[], int]
"""Returns how many rooms may be under way."""

SidOf: TypeAlias = Callable[[object], str]
"""Returns the SID of a room, or a SID as it is: a malformed one is a failure of that room alone."""

Scope: TypeAlias = AbstractContextManager[object]
"""A block that ends when the client is closed."""


def check_options(method: str, options: Mapping[str, object], known: Collection[str]) -> None:
    """Check the names of options, as Python does those of arguments.

    Args:
        method: the name of the method that they were given to.
        options: the options.
        known: the names of those that there are.

    Raises:
        TypeError: one of them does not exist; the message names the one that was meant.
    """
    names = sorted(known)
    for name in options:
        if name in names:
            continue
        message = f"{method}() got an unexpected keyword argument {name!r}"
        from difflib import get_close_matches  # noqa: PLC0415  only this error needs it

        similar = get_close_matches(name, names, n=1)
        if similar:
            message += f": did you mean {similar[0]!r}?"
        elif "concurren" in name or "parallel" in name or "workers" in name:
            message += ": the client's limiter bounds that, as RateLimiter(max_concurrency=...)"
        else:
            message += f": its options are {', '.join(names)}"
        raise TypeError(message)


def check_room_sids(room_sids: RoomSids) -> RoomSids:
    """Return the rooms.

    Raises:
        InvalidArgumentError: they are one room, or not an iterable.
    """
    if isinstance(room_sids, (str, bytes, Room)):
        expected = "an iterable of rooms or room SIDs"
        raise InvalidArgumentError(
            f"{refusal('room_sids', expected, room_sids)}: put one room into a list, or use client.recordings()"
        )
    if isinstance(room_sids, Mapping) or not isinstance(room_sids, (Iterable, AsyncIterable)):
        hint = ": give its keys as list(rooms), or its rooms.values()" if isinstance(room_sids, Mapping) else ""
        if callable(room_sids):
            hint = ": call it, and give what it returns"
        elif isinstance(room_sids, date):
            hint = ": a window of time is a DateWindow, for client.archive(), client.export() and client.scan()"
        raise InvalidArgumentError(f"{refusal('room_sids', 'an iterable of rooms or room SIDs', room_sids)}{hint}")
    return room_sids


async def gather(
    room_sids: RoomSids,
    open_room: OpenRoom,
    limit: Limit,
    scope: Scope,
    sid_of: SidOf = named_room_sid,
    *,
    return_exceptions: bool,
) -> dict[str, Records[Recording] | RoomRecError]:
    """Return the recordings of each room, in the order given; a room that is named twice is fetched once."""
    if isinstance(room_sids, Collection) and not return_exceptions:
        for room in room_sids:
            room_sid_of(sid_of(room))

    by_room: dict[str, Records[Recording] | RoomRecError] = {}
    results = as_completed(_deduplicate(room_sids, sid_of, by_room), open_room, limit, scope)
    async with aclosing(results):
        async for result in results:
            if result.error is not None and not return_exceptions:
                raise result.error
            by_room[result.room_sid] = result.error or cast("Records[Recording]", result.recordings)
    return by_room


def as_completed(
    room_sids: RoomSids, open_room: OpenRoom, limit: Limit, scope: Scope, sid_of: SidOf = named_room_sid
) -> AsyncGenerator[RoomResult, None]:
    """Yield one result for each room, as rooms finish."""

    async def list_room(room_sid: str) -> AsyncGenerator[RoomResult, None]:
        recordings: Records[Recording] = Records()
        error: RoomRecError | None = None
        try:
            await collect(open_room(room_sid), recordings)
        except RoomRecError as failure:
            error = _raise_if_closed(failure)
        yield RoomResult(room_sid, recordings, error)

    return map_concurrently(iter_room_sids(room_sids, sid_of), list_room, limit, scope)


async def stream(
    room_sids: RoomSids,
    open_room: OpenRoom,
    limit: Limit,
    scope: Scope,
    sid_of: SidOf = named_room_sid,
    *,
    on_error: OnError | None,
) -> AsyncGenerator[Recording, None]:
    """Yield the recordings of all rooms, page by page as they come."""
    failed: list[RoomResult] = []
    report = on_error or failed.append

    async def list_room(room_sid: str) -> AsyncGenerator[RoomResult, None]:
        try:
            async with aclosing(open_room(room_sid).pages()) as pages:
                async for page in pages:
                    yield RoomResult(room_sid, page.items)
        except RoomRecError as failure:
            yield RoomResult(room_sid, [], _raise_if_closed(failure))

    async with aclosing(map_concurrently(iter_room_sids(room_sids, sid_of), list_room, limit, scope)) as results:
        async for result in results:
            if result.error is not None:
                report(result)
            for recording in result.recordings:
                yield recording

    errors = {result.room_sid: result.error for result in failed if result.error is not None}
    if errors:
        raise RoomsFailedError(errors)


def _raise_if_closed(error: RoomRecError) -> RoomRecError:
    """Return the error of one room; raise it if the client is closed, which ends all of them."""
    if isinstance(error, ClientClosedError):
        raise error
    return error


async def iter_room_sids(room_sids: RoomSids, sid_of: SidOf = named_room_sid) -> AsyncGenerator[str, None]:
    """Yield the rooms' SIDs one by one, from an iterable or an async iterable.

    Raises:
        InvalidArgumentError: one of them is not a room.
    """
    if isinstance(room_sids, AsyncIterable):
        async for room in room_sids:
            yield sid_of(room)
    else:
        for room in room_sids:
            yield sid_of(room)


async def _deduplicate(
    room_sids: RoomSids, sid_of: SidOf, by_room: dict[str, Records[Recording] | RoomRecError]
) -> AsyncGenerator[str, None]:
    """Yield each room once, and enter it into the dictionary when it is pulled, which keeps the order given.

    Two spellings of a SID are one room, under the first of them.
    """
    seen: set[str] = set()
    async with aclosing(iter_room_sids(room_sids, sid_of)) as pulled:
        async for room_sid in pulled:
            # A malformed one is its own failure, and must not stand for another room.
            key = canonical_sid(room_sid) if ROOM_SID.fullmatch(room_sid) else room_sid
            if key not in seen:
                seen.add(key)
                by_room[room_sid] = Records()
                yield room_sid
