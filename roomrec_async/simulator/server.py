"""The simulated API on a real socket: quotas, latency, faults and statistics around its operations."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import aiohttp
import attrs
from aiohttp import web

from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.limits import RateLimiter
from roomrec_async.retry import RetryPolicy
from roomrec_async.timeouts import Timeout

from .api import Api
from .data import LazyRoomSids, World
from .exchange import Exchange
from .faults import Fault
from .quotas import SlidingWindow
from .refusals import RefusedError, method_not_allowed, not_found, too_many_requests, unauthenticated
from .running import SocketServer

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REQUESTS_KEPT: Final = 10_000
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "ETag, Twilio-Request-Id",
}


@attrs.define(eq=False)
class ReceivedRequest:
    """A request that the simulator received.

    Attributes:
        method: the HTTP method.
        path: the path, decoded.
        query_string: the query as it came, still encoded.
        headers: all headers as they came, the credentials too.
        arrived_at: seconds on the clock of the simulator's event loop.
        status: the status of the answer; None before it is sent, and if none is.
    """

    method: str
    path: str
    query_string: str
    headers: CIMultiDictProxy[str]
    arrived_at: float
    status: int | None = None


@attrs.define
class Statistics:
    """What the simulator has counted since it was created.

    Attributes:
        connections: connections that were accepted.
        requests: requests that were received.
        by_status: how many of them were answered with which HTTP status; those without an answer are missing.
        refused: how many of them were over a quota or the concurrency limit.
        in_flight: how many of them are being answered at present.
        peak_in_flight: the largest number that ever were.
    """

    connections: int = 0
    requests: int = 0
    by_status: Counter[int] = attrs.field(factory=Counter)
    refused: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0


@attrs.define
class _Injected:
    fault: Fault
    times: int | None
    path_contains: str


class Simulator(SocketServer):
    """The recordings API with an account of made-up rooms, on a loopback socket.

    ``async with`` runs it in the running event loop, ``with`` in a thread of its own. Its settings are attributes of
    the same names, and may be changed while it runs. It may be started again after it has stopped.

    Args:
        rooms: how many rooms the account has; a million cost as little as one.
        recordings_per_room: how many recordings a list without a filter shows for each room, or the smallest and the
            largest number. Deleted ones come on top.
        seed: the same seed gives the same account, credentials included.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        reads_per_second: GET requests admitted within any second; None for no bound.
        writes_per_second: other requests admitted within any second; None for no bound.
        concurrency_limit: requests in flight before further ones are refused, which the real API does not publish;
            None for no bound.
        latency: seconds that every admitted request takes, or the shortest and the longest time.
        retry_after: the ``Retry-After`` of a 429: seconds or an HTTP date. By default there is none.

    Raises:
        InvalidArgumentError: a number is out of range.

    Example:
        >>> async with Simulator(rooms=3, seed=7) as simulator, simulator.client() as client:
        ...     everything = await client.gather(simulator.room_sids)
    """

    def __init__(
        self,
        rooms: int = 20,
        recordings_per_room: int | tuple[int, int] = (0, 120),
        seed: int = 0,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reads_per_second: float | None = 80,
        writes_per_second: float | None = 20,
        concurrency_limit: int | None = 100,
        latency: float | tuple[float, float] = 0.0,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(host, port)
        self.world = World(seed, rooms, recordings_per_room)
        self.reads_per_second = reads_per_second
        self.writes_per_second = writes_per_second
        self.concurrency_limit = concurrency_limit
        self.latency = latency
        self.retry_after = retry_after
        self.stats = Statistics()
        self.requests: deque[ReceivedRequest] = deque(maxlen=_REQUESTS_KEPT)
        """The latest requests, oldest first; the last 10,000."""
        self._random = random.Random(seed)
        self._reads, self._writes = SlidingWindow(), SlidingWindow()
        self._injected: list[_Injected] = []
        self._authorizations = {
            credentials.authorization for credentials in (self.credentials, self.api_key_credentials)
        }

    @property
    def credentials(self) -> Credentials:
        """The account's SID and auth token."""
        return self.world.credentials

    @property
    def api_key_credentials(self) -> Credentials:
        """An API key of the account."""
        return self.world.api_key_credentials

    @property
    def room_sids(self) -> LazyRoomSids:
        """The SIDs of the account's rooms, oldest first, whatever their status."""
        return self.world.room_sids

    def recordings(self, room_sid: str, status: str | None = None) -> Iterator[dict[str, object]]:
        """What a complete list of a room must give: the records as they are served, oldest first.

        Args:
            room_sid: the room.
            status: only recordings with this status; by default all but the deleted ones.

        Raises:
            LookupError: the account has no such room.
            RuntimeError: the simulator does not run, so that the URLs in the records are not known.
        """
        try:
            return Api(self.world, self.base_url).recordings(room_sid, status)
        except RefusedError:
            raise LookupError(room_sid) from None

    def client(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        limiter: RateLimiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
    ) -> RecordingsClient:
        """A client of this account, to be closed by the caller; the arguments are those of the client."""
        return RecordingsClient(
            self.credentials,
            session=session,
            base_url=self.base_url,
            limiter=limiter,
            retry=retry,
            timeout=timeout,
        )

    def inject(self, fault: Fault, *, times: int | None = 1, path_contains: str = "") -> None:
        """Let a fault happen to the next requests. Faults that wait for the same requests happen one after another.

        Args:
            fault: what happens; see :mod:`roomrec_async.simulator.faults`.
            times: to how many requests; None for all, until :meth:`clear_faults`.
            path_contains: only to requests with this in their path or query.

        Raises:
            InvalidArgumentError: ``times`` is not positive.
        """
        if times is not None and times < 1:
            raise InvalidArgumentError(f"times must be at least 1, or None, not {times}")
        self._injected.append(_Injected(fault, times, path_contains))

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        self._injected.clear()

    def _connected(self) -> None:
        self.stats.connections += 1

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._receive])
        for path, handler in (
            ("/v1/Rooms", self._list_rooms),
            ("/v1/Rooms/{sid}", self._fetch_room),
            ("/v1/Rooms/{room_sid}/Recordings", self._list_recordings),
            ("/v1/Rooms/{room_sid}/Recordings/{sid}", self._fetch_recording),
        ):
            app.router.add_get(path, handler, allow_head=False)
        return app

    async def _list_rooms(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_rooms(request.query))

    async def _fetch_room(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_room(request.match_info["sid"]))

    async def _list_recordings(self, request: web.Request) -> web.Response:
        return _ok(self._api.list_recordings(request.match_info["room_sid"], request.query))

    async def _fetch_recording(self, request: web.Request) -> web.Response:
        return _ok(self._api.fetch_recording(request.match_info["room_sid"], request.match_info["sid"]))

    @property
    def _api(self) -> Api:
        return Api(self.world, self.base_url)

    @web.middleware
    async def _receive(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request goes through here: note it, answer it or let a fault happen to it, send, and note the end."""
        received = self._noted(request)

        async def produce() -> web.Response:
            return await self._normal_answer(request, handler, received.arrived_at)

        self.stats.in_flight += 1
        self.stats.peak_in_flight = max(self.stats.peak_in_flight, self.stats.in_flight)
        try:
            exchange, fault = Exchange(request, produce), self._next_fault(request)
            response = await (fault.answer(exchange) if fault else produce())
            if response is None:
                # The connection is gone; aiohttp is content with anything.
                return web.Response()
            # A client that has gone away is none of the simulator's problems.
            with suppress(ConnectionError):
                await exchange.send(response)
            received.status = response.status
            self.stats.by_status[response.status] += 1
            return response
        finally:
            self.stats.in_flight -= 1

    def _noted(self, request: web.Request) -> ReceivedRequest:
        now = asyncio.get_running_loop().time()
        query = request.rel_url.raw_query_string
        received = ReceivedRequest(request.method, request.path, query, request.headers, now)
        self.requests.append(received)
        self.stats.requests += 1
        return received

    def _next_fault(self, request: web.Request) -> Fault | None:
        for waiting in self._injected:
            if waiting.path_contains in request.path_qs:
                if waiting.times is not None:
                    waiting.times -= 1
                    if not waiting.times:
                        self._injected.remove(waiting)
                return waiting.fault
        return None

    async def _normal_answer(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:
        # As many as are in flight now: a refusal, too, says how many it met.
        concurrent = self.stats.in_flight
        try:
            response = await self._admitted_answer(request, handler)
        except RefusedError as refusal:
            response = _refused(refusal)
        duration = asyncio.get_running_loop().time() - arrived_at
        response.headers.update(_CORS)
        response.headers["Twilio-Concurrent-Requests"] = str(concurrent)
        response.headers["Twilio-Request-Id"] = f"RQ{self._random.getrandbits(128):032x}"
        response.headers["Twilio-Request-Duration"] = f"{duration:.3f}"
        return response

    async def _admitted_answer(self, request: web.Request, handler: Handler) -> web.Response:
        self._check_credentials(request)
        self._check_quotas(request)
        await self._be_slow()
        try:
            return cast("web.Response", await handler(request))
        except web.HTTPMethodNotAllowed as error:
            raise method_not_allowed(error.headers["Allow"]) from None
        except web.HTTPNotFound:
            raise not_found(request.path) from None

    def _check_credentials(self, request: web.Request) -> None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if f"{scheme.capitalize()} {encoded.strip()}" not in self._authorizations:
            raise unauthenticated()

    def _check_quotas(self, request: web.Request) -> None:
        reading = request.method == "GET"
        window, rate = (self._reads, self.reads_per_second) if reading else (self._writes, self.writes_per_second)
        crowded = self.concurrency_limit is not None and self.stats.in_flight > self.concurrency_limit
        if crowded or not window.admits(asyncio.get_running_loop().time(), rate):
            self.stats.refused += 1
            raise too_many_requests(self.retry_after)

    async def _be_slow(self) -> None:
        latency = self.latency
        seconds = self._random.uniform(*latency) if isinstance(latency, tuple) else latency
        if seconds > 0:
            await asyncio.sleep(seconds)


def _ok(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _refused(refusal: RefusedError) -> web.Response:
    headers = {**refusal.headers, "Content-Type": "application/json"}
    return web.Response(status=refusal.status, body=refusal.body, headers=headers)
