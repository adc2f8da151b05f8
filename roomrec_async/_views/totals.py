"""What an account has recorded: sums by day, type and status, the largest rooms, and what failed.

It is fed recording by recording, in any order. Days are those of UTC, by ``date_created``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from heapq import heappush, heappushpop, nlargest
from typing import Final

import attrs

from roomrec_async.models import MediaType, OpenEnum, Recording, RecordingStatus

UNKNOWN: Final = "unknown"
"""The type or status of a recording for which the service sent none."""

OTHER: Final = "other"
"""Any type or status that the reference does not list."""

TYPES: Final = (*(each.value for each in MediaType), OTHER, UNKNOWN)
"""All types that there can be here, in their order."""

STATUSES: Final = (*(each.value for each in RecordingStatus), OTHER, UNKNOWN)
"""All statuses that there can be here, in their order."""

_FAILED_KEPT: Final = 100
_PERIODS_AT_MOST: Final = 92
# What the reference says a size is, and what a duration can be. Other numbers mean nothing.
_SIZES: Final = (0, 2**63 - 1)
_DURATIONS: Final = (0, 2**31 - 1)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@attrs.define
class Totals:
    """A number of recordings, and what they add up to. What has no size or no duration yet adds nothing to these.

    Attributes:
        recordings: how many.
        size: bytes.
        duration: seconds.
    """

    recordings: int = 0
    size: int = 0
    duration: int = 0

    def add(self, other: Totals) -> None:
        """Count these, too."""
        self.recordings += other.recordings
        self.size += other.size
        self.duration += other.duration

    def to_dict(self) -> dict[str, int]:
        """Its numbers by their names, JSON-ready."""
        return {"recordings": self.recordings, "size": self.size, "duration": self.duration}


@attrs.frozen
class RoomTotals:
    """What one room adds up to."""

    room_sid: str
    sum: Totals


@attrs.frozen
class FailedRecording:
    """A recording that failed: what leads to it.

    Attributes:
        sid: the recording's SID; None if the service sent none.
        room_sid: its room's.
        type: one of :data:`TYPES`.
        track_name: what the participant's program named the track. Untrusted text.
        date_created: when it began.
    """

    sid: str | None
    room_sid: str | None
    type: str
    track_name: str | None
    date_created: datetime | None


@attrs.frozen
class Period:
    """One day, week, month, year or century, and what was recorded in it.

    Attributes:
        start: its first day.
        by_type: its sums by type; types of which nothing was recorded are not in it.
    """

    start: date
    by_type: Mapping[str, Totals]

    @property
    def all(self) -> Totals:
        """The sum of all types."""
        return add_up(self.by_type.values())


@attrs.frozen
class Periods:
    """Equal periods without gaps, so few of them that a chart can show them.

    Attributes:
        unit: ``day``, ``week`` (from Monday), ``month``, ``year`` or ``century``.
        each: the periods, the earliest first; empty ones are in it.
    """

    unit: str
    each: tuple[Period, ...]


class Overview:
    """Sums over any number of recordings.

    The memory grows with the number of rooms, some 250 bytes for each, and with the number of days; not with the
    number of recordings.

    Args:
        covers: the first and the last day that were asked for, if that is known: :meth:`periods` then covers them all,
            whether anything was recorded or not.

    Attributes:
        covers: the same.
        failed: how many recordings have the status ``failed``.
        undated: the sum of those without a ``date_created``, which are in no day.
    """

    def __init__(self, covers: tuple[date, date] | None = None) -> None:
        self.covers = covers
        self.failed = 0
        self.undated = Totals()
        self._cells: dict[tuple[str, str], Totals] = {}
        self._days: dict[date, dict[str, Totals]] = {}
        self._rooms: dict[str, Totals] = {}
        self._failures: list[tuple[datetime, str, int, FailedRecording]] = []

    def add(self, recording: Recording) -> None:
        """Count a recording."""
        kind, status = _known(recording.type), _known(recording.status)
        own = Totals(1, _within(recording.size, _SIZES), _within(recording.duration, _DURATIONS))
        self._cells.setdefault((kind, status), Totals()).add(own)
        self._sum_of_day(recording.date_created, kind).add(own)
        if recording.room_sid is not None:
            self._rooms.setdefault(recording.room_sid, Totals()).add(own)
        if recording.status is RecordingStatus.FAILED:
            self._failed(recording, kind)

    @property
    def all(self) -> Totals:
        """The sum of all recordings."""
        return add_up(self._cells.values())

    @property
    def rooms(self) -> int:
        """How many rooms have recordings."""
        return len(self._rooms)

    @property
    def by_type(self) -> dict[str, Totals]:
        """The sums by type, in the order of :data:`TYPES`, those types only of which there are any."""
        return self._cells_by(TYPES, 0)

    @property
    def by_status(self) -> dict[str, Totals]:
        """The sums by status, in the order of :data:`STATUSES`, those only of which there are any."""
        return self._cells_by(STATUSES, 1)

    @property
    def by_day(self) -> dict[date, dict[str, Totals]]:
        """The sums by UTC day and type, the earliest day first; days without recordings are not in it."""
        return {day: {kind: own[kind] for kind in TYPES if kind in own} for day, own in sorted(self._days.items())}

    @property
    def bounds(self) -> tuple[date, date] | None:
        """The first and the last day of those that were asked for and those with recordings; None if there are none."""
        days = [*self._days, *(self.covers or ())]
        return (min(days), max(days)) if days else None

    @property
    def failures(self) -> list[FailedRecording]:
        """Those recordings that failed, the latest first; of more than 100, the latest 100."""
        return [failed for *_, failed in sorted(self._failures, key=lambda each: each[:3], reverse=True)]

    def largest(self, count: int = 10) -> list[RoomTotals]:
        """The rooms with the most bytes, the largest first."""
        found = nlargest(count, self._rooms.items(), key=lambda room: (room[1].size, room[1].recordings, room[0]))
        return [RoomTotals(*room) for room in found]

    def periods(self) -> Periods:
        """The days, or, if there are more than 92, the weeks, months, years or centuries that they belong to."""
        bounds = self.bounds
        if bounds is None:
            return Periods("day", ())
        unit = next((unit for unit in _UNITS if len(_numbers(unit, bounds)) <= _PERIODS_AT_MOST), _UNITS[-1])
        found: dict[int, dict[str, Totals]] = {number: {} for number in _numbers(unit, bounds)}
        for day, by_type in self.by_day.items():
            for kind, own in by_type.items():
                found[unit.number(day)].setdefault(kind, Totals()).add(own)
        return Periods(unit.name, tuple(Period(unit.start(number), by_type) for number, by_type in found.items()))

    def to_dict(self) -> dict[str, object]:
        """All numbers, JSON-ready: sizes in bytes, durations in seconds, days and instants in ISO 8601."""
        return {
            **self.all.to_dict(),
            "rooms": self.rooms,
            "by_type": {kind: own.to_dict() for kind, own in self.by_type.items()},
            "by_status": {status: own.to_dict() for status, own in self.by_status.items()},
            "by_day": [
                {
                    "day": day.isoformat(),
                    **add_up(by_type.values()).to_dict(),
                    "by_type": {kind: own.to_dict() for kind, own in by_type.items()},
                }
                for day, by_type in self.by_day.items()
            ],
            "undated": self.undated.to_dict(),
            "largest_rooms": [{"room_sid": room.room_sid, **room.sum.to_dict()} for room in self.largest()],
            "failed": self.failed,
            "latest_failures": [_failed_dict(failed) for failed in self.failures],
        }

    def _sum_of_day(self, created: datetime | None, kind: str) -> Totals:
        day = None if created is None else utc_day(created)
        return self.undated if day is None else self._days.setdefault(day, {}).setdefault(kind, Totals())

    def _failed(self, recording: Recording, kind: str) -> None:
        self.failed += 1
        created = recording.date_created
        failed = FailedRecording(recording.sid, recording.room_sid, kind, recording.track_name, created)
        # The number is there for those that nothing else tells apart: they cannot be compared.
        entry = (created or _LONG_AGO, recording.sid or "", self.failed, failed)
        if len(self._failures) < _FAILED_KEPT:
            heappush(self._failures, entry)
        else:
            heappushpop(self._failures, entry)

    def _cells_by(self, names: tuple[str, ...], place: int) -> dict[str, Totals]:
        sums = {name: add_up(own for key, own in self._cells.items() if key[place] == name) for name in names}
        return {name: own for name, own in sums.items() if own.recordings}


def add_up(sums: Iterable[Totals]) -> Totals:
    """What these add up to."""
    total = Totals()
    for each in sums:
        total.add(each)
    return total


@attrs.frozen
class _Unit:
    """A way to cut the calendar: periods have numbers, and follow each other as these do."""

    name: str
    number: Callable[[date], int]
    start: Callable[[int], date]


# The first of all dates is a Monday.
_UNITS: Final = (
    _Unit("day", date.toordinal, date.fromordinal),
    _Unit("week", lambda day: (day.toordinal() - 1) // 7, lambda number: date.fromordinal(number * 7 + 1)),
    _Unit("month", lambda day: day.year * 12 + day.month - 1, lambda number: date(number // 12, number % 12 + 1, 1)),
    _Unit("year", lambda day: day.year, lambda number: date(number, 1, 1)),
    _Unit("century", lambda day: day.year // 100, lambda number: date(max(1, number * 100), 1, 1)),
)


def _numbers(unit: _Unit, bounds: tuple[date, date]) -> range:
    first, last = bounds
    return range(unit.number(first), unit.number(last) + 1)


def _known(value: OpenEnum | None) -> str:
    if value is None:
        return UNKNOWN
    return value.value if value.is_known else OTHER


def _within(value: int | None, bounds: tuple[int, int]) -> int:
    return value if value is not None and bounds[0] <= value <= bounds[1] else 0


def utc_day(instant: datetime) -> date | None:
    """The day of an aware instant in UTC; None at the very ends of the calendar, where UTC has none."""
    try:
        return instant.astimezone(UTC).date()
    except OverflowError:
        return None


def _failed_dict(failed: FailedRecording) -> dict[str, object]:
    values = attrs.asdict(failed)
    return values | {"date_created": failed.date_created and failed.date_created.isoformat()}
