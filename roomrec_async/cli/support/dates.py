"""Dates and times on the command line: as ISO 8601 has them, and as people say them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import click

from roomrec_async._dates import format_iso8601
from roomrec_async._text import safe_repr, safe_text

# Where the context of a command keeps what its dates were taken for, and the present.
_NOTES_KEY: Final = "roomrec.dates"
_NOW_KEY: Final = "roomrec.now"
# Where it keeps the words of dates that depend on the present, by option.
_WORDS_KEY: Final = "roomrec.words"

# Not "m": some take it for minutes and some for months, and a deletion may depend on it.
_UNITS: Final = {
    "s": "seconds",
    "sec": "seconds",
    "second": "seconds",
    "min": "minutes",
    "minute": "minutes",
    "h": "hours",
    "hour": "hours",
    "d": "days",
    "day": "days",
    "w": "weeks",
    "week": "weeks",
}
_PART: Final = re.compile(r"(\d+)\s*([a-z]+)", re.ASCII)
_AGO: Final = re.compile(r"(?:\d+\s*[a-z]+\s*)+?(?:ago)?", re.ASCII)

_FORMS: Final = "a time such as 7d, 36h, yesterday, 2026-03-01 or 2026-03-01T09:30:00Z"


class DateTimeType(click.ParamType[datetime]):
    """An ISO 8601 date and time with its time zone, a date, which is in UTC, or a time before now such as ``7d``."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the date and time that a text stands for."""
        if isinstance(value, datetime):
            return value
        text = value.strip()
        try:
            instant = parse_date_alone(text) or datetime.fromisoformat(text)
        except ValueError:
            return self._parse_spoken(value, param, ctx)
        if instant.utcoffset() is None:
            in_utc = f"{instant.isoformat()}Z"
            self.fail(f"{value!r} has no time zone: for UTC write {in_utc}, else add an offset like +02:00", param, ctx)
        if parse_date_alone(text):
            note(text, instant, param, ctx)
        return instant

    def _parse_spoken(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            instant = parse_spoken(value.strip().lower(), present(ctx))
        except OverflowError:
            self.fail(f"{safe_repr(value)} is before the first year", param, ctx)
        except ValueError as error:
            self.fail(f"{safe_repr(value)} is not {_FORMS}: {error}", param, ctx)
        if instant is None:
            self.fail(f"{safe_repr(value)} is not {_FORMS}", param, ctx)
        note(value, instant, param, ctx)
        if ctx is not None and param is not None:
            ctx.meta.setdefault(_WORDS_KEY, {})[param.opts[0]] = value.strip().lower()
        return instant


def parse_date_alone(text: str) -> datetime | None:
    """Return the start of a day in UTC, or None if the text is not a date without a time."""
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError:
        return None


def parse_spoken(text: str, now: datetime) -> datetime | None:
    """Return the instant that a word or a length of time before now stands for; None for anything else.

    Args:
        text: in lower case.
        now: the present, in UTC.

    Raises:
        ValueError: there is no such unit.
        OverflowError: it is before the first year.
    """
    today = now.replace(hour=0, minute=0, second=0)
    words = {"now": now, "today": today, "yesterday": today - timedelta(days=1)}
    if text in words:
        return words[text]
    if _AGO.fullmatch(text):
        return now - parse_length(text)
    return None


def parse_length(text: str) -> timedelta:
    """Return a length of time such as ``7d``, ``36 hours`` or ``1h30min``.

    Raises:
        ValueError: it has an unknown unit.
        OverflowError: it is longer than a timedelta can be.
    """
    total = timedelta()
    for number, unit in _PART.findall(text.removesuffix("ago")):
        name = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if name is None:
            hint = "write min for minutes, and days for months" if unit in {"m", "month", "months"} else ""
            raise ValueError(hint or f"the units are s, min, h, d and w, not {unit}")
        total += timedelta(**{name: int(number)})
    return total


def present(ctx: click.Context | None) -> datetime:
    """Return the present in UTC and whole seconds, as the service's dates are; the same for all dates of a command."""
    now = datetime.now(UTC).replace(microsecond=0)
    if ctx is None:
        return now
    kept: datetime = ctx.meta.setdefault(_NOW_KEY, now)
    return kept


def note(value: str, instant: datetime, param: click.Parameter | None, ctx: click.Context | None) -> None:
    """Keep what a text was taken for, until :func:`print_dates`."""
    if ctx is not None and param is not None:
        ctx.meta.setdefault(_NOTES_KEY, []).append(
            f"{param.opts[0]} {safe_text(value)}: {format_iso8601(instant)} (UTC)"
        )


def words_of_window(after: datetime, before: datetime | None) -> list[str] | None:
    """Return ``--after`` and ``--before`` in words, as they were given; None if they do not depend on the present."""
    words: dict[str, str] = click.get_current_context().meta.get(_WORDS_KEY, {})
    if not words:
        return None
    written = {"--after": format_iso8601(after), "--before": format_iso8601(before) if before else ""}
    return list((written | words).values())


def print_dates() -> None:
    """Print on stderr what the dates of the command that runs were taken for, where that was not written out."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    for line in context.meta.pop(_NOTES_KEY, ()):
        click.echo(line, err=True)
