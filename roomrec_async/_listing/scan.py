"""The account's recordings in a window of time, by many lists at once, and grouped by room."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import attrs

from roomrec_async._api.params import room_sid_checked
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.models import Recording, RoomResult

from .fanout import AtOnce, Flow, RoomSids
from .pager import Pager
from .records import Records

# A window with fewer pages is listed as it is: each window costs half a page more.
_PAGES: Final = 8
_PARTS: Final = 64
# The dates of the service are whole seconds.
_SHORTEST: Final = timedelta(seconds=1)


@attrs.frozen
class DateWindow:
    """A span of time: a recording belongs to it by the instant at which it began.

    Args:
        after: the first instant that belongs to it; aware.
        before: the first instant that no longer does; aware. None for no end.

    Raises:
        InvalidArgumentError: an instant is naive, or the window is the wrong way round.
    """

    after: datetime
    before: datetime | None = None

    def __attrs_post_init__(self) -> None:
        for name, instant in (("after", self.after), ("before", self.before)):
            if instant is not None and (not isinstance(instant, datetime) or instant.utcoffset() is None):
                raise InvalidArgumentError(f"{name} must be a datetime with a time zone, not {instant!r}")
        if self.before is not None and self.before < self.after:
            raise InvalidArgumentError(f"the window begins at {self.after} and ends before that, at {self.before}")

    def split(self, parts: int) -> list[DateWindow]:
        """The window in this many parts, or fewer, of whole seconds each. Without an end it is split at the present."""
        now = datetime.now(UTC).replace(microsecond=0)
        end = self.before or max(self.after, now)
        step = max(_SHORTEST, timedelta(seconds=math.ceil((end - self.after) / parts / _SHORTEST)))
        bounds = [self.after]
        while len(bounds) < parts and (following := _whole_second(bounds[-1] + step)) < end:
            bounds.append(following)
        if self.before is None and bounds[-1] < end:
            bounds.append(end)
        return [DateWindow(start, stop) for start, stop in zip(bounds, [*bounds[1:], self.before], strict=True)]

    def pages_estimated(self, page: Sequence[Recording]) -> float:
        """How many pages it may have, from the span of time that its first one covers.

        That is right where the service lists by date. Where it does not, the estimate is too low, and costs time only.
        """
        dates = [recording.date_created for recording in page if recording.date_created is not None]
        if not dates:
            return 1.0
        whole = (self.before or max(self.after, datetime.now(UTC))) - self.after
        return whole / max(_SHORTEST, max(dates) - min(dates))


OpenWindow: TypeAlias = Callable[[DateWindow], Pager[Recording]]
"""How a window is listed."""


async def scan(window: DateWindow, open_window: OpenWindow, at_once: AtOnce) -> AsyncGenerator[list[Recording], None]:
    """All recordings of a window, each once, in lists as they come.

    A window is listed to its end, or it is split and nothing of its own list is used: so nothing is lost or doubled
    whatever the order in which the service lists.
    """
    windows = _Windows(window)

    async def list_window(window: DateWindow) -> AsyncGenerator[list[Recording], None]:
        try:
            first = True
            async with aclosing(open_window(window).pages()) as pages:
                async for page in pages:
                    if first and page.meta.next_page_url and windows.split(window, page.items):
                        return
                    first = False
                    yield page.items
        finally:
            windows.done()

    async with aclosing(Flow(windows.waiting(), list_window, at_once).items()) as lists:
        async for recordings in lists:
            yield recordings


class _Windows:
    """The windows that are still to be listed. There may be more as long as one is being listed."""

    def __init__(self, window: DateWindow) -> None:
        self._waiting = deque([window])
        self._open = 1
        self._changed = asyncio.Event()

    async def waiting(self) -> AsyncGenerator[DateWindow, None]:
        """Window after window, until none is left and none can come."""
        while self._open:
            while self._waiting:
                yield self._waiting.popleft()
            self._changed.clear()
            if self._open:
                await self._changed.wait()

    def split(self, window: DateWindow, first_page: Sequence[Recording]) -> bool:
        """Put the parts of a window in its place, if it has so many pages that it is worth it."""
        pages = window.pages_estimated(first_page)
        parts = window.split(min(_PARTS, math.ceil(pages / _PAGES))) if pages > 2 * _PAGES else []
        if len(parts) < 2:  # noqa: PLR2004  a part that is the whole
            return False
        self._waiting.extend(parts)
        self._open += len(parts)
        return True

    def done(self) -> None:
        """A window was listed or split."""
        self._open -= 1
        self._changed.set()


async def gather(
    room_sids: RoomSids, lists: AsyncGenerator[list[Recording], None], limit: int | None
) -> dict[str, list[Recording]]:
    """The recordings of these rooms, by room, in the order given; each room's by the date of their beginning."""
    by_room: dict[str, list[Recording]] = {}
    for room_sid in await _all_of(room_sids):
        by_room[room_sid] = []
    async with aclosing(lists):
        async for recordings in lists:
            for recording in recordings:
                if recording.room_sid in by_room:
                    by_room[recording.room_sid].append(recording)
    return {room_sid: Records(sorted(found, key=_began)[:limit]) for room_sid, found in by_room.items()}


async def as_completed(
    room_sids: RoomSids, lists: AsyncGenerator[list[Recording], None], limit: int | None
) -> AsyncGenerator[RoomResult, None]:
    """One result for each of these rooms, when the scan is over."""
    for room_sid, recordings in (await gather(room_sids, lists, limit)).items():
        yield RoomResult(room_sid, recordings)


async def stream(
    room_sids: RoomSids, lists: AsyncGenerator[list[Recording], None], limit: int | None
) -> AsyncGenerator[Recording, None]:
    """The recordings of these rooms as they are found."""
    left = dict.fromkeys(await _all_of(room_sids), math.inf if limit is None else limit)
    async with aclosing(lists):
        async for recordings in lists:
            for recording in recordings:
                if left.get(recording.room_sid or "", 0) > 0:
                    left[recording.room_sid or ""] -= 1
                    yield recording


async def _all_of(room_sids: RoomSids) -> list[str]:
    if isinstance(room_sids, AsyncIterable):
        return [room_sid_checked(room_sid) async for room_sid in room_sids]
    return [room_sid_checked(room_sid) for room_sid in room_sids]


def _began(recording: Recording) -> datetime:
    return recording.date_created or datetime.min.replace(tzinfo=UTC)


def _whole_second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
