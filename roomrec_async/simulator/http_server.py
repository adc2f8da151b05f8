"""What both origins do with every request: note it, answer it or let a fault happen to it, and count."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from roomrec_async.errors import InvalidArgumentError

from .faults import Fault
from .http_exchange import Exchange
from .socket_server import SocketServer

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REQUESTS_KEPT: Final = 10_000


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


class ReceivingServer(SocketServer):
    """A server that keeps account of what it receives, and can be made to fail."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.stats = Statistics()
        self.requests: deque[ReceivedRequest] = deque(maxlen=_REQUESTS_KEPT)
        """The latest requests, oldest first; the last 10,000."""
        self._injected: list[_Injected] = []

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

    @abstractmethod
    async def _normal_answer(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:
        """The answer where no fault happens."""

    def _connected(self) -> None:
        self.stats.connections += 1

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
