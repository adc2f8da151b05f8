"""What is retried, when, and how often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from roomrec_async import (
    APIError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    DecodeError,
    InvalidArgumentError,
    PaginationError,
    RateLimiter,
    RateLimitError,
    RecordingsClient,
    RequestTimeoutError,
    RetryPolicy,
    RoomRecError,
    RoomsFailedError,
    ServerError,
    TransportError,
)
from roomrec_async._http.retries import RetryBudget, is_retried, parse_retry_after
from roomrec_async.errors import api_error_class

from ...conftest import ROOM_SID, body, page_url

NOW = datetime(2024, 2, 29, 12, 0, 0, tzinfo=UTC)


def answered(status: int, retry_after: float | None = None) -> APIError:
    return api_error_class(status)(status=status, message="no", method="GET", url="u", retry_after=retry_after)


BROKEN = ConnectionFailedError("reset", method="GET", url="u")


# The wait


@pytest.mark.parametrize(
    ("attempt", "bound"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 16.0), (7, 20.0), (8, 20.0), (100, 20.0), (10_000, 20.0)],
)
@pytest.mark.parametrize("error", [BROKEN, answered(503)], ids=["broken", "503"])
def test_the_wait_doubles_up_to_a_cap_and_is_drawn_from_0(error: RoomRecError, attempt: int, bound: float) -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=20)
    assert policy.delay(error, attempt, 0.0) == 0
    assert policy.delay(error, attempt, 0.25) == bound / 4
    assert policy.delay(error, attempt, 1.0) == bound


def test_the_cap_may_lie_below_the_first_wait() -> None:
    assert RetryPolicy(base_delay=5, max_delay=2).delay(BROKEN, 1, 1.0) == 2


@pytest.mark.parametrize("attempt", [1, 5, 1000])
def test_without_a_base_delay_nothing_waits(attempt: int) -> None:
    assert RetryPolicy(base_delay=0).delay(BROKEN, attempt, 1.0) == 0


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("attempt", [1, 4, 50])
@pytest.mark.parametrize(
    ("asked", "least"), [(0.0, 0.0), (0.25, 0.25), (7.0, 7.0), (30.0, 30.0), (30.1, 30.0), (86400.0, 30.0)]
)
def test_a_retry_after_is_kept_to_and_cut_at_its_cap(status: int, attempt: int, asked: float, least: float) -> None:
    policy = RetryPolicy(base_delay=1, max_delay=5, max_retry_after=30)
    waits = [policy.delay(answered(status, asked), attempt, drawn) for drawn in (0.0, 0.5, 1.0)]
    assert waits[0] == least
    assert waits == sorted(waits)
    assert least < waits[1] < waits[2], "all clients that got the same Retry-After come back at the same time"
    assert waits[2] <= least + 5


@pytest.mark.parametrize("asked", [0.0, 7.0])
def test_what_is_drawn_on_top_of_a_retry_after_keeps_to_the_cap(asked: float) -> None:
    policy = RetryPolicy(base_delay=5, max_delay=2, max_retry_after=30)
    assert asked <= policy.delay(answered(503, asked), 1, 1.0) <= asked + 2


# Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param(" 5 ", 5.0, id="padded"),
        pytest.param("1.5", 1.5, id="float"),
        pytest.param("-3", 0.0, id="negative"),
        pytest.param("-0.5", 0.0, id="negative float"),
        pytest.param("99999999999", 99999999999.0, id="huge"),
        pytest.param("inf", None, id="infinite"),
        pytest.param("-inf", None, id="negative infinite"),
        pytest.param("Infinity", None, id="infinity"),
        pytest.param("1e999", None, id="beyond all floats"),
        pytest.param("9" * 5000, None, id="5000 digits"),
        pytest.param("nan", None, id="NaN"),
        pytest.param("", None, id="empty"),
        pytest.param("   ", None, id="blank"),
        pytest.param("soon", None, id="word"),
        pytest.param("5 seconds", None, id="number with a unit"),
        pytest.param("\x00", None, id="control character"),
        pytest.param("Thu, 29 Feb 2024 12:01:30 GMT", 90.0, id="date to come"),
        pytest.param("Thu, 29 Feb 2024 12:00:00 GMT", 0.0, id="now"),
        pytest.param("Thu, 29 Feb 2024 11:59:59 GMT", 0.0, id="date gone by"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="long gone by"),
        pytest.param("Thu, 29 Feb 2024 12:01:30", 90.0, id="date without zone"),
        pytest.param("Thu, 29 Feb 2024 12:01:30 -0000", 90.0, id="date of an unknown zone"),
        pytest.param("Thu, 29 Feb 2024 13:01:30 +0100", 90.0, id="date of another zone"),
        pytest.param("Thursday, 29-Feb-24 12:01:30 GMT", 90.0, id="date of RFC 850"),
        pytest.param("Fri, 30 Feb 2024 12:00:00 GMT", None, id="a day that is none"),
        pytest.param("Thu, 29 Feb 2024 25:00:00 GMT", None, id="an hour that is none"),
        pytest.param("Thu, 29 Feb 99999999999999999999 12:00:00 GMT", None, id="a year beyond all"),
        pytest.param("Thu, 29 Feb 2024 12:00:00 +9999", None, id="an offset that is none"),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


def test_now_may_be_in_any_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=-8)))
    assert parse_retry_after("Thu, 29 Feb 2024 12:01:30 GMT", there) == 90


# What is retried


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_these_statuses_are_tried_again(status: int) -> None:
    assert is_retried(answered(status))


@pytest.mark.parametrize(
    "status", [301, 304, 400, 401, 403, 404, 405, 408, 409, 410, 418, 422, 425, 451, 501, 505, 507, 511, 599]
)
def test_no_other_status_is_tried_again(status: int) -> None:
    assert not is_retried(answered(status, retry_after=1))


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (TransportError("x", method="GET", url="u"), True),
        (TransportError("x", method="GET", url="u", transient=False), False),
        (ConnectionFailedError("x", method="GET", url="u"), True),
        (ConnectionFailedError("certificate", method="GET", url="u", transient=False), False),
        (RequestTimeoutError("x", method="GET", url="u"), True),
        (RequestTimeoutError("x", method="GET", url="u", transient=False), False),
        (DecodeError("x"), False),
        (PaginationError("x"), False),
        (RoomsFailedError({"RM1": BROKEN}), False),
        (InvalidArgumentError("x"), False),
        (ConfigurationError("x"), False),
        (ClientClosedError("x"), False),
        (RoomRecError("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_of_the_other_errors_only_a_missing_answer_is_tried_again(error: RoomRecError, retried: bool) -> None:
    assert is_retried(error) is retried


# The budget


@pytest.mark.parametrize("budget", [1, 3, 50])
@pytest.mark.parametrize("error", [BROKEN, answered(500), answered(503, retry_after=1)], ids=["broken", "500", "503"])
def test_an_outage_gets_no_more_retries_than_the_budget(budget: int, error: RoomRecError) -> None:
    retries = RetryBudget(RetryPolicy(budget=budget))
    assert [retries.take(error) for _ in range(budget + 100)] == [True] * budget + [False] * 100


@pytest.mark.parametrize(("successes", "more"), [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (105, 10)])
def test_ten_successes_give_one_retry_back(successes: int, more: int) -> None:
    retries = RetryBudget(RetryPolicy(budget=20))
    for _ in range(20):
        assert retries.take(BROKEN)
    for _ in range(successes):
        retries.earn()
    assert sum(retries.take(BROKEN) for _ in range(100)) == more


def test_no_more_is_given_back_than_was_taken() -> None:
    retries = RetryBudget(RetryPolicy(budget=2))
    for _ in range(1000):
        retries.earn()
    assert sum(retries.take(BROKEN) for _ in range(100)) == 2


def test_a_lasting_partial_outage_costs_a_tenth_more_traffic() -> None:
    retries = RetryBudget(RetryPolicy(budget=5))
    made = 0
    for number in range(10_000):
        if number % 2:
            retries.earn()
        else:
            made += retries.take(BROKEN)
    assert 490 <= made <= 505


def test_refusals_for_the_rate_take_nothing() -> None:
    retries = RetryBudget(RetryPolicy(budget=1))
    assert all(retries.take(answered(429)) for _ in range(100))
    assert retries.take(BROKEN)
    assert not retries.take(BROKEN)
    assert retries.take(answered(429)), "an empty budget is no reason not to wait for the quota"


# The budget of a client


def times_sent(service: Any) -> int:
    return sum(len(calls) for calls in service.requests.values())


def a_client(credentials: Any, **policy: int) -> RecordingsClient:
    return RecordingsClient(
        credentials, limiter=RateLimiter(None, None, None), retry=RetryPolicy(base_delay=0, **policy)
    )


@pytest.mark.parametrize(
    ("lists", "attempts", "budget", "sent"),
    [
        pytest.param(10, 5, 3, 13, id="the budget ends it"),
        pytest.param(10, 5, 1000, 50, id="the attempts end it"),
        pytest.param(10, 1, 1000, 10, id="no retries"),
    ],
)
async def test_an_outage_does_not_multiply_the_requests_of_a_client(
    service: Any, credentials: Any, lists: int, attempts: int, budget: int, sent: int
) -> None:
    service.get(page_url("PageSize=1000"), status=503, repeat=True)
    async with a_client(credentials, max_attempts=attempts, budget=budget) as client:
        for _ in range(lists):
            with pytest.raises(ServerError):
                await client.recordings(ROOM_SID).to_list()
    assert times_sent(service) == sent


async def test_refusals_for_the_rate_leave_a_client_its_budget(service: Any, credentials: Any) -> None:
    async with a_client(credentials, max_attempts=3, budget=1) as client:
        service.get(page_url("PageSize=1000"), status=429, repeat=12)
        for _ in range(4):
            with pytest.raises(RateLimitError):
                await client.recordings(ROOM_SID).to_list()
        assert times_sent(service) == 12
        service.get(page_url("PageSize=1000"), status=503)
        service.get(page_url("PageSize=1000"), body=body([]))
        assert await client.recordings(ROOM_SID).to_list() == []


def test_a_retry_that_was_never_sent_is_put_back() -> None:
    budget = RetryBudget(RetryPolicy(budget=1))
    assert budget.take(BROKEN)
    assert not budget.take(BROKEN)
    budget.put_back(BROKEN)
    assert budget.take(BROKEN)
    # A refusal takes nothing, and so has nothing to put back.
    budget.put_back(answered(429))
    assert not budget.take(BROKEN)


async def test_a_backoff_that_is_cancelled_puts_its_retry_back(service: Any, credentials: Any) -> None:
    retry = RetryPolicy(base_delay=60, max_delay=60, budget=1)
    service.get(page_url("PageSize=1000"), status=503, repeat=True)
    async with RecordingsClient(credentials, retry=retry) as client:
        for _ in range(3):
            # A budget that was used up would end the list with its error instead.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.recordings(ROOM_SID).to_list()
