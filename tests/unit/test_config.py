"""The settings of a client: their defaults, their bounds, and the messages of refusals."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import pytest

from roomrec_async import (
    Bounds,
    ConnectionFailedError,
    Credentials,
    DateWindow,
    InvalidArgumentError,
    RateLimiter,
    RetryPolicy,
    ServerError,
    Size,
    Timeout,
)

BROKEN = ConnectionFailedError("reset", method="GET", url="u")


def retry_after(seconds: float) -> ServerError:
    return ServerError(status=503, message="no", method="GET", url="u", retry_after=seconds)


def test_the_defaults_are_the_documented_ones() -> None:
    assert attrs.asdict(RetryPolicy()) == {
        "max_attempts": 5,
        "base_delay": 0.5,
        "max_delay": 20.0,
        "max_retry_after": 30.0,
        "budget": 50,
    }


def test_the_settings_are_given_by_name() -> None:
    positional: Any = RetryPolicy
    with pytest.raises(TypeError, match="positional"):
        positional(5)


@pytest.mark.parametrize("name", ["base_delay", "max_delay", "max_retry_after"])
def test_the_longest_wait_that_can_be_given_is_the_largest_float(name: str) -> None:
    assert getattr(RetryPolicy(**{name: sys.float_info.max}), name) == sys.float_info.max


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base_delay": -1}, "base_delay must be a number of seconds from 0, not -1"),
        ({"max_delay": "soon"}, "max_delay must be a number of seconds from 0, not 'soon'"),
        ({"max_attempts": 0}, "max_attempts must be an integer from 1, not 0"),
        ({"budget": 1.5}, "budget must be an integer from 1, not 1.5"),
    ],
)
def test_a_refusal_names_the_setting_what_it_must_be_and_what_it_was(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        RetryPolicy(**given)
    assert str(caught.value) == message


def test_the_wait_goes_on_doubling_for_as_long_as_its_cap_lets_it() -> None:
    policy = RetryPolicy(base_delay=2**-20, max_delay=2**20)
    assert [policy.delay(BROKEN, attempt, 1.0) for attempt in (1, 2, 21, 33)] == [2**-20, 2**-19, 1, 2**12]


@pytest.mark.parametrize("attempt", [1, 4, 50])
@pytest.mark.parametrize(
    ("base_delay", "max_delay", "spread"),
    [pytest.param(1, 5, 1, id="the first wait"), pytest.param(5, 2, 2, id="the cap below it")],
)
def test_clients_that_were_told_the_same_time_come_back_spread_over_a_first_wait(
    attempt: int, base_delay: float, max_delay: float, spread: float
) -> None:
    policy = RetryPolicy(base_delay=base_delay, max_delay=max_delay)
    assert policy.delay(retry_after(7), attempt, 0.0) == 7
    assert policy.delay(retry_after(7), attempt, 0.5) == 7 + spread / 2
    assert policy.delay(retry_after(7), attempt, 1.0) == 7 + spread


@pytest.mark.parametrize("name", ["max_attempts", "budget"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_policy_of_less_than_one_is_refused(name: str, value: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be an integer from 1, not {value}$"):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("name", ["base_delay", "max_delay", "max_retry_after"])
@pytest.mark.parametrize("value", [-1, -0.001, math.inf, -math.inf, math.nan, True, "1", None], ids=repr)
def test_a_policy_with_waits_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be a number of seconds from 0, not "):
        RetryPolicy(**{name: value})


def test_the_least_policy() -> None:
    policy = RetryPolicy(max_attempts=1, base_delay=0, max_delay=0, max_retry_after=0, budget=1)
    assert policy.delay(retry_after(60), 1, 1.0) == 0


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RetryPolicy().max_attempts = 7


@pytest.mark.parametrize("name", ["max_attempts", "budget"])
@pytest.mark.parametrize("value", [1.5, float("nan"), True, None, "1"])
def test_a_policy_of_something_else_than_a_count_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("base_delay", 10**400, id="an integer beyond all floats"),
        pytest.param("max_retry_after", -(10**5000), id="an integer of 5000 digits, for a time"),
        pytest.param("max_attempts", -(10**5000), id="an integer of 5000 digits, for a count"),
    ],
)
def test_a_policy_of_numbers_that_python_cannot_convert_or_print_is_refused(name: str, value: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be "):
        RetryPolicy(**{name: value})


# Timeouts


def test_the_timeouts_are_the_documented_ones() -> None:
    assert attrs.astuple(Timeout(), filter=lambda field, _: field.init) == (300.0, 10.0, 30.0)


@pytest.mark.parametrize("name", ["total", "connect", "read"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, True, "5", 10**400], ids=lambda value: repr(value)[:9])
def test_a_timeout_that_is_not_a_positive_number_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^timeout: {name} must be a positive number of seconds, not "):
        Timeout(**{name: value})


@pytest.mark.parametrize("name", ["total", "connect", "read"])
def test_none_lifts_a_timeout(name: str) -> None:
    assert getattr(Timeout(**{name: None}), name) is None


def test_a_number_is_the_total_timeout_and_none_the_default() -> None:
    default = Timeout(total=60, connect=1, read=2)
    assert Timeout._resolve(None, default) is default
    assert Timeout._resolve(5, default) == Timeout(total=5, connect=1, read=2)
    assert Timeout._resolve(Timeout(total=7), default) == Timeout(total=7)


# Bounds


def test_the_bounds_are_the_documented_ones() -> None:
    assert attrs.asdict(Bounds()) == {"max_response_bytes": 67_108_864, "max_pages": 1_000_000}


@pytest.mark.parametrize("name", ["max_response_bytes", "max_pages"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "1"], ids=repr)
def test_a_bound_that_is_not_a_count_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be an integer from 1, not "):
        Bounds(**{name: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Timeout(total=-1),
        lambda: RetryPolicy(base_delay=-1),
        lambda: RateLimiter(max_concurrency=0),
        lambda: RateLimiter(reads_per_second=0),
        lambda: Bounds(max_pages=0),
        lambda: Size(width="a"),
        lambda: Size(width=15),
        lambda: DateWindow(datetime.fromisoformat("2026-01-01T00:00:00")),
        lambda: Credentials("not a SID", "token"),
    ],
)
def test_whatever_is_out_of_its_bounds_is_a_value_error_of_this_library(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make()
    assert isinstance(caught.value, ValueError)
