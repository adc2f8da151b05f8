"""RedisRateLimiter: one rate limiter for all processes and machines that share an account's quota.

Needs the extra ``redis``: ``pip install 'roomrec-async[redis]'``.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import re
import uuid
from collections.abc import Coroutine, Sequence
from importlib.resources import files
from types import TracebackType
from typing import Final, Literal, Protocol, Self, cast

import attrs
from yarl import URL

from roomrec_async._asyncio import wait_finished
from roomrec_async._observe import LOGGER
from roomrec_async._validate import MAX_RATE, check_choice, check_integer, check_match, check_rate, check_seconds
from roomrec_async.errors import ClientClosedError, ConfigurationError, ConnectionFailedError, InvalidArgumentError
from roomrec_async.limits import RateLimiter
from roomrec_async.protocols import Permit

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError
except ModuleNotFoundError as error:
    raise ConfigurationError("a shared rate limiter needs redis: pip install 'roomrec-async[redis]'") from error

_SCRIPT: Final = files("roomrec_async.integrations").joinpath("redis.lua").read_text(encoding="utf-8")
# Redis knows scripts that it has run by their SHA-1.
_SCRIPT_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# Errors after which Redis counts as unavailable.
_REDIS_ERRORS: Final = (RedisError, OSError, TimeoutError)
# Seconds for a command, including connecting and one retry: a connection that was idle may be dead.
_COMMAND_TIMEOUT: Final = 1.0

# Leases are renewed this often before they expire; Redis is probed at the same interval while it is unavailable.
_RENEWALS_PER_LEASE: Final = 4
# Waits are longer by up to this fraction, so that processes that got the same wait do not all come back at once.
_JITTER: Final = 0.1
# Long enough for all processes to notice that Redis is back, and for what they have started without it to be more than
# a second ago.
_MIN_LEASE_SECONDS: Final = 3.0
# Fraction of a process's share of the rates that the fallback uses. Processes that do not know of each other cannot
# compensate for each other's delays.
_FALLBACK_RATE_FACTOR: Final = 0.9

_MICROSECONDS_PER_SECOND: Final = 1_000_000
_NAME_PATTERN: Final = re.compile(r"[\w.:@-]{1,200}")
# The KEYS of the script, in its order.
_KEY_SUFFIXES: Final = ("", ":leases", ":seen", ":reads", ":reads:log", ":writes", ":writes:log")
# The lateness of a lease whose request has not started.
_NEVER_STARTED: Final = -1
_MAX_REASON_LENGTH: Final = 200


class RedisRateLimiter:
    """A :class:`~roomrec_async.RateLimiter` whose limits hold for all processes that use the same name.

    It limits the account's requests in flight, and its reads and its writes in any one second. A permit is a lease in
    Redis: one round trip takes it and one returns it. A lease that is held for long is renewed; the leases of a process
    that died expire within ``lease_seconds``. Only the clock of Redis counts. Within a process, requests are served
    first come, first served; processes take turns.

    A Redis that does not know the name, because it is new or lost its data, grants nothing for ``lease_seconds``:
    meanwhile the holders of permits renew their leases. So the very first request waits that long.

    If Redis does not answer, ``on_unavailable`` decides what happens. With "degrade", each process falls back to its
    share of the quota (of the rates, nine tenths of its share). It starts nothing for ``lease_seconds``, until all
    leases of other processes have expired, and again nothing for ``lease_seconds`` when it finds Redis available,
    until all other processes have noticed, too. Each outage is logged as one warning, by the logger ``roomrec_async``.
    If only one process cannot reach Redis, its share comes on top of what the others use.

    All processes must use the same limits and the same ``lease_seconds``.

    Use it with the clients of one event loop, and close it after them, with ``async with`` or ``aclose()``. It may be
    created outside an event loop.

    Args:
        url: the URL of Redis (6.0 or later, or a compatible server), such as ``rediss://user:password@host:6379/0``.
        name: identifies the limit, and is part of the keys in Redis; the account's SID, for instance. Letters, digits,
            ``_``, ``.``, ``:``, ``@`` and ``-``.
        max_concurrency: maximum number of the account's requests in flight; None for no limit.
        reads_per_second: the provider's published quota is 80 for an account; None for no limit.
        writes_per_second: the provider's published quota is 20 for an account (deletions count); None for no limit.
        lease_seconds: seconds until a lease expires whose process has died or hangs; 3 or more.
        on_unavailable: what to do while Redis is unavailable: "degrade", use the process's share of the quota; "fail",
            fail every request with :class:`~roomrec_async.ConnectionFailedError`.
        processes: number of processes that "degrade" divides the quota among. No limit may be less than it.

    Raises:
        InvalidArgumentError: an argument is out of bounds, or the URL is not a Redis URL.
        ConfigurationError: a limit cannot be divided among the processes.

    Example:
        >>> async with (
        ...     RedisRateLimiter("redis://localhost", name=credentials.account_sid) as limiter,
        ...     RecordingsClient(credentials, limiter=limiter) as client,
        ... ):
        ...     recordings = await client.recordings(room_sid).to_list()
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        max_concurrency: int | None = 20,
        reads_per_second: float | None = 80,
        writes_per_second: float | None = 20,
        lease_seconds: float = 5.0,
        on_unavailable: Literal["degrade", "fail"] = "degrade",
        processes: int = 10,
    ) -> None:
        self._limits = _Limits(max_concurrency, reads_per_second, writes_per_second)
        self._lease_seconds = check_seconds("lease_seconds", lease_seconds, minimum=_MIN_LEASE_SECONDS)
        self._name = check_match("name", name, _NAME_PATTERN, "letters, digits and _.:@-, such as an account SID")
        # Number of processes that share the quota in the fallback; None if there is no fallback.
        self._fallback_processes = _check_fallback(on_unavailable, processes, self._limits)

        self._redis, self._address = _create_client(url)
        # The braces make a hash tag, so that all keys are in the same slot of a Redis Cluster.
        self._keys = [f"roomrec:{{{name}}}{suffix}" for suffix in _KEY_SUFFIXES]
        # What every run of the script gets.
        self._script_settings = self._limits.script_arguments(self._lease_seconds)
        # Together they name the leases: names are unique among all limiters, and known before a lease is granted.
        self._limiter_id = uuid.uuid4().hex
        self._lease_count = 0

        self._reads = _Lane("read")
        self._writes = _Lane("write")
        # The leases of the permits that are held in this process, and the number of its requests that wait for one.
        self._held: set[_Lease] = set()
        self._waiting = 0
        # Nothing starts before this instant of the event loop's clock.
        self._paused_until = -math.inf
        # Grants the permits while Redis is unavailable; None while it is available.
        self._fallback: RateLimiter | None = None
        self._renewal_timer: asyncio.TimerHandle | None = None
        # Commands under way that no caller waits for, or whose caller may be cancelled.
        self._tasks: set[asyncio.Task[None]] = set()
        # The loop of the first use; connections and locks work in no other.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def max_concurrency(self) -> int | None:
        """Maximum number of requests in flight, or None: of the account, or without Redis of this process."""
        if self._fallback is not None:
            return self._fallback.max_concurrency
        return self._limits.max_concurrency

    @property
    def in_flight(self) -> int:
        """Number of permits held in this process."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Number of requests of this process that wait for a permit."""
        return self._waiting

    def read(self) -> Permit:
        """Return a permit for one read: ``async with limiter.read(): ...``.

        Raises:
            ConnectionFailedError: on entering it, with ``on_unavailable="fail"``: Redis does not answer.
            ClientClosedError: on entering it: the limiter is closed.
            ConfigurationError: on entering it: the limiter was first used in another event loop.
        """
        return _LeasedPermit(self, self._reads)

    def write(self) -> Permit:
        """Return a permit for one write; raises the same errors as :meth:`read`."""
        return _LeasedPermit(self, self._writes)

    def pause(self, seconds: float) -> None:
        """Start nothing in any process for the given seconds: the service asked for it with ``Retry-After``.

        The pause of a fleet lasts as long as it was asked for: 0 does not end it.
        """
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)
        if self._fallback is not None:
            self._fallback.pause(seconds)
        elif not self._closed:
            self._create_task(self._send("pause", _to_microseconds(seconds)))

    async def aclose(self) -> None:
        """Close the connections. Waiters get ClientClosedError; leases that are held expire in Redis.

        May be called more than once.
        """
        self._closed = True
        if self._renewal_timer is not None:
            self._renewal_timer.cancel()
        self._wake_fallback_waiters()

        # Locks are granted in the order of arrival: when these are ours, all waiters have left.
        async with self._reads.lock, self._writes.lock:
            for task in list(self._tasks):
                await wait_finished(task)
            await self._redis.aclose()

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
        return f"<RedisRateLimiter of {self._name!r} at {self._address}>"

    async def _acquire(self, lane: _Lane) -> _Lease:
        """Wait for a permit. Only the first waiter of a lane asks Redis."""
        self._waiting += 1
        try:
            async with lane.lock:
                while (lease := await self._try_acquire(lane)) is None:
                    pass
        finally:
            self._waiting -= 1
        self._held.add(lease)
        self._schedule_renewal()
        return lease

    async def _try_acquire(self, lane: _Lane) -> _Lease | None:
        """Make one attempt to get a permit, from Redis or from the fallback; return None to try again."""
        self._check_usable()
        if self._fallback is not None:
            return await self._acquire_locally(lane, self._fallback)

        delay = self._paused_until - asyncio.get_running_loop().time()
        if delay > 0:
            # A long pause is slept in pieces: the limiter may be closed, or Redis be lost, meanwhile.
            await asyncio.sleep(min(delay, _COMMAND_TIMEOUT))
            return None

        lease = self._new_lease()
        try:
            start = await self._request_start(lane, lease)
            await _sleep_until(start.at)
        except _REDIS_ERRORS as error:
            if self._fallback_processes is None and not self._closed:
                raise self._unavailable_error(error) from None
            self._enter_fallback(error)
            return None
        except asyncio.CancelledError:
            await self._return_lease(lease)
            raise

        now = asyncio.get_running_loop().time()
        if self._closed or self._fallback is not None or now < self._paused_until:
            # That changed while this request waited for its start.
            await self._return_lease(lease)
            return None
        lease.lateness = max(0, _to_microseconds(now - start.earliest))
        return lease

    async def _request_start(self, lane: _Lane, lease: _Lease) -> _Start:
        """Ask Redis for the lease until it is granted; return when the request may start."""
        while True:
            self._check_usable()
            sent = asyncio.get_running_loop().time()
            reply = await self._send_acquire(lane, lease)
            received = asyncio.get_running_loop().time()

            start: int | None = None
            if reply.status == "start":
                start = reply.value
            elif reply.status == "listen":
                start = await self._wait_for_handover(lease, reply.value / _MICROSECONDS_PER_SECOND)
            else:
                await asyncio.sleep(_add_jitter(reply.value / _MICROSECONDS_PER_SECOND))

            if start is not None:
                # The clock of Redis was read at some moment between the command and its reply.
                delay = (start - reply.redis_time) / _MICROSECONDS_PER_SECOND
                return _Start(at=received + delay, earliest=sent + delay)

    async def _send_acquire(self, lane: _Lane, lease: _Lease) -> _Reply:
        """Send the command that asks for a lease, and wait for its reply even when cancelled.

        Otherwise the release that follows a cancellation could overtake the command and leave a lease behind.
        """
        command = asyncio.ensure_future(self._run_script("acquire", lease.name, lane.kind))
        await wait_finished(command)
        status, value, redis_time = command.result()
        # A URL can set decode_responses.
        text = status.decode() if isinstance(status, bytes) else str(status)
        return _Reply(text, int(value), int(redis_time))

    async def _wait_for_handover(self, lease: _Lease, seconds: float) -> int | None:
        """Wait until a released permit is handed over to this lease; return its start, or None after the timeout."""
        timeout = _add_jitter(seconds)
        async with asyncio.timeout(timeout + _COMMAND_TIMEOUT):
            reply = await self._redis.execute_command("BLPOP", f"{self._keys[0]}:{lease.name}", f"{timeout:.3f}")
        return None if reply is None else int(reply[1])

    async def _acquire_locally(self, lane: _Lane, fallback: RateLimiter) -> _Lease | None:
        """Wait for a permit from the fallback; return None once Redis is back."""
        permit = fallback.read() if lane.kind == "read" else fallback.write()
        try:
            # It never expires by itself: leaving the fallback reschedules it.
            async with asyncio.timeout(None) as lane.fallback_timeout:
                await permit.__aenter__()
        except TimeoutError:
            return None
        finally:
            lane.fallback_timeout = None

        if self._fallback is not fallback:
            # Redis came back, and may even have been lost again, at the moment of the grant.
            return None
        return self._new_lease(permit)

    async def _release(self, lease: _Lease) -> None:
        self._held.discard(lease)
        if lease.local_permit is not None:
            await lease.local_permit.__aexit__(None, None, None)
        if not self._closed:
            await self._return_lease(lease)

    async def _return_lease(self, lease: _Lease) -> None:
        """Release the lease in Redis, even if the caller is cancelled. If the command does not arrive, it expires."""
        if self._fallback is None:
            await wait_finished(self._create_task(self._send("release", lease.name, lease.lateness)))

    async def _renew_leases(self) -> None:
        """Renew the leases that are held. In the fallback, this is also the probe that finds Redis available again."""
        names = {lease.name for lease in self._held}
        try:
            await self._run_script("renew", *names)
        except _REDIS_ERRORS as error:
            self._enter_fallback(error)
        else:
            self._leave_fallback()
            # Leases that were released meanwhile may have been renewed after their release.
            for name in names - {lease.name for lease in self._held}:
                await self._send("release", name, 0)
        self._schedule_renewal()

    async def _send(self, operation: str, *arguments: str | int) -> None:
        """Run an operation of the script that has no reply; enter the fallback if Redis is unavailable."""
        try:
            await self._run_script(operation, *arguments)
        except _REDIS_ERRORS as error:
            self._enter_fallback(error)

    async def _run_script(self, operation: str, *arguments: str | int) -> Sequence[bytes | str | int]:
        command = (len(self._keys), *self._keys, operation, *self._script_settings, *arguments)
        async with asyncio.timeout(_COMMAND_TIMEOUT):
            try:
                reply = await self._redis.execute_command("EVALSHA", _SCRIPT_SHA, *command)
            except NoScriptError:
                # Redis was restarted, or its scripts were flushed. EVAL also stores the script for the next EVALSHA.
                reply = await self._redis.execute_command("EVAL", _SCRIPT, *command)
        return reply or ()

    def _enter_fallback(self, error: Exception) -> None:
        """Limit this process to its share of the quota, if that is wanted: Redis is unavailable."""
        if self._fallback_processes is None or self._fallback is not None or self._closed:
            return
        self._fallback = self._limits.fallback_limiter(self._fallback_processes)
        # Requests in flight count on. Those of other processes have ended when their leases have expired.
        for lease in self._held:
            lease.local_permit = self._fallback.adopt()
        now = asyncio.get_running_loop().time()
        self._fallback.pause(max(self._lease_seconds, self._paused_until - now))

        LOGGER.warning(
            "rate limit %r: Redis is unavailable, falling back to 1/%d of the quota after %g s: %s: %s",
            self._name,
            self._fallback_processes,
            self._lease_seconds,
            self._address,
            _format_reason(error),
        )
        self._schedule_renewal()

    def _leave_fallback(self) -> None:
        """Return to Redis, which is available again."""
        if self._fallback is None or self._closed:
            return
        self._fallback = None
        for lease in self._held:
            lease.local_permit = None
        # By then all other processes are back, too, and Redis knows all leases.
        now = asyncio.get_running_loop().time()
        self._paused_until = max(self._paused_until, now + self._lease_seconds)
        LOGGER.info("rate limit %r: Redis is available again, resuming in %g s", self._name, self._lease_seconds)
        self._wake_fallback_waiters()

    def _wake_fallback_waiters(self) -> None:
        """Make those who wait for a permit of the fallback try again."""
        for lane in (self._reads, self._writes):
            if lane.fallback_timeout is not None:
                # An instant that has passed.
                lane.fallback_timeout.reschedule(0)
                lane.fallback_timeout = None

    def _unavailable_error(self, error: Exception) -> ConnectionFailedError:
        return ConnectionFailedError(
            f"rate limit {self._name!r}: Redis is unavailable, and no request starts without it: "
            f"{_format_reason(error)}; check that Redis is running, or use on_unavailable='degrade'",
            method="EVALSHA",
            url=self._address,
        )

    def _needs_renewal(self) -> bool:
        """Return True while there are leases to renew, or Redis has to be probed."""
        return bool(self._held) or self._fallback is not None

    def _schedule_renewal(self) -> None:
        if self._renewal_timer is None and self._needs_renewal() and not self._closed:
            interval = self._lease_seconds / _RENEWALS_PER_LEASE * random.uniform(1 - _JITTER, 1 + _JITTER)
            self._renewal_timer = asyncio.get_running_loop().call_later(interval, self._start_renewal)

    def _start_renewal(self) -> None:
        self._renewal_timer = None
        if self._needs_renewal():
            self._create_task(self._renew_leases())

    def _create_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that :meth:`aclose` waits for. The event loop itself keeps only weak references."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _new_lease(self, local_permit: Permit | None = None) -> _Lease:
        self._lease_count += 1
        return _Lease(f"{self._limiter_id}:{self._lease_count}", local_permit)

    def _check_usable(self) -> None:
        if self._closed:
            raise ClientClosedError("the limiter is closed: close it after the clients that use it")
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise ConfigurationError("the limiter was first used in another event loop: create one for each loop")


class _Redis(Protocol):
    """The part of redis-py's client that is used. Its own types say nothing about commands and replies."""

    async def execute_command(self, *words: str | int) -> Sequence[bytes | str | int] | None:
        """Send a command and return its reply."""

    async def aclose(self) -> None:
        """Close the connections."""


class _LeasedPermit:
    __slots__ = ("_lane", "_lease", "_limiter")

    def __init__(self, limiter: RedisRateLimiter, lane: _Lane) -> None:
        self._limiter = limiter
        self._lane = lane
        # None until it is granted, and after it was released.
        self._lease: _Lease | None = None

    async def __aenter__(self) -> Self:
        self._lease = await self._limiter._acquire(self._lane)
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
            await self._limiter._release(lease)

    def accepted(self) -> None:
        """No-op: fixed limits do not adapt."""

    def rate_limited(self) -> None:
        """No-op: fixed limits do not adapt."""


@attrs.define(eq=False)
class _Lease:
    """A permit, as Redis knows it.

    Attributes:
        name: its name in Redis.
        local_permit: the permit of the fallback that it holds; None while Redis is available.
        lateness: microseconds, at most, by which its request started later than Redis had scheduled.
    """

    name: str
    local_permit: Permit | None
    lateness: int = _NEVER_STARTED


@attrs.frozen
class _Start:
    """When a request may start, on the clock of the event loop.

    The two clocks can be compared only up to the time of a round trip.

    Attributes:
        at: the start, such that it is not too early by the clock of Redis.
        earliest: the earliest instant that can be the start that Redis has scheduled.
    """

    at: float
    earliest: float


@attrs.frozen
class _Reply:
    """The reply to a command that asks for a lease.

    Attributes:
        status: "start", the lease is granted; "listen", wait for a handover; "wait", ask again later.
        value: the start on the clock of Redis, or the duration to wait, in microseconds.
        redis_time: the clock of Redis, in microseconds.
    """

    status: str
    value: int
    redis_time: int


class _Lane:
    """The reads, or the writes, of this process."""

    def __init__(self, kind: Literal["read", "write"]) -> None:
        self.kind = kind
        # Held by the first waiter, the one that asks for a permit.
        self.lock = asyncio.Lock()
        # Interrupts the first waiter while it waits for the fallback.
        self.fallback_timeout: asyncio.Timeout | None = None


@attrs.frozen
class _Limits:
    """The limits of the account; None for no limit."""

    max_concurrency: int | None
    reads_per_second: float | None
    writes_per_second: float | None

    def __attrs_post_init__(self) -> None:
        if self.max_concurrency is not None:
            check_integer("max_concurrency", self.max_concurrency, minimum=1, alternative="or None")
        for name, rate in (("reads_per_second", self.reads_per_second), ("writes_per_second", self.writes_per_second)):
            if rate is not None:
                check_rate(name, rate, maximum=MAX_RATE)

    def script_arguments(self, lease_seconds: float) -> tuple[str | int, ...]:
        """Return the settings in the script's order and units; 0 for no limit."""
        return (
            self.max_concurrency or 0,
            _to_microseconds(lease_seconds),
            repr(float(self.reads_per_second or 0)),
            repr(float(self.writes_per_second or 0)),
        )

    def fallback_limiter(self, processes: int) -> RateLimiter:
        """Return the limiter that one of the processes uses without Redis."""
        max_concurrency = self.max_concurrency
        if max_concurrency is not None:
            max_concurrency //= processes
        return RateLimiter(
            max_concurrency,
            _fallback_rate(self.reads_per_second, processes),
            _fallback_rate(self.writes_per_second, processes),
        )


def _fallback_rate(rate: float | None, processes: int) -> float | None:
    return None if rate is None else rate * _FALLBACK_RATE_FACTOR / processes


def _check_fallback(on_unavailable: str, processes: int, limits: _Limits) -> int | None:
    """Return the number of processes that the fallback divides the quota among, or None for no fallback."""
    check_choice("on_unavailable", on_unavailable, ("degrade", "fail"))
    check_integer("processes", processes, minimum=1)
    if on_unavailable == "fail":
        return None

    for name, limit in attrs.asdict(limits).items():
        # Less than one per process cannot be kept: all of them may start a request in the same second.
        if limit is not None and limit < processes:
            raise ConfigurationError(
                f"{name} ({limit:g}) cannot be divided among {processes} processes: "
                "set processes= to their number, or use on_unavailable='fail'"
            )
    return processes


def _create_client(url: str) -> tuple[_Redis, str]:
    """Return the client, which does not connect yet, and the address of Redis without credentials."""
    try:
        parsed = URL(url)
        redis = Redis.from_url(url, retry=Retry(NoBackoff(), 1))
        host = f"{parsed.host}:{parsed.port or 6379}" if parsed.host else parsed.path
    except (ValueError, TypeError, AttributeError):
        # Their messages are not repeated: they can quote a part of the URL, which can be the password.
        raise InvalidArgumentError(
            "url must be a Redis URL, such as redis://host:6379/0; percent-encode special characters in a password"
        ) from None
    return cast("_Redis", redis), f"{parsed.scheme}://{host}"


def _to_microseconds(seconds: float) -> int:
    return math.ceil(seconds * _MICROSECONDS_PER_SECOND)


def _add_jitter(seconds: float) -> float:
    return seconds * random.uniform(1, 1 + _JITTER)


async def _sleep_until(when: float) -> None:
    delay = when - asyncio.get_running_loop().time()
    if delay > 0:
        await asyncio.sleep(delay)


def _format_reason(error: Exception) -> str:
    """Return the first line of an error's message, cut to a length for one log line."""
    message = str(error)
    if isinstance(error, TimeoutError) and not message:
        return f"no answer within {_COMMAND_TIMEOUT:g} s"
    lines = message.splitlines() or [type(error).__name__]
    return lines[0][:_MAX_REASON_LENGTH]
