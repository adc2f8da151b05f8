"""When recordings that failed are tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roomrec_async import NotFoundError, Recording, RoomRecError, ServerError
from roomrec_async._archive.backoff import is_waiting, next_try
from roomrec_async._archive.ledger import Entry, State

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REQUEST = {"message": "no", "method": "GET", "url": "https://x.example/Media"}
BROKEN = ServerError(status=500, **REQUEST)
# The service says that it has no media; a gateway only says that it has no page.
GONE = NotFoundError(status=404, code=20404, **REQUEST)
GATEWAY = NotFoundError(status=404, **REQUEST)


def failed(attempts: int, created: datetime | None = None) -> Entry:
    """Return a recording that failed before the present run."""
    return Entry(number=1, recording=Recording(sid="RT1", date_created=created), state=State.FAILED, attempts=attempts)


@pytest.mark.parametrize("error", [BROKEN, GATEWAY, None])
def test_two_failures_cost_no_delay_and_then_it_doubles_up_to_thirty_days(error: RoomRecError | None) -> None:
    hours = [
        None if when is None else (when - NOW) / timedelta(hours=1)
        for when in (next_try(failed(attempts), error, NOW) for attempts in [*range(10), 1_000_000])
    ]
    assert hours == [None, None, 12, 24, 48, 96, 192, 384, 720, 720, 720]


@pytest.mark.parametrize("created", [None, NOW - timedelta(days=2), NOW + timedelta(days=1)])
def test_what_the_service_does_not_have_is_not_asked_for_by_the_next_run(created: datetime | None) -> None:
    assert [next_try(failed(attempts, created), GONE, NOW) for attempts in range(3)] == [
        NOW + timedelta(hours=hours) for hours in (12, 24, 48)
    ]


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=47)])
def test_media_that_may_still_be_made_are(age: timedelta) -> None:
    tries = [next_try(failed(attempts, NOW - age), GONE, NOW) for attempts in range(3)]
    assert tries == [None, None, NOW + timedelta(hours=12)]


@pytest.mark.parametrize(
    ("hours", "expected"),
    # At a time beyond every delay, the clock was wrong when it was written.
    [(None, False), (-1, False), (0, False), (1, True), (720, True), (721, False)],
)
def test_it_waits_until_its_time(hours: int | None, expected: bool) -> None:
    retry_at = None if hours is None else NOW + timedelta(hours=hours)
    entry = Entry(number=1, recording=Recording(sid="RT1"), state=State.FAILED, retry_at=retry_at)
    assert is_waiting(entry, NOW) is expected
