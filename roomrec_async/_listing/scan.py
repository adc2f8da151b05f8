"""The account's recordings in a window of time, by many lists at once, and grouped by room."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import attrs

from roomrec_async._api.arguments import named_room_sid
from roomrec_async._api.params import ACCOUNT_RECORDINGS_PATH
from roomrec_async._asyncio import map_concurrently
from roomrec_async._dates import format_iso8601
from roomrec_async._validate import canonical_sid, check_aware, check_room_sid, is_before, refusal
from roomrec_async.errors import InvalidArgumentError, PaginationError
from roomrec_async.models import Recording, RoomResult

from .fanout import Limit, RoomSids, Scope, SidOf, iter_room_sids
from .pager import Pager
from .records import Records

# A window with fewer pages than this is listed as it is: each window costs half a page more.
_PAGES_PER_PART: Final = 8
_MAX_PARTS: Final = 64
# Windows of one scan; with more of them, windows are listed as they are. A year in windows of five minutes has as many.
_MAX_WINDOWS: Final = 100_000
# The dates of the service are whole seconds.
_SHORTEST: Final = timedelta(seconds=1)


@attrs.frozen
class DateWindow:
    """A span of time: a recording belongs to it by the instant at which it began.

    Args:
        after: the first instant that belongs to it; aware.
        before: the first instant that no longer does; aware. None for no end.

    Raises:
        InvalidArgumentError: an instant is naive, or the window ends before it begins.
    """

    after: datetime
    before: datetime | None = None

    def __attrs_post_init__(self) -> None:
        check_aware("after", self.after)
        if self.before is None:
            return
        check_aware("before", self.before)
        if is_before(self.before, self.after):
            raise InvalidArgumentError(f"the window begins at {self.after} and ends before that, at {self.before}")


def check_window(window: object) -> DateWindow:
    """Return a window in which recordings can have begun.

    Raises:
        InvalidArgumentError: it is not a window, or is empty.
    """
    if not isinstance(window, DateWindow):
        expected = "a DateWindow, such as DateWindow(datetime(2026, 1, 31, tzinfo=UTC))"
        raise InvalidArgumentError(refusal("window", expected, window))
    if window.before is not None and not is_before(window.after, window.before):
        raise InvalidArgumentError(
            f"the window is empty: it begins and ends at {format_iso8601(window.after)}. Its end is the first instant "
            "that no longer belongs to it: for a whole day, end it a day later"
        )
    return window


OpenWindow: TypeAlias = Callable[[DateWindow], Pager[Recording]]
"""Returns the list of a window's recordings."""


async def scan(
    window: DateWindow, open_window: OpenWindow, limit: Limit, scope: Scope
) -> AsyncGenerator[list[Recording], None]:
    """Yield all recordings of a window, each once, in lists as they come.

    A window is listed to its end, or it is split and nothing of its own list is used: so nothing is lost or doubled
    whatever the order in which the service lists.
    """
    # In other zones, a sum or a comparison is one of clocks on the wall, which go back in autumn.
    before = None if window.before is None else window.before.astimezone(UTC)
    queue = _WindowQueue(DateWindow(window.after.astimezone(UTC), before))

    async def list_window(window: DateWindow) -> AsyncGenerator[list[Recording], None]:
        try:
            first = True
            async with aclosing(open_window(window).pages()) as pages:
                async for page in pages:
                    _check_dates(window, page.items)
                    # Decided on the first page, before any of its records is used.
                    if first and page.meta.next_page_url and queue.split(window, page.items):
                        return
                    first = False
                    yield page.items
        finally:
            queue.done()

    async with aclosing(map_concurrently(queue.windows(), list_window, limit, scope)) as lists:
        async for recordings in lists:
            yield recordings


class _WindowQueue:
    """The windows that are still to be listed. There may be more as long as one is being listed."""

    def __init__(self, window: DateWindow) -> None:
        self._waiting = deque([window])
        # Windows that wait or are being listed, and all that there were.
        self._unfinished = 1
        self._total = 1
        self._changed = asyncio.Event()

    async def windows(self) -> AsyncGenerator[DateWindow, None]:
        """Yield window after window, until none is left and none can come."""
        while self._unfinished:
            while self._waiting:
                yield self._waiting.popleft()
            self._changed.clear()
            if self._unfinished:
                await self._changed.wait()

    def split(self, window: DateWindow, first_page: Sequence[Recording]) -> bool:
        """Queue the parts of a window and return True, or return False if it has too few pages to be worth it."""
        pages = estimate_pages(window, first_page)
        if pages <= 2 * _PAGES_PER_PART or self._total >= _MAX_WINDOWS:
            return False
        parts = split_window(window, min(_MAX_PARTS, math.ceil(pages / _PAGES_PER_PART)))
        if len(parts) == 1:
            return False
        self._waiting.extend(parts)
        self._unfinished += len(parts)
        self._total += len(parts)
        return True

    def done(self) -> None:
        """Note that a window was listed or split."""
        self._unfinished -= 1
        self._changed.set()


def split_window(window: DateWindow, parts: int) -> list[DateWindow]:
    """Return a window in this many parts, or fewer, split at whole seconds.

    A window without an end is split at the present, and what comes from then on is one part more.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    end = window.before or max(window.after, now)
    step = max(_SHORTEST, timedelta(seconds=math.ceil((end - window.after) / parts / _SHORTEST)))

    starts = [window.after]
    while len(starts) < parts and (next_start := (starts[-1] + step).replace(microsecond=0)) < end:
        starts.append(next_start)
    # What is created from now on is a part of its own.
    if window.before is None and starts[-1] < end:
        starts.append(end)
    return [DateWindow(start, stop) for start, stop in zip(starts, [*starts[1:], window.before], strict=True)]


def _check_dates(window: DateWindow, recordings: Sequence[Recording]) -> None:
    """Check that recordings lie in the window that was asked for.

    A service that ignores the filters would list everything for each of thousands of windows.

    Raises:
        PaginationError: one lies more than a second before the window, or a second or more behind it.
    """
    for recording in recordings:
        created = recording.date_created
        if created is None:
            continue
        is_late = window.before is not None and created - window.before >= _SHORTEST
        if is_late or window.after - created > _SHORTEST:
            raise PaginationError(
                f"GET {ACCOUNT_RECORDINGS_PATH}: the service ignores the date filters: recording {recording.sid} of "
                f"{created.isoformat()} lies outside the window from {window.after.isoformat()}"
            )


def estimate_pages(window: DateWindow, first_page: Sequence[Recording]) -> float:
    """Return how many pages a window may have, from the span of time that its first one covers.

    That is right where the service lists by date. Where it does not, the estimate is too low, and costs time only.
    """
    dates = [recording.date_created for recording in first_page if recording.date_created is not None]
    if not dates:
        return 1.0
    whole = (window.before or max(window.after, datetime.now(UTC))) - window.after
    return whole / max(_SHORTEST, max(dates) - min(dates))


async def gather(
    room_sids: RoomSids,
    lists: AsyncGenerator[list[Recording], None],
    limit: int | None,
    sid_of: SidOf = named_room_sid,
) -> dict[str, Records[Recording]]:
    """Return the recordings of these rooms, by room, in the order given; each room's by the date of their beginning."""
    spellings = await _spellings(room_sids, sid_of)
    by_room: dict[str, list[Recording]] = {room_sid: [] for room_sid in spellings}
    async with aclosing(lists):
        async for recordings in lists:
            for recording in recordings:
                room_sid = canonical_sid(recording.room_sid or "")
                # The window also has the recordings of other rooms.
                if room_sid in by_room:
                    by_room[room_sid].append(recording)
    return {
        spellings[room_sid]: Records(sorted(found, key=_date_created)[:limit]) for room_sid, found in by_room.items()
    }


async def as_completed(
    room_sids: RoomSids,
    lists: AsyncGenerator[list[Recording], None],
    limit: int | None,
    sid_of: SidOf = named_room_sid,
) -> AsyncGenerator[RoomResult, None]:
    """Yield one result for each of these rooms, when the scan is finished."""
    for room_sid, recordings in (await gather(room_sids, lists, limit, sid_of)).items():
        yield RoomResult(room_sid, recordings)


async def stream(
    room_sids: RoomSids,
    lists: AsyncGenerator[list[Recording], None],
    limit: int | None,
    sid_of: SidOf = named_room_sid,
) -> AsyncGenerator[Recording, None]:
    """Yield the recordings of these rooms as they are found."""
    remaining = dict.fromkeys(await _spellings(room_sids, sid_of), math.inf if limit is None else limit)
    async with aclosing(lists):
        async for recordings in lists:
            for recording in recordings:
                room_sid = canonical_sid(recording.room_sid or "")
                if remaining.get(room_sid, 0) > 0:
                    remaining[room_sid] -= 1
                    yield recording


async def _spellings(room_sids: RoomSids, sid_of: SidOf) -> dict[str, str]:
    """Return the caller's first spelling of each room's SID, by the canonical one."""
    spellings: dict[str, str] = {}
    async with aclosing(iter_room_sids(room_sids, sid_of)) as checked:
        async for room_sid in checked:
            spellings.setdefault(canonical_sid(check_room_sid(room_sid)), room_sid)
    return spellings


def _date_created(recording: Recording) -> datetime:
    return recording.date_created or datetime.min.replace(tzinfo=UTC)
