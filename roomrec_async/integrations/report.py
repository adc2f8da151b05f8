"""Overviews as self-contained HTML pages. Needs the extra ``html``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

import attrs

from roomrec_async._format import format_hours_and_minutes, format_number, format_size
from roomrec_async._text import safe_text
from roomrec_async._views.fields import MAX_TEXT_LENGTH
from roomrec_async._views.totals import TYPES, Overview, Period, Periods, Totals
from roomrec_async.models import MediaType

from .html import render_template

# Not by strftime, which would use the names of the locale.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_SIZE_DIGITS: Final = 3
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE

_MAX_STEPS: Final = 5
# More dates than this below a chart would overlap.
_MAX_LABELS: Final = 10


def report_html(overview: Overview, *, title: str) -> str:
    """Return an HTML page that shows an overview: totals, a chart over time, and tables.

    The page is self-contained: it has no script and loads nothing from the network, and its Content-Security-Policy
    would allow neither.

    Args:
        overview: the totals to show.
        title: heading of the page. Any text: it is escaped.
    """
    periods = overview.periods()
    media_types = _shown_types(periods)
    return render_template(
        "report.html.jinja",
        title=safe_text(title, MAX_TEXT_LENGTH),
        overview=overview,
        unit=periods.unit,
        bars=_bars(periods, media_types),
        panels=[_panel(measure, periods) for measure in _MEASURES],
        media_types=media_types,
        format_size=_format_size,
        format_hours_and_minutes=format_hours_and_minutes,
    )


@attrs.frozen
class _Bar:
    """A period in the chart.

    Attributes:
        period: the period's totals.
        name: the period's full name.
        label: date below the bar; empty for most bars.
        year: year beside the label, or empty.
        same_year: True if the label before has the same year, so that this one can be left out.
        columns: totals of each type in the chart, then of all types.
    """

    period: Period
    name: str
    label: str
    year: str
    same_year: bool
    columns: tuple[Totals, ...]


@attrs.frozen
class _Tick:
    """A line across a panel.

    Attributes:
        height: position as a fraction of the panel's height, from the bottom.
        label: text beside the line.
    """

    height: float
    label: str


@attrs.frozen
class _Segment:
    """The part of a bar that belongs to one type.

    Attributes:
        media_type: the type.
        bottom: position of its lower edge as a fraction of the panel's height.
        height: height as a fraction of the panel's.
    """

    media_type: str
    bottom: float
    height: float


@attrs.frozen
class _Panel:
    """The chart of one measure.

    Attributes:
        title: name of the measure.
        ticks: lines of the scale, from 0 upwards.
        stacks: segments of each bar, from the bottom upwards.
    """

    title: str
    ticks: tuple[_Tick, ...]
    stacks: tuple[tuple[_Segment, ...], ...]


@attrs.frozen
class _Measure:
    """Something that totals are compared by.

    Attributes:
        title: name of the measure.
        value: returns the number of it in some totals.
        format_value: returns a number of it as text for people.
        unit: returns the unit in which a scale up to a number counts.
    """

    title: str
    value: Callable[[Totals], int]
    format_value: Callable[[int], str]
    unit: Callable[[int], int]


def _shown_types(periods: Periods) -> list[str]:
    """Return the types in the chart: always those of the API reference, others only where there are any."""
    found = {media_type for period in periods.each for media_type in period.by_type}
    found.update(media_type.value for media_type in MediaType)
    return [media_type for media_type in TYPES if media_type in found]


def _panel(measure: _Measure, periods: Periods) -> _Panel:
    highest = max((measure.value(period.all) for period in periods.each), default=0)
    step, steps = _scale(highest, measure.unit(highest))
    ticks = [_Tick(index / steps, measure.format_value(index * step)) for index in range(1, steps + 1)]
    stacks = [_stack(period, measure, step * steps) for period in periods.each]
    return _Panel(measure.title, (_Tick(0, "0"), *ticks), tuple(stacks))


def _stack(period: Period, measure: _Measure, top: int) -> tuple[_Segment, ...]:
    """Return the segments of a bar in a panel whose scale ends at ``top``."""
    segments: list[_Segment] = []
    bottom = 0
    for media_type in TYPES:
        value = measure.value(period.by_type.get(media_type, Totals()))
        if value:
            segments.append(_Segment(media_type, bottom / top, value / top))
        bottom += value
    return tuple(segments)


def _scale(highest: int, unit: int) -> tuple[int, int]:
    """Return the step of a scale up to a number, and how many steps it has: at most five, of 1, 2 or 5 units each.

    The units may be multiplied by a power of ten.
    """
    power = 1
    while power * unit * 10 * _MAX_STEPS < highest:
        power *= 10
    step = next(factor * power * unit for factor in (1, 2, 5, 10) if factor * power * unit * _MAX_STEPS >= highest)

    # Rounded up in integers: sizes may be too large for a float.
    return step, max(1, -(-highest // step))


def _bars(periods: Periods, media_types: Sequence[str]) -> list[_Bar]:
    bars_per_label = math.ceil(len(periods.each) / _MAX_LABELS)
    bars: list[_Bar] = []
    labelled_year = ""
    for index, period in enumerate(periods.each):
        # Labels are at equal distances, so most bars have none.
        label = year = ""
        if index % bars_per_label == 0:
            label, year = _label(periods.unit, period.start)
        columns = (*(period.by_type.get(media_type, Totals()) for media_type in media_types), period.all)
        bars.append(_Bar(period, _name(periods.unit, period.start), label, year, year == labelled_year, columns))
        labelled_year = year or labelled_year
    return bars


def _label(unit: str, start: date) -> tuple[str, str]:
    """Return the date below a bar, and the year beside it."""
    if unit in {"year", "century"}:
        return _name(unit, start), ""
    month = _MONTHS[start.month - 1]
    if unit == "month":
        return month, f"{start.year}"
    return f"{start.day} {month}", f"{start.year}"


def _name(unit: str, start: date) -> str:
    names = {
        "day": start.isoformat(),
        "week": f"Week of {start.isoformat()}",
        "month": f"{start.year:04}-{start.month:02}",
        "year": f"{start.year:04}",
        "century": f"{start.year // 100:02}00\N{EN DASH}{start.year // 100:02}99",
    }
    return names[unit]


def _format_size(size: int) -> str:
    return format_size(size, significant_digits=_SIZE_DIGITS)


def _time_unit(highest: int) -> int:
    """Return the unit of a scale up to this many seconds: round numbers of minutes, or of hours from two hours on."""
    if highest < 2 * _HOUR:
        return _MINUTE
    return _HOUR


_MEASURES: Final = (
    _Measure("Recordings", lambda totals: totals.recordings, format_number, lambda _: 1),
    _Measure("Size", lambda totals: totals.size, _format_size, lambda _: 1),
    _Measure("Recorded time", lambda totals: totals.duration, format_hours_and_minutes, _time_unit),
)
