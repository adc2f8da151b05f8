"""Dates of the service, in all the forms in which they were seen."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from ._text import safe_repr

# What no parser takes though it is a valid time in ISO 8601: a leap second, and the midnight at the end of a day.
# Compiled when the first such date comes.
_LEAP_SECOND: Final = r"(?<=\d\d:\d\d:)60(?!\d)"
_END_OF_DAY: Final = r"(?<=[T ])24(?=:00(:00([.,]0+)?)?(?![\d:.,]))"


def parse_date(value: str) -> datetime:
    """Return an aware date in RFC 3339, any other form of ISO 8601, or RFC 2822; one without an offset is in UTC.

    A leap second becomes the second after it, and 24:00 the start of the next day.

    Raises:
        ValueError: it is in none of these forms, or there is no such date.
    """
    date = _parse(value) or _parse_repaired(value)
    if date is None:
        raise ValueError(f"{safe_repr(value)} where an ISO 8601 date should be")
    # The reference gives its dates in GMT: one without an offset means that.
    if date.tzinfo is None:
        return date.replace(tzinfo=UTC)
    return date


def format_iso8601(date: datetime) -> str:
    """Return a date in ISO 8601, with ``Z`` for UTC."""
    text = date.isoformat()
    if text.endswith("+00:00"):
        return f"{text.removesuffix('+00:00')}Z"
    return text


def _parse(value: str) -> datetime | None:
    """Return the date as the first parser reads it that can, or None."""
    # First as the strict decoder does it, so that a date means the same beside a record that needs repair.
    for parse in (_parse_rfc3339, datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(value)
        except (ValueError, OverflowError, msgspec.MsgspecError):
            continue
    return None


def _parse_rfc3339(value: str) -> datetime:
    return msgspec.convert(value, datetime)


def _parse_repaired(value: str) -> datetime | None:
    """Return a date with a leap second, or with 24:00, or None for any other."""
    for pattern, replacement, step in (
        (_LEAP_SECOND, "59", timedelta(seconds=1)),
        (_END_OF_DAY, "00", timedelta(days=1)),
    ):
        repaired, count = re.subn(pattern, replacement, value)
        date = _parse(repaired) if count else None
        if date is not None:
            # The last second of the calendar has none after it.
            with suppress(OverflowError):
                return date + step
    return None
