"""When a recording that failed is tried again: by the next runs at first, and then ever more rarely."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from roomrec_async._media.delete import is_unknown
from roomrec_async.errors import RoomRecError
from roomrec_async.models import Recording

from .ledger import Entry

# Failures that may have passed when the command is run again, which is what people do then.
_FREE_ATTEMPTS: Final = 2
# Less than a day, so that a run every night is not late for it by minutes.
_FIRST_DELAY: Final = timedelta(hours=12)
_MAX_DELAY: Final = timedelta(days=30)
# Media come later than the record of a recording, rarely by more than minutes. A room may last for a day.
_MAKING_TIME: Final = timedelta(days=2)


def next_try(entry: Entry, error: RoomRecError | None, now: datetime) -> datetime | None:
    """Return when a recording that has just failed should be tried again, or None if the next run should.

    The first two failures cost no delay, except where the service says that it has no such media, and has had time to
    make them. After that the delay is 12 hours, twice as long each time, and 30 days at most.

    Args:
        entry: the recording, with the failures before this one.
        error: how it failed; None if a copy was made that proves nothing.
        now: the present time.
    """
    is_final = error is not None and is_unknown(error) and not is_fresh(entry.recording, now)
    delays = entry.attempts + 1 - (0 if is_final else _FREE_ATTEMPTS)
    if delays <= 0:
        return None
    # More doublings are more than the longest delay.
    delay = _FIRST_DELAY * (1 << min(delays - 1, 16))
    return now + min(delay, _MAX_DELAY)


def is_fresh(recording: Recording, now: datetime) -> bool:
    """Return True if the service may still be making the media of a recording."""
    created = recording.date_created
    return created is not None and timedelta(0) <= now - created < _MAKING_TIME


def is_waiting(entry: Entry, now: datetime) -> bool:
    """Return True if a recording that failed should not be tried yet.

    A time beyond the longest delay was written while the clock was wrong.
    """
    return entry.retry_at is not None and now < entry.retry_at <= now + _MAX_DELAY
