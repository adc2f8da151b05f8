"""Dates of the service, in each form in which they were seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async._dates import parse_date

NEW_YEAR = datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2017-01-01T00:00:00Z",
        "2016-12-31T19:00:00-05:00",
        "2017-01-01",
        "20170101T000000Z",
        "Sun, 01 Jan 2017 00:00:00 GMT",
        "2016-12-31T23:59:60Z",
        "2016-12-31T23:59:60.000Z",
        "2017-01-01T00:59:60+01:00",
        "Sat, 31 Dec 2016 23:59:60 GMT",
        "2016-12-31T24:00:00Z",
        "2016-12-31T24:00Z",
        "2016-12-31 24:00:00.0",
        "2016-12-31T19:00:00-0500",
    ],
)
def test_the_same_instant_in_many_forms(text: str) -> None:
    assert parse_date(text) == NEW_YEAR


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2016-12-31T23:60:00Z",
        "2016-12-31T23:59:61Z",
        "2016-12-31T23:59:600Z",
        "2016-12-31T24:00:01Z",
        "2016-12-31T24:30:00Z",
        "2016-02-30T24:00:00Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T24:00:00Z",
        "2016-12-31T22:00:00+24:00",
    ],
)
def test_what_is_no_date_is_refused_and_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r" where an ISO 8601 date should be$") as caught:
        parse_date(text)
    assert repr(text) in str(caught.value)


@given(st.datetimes(timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_every_date_is_read_as_it_was_written(date: datetime) -> None:
    assert parse_date(date.isoformat()) == date


@given(st.text("0123456789-+:.,TZ /aGMJn") | st.text())
def test_any_text_is_an_aware_date_or_refused(text: str) -> None:
    try:
        date = parse_date(text)
    except ValueError:
        return
    assert date.utcoffset() is not None
