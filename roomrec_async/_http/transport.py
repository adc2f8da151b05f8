"""One HTTP exchange: permit, send, classify, back off and retry, until there are bytes. The only module that sends."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from ssl import SSLContext
from time import perf_counter
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from roomrec_async._api.urls import check_base_url, check_proxy_for
from roomrec_async._asyncio import is_cancelling, unrequested_cancellation
from roomrec_async._observe import LOGGER, Notifier, observed
from roomrec_async._text import safe_text
from roomrec_async.config import Bounds, RetryPolicy, Timeout
from roomrec_async.credentials import Credentials
from roomrec_async.errors import APIError, ConnectionFailedError, RateLimitError, RoomRecError
from roomrec_async.events import Attempt, Operation
from roomrec_async.protocols import Limiter, Permit

from .pauses import Pauses
from .proxies import Proxies
from .request import (
    FAILURES,
    MEDIA_REDIRECTS,
    NO_CONTENT,
    OK,
    OK_OR_REDIRECT,
    WHOLE_OR_PARTIAL,
    Content,
    Method,
    PendingRequest,
    Response,
    no_content,
)
from .retries import RetryBudget, is_charged, is_retried
from .session import Sessions
from .stream import ResponseStream, read_body
from .timers import Deadline, SharedTimer, TimeoutScope, closed_error

_Outcome = TypeVar("_Outcome")

# Media are verified byte by byte against the size that the store announces: they must arrive as they are stored.
_UNCOMPRESSED: Final = {"Accept-Encoding": "identity"}
# Bytes of media that may arrive before the reader has taken the ones before: less of it costs speed.
_MEDIA_BUFFER: Final = 2**20
# As much of an error's body as its message can need.
_MAX_ERROR_BODY: Final = 4096
# Characters of a SID that somebody else sent.
_MAX_SID_SHOWN: Final = 40
# How long closing waits for what is under way to end.
_CLOSING_SECONDS: Final = 1.0


class Transport:
    """Sends requests with one account's credentials to one base URL, under one limiter.

    Attributes:
        base_url: the base URL, without a slash at its end.
        account_sid: the account of the credentials.
        limiter: grants each request of the API.
        notifier: tells the client's observers.
        backing_off: number of requests that wait for their next attempt, and hold no permit meanwhile.
        foreign_account_sid: the account other than that of the credentials whose data the service returned last.
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
        trust_env: bool,
        ssl: SSLContext | None,
        bounds: Bounds,
        notifier: Notifier,
        user_agent: str | None,
    ) -> None:
        self._proxies = Proxies(proxy, trust_env, session)
        self.base_url: str = check_base_url(base_url)
        self._proxy = self._proxies.proxy_for(URL(self.base_url))
        check_proxy_for(self.base_url, self._proxy)
        self.account_sid: str = credentials.account_sid
        self.limiter = limiter
        self.notifier = notifier
        self.backing_off: int = 0
        self._retry = retry
        self._budget = RetryBudget(retry)
        self._pauses = Pauses.shared_by(limiter)
        self._bounds = bounds
        self._timer = SharedTimer()
        self._warned_of_account = False
        self.foreign_account_sid: str | None = None
        self._sessions = Sessions(
            credentials,
            session,
            trace_configs,
            ssl,
            self._timer,
            has_proxy=proxy is not None,
            proxy=self._proxy,
            user_agent=user_agent,
        )

    def get(self, path: str, query: str, deadline: Deadline, operation: Operation) -> Awaitable[Response[None]]:
        """GET a path below the base URL, with as many attempts as the settings and the deadline allow.

        Raises:
            APIError: the service answered with an error.
            TransportError: no complete response arrived, or not in time.
            ClientClosedError: the client or the user's session is closed.
        """
        return self.request(path, query, deadline, operation, no_content)

    def get_redirect(
        self, path: str, query: str, deadline: Deadline, operation: Operation
    ) -> Awaitable[Response[None]]:
        """GET a path that redirects elsewhere, without following it; otherwise as :meth:`get`."""
        return self.request(path, query, deadline, operation, no_content, accepted=OK_OR_REDIRECT)

    def delete(self, path: str, deadline: Deadline, operation: Operation) -> Awaitable[Response[None]]:
        """DELETE a path. It is idempotent, and so retried like a read. Otherwise as :meth:`get`."""
        return self.request(path, "", deadline, operation, no_content, method="DELETE", accepted=NO_CONTENT)

    def request(
        self,
        path: str,
        query: str,
        deadline: Deadline,
        operation: Operation,
        decode: Callable[[bytes], Content | None],
        *,
        method: Method = "GET",
        accepted: AbstractSet[int] = OK,
    ) -> Awaitable[Response[Content]]:
        """Send a request as :meth:`get` does, and decode the body: what can be decoded was not cut off.

        Args:
            path: the path below the base URL.
            query: the encoded query.
            deadline: when the operation must be finished.
            operation: the operation that the request belongs to.
            decode: decodes a body that is as it should be, and returns None for any other.
            method: the HTTP method.
            accepted: the statuses that are a success.
        """
        url = URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True)
        observers = self.notifier.observers()
        request = PendingRequest(operation, method, url, accepted, decode, observers)
        sending = self._send_until_deadline(request, deadline)
        return observed(sending, request.event(), observers) if observers else sending

    async def _send_until_deadline(self, request: PendingRequest[Content], deadline: Deadline) -> Response[Content]:
        """Send a request until it succeeds, fails for good, or its deadline comes."""
        # It covers everything: waiting for the limiter, each attempt and each backoff.
        scope = TimeoutScope(self._timer, deadline.at)
        try:
            with scope:
                while True:
                    self._check_pause(request, deadline)
                    request.waiting_since = perf_counter()
                    self._pauses.waiting.add(scope)
                    async with self.limiter.read() if request.method == "GET" else self.limiter.write() as permit:
                        self._pauses.waiting.discard(scope)
                        self._budget.note_in_flight(self.limiter.in_flight)
                        request.begin_attempt(perf_counter())
                        outcome = await observe_attempt(self._send(request, deadline.timeout, scope), request)
                        # Before the permit is given back, which would let the next request start.
                        self._report(outcome, request, permit)
                    # Here the permit and the connection are given back: nobody holds one while backing off.
                    if isinstance(outcome, Response):
                        return outcome
                    await self._prepare_retry(outcome, request, deadline)
        except TimeoutError:
            if not scope.expired:
                raise
        except asyncio.CancelledError:
            if is_cancelling():
                raise
            raise unrequested_cancellation() from None
        finally:
            self._pauses.waiting.discard(scope)
        if deadline.allows(0.0) and not self._pauses.error_for(request, deadline):
            # Its wait was ended for a pause that has ended early meanwhile.
            return await self._send_until_deadline(request, deadline)
        raise self._deadline_error(request, deadline)

    def _deadline_error(self, request: PendingRequest[Content], deadline: Deadline) -> RoomRecError:
        """Return the error for a request whose deadline has come, or cannot be met because of a pause."""
        waited = request.waited_until(perf_counter())
        if waited is not None:
            request.event().waited_in_vain = waited
            if error := self._pauses.error_for(request, deadline):
                return error
        return request.deadline_exceeded(deadline)

    def _check_pause(self, request: PendingRequest[Content], deadline: Deadline) -> None:
        """Raise the error for a request whose deadline lies before the end of a pause."""
        if error := self._pauses.error_for(request, deadline):
            request.event().waited_in_vain = 0.0
            raise error

    async def _prepare_retry(self, error: RoomRecError, request: PendingRequest[Content], deadline: Deadline) -> None:
        """Return when the request is to be sent again; raise the error if it is not."""
        if request.resend_on_new_connection():
            LOGGER.debug("a pooled connection was dead, sending again on a new one: %s", error)
        else:
            await self._backoff(error, request, deadline)

    async def _send(
        self, request: PendingRequest[Content], timeout: Timeout, scope: TimeoutScope
    ) -> Response[Content] | RoomRecError:
        """Send a request once, and return what came of it.

        An error is returned, not raised: aiohttp's exceptions hold the request's headers, and one that is raised while
        another is handled keeps it as its context.
        """
        response = None
        self._limit_first_wait(timeout, scope)
        try:
            if request.needs_new_connection:
                self._sessions.connections.need_new.add(scope.task)
            response = await self._sessions.request(request.method, request.url, timeout._aiohttp_timeout)
            body = await read_body(response, self._bounds.max_response_bytes, timeout, scope)
        except FAILURES as error:
            request.used_pooled_connection = response is None and self._was_pooled(error, scope)
            return request.failed(error, timeout, scope)
        finally:
            scope.end_wait()
            request.connected_at = self._sessions.connections.forget(scope.task)

        if body is None:
            return request.too_large(self._bounds.max_response_bytes)
        return request.classify(response.status, response.headers, body)

    def _limit_first_wait(self, timeout: Timeout, scope: TimeoutScope) -> None:
        """Limit the time until a response begins."""
        if self._sessions.sees_connections:
            scope.reschedule(timeout.read)
        # The session does not tell when it has connected.
        elif timeout.read is None or timeout.connect is None:
            scope.reschedule(None)
        else:
            scope.reschedule(timeout.connect + timeout.read)

    def _report(
        self, outcome: Response[Content] | RoomRecError, request: PendingRequest[Content], permit: Permit
    ) -> None:
        """Tell the limiter whether the service took the request on; a broken connection says nothing about that.

        A success also gives back the retries that it took, and may end a pause.
        """
        if request.connected_at is not None:
            _report_late(permit, request.connected_at - request.sent_at)
        if isinstance(outcome, Response):
            permit.accepted()
            self._budget.earn(request.charged)
            if self._pauses.cause is not None:
                self._pauses.came_through(request.sent_at)
        elif isinstance(outcome, RateLimitError):
            permit.rate_limited()
            self._pause(outcome, request.sent_at)
        elif isinstance(outcome, APIError):
            permit.accepted()
        elif isinstance(outcome, ConnectionFailedError) and outcome.out_of_descriptors:
            permit.rate_limited()

    def _pause(self, error: RateLimitError, sent_at: float) -> None:
        """Pause all requests for as long as the service asked, and the settings allow."""
        seconds = min(error.retry_after or 0.0, self._retry.max_retry_after)
        # Asking the limiter for no pause would end that of another client.
        if seconds > 0:
            self._pauses.start(error, seconds, sent_at)

    async def _backoff(self, error: RoomRecError, request: PendingRequest[Content], deadline: Deadline) -> None:
        """Sleep until the next attempt, with no permit and no connection held; raise the error if there is none."""
        request.last_error = error
        self.backing_off += 1
        try:
            # To send a request again on a new connection was no attempt of its own.
            attempt = request.attempts - request.needs_new_connection
            request.charged += await self.retry_or_raise(error, attempt, deadline)
        finally:
            self.backing_off -= 1

    async def retry_or_raise(self, error: RoomRecError, attempt: int, deadline: Deadline) -> int:
        """Sleep until something may be tried again that failed at the given attempt, from 1; raise the error if not.

        Returns:
            How many retries were taken from the budget: to be given back by :meth:`retries_succeeded`.
        """
        if self._sessions.closed:
            raise closed_error()

        # A retry that could not begin before the deadline would only use up the budget.
        delay = self._retry.delay(error, attempt, random.random())
        if not is_retried(error) or attempt >= self._retry.max_attempts or not deadline.allows(delay):
            raise error
        if not self._budget.take(error):
            error.retry_budget_exhausted = True
            raise error

        LOGGER.info(
            "retrying in %.2f s (attempt %d of %d): %s",
            delay,
            attempt + 1,
            self._retry.max_attempts,
            error,
            extra={"roomrec_attempt": attempt},
        )
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            # No retry was sent.
            self._budget.put_back(error)
            raise
        return int(is_charged(error))

    def retries_succeeded(self, count: int) -> None:
        """Give retries back to the budget: what they were taken for has succeeded."""
        self._budget.earn(count)

    async def stream(
        self, url: URL, first_byte: int, number: int, timeout: Timeout, operation: Operation
    ) -> ResponseStream | RoomRecError:
        """Start to read a signed URL from the given byte on: one attempt, with no credentials and no permit.

        The URL is a secret: no error shows its query. As with :meth:`_send`, an error is returned. A redirect of the
        store is returned as a response.

        Args:
            url: the signed URL.
            first_byte: the first byte wanted, from 0.
            number: the number of this attempt, from 1.
            timeout: bounds connecting, and each read.
            operation: the operation that it belongs to.
        """
        accepted = WHOLE_OR_PARTIAL | MEDIA_REDIRECTS
        observers = self.notifier.observers()
        request: PendingRequest[None] = PendingRequest(
            operation, "GET", url.with_query(None), accepted, no_content, observers, attempts=number
        )
        with self.notifier.notify(request.event()), TimeoutScope(self._timer, math.inf) as scope:
            while True:
                opening = self._open_stream(request, url, first_byte, timeout, scope)
                outcome = await observe_attempt(opening, request)
                if not request.resend_on_new_connection():
                    # It is returned, and not raised, where observers would see it.
                    if isinstance(outcome, RoomRecError):
                        request.event().error = outcome
                    return outcome
                request.attempts += 1

    async def _open_stream(
        self, request: PendingRequest[None], url: URL, first_byte: int, timeout: Timeout, scope: TimeoutScope
    ) -> ResponseStream | RoomRecError:
        session = self._sessions.for_media()
        response = None
        headers = _UNCOMPRESSED
        if first_byte:
            headers = {**_UNCOMPRESSED, "Range": f"bytes={first_byte}-"}
        self._limit_first_wait(timeout, scope)
        try:
            if request.needs_new_connection:
                self._sessions.connections.need_new.add(scope.task)
            response = await session.get(
                url,
                headers=headers,
                timeout=timeout._aiohttp_timeout,
                allow_redirects=False,
                read_bufsize=_MEDIA_BUFFER,
                proxy=self._proxies.proxy_for(url),
            )
            if response.status in request.accepted:
                return ResponseStream(request, timeout, response, self._timer)
            async with response:
                body = await response.content.read(_MAX_ERROR_BODY)
        except FAILURES as error:
            request.used_pooled_connection = response is None and self._was_pooled(error, scope)
            return request.failed(error, timeout, scope)
        finally:
            scope.end_wait()
            self._sessions.connections.forget(scope.task)
        return request.api_error(response.status, response.headers, body)

    def _was_pooled(self, error: BaseException, scope: TimeoutScope) -> bool:
        """Return True if a connection broke that came from the pool, as far as the session tells."""
        # A timeout is slow, not dead; and whoever sends a malformed response has responded.
        if not self._sessions.sees_connections or not isinstance(error, (aiohttp.ClientError, OSError)):
            return False
        if isinstance(error, (TimeoutError, aiohttp.ClientResponseError)):
            return False
        return scope.task not in self._sessions.connections.opened_by

    def is_foreign(self, account_sid: str | None) -> bool:
        """Return True for the SID of an account other than that of the credentials."""
        return account_sid is not None and account_sid.lower() != self.account_sid.lower()

    def warn_of_account(self, account_sid: str) -> None:
        """Log, once, that the service returns the data of another account."""
        self.foreign_account_sid = account_sid
        if self._warned_of_account:
            return
        self._warned_of_account = True
        LOGGER.warning(
            "the service returns recordings of account %s, but the credentials name %s: with a parent account's API "
            "key, the account SID has to be that of the parent",
            safe_text(account_sid, _MAX_SID_SHOWN),
            self.account_sid,
        )

    def operation_scope(self, deadline: Deadline | None = None) -> TimeoutScope:
        """Return a ``with`` block that ends with ClientClosedError when the client is closed, and at its deadline."""
        return TimeoutScope(self._timer, math.inf if deadline is None else deadline.at)

    async def aclose(self) -> None:
        """End everything under way with ClientClosedError, and close the sessions that are the client's own.

        May be called again.
        """
        self._sessions.closed = True
        self._timer.close()
        # Whoever was cancelled gives back its permit and its connection before the connections are closed.
        try:
            await self._timer.wait_unused(_CLOSING_SECONDS)
        finally:
            await self._sessions.aclose()


def _report_late(permit: Permit, seconds: float) -> None:
    """Tell a limiter that counts requests from when they are sent for how long a connection was being opened."""
    # Limiters of the caller's own may do without it.
    sent_late = getattr(permit, "sent_late", None)
    if sent_late is not None:
        sent_late(seconds)


def observe_attempt(
    sending: Coroutine[object, object, _Outcome], request: PendingRequest[Content]
) -> Coroutine[object, object, _Outcome]:
    """Return a coroutine that sends the present attempt of a request, and reports it if anybody observes."""
    if not request.observers:
        return sending
    return observed(sending, request.attempt_event(), request.observers, note_outcome)


def note_outcome(attempt: Attempt, outcome: object) -> None:
    """Note for observers how an attempt ended."""
    if isinstance(outcome, (Response, ResponseStream, APIError)):
        attempt.status = outcome.status
    if isinstance(outcome, RoomRecError):
        attempt.error = outcome
