"""The edges of what is tried again: the documented defaults, the largest values, the exact messages."""

from __future__ import annotations

import sys
from typing import Any

import attrs
import pytest

from roomrec_async import ConnectionFailedError, InvalidArgumentError, RetryPolicy, ServerError

BROKEN = ConnectionFailedError("reset", method="GET", url="u")


def told_to_wait(seconds: float) -> ServerError:
    return ServerError(status=503, message="no", method="GET", url="u", retry_after=seconds)


def test_the_defaults_are_the_documented_ones() -> None:
    assert attrs.asdict(RetryPolicy()) == {
        "max_attempts": 5,
        "base_delay": 0.5,
        "max_delay": 20.0,
        "max_retry_after": 120.0,
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
    assert policy.delay(told_to_wait(7), attempt, 0.0) == 7
    assert policy.delay(told_to_wait(7), attempt, 0.5) == 7 + spread / 2
    assert policy.delay(told_to_wait(7), attempt, 1.0) == 7 + spread
