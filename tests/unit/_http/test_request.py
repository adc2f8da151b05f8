"""A request through its attempts: what is a success, and how each failure reads."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from roomrec_async import (
    APIError,
    ConnectionFailedError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    Timeout,
)
from roomrec_async._http.request import NO_CONTENT, OK, OK_OR_REDIRECT, PendingRequest, Response
from roomrec_async._http.timers import Deadline, SharedTimer, TimeoutScope
from roomrec_async.events import Operation

URL_OF_LIST = "https://video.example/v1/Rooms/RM1/Recordings?PageSize=5"


def decode(body: bytes) -> str | None:
    """Decode the body "{}", and nothing else."""
    return "decoded" if body == b"{}" else None


def pending(accepted: frozenset[int] = OK, method: Any = "GET") -> PendingRequest[str]:
    operation = Operation("recordings", "/v1/Rooms/RM1/Recordings")
    return PendingRequest(operation, method, URL(URL_OF_LIST), accepted, decode)


def headers(**values: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in values.items()}))


def scope(seconds: float) -> TimeoutScope:
    scope = TimeoutScope(SharedTimer(), 0.0)
    scope.seconds = seconds
    return scope


class TestClassify:
    @pytest.mark.parametrize(
        ("accepted", "status"), [(OK, 200), (OK_OR_REDIRECT, 302), (OK_OR_REDIRECT, 307), (NO_CONTENT, 204)]
    )
    def test_an_accepted_status_is_a_response(self, accepted: frozenset[int], status: int) -> None:
        response = pending(accepted).classify(status, headers(), b"body")
        assert isinstance(response, Response)
        assert (response.status, response.body, str(response.url)) == (status, b"body", URL_OF_LIST)

    @pytest.mark.parametrize(
        ("accepted", "status", "error"),
        [(OK, 404, NotFoundError), (OK, 429, RateLimitError), (OK, 500, ServerError), (OK, 302, APIError)],
    )
    def test_any_other_status_is_an_error(self, accepted: frozenset[int], status: int, error: type[APIError]) -> None:
        assert type(pending(accepted).classify(status, headers(), b"")) is error

    @pytest.mark.parametrize(("body", "content"), [(b"{}", "decoded"), (b"[]", None), (b"<html>", None)])
    def test_a_body_is_decoded_and_one_that_cannot_be_is_left_to_the_caller(
        self, body: bytes, content: str | None
    ) -> None:
        response = pending().classify(200, headers(), body)
        assert isinstance(response, Response)
        assert (response.body, response.content) == (body, content)

    @pytest.mark.parametrize("body", [b"", b" ", b"{", b'{"recordings": []'])
    def test_a_body_that_was_cut_off_is_a_failure_of_the_connection(self, body: bytes) -> None:
        assert isinstance(pending().classify(200, headers(), body), ConnectionFailedError)

    def test_only_a_status_that_has_a_body_is_decoded(self) -> None:
        response = pending(NO_CONTENT, "DELETE").classify(204, headers(), b"{}")
        assert isinstance(response, Response)
        assert response.content is None

    def test_a_deletion_is_not_a_success_without_204(self) -> None:
        # A gateway's page with 200 has deleted nothing.
        outcome = pending(NO_CONTENT, "DELETE").classify(200, headers(), b"<html>")
        assert isinstance(outcome, APIError)

    def test_an_error_has_what_the_service_said(self) -> None:
        request = pending()
        request.begin_attempt(0.0)
        request.begin_attempt(0.0)
        body = b'{"code": 20429, "message": "Too Many Requests", "more_info": "https://docs.example/20429"}'
        error = request.classify(429, headers(Twilio_Request_Id="RQ1", Retry_After="2"), body)
        assert isinstance(error, RateLimitError)
        assert (error.code, error.detail, error.more_info) == (
            20429,
            "Too Many Requests",
            "https://docs.example/20429",
        )
        assert (error.request_id, error.retry_after, error.attempts) == ("RQ1", 2.0, 2)
        assert (error.method, error.url) == ("GET", URL_OF_LIST)

    def test_a_redirect_names_its_target_without_the_query(self) -> None:
        error = pending().classify(302, headers(Location="https://other.example/x?signature=secret"), b"")
        assert isinstance(error, APIError)
        assert "to https://other.example/x: redirects are not followed, check base_url" in str(error)
        assert "secret" not in str(error)


class TestTransportError:
    def test_a_refused_certificate_is_not_worth_another_attempt(self) -> None:
        key = ConnectionKey("host", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
        refused = aiohttp.ClientConnectorCertificateError(key, ssl.SSLCertVerificationError(1, "self-signed"))
        error = pending().failed(refused, Timeout(), scope(30))
        assert isinstance(error, ConnectionFailedError)
        assert not error.transient
        assert "the certificate was refused: self-signed" in str(error)

    def test_a_connection_that_takes_too_long_names_the_connect_timeout(self) -> None:
        error = pending().failed(aiohttp.ConnectionTimeoutError(), Timeout(connect=2.5), scope(30))
        assert isinstance(error, RequestTimeoutError)
        assert error.detail == "no connection within 2.5 s"

    def test_a_response_that_stops_names_the_time_without_a_byte(self) -> None:
        stopped = scope(7)
        stopped.when = -1.0
        stopped.expired = True
        error = pending().failed(TimeoutError(), Timeout(read=7), stopped)
        assert isinstance(error, RequestTimeoutError)
        assert error.detail == "nothing received for 7 s"

    @pytest.mark.parametrize("timeout", [Timeout(), Timeout(connect=None), Timeout(read=None)])
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (TimeoutError(), "the connection failed (TimeoutError)"),
            (TimeoutError("no answer from the name server"), "no answer from the name server (TimeoutError)"),
        ],
    )
    def test_a_timeout_that_is_not_the_clients_is_not_told_as_one_of_its_own(
        self, timeout: Timeout, error: TimeoutError, message: str
    ) -> None:
        failed = pending().failed(error, timeout, TimeoutScope(SharedTimer(), 0.0))
        assert isinstance(failed, RequestTimeoutError)
        assert failed.detail == message

    def test_a_connect_timeout_that_is_not_the_clients_names_no_seconds(self) -> None:
        error = aiohttp.ConnectionTimeoutError("Connection timeout")
        failed = pending().failed(error, Timeout(connect=None), TimeoutScope(SharedTimer(), 0.0))
        assert isinstance(failed, RequestTimeoutError)
        assert failed.detail == "Connection timeout (ConnectionTimeoutError)"

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (ConnectionResetError(), "the connection failed (ConnectionResetError)"),
            (ConnectionResetError("reset by peer"), "reset by peer (ConnectionResetError)"),
            (
                aiohttp.ClientPayloadError("400, message: \nGET /secret"),
                "the body is damaged, or was cut off (ClientPayloadError)",
            ),
            (
                aiohttp.ServerDisconnectedError("<RawResponseMessage(secret)>"),
                "the server closed the connection before it responded (ServerDisconnectedError)",
            ),
        ],
    )
    def test_any_other_exception_is_a_connection_that_failed(self, error: Exception, message: str) -> None:
        failed = pending().failed(error, Timeout(), scope(30))
        assert isinstance(failed, ConnectionFailedError)
        assert failed.detail == message
        assert failed.transient


class TestDeadline:
    def test_it_says_that_nothing_was_sent_where_the_limiter_took_all_the_time(self) -> None:
        error = pending().deadline_exceeded(Deadline(Timeout(total=3), 0.0))
        assert error.detail == "not finished within 3 s, all of it spent waiting for the rate limiter"
        assert error.attempts == 0

    def test_it_repeats_the_error_of_the_last_attempt(self) -> None:
        request = pending()
        request.begin_attempt(0.0)
        request.last_error = request.connection_failed("reset by peer")
        error = request.deadline_exceeded(Deadline(Timeout(total=1.5), 0.0))
        assert error.detail == f"not finished within 1.5 s; before that: GET {URL_OF_LIST}: reset by peer"


def test_attempts_are_numbered_from_1_and_know_how_long_they_waited() -> None:
    request = pending()
    request.waiting_since = 0.125
    request.begin_attempt(0.25)
    first = request.attempt_event()
    request.waiting_since = 1.0
    request.begin_attempt(1.5)
    second = request.attempt_event()
    assert [(attempt.number, attempt.waited) for attempt in (first, second)] == [(1, 0.125), (2, 0.5)]
    assert first.request is second.request is request.event()


def test_a_response_that_is_too_large_says_what_to_do() -> None:
    assert str(pending().too_large(1_000_000)) == (
        f"GET {URL_OF_LIST}: the response has more than 1,000,000 bytes; ask for smaller pages, or set Bounds"
    )
