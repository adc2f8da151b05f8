"""Waiting until no recording of a room is being processed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from roomrec_async._asyncio import running_loop
from roomrec_async.errors import NotFoundError, RecordingsNotReadyError, RequestTimeoutError
from roomrec_async.models import Recording, RecordingStatus

from .pager import Pager
from .records import Records

# Seconds between two lists: the first, and at most.
_FIRST_DELAY: Final = 1.0
_MAX_DELAY: Final = 15.0
# Seconds for which the service may not know a room that has just ended, or may list nothing of it.
_SETTLING: Final = 15.0
# Seconds that the last list may take, which starts when the time is up.
_LAST_LIST: Final = 10.0

OpenList: TypeAlias = Callable[[float], Pager[Recording]]
"""Returns the list of the room's recordings, which may take so many seconds."""


async def wait_for_recordings(room_sid: str, open_list: OpenList, seconds: float) -> Records[Recording]:
    """Return the recordings of a room once none of them is being processed.

    Args:
        room_sid: SID of the room, for the error.
        open_list: returns the list of its recordings.
        seconds: maximum number of seconds to wait; infinity for no limit.

    Raises:
        RecordingsNotReadyError: recordings are still being processed.
        NotFoundError: there is no such room.
        RequestTimeoutError: a list took too long, and none was complete before.
    """
    loop = running_loop()
    began = loop.time()
    listed: Records[Recording] = Records()
    delay = _FIRST_DELAY
    while True:
        remaining = began + seconds - loop.time()
        may_settle = remaining > 0 and loop.time() < began + _SETTLING
        try:
            listed = await _list(open_list(max(remaining, _LAST_LIST)), may_be_unknown=may_settle)
        except RequestTimeoutError:
            # The last list may take too long; what was listed before it is what there is.
            if not is_processing(listed) or loop.time() < began + seconds:
                raise

        if not is_processing(listed) and (listed or not may_settle):
            return listed
        remaining = began + seconds - loop.time()
        if remaining <= 0 and listed:
            raise RecordingsNotReadyError(room_sid, listed, seconds)
        await asyncio.sleep(max(0.0, min(delay, remaining)))
        delay = min(delay * 2, _MAX_DELAY)


async def _list(pager: Pager[Recording], *, may_be_unknown: bool) -> Records[Recording]:
    """Return the recordings of a room; none for one that may not be known yet."""
    try:
        return await pager
    except NotFoundError:
        if not may_be_unknown:
            raise
        return Records()


def is_processing(recordings: Records[Recording]) -> bool:
    """Return True if one of them is still being processed."""
    return any(recording.status == RecordingStatus.PROCESSING for recording in recordings)
