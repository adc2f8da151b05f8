"""What is worth another try, and when. Plain functions of values, and the budget of retries."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import attrs

from roomrec_async.errors import APIError, ConfigurationError, RateLimitError, RoomRecError, TransportError, shown

RETRIED_STATUSES: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def _seconds_from_zero(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
        raise ConfigurationError(f"{attribute.name} must be a number of seconds from 0, not {shown(value)}")


def _count_from_one(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{attribute.name} must be an integer from 1, not {shown(value)}")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How reads and deletions are tried again.

    Tried again are 429, 500, 502, 503 and 504, failed and broken connections, and time-outs. Everything else fails
    at once. The wait before try n+1 is drawn evenly from 0 to ``base_delay * 2**(n-1)`` ("full jitter"); where the
    response has a ``Retry-After`` it is that, and up to ``base_delay`` more. No permit and no connection is held
    meanwhile, and no wait goes past the operation's deadline.

    Args:
        max_attempts: how many times one request is sent at the most; 1 means no retries.
        base_delay: seconds; the upper bound of the first wait.
        max_delay: seconds; the upper bound of every drawn wait.
        max_retry_after: seconds; a ``Retry-After`` beyond it is cut to it.
        budget: how many retries a client may have "on credit" in an outage. Each retry takes one, each success gives
            a tenth back, so that a lasting outage costs at most a tenth more traffic. Refused requests (429) were
            not processed and take nothing: the limiter paces those.

    Raises:
        ConfigurationError: a value cannot work.
    """

    max_attempts: int = attrs.field(default=5, validator=_count_from_one)
    base_delay: float = attrs.field(default=0.5, validator=_seconds_from_zero)
    max_delay: float = attrs.field(default=20.0, validator=_seconds_from_zero)
    max_retry_after: float = attrs.field(default=120.0, validator=_seconds_from_zero)
    budget: int = attrs.field(default=50, validator=_count_from_one)

    def delay(self, error: RoomRecError, attempt: int, drawn: float) -> float:
        """Seconds to wait after an error of the given attempt (from 1), with ``drawn`` from 0 to 1 as the jitter."""
        jitter = drawn * min(self.max_delay, self.base_delay * 2.0 ** min(attempt - 1, 32))
        asked = error.retry_after if isinstance(error, APIError) else None
        return (
            jitter if asked is None else min(asked, self.max_retry_after) + drawn * min(self.base_delay, self.max_delay)
        )


def is_retried(error: RoomRecError) -> bool:
    """Whether another try of a read may end better."""
    if isinstance(error, APIError):
        return error.status in RETRIED_STATUSES
    return isinstance(error, TransportError) and error.transient


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds that a ``Retry-After`` header asks for: a number, or an HTTP-date seen from ``now``.

    None for everything that is neither; 0 for what lies in the past.
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
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (when - now).total_seconds()


class RetryBudget:
    """The retries that one client may still make: an outage must not multiply its traffic."""

    _TENTHS: Final = 10

    def __init__(self, policy: RetryPolicy) -> None:
        self._full = policy.budget * self._TENTHS
        self._left = self._full

    def take(self, error: RoomRecError) -> bool:
        """Whether the budget has a retry for this error; if so, it is taken."""
        if isinstance(error, RateLimitError):
            return True
        if self._left < self._TENTHS:
            return False
        self._left -= self._TENTHS
        return True

    def earn(self) -> None:
        """A request succeeded: that is a tenth of a retry."""
        self._left = min(self._full, self._left + 1)
