"""Dates and times as people write them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from roomrec_async.cli.support.dates import DateTimeType, parse_spoken

NOW = datetime(2026, 3, 15, 9, 30, 20, tzinfo=UTC)
ZONE = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("7d", datetime(2026, 3, 8, 9, 30, 20, tzinfo=UTC)),
        ("36h", datetime(2026, 3, 13, 21, 30, 20, tzinfo=UTC)),
        ("90min", datetime(2026, 3, 15, 8, 0, 20, tzinfo=UTC)),
        ("20 s", datetime(2026, 3, 15, 9, 30, tzinfo=UTC)),
        ("2w", datetime(2026, 3, 1, 9, 30, 20, tzinfo=UTC)),
        ("2 weeks ago", datetime(2026, 3, 1, 9, 30, 20, tzinfo=UTC)),
        ("1 day", datetime(2026, 3, 14, 9, 30, 20, tzinfo=UTC)),
        ("1d12h", datetime(2026, 3, 13, 21, 30, 20, tzinfo=UTC)),
        ("0d", NOW),
        ("now", NOW),
        ("today", datetime(2026, 3, 15, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 14, tzinfo=UTC)),
        ("tomorrow", None),
        ("7", None),
        ("d7", None),
        ("-7d", None),
        ("ago", None),
        ("", None),
    ],
)
def test_words_and_lengths_of_time(text: str, instant: datetime | None) -> None:
    assert parse_spoken(text, NOW) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01 09:30+02:00", datetime(2026, 3, 1, 9, 30, tzinfo=ZONE)),
        ("20260301T093000Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("20260301", datetime(2026, 3, 1, tzinfo=UTC)),
        (" 2026-03-01 ", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_iso8601_and_dates_which_are_in_utc(text: str, instant: datetime) -> None:
    assert DateTimeType().convert(text, None, None) == instant


def test_lengths_are_counted_from_now() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    week_ago = DateTimeType().convert("7D", None, None)
    assert before <= week_ago + timedelta(days=7) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-03-01T09:30:00", "has no time zone: for UTC write 2026-03-01T09:30:00Z"),
        ("2026-03-01 09:30", "has no time zone: for UTC write 2026-03-01T09:30:00Z"),
        ("2026-02-30", "'2026-02-30' is not a time such as 7d, 36h, yesterday"),
        ("01.03.2026", "is not a time such as"),
        ("soon", "'soon' is not a time such as"),
        ("", "'' is not a time such as"),
        ("3m", "write min for minutes, and days for months"),
        ("3 months ago", "write min for minutes, and days for months"),
        ("5y", "the units are s, min, h, d and w, not y"),
        ("800000d", "is before the first year"),
        ("9" * 30 + "w", "is before the first year"),
        ("\x1b[2J", "'\\x1b[2J' is not a time"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        DateTimeType().convert(text, None, None)
    assert message in caught.value.message
