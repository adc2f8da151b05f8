"""One request through all its attempts: what it accepts, and the errors that it can end with."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Literal, TypeAlias

import aiohttp
import attrs
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from roomrec_async._api.codec import RawBody, decode_error
from roomrec_async.config import Timeout
from roomrec_async.errors import (
    APIError,
    BoundsExceededError,
    ConnectionFailedError,
    RequestTimeoutError,
    RoomRecError,
    api_error_class,
)
from roomrec_async.events import Attempt, Operation, Request

from .retries import parse_retry_after
from .timers import Deadline, TimeoutScope

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
OK: Final = frozenset({HTTPStatus.OK})
OK_OR_REDIRECT: Final = OK | _REDIRECTS
WHOLE_OR_PARTIAL: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
# A 200 is the page of some gateway, and has deleted nothing.
NO_CONTENT: Final = frozenset({HTTPStatus.NO_CONTENT})


class Response(msgspec.Struct):
    """A response with an accepted status, read to its end."""

    url: URL
    status: int
    body: RawBody
    headers: CIMultiDictProxy[str]


@attrs.define
class PendingRequest:
    """A request on its way through its attempts.

    Attributes:
        operation: the operation that it belongs to.
        method: the HTTP method.
        url: where it goes; shown in errors, so it holds no secret.
        accepted: the statuses that are a success.
        attempts: how many times it was sent.
        last_error: the error of the last attempt, if it failed.
        event: the request as observers see it.
    """

    operation: Operation
    method: Method
    url: URL
    accepted: AbstractSet[int]
    attempts: int = 0
    last_error: RoomRecError | None = None
    event: Request = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.event = Request(self.operation, self.method, self.url)

    def next_attempt(self, waited: float) -> Attempt:
        """Return the next attempt, which waited for its permit for so many seconds."""
        self.attempts += 1
        return Attempt(self.event, self.attempts, waited)

    def classify(self, status: int, headers: CIMultiDictProxy[str], body: RawBody) -> Response | APIError:
        """Return a response that was read as a success or as an error."""
        if status in self.accepted:
            return Response(self.url, status, body, headers)
        return self.api_error(status, headers, body)

    def api_error(self, status: int, headers: CIMultiDictProxy[str], body: RawBody) -> APIError:
        """Return the error for a response whose status is not accepted."""
        error_body = decode_error(status, body)
        message = error_body.message
        location = headers.get("Location")
        if location:
            target = location.partition("?")[0]
            message += f" to {target}: redirects are not followed, check base_url"
        return api_error_class(status)(
            status=status,
            code=error_body.code,
            message=message,
            more_info=error_body.more_info,
            request_id=headers.get("Twilio-Request-Id"),
            method=self.method,
            url=str(self.url),
            retry_after=parse_retry_after(headers.get("Retry-After"), datetime.now(UTC)),
            attempts=self.attempts,
        )

    def transport_error(
        self, error: Exception, timeout: Timeout, read_timeout: TimeoutScope
    ) -> ConnectionFailedError | RequestTimeoutError:
        """Return the error for an exception of aiohttp's, which means that no complete response arrived."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return self.connection_failed(f"the certificate was refused: {error.certificate_error}", transient=False)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self._timed_out(f"no connection within {timeout.connect:g} s")
        if isinstance(error, TimeoutError):
            return self._timed_out(f"nothing received for {read_timeout.seconds:g} s")
        return self.connection_failed(f"{_reason(error)} ({type(error).__name__})")

    def connection_failed(self, message: str, *, transient: bool = True) -> ConnectionFailedError:
        """Return the error for a connection that was not made, or broke."""
        return ConnectionFailedError(
            message, method=self.method, url=str(self.url), attempts=self.attempts, transient=transient
        )

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


def _reason(error: Exception) -> str:
    # What aiohttp says of a response has its URL in it, and below the first line a part of the response itself.
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    first_line = next(iter(text.splitlines()), "")
    return first_line.rstrip(": ") or "the connection failed"
