"""Checks of arguments: what each accepts, and the message with which it refuses the rest."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async._validate import (
    ACCOUNT_SID,
    ANY_SID,
    API_KEY_SID,
    INT64_MAX,
    RECORDING_SID,
    ROOM_SID,
    canonical_sid,
    check_aware,
    check_choice,
    check_integer,
    check_match,
    check_rate,
    check_recording_sid,
    check_room_sid,
    check_seconds,
    is_number,
)

HEX = "0123456789abcdefABCDEF0123456789"


def refusal(check: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        check(*arguments, **options)
    return str(caught.value)


# Integers


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (0, {"minimum": 0}),
        (9_223_372_036_854_775_807, {"minimum": 0}),
        (-5, {"minimum": -5, "maximum": 5}),
        (5, {"minimum": -5, "maximum": 5}),
        (4, {"minimum": 4, "maximum": 4}),
        (0, {"minimum": 0, "even": True}),
        (-2, {"minimum": -2, "even": True}),
        (2**70, {"minimum": 0, "maximum": 2**70}),
    ],
)
def test_an_integer_within_its_bounds_is_returned(value: int, bounds: dict[str, Any]) -> None:
    assert check_integer("count", value, **bounds) == value


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-1, {"minimum": 0}, "count must be an integer from 0, not -1"),
        (2**63, {"minimum": 0}, "count must be an integer from 0, not 9223372036854775808"),
        (6, {"minimum": 1, "maximum": 5}, "count must be an integer from 1 to 5, not 6"),
        (0, {"minimum": 1, "maximum": 5}, "count must be an integer from 1 to 5, not 0"),
        (3, {"minimum": 2, "even": True}, "count must be an even number from 2, not 3"),
        (12, {"minimum": 2, "maximum": 10, "even": True}, "count must be an even number from 2 to 10, not 12"),
        (0, {"minimum": 1, "alternative": "or None"}, "count must be an integer from 1, or None, not 0"),
        (
            9,
            {"minimum": 2, "maximum": 8, "even": True, "alternative": "'auto' or None"},
            "count must be an even number from 2 to 8, 'auto' or None, not 9",
        ),
        pytest.param(
            10**5000, {"minimum": 0}, "count must be an integer from 0, not a very large int", id="5001 digits"
        ),
    ],
)
def test_an_integer_out_of_bounds_is_refused_with_its_bounds(value: int, bounds: dict[str, Any], message: str) -> None:
    assert refusal(check_integer, "count", value, **bounds) == message


TEXT_HINT = ": a text, such as an environment variable, becomes a number with int(...)"
NUMBER_HINTS = {
    "'1'": TEXT_HINT,
    "b'1'": TEXT_HINT,
    repr(timedelta(days=1)): ": give its .total_seconds()",
}


@pytest.mark.parametrize("value", [True, False, 1.0, "1", b"1", None, [1], Decimal(1), float("nan")], ids=repr)
def test_what_is_not_an_integer_is_refused(value: object) -> None:
    message = f"count must be an integer from 0, not {value!r}"
    assert refusal(check_integer, "count", value, minimum=0) == f"{message}{NUMBER_HINTS.get(repr(value), '')}"


def test_the_largest_integer_is_that_of_64_bits() -> None:
    assert INT64_MAX == 9_223_372_036_854_775_807


# Seconds and rates

NO_NUMBERS = [True, False, "1", None, timedelta(1), Decimal(1), Fraction(1, 2), 1j]


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.5, 5e-324, sys.float_info.max, 10**308], ids=repr)
def test_seconds_are_any_finite_number_from_0(value: float) -> None:
    assert check_seconds("wait", value) == value


@pytest.mark.parametrize(
    "value", [-1, -0.001, float("inf"), float("-inf"), float("nan"), 10**309, *NO_NUMBERS], ids=lambda v: repr(v)[:20]
)
def test_anything_else_is_no_number_of_seconds(value: object) -> None:
    message = refusal(check_seconds, "wait", value)
    assert message.startswith("wait must be a number of seconds from 0, not ")
    assert message.removeprefix("wait must be a number of seconds from 0, not ").startswith(repr(value)[:80])


def test_positive_seconds_exclude_0() -> None:
    assert check_seconds("wait", 5e-324, positive=True) == 5e-324
    for value in (0, 0.0, -1):
        message = f"wait must be a positive number of seconds, not {value!r}"
        assert refusal(check_seconds, "wait", value, positive=True) == message


@pytest.mark.parametrize("value", [5e-324, 0.5, 1, 80, 1_000_000], ids=repr)
def test_a_rate_is_positive_and_at_most_its_maximum(value: float) -> None:
    assert check_rate("rate", value, maximum=1_000_000) == value


@pytest.mark.parametrize("value", [0, -1, 1_000_000.5, float("inf"), float("nan"), *NO_NUMBERS], ids=repr)
def test_any_other_rate_is_refused(value: object) -> None:
    hint = NUMBER_HINTS.get(repr(value), "").replace("int(", "float(")
    message = f"rate must be positive and at most 1,000,000, or None, not {value!r}{hint}"
    assert refusal(check_rate, "rate", value, maximum=1_000_000) == message


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, True), (-1.5, True), (float("nan"), True), *((value, False) for value in NO_NUMBERS)],
    ids=lambda v: repr(v)[:20],
)
def test_a_number_is_an_int_or_a_float_and_no_bool(value: object, expected: bool) -> None:
    assert is_number(value) is expected


# Strings


@pytest.mark.parametrize("value", ["csv", "json", "parquet"])
def test_one_of_the_choices_is_returned(value: str) -> None:
    assert check_choice("format", value, ["csv", "json", "parquet"]) == value


@pytest.mark.parametrize("value", ["", "CSV", "csv ", "xlsx", None, 1, ["csv"]], ids=repr)
def test_anything_else_is_refused_with_the_choices(value: Any) -> None:
    message = f"format must be 'csv', 'json' or 'parquet', not {value!r}"
    assert refusal(check_choice, "format", value, ["csv", "json", "parquet"]) == message
    assert refusal(check_choice, "format", value, ("a", "b")) == f"format must be 'a' or 'b', not {value!r}"


def test_a_string_that_the_pattern_matches_is_returned() -> None:
    assert check_match("code", "ab12", re.compile("[a-z]+[0-9]+"), "letters and digits") == "ab12"


@pytest.mark.parametrize("value", ["", "ab", "ab12\n", " ab12", "xab12!", b"ab12", 12, None], ids=repr)
def test_a_string_that_the_pattern_matches_in_part_is_refused(value: object) -> None:
    message = f"code must be letters and digits, not {value!r}"
    assert refusal(check_match, "code", value, re.compile("[a-z]+[0-9]+"), "letters and digits") == message


# SIDs

SIDS = [
    pytest.param(check_room_sid, "RM", "room_sid must be 'RM' and 32 hexadecimal digits", id="room"),
    pytest.param(check_recording_sid, "RT", "a recording's sid must be 'RT' and 32 hexadecimal digits", id="recording"),
]


@pytest.mark.parametrize(("check", "prefix", "expected"), SIDS)
def test_a_sid_is_its_prefix_and_32_hexadecimal_digits(check: Callable[[str], str], prefix: str, expected: str) -> None:
    for sid in (prefix + HEX, prefix + "0" * 32, prefix + "F" * 32):
        assert check(sid) == sid


@pytest.mark.parametrize(("check", "prefix", "expected"), SIDS)
@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param(lambda prefix: "", id="empty"),
        pytest.param(lambda prefix: prefix, id="prefix alone"),
        pytest.param(lambda prefix: prefix + "a" * 31, id="one digit short"),
        pytest.param(lambda prefix: prefix + "a" * 33, id="one digit long"),
        pytest.param(lambda prefix: prefix + "a" * 31 + "g", id="not hexadecimal"),
        pytest.param(lambda prefix: prefix + "a" * 32 + "\n", id="newline at the end"),
        pytest.param(lambda prefix: " " + prefix + "a" * 32, id="space before"),
        pytest.param(lambda prefix: prefix + "a" * 31 + "\u0661", id="digit of another script"),
        pytest.param(lambda prefix: prefix + "a" * 31 + "/", id="slash"),
        pytest.param(lambda prefix: prefix.lower() + "a" * 32, id="lower case prefix"),
        pytest.param(lambda prefix: "AC" + "a" * 32, id="another kind"),
        pytest.param(lambda prefix: "my-room", id="a unique name"),
        pytest.param(lambda prefix: "../Rooms", id="path"),
        pytest.param(lambda prefix: (prefix + "a" * 32).encode(), id="bytes"),
        pytest.param(lambda prefix: 1, id="int"),
        pytest.param(lambda prefix: None, id="none"),
    ],
)
def test_anything_else_is_no_sid(
    check: Callable[[Any], str], prefix: str, expected: str, malformed: Callable[[str], object]
) -> None:
    value = malformed(prefix)
    assert refusal(check, value) == f"{expected}, not {value!r}"


def test_the_sid_of_a_recording_is_none_of_a_room() -> None:
    assert refusal(check_room_sid, "RT" + HEX).startswith("room_sid must be")
    assert refusal(check_recording_sid, "RM" + HEX).startswith("a recording's sid must be")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [(ROOM_SID, "RM"), (RECORDING_SID, "RT"), (ACCOUNT_SID, "AC"), (API_KEY_SID, "SK"), (ANY_SID, "zZ")],
)
def test_the_patterns_are_those_of_the_published_description(pattern: re.Pattern[str], prefix: str) -> None:
    assert pattern.fullmatch(prefix + HEX)
    assert not pattern.fullmatch(prefix + HEX[1:])
    assert not pattern.fullmatch(f"1{prefix[1]}{HEX}")


# Dates


class NoOffset(tzinfo):
    """A time zone that does not know its offset, which makes a datetime naive."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=8))])
def test_an_aware_datetime_is_returned_as_it_is(zone: timezone) -> None:
    instant = datetime(2017, 6, 1, 12, tzinfo=zone)
    assert check_aware("after", instant) is instant


@pytest.mark.parametrize("value", [date(2017, 6, 1), "2017-06-01T00:00:00Z", 1496275200, 0, None], ids=repr)
def test_what_is_not_a_datetime_is_refused(value: object) -> None:
    assert refusal(check_aware, "after", value).startswith(f"after must be a datetime, not {value!r}")


@pytest.mark.parametrize("zone", [None, NoOffset()], ids=["no zone", "no offset"])
def test_a_naive_datetime_is_refused_with_a_remedy(zone: tzinfo | None) -> None:
    naive = datetime(2017, 6, 1, tzinfo=zone)
    assert refusal(check_aware, "after", naive) == (
        f"after must have a time zone: {naive!r} is naive. For UTC, use .replace(tzinfo=datetime.UTC)"
    )


@pytest.mark.parametrize("sid", ["RM" + "aB" * 16, "rm" + "AB" * 16, "Rm" + "ab" * 16])
def test_all_spellings_of_a_sid_have_one_canonical_form(sid: str) -> None:
    assert canonical_sid(sid) == "RM" + "ab" * 16
    assert canonical_sid(canonical_sid(sid)) == canonical_sid(sid)
