"""The semaphore-based rate limiter: how many requests at once, and how many a second."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from ._adaptive import AdaptiveConcurrency, Concurrency, FixedConcurrency
from .errors import ConfigurationError, shown

# A request that leaves a second after another may arrive a few milliseconds less than a second after it. This keeps
# the service from seeing more in its second than we sent in ours.
_MARGIN: Final = 1.02

_MOST_A_SECOND: Final = 1_000_000

# Timers fire late. What a late timer missed is made up for, up to this many seconds of it.
_CATCH_UP: Final = 0.05


class Permit(Protocol):
    """The right to have one request in flight, for the time of an ``async with`` block."""

    async def __aenter__(self) -> Self:
        """Wait for it."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back."""

    def admitted(self) -> None:
        """The service took the request on, whatever it answered."""

    def refused(self) -> None:
        """The service refused the request with 429."""


class Limiter(Protocol):
    """What a client asks before each request: a :class:`RateLimiter`, or one that many processes share."""

    @property
    def max_concurrency(self) -> int | None:
        """How many requests may be in flight at present; None for no bound."""

    @property
    def in_flight(self) -> int:
        """The permits that are out."""

    @property
    def waiting(self) -> int:
        """The requests that wait for a permit."""

    def read(self) -> Permit:
        """A permit for one read: ``async with limiter.read(): ...``."""

    def write(self) -> Permit:
        """A permit for one write."""

    def pause(self, seconds: float) -> None:
        """Start nothing for so many seconds: the service asked for it with ``Retry-After``."""


class RateLimiter:
    """At most so many requests in flight, and at most so many reads and writes a second.

    First come, first served, as with :class:`asyncio.Semaphore`; a cancelled waiter gives its place away. Requests
    are paced: no window of one second sees more than the rate, rounded up to whole requests. One limiter is shared by
    all operations of a client, and by several clients when it is given to each of them: quotas belong to an account.
    All of them must run in one event loop.

    Args:
        max_concurrency: requests in flight at the most; None for no bound; "auto" to follow the bound that the
            service has and does not publish: up while all goes well, down when requests are refused.
        reads_per_second: the provider's published quota is 80 for an account; None for no bound.
        writes_per_second: the provider's published quota is 20 for an account (deletions count); None for no bound.

    Raises:
        ConfigurationError: a bound is not positive.

    Example:
        >>> limiter = RateLimiter(max_concurrency=10, reads_per_second=40)
    """

    def __init__(
        self,
        max_concurrency: int | Literal["auto"] | None = "auto",
        reads_per_second: float | None = 80,
        writes_per_second: float | None = 20,
    ) -> None:
        self._concurrency = _concurrency(max_concurrency)
        self._reads = _Lane("reads_per_second", reads_per_second)
        self._writes = _Lane("writes_per_second", writes_per_second)
        self._in_flight = 0
        self._tickets = 0
        self._paused_until = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def max_concurrency(self) -> int | None:
        """How many requests may be in flight at present; None for no bound."""
        return self._concurrency.limit

    @property
    def in_flight(self) -> int:
        """The permits that are out."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """The requests that wait for a permit."""
        return sum(not waiter.done() for lane in self._lanes for _, waiter in lane.waiters)

    def read(self) -> Permit:
        """A permit for one read: ``async with limiter.read(): ...``."""
        return _LocalPermit(self, self._reads)

    def write(self) -> Permit:
        """A permit for one write."""
        return _LocalPermit(self, self._writes)

    def pause(self, seconds: float) -> None:
        """Start nothing for so many seconds: the service asked for it with ``Retry-After``."""
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)
        self._admit()

    @property
    def _lanes(self) -> tuple[_Lane, _Lane]:
        return self._reads, self._writes

    def _try(self, lane: _Lane) -> int | None:
        """A permit, if one is to be had without waiting and without overtaking anyone."""
        if self._reads.waiters or self._writes.waiters:
            return None
        bound = self._concurrency.limit
        if bound is not None and self._in_flight >= bound:
            return None
        now = asyncio.get_running_loop().time()
        if self._earliest(lane) > now:
            return None
        return self._start(lane, now)

    async def _wait(self, lane: _Lane) -> int:
        """Wait for a permit. It is the n-th that is out, and n is returned."""
        self._tickets += 1
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        lane.waiters.append((self._tickets, waiter))
        self._admit()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._admit()
            else:  # admitted and cancelled in the same turn of the loop
                self._release()
            raise

    def _start(self, lane: _Lane, now: float) -> int:
        self._in_flight += 1
        lane.started(now)
        return self._in_flight

    def _release(self) -> None:
        self._in_flight -= 1
        if self._reads.waiters or self._writes.waiters:
            self._admit()

    def _admit(self) -> None:
        """Admit whoever may start now, in the order of arrival, and come back when the next one may."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.max_concurrency is None or self._in_flight < self.max_concurrency:
            lane = self._next_lane(now)
            if lane is None:
                break
            if (when := self._earliest(lane)) > now:
                self._come_back(loop, when)
                return
            _, waiter = lane.waiters.popleft()
            waiter.set_result(self._start(lane, now))
        self._come_back(loop, None)

    def _next_lane(self, now: float) -> _Lane | None:
        """The lane whose first waiter came earliest, among those that may start now, else the one that may soonest."""
        lanes = [lane for lane in self._lanes if lane.has_waiters()]
        return min(lanes, key=lambda lane: (max(now, self._earliest(lane)), lane.waiters[0][0]), default=None)

    def _earliest(self, lane: _Lane) -> float:
        return max(self._paused_until, lane.earliest())

    def _come_back(self, loop: asyncio.AbstractEventLoop, when: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if when is None else loop.call_at(when, self._admit)


class _LocalPermit:
    __slots__ = ("_lane", "_limiter", "_number")

    def __init__(self, limiter: RateLimiter, lane: _Lane) -> None:
        self._limiter = limiter
        self._lane = lane
        self._number = 0

    async def __aenter__(self) -> Self:
        number = self._limiter._try(self._lane)
        self._number = await self._limiter._wait(self._lane) if number is None else number
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limiter._release()

    def admitted(self) -> None:
        """The service took the request on, whatever it answered."""
        self._limiter._concurrency.succeeded(self._limiter._in_flight)

    def refused(self) -> None:
        """The service refused the request with 429."""
        self._limiter._concurrency.refused(self._number)


def _concurrency(bound: int | Literal["auto"] | None) -> Concurrency:
    if bound == "auto":
        return AdaptiveConcurrency()
    if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 1):
        raise ConfigurationError(f"max_concurrency must be at least 1, 'auto' or None, not {shown(bound)}")
    return FixedConcurrency(bound)


class _Lane:
    """The reads, or the writes: who waits, and when the next one may start.

    Starts are spaced evenly. The log of the last starts is what makes the promise hold when late timers are made up
    for: the n-th last start must be a full window ago.
    """

    def __init__(self, name: str, rate: float | None) -> None:
        number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if rate is not None and not (number and 0 < rate <= _MOST_A_SECOND):
            bounds = f"positive and at most {_MOST_A_SECOND:,}, or None"
            raise ConfigurationError(f"{name} must be {bounds}, not {shown(rate)}")
        self.waiters: deque[tuple[int, asyncio.Future[int]]] = deque()
        self._interval = _MARGIN / rate if rate else 0.0
        # A whole number of starts, in the time that they must take: a second, or a little more.
        starts = math.ceil(rate) if rate else 0
        self._window = _MARGIN * starts / rate if rate else 0.0
        self._log: deque[float] = deque(maxlen=starts)
        self._next_slot = -math.inf

    def has_waiters(self) -> bool:
        """Whether anyone waits; those who gave up are forgotten on the way."""
        while self.waiters and self.waiters[0][1].done():
            self.waiters.popleft()
        return bool(self.waiters)

    def earliest(self) -> float:
        """The time from which the next one may start."""
        full = bool(self._log) and len(self._log) == self._log.maxlen
        return max(self._next_slot, self._log[0] + self._window) if full else self._next_slot

    def started(self, now: float) -> None:
        """One started."""
        if not self._interval:
            return
        self._log.append(now)
        self._next_slot = max(self._next_slot, now - _CATCH_UP) + self._interval
