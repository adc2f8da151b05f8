"""An HTTP server that keeps the requests it receives, counts them, and injects faults: the base of both origins."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from roomrec_async._validate import check_integer, refusal
from roomrec_async.errors import InvalidArgumentError

from .faults import Fault
from .http_exchange import Exchange
from .socket_server import SocketServer

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Bounds the memory of a simulator that runs for long.
_MAX_KEPT_REQUESTS: Final = 10_000


@attrs.define(eq=False)
class ReceivedRequest:
    """A request that the simulator received.

    Attributes:
        method: HTTP method.
        path: path, decoded.
        query_string: query as it was received, still encoded.
        headers: all headers as they were received, credentials included.
        arrived_at: seconds on the clock of the simulator's event loop.
        status: status of the response; None until it is sent, and if none is.
    """

    method: str
    path: str
    query_string: str
    headers: CIMultiDictProxy[str]
    arrived_at: float
    status: int | None = None


@attrs.define
class Statistics:
    """Counts since the simulator was created.

    Attributes:
        connections: number of connections that were accepted.
        requests: number of requests that were received.
        by_status: number of responses with each HTTP status; requests without a response are not in it.
        refused: number of requests that were refused for a quota or the concurrency limit.
        in_flight: number of requests that are being processed at present.
        peak_in_flight: the largest ``in_flight`` so far.
    """

    connections: int = 0
    requests: int = 0
    by_status: Counter[int] = attrs.field(factory=Counter)
    refused: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0


@attrs.define
class _InjectedFault:
    """A fault that waits for requests.

    Attributes:
        fault: the fault.
        remaining: number of requests that it is still to happen to; None for no limit.
        path_contains: text that the path or the query of these requests contains.
    """

    fault: Fault
    remaining: int | None
    path_contains: str


class HttpServer(SocketServer):
    """A server that keeps the requests it receives, counts them, and injects faults.

    Attributes:
        stats: counts of connections, requests and responses.
        requests: the last 10,000 requests, oldest first.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.stats: Statistics = Statistics()
        self.requests: deque[ReceivedRequest] = deque(maxlen=_MAX_KEPT_REQUESTS)
        # In the order of injection; the first one that applies to a request happens to it.
        self._injected_faults: list[_InjectedFault] = []

    def inject(self, fault: Fault, *, times: int | None = 1, path_contains: str = "") -> None:
        """Inject a fault into the next requests. Several faults for the same requests happen one after another.

        Args:
            fault: the fault; see :mod:`roomrec_async.simulator.faults`.
            times: number of requests that it happens to; None for all, until :meth:`clear_faults`.
            path_contains: only requests with this text in their path or query.

        Raises:
            InvalidArgumentError: ``times`` is not a positive integer, or ``fault`` is no fault.
        """
        if times is not None:
            check_integer("times", times, minimum=1, alternative="or None")
        if isinstance(fault, type) or not hasattr(fault, "handle"):
            example = f"faults.Respond({fault})" if isinstance(fault, int) else "faults.Respond(503)"
            raise InvalidArgumentError(f"{refusal('fault', 'a fault', fault)}: for instance {example}")
        self._injected_faults.append(_InjectedFault(fault, times, path_contains))

    def clear_faults(self) -> None:
        """Remove all faults that have not happened yet."""
        self._injected_faults.clear()

    @abstractmethod
    async def _respond(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:
        """Return the normal response to a request, the one without a fault."""

    def _connection_accepted(self) -> None:
        self.stats.connections += 1

    @web.middleware
    async def _handle_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep and count a request, and respond to it, normally or as a fault does."""
        received = self._keep(request)

        async def get_response() -> web.Response:
            return await self._respond(request, handler, received.arrived_at)

        exchange = Exchange(request, get_response)
        self.stats.in_flight += 1
        self.stats.peak_in_flight = max(self.stats.peak_in_flight, self.stats.in_flight)
        try:
            response = None
            # A client that has disconnected is no error of the simulator's.
            with suppress(ConnectionError):
                response = await self._handle_exchange(exchange)
            if response is None:
                # The connection is closed, by the fault or by the client; aiohttp only wants some response.
                return web.Response()

            with suppress(ConnectionError):
                await exchange.send(response)
            received.status = response.status
            self.stats.by_status[response.status] += 1
            return response
        finally:
            self.stats.in_flight -= 1

    async def _handle_exchange(self, exchange: Exchange) -> web.StreamResponse | None:
        fault = self._next_fault(exchange.request)
        if fault is not None:
            return await fault.handle(exchange)
        return await exchange.get_response()

    def _keep(self, request: web.Request) -> ReceivedRequest:
        received = ReceivedRequest(
            method=request.method,
            path=request.path,
            query_string=request.rel_url.raw_query_string,
            headers=request.headers,
            arrived_at=asyncio.get_running_loop().time(),
        )
        self.requests.append(received)
        self.stats.requests += 1
        return received

    def _next_fault(self, request: web.Request) -> Fault | None:
        for injected in self._injected_faults:
            if injected.path_contains not in request.path_qs:
                continue
            if injected.remaining is not None:
                injected.remaining -= 1
                if not injected.remaining:
                    self._injected_faults.remove(injected)
            return injected.fault
        return None
