"""Numbers and dates as text for people: in terminals, notebooks and pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_SIZE_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
# Bytes, in the largest unit: a float has no room for many more.
_MAX_FLOAT_SIZE: Final = 10**300
# Minutes are noise beside this many hours.
_MAX_HOURS_WITH_MINUTES: Final = 100


def format_number(number: int) -> str:
    """Return an integer with thousands separators, such as ``1,200``."""
    return f"{number:,}"


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural where needed: ``1 room``, ``1,200 rooms``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}s"


def format_size(size: int, *, significant_digits: int | None = None) -> str:
    """Return a number of bytes in SI units.

    Args:
        size: bytes.
        significant_digits: digits to keep, such as 3 for ``1.25 GB``; None for one decimal place, ``1.2 GB``.
    """
    if size < 1000:  # noqa: PLR2004  SI units are powers of it
        return format_count(size, "byte")

    power = min((len(str(size)) - 1) // 3, len(_SIZE_UNITS) - 1)
    if size > _MAX_FLOAT_SIZE:
        return f"{size // 1000**power:,} {_SIZE_UNITS[power]}"
    value = size / 1000**power
    if significant_digits is None:
        number = f"{value:,.1f}"
    elif value >= 10 ** (significant_digits - 1):
        # The g format would write 1e+03 for what rounds up to 1000.
        number = f"{value:.0f}"
    else:
        number = f"{value:.{significant_digits}g}"
    return f"{number} {_SIZE_UNITS[power]}"


def format_duration(seconds: float) -> str:
    """Return a duration as hours, minutes and whole seconds, after its days: ``1:02:05``, ``2 days, 1:02:05``."""
    # A timedelta has at most 2.7 million years, which a service in error may exceed.
    days, rest = divmod(int(seconds), _DAY)
    text = str(timedelta(seconds=rest))
    if not days:
        return text
    noun = "day" if abs(days) == 1 else "days"
    return f"{days} {noun}, {text}"


def format_hours(seconds: int) -> str:
    """Return a duration in hours with one decimal place: ``1,234.5 h``."""
    return f"{seconds / _HOUR:,.1f} h"


def format_hours_and_minutes(seconds: int) -> str:
    """Return a duration in its largest units: ``45 s``, ``12 min``, ``2 h 5 min`` or ``1,200 h``."""
    if seconds < _MINUTE:
        return f"{seconds} s"

    hours = seconds // _HOUR
    minutes = seconds % _HOUR // _MINUTE
    if not hours:
        return f"{minutes} min"
    if not minutes or hours >= _MAX_HOURS_WITH_MINUTES:
        return f"{hours:,} h"
    return f"{hours} h {minutes} min"


def format_milliseconds(milliseconds: int, *, exact: bool = False) -> str:
    """Return a time on a timeline, or a length of time, as a clock shows it: ``1:05``, ``1:02:03``, ``2d 06:30``.

    Args:
        milliseconds: not negative.
        exact: True to add the milliseconds, if there are any: ``1:05.250``.
    """
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)

    fraction = f".{rest:03}" if exact and rest else ""
    if days:
        text = f"{days}d {hours:02}:{minutes:02}"
        # Beside days, seconds are shown only where they are not zero.
        if seconds or fraction:
            text += f":{seconds:02}{fraction}"
        return text
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}{fraction}"
    return f"{minutes}:{seconds:02}{fraction}"


def format_pace(recordings: int, elapsed: float) -> str:
    """Return a number of recordings and their rate over the elapsed seconds: ``1,200 recordings · 300/s``."""
    rate = recordings / elapsed if elapsed else 0
    return f"{format_count(recordings, 'recording')} · {rate:,.0f}/s"


def format_date(instant: datetime, *, timespec: str = "seconds") -> str:
    """Return an aware date and time in UTC, without its offset: ``2026-03-01 09:30:00``.

    An instant that UTC has no date for, before year 1 or after year 9999, keeps its own offset.

    Args:
        instant: the date and time.
        timespec: last component to show, as for :meth:`datetime.datetime.isoformat`: ``minutes`` or ``seconds``.
    """
    try:
        date = instant.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        date = instant
    return date.isoformat(" ", timespec)
