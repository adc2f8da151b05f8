"""Totals of recordings: by day, type, status, room and person, with the largest rooms and the latest failures.

Recordings are added one by one, in any order. Days are UTC days of ``date_created``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from heapq import heappush, heappushpop, nlargest
from typing import Final, Literal

import attrs

from roomrec_async.models import MediaType, OpenEnum, Recording, RecordingStatus, RoomResult

from .fields import UNKNOWN, valid_duration, valid_size

OTHER: Final = "other"
"""Any type or status that the reference does not list."""

TYPES: Final = (*(each.value for each in MediaType), OTHER, UNKNOWN)
"""All types that totals distinguish, in the order in which they are shown."""

STATUSES: Final = (*(each.value for each in RecordingStatus), OTHER, UNKNOWN)
"""All statuses that totals distinguish, in the order in which they are shown."""

_MAX_FAILURES_KEPT: Final = 100

# Days of a quarter, at most. A chart's bars would be too thin if there were more.
_MAX_PERIODS: Final = 92

# Sorts failures without a date before all others.
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


@attrs.define
class Totals:
    """Number of recordings, with their total size and duration; a missing size or duration counts as 0.

    Attributes:
        recordings: number of recordings.
        size: bytes.
        duration: seconds.
    """

    recordings: int = 0
    size: int = 0
    duration: int = 0

    def add(self, other: Totals) -> None:
        """Add other totals to these."""
        self.recordings += other.recordings
        self.size += other.size
        self.duration += other.duration

    def to_dict(self) -> dict[str, int]:
        """Return the numbers by name, JSON-ready."""
        return {"recordings": self.recordings, "size": self.size, "duration": self.duration}


@attrs.frozen
class RoomTotals:
    """Totals of one room.

    Attributes:
        room_sid: the room's SID.
        sum: its totals.
    """

    room_sid: str
    sum: Totals

    def to_dict(self) -> dict[str, object]:
        """Return the room's SID and numbers by name, JSON-ready."""
        return {"room_sid": self.room_sid, **self.sum.to_dict()}


@attrs.define
class PersonTotals:
    """Totals of all participants of one identity.

    Attributes:
        identity: name that the application gave them. Untrusted text.
        rooms: number of rooms that they were recorded in.
        sum: their totals.
    """

    identity: str
    rooms: int = 0
    sum: Totals = attrs.field(factory=Totals)

    def to_dict(self) -> dict[str, object]:
        """Return the identity and the numbers by name, JSON-ready."""
        return {"identity": self.identity, "rooms": self.rooms, **self.sum.to_dict()}


@attrs.frozen
class FailedRecording:
    """A recording that failed, with what helps to find it.

    Attributes:
        sid: the recording's SID; None if the service sent none.
        room_sid: the room's SID; None if the service sent none.
        type: a value of :class:`~roomrec_async.MediaType`, ``other`` or ``unknown``.
        track_name: name of the track, chosen by the participant's program. Untrusted text.
        date_created: date and time at which the recording began.
    """

    sid: str | None
    room_sid: str | None
    type: str
    track_name: str | None
    date_created: datetime | None

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name, JSON-ready: the date in ISO 8601."""
        fields = attrs.asdict(self)
        if self.date_created is not None:
            fields["date_created"] = self.date_created.isoformat()
        return fields


@attrs.frozen
class Period:
    """One day, week, month, year or century, and what was recorded in it.

    Attributes:
        start: first day.
        by_type: totals by type; types without recordings are left out.
    """

    start: date
    by_type: Mapping[str, Totals]

    @property
    def all(self) -> Totals:
        """Totals of all types."""
        return add_up(self.by_type.values())


@attrs.frozen
class Periods:
    """Consecutive periods of one unit, few enough for a chart.

    Attributes:
        unit: ``day``, ``week`` (from Monday), ``month``, ``year`` or ``century``.
        each: the periods, earliest first, including empty ones.
    """

    unit: str
    each: tuple[Period, ...]


class Overview:
    """Totals of any number of recordings.

    Memory grows with the number of rooms, by some 250 bytes each, and with the number of days; not with the number of
    recordings. With ``participants=True``, it grows with their number as well.

    Args:
        covers: first and last day of the time that was listed, if known: :meth:`periods` then covers all of it, also
            where nothing was recorded.
        participants: True to keep totals by participant, for :meth:`add_identities`.

    Attributes:
        covers: as above.
        has_people: True if totals are kept by participant.
        failed: number of recordings with the status ``failed``.
        failed_rooms: number of rooms, given to :meth:`add_room`, whose list failed.
        undated: totals of the recordings without a ``date_created``, which belong to no day.
    """

    def __init__(self, covers: tuple[date, date] | None = None, *, participants: bool = False) -> None:
        self.covers = covers
        self.has_people: bool = participants
        self.failed: int = 0
        self.failed_rooms: int = 0
        self.undated: Totals = Totals()
        # By type and status.
        self._cells: dict[tuple[str, str], Totals] = {}
        # By day, then by type.
        self._days: dict[date, dict[str, Totals]] = {}
        # By room SID.
        self._rooms: dict[str, Totals] = {}
        # By room SID, then by participant SID, until the identities of the room are known.
        self._participants: dict[str, dict[str, Totals]] = {}
        # By identity.
        self._people: dict[str, PersonTotals] = {}
        # Min-heap of (date, SID, serial number, failure). Serial numbers differ, so that failures are never compared.
        self._failures: list[tuple[datetime, str, int, FailedRecording]] = []

    def add(self, recording: Recording) -> None:
        """Add a recording."""
        self._add(recording, recording.room_sid)

    def add_room(self, result: RoomResult) -> RoomTotals:
        """Add a room with its recordings, if any, and return its totals.

        A room counts even if it has no recordings; one with an error also counts in :attr:`failed_rooms`.
        """
        totals = self._rooms.setdefault(result.room_sid, Totals())
        for recording in result.recordings:
            self._add(recording, result.room_sid)
        if result.error is not None:
            self.failed_rooms += 1
        return RoomTotals(result.room_sid, totals)

    def add_identities(self, room_sid: str, identities: Mapping[str, str]) -> None:
        """Count the participants of a room as people. Its recordings must all have been added before.

        Args:
            room_sid: SID of the room.
            identities: identities by the SIDs of participants; those who have none are left out.
        """
        here: dict[str, Totals] = {}
        for participant_sid, totals in self._participants.pop(room_sid, {}).items():
            if participant_sid in identities:
                here.setdefault(identities[participant_sid], Totals()).add(totals)
        for identity, totals in here.items():
            person = self._people.setdefault(identity, PersonTotals(identity))
            person.rooms += 1
            person.sum.add(totals)

    @property
    def unidentified_rooms(self) -> list[str]:
        """SIDs of the rooms with participants whose identities were not added yet."""
        return list(self._participants)

    @property
    def all(self) -> Totals:
        """Totals of all recordings."""
        return add_up(self._cells.values())

    @property
    def rooms(self) -> int:
        """Number of rooms with recordings, and of those that were added as rooms."""
        return len(self._rooms)

    @property
    def by_type(self) -> dict[str, Totals]:
        """Totals by type, in the order of :class:`~roomrec_async.MediaType`; types without recordings are left out."""
        return {media_type: add_up(by_status.values()) for media_type, by_status in self.by_type_and_status.items()}

    @property
    def by_status(self) -> dict[str, Totals]:
        """Totals by status, in the order of :class:`~roomrec_async.RecordingStatus`, without empty ones."""
        by_status: dict[str, Totals] = {}
        for status in STATUSES:
            totals = add_up(cell for (_, cell_status), cell in self._cells.items() if cell_status == status)
            if totals.recordings:
                by_status[status] = totals
        return by_status

    @property
    def by_type_and_status(self) -> dict[str, dict[str, Totals]]:
        """Totals by type, then by status, each in the order of its enumeration, without empty ones."""
        by_type: dict[str, dict[str, Totals]] = {}
        for media_type in TYPES:
            for status in STATUSES:
                totals = self._cells.get((media_type, status))
                if totals is not None:
                    by_type.setdefault(media_type, {})[status] = totals
        return by_type

    @property
    def by_day(self) -> dict[date, dict[str, Totals]]:
        """Totals by UTC day, earliest first, then by type; days without recordings are left out."""
        by_day: dict[date, dict[str, Totals]] = {}
        for day, by_type in sorted(self._days.items()):
            by_day[day] = {media_type: by_type[media_type] for media_type in TYPES if media_type in by_type}
        return by_day

    @property
    def bounds(self) -> tuple[date, date] | None:
        """First and last day, of :attr:`covers` and of the recordings together; None if there are none."""
        days = [*self._days, *(self.covers or ())]
        if not days:
            return None
        return min(days), max(days)

    @property
    def failures(self) -> list[FailedRecording]:
        """Recordings that failed, latest first; the latest 100 if there are more."""
        latest_first = sorted(self._failures, key=lambda entry: entry[:3], reverse=True)
        return [failure for *_, failure in latest_first]

    def largest(self, count: int = 10, *, by: Literal["size", "recordings"] = "size") -> list[RoomTotals]:
        """Return the largest rooms, largest first.

        Args:
            count: maximum number of rooms.
            by: what makes a room large, its bytes or its number of recordings; the other one decides between equals.
        """

        def rank(room: RoomTotals) -> tuple[int, int, str]:
            if by == "recordings":
                return room.sum.recordings, room.sum.size, room.room_sid
            return room.sum.size, room.sum.recordings, room.room_sid

        return nlargest(count, (RoomTotals(*room) for room in self._rooms.items()), key=rank)

    def people(self, count: int = 25) -> list[PersonTotals]:
        """Return the people with the most recorded time, most first.

        Args:
            count: maximum number of people.
        """

        def rank(person: PersonTotals) -> tuple[int, int, str]:
            return person.sum.duration, person.sum.recordings, person.identity

        return nlargest(count, self._people.values(), key=rank)

    def periods(self) -> Periods:
        """Return the totals by day, or by week, month, year or century where there are more than 92."""
        bounds = self.bounds
        if bounds is None:
            return Periods("day", ())

        # The finest unit that gives few enough periods; centuries whatever their number.
        unit = next((unit for unit in _UNITS if len(unit.numbers(bounds)) <= _MAX_PERIODS), _UNITS[-1])
        by_number: dict[int, dict[str, Totals]] = {number: {} for number in unit.numbers(bounds)}
        for day, by_type in self.by_day.items():
            period = by_number[unit.number(day)]
            for media_type, totals in by_type.items():
                period.setdefault(media_type, Totals()).add(totals)
        return Periods(unit.name, tuple(Period(unit.start(number), by_type) for number, by_type in by_number.items()))

    def to_dict(self) -> dict[str, object]:
        """Return all numbers, JSON-ready: sizes in bytes, durations in seconds, days and dates in ISO 8601."""
        return {
            **self.all.to_dict(),
            "rooms": self.rooms,
            "by_type": to_dicts(self.by_type),
            "by_status": to_dicts(self.by_status),
            "by_day": [
                {"day": day.isoformat(), **add_up(by_type.values()).to_dict(), "by_type": to_dicts(by_type)}
                for day, by_type in self.by_day.items()
            ],
            "undated": self.undated.to_dict(),
            "largest_rooms": [room.to_dict() for room in self.largest()],
            "failed": self.failed,
            "latest_failures": [failure.to_dict() for failure in self.failures],
            **({"people": [person.to_dict() for person in self.people()]} if self.has_people else {}),
        }

    def _add(self, recording: Recording, room_sid: str | None) -> None:
        media_type = category_of(recording.type)
        status = category_of(recording.status)
        totals = Totals(1, valid_size(recording) or 0, valid_duration(recording) or 0)

        self._cells.setdefault((media_type, status), Totals()).add(totals)
        self._totals_of_day(recording.date_created, media_type).add(totals)
        if room_sid is not None:
            self._rooms.setdefault(room_sid, Totals()).add(totals)
        if self.has_people and room_sid is not None and recording.participant_sid is not None:
            of_room = self._participants.setdefault(room_sid, {})
            of_room.setdefault(recording.participant_sid, Totals()).add(totals)
        if recording.status is RecordingStatus.FAILED:
            self._add_failure(recording, media_type)

    def _totals_of_day(self, created: datetime | None, media_type: str) -> Totals:
        day = None if created is None else utc_day(created)
        if day is None:
            return self.undated
        return self._days.setdefault(day, {}).setdefault(media_type, Totals())

    def _add_failure(self, recording: Recording, media_type: str) -> None:
        self.failed += 1
        created = recording.date_created
        failure = FailedRecording(recording.sid, recording.room_sid, media_type, recording.track_name, created)
        entry = (created or _EARLIEST, recording.sid or "", self.failed, failure)

        # The heap's first entry is the earliest: it is the one to drop when there are enough.
        if len(self._failures) < _MAX_FAILURES_KEPT:
            heappush(self._failures, entry)
        else:
            heappushpop(self._failures, entry)


def add_up(totals: Iterable[Totals]) -> Totals:
    """Return the sum of several totals."""
    result = Totals()
    for each in totals:
        result.add(each)
    return result


def utc_day(instant: datetime) -> date | None:
    """Return the UTC day of an aware datetime, or None if it is beyond the first or last day of the calendar."""
    try:
        return instant.astimezone(UTC).date()
    except OverflowError:
        return None


def to_dicts(totals: Mapping[str, Totals]) -> dict[str, dict[str, int]]:
    """Return totals by name, JSON-ready."""
    return {name: each.to_dict() for name, each in totals.items()}


def category_of(value: OpenEnum | None) -> str:
    """Return the type or status that a value counts as: one of ``TYPES`` or ``STATUSES``."""
    if value is None:
        return UNKNOWN
    if not value.is_known:
        return OTHER
    return value.value


@attrs.frozen
class _Unit:
    """A unit of the calendar, whose periods have consecutive numbers.

    Attributes:
        name: as in :attr:`Periods.unit`.
        number: returns the number of the period that a day belongs to.
        start: returns the first day of the period with a number.
    """

    name: str
    number: Callable[[date], int]
    start: Callable[[int], date]

    def numbers(self, bounds: tuple[date, date]) -> range:
        """Return the numbers of all periods between a first and a last day."""
        first, last = bounds
        return range(self.number(first), self.number(last) + 1)


# From the finest to the coarsest. 0001-01-01, ordinal 1, is a Monday; the first century has no year 0.
_UNITS: Final = (
    _Unit("day", date.toordinal, date.fromordinal),
    _Unit("week", lambda day: (day.toordinal() - 1) // 7, lambda number: date.fromordinal(number * 7 + 1)),
    _Unit("month", lambda day: day.year * 12 + day.month - 1, lambda number: date(number // 12, number % 12 + 1, 1)),
    _Unit("year", lambda day: day.year, lambda number: date(number, 1, 1)),
    _Unit("century", lambda day: day.year // 100, lambda number: date(max(1, number * 100), 1, 1)),
)
