"""An overview as a page that stands alone. Extra ``html``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

import attrs

from roomrec_async._text import safe_text
from roomrec_async._views.timeline import MAX_TEXT_LENGTH
from roomrec_async._views.totals import TYPES, Overview, Period, Periods, Totals
from roomrec_async.models import MediaType

from .html import rendered

_ALWAYS_SHOWN: Final = tuple(each.value for each in MediaType)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUTE, _HOUR = 60, 3_600
# From here on, minutes say nothing to anybody.
_MANY_HOURS: Final = 100 * _HOUR
_SIZE_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_THREE_DIGITS: Final = 100
_STEPS_AT_MOST: Final = 5
# Dates below the chart need room: one bar in so many has one.
_LABELS_AT_MOST: Final = 10


def report_html(overview: Overview, *, title: str) -> str:
    """A page that shows an overview: totals, a chart by day, and tables.

    The page needs nothing but itself: it asks no network for anything, has no script, and its Content-Security-Policy
    allows neither.

    Args:
        overview: what is to be shown.
        title: what the page is called. Any text: it is escaped.
    """
    periods = overview.periods()
    kinds = _kinds(periods)
    return rendered(
        "report.html.jinja",
        title=safe_text(title, MAX_TEXT_LENGTH),
        overview=overview,
        unit=periods.unit,
        bars=_bars(periods),
        panels=_panels(periods),
        kinds=kinds,
        by_column=lambda period: [*(period.by_type.get(kind, Totals()) for kind in kinds), period.all],
        count_told=_count_told,
        size_told=_size_told,
        time_told=_time_told,
    )


@attrs.frozen
class _Bar:
    """A period in the chart.

    Attributes:
        period: its numbers.
        name: which one it is.
        label: what is written below it; nothing below most of them.
        year: the year beside that.
        same_year: whether that is the one of the label before, so that it can be left out.
    """

    period: Period
    name: str
    label: str
    year: str
    same_year: bool


@attrs.frozen
class _Tick:
    """A line across a panel: how high it is, from 0 to 1, and what is written at it."""

    height: float
    label: str


@attrs.frozen
class _Panel:
    """One of the things that are measured, with a scale and the bars' parts.

    Attributes:
        title: what is measured.
        ticks: the scale, from 0 to the top.
        stacks: for each bar its parts from below: the type, where the part begins and how high it is, from 0 to 1.
    """

    title: str
    ticks: tuple[_Tick, ...]
    stacks: tuple[tuple[tuple[str, float, float], ...], ...]


@attrs.frozen
class _Measure:
    """Something that is measured.

    Attributes:
        title: what people call it.
        of: the number.
        told: a number, for people.
        unit: what a scale up to a number counts in.
    """

    title: str
    of: Callable[[Totals], int]
    told: Callable[[int], str]
    unit: Callable[[int], int]


def _panels(periods: Periods) -> list[_Panel]:
    return [_panel(measure, periods) for measure in _MEASURES]


def _panel(measure: _Measure, periods: Periods) -> _Panel:
    step, steps = _scale(max((measure.of(period.all) for period in periods.each), default=0), measure.unit)
    top = step * steps
    return _Panel(
        measure.title,
        tuple(_Tick(number / steps, measure.told(number * step) if number else "0") for number in range(steps + 1)),
        tuple(_stack(period, measure, top) for period in periods.each),
    )


def _stack(period: Period, measure: _Measure, top: int) -> tuple[tuple[str, float, float], ...]:
    parts, below = [], 0
    for kind in TYPES:
        value = measure.of(period.by_type.get(kind, Totals()))
        if value:
            parts.append((kind, below / top, value / top))
        below += value
    return tuple(parts)


def _scale(most: int, unit_of: Callable[[int], int]) -> tuple[int, int]:
    """How long the steps of a scale up to this number are, in round numbers of its unit; and how many they are."""
    unit = unit_of(most)
    power = 1
    while power * unit * 10 * _STEPS_AT_MOST < most:
        power *= 10
    step = next(factor * power * unit for factor in (1, 2, 5, 10) if factor * power * unit * _STEPS_AT_MOST >= most)
    return step, max(1, -(-most // step))


def _bars(periods: Periods) -> list[_Bar]:
    every = -(-len(periods.each) // _LABELS_AT_MOST)
    bars: list[_Bar] = []
    year_before = ""
    for number, period in enumerate(periods.each):
        label, year = ("", "") if number % every else _label(periods.unit, period.start)
        bars.append(_Bar(period, _name(periods.unit, period.start), label, year, year == year_before))
        year_before = year or year_before
    return bars


def _label(unit: str, start: date) -> tuple[str, str]:
    """What is written below a bar, and the year beside it."""
    if unit in {"year", "century"}:
        return _name(unit, start), ""
    day = "" if unit == "month" else f"{start.day} "
    return f"{day}{_MONTHS[start.month - 1]}", f"{start.year}"


def _name(unit: str, start: date) -> str:
    names = {
        "day": start.isoformat(),
        "week": f"Week of {start.isoformat()}",
        "month": f"{start.year:04}-{start.month:02}",
        "year": f"{start.year:04}",
        "century": f"{start.year // 100:02}00\N{EN DASH}{start.year // 100:02}99",
    }
    return names[unit]


def _kinds(periods: Periods) -> list[str]:
    """The types in the chart: the three of the reference always, the others where there are any."""
    found = {kind for period in periods.each for kind in period.by_type}
    return [kind for kind in TYPES if kind in found or kind in _ALWAYS_SHOWN]


def _count_told(number: int) -> str:
    return f"{number:,}"


def _size_told(size: int) -> str:
    """A number of bytes in three digits or four, such as ``1.25 GB``."""
    power = min((len(str(size)) - 1) // 3, len(_SIZE_UNITS) - 1)
    return f"{_rounded(size / 1000**power)} {_SIZE_UNITS[power]}" if power else f"{size} bytes"


def _time_told(seconds: int) -> str:
    """A number of seconds, such as ``2 h 5 min``."""
    hours, minutes = seconds // _HOUR, seconds % _HOUR // _MINUTE
    if seconds < _MINUTE:
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min"
    return f"{hours:,} h" if seconds >= _MANY_HOURS or not minutes else f"{hours} h {minutes} min"


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= _THREE_DIGITS else f"{number:.3g}"


_MEASURES: Final = (
    _Measure("Recordings", lambda own: own.recordings, _count_told, lambda _: 1),
    _Measure("Size", lambda own: own.size, _size_told, lambda _: 1),
    _Measure(
        "Recorded time", lambda own: own.duration, _time_told, lambda most: _MINUTE if most < 2 * _HOUR else _HOUR
    ),
)
