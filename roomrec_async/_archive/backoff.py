"""When a recording that failed is tried again: by the next runs at first, and then ever more rarely."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from roomrec_async._media.delete import is_unknown
from roomrec_async.errors import RoomRecError

from .ledger import Entry

# Failures that may have passed when the command is run again, which is what people do then.
_FREE_ATTEMPTS: Final = 2
# Less than a day, so that a run every night is not late for it by minutes.
_FIRST_DELAY: Final = timedelta(hours=12)
_MAX_DELAY: Final = timedelta(days=30)


def next_try(attempts: int, error: RoomRecError | None, now: datetime) -> datetime | None:
    """Return when a recording should be tried again, or None if the next run should.

    The first two failures cost no delay, except where the service says that it has no such media. After that the delay
    is 12 hours, twice as long each time, and 30 days at most.

    Args:
        attempts: runs that have failed with it, this one included.
        error: how this one failed; None if it has made a copy that proves nothing.
        now: the present time.
    """
    free = 0 if error is not None and is_unknown(error) else _FREE_ATTEMPTS
    if attempts <= free:
        return None
    # More doublings are more than the longest delay.
    delay = _FIRST_DELAY * (1 << min(attempts - free - 1, 16))
    return now + min(delay, _MAX_DELAY)


def is_waiting(entry: Entry, now: datetime) -> bool:
    """Return True if a recording that failed should not be tried yet.

    A time beyond the longest delay was written while the clock was wrong.
    """
    return entry.retry_at is not None and now < entry.retry_at <= now + _MAX_DELAY
