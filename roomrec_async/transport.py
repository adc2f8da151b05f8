"""One HTTP exchange: permit, send, classify, wait and again, until there are bytes. The only module that sends."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import random
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import aiohttp
import attrs
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ._version import __version__
from .codec import decode_error
from .credentials import Credentials
from .errors import (
    APIError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidArgumentError,
    RateLimitError,
    RequestTimeoutError,
    RoomRecError,
    api_error_class,
    shown,
)
from .limits import Permit, RateLimiter
from .retry import RetryBudget, RetryPolicy, is_retried, parse_retry_after

DEFAULT_BASE_URL: Final = "https://video.twilio.com"

USER_AGENT: Final = (
    f"roomrec_async/{__version__} aiohttp/{aiohttp.__version__} "
    f"Python/{sys.version_info.major}.{sys.version_info.minor}"
)


@attrs.frozen
class Timeout:
    """How long an operation may take, in seconds; None lifts a bound.

    Args:
        total: the deadline of the whole operation: waiting for the limiter, every try, every wait between tries. One
            operation is one page when a list is iterated, and the whole list for ``to_list()``, ``first()`` and each
            room of many.
        connect: to establish a connection.
        read: between two pieces of a response.

    Raises:
        InvalidArgumentError: a value is not positive.
    """

    total: float | None = 300.0
    connect: float | None = 10.0
    read: float | None = 30.0
    _of_aiohttp: aiohttp.ClientTimeout = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        for name, value in (("total", self.total), ("connect", self.connect), ("read", self.read)):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value <= sys.float_info.max):
                raise InvalidArgumentError(f"timeout: {name} must be a positive number of seconds, not {shown(value)}")
        # Made once, and not for each request. Its own total is None: the deadline holds for all tries together.
        of_aiohttp = aiohttp.ClientTimeout(total=None, sock_connect=self.connect, sock_read=self.read)
        object.__setattr__(self, "_of_aiohttp", of_aiohttp)

    @classmethod
    def of(cls, value: Timeout | float | None, default: Timeout) -> Timeout:
        """The time-outs that a caller means: a number is the deadline, None the default."""
        if value is None or isinstance(value, Timeout):
            return value or default
        return attrs.evolve(default, total=value)

    def start(self) -> Deadline:
        """The deadline of an operation that begins now."""
        at = math.inf if self.total is None else asyncio.get_running_loop().time() + self.total
        return Deadline(self, at)


@attrs.frozen
class Deadline:
    """When an operation must be over, in the time of the event loop."""

    timeout: Timeout
    at: float

    def allows(self, delay: float) -> bool:
        """Whether there is time left after a wait of so many seconds."""
        return asyncio.get_running_loop().time() + delay < self.at


@attrs.frozen
class Response:
    """A response with status 200."""

    url: URL
    body: bytes
    headers: CIMultiDictProxy[str]


class Transport:
    """Sends requests with one account's credentials to one base URL, under one limiter."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        session: aiohttp.ClientSession | None,
        base_url: str,
        limiter: RateLimiter,
        retry: RetryPolicy,
        trace_configs: Sequence[aiohttp.TraceConfig],
        proxy: str | None,
    ) -> None:
        self.base_url = _checked_base_url(base_url, proxy)
        self.limiter = limiter
        self._headers = CIMultiDict(
            {"Authorization": credentials.authorization, "User-Agent": USER_AGENT, "Accept": "application/json"}
        )
        self._lent = session
        self._own: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._retry = retry
        self._budget = RetryBudget(retry)
        self._trace_configs = list(trace_configs)
        self._proxy = _checked_proxy(proxy)

    async def get(self, path: str, query: str, deadline: Deadline) -> Response:
        """GET a path below the base URL, with as many tries as the settings and the deadline allow.

        Raises:
            APIError: the service answered with an error.
            TransportError: no complete response arrived, or not in time.
            ClientClosedError: the client or the lent session is closed.
        """
        request = _Request(
            "GET", URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True)
        )
        scope = asyncio.timeout_at(None if math.isinf(deadline.at) else deadline.at)
        try:
            async with scope:
                return await self._send_until_settled(request, deadline)
        except TimeoutError:
            if not scope.expired():
                raise
        raise request.timed_out(deadline)

    async def _send_until_settled(self, request: _Request, deadline: Deadline) -> Response:
        while True:
            async with self.limiter.read() as permit:
                outcome = await self._send(request, deadline.timeout)
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
        request.attempts += 1
        try:
            async with session.request(
                request.method,
                request.url,
                headers=self._headers,
                timeout=timeout._of_aiohttp,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                proxy=self._proxy,
            ) as response:
                body = await response.read()
        except aiohttp.ClientConnectorCertificateError as error:
            return request.failed(f"the certificate was refused: {error.certificate_error}", transient=False)
        except TimeoutError as error:
            return request.stalled(error, timeout)
        except (aiohttp.ClientError, OSError) as error:
            return request.failed(f"{_reason(error)} ({type(error).__name__})")
        return request.classified(response.status, response.headers, body)

    async def _wait_or_raise(self, error: RoomRecError, request: _Request, deadline: Deadline) -> None:
        """Sleep until the next try, with no permit and no connection held; raise the error if there is none."""
        if self._closed:
            raise ClientClosedError("the client was closed while a request was under way")
        delay = self._retry.delay(error, request.attempts, random.random())
        if isinstance(error, RateLimitError) and error.retry_after:
            self.limiter.pause(min(error.retry_after, self._retry.max_retry_after))
        again = is_retried(error) and request.attempts < self._retry.max_attempts and deadline.allows(delay)
        if not again or not self._budget.take(error):
            raise error
        request.last_error = error
        await asyncio.sleep(delay)

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
        return aiohttp.ClientSession(
            # The limiter decides how many there are at once.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=self._trace_configs,
        )

    async def aclose(self) -> None:
        """Close the session, if it is our own. May be called again."""
        self._closed = True
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


@attrs.define
class _Request:
    """One request through all its tries, and the errors that it can end in."""

    method: str
    url: URL
    attempts: int = 0
    last_error: RoomRecError | None = None

    def classified(self, status: int, headers: CIMultiDictProxy[str], body: bytes) -> Response | APIError:
        """A response as what it means."""
        if status == HTTPStatus.OK:
            return Response(self.url, body, headers)
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

    def failed(self, message: str, *, transient: bool = True) -> ConnectionFailedError:
        """No connection, or a broken one."""
        return ConnectionFailedError(
            message, method=self.method, url=str(self.url), attempts=self.attempts, transient=transient
        )

    def stalled(self, error: TimeoutError, timeout: Timeout) -> RequestTimeoutError:
        """Nothing came for the time that a connection or a read may take."""
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        message = (
            f"no connection within {timeout.connect:g} s" if connecting else f"nothing received for {timeout.read:g} s"
        )
        return RequestTimeoutError(message, method=self.method, url=str(self.url), attempts=self.attempts)

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


def _report(outcome: Response | RoomRecError, permit: Permit) -> None:
    if isinstance(outcome, RateLimitError):
        permit.refused()
    elif isinstance(outcome, (Response, APIError)):
        permit.admitted()


def _checked_base_url(base_url: str, proxy: str | None) -> str:
    url = _parsed(base_url)
    if url.scheme not in ("https", "http") or not url.host or url.query or url.fragment or url.user:
        raise ConfigurationError("base_url must be 'https://host' with an optional port and path, and nothing else")
    if url.scheme == "http" and not _is_loopback(url):
        raise ConfigurationError(
            f"base_url {base_url} is not https: credentials go unencrypted only to a loopback address"
        )
    if url.scheme == "http" and proxy is not None and not _is_loopback(_parsed(proxy)):
        raise ConfigurationError("credentials would go to the proxy unencrypted: use an https base_url")
    return str(url).rstrip("/")


def _parsed(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        return URL()  # which passes no check


def _checked_proxy(proxy: str | None) -> str | None:
    # The value is not repeated: proxies' URLs may hold passwords.
    if proxy is not None and (_parsed(proxy).scheme not in ("http", "https") or not _parsed(proxy).host):
        raise ConfigurationError("proxy must be the URL of an HTTP proxy, such as 'http://proxy.example:3128'")
    return proxy


def _is_loopback(url: URL) -> bool:
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def _without_query(location: str) -> str:
    return location.partition("?")[0]


def _reason(error: Exception) -> str:
    return str(error) or "the connection failed"
