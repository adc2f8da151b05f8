"""Many rooms at once: gather, as_completed and stream, on one engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable
from contextlib import AbstractContextManager, aclosing
from typing import TypeAlias

from roomrec_async._asyncio import map_concurrently
from roomrec_async._text import safe_repr
from roomrec_async._validate import ROOM_SID, canonical_sid, check_room_sid
from roomrec_async.errors import ClientClosedError, InvalidArgumentError, RoomRecError, RoomsFailedError
from roomrec_async.models import Recording, RoomResult

from .pager import Pager, collect
from .records import Records

RoomSids: TypeAlias = Iterable[str] | AsyncIterable[str]
"""SIDs of rooms; pulled one by one, as there is capacity for them."""

OpenRoom: TypeAlias = Callable[[str], Pager[Recording]]
"""Returns the list of a room's recordings."""

OnError: TypeAlias = Callable[[RoomResult], object]
"""Called with the result of each room that failed."""

Limit: TypeAlias = Callable[[], int]
"""Returns how many rooms may be under way."""

Scope: TypeAlias = AbstractContextManager[object]
"""A block that ends when the client is closed."""


def check_room_sids(room_sids: RoomSids) -> RoomSids:
    """Return the rooms.

    Raises:
        InvalidArgumentError: they are one string, or not an iterable.
    """
    if isinstance(room_sids, (str, bytes)) or not isinstance(room_sids, (Iterable, AsyncIterable)):
        raise InvalidArgumentError(f"room_sids must be an iterable of room SIDs, not {type(room_sids).__name__}")
    return room_sids


async def gather(
    room_sids: RoomSids, open_room: OpenRoom, limit: Limit, scope: Scope, *, return_exceptions: bool
) -> dict[str, list[Recording] | RoomRecError]:
    """Return the recordings of each room, in the order given; a room that is named twice is fetched once."""
    if isinstance(room_sids, Collection) and not return_exceptions:
        for room_sid in room_sids:
            check_room_sid(room_sid)

    by_room: dict[str, list[Recording] | RoomRecError] = {}
    results = as_completed(_deduplicate(room_sids, by_room), open_room, limit, scope)
    async with aclosing(results):
        async for result in results:
            if result.error is not None and not return_exceptions:
                raise result.error
            by_room[result.room_sid] = result.error or result.recordings
    return by_room


def as_completed(
    room_sids: RoomSids, open_room: OpenRoom, limit: Limit, scope: Scope
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

    return map_concurrently(iter_room_sids(room_sids), list_room, limit, scope)


async def stream(
    room_sids: RoomSids, open_room: OpenRoom, limit: Limit, scope: Scope, *, on_error: OnError | None
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

    async with aclosing(map_concurrently(iter_room_sids(room_sids), list_room, limit, scope)) as results:
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


async def iter_room_sids(room_sids: RoomSids) -> AsyncGenerator[str, None]:
    """Yield the rooms one by one, from an iterable or an async iterable.

    Raises:
        InvalidArgumentError: one of them is not a string.
    """
    if isinstance(room_sids, AsyncIterable):
        async for room_sid in room_sids:
            yield _check_string(room_sid)
    else:
        for room_sid in room_sids:
            yield _check_string(room_sid)


def _check_string(room_sid: str) -> str:
    # A malformed SID is a failure of that room; anything other than a string is a mistake in the program.
    if not isinstance(room_sid, str):
        raise InvalidArgumentError(f"room_sids must give strings, not {safe_repr(room_sid)}")
    return room_sid


async def _deduplicate(
    room_sids: RoomSids, by_room: dict[str, list[Recording] | RoomRecError]
) -> AsyncGenerator[str, None]:
    """Yield each room once, and enter it into the dictionary when it is pulled, which keeps the order given.

    Two spellings of a SID are one room, under the first of them.
    """
    seen: set[str] = set()
    async with aclosing(iter_room_sids(room_sids)) as pulled:
        async for room_sid in pulled:
            # A malformed one is its own failure, and must not stand for another room.
            key = canonical_sid(room_sid) if ROOM_SID.fullmatch(room_sid) else room_sid
            if key not in seen:
                seen.add(key)
                by_room[room_sid] = []
                yield room_sid
