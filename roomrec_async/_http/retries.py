"""What is retried and when: plain functions of values, and the budget of retries."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from roomrec_async.config import RetryPolicy
from roomrec_async.errors import APIError, ConnectionFailedError, RateLimitError, RoomRecError, TransportError

RETRIED_STATUSES: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def is_retried(error: RoomRecError) -> bool:
    """Return True if another attempt of a read may succeed."""
    if isinstance(error, APIError):
        return error.status in RETRIED_STATUSES
    return isinstance(error, TransportError) and error.transient


def is_charged(error: RoomRecError) -> bool:
    """Return True if the budget pays for a retry after this error.

    A request that was refused for the rate was not processed, and the limiter paces it. One for which this process had
    no file descriptor was not even sent.
    """
    if isinstance(error, ConnectionFailedError) and error.out_of_descriptors:
        return False
    return not isinstance(error, RateLimitError)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for: a number, or an HTTP-date seen from ``now``.

    Everything that is neither is None, and what lies in the past is 0.
    """
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is None:
        seconds = _seconds_until(value, now)
    return None if seconds is None or not math.isfinite(seconds) else max(0.0, seconds)


def _seconds(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _seconds_until(value: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # HTTP-dates are always in GMT (RFC 9110, 5.6.7); one without a zone is read as such.
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - now).total_seconds()


class RetryBudget:
    """The retries that a client may have on credit: an outage must not multiply its traffic.

    A retry takes one. A request that succeeds gives back all that it took, and a tenth of a retry besides: so noise of
    the network costs nothing for good, and a lasting outage at most a tenth more traffic.

    Attributes:
        peak_in_flight: the most requests that were in flight at once. The budget is never less than that: a fault that
            hits all of them must not use it up.
    """

    # Counted in tenths of a retry, in whole numbers.
    _TENTHS: Final = 10

    def __init__(self, policy: RetryPolicy) -> None:
        self._budget = policy.budget
        self._taken = 0
        self.peak_in_flight = 0

    def note_in_flight(self, number: int) -> None:
        """Note how many requests are in flight."""
        if number <= self.peak_in_flight:
            return
        self.peak_in_flight = number

    def take(self, error: RoomRecError) -> bool:
        """Take a retry for this error and return True, or return False if none is left."""
        if not is_charged(error):
            return True
        if self._taken + self._TENTHS > self._TENTHS * max(self._budget, self.peak_in_flight):
            return False
        self._taken += self._TENTHS
        return True

    def put_back(self, error: RoomRecError) -> None:
        """Put a retry back that was taken for this error, and never sent."""
        if is_charged(error):
            self._taken = max(0, self._taken - self._TENTHS)

    def earn(self, retries: int = 0) -> None:
        """Give back a tenth of a retry for a request that succeeded, and the retries that it took."""
        if self._taken:
            self._taken = max(0, self._taken - self._TENTHS * retries - 1)
