"""Numbers and dates as text for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.filesize import decimal

from roomrec_async._format import (
    format_count,
    format_date,
    format_duration,
    format_hours,
    format_hours_and_minutes,
    format_milliseconds,
    format_number,
    format_pace,
    format_size,
)

DAY = 86_400_000


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1_234_567, "1,234,567")])
def test_numbers_have_thousands_separators(number: int, text: str) -> None:
    assert format_number(number) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 rooms"), (1, "1 room"), (1_200, "1,200 rooms")])
def test_nouns_are_plural_unless_there_is_one(count: int, text: str) -> None:
    assert format_count(count, "room") == text


class TestSizes:
    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (1_249_999, "1.2 MB"),
            (999_999, "1,000.0 kB"),
            (2**63 - 1, "9.2 EB"),
            (10**27, "1,000.0 YB"),
            (-5, "-5 bytes"),
            (10**400, f"{10**376:,} YB"),
        ],
    )
    def test_have_one_decimal_place(self, size: int, text: str) -> None:
        assert format_size(size) == text

    @given(st.integers(0, 10**28))
    def test_read_as_those_in_rich_progress_bars(self, size: int) -> None:
        assert format_size(size) == decimal(size)

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (1, "1 byte"),
            (1_000, "1 kB"),
            (1_250_000_000, "1.25 GB"),
            (12_500_000_000, "12.5 GB"),
            (125_400_000_000, "125 GB"),
            (99_960, "100 kB"),
            (999_999, "1000 kB"),
        ],
    )
    def test_can_have_three_significant_digits(self, size: int, text: str) -> None:
        assert format_size(size, significant_digits=3) == text


class TestDurations:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0:00:00"),
            (59.9, "0:00:59"),
            (36_061, "10:01:01"),
            (86_400 + 3_725, "1 day, 1:02:05"),
            (10**15, "11574074074 days, 1:46:40"),
            (-1, "-1 day, 23:59:59"),
        ],
    )
    def test_in_whole_seconds(self, seconds: float, text: str) -> None:
        assert format_duration(seconds) == text

    @given(st.integers(-(10**12), 10**12))
    def test_in_whole_seconds_as_those_of_a_timedelta(self, seconds: int) -> None:
        assert format_duration(seconds) == str(timedelta(seconds=seconds))

    @pytest.mark.parametrize(("seconds", "text"), [(0, "0.0 h"), (5_400, "1.5 h"), (4_444_200, "1,234.5 h")])
    def test_in_hours(self, seconds: int, text: str) -> None:
        assert format_hours(seconds) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (359_999, "99 h 59 min"),
            (360_000 + 3_000, "100 h"),
            (4_320_000, "1,200 h"),
        ],
    )
    def test_in_hours_and_minutes(self, seconds: int, text: str) -> None:
        assert format_hours_and_minutes(seconds) == text

    @pytest.mark.parametrize(
        ("milliseconds", "text", "exact_text"),
        [
            (0, "0:00", "0:00"),
            (999, "0:00", "0:00.999"),
            (65_000, "1:05", "1:05"),
            (3_723_004, "1:02:03", "1:02:03.004"),
            (DAY, "1d 00:00", "1d 00:00"),
            (2 * DAY + 23_400_000, "2d 06:30", "2d 06:30"),
            (DAY + 1_050, "1d 00:00:01", "1d 00:00:01.050"),
            (DAY + 50, "1d 00:00", "1d 00:00:00.050"),
        ],
    )
    def test_as_on_a_clock(self, milliseconds: int, text: str, exact_text: str) -> None:
        assert format_milliseconds(milliseconds) == text
        assert format_milliseconds(milliseconds, exact=True) == exact_text


@pytest.mark.parametrize(
    ("recordings", "elapsed", "text"),
    [
        (0, 0.0, "0 recordings · 0/s"),
        (1, 2.0, "1 recording · 0/s"),
        (12_000, 4.0, "12,000 recordings · 3,000/s"),
    ],
)
def test_pace_is_the_average_rate(recordings: int, elapsed: float, text: str) -> None:
    assert format_pace(recordings, elapsed) == text


def test_dates_are_in_utc() -> None:
    instant = datetime(2026, 3, 1, 1, 30, 15, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert format_date(instant) == "2026-02-28 23:30:15"
    assert format_date(instant, timespec="minutes") == "2026-02-28 23:30"
    assert format_date(datetime(33, 1, 1, tzinfo=UTC)) == "0033-01-01 00:00:00"


def test_dates_that_utc_does_not_have_keep_their_offset() -> None:
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    assert format_date(first) == "0001-01-01 00:00:00+14:00"
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12)))
    assert format_date(last, timespec="minutes") == "9999-12-31 23:59-12:00"
