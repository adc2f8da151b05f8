"""One HTTP exchange: permit, send, classify, wait and again, until there are bytes. The only module that sends."""

from __future__ import annotations

import asyncio
import random
import sys
import warnings
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from http import HTTPStatus
from time import perf_counter
from typing import Final, Literal, TypeAlias

import aiohttp
import attrs
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from roomrec_async._api.codec import RawBody, decode_error
from roomrec_async._api.urls import base_url_checked, proxy_checked
from roomrec_async._version import __version__
from roomrec_async.bounds import Bounds
from roomrec_async.config import Deadline, Timeout
from roomrec_async.credentials import Credentials
from roomrec_async.errors import (
    APIError,
    BoundsExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    RateLimitError,
    RequestTimeoutError,
    RoomRecError,
    api_error_class,
)
from roomrec_async.events import LOGGER, Attempt, Operation, Request, Watch
from roomrec_async.limits import Limiter, Permit

from .retries import RetryBudget, RetryPolicy, is_retried, parse_retry_after
from .timers import Alarm, Alarms

_UNCOMPRESSED: Final = {"Accept-Encoding": "identity"}
# Bytes that may arrive before the reader has taken the ones before: less of it costs speed.
_READ_AHEAD: Final = 2**20
_READ_AHEAD_OF_A_PAGE: Final = 2**18
# What a response announces is believed up to this many bytes, which is more than any page has.
_RESERVED_AT_MOST: Final = 2**22
# Bytes that are handled at once, which fit into a processor's cache, and the seconds after which fewer are.
_BATCH: Final = 2**18
_BATCH_SECONDS: Final = 0.5
_READ_OF_AN_ERROR: Final = 4096

USER_AGENT: Final = (
    f"roomrec_async/{__version__} aiohttp/{aiohttp.__version__} "
    f"Python/{sys.version_info.major}.{sys.version_info.minor}"
)


class Response(msgspec.Struct):
    """A response that is a success."""

    url: URL
    status: int
    body: RawBody
    headers: CIMultiDictProxy[str]


Method: TypeAlias = Literal["GET", "DELETE"]

_REDIRECTS: Final = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
_OK: Final = frozenset({HTTPStatus.OK})
_OK_OR_REDIRECT: Final = _OK | _REDIRECTS
_WHOLE_OR_PART: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
# A 200 is the page of some gateway, and has deleted nothing.
_DONE: Final = frozenset({HTTPStatus.NO_CONTENT})


class Transport:
    """Sends requests with one account's credentials to one base URL, under one limiter.

    Attributes:
        between_tries: the requests that wait until they may be tried again, and have no permit meanwhile.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        session: aiohttp.ClientSession | None,
        base_url: str,
        limiter: Limiter,
        retry: RetryPolicy,
        trace_configs: Sequence[aiohttp.TraceConfig],
        proxy: str | None,
        bounds: Bounds,
        watch: Watch,
    ) -> None:
        self.base_url = base_url_checked(base_url, proxy)
        self.limiter = limiter
        self.watch = watch
        self.between_tries = 0
        self._headers = CIMultiDict(
            {"Authorization": credentials.authorization, "User-Agent": USER_AGENT, "Accept": "application/json"}
        )
        self._lent = session
        self._own: aiohttp.ClientSession | None = None
        self._elsewhere: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._retry = retry
        self._budget = RetryBudget(retry)
        self._trace_configs = list(trace_configs)
        self._proxy = proxy_checked(proxy)
        self._bounds = bounds
        self._alarms = Alarms()

    async def get(self, path: str, query: str, deadline: Deadline, operation: Operation) -> Response:
        """GET a path below the base URL, with as many tries as the settings and the deadline allow.

        Raises:
            APIError: the service answered with an error.
            TransportError: no complete response arrived, or not in time.
            ClientClosedError: the client or the lent session is closed.
        """
        return await self._request(_Request(operation, "GET", self._url(path, query), _OK), deadline)

    async def locate(self, path: str, query: str, deadline: Deadline, operation: Operation) -> Response:
        """GET a path that leads elsewhere, without going there; otherwise as :meth:`get`."""
        return await self._request(_Request(operation, "GET", self._url(path, query), _OK_OR_REDIRECT), deadline)

    async def delete(self, path: str, deadline: Deadline, operation: Operation) -> Response:
        """DELETE a path. It is tried again like a read: to delete twice is to delete. Otherwise as :meth:`get`."""
        return await self._request(_Request(operation, "DELETE", self._url(path, ""), _DONE), deadline)

    def _url(self, path: str, query: str) -> URL:
        return URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True)

    async def _request(self, request: _Request, deadline: Deadline) -> Response:
        overdue = self._alarms.at(deadline.at)
        with self.watch.over(request.watched):
            try:
                with overdue:
                    return await self._send_until_settled(request, deadline)
            except TimeoutError:
                if not overdue.rung:
                    raise
            raise request.timed_out(deadline)

    async def _send_until_settled(self, request: _Request, deadline: Deadline) -> Response:
        while True:
            asked = perf_counter()
            async with self.limiter.read() if request.method == "GET" else self.limiter.write() as permit:
                attempt = request.attempt(perf_counter() - asked)
                with self.watch.over(attempt):
                    outcome = await self._send(request, deadline.timeout)
                    _settle(attempt, outcome)
                _report(outcome, permit)
            if isinstance(outcome, Response):
                self._budget.earn()
                return outcome
            await self._wait_or_raise(outcome, request, deadline)

    async def _send(self, request: _Request, timeout: Timeout) -> Response | RoomRecError:
        """One try. An error is returned, not raised: aiohttp's exceptions hold the request's headers, and one that is
        raised while another is handled keeps it as its context.
        """
        session = self._session()
        stalled = self._before_the_first_piece(timeout)
        try:
            with stalled:
                response = await session.request(
                    request.method,
                    request.url,
                    headers=None if session is self._own else self._headers,
                    timeout=timeout._of_aiohttp,
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                    read_bufsize=_READ_AHEAD_OF_A_PAGE,
                    proxy=self._proxy,
                )
                body = await _read(response, self._bounds.response_bytes, stalled, timeout.reading)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return request.broken(error, timeout, stalled)
        if body is None:
            return request.too_large(self._bounds.response_bytes)
        return request.classified(response.status, response.headers, body)

    async def fetch(
        self, url: URL, first: int, number: int, timeout: Timeout, operation: Operation
    ) -> Body | RoomRecError:
        """Begin to read something that another origin keeps, from the given byte on: one try, with no credentials and
        no permit. The URL is a secret: no error shows its query. As with :meth:`_send`, an error is returned.
        """
        request = _Request(operation, "GET", url.with_query(None), _WHOLE_OR_PART, number)
        attempt = Attempt(request.watched, number)
        with self.watch.over(request.watched), self.watch.over(attempt):
            got = await self._begin(request, url, first, timeout)
            _settle(attempt, got)
        return got

    async def _begin(self, request: _Request, url: URL, first: int, timeout: Timeout) -> Body | RoomRecError:
        session = self._session_elsewhere()
        stalled = self._before_the_first_piece(timeout)
        headers = {**_UNCOMPRESSED, "Range": f"bytes={first}-"} if first else _UNCOMPRESSED
        try:
            with stalled:
                response = await session.get(
                    url,
                    headers=headers,
                    timeout=timeout._of_aiohttp,
                    allow_redirects=False,
                    read_bufsize=_READ_AHEAD,
                    proxy=self._proxy,
                )
                if response.status in request.accepted:
                    return Body(request, timeout, response, self._alarms)
                async with response:
                    told = await response.content.read(_READ_OF_AN_ERROR)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return request.broken(error, timeout, stalled)
        return request.refused(response.status, response.headers, told)

    def _before_the_first_piece(self, timeout: Timeout) -> Alarm:
        # A lent session does not tell when it has connected.
        return self._alarms.after(timeout.reading + (timeout.connecting if self._lent else 0))

    async def recover(self, error: RoomRecError, attempt: int, deadline: Deadline) -> None:
        """Wait until something that failed for the given time (from 1) may be tried again; raise the error if not."""
        if self._closed:
            raise ClientClosedError("the client was closed while a request was under way")
        delay = self._retry.delay(error, attempt, random.random())
        again = is_retried(error) and attempt < self._retry.max_attempts and deadline.allows(delay)
        if not again or not self._budget.take(error):
            raise error
        LOGGER.info("again in %.2f s, after try %d: %s", delay, attempt, error, extra={"roomrec_attempt": attempt})
        await asyncio.sleep(delay)

    async def _wait_or_raise(self, error: RoomRecError, request: _Request, deadline: Deadline) -> None:
        """Sleep until the next try, with no permit and no connection held; raise the error if there is none."""
        if isinstance(error, RateLimitError) and error.retry_after:
            pause = min(error.retry_after, self._retry.max_retry_after)
            LOGGER.info("nothing starts for %.1f s: the service asked for it with Retry-After", pause)
            self.limiter.pause(pause)
        request.last_error = error
        self.between_tries += 1
        try:
            await self.recover(error, request.attempts, deadline)
        finally:
            self.between_tries -= 1

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosedError("the client is closed: create a new one, or keep this one open for longer")
        if self._lent is not None:
            if self._lent.closed:
                raise ClientClosedError("the aiohttp session that was given to the client is closed")
            return self._lent
        loop = asyncio.get_running_loop()
        if self._own is None:
            self._own, self._loop = self._new_session(), loop
        if self._loop is not loop:
            raise ConfigurationError("the client was first used in another event loop: create one client for each loop")
        return self._own

    def _new_session(self) -> aiohttp.ClientSession:
        _keep_read_buffers()
        return _sending_once(
            aiohttp.ClientSession(
                connector=_Connector(self._alarms),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                trace_configs=self._trace_configs,
            )
        )

    def _session_elsewhere(self) -> aiohttp.ClientSession:
        """A session over the same connections that brings nothing along: no credentials, no headers, no cookies."""
        session = self._session()
        if self._elsewhere is None or self._elsewhere.closed:
            self._elsewhere = _sending_once(
                aiohttp.ClientSession(
                    connector=session.connector,
                    connector_owner=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": USER_AGENT},
                    auto_decompress=False,
                    trace_configs=self._trace_configs,
                )
            )
        return self._elsewhere

    async def aclose(self) -> None:
        """Close the session, if it is our own. May be called again."""
        self._closed = True
        self._alarms.close()
        if self._elsewhere is not None:
            await self._elsewhere.close()
        if self._own is not None:
            await self._own.close()

    def __del__(self) -> None:
        own = getattr(self, "_own", None)
        if own is not None and not own.closed:
            warnings.warn(
                "a RecordingsClient was not closed: use 'async with', or await its aclose()",
                ResourceWarning,
                stacklevel=2,
            )


def _sending_once(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """The session, without aiohttp's own second try.

    Where a connection breaks before the response, aiohttp sends the request again: past the limiter, the number of
    tries and the retry budget, so that an outage would see twice the traffic. It has no public setting for that.
    """
    session._retry_connection = False
    return session


class _Connector(aiohttp.TCPConnector):
    """Connections whose number the limiter decides. The time of connecting does not count as that of reading."""

    def __init__(self, alarms: Alarms) -> None:
        super().__init__(limit=0, keepalive_timeout=60)
        self._alarms = alarms

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        with self._alarms.held():
            return await super()._create_connection(req, traces, timeout)


class Body:
    """A response that is read piece by piece, and was not asked for with credentials.

    Attributes:
        status: 200, or 206 for a part.
        headers: its headers.
    """

    def __init__(self, request: _Request, timeout: Timeout, response: aiohttp.ClientResponse, alarms: Alarms) -> None:
        self.status = response.status
        self.headers = response.headers
        self._request = request
        self._timeout = timeout
        self._response = response
        self._alarms = alarms

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """The bytes as they arrive, so many chunks at once that handling them costs little, or those of half a second.

        Raises:
            TransportError: they stopped, or the connection broke. What came before is given first.
        """
        loop = asyncio.get_running_loop()
        batch: list[bytes] = []
        size, since = 0, loop.time()
        while isinstance(chunk := await self._read(), bytes) and chunk:
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH or loop.time() - since >= _BATCH_SECONDS:
                yield batch
                batch, size, since = [], 0, loop.time()
        if batch:
            yield batch
        if not isinstance(chunk, bytes):
            raise chunk

    async def _read(self) -> bytes | RoomRecError:
        stalled = self._alarms.after(self._timeout.reading)
        try:
            with stalled:
                return await self._response.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return self._request.broken(error, self._timeout, stalled)

    def ended_early(self, message: str) -> ConnectionFailedError:
        """What to raise where less came than was announced."""
        return self._request.failed(message)

    def close(self) -> None:
        """Let the connection go: back to the others if all was read, else closed."""
        self._response.close()


@attrs.define
class _Request:
    """One request through all its tries, and the errors that it can end in."""

    operation: Operation
    method: Method
    url: URL
    accepted: AbstractSet[int]
    attempts: int = 0
    last_error: RoomRecError | None = None
    watched: Request = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.watched = Request(self.operation, self.method, self.url)

    def attempt(self, waited: float) -> Attempt:
        """The next try, after waiting for so many seconds."""
        self.attempts += 1
        return Attempt(self.watched, self.attempts, waited)

    def classified(self, status: int, headers: CIMultiDictProxy[str], body: RawBody) -> Response | APIError:
        """A response as what it means."""
        if status in self.accepted:
            return Response(self.url, status, body, headers)
        return self.refused(status, headers, body)

    def refused(self, status: int, headers: CIMultiDictProxy[str], body: RawBody) -> APIError:
        """A response that is an error."""
        said = decode_error(status, body)
        target = headers.get("Location")
        redirected = f" to {_without_query(target)}: redirects are not followed, check base_url" if target else ""
        return api_error_class(status)(
            status=status,
            code=said.code,
            message=said.message + redirected,
            more_info=said.more_info,
            request_id=headers.get("Twilio-Request-Id"),
            method=self.method,
            url=str(self.url),
            retry_after=parse_retry_after(headers.get("Retry-After"), datetime.now(UTC)),
            attempts=self.attempts,
        )

    def broken(self, error: Exception, timeout: Timeout, stalled: Alarm) -> ConnectionFailedError | RequestTimeoutError:
        """What went wrong on the way, from aiohttp's exception."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return self.failed(f"the certificate was refused: {error.certificate_error}", transient=False)
        if isinstance(error, TimeoutError):
            return self._stalled(error, timeout, stalled)
        return self.failed(f"{_reason(error)} ({type(error).__name__})")

    def failed(self, message: str, *, transient: bool = True) -> ConnectionFailedError:
        """No connection, or a broken one."""
        return ConnectionFailedError(
            message, method=self.method, url=str(self.url), attempts=self.attempts, transient=transient
        )

    def _stalled(self, error: TimeoutError, timeout: Timeout, stalled: Alarm) -> RequestTimeoutError:
        """Nothing came for the time that a connection or a read may take."""
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        message = (
            f"no connection within {timeout.connect:g} s"
            if connecting
            else f"nothing received for {stalled.seconds:g} s"
        )
        return RequestTimeoutError(message, method=self.method, url=str(self.url), attempts=self.attempts)

    def too_large(self, most: int) -> BoundsExceededError:
        """More came than is read."""
        return BoundsExceededError(
            f"{self.method} {self.url}: the response has more than {most:,} bytes; ask for smaller pages, or set Bounds"
        )

    def timed_out(self, deadline: Deadline) -> RequestTimeoutError:
        """The whole operation took too long."""
        before = f"; before that: {self.last_error}" if self.last_error else ""
        waited = "" if self.attempts else ", all of it spent waiting for the rate limiter"
        return RequestTimeoutError(
            f"not finished within {deadline.timeout.total:g} s{waited}{before}",
            method=self.method,
            url=str(self.url),
            attempts=self.attempts,
        )


async def _read(response: aiohttp.ClientResponse, most: int, stalled: Alarm, reading: float) -> RawBody | None:
    """The body, decompressed; None if it has more bytes than that. No more of it is ever held."""
    content = response.content
    try:
        if not content.is_eof():
            stalled.put_off(reading)
        piece = await content.readany()
        if content.at_eof() and len(piece) <= most:
            return piece
        # One buffer of the announced size: pieces that are joined in the end need twice the memory, which would go
        # back to the system and be taken from it anew for each large page. That takes longer than to read the page.
        body = bytearray(min(response.content_length or 0, _RESERVED_AT_MOST))
        size = _put(body, 0, piece)
        del piece
        while size <= most and not content.at_eof():
            stalled.put_off(reading)
            size = _put(body, size, await content.readany())
    except BaseException:
        response.close()
        raise
    if size > most:
        response.close()
        return None
    del body[size:]
    return body


def _put(body: bytearray, at: int, piece: bytes) -> int:
    """Where the next piece goes. It is a function so that none is alive when the next one arrives."""
    end = at + len(piece)
    body[at:end] = piece
    return end


def _keep_read_buffers() -> None:
    """Have the memory kept that asyncio reads into.

    It reads into 256 KiB. Linux' allocator takes blocks of that size from the system and gives them back at each read,
    which costs a tenth of the time that listing with 50 records a page takes, until it has once been given back a
    larger one: this, which is never touched.
    """
    bytes(2**20)


def _settle(attempt: Attempt, outcome: Response | Body | RoomRecError) -> None:
    if isinstance(outcome, (Response, Body, APIError)):
        attempt.status = outcome.status
    if isinstance(outcome, RoomRecError):
        attempt.error = outcome


def _report(outcome: Response | RoomRecError, permit: Permit) -> None:
    if isinstance(outcome, RateLimitError):
        permit.refused()
    elif isinstance(outcome, (Response, APIError)):
        permit.admitted()


def _without_query(location: str) -> str:
    return location.partition("?")[0]


def _reason(error: Exception) -> str:
    # What aiohttp says of a response has its URL in it, and below the first line a part of the response itself.
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return next(iter(text.splitlines()), "").rstrip(": ") or "the connection failed"
