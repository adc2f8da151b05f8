"""The settings of a client: how long an operation may take, how it is retried, and how much it may bring."""

from __future__ import annotations

import math

import aiohttp
import attrs

from ._validate import check_integer, check_seconds, is_number, refusal
from .errors import APIError, InvalidArgumentError, RoomRecError


@attrs.frozen
class Timeout:
    """How long an operation may take, in seconds; None lifts a bound.

    Args:
        total: the deadline of the whole operation: waiting for the limiter, every attempt, every backoff. One
            operation is one page when a list is iterated, and the whole list for ``to_list()``, ``first()`` and each
            room of many.
        connect: time to establish a connection.
        read: time until the response begins, and between two pieces of it. With an aiohttp session of the caller's
            own, the beginning may take ``connect`` longer.

    Raises:
        InvalidArgumentError: a value is not positive.
    """

    total: float | None = 300.0
    connect: float | None = 10.0
    read: float | None = 30.0
    # Made once, not for each request. Only connecting is left to aiohttp; the rest is bounded by our own timer.
    _aiohttp_timeout: aiohttp.ClientTimeout = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        for name, value in (("total", self.total), ("connect", self.connect), ("read", self.read)):
            if value is not None:
                check_seconds(f"timeout: {name}", value, positive=True)

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.connect)
        object.__setattr__(self, "_aiohttp_timeout", timeout)

    def _within(self, seconds: float) -> Timeout:
        """Return these timeouts with a total of so many seconds at most; infinity adds no bound."""
        if math.isinf(seconds) or (self.total is not None and self.total <= seconds):
            return self
        return attrs.evolve(self, total=seconds)

    @classmethod
    def _resolve(cls, timeout: Timeout | float | None, default: Timeout) -> Timeout:
        """Return the timeouts that an argument means: a number is the total, None the default.

        Raises:
            InvalidArgumentError: it is something else, or not positive.
        """
        if timeout is None:
            return default
        if isinstance(timeout, Timeout):
            return timeout
        if not is_number(timeout):
            raise InvalidArgumentError(
                f"{refusal('timeout', 'a number of seconds or a Timeout', timeout)}: for several bounds, give "
                "Timeout(total=..., connect=..., read=...)"
            )
        return attrs.evolve(default, total=timeout)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How reads and deletions are retried.

    Retried are 429, 500, 502, 503 and 504, failed and broken connections, and timeouts. Everything else fails at
    once. The backoff before attempt n+1 is drawn evenly from 0 to ``base_delay * 2**(n-1)`` ("full jitter"); where the
    response has a ``Retry-After`` it is that, and up to ``base_delay`` more. No permit and no connection is held
    meanwhile, and no backoff goes past the operation's deadline.

    Args:
        max_attempts: how many times one request is sent at most; 1 means no retries.
        base_delay: seconds; the upper bound of the first backoff.
        max_delay: seconds; the upper bound of every drawn backoff.
        max_retry_after: seconds; a longer ``Retry-After`` is cut to this.
        budget: how many retries a client may have "on credit" in an outage. Each retry takes one, each success gives
            a tenth back, so that a lasting outage costs at most a tenth more traffic. Refused requests (429) were
            not processed and take nothing: the limiter paces those.

    Raises:
        InvalidArgumentError: a value is out of bounds.
    """

    max_attempts: int = 5
    base_delay: float = 0.5
    max_delay: float = 20.0
    max_retry_after: float = 30.0
    budget: int = 50

    def __attrs_post_init__(self) -> None:
        check_integer("max_attempts", self.max_attempts, minimum=1)
        check_seconds("base_delay", self.base_delay)
        check_seconds("max_delay", self.max_delay)
        check_seconds("max_retry_after", self.max_retry_after)
        check_integer("budget", self.budget, minimum=1)

    def delay(self, error: RoomRecError, attempt: int, drawn: float) -> float:
        """Return the seconds to wait after an error of an attempt.

        Args:
            error: the error.
            attempt: the attempt that failed, from 1.
            drawn: the jitter, from 0 to 1.
        """
        # The exponent is bounded: 2.0 ** 1024 would overflow.
        backoff = drawn * min(self.max_delay, self.base_delay * 2.0 ** min(attempt - 1, 32))
        retry_after = error.retry_after if isinstance(error, APIError) else None
        if retry_after is None:
            return backoff
        return min(retry_after, self.max_retry_after) + drawn * min(self.base_delay, self.max_delay)


@attrs.frozen(kw_only=True)
class Bounds:
    """How much a client accepts, whatever the other side sends. The JSON parser bounds how deep it may be nested.

    Args:
        max_response_bytes: bytes of one response of the API, decompressed; a page of 1,000 recordings has about one
            million. Media are not responses of the API: they are never held in memory.
        max_pages: pages of one list.

    Raises:
        InvalidArgumentError: a bound is not positive.
    """

    max_response_bytes: int = 64 * 2**20
    max_pages: int = 1_000_000

    def __attrs_post_init__(self) -> None:
        check_integer("max_response_bytes", self.max_response_bytes, minimum=1)
        check_integer("max_pages", self.max_pages, minimum=1)
