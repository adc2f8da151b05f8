"""The semaphore-based rate limiter: how many requests at once, and how many per second."""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import msgspec

from ._adaptive import AdaptiveConcurrency, Concurrency, FixedConcurrency
from ._validate import MAX_RATE, check_integer, check_rate
from .errors import ConfigurationError
from .protocols import Permit

# A request that leaves a second after another may arrive a few milliseconds less than a second after it. This keeps
# the service from seeing more in its second than we sent in ours.
_MARGIN: Final = 1.02

# The number of permits held with one that was granted, and when that was, on the clock of the event loop.
_Start: TypeAlias = tuple[int, float]

# Timers fire late. What a late timer missed is made up for, up to this many seconds of it.
_CATCH_UP: Final = 0.05


class RateLimiter:
    """Limits the requests in flight, and the reads and writes per second.

    First come, first served, as with :class:`asyncio.Semaphore`; a waiter that is cancelled lets the next one through.
    Requests are paced: no window of one second sees more than the rate, rounded up to whole requests. One for which a
    connection is opened first counts from when that is done, if the client has opened it itself. One limiter is shared
    by all operations of a client, and by several clients when it is given to each of them: quotas belong to an account.
    All of them must run in one event loop.

    Args:
        max_concurrency: maximum number of requests in flight; None for no limit; "auto" to follow the limit that the
            service has and does not publish: up while all goes well, down when requests are refused.
        reads_per_second: the provider's published quota is 80 for an account; None for no limit.
        writes_per_second: the provider's published quota is 20 for an account (deletions count); None for no limit.

    Raises:
        InvalidArgumentError: a limit is not positive.
        ConfigurationError: on entering a permit, if the limiter is in use in another event loop.

    Example:
        >>> limiter = RateLimiter(max_concurrency=10, reads_per_second=40)
    """

    def __init__(
        self,
        max_concurrency: int | Literal["auto"] | None = "auto",
        reads_per_second: float | None = 80,
        writes_per_second: float | None = 20,
    ) -> None:
        # Decides how many permits may be held.
        self._concurrency = _concurrency(max_concurrency)
        # The waiters and the pace of reads, and of writes.
        self._reads = _Lane("reads_per_second", reads_per_second)
        self._writes = _Lane("writes_per_second", writes_per_second)
        # Permits held at present.
        self._in_flight = 0
        # Waiters so far, to tell who came first among those of both lanes.
        self._tickets = 0
        # Nothing starts before this instant of the event loop's clock.
        self._paused_until = -math.inf
        # Fires when the next waiter may start, if that is later than now; and when that is.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_when: float | None = None
        # The event loop that its permits and waiters belong to.
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def max_concurrency(self) -> int | None:
        """Maximum number of requests in flight at present, or None for no limit."""
        return self._concurrency.limit

    @property
    def in_flight(self) -> int:
        """Number of permits held."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a permit."""
        return sum(not waiter.done() for lane in self._lanes for _, waiter in lane.waiters)

    @property
    def paused_until(self) -> datetime | None:
        """The time before which nothing starts, in UTC; None if nothing is paused."""
        seconds = -math.inf if self._loop is None else self._paused_until - self._loop.time()
        return None if seconds <= 0 else datetime.now(UTC) + timedelta(seconds=seconds)

    @property
    def degraded(self) -> bool:
        """False: it shares nothing that could be lost."""
        return False

    def read(self) -> Permit:
        """Return a permit for one read: ``async with limiter.read(): ...``."""
        return _LocalPermit(self, self._reads)

    def write(self) -> Permit:
        """Return a permit for one write."""
        return _LocalPermit(self, self._writes)

    def pause(self, seconds: float) -> None:
        """Start nothing for the given seconds: the service asked for it with ``Retry-After``. 0 ends a pause."""
        if seconds:
            self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)
        else:
            self._paused_until = -math.inf
        self._admit()

    @property
    def _lanes(self) -> tuple[_Lane, _Lane]:
        return self._reads, self._writes

    def _try_acquire(self, lane: _Lane) -> _Start | None:
        """Take a permit if that needs no waiting and overtakes nobody; return its start, or None."""
        if self._reads.waiters or self._writes.waiters:
            return None
        limit = self._concurrency.limit
        if limit is not None and self._in_flight >= limit:
            return None
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._bind(loop)
        now = loop.time()
        if self._paused_until > now or lane.earliest_start > now:
            return None
        return self._start(lane, now)

    async def _acquire(self, lane: _Lane) -> _Start:
        """Wait for a permit; return its start."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._bind(loop)
        self._tickets += 1
        waiter: asyncio.Future[_Start] = loop.create_future()
        lane.waiters.append((self._tickets, waiter))
        self._admit()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._admit()
            else:
                # Admitted and cancelled in the same turn of the loop.
                self._release()
            raise

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the limiter in another event loop, which is possible while nothing in the one before holds or wants it.

        Raises:
            ConfigurationError: permits are held, or requests wait, in another event loop.
        """
        in_use = self._in_flight or self._reads.has_waiters() or self._writes.has_waiters()
        if self._loop is not None and in_use:
            raise ConfigurationError(
                "the limiter is in use in another event loop, or was when that one ended: create one limiter for each "
                "loop; RedisRateLimiter is one limit for several"
            )
        self._loop = loop
        self._timer = None

    def _start(self, lane: _Lane, now: float) -> _Start:
        self._in_flight += 1
        lane.started(now)
        return self._in_flight, now

    def _release(self) -> None:
        self._in_flight -= 1
        if self._reads.waiters or self._writes.waiters:
            self._admit()

    def _admit(self) -> None:
        """Admit whoever may start now, in the order of arrival, and set the timer for the next one."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.max_concurrency is None or self._in_flight < self.max_concurrency:
            lane = self._next_lane(now)
            if lane is None:
                break
            when = self._earliest_start(lane)
            if when > now:
                self._set_timer(loop, when)
                return
            _, waiter = lane.waiters.popleft()
            waiter.set_result(self._start(lane, now))
        self._set_timer(loop, None)

    def _next_lane(self, now: float) -> _Lane | None:
        """Return the lane whose first waiter came earliest, of those that may start now, else the one that may soonest.

        None if nobody waits.
        """
        lanes = [lane for lane in self._lanes if lane.has_waiters()]
        return min(lanes, key=lambda lane: (max(now, self._earliest_start(lane)), lane.waiters[0][0]), default=None)

    def _earliest_start(self, lane: _Lane) -> float:
        return max(self._paused_until, lane.earliest_start)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, when: float | None) -> None:
        """Admit again at an instant of the event loop's clock; None where a permit has to be given back first."""
        if self._timer is not None:
            # Each waiter that comes, and each permit that is given back, finds the next start where it was.
            if self._timer_when == when:
                return
            self._timer.cancel()
        self._timer = None if when is None else loop.call_at(when, self._admit_on_time)
        self._timer_when = when

    def _admit_on_time(self) -> None:
        self._timer = None
        self._admit()


class _LocalPermit(msgspec.Struct, eq=False):
    """A permit of a limiter.

    Attributes:
        start: the number of permits held when this one was granted, itself included, and when that was on the clock of
            the event loop.
    """

    limiter: RateLimiter
    lane: _Lane
    start: _Start = (0, -math.inf)

    async def __aenter__(self) -> Self:
        self.start = self.limiter._try_acquire(self.lane) or await self.limiter._acquire(self.lane)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.limiter._release()

    def accepted(self) -> None:
        """Note that the service took the request on, whatever it answered."""
        self.limiter._concurrency.accepted(self.limiter._in_flight)

    def rate_limited(self) -> None:
        """Note that the service refused the request with 429."""
        number, _ = self.start
        self.limiter._concurrency.rate_limited(number)

    def sent_late(self, seconds: float) -> None:
        """Note that the request was sent so long after the permit was granted: a connection had to be opened first."""
        _, granted_at = self.start
        self.lane.sent_late(granted_at, seconds)


def _concurrency(limit: int | Literal["auto"] | None) -> Concurrency:
    if limit == "auto":
        return AdaptiveConcurrency()
    if limit is not None:
        check_integer("max_concurrency", limit, minimum=1, alternative="'auto' or None")
    return FixedConcurrency(limit)


class _Lane:
    """The reads, or the writes: who waits, and when the next one may start.

    Starts are spaced evenly. The log of the last starts is what keeps the promise when late timers are made up for, and
    where requests are sent later than they could start: the n-th last one must be a full window ago.
    """

    def __init__(self, name: str, rate: float | None) -> None:
        # Those who wait, in the order of arrival, each with its ticket.
        self.waiters: deque[tuple[int, asyncio.Future[_Start]]] = deque()
        # When the next one may start.
        self.earliest_start = -math.inf
        # The next start that is evenly spaced.
        self._next_slot = -math.inf
        # Seconds between two starts; 0 for no pacing.
        self._interval = 0.0
        # The seconds that a full log must span: a second, or a little more, for a whole number of starts.
        self._window = 0.0
        # When the last requests were sent, as far as is known: in order, as many as fit into a window.
        self._log: deque[float] = deque(maxlen=0)
        if rate is not None:
            check_rate(name, rate, maximum=MAX_RATE)
            starts = math.ceil(rate)
            self._interval = _MARGIN / rate
            self._window = _MARGIN * starts / rate
            self._log = deque(maxlen=starts)

    def has_waiters(self) -> bool:
        """Return True if anyone waits; those who gave up are forgotten on the way."""
        while self.waiters and self.waiters[0][1].done():
            self.waiters.popleft()
        return bool(self.waiters)

    def started(self, now: float) -> None:
        """Note that one started."""
        if not self._interval:
            return
        self._log.append(now)
        self._next_slot = max(self._next_slot, now - _CATCH_UP) + self._interval
        self._set_earliest_start()

    def sent_late(self, started_at: float, seconds: float) -> None:
        """Note that the request of a start was sent so many seconds later."""
        # It may have been so long ago that the log has lost it.
        with suppress(ValueError):
            self._log.remove(started_at)
            insort(self._log, started_at + seconds)
            self._set_earliest_start()

    def _set_earliest_start(self) -> None:
        self.earliest_start = self._next_slot
        if len(self._log) == self._log.maxlen:
            self.earliest_start = max(self._next_slot, self._log[0] + self._window)
