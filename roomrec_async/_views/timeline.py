"""Where the recordings of a room are in time: lanes of participants on one axis, to be drawn.

Nothing here knows how it is drawn. Times are whole milliseconds from the beginning of the axis, which is the beginning
of the room's first recording; places are shares of the axis, from 0 to 1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import heappop, heappush
from statistics import median_low
from typing import Final

import attrs

from roomrec_async._text import safe_text
from roomrec_async.models import MediaType, Recording, RecordingStatus

MAX_TEXT_LENGTH: Final = 200
"""Characters of a text that is shown; more are cut off."""

UNKNOWN: Final = "unknown"
"""What stands where the service said nothing."""

NARROWEST: Final = 0.01
"""The share of the axis that every track has room for: one second of four hours could not be seen."""

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

# An axis that people can read counts in these; from a day on, in 1, 2 and 5 times the powers of ten.
_STEPS: Final = (
    *(seconds * _SECOND for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
)
_STEPS_IN_VIEW: Final = 8
_ZOOMED_AT_MOST: Final = 32
# What fills the view when nothing more can be enlarged.
_SHOWN_AT_LEAST: Final = 10 * _SECOND

# Durations come in whole seconds: anything shorter between two recordings may be rounding.
_SHORTEST_GAP: Final = _SECOND
# How much longer than all that is known the axis is when something is still being captured: its end is open.
_OPEN_SHARE: Final = 0.1
_OPEN_AT_LEAST: Final = _MINUTE

_KINDS: Final = tuple(MediaType)
# What the reference says these numbers are, and what a duration can be. Others mean nothing.
_OFFSETS: Final = (-(2**63), 2**63 - 1)
_DURATIONS: Final = (0, 2**31 - 1)


@attrs.frozen(kw_only=True)
class Track:
    """One recording on the axis.

    Attributes:
        recording: the recording.
        number: its position in the order of reading, from 1: lane by lane, row by row, in the order of time.
        start: milliseconds from the beginning of the axis; None if nothing says when it began. It is drawn at the
            beginning then.
        exact: whether the start is from the recording's ``offset``, not from its ``date_created``, which counts
            seconds and is that of the resource.
        length: milliseconds; None if it is not known.
        is_open: whether it is still being captured, so that it reaches to the end of the axis.
        left: where it begins, as a share of the axis.
        width: how much of the axis it takes; 0 if its length is not known. Where it is less than :data:`NARROWEST`,
            there is room for that much.
    """

    recording: Recording
    number: int = 0
    start: int | None
    exact: bool
    length: int | None
    is_open: bool
    left: float = 0.0
    width: float = 0.0

    @property
    def end(self) -> int | None:
        """Milliseconds from the beginning of the axis; None if it is not known, or not over."""
        return None if self.start is None or self.length is None else self.start + self.length

    @property
    def name(self) -> str:
        """What the track is called, as it can be shown: a participant's program named it."""
        names = (self.recording.track_name, self.recording.source_sid, self.recording.sid)
        return safe_text(next((name for name in names if name and name.strip()), UNKNOWN), MAX_TEXT_LENGTH)

    @property
    def status(self) -> str:
        """The reference's ``status``, as it can be shown."""
        return safe_text(self.recording.status or UNKNOWN, MAX_TEXT_LENGTH)


@attrs.frozen
class Gap:
    """A time between two recordings of a band, in which nothing was recorded.

    Attributes:
        start: milliseconds from the beginning of the axis.
        length: milliseconds, a second at least.
        left: where it begins, as a share of the axis.
        width: how much of the axis it takes.
    """

    start: int
    length: int
    left: float
    width: float


@attrs.frozen
class Band:
    """What one participant has of one type.

    Attributes:
        kind: the type, as it can be shown.
        rows: its tracks in the order of time, those that overlap in rows of their own.
        gaps: where nothing was recorded between two of them. None are told where the participant is not known, or a
            track's place is not, and none after a track whose length is not.
    """

    kind: str
    rows: tuple[tuple[Track, ...], ...]
    gaps: tuple[Gap, ...]


@attrs.frozen
class Lane:
    """One participant.

    Attributes:
        participant_sid: as it can be shown; None for all the recordings that do not say whose they are.
        number: its position, from 1.
        bands: audio, video, data, and whatever else there is.
    """

    participant_sid: str | None
    number: int
    bands: tuple[Band, ...]

    @property
    def name(self) -> str:
        """What the lane is called."""
        return f"Participant {self.number}" if self.participant_sid is not None else "Unknown participant"

    @property
    def rows(self) -> int:
        """How many rows all of its bands have."""
        return sum(len(band.rows) for band in self.bands)

    @property
    def tracks(self) -> int:
        """How many tracks all of its bands have."""
        return sum(len(row) for band in self.bands for row in band.rows)


@attrs.frozen
class Tick:
    """A mark of the axis.

    Attributes:
        at: milliseconds from its beginning.
        left: its place, as a share of the axis.
        label: what is written at it.
    """

    at: int
    left: float
    label: str


@attrs.frozen
class Scale:
    """The marks of the axis when it is enlarged.

    Attributes:
        zoom: how many times; 1 when all of it is in view.
        step: milliseconds from one mark to the next.
        ticks: nine in view at the most.
    """

    zoom: int
    step: int
    ticks: tuple[Tick, ...]


@attrs.frozen(kw_only=True)
class Timeline:
    """A room's recordings in time.

    Attributes:
        lanes: the participants in the order in which they were first recorded, then what does not say whose it is.
        length: milliseconds from the beginning of the first recording to the end of the last one; more while
            something is being captured.
        scales: the marks of the axis, for each zoom that makes sense.
        began: when the first recording began; None if the service did not say so.
        recordings: how many there are.
        recorded: milliseconds of media that were recorded, all tracks together.
        by_status: how many with each status, as it can be shown.
    """

    lanes: tuple[Lane, ...]
    length: int
    scales: tuple[Scale, ...]
    began: datetime | None
    recordings: int
    recorded: int
    by_status: Mapping[str, int]

    @property
    def participants(self) -> int:
        """How many participants are known."""
        return sum(lane.participant_sid is not None for lane in self.lanes)

    @property
    def rows(self) -> int:
        """How many rows all lanes have."""
        return sum(lane.rows for lane in self.lanes)

    @property
    def gaps(self) -> int:
        """How many gaps there are in all lanes."""
        return sum(len(band.gaps) for lane in self.lanes for band in lane.bands)


def timeline(recordings: Iterable[Recording]) -> Timeline:
    """Where recordings of one room are in time.

    A recording begins at its ``offset``; one without an offset at its ``date_created``, compared with the recordings
    that have both. It lasts for its ``duration``. One without a duration reaches to the end of the axis while its
    ``status`` is ``processing``, and has no length otherwise.

    Args:
        recordings: in any order; any field of theirs may be None.
    """
    tracks = _in_time(list(recordings))
    length = _axis_length(tracks)
    lanes = _lanes([_placed(track, length) for track in tracks], length)
    placed = [track for track in tracks if track.start is not None]
    first = min(placed, key=_start, default=None)
    return Timeline(
        lanes=lanes,
        length=length,
        scales=_scales(length),
        began=None if first is None else first.recording.date_created,
        recordings=len(tracks),
        recorded=sum(track.length or 0 for track in tracks),
        by_status=Counter(track.status for track in tracks),
    )


def clock(milliseconds: int, *, exact: bool = False) -> str:
    """A time on the axis, or a length: ``1:05``, ``1:02:03``, ``2d 06:30``.

    Args:
        milliseconds: not negative.
        exact: whether to add the milliseconds, if there are any.
    """
    seconds, rest = divmod(milliseconds, _SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    fraction = f".{rest:03}" if exact and rest else ""
    if days:
        return f"{days}d {hours:02}:{minutes:02}" + (f":{seconds:02}{fraction}" if seconds or fraction else "")
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{seconds:02}{fraction}"


def scale(length: int, zoom: int = 1) -> Scale:
    """The marks of an axis of so many milliseconds, enlarged so many times."""
    step = _step(length / zoom)
    return Scale(zoom, step, tuple(Tick(at, at / length, clock(at)) for at in range(0, length + 1, step)))


def _in_time(recordings: Sequence[Recording]) -> list[Track]:
    """Tracks with starts and lengths, without places."""
    shift = _dates_to_offsets(recordings)
    found = [_instant(recording, shift) for recording in recordings]
    zero = min((instant for instant in found if instant is not None), default=0)
    return [
        Track(
            recording=recording,
            start=None if instant is None else instant - zero,
            exact=_offset(recording) is not None,
            length=_length(recording),
            is_open=_length(recording) is None and recording.status == RecordingStatus.PROCESSING,
        )
        for recording, instant in zip(recordings, found, strict=True)
    ]


def _dates_to_offsets(recordings: Sequence[Recording]) -> int | None:
    """What to add to a date in milliseconds for the offset of the same instant; None if nothing says so."""
    shifts = [
        offset - _milliseconds(recording.date_created)
        for recording in recordings
        if (offset := _offset(recording)) is not None and recording.date_created is not None
    ]
    if shifts:
        return median_low(shifts)
    return 0 if all(_offset(recording) is None for recording in recordings) else None


def _instant(recording: Recording, shift: int | None) -> int | None:
    if (offset := _offset(recording)) is not None:
        return offset
    if recording.date_created is None or shift is None:
        return None
    return _milliseconds(recording.date_created) + shift


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * _SECOND)


def _offset(recording: Recording) -> int | None:
    return _within(recording.offset, _OFFSETS)


def _length(recording: Recording) -> int | None:
    seconds = _within(recording.duration, _DURATIONS)
    return None if seconds is None else seconds * _SECOND


def _within(value: int | None, bounds: tuple[int, int]) -> int | None:
    return value if value is not None and bounds[0] <= value <= bounds[1] else None


def _start(track: Track) -> int:
    return track.start or 0


def _axis_length(tracks: Sequence[Track]) -> int:
    known = max((_start(track) + (track.length or 0) for track in tracks), default=0)
    if any(track.is_open for track in tracks):
        known += max(_OPEN_AT_LEAST, int(known * _OPEN_SHARE))
    # Long enough that even what begins last is drawn within it.
    latest = max(map(_start, tracks), default=0)
    return max(_SECOND, known, int(latest / (1 - NARROWEST)) + 1)


def _placed(track: Track, length: int) -> Track:
    left = _start(track) / length
    width = 1 - left if track.is_open else (track.length or 0) / length
    return attrs.evolve(track, left=left, width=width)


def _lanes(tracks: Sequence[Track], length: int) -> tuple[Lane, ...]:
    by_participant: dict[str | None, list[Track]] = defaultdict(list)
    for track in sorted(tracks, key=_reading_order):
        by_participant[track.recording.participant_sid].append(track)
    # A dictionary keeps the order of the first recordings, and sorting keeps it, too.
    ordered = sorted(by_participant, key=lambda sid: sid is None)
    lanes, numbered = [], 0
    for number, sid in enumerate(ordered, 1):
        shown = None if sid is None else safe_text(sid, MAX_TEXT_LENGTH)
        lane = Lane(shown, number, _bands(by_participant[sid], length, numbered, with_gaps=sid is not None))
        lanes.append(lane)
        numbered += lane.tracks
    return tuple(lanes)


def _reading_order(track: Track) -> tuple[int, str]:
    return _start(track), track.recording.sid or ""


def _bands(tracks: Sequence[Track], length: int, numbered: int, *, with_gaps: bool) -> tuple[Band, ...]:
    by_kind: dict[str, list[Track]] = defaultdict(list)
    for track in tracks:
        by_kind[track.recording.type or UNKNOWN].append(track)
    bands = []
    for kind in sorted(by_kind, key=_kind_order):
        gaps = _gaps(by_kind[kind], length) if with_gaps else ()
        rows = []
        for row in _rows(by_kind[kind]):
            rows.append(tuple(attrs.evolve(track, number=numbered + place) for place, track in enumerate(row, 1)))
            numbered += len(row)
        bands.append(Band(safe_text(kind, MAX_TEXT_LENGTH), tuple(rows), gaps))
    return tuple(bands)


def _kind_order(kind: str) -> tuple[int, str]:
    return next((place for place, known in enumerate(_KINDS) if known == kind), len(_KINDS)), kind


def _rows(tracks: Sequence[Track]) -> list[list[Track]]:
    """As few rows as can be, so that no two tracks of a row overlap as drawn; the upper ones are filled first."""
    rows: list[list[Track]] = []
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    for track in tracks:
        while busy and busy[0][0] <= track.left:
            heappush(free, heappop(busy)[1])
        if not free:
            heappush(free, len(rows))
            rows.append([])
        row = heappop(free)
        rows[row].append(track)
        heappush(busy, (track.left + max(track.width, NARROWEST), row))
    return rows


def _gaps(tracks: Sequence[Track], length: int) -> tuple[Gap, ...]:
    """Where nothing was recorded. What has no known end may go on for ever: after it, nothing is known to be a gap."""
    gaps: list[Gap] = []
    reached: int | None = None
    for track in tracks:
        if track.start is None:
            return ()
        if reached is not None and track.start - reached >= _SHORTEST_GAP:
            between = track.start - reached
            gaps.append(Gap(reached, between, reached / length, between / length))
        if track.end is None:
            break
        reached = max(reached or 0, track.end)
    return tuple(gaps)


def _scales(length: int) -> tuple[Scale, ...]:
    zooms = [1]
    while zooms[-1] < _ZOOMED_AT_MOST and length / (zooms[-1] * 2) >= _SHOWN_AT_LEAST:
        zooms.append(zooms[-1] * 2)
    return tuple(scale(length, zoom) for zoom in zooms)


def _step(view: float) -> int:
    for step in _STEPS:
        if view / step <= _STEPS_IN_VIEW:
            return step
    days = 1
    while True:
        for factor in (1, 2, 5):
            if view / (days * factor * _DAY) <= _STEPS_IN_VIEW:
                return days * factor * _DAY
        days *= 10
