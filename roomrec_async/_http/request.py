"""One request through all its attempts: what it accepts, and the errors that it can end with."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from roomrec_async._api.codec import decode_error, is_cut_off
from roomrec_async._asyncio import is_cancelling
from roomrec_async._text import safe_text
from roomrec_async.config import Timeout
from roomrec_async.errors import (
    APIError,
    BoundsExceededError,
    ConnectionFailedError,
    RateLimitError,
    RequestTimeoutError,
    RoomRecError,
    api_error_class,
)
from roomrec_async.events import Attempt, Operation, Request
from roomrec_async.protocols import Observer

from .retries import parse_retry_after
from .timers import Deadline, TimeoutScope

Method: TypeAlias = Literal["GET", "DELETE"]
Content = TypeVar("Content")

_REDIRECTS: Final = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
OK: Final = frozenset({HTTPStatus.OK})
# Python 3.11 calls a function for each look-up of a member, which takes as long as four other calls.
_STATUS_OK: Final = HTTPStatus.OK
OK_OR_REDIRECT: Final = OK | _REDIRECTS
WHOLE_OR_PARTIAL: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
# What a store answers whose bucket has moved. The caller follows it, if at all.
MEDIA_REDIRECTS: Final = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
# A 200 is the page of some gateway, and has deleted nothing.
NO_CONTENT: Final = frozenset({HTTPStatus.NO_CONTENT})


# What may be raised while a request is sent and its response is read. Connectors, middlewares and tracing of the
# caller's own, such as a connector for SOCKS proxies, raise neither aiohttp's exceptions nor the system's.
FAILURES: Final = (Exception, asyncio.CancelledError)
# Mistakes of a program, such as in a middleware, or a session that is used in another event loop. Another attempt makes
# none of them better.
_MISTAKES: Final = (AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError)

_OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)

# Characters of a header, and of an exception, that a message shows.
_MAX_HEADER_SHOWN: Final = 200
_MAX_REASON: Final = 200


class Response(msgspec.Struct, Generic[Content]):
    """A response with an accepted status, read to its end.

    Attributes:
        content: what the request's decoder made of the body; None if it refused it.
    """

    url: URL
    status: int
    body: bytes
    headers: CIMultiDictProxy[str]
    content: Content | None = None


def no_content(_: bytes) -> None:
    """Decode nothing: the caller does, or there is nothing to decode."""


class PendingRequest(msgspec.Struct, Generic[Content]):
    """A request on its way through its attempts.

    Attributes:
        operation: the operation that it belongs to.
        method: the HTTP method.
        url: where it goes; shown in errors, so it holds no secret.
        accepted: the statuses that are a success.
        decode: decodes a body that is as it should be, and returns None for any other.
        observers: whom it and its attempts are reported to.
        attempts: how many times it was sent.
        charged: how many retries it took from the client's budget.
        used_pooled_connection: True if its last attempt failed because a connection from the pool was dead.
        needs_new_connection: True once it was sent again, on a new connection, because one from the pool was dead.
        waiting_since: when it last began to wait for a permit, on the clock of :func:`time.perf_counter`; None if it
            needs none.
        sent_at: when its last attempt was sent, on the same clock.
        connected_at: when the connection that was opened for its last attempt was open, on the same clock; None if one
            from the pool was used.
        last_error: the error of the last attempt, if it failed.
    """

    operation: Operation
    method: Method
    url: URL
    accepted: AbstractSet[int]
    decode: Callable[[bytes], Content | None]
    observers: tuple[Observer, ...] = ()
    attempts: int = 0
    charged: int = 0
    used_pooled_connection: bool = False
    needs_new_connection: bool = False
    waiting_since: float | None = None
    sent_at: float = 0.0
    connected_at: float | None = None
    last_error: RoomRecError | None = None
    _event: Request | None = None

    def event(self) -> Request:
        """Return the request as observers see it, made for the first one that looks."""
        if self._event is None:
            self._event = Request(self.operation, self.method, self.url)
        return self._event

    def attempt_event(self) -> Attempt:
        """Return the present attempt as observers see it."""
        waited = None if self.waiting_since is None else self.sent_at - self.waiting_since
        return Attempt(self.event(), self.attempts, waited)

    def begin_attempt(self, now: float) -> None:
        """Note that it has its permit, and is sent now."""
        self.sent_at = now
        self.attempts += 1

    def waited_until(self, now: float) -> float | None:
        """Return for how many seconds it has been waiting for a permit; None while it does not wait."""
        if self.waiting_since is None or self.waiting_since <= self.sent_at:
            return None
        return now - self.waiting_since

    def resend_on_new_connection(self) -> bool:
        """Return True if a pooled connection was dead, and the request is to be sent again at once on a new one.

        That happens once: what fails on a fresh connection is a failure.
        """
        if not self.used_pooled_connection or self.needs_new_connection:
            return False
        self.needs_new_connection = True
        return True

    def classify(self, status: int, headers: CIMultiDictProxy[str], body: bytes) -> Response[Content] | RoomRecError:
        """Return a response that was read as a success or as an error."""
        if status not in self.accepted:
            return self.api_error(status, headers, body)
        # What is accepted has a body only with this status.
        if status != _STATUS_OK:
            return Response(self.url, status, body, headers)
        content = self.decode(body)
        # What can be decoded is whole.
        if content is None and is_cut_off(body):
            return self.connection_failed("the body is empty, or was cut off")
        return Response(self.url, status, body, headers, content)

    def api_error(self, status: int, headers: CIMultiDictProxy[str], body: bytes) -> APIError:
        """Return the error for a response whose status is not accepted."""
        error_body = decode_error(status, body)
        message = error_body.message
        location = headers.get("Location")
        if location:
            target = safe_text(location.partition("?")[0], _MAX_HEADER_SHOWN)
            message += f" to {target}: redirects are not followed, check base_url"
        return api_error_class(status)(
            status=status,
            code=error_body.code,
            message=message,
            more_info=error_body.more_info,
            request_id=_shown_header(headers, "Twilio-Request-Id"),
            method=self.method,
            url=str(self.url),
            retry_after=parse_retry_after(headers.get("Retry-After"), datetime.now(UTC)),
            attempts=self.attempts,
        )

    def failed(
        self, error: BaseException, timeout: Timeout, scope: TimeoutScope
    ) -> ConnectionFailedError | RequestTimeoutError:
        """Return the error for an exception that means that no complete response arrived.

        Raises:
            CancelledError: somebody cancelled the task, or the deadline has come.
            RoomRecError: the exception is one already, such as that of a client that is closed.
            Exception: the exception is a mistake of the program.
        """
        if isinstance(error, (RoomRecError, *_MISTAKES)):
            raise error
        if isinstance(error, asyncio.CancelledError):
            return self._cancelled(error, scope)
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientResponseError)):
            return self._refused_connection(error)
        if isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS:
            message = "this process has no file descriptor left for a connection (ulimit -n)"
            return self.connection_failed(message, out_of_descriptors=True)
        if isinstance(error, TimeoutError):
            return self._timed_out(_timeout_reason(error, timeout, scope))
        failure = self.connection_failed(f"{_reason(error)} ({type(error).__name__})")
        # Whoever wrote what has raised it looks for its traceback. Those of aiohttp hold the request's headers.
        if not isinstance(error, (aiohttp.ClientError, OSError)):
            failure.__cause__ = error
        return failure

    def _cancelled(
        self, error: asyncio.CancelledError, scope: TimeoutScope
    ) -> ConnectionFailedError | RequestTimeoutError:
        if scope.wait_expired():
            return self._timed_out(_nothing_received(scope))
        if is_cancelling():
            raise error
        # Whoever closed the session or the connector cancelled what it was waiting for, not this task.
        return self.connection_failed("the connection was closed while the request was under way")

    def _refused_connection(
        self, error: aiohttp.ClientConnectorCertificateError | aiohttp.ClientResponseError
    ) -> ConnectionFailedError:
        """Return the error for a certificate, a proxy or a response that another attempt would not make better."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason = safe_text(str(error.certificate_error), _MAX_REASON)
            return self.connection_failed(f"the certificate was refused: {reason}", transient=False)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return self._proxy_refused(error)
        # It would be as malformed the next time. What aiohttp says of it quotes the response.
        return self.connection_failed(f"the response cannot be read: {_malformation(error)}", transient=False)

    def _proxy_refused(self, error: aiohttp.ClientHttpProxyError) -> ConnectionFailedError:
        if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            message = "the proxy wants a user name and a password (HTTP 407): give them in the proxy's URL"
            return self.connection_failed(message, transient=False)
        return self.connection_failed(f"the proxy answered HTTP {error.status} to CONNECT")

    def paused_beyond_deadline(self, cause: RateLimitError, seconds: float) -> RateLimitError:
        """Return the error for a request whose deadline lies before the end of a pause."""
        return RateLimitError(
            status=cause.status,
            code=cause.code,
            message=f"the service asked for a pause (Retry-After) that lasts {seconds:.1f} s more, "
            f"longer than this request may take; it was not sent",
            more_info=cause.more_info,
            request_id=cause.request_id,
            method=self.method,
            url=str(self.url),
            retry_after=seconds,
            attempts=self.attempts,
        )

    def connection_failed(
        self, message: str, *, transient: bool = True, out_of_descriptors: bool = False
    ) -> ConnectionFailedError:
        """Return the error for a connection that was not made, or broke."""
        error = ConnectionFailedError(
            message, method=self.method, url=str(self.url), attempts=self.attempts, transient=transient
        )
        error.out_of_descriptors = out_of_descriptors
        return error

    def too_large(self, max_bytes: int) -> BoundsExceededError:
        """Return the error for a response with too many bytes."""
        return BoundsExceededError(
            f"{self.method} {self.url}: the response has more than {max_bytes:,} bytes; "
            "ask for smaller pages, or set Bounds"
        )

    def deadline_exceeded(self, deadline: Deadline) -> RequestTimeoutError:
        """Return the error for an operation that took longer than its total timeout."""
        message = f"not finished within {deadline.timeout.total:g} s"
        if not self.attempts:
            message += ", all of it spent waiting for the rate limiter"
        if self.last_error is not None:
            message += f"; before that: {self.last_error}"
        return self._timed_out(message)

    def _timed_out(self, message: str) -> RequestTimeoutError:
        return RequestTimeoutError(message, method=self.method, url=str(self.url), attempts=self.attempts)


def _reason(error: BaseException) -> str:
    # aiohttp's texts for these hold parts of the response.
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection before it responded"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the body is damaged, or was cut off"
    first_line = next(iter(str(error).splitlines()), "")
    return safe_text(first_line.rstrip(": "), _MAX_REASON) or "the connection failed"


def _timeout_reason(error: TimeoutError, timeout: Timeout, scope: TimeoutScope) -> str:
    """Return what took too long."""
    if scope.waited_too_long:
        return _nothing_received(scope)
    if isinstance(error, aiohttp.ConnectionTimeoutError) and timeout.connect is not None:
        return f"no connection within {timeout.connect:g} s"
    # A timeout that is not the client's, such as one in the connector or the tracing of the caller's session.
    return f"{_reason(error)} ({type(error).__name__})"


def _nothing_received(scope: TimeoutScope) -> str:
    return f"nothing received for {scope.seconds:g} s"


def _malformation(error: aiohttp.ClientResponseError) -> str:
    """Return what is wrong with a response that is not valid HTTP, without the part of it that aiohttp quotes."""
    first_line = next(iter(error.message.splitlines()), "")
    if "content-encoding" in first_line:
        # This one names the library to install.
        return safe_text(first_line, _MAX_REASON)
    return safe_text(first_line.partition(":")[0], _MAX_REASON)


def _shown_header(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else safe_text(value, _MAX_HEADER_SHOWN)
