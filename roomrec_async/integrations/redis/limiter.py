"""The limiter: asks Redis for permits, hands them to those who wait, and goes on without Redis."""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Literal, Self

import attrs

from roomrec_async._asyncio import wait_finished
from roomrec_async._observe import LOGGER
from roomrec_async._validate import check_choice, check_integer, check_match, check_seconds
from roomrec_async.errors import (
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    RoomRecError,
)
from roomrec_async.protocols import Permit

from .clock import RedisClock
from .fallback import Part, Place
from .server import REDIS_ERRORS, Client, Reply, Server, format_reason
from .settings import MICROSECONDS_PER_SECOND, NAME_PATTERN, Concurrency, Limits, to_microseconds

# Seconds between two signs of life. They renew the leases, and find Redis available again. They are frequent enough for
# the script to miss a member before it uses its part of the quota on its own.
_HEARTBEAT_SECONDS: Final = 0.75
# Leases are renewed once they are older than this fraction of their duration.
_RENEWALS_PER_LEASE: Final = 4
# Waits are longer by up to this fraction, so that processes that got the same wait do not all come back at once.
_JITTER: Final = 0.1
# Seconds; where a notification of a free permit takes longer, a process polls instead.
_MAX_NOTIFIED_LEAD: Final = 0.06
# Seconds between a reply and the next poll of such a process, while nothing is free; and its second lead.
_POLL_INTERVAL: Final = 0.02
_NOT_NOTIFIED: Final = -1
# Long enough for all processes to notice that Redis is back, and for what they have started without it to be more than
# a second ago.
_MIN_LEASE_SECONDS: Final = 3.0
# Number of waiters of a process, of each kind, that stand at Redis. One round trip grants as many permits.
_MAX_ASKED: Final = 16
# Seconds by which a start may be later than Redis has scheduled it; later ones are given back.
_MAX_LATE: Final = 0.06
# Seconds after its start by which the service has seen a request, at the latest; the script's TRANSIT.
_TRANSIT: Final = 0.1
# The SEEN of a lease whose request has not started.
_NEVER_STARTED: Final = -1
# The concurrency limit that "auto" starts from, until Redis tells what the fleet has found.
_INITIAL_LIMIT: Final = 8

# The KEYS of the script, in its order.
_KEY_SUFFIXES: Final = ("", ":leases", ":seen", ":members", ":reads", ":reads:log", ":writes", ":writes:log")
# What the script says of those who wait, in words.
_REASONS: Final = {
    "new": "Redis does not know this limit yet, or has lost its data: nothing starts until leases are renewed",
    "failover": "another Redis has taken over: nothing starts until all processes have noticed",
    "clock": "the clock of Redis went back: nothing starts until leases are renewed",
    "pause": "paused by Retry-After",
    "listen": "nothing is free: all permits are in use",
    "wait": "nothing is free: the rate is used up",
}


class RedisRateLimiter:
    """A :class:`~roomrec_async.RateLimiter` whose limits hold for all processes that use the same name.

    It limits the account's requests in flight, and its reads and its writes in any one second. A permit is a lease in
    Redis: one round trip takes it, and others with it for those who wait, and one returns it. A lease that is held for
    long is renewed; the leases of a process that died expire within ``lease_seconds``. Only the clock of Redis counts.
    Within a process, requests are served first come, first served; processes take turns.

    A Redis that does not know the name, because it is new or lost its data, grants nothing for ``lease_seconds``:
    meanwhile the holders of permits renew their leases. So the very first request waits that long. The same happens
    when another server takes over, and when its clock goes back. A wait of more than ``lease_seconds`` is logged, once,
    with its reason.

    If Redis does not answer or cannot be written to, ``on_unavailable`` decides what happens. With "degrade", each
    process falls back to its part of the quota (of the rates, nine tenths of its part). It starts nothing for
    ``lease_seconds``, until all leases of other processes have expired and the others leave its part alone, and again
    nothing for ``lease_seconds`` when it finds Redis available, until all other processes have noticed, too. A part of
    less than one request becomes a turn. Each outage is logged as one warning, by the logger ``roomrec_async``.

    If only some processes cannot reach Redis, the others leave their parts alone, for as long as five minutes or until
    ``processes`` others are there: a process that was killed looks the same. A process that has never reached Redis is
    not known to the others: its part comes on top.

    All processes must use the same limits; Redis compares them. Processes with ``max_concurrency="auto"`` take a fixed
    one of the others.

    Use it with the clients of one event loop, and close it after them, with ``async with`` or ``aclose()``. It may be
    created outside an event loop.

    Commands and keys: keys begin with ``roomrec:{NAME}``, all in one slot of a Redis Cluster. A user of Redis needs
    ``~roomrec:* +evalsha +script|load +blpop`` and what the script calls: ``+time +info +hget +hset +hdel +zadd +zrem
    +zscore +zcard +zcount +zrank +zrange +zrevrange +zrangebyscore +zremrangebyscore +llen +rpush +del +pexpire``.
    Instead of ``+script|load`` it may have ``+eval``, or neither if somebody else loads ``script.lua`` of this package
    with ``SCRIPT LOAD``, again after each restart. Without ``+info``, a failover that no connection notices goes
    unnoticed, and the URL of a node of a Redis Cluster may lead to this node only. redis-py itself needs ``+select``
    for a database other than 0, and ``+cluster|slots +cluster|shards +command`` with a ``RedisCluster``.

    Args:
        url: the URL of Redis (6.0 or later, or a compatible server), such as ``rediss://user:password@host:6379/0``.
        redis: instead of a URL, a client of your own: a ``redis.asyncio.Redis``, one of a
            ``Sentinel(...).master_for(...)``, or a ``RedisCluster``. It is never closed. Its pool needs a connection
            for each request that ends at the same moment, and three more.
        name: identifies the limit, and is part of the keys in Redis; the account's SID, for instance. Letters, digits,
            ``_``, ``.``, ``:``, ``@`` and ``-``.
        max_concurrency: maximum number of the account's requests in flight; None for no limit; "auto" to follow the
            limit that the service has and does not publish, for all processes together.
        reads_per_second: the provider's published quota is 80 for an account; None for no limit.
        writes_per_second: the provider's published quota is 20 for an account (deletions count); None for no limit.
        lease_seconds: seconds until a lease expires whose process has died or hangs; 3 or more.
        on_unavailable: what to do while Redis is unavailable: "degrade", use the process's part of the quota; "fail",
            fail every request with :class:`~roomrec_async.ConnectionFailedError`.
        processes: number of processes that "degrade" divides the quota among; if more have been seen, their number.

    Raises:
        InvalidArgumentError: an argument is out of bounds, or the URL is not a Redis URL.
        ConfigurationError: both a URL and a client are given, or neither.

    Example:
        >>> async with (
        ...     RedisRateLimiter("redis://localhost", name=credentials.account_sid) as limiter,
        ...     RecordingsClient(credentials, limiter=limiter) as client,
        ... ):
        ...     recordings = await client.recordings(room_sid).to_list()
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        redis: Client | None = None,
        name: str,
        max_concurrency: Concurrency = 20,
        reads_per_second: float | None = 80,
        writes_per_second: float | None = 20,
        lease_seconds: float = 5.0,
        on_unavailable: Literal["degrade", "fail"] = "degrade",
        processes: int = 10,
    ) -> None:
        self._limits = Limits(max_concurrency, reads_per_second, writes_per_second)
        self._lease_seconds = check_seconds("lease_seconds", lease_seconds, minimum=_MIN_LEASE_SECONDS)
        self._name = check_match("name", name, NAME_PATTERN, "letters, digits and _.:@-, such as an account SID")
        self._degrades = check_choice("on_unavailable", on_unavailable, ("degrade", "fail")) == "degrade"
        self._processes = check_integer("processes", processes, minimum=1)
        if (url is None) == (redis is None):
            raise ConfigurationError("give either the URL of Redis or a client, redis=")
        self._server = Server(url, redis)

        # The braces make a hash tag, so that all keys are in the same slot of a Redis Cluster.
        self._keys = [f"roomrec:{{{name}}}{suffix}" for suffix in _KEY_SUFFIXES]
        # Together they name the leases: names are unique among all limiters, and known before a lease is granted.
        self._member = uuid.uuid4().hex
        self._lease_count = 0

        self._lanes = (_Lane("read"), _Lane("write"))
        # The leases of the permits that are held in this process.
        self._held: set[_Lease] = set()
        # Nothing starts before this instant of the event loop's clock.
        self._paused_until = -math.inf
        self._clock = RedisClock()
        # The last reply about this process, and about the concurrency limit; None before.
        self._place = Place(None, processes)
        self._known_permits = _INITIAL_LIMIT if max_concurrency == "auto" else max_concurrency
        # The part of the quota that this process uses while Redis is unavailable, and why; None while it is available.
        self._part: Part | None = None
        # Why the waiters wait, in words, and whether that has been logged.
        self._reason = ""
        self._wait_is_logged = False
        # When the script last answered.
        self._answered_at = -math.inf
        # When Redis was found available again.
        self._regained_at = -math.inf
        # Asks Redis for permits, while there are waiters; and the part of it that only waits.
        self._asking: asyncio.Task[None] | None = None
        self._nap: asyncio.Timeout | None = None
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._part_timer: asyncio.TimerHandle | None = None
        # Commands under way that no caller waits for, or whose caller may be cancelled.
        self._tasks: set[asyncio.Task[None]] = set()
        # The loop of the first use; connections and futures work in no other.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def max_concurrency(self) -> int | None:
        """Maximum number of requests in flight, or None: of the account, or without Redis of this process."""
        return self._known_permits if self._part is None else self._part.max_concurrency

    @property
    def in_flight(self) -> int:
        """Number of permits held in this process."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Number of requests of this process that wait for a permit."""
        return sum(lane.waiting for lane in self._lanes)

    @property
    def paused_until(self) -> datetime | None:
        """The time before which nothing starts, as far as this process knows; None if nothing is paused."""
        if self._loop is None or (seconds := self._paused_until - self._loop.time()) <= 0:
            return None
        return datetime.now(UTC) + timedelta(seconds=seconds)

    @property
    def degraded(self) -> bool:
        """True while Redis is unavailable, and this process uses its part of the quota."""
        return self._part is not None

    def read(self) -> Permit:
        """Return a permit for one read: ``async with limiter.read(): ...``.

        Raises:
            ConnectionFailedError: on entering it, with ``on_unavailable="fail"``: Redis does not answer.
            ClientClosedError: on entering it: the limiter is closed.
            ConfigurationError: on entering it: the limiter was first used in another event loop, Redis refuses the
                password, the user or the database, or other processes have other limits.
        """
        return _LeasedPermit(self, self._lanes[0])

    def write(self) -> Permit:
        """Return a permit for one write; raises the same errors as :meth:`read`."""
        return _LeasedPermit(self, self._lanes[1])

    def pause(self, seconds: float) -> None:
        """Start nothing in any process for the given seconds: the service asked for it with ``Retry-After``.

        The pause of a fleet lasts as long as it was asked for: 0 does not end it.
        """
        if seconds <= 0:
            return
        self._pause_here(seconds, "pause")
        if self._part is None and not self._closed:
            self._create_task(self._send("pause", to_microseconds(seconds)))

    async def aclose(self) -> None:
        """Close the connections. Waiters get ClientClosedError; leases that are held expire in Redis.

        May be called more than once.
        """
        if self._closing is None:
            self._closed = True
            self._closing = asyncio.get_running_loop().create_task(self._close())
        # Also if the caller is cancelled, and for every caller.
        await wait_finished(self._closing)
        self._closing.result()

    async def _close(self) -> None:
        for timer in (self._heartbeat_timer, self._part_timer):
            if timer is not None:
                timer.cancel()
        self._fail_waiters(self._closed_error())

        self._interrupt_nap()
        if self._asking is not None:
            await wait_finished(self._asking)
        names = [lease.name for lane in self._lanes for lease in lane.forget()]
        for task in list(self._tasks):
            await wait_finished(task)
        try:
            if self._part is None and self._server.has_answered:
                await self._send("leave", *names)
        finally:
            await self._server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RedisRateLimiter of {self._name!r} at {self._server.address}>"

    async def _acquire(self, lane: _Lane) -> _Lease:
        """Wait for a permit."""
        loop = self._check_usable()
        waiter = _Waiter(loop.create_future(), loop.time())
        lane.waiters.append(waiter)
        lane.waiting += 1
        self._serve()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                lane.waiting -= 1
                await self._withdraw()
            else:
                # Granted and cancelled in the same turn of the loop. An error needs nothing.
                await self._give_back(waiter.future)
            raise

    async def _give_back(self, future: asyncio.Future[_Lease]) -> None:
        if future.exception() is None:
            await self._release(future.result(), _NEVER_STARTED, "", 0)

    def _serve(self) -> None:
        """Get permits for those who wait, from Redis or from the part of the quota."""
        if self._closed:
            return
        self._schedule_heartbeat()
        if self._part is not None:
            self._serve_from_part(self._part)
        elif self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(self._resume_asking)
        elif any(lane.count_unasked() for lane in self._lanes):
            self._interrupt_nap()

    def _resume_asking(self, asking: asyncio.Task[None]) -> None:
        """Ask again if a program has cancelled the task that asks, as one does that cancels all tasks but its own."""
        if asking.cancelled() and self.waiting:
            self._serve()

    async def _withdraw(self) -> None:
        """Make Redis forget waiters that have left. If they were the last ones, wait until it has."""
        self._serve()
        self._interrupt_nap()
        if self._asking is not None and not self.waiting:
            await wait_finished(self._asking)

    def _interrupt_nap(self) -> None:
        if self._nap is not None:
            # An instant that has passed.
            self._nap.reschedule(0)
            self._nap = None

    async def _ask(self) -> None:
        """Ask Redis for permits until all who wait have theirs, or are to have them at an instant that is known.

        Only this task asks and withdraws, so that one command never overtakes another.
        """
        try:
            while not self._closed and self._part is None:
                surplus = [lease for lane in self._lanes for lease in lane.take_surplus()]
                if surplus:
                    await self._return_unstarted(surplus)
                    continue
                for lane in self._lanes:
                    lane.add_names(self._new_lease)
                if not any(lane.asked for lane in self._lanes):
                    return
                await self._ask_once()
        except REDIS_ERRORS as error:
            self._lose_redis(error)
        except RoomRecError as error:
            self._forget_asked()
            self._fail_waiters(error)

    async def _ask_once(self) -> None:
        """Ask for the leases that are wanted, and wait until it is time to ask again."""
        delay = self._paused_until - asyncio.get_running_loop().time()
        if delay > 0:
            await self._sleep(delay)
            return
        if not self._clock.is_known:
            # The first command connects, and can bring the script: it tells the clock badly.
            await self._run("renew")
        names = [list(lane.asked) for lane in self._lanes]
        reply = await self._run("acquire", len(names[0]), *names[0], *names[1])
        self._accept(reply[7:])
        self._reason = _to_text(reply[5])
        if any(lane.asked for lane in self._lanes) and self._part is None and not self._closed:
            seconds = int(reply[6]) / MICROSECONDS_PER_SECOND
            if self._reason == "listen" and not self._is_notified:
                seconds = _POLL_INTERVAL
            await self._sleep(seconds, listening=self._is_notified)

    async def _sleep(self, seconds: float, *, listening: bool = False) -> None:
        """Wait for so long, or until there is something to do: here, or with ``listening`` at Redis."""
        # A new waiter may have come while the reply was under way.
        if any(lane.count_unasked() for lane in self._lanes) and self._paused_until < asyncio.get_running_loop().time():
            return
        seconds *= random.uniform(1, 1 + _JITTER)
        try:
            async with asyncio.timeout(None) as self._nap:
                if listening:
                    await self._server.wait_for_item(f"{self._keys[0]}:{self._member}", seconds)
                else:
                    await asyncio.sleep(seconds)
        except TimeoutError:
            # Interrupted. Where Redis did not answer, the next command says so.
            pass
        finally:
            self._nap = None

    def _accept(self, granted: Reply) -> None:
        """Set a timer for the start of each lease that was granted."""
        loop = asyncio.get_running_loop()
        for index in range(0, len(granted), 3):
            name, start, number = _to_text(granted[index]), int(granted[index + 1]), int(granted[index + 2])
            for lane in self._lanes:
                lease = lane.asked.pop(name, None)
                if lease is not None:
                    lease.number = number
                    lease.start = self._clock.to_loop(start / MICROSECONDS_PER_SECOND)
                    lane.granted[lease] = loop.call_at(lease.start, self._deliver, lane, lease)

    def _deliver(self, lane: _Lane, lease: _Lease) -> None:
        """Hand a lease to the first who waits, at its start."""
        del lane.granted[lease]
        now = asyncio.get_running_loop().time()
        waiter = lane.next_waiter()
        if waiter is None or now < self._paused_until or now - lease.start > _MAX_LATE:
            # What has come too late, after a delay of Redis or of this process, is asked for again.
            self._create_task(self._return_unstarted([lease]))
            self._serve()
            return
        self._grant(lane, lease)

    def _grant(self, lane: _Lane, lease: _Lease) -> None:
        self._held.add(lease)
        lane.pop_waiter().set_result(lease)

    async def _release(self, lease: _Lease, seen_after: int, outcome: str, number: int) -> None:
        """Return the permit of a lease, even if the caller is cancelled. If the command does not arrive, it expires."""
        self._held.discard(lease)
        if self._part is not None:
            self._serve()
        elif not self._closed:
            sending = self._send("release", lease.name, seen_after, outcome, number)
            await wait_finished(self._create_task(sending))

    async def _finish(self, lease: _Lease, sent_late: float, outcome: str) -> None:
        """Return the permit of a request that has been sent, and say by when the service has seen it."""
        now = asyncio.get_running_loop().time()
        late = max(0.0, lease.granted_at + sent_late - lease.start)
        seen_after = min(now - lease.start + self._clock.uncertainty, late + _TRANSIT) if self._clock.is_known else 0.0
        await self._release(lease, to_microseconds(max(0.0, seen_after)), outcome, lease.number)

    async def _return_unstarted(self, leases: list[_Lease]) -> None:
        words = [word for lease in leases for word in (lease.name, _NEVER_STARTED, "", 0)]
        await self._send("release", *words)

    async def _send(self, operation: str, *arguments: str | int) -> None:
        """Run an operation that nobody waits for; enter the fallback if Redis is unavailable."""
        try:
            await self._run(operation, *arguments)
        except REDIS_ERRORS as error:
            self._lose_redis(error)
        except RoomRecError as error:
            # Whoever asks for a permit gets it.
            LOGGER.debug("rate limit %r: %s", self._name, error)

    async def _run(self, operation: str, *arguments: str | int) -> Reply:
        """Run an operation of the script, and keep what its reply says."""
        loop = asyncio.get_running_loop()
        settings = (*self._limits.script_arguments(), to_microseconds(self._lease_seconds), self._processes)
        lead = to_microseconds(self._clock.lead)
        leads = (lead, 3 * lead if self._is_notified else _NOT_NOTIFIED)
        words = (operation, *settings, self._member, *leads, *arguments)
        sent = loop.time()
        reply = await self._server.run(len(self._keys), *self._keys, *words)
        if not reply:
            return reply
        if isinstance(reply[0], (bytes, str)):
            raise ConfigurationError(
                f"rate limit {self._name!r}: other processes have other limits: "
                f"{self._limits.differences(_to_text(reply[1]))}; give all of them the same"
            )
        self._answered_at = loop.time()
        self._clock.observe(sent, self._answered_at, int(reply[0]) / MICROSECONDS_PER_SECOND)
        self._place = Place(int(reply[1]), int(reply[2]))
        self._known_permits = int(reply[3]) or None
        if int(reply[4]):
            await self._server.use_cluster()
        return reply

    @property
    def _is_notified(self) -> bool:
        """True if Redis notifies this process when a permit is free; else it polls.

        A notification, a request and its reply take three times as long as a reply. Redis holds the permit meanwhile.
        """
        return self._server.can_listen and 3 * self._clock.lead <= _MAX_NOTIFIED_LEAD

    async def _beat(self) -> None:
        """Give a sign of life: renew the leases that are held. In the fallback, this finds Redis available again."""
        now = asyncio.get_running_loop().time()
        is_lost = self._part is not None
        # Every command is a sign of life, and short requests end before their leases need to be renewed.
        names = {
            lease.name
            for lease in self._held
            if is_lost or now - lease.granted_at > self._lease_seconds / _RENEWALS_PER_LEASE
        }
        try:
            if is_lost:
                # The others leave this process's part alone for as long as they hear nothing of it.
                await self._run("probe")
                self._regain_redis()
            if names or is_lost or now - self._answered_at > _HEARTBEAT_SECONDS / 2:
                await self._run("renew", *names)
        except REDIS_ERRORS as error:
            self._lose_redis(error)
        except RoomRecError as error:
            LOGGER.debug("rate limit %r: %s", self._name, error)
        else:
            # Leases that were released meanwhile may have been renewed after their release.
            for name in names - {lease.name for lease in self._held}:
                await self._send("release", name, to_microseconds(_TRANSIT), "", 0)
        self._log_long_wait()

    def _schedule_heartbeat(self) -> None:
        if self._heartbeat_timer is None and not self._closed:
            interval = _HEARTBEAT_SECONDS * random.uniform(1 - _JITTER, 1 + _JITTER)
            self._heartbeat_timer = asyncio.get_running_loop().call_later(interval, self._start_heartbeat)

    def _start_heartbeat(self) -> None:
        self._heartbeat_timer = None
        # The next one comes also if this one is cancelled.
        self._create_task(self._beat()).add_done_callback(lambda _: self._schedule_heartbeat())

    def _log_long_wait(self) -> None:
        """Log that somebody has waited for more than a lease, once until nobody has. An outage is logged as such."""
        now = asyncio.get_running_loop().time()
        since = min((waiter.since for lane in self._lanes if (waiter := lane.next_waiter())), default=now)
        is_long = now - max(since, self._regained_at) > self._lease_seconds + _HEARTBEAT_SECONDS
        was_logged, self._wait_is_logged = self._wait_is_logged, is_long
        if was_logged or not is_long or self._part is not None:
            return
        LOGGER.warning(
            "rate limit %r: %d requests wait, the first for %.0f s: %s",
            self._name,
            self.waiting,
            now - since,
            _REASONS.get(self._reason, self._reason),
        )

    def _lose_redis(self, error: Exception) -> None:
        """Go on with this process's part of the quota, if that is wanted: Redis is unavailable."""
        if self._closed or self._part is not None:
            return
        self._forget_asked()
        self._reason = f"Redis is unavailable: {format_reason(error)}"
        if not self._degrades:
            self._fail_waiters(self._unavailable_error(error))
            return
        self._part = Part(self._limits, self._known_permits, self._place)
        # Until then, the leases of other processes expire, and they notice that this one is missing.
        self._pause_here(self._lease_seconds, self._reason)
        LOGGER.warning(
            "rate limit %r: Redis is unavailable, falling back to 1/%d of the quota after %g s: %s: %s",
            self._name,
            self._place.processes,
            self._lease_seconds,
            self._server.address,
            format_reason(error),
        )
        self._serve()

    def _regain_redis(self) -> None:
        """Return to Redis, which is available again."""
        if self._part is None or self._closed:
            return
        self._part = None
        if self._part_timer is not None:
            self._part_timer.cancel()
        # By then all other processes are back, too, and Redis knows all leases.
        self._pause_here(self._lease_seconds, "Redis is available again: nothing starts until all have noticed")
        self._regained_at = asyncio.get_running_loop().time()
        LOGGER.info("rate limit %r: Redis is available again, resuming in %g s", self._name, self._lease_seconds)
        self._serve()

    def _pause_here(self, seconds: float, reason: str) -> None:
        until = asyncio.get_running_loop().time() + seconds
        if until > self._paused_until:
            self._paused_until, self._reason = until, reason

    def _serve_from_part(self, part: Part) -> None:
        """Grant permits from this process's part of the quota, and set a timer for the next one."""
        if self._part_timer is not None:
            self._part_timer.cancel()
        loop = asyncio.get_running_loop()
        now = loop.time()
        offset = self._clock_offset(now)
        while part.max_concurrency is None or len(self._held) < part.max_concurrency:
            starts = [
                (part.next_start(lane.kind, max(now, self._paused_until) + offset) - offset, waiter.since, lane)
                for lane in self._lanes
                if (waiter := lane.next_waiter())
            ]
            if not starts:
                return
            start, _, lane = min(starts, key=lambda each: each[:2])
            if start > now:
                self._part_timer = loop.call_at(start, self._serve)
                return
            part.started(lane.kind, now + offset)
            self._grant(lane, self._new_lease(now))

    def _clock_offset(self, now: float) -> float:
        """Return the difference between a clock that all processes know and that of the event loop."""
        return self._clock.to_redis(now) - now if self._clock.is_known else time.time() - now

    def _forget_asked(self) -> None:
        for lane in self._lanes:
            lane.forget()
        self._interrupt_nap()

    def _fail_waiters(self, error: RoomRecError) -> None:
        for lane in self._lanes:
            while lane.next_waiter():
                # One each: a traceback grows with every task that raises it.
                lane.pop_waiter().set_exception(copy(error))

    def _unavailable_error(self, error: Exception) -> ConnectionFailedError:
        return ConnectionFailedError(
            f"rate limit {self._name!r}: Redis is unavailable, and no request starts without it: "
            f"{format_reason(error)}; check that Redis is running, or use on_unavailable='degrade'",
            method="EVALSHA",
            url=self._server.address,
        )

    @staticmethod
    def _closed_error() -> ClientClosedError:
        return ClientClosedError("the limiter is closed: close it after the clients that use it")

    def _create_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that :meth:`aclose` waits for. The event loop itself keeps only weak references."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _new_lease(self, start: float = 0.0) -> _Lease:
        self._lease_count += 1
        return _Lease(f"{self._member}:{self._lease_count}", start)

    def _check_usable(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise self._closed_error()
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise ConfigurationError("the limiter was first used in another event loop: create one for each loop")
        return loop


class _LeasedPermit:
    __slots__ = ("_lane", "_lease", "_limiter", "_outcome", "_sent_late")

    def __init__(self, limiter: RedisRateLimiter, lane: _Lane) -> None:
        self._limiter = limiter
        self._lane = lane
        # None until it is granted, and after it was released.
        self._lease: _Lease | None = None
        # What the script takes for the OUTCOME of the request.
        self._outcome = ""
        # Seconds from when it was granted until the request was sent.
        self._sent_late = 0.0

    async def __aenter__(self) -> Self:
        self._lease = await self._limiter._acquire(self._lane)
        self._lease.granted_at = asyncio.get_running_loop().time()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lease = self._lease
        self._lease = None
        if lease is not None:
            await self._limiter._finish(lease, self._sent_late, self._outcome)

    def accepted(self) -> None:
        """Note that the service took the request on, whatever it answered."""
        self._outcome = "accepted"

    def rate_limited(self) -> None:
        """Note that the service refused the request with 429."""
        self._outcome = "refused"

    def sent_late(self, seconds: float) -> None:
        """Note that the request was sent so long after the permit was granted: a connection had to be opened first."""
        self._sent_late = seconds


@attrs.define(eq=False)
class _Lease:
    """A permit, as Redis knows it.

    Attributes:
        name: its name in Redis.
        start: when Redis has scheduled its request, on the clock of the event loop.
        number: the number of leases when it was granted, itself included.
        granted_at: when its request could start, on the clock of the event loop.
    """

    name: str
    start: float = 0.0
    number: int = 0
    granted_at: float = 0.0


@attrs.frozen
class _Waiter:
    """A request that waits for a permit.

    Attributes:
        future: gets the lease.
        since: when it came, on the clock of the event loop.
    """

    future: asyncio.Future[_Lease]
    since: float


class _Lane:
    """The reads, or the writes, of this process.

    Attributes:
        kind: which of them.
        waiters: those who wait, in the order of arrival; those who have left may be among them.
        waiting: number of those who wait.
        asked: the leases that Redis was asked for, or is to be, by their names.
        granted: the leases that Redis has granted, and the timers of their starts.
    """

    def __init__(self, kind: Literal["read", "write"]) -> None:
        self.kind = kind
        self.waiters: deque[_Waiter] = deque()
        self.waiting = 0
        self.asked: dict[str, _Lease] = {}
        self.granted: dict[_Lease, asyncio.TimerHandle] = {}

    def next_waiter(self) -> _Waiter | None:
        """Return the first who waits; those who have left are forgotten on the way."""
        while self.waiters and self.waiters[0].future.done():
            self.waiters.popleft()
        return self.waiters[0] if self.waiters else None

    def pop_waiter(self) -> asyncio.Future[_Lease]:
        """Remove the first who waits, and return what it waits for."""
        self.waiting -= 1
        return self.waiters.popleft().future

    def count_unasked(self) -> int:
        """Return how many more leases to ask Redis for; negative for those that nobody waits for any more."""
        return min(self.waiting - len(self.granted), _MAX_ASKED) - len(self.asked)

    def add_names(self, new_lease: Callable[[], _Lease]) -> None:
        """Name the leases that are wanted."""
        for _ in range(self.count_unasked()):
            lease = new_lease()
            self.asked[lease.name] = lease

    def take_surplus(self) -> Iterator[_Lease]:
        """Remove the leases that nobody waits for any more, and yield them: the latest first."""
        for _ in range(-self.count_unasked()):
            if self.asked:
                yield self.asked.popitem()[1]
            elif self.granted:
                lease, timer = self.granted.popitem()
                timer.cancel()
                yield lease

    def forget(self) -> list[_Lease]:
        """Forget all leases that are not held; return them."""
        for timer in self.granted.values():
            timer.cancel()
        leases = [*self.asked.values(), *self.granted]
        self.asked.clear()
        self.granted.clear()
        return leases


def _to_text(word: bytes | str | int) -> str:
    # A client of the user's own can decode its replies.
    return word.decode() if isinstance(word, bytes) else str(word)
