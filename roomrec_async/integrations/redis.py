"""One limit for a fleet: processes and machines that share an account's quota through one Redis.

It needs the extra ``redis``: ``pip install 'roomrec-async[redis]'``.
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
from roomrec_async._text import safe_repr
from roomrec_async.errors import ClientClosedError, ConfigurationError, ConnectionFailedError
from roomrec_async.limits import RateLimiter
from roomrec_async.protocols import Permit

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError
except ModuleNotFoundError as error:
    raise ConfigurationError("a limit for many processes needs redis: pip install 'roomrec-async[redis]'") from error

_SCRIPT: Final = files("roomrec_async.integrations").joinpath("redis.lua").read_text(encoding="utf-8")
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# How long a command may take, in seconds, with its connection and one more try: a connection that idled may be dead.
_PATIENCE: Final = 1.0
# Every lease is renewed so many times before it would expire; as often it is tried whether Redis is back.
_RENEWALS: Final = 4
# Those who were told to ask again in the same time do not all come back in the same moment.
_JITTER: Final = 0.1
# Within this, everybody who was away finds out that Redis is back, and what was started without it is a second ago.
_SHORTEST_LEASE: Final = 3.0
# Of a process's part of the rates. Those who do not know of each other cannot make up for each other's delays.
_ALONE: Final = 0.9
_MICROSECONDS: Final = 1_000_000
_NAME: Final = re.compile(r"[\w.:@-]{1,200}")
_TROUBLE: Final = (RedisError, OSError, TimeoutError)
_KEPT: Final = ("", ":leases", ":seen", ":reads", ":reads:log", ":writes", ":writes:log")
_REASON_AT_MOST: Final = 200


class RedisRateLimiter:
    """A :class:`~roomrec_async.RateLimiter` whose bounds hold for all processes that give it the same name.

    What is bounded is the account: its requests in flight, and its reads and its writes in any one second. A permit is
    a lease in Redis: one round trip takes it and one gives it back. Whoever holds it for long renews it; after a
    process has died, its permits are free again within ``lease_seconds``. Only the clock of Redis counts. Within a
    process it is first come, first served; among processes they take turns.

    A Redis that knows nothing of the name, because it is new or lost what it had, starts nothing for
    ``lease_seconds``: those who hold permits tell it of them in this time. So the first request of all waits that long.

    If Redis does not answer, ``when_away`` says what happens. With "share" each process goes on alone after
    ``lease_seconds``, when no lease that others got before can be valid any more, with its part of the quota (of the
    rates nine tenths of it). It finds out by itself that Redis is back, and goes back to it after another
    ``lease_seconds``, when all others have found out. There is one warning for each time that Redis is lost, through
    the logger ``roomrec_async``. A process that alone cannot reach Redis uses its part on top of what the others use.

    All processes must give the same bounds and the same ``lease_seconds``.

    Give it to the clients of one event loop, and close it after them: ``async with``, or ``aclose()``. It may be made
    outside of a loop.

    Args:
        url: where Redis is (6.0 or later, or what is compatible), such as ``rediss://user:password@host:6379/0``.
        name: what shares the limit, such as the account's SID; a part of the keys in Redis. Letters, digits, ``_``,
            ``.``, ``:``, ``@`` and ``-``.
        max_concurrency: requests of the account in flight at the most; None for no bound.
        reads_per_second: the provider's published quota is 80 for an account; None for no bound.
        writes_per_second: the provider's published quota is 20 for an account (deletions count); None for no bound.
        lease_seconds: how long a permit stays taken after its process has died or hangs, 3 or more.
        when_away: what happens while Redis is away: "share", each process has a part of the quota to itself; "fail",
            every request fails with :class:`~roomrec_async.ConnectionFailedError`.
        processes: among how many processes the quota is divided with "share". No bound may be less than it.

    Raises:
        ConfigurationError: an argument is out of its range, or the URL is none of Redis.

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
        when_away: Literal["share", "fail"] = "share",
        processes: int = 10,
    ) -> None:
        self._bounds = _Bounds(max_concurrency, reads_per_second, writes_per_second)
        self._lease_seconds = _check_lease(lease_seconds)
        self._processes = _check_processes(when_away, processes, self._bounds)
        self._name = _check_name(name)
        self._redis, self._address = _connected(url)
        self._keys = [f"roomrec:{{{name}}}{kind}" for kind in _KEPT]
        self._settings = self._bounds.settings(self._lease_seconds)
        # A process of its own, and a limiter of its own in it: what it asks for has a name before it is granted.
        self._identity, self._count = uuid.uuid4().hex, 0
        self._reads, self._writes = _Lane("read"), _Lane("write")
        self._held: set[_Lease] = set()
        self._waiting = 0
        self._starts_from = -math.inf
        self._local: RateLimiter | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def max_concurrency(self) -> int | None:
        """How many requests of the account may be in flight at present, while Redis is away: of this process."""
        return self._bounds.max_concurrency if self._local is None else self._local.max_concurrency

    @property
    def in_flight(self) -> int:
        """The permits that are out in this process."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """The requests of this process that wait for a permit."""
        return self._waiting

    def read(self) -> Permit:
        """A permit for one read: ``async with limiter.read(): ...``.

        Raises:
            ConnectionFailedError: on entering it, with ``when_away="fail"``: Redis does not answer.
            ClientClosedError: on entering it: the limiter is closed.
            ConfigurationError: on entering it: the limiter was first used in another event loop.
        """
        return _LeasedPermit(self, self._reads)

    def write(self) -> Permit:
        """A permit for one write; as :meth:`read`."""
        return _LeasedPermit(self, self._writes)

    def pause(self, seconds: float) -> None:
        """Start nothing for so many seconds, in the whole fleet: the service asked for it with ``Retry-After``."""
        self._starts_from = max(self._starts_from, asyncio.get_running_loop().time() + seconds)
        if self._local is not None:
            self._local.pause(seconds)
        elif not self._closed:
            self._spawn(self._tell("pause", _microseconds(seconds)))

    async def aclose(self) -> None:
        """Close the connections. Whoever waits gets ClientClosedError; permits that are out expire in Redis.

        May be called again.
        """
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._interrupt()
        # Whoever waits is gone when it is our turn.
        async with self._reads.first, self._writes.first:
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
        """Wait for a permit. Of the reads, and of the writes, only the first one waits at Redis."""
        self._waiting += 1
        try:
            async with lane.first:
                while (lease := await self._lease(lane)) is None:
                    pass
        finally:
            self._waiting -= 1
        self._held.add(lease)
        self._arm()
        return lease

    async def _lease(self, lane: _Lane) -> _Lease | None:
        """One more try to get a permit from whoever gives them at present."""
        self._check_usable()
        if self._local is not None:
            return await self._lease_alone(lane, self._local)
        if (delay := self._starts_from - asyncio.get_running_loop().time()) > 0:
            # Not all of it at once: it may be closed, or Redis lost, meanwhile.
            await asyncio.sleep(min(delay, _PATIENCE))
            return None
        lease = self._new_lease()
        try:
            start = await self._granted(lane, lease)
            await _sleep_until(start.at)
        except _TROUBLE as error:
            self._lose(error)
            self._refuse_without_redis(error)
            return None
        except asyncio.CancelledError:
            await self._give_back(lease)
            raise
        now = asyncio.get_running_loop().time()
        if self._closed or self._local is not None or now < self._starts_from:
            await self._give_back(lease)
            return None
        lease.late = max(0, _microseconds(now - start.not_before))
        return lease

    async def _granted(self, lane: _Lane, lease: _Lease) -> _Start:
        """Wait until Redis has given the permit: when it may start."""
        while True:
            self._check_usable()
            sent = asyncio.get_running_loop().time()
            verdict, moment, clock = await self._asked("acquire", lease.name, lane.kind)
            received = asyncio.get_running_loop().time()
            if verdict == "listen":
                start = await self._pushed(lease, moment / _MICROSECONDS)
            elif verdict == "wait":
                await asyncio.sleep(_spread(moment / _MICROSECONDS))
                start = None
            else:
                start = moment
            if start is not None:
                ahead = (start - clock) / _MICROSECONDS
                return _Start(at=received + ahead, not_before=sent + ahead)

    async def _asked(self, operation: str, name: str, kind: str) -> tuple[str, int, int]:
        """What Redis says to a request for a permit. Its answer is waited for also by who is cancelled meanwhile."""
        asking = asyncio.ensure_future(self._run(operation, name, kind))
        await wait_finished(asking)
        verdict, moment, clock = asking.result()
        return verdict.decode() if isinstance(verdict, bytes) else str(verdict), int(moment), int(clock)

    async def _pushed(self, lease: _Lease, seconds: float) -> int | None:
        """The start, once whoever gives a permit back has handed it on; None if nobody did for so long."""
        seconds = _spread(seconds)
        async with asyncio.timeout(seconds + _PATIENCE):
            found = await self._redis.execute_command("BLPOP", f"{self._keys[0]}:{lease.name}", f"{seconds:.3f}")
        return None if found is None else int(found[1])

    async def _lease_alone(self, lane: _Lane, local: RateLimiter) -> _Lease | None:
        """A permit out of this process's part of the quota; None once Redis is back."""
        try:
            async with asyncio.timeout(None) as lane.alone:
                await (local.read() if lane.kind == "read" else local.write()).__aenter__()
        except TimeoutError:
            return None
        finally:
            lane.alone = None
        return self._new_lease() if self._local is local else None

    async def _release(self, lease: _Lease) -> None:
        self._held.discard(lease)
        if self._local is not None:
            self._local._release()
        if not self._closed:
            await self._give_back(lease)

    async def _give_back(self, lease: _Lease) -> None:
        """Tell Redis that the permit is free, also if the caller is cancelled. What does not arrive there expires."""
        if self._local is None:
            await wait_finished(self._spawn(self._tell("release", lease.name, lease.late)))

    async def _tell(self, operation: str, *arguments: str | int) -> None:
        try:
            await self._run(operation, *arguments)
        except _TROUBLE as error:
            self._lose(error)

    async def _renew(self) -> None:
        """Renew what is held. While Redis is away this is how it is found out that it is back."""
        names = {lease.name for lease in self._held}
        try:
            await self._run("renew", *names)
        except _TROUBLE as error:
            self._lose(error)
        else:
            self._come_back()
            # What was given back meanwhile may have been renewed after that.
            for name in names - {lease.name for lease in self._held}:
                await self._tell("release", name, 0)
        self._arm()

    async def _run(self, operation: str, *arguments: str | int) -> Sequence[bytes | str | int]:
        command = (len(self._keys), *self._keys, operation, *self._settings, *arguments)
        async with asyncio.timeout(_PATIENCE):
            try:
                answer = await self._redis.execute_command("EVALSHA", _SHA, *command)
            except NoScriptError:
                answer = await self._redis.execute_command("EVAL", _SCRIPT, *command)
        return answer or ()

    def _lose(self, error: Exception) -> None:
        """Redis is away: go on with a part of the quota, if that is what is to happen."""
        if self._processes is None or self._local is not None or self._closed:
            return
        self._local = self._bounds.part(self._processes)
        # What is in flight still counts, here; what other processes have in flight is over by their leases' end.
        self._local._in_flight = len(self._held)
        now = asyncio.get_running_loop().time()
        self._local.pause(max(self._lease_seconds, self._starts_from - now))
        LOGGER.warning(
            "the limit %r is kept without Redis, at 1/%d of the quota after %g s: %s: %s",
            self._name,
            self._processes,
            self._lease_seconds,
            self._address,
            _reason(error),
        )
        self._arm()

    def _refuse_without_redis(self, error: Exception) -> None:
        if self._processes is not None or self._closed:
            return
        raise ConnectionFailedError(
            f"the limit {self._name!r} that processes share cannot be asked, and nothing starts without it: "
            f"{_reason(error)}; see whether Redis runs, or use when_away='share'",
            method="EVALSHA",
            url=self._address,
        ) from None

    def _come_back(self) -> None:
        if self._local is None or self._closed:
            return
        self._local = None
        # By then the others are back, too, and Redis knows what everybody has in flight.
        now = asyncio.get_running_loop().time()
        self._starts_from = max(self._starts_from, now + self._lease_seconds)
        LOGGER.info("the limit %r is kept by Redis again, in %g s", self._name, self._lease_seconds)
        self._interrupt()

    def _interrupt(self) -> None:
        """Whoever waits for a part of the quota asks anew."""
        for lane in (self._reads, self._writes):
            if lane.alone is not None:
                lane.alone.reschedule(0)
                lane.alone = None

    def _arm(self) -> None:
        """See to it that leases are renewed, or Redis is looked for, as long as there is need."""
        needed = self._held or self._local is not None
        if needed and not self._closed and self._timer is None:
            interval = self._lease_seconds / _RENEWALS * random.uniform(1 - _JITTER, 1 + _JITTER)
            self._timer = asyncio.get_running_loop().call_later(interval, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._held or self._local is not None:
            self._spawn(self._renew())

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _new_lease(self) -> _Lease:
        self._count += 1
        return _Lease(f"{self._identity}:{self._count}")

    def _check_usable(self) -> None:
        if self._closed:
            raise ClientClosedError("the limiter is closed: close it after the clients that use it")
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise ConfigurationError("the limiter was first used in another event loop: create one for each loop")


class _Redis(Protocol):
    """What is used of redis-py's client, whose own types say nothing of it."""

    async def execute_command(self, *words: str | int) -> Sequence[bytes | str | int] | None:
        """Send a command, and wait for its answer."""

    async def aclose(self) -> None:
        """Close the connections."""


class _LeasedPermit:
    __slots__ = ("_lane", "_lease", "_limiter")

    def __init__(self, limiter: RedisRateLimiter, lane: _Lane) -> None:
        self._limiter = limiter
        self._lane = lane
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
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._limiter._release(lease)

    def accepted(self) -> None:
        """The service took the request on. The bounds are fixed: nothing follows from it."""

    def rate_limited(self) -> None:
        """The service refused the request. The bounds are fixed: nothing follows from it."""


@attrs.define(eq=False)
class _Lease:
    """A permit by its name in Redis, and how late it was made use of at the most, in microseconds; -1 for never."""

    name: str
    late: int = -1


@attrs.frozen
class _Start:
    """When a request may start, in the loop's time, and the earliest moment that Redis can have meant by it."""

    at: float
    not_before: float


class _Lane:
    """The reads, or the writes, of this process: the first of them asks."""

    def __init__(self, kind: Literal["read", "write"]) -> None:
        self.kind = kind
        self.first = asyncio.Lock()
        self.alone: asyncio.Timeout | None = None


@attrs.frozen
class _Bounds:
    max_concurrency: int | None
    reads_per_second: float | None
    writes_per_second: float | None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.max_concurrency, str):
            raise ConfigurationError(
                f"max_concurrency must be at least 1, or None, not {safe_repr(self.max_concurrency)}"
            )
        RateLimiter(self.max_concurrency, self.reads_per_second, self.writes_per_second)

    def settings(self, lease_seconds: float) -> tuple[str | int, ...]:
        """What the script is told each time; 0 for no bound."""
        rates = (repr(float(rate or 0)) for rate in (self.reads_per_second, self.writes_per_second))
        return (self.max_concurrency or 0, _microseconds(lease_seconds), *rates)

    def part(self, processes: int) -> RateLimiter:
        """The limiter of a process that is on its own."""
        return RateLimiter(
            self.max_concurrency and self.max_concurrency // processes,
            self.reads_per_second and self.reads_per_second * _ALONE / processes,
            self.writes_per_second and self.writes_per_second * _ALONE / processes,
        )


def _check_lease(seconds: float) -> float:
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not _SHORTEST_LEASE <= seconds < math.inf:
        raise ConfigurationError(f"lease_seconds must be at least {_SHORTEST_LEASE:g}, not {safe_repr(seconds)}")
    return seconds


def _check_processes(when_away: str, processes: int, bounds: _Bounds) -> int | None:
    """Among how many the quota is divided; None if it is not."""
    if when_away not in ("share", "fail"):
        raise ConfigurationError(f"when_away must be 'share' or 'fail', not {safe_repr(when_away)}")
    if not isinstance(processes, int) or isinstance(processes, bool) or processes < 1:
        raise ConfigurationError(f"processes must be at least 1, not {safe_repr(processes)}")
    if when_away == "fail":
        return None
    for name, bound in attrs.asdict(bounds).items():
        # Less than one each cannot be kept: all of them may start in the same second.
        if bound is not None and bound < processes:
            raise ConfigurationError(
                f"{name} ({bound:g}) cannot be divided among {processes} processes: "
                "say with processes= how many there are, or use when_away='fail'"
            )
    return processes


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"name must be letters, digits and _.:@-, such as an account SID, not {safe_repr(name)}"
        )
    return name


def _connected(url: str) -> tuple[_Redis, str]:
    """The client, which has no connection yet, and where Redis is, without anything secret."""
    try:
        parsed = URL(url)
        redis = Redis.from_url(url, retry=Retry(NoBackoff(), 1))
        host = f"{parsed.host}:{parsed.port or 6379}" if parsed.host else parsed.path
    except (ValueError, TypeError, AttributeError):
        # Not the error: it can have a part of the URL in it, which can be the password.
        raise ConfigurationError(
            "url must be one of Redis, such as redis://host:6379/0; characters of a password are percent-encoded"
        ) from None
    return cast("_Redis", redis), f"{parsed.scheme}://{host}"


def _microseconds(seconds: float) -> int:
    return math.ceil(seconds * _MICROSECONDS)


def _spread(seconds: float) -> float:
    return seconds * random.uniform(1, 1 + _JITTER)


async def _sleep_until(at: float) -> None:
    if (delay := at - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(delay)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {_PATIENCE:g} s"
    return (str(error).splitlines() or [type(error).__name__])[0][:_REASON_AT_MOST]
