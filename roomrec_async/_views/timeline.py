"""Layout of a room's recordings on a time axis: one lane for each participant, ready to be drawn.

Drawing is up to the templates. Times are whole milliseconds from the start of the axis, which is the start of the
room's first recording; positions and widths are fractions of the axis, from 0 to 1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import attrs

from roomrec_async._format import format_milliseconds
from roomrec_async._text import safe_text
from roomrec_async.models import MediaType, Recording, RecordingStatus

from .fields import MAX_TEXT_LENGTH, UNKNOWN, valid_duration
from .placement import place

MIN_TRACK_WIDTH: Final = 0.01
"""Minimum width of a track as drawn, as a fraction of the axis: one second of four hours would be invisible."""

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

# Steps from tick to tick that are easy to read; from a day on they are 1, 2 and 5 times the powers of ten.
_STEPS: Final = (
    *(seconds * _SECOND for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
)
_MAX_STEPS_IN_VIEW: Final = 8
_MAX_ZOOM: Final = 32
# The view shows this much time at least, however far it is zoomed in.
_MIN_VIEW: Final = 10 * _SECOND

# Durations are in whole seconds: a shorter time between two recordings may be a rounding error.
_MIN_GAP: Final = _SECOND

# An axis with a recording in progress, whose end is open, is longer than what is known by this fraction.
_OPEN_FRACTION: Final = 0.1
_MIN_OPEN_LENGTH: Final = _MINUTE

# The order of a lane's bands; other types follow.
_TYPES: Final = tuple(MediaType)


@attrs.frozen
class TrackFile:
    """The media file of a track.

    Attributes:
        path: the file.
        start: milliseconds on the file's own clock at which its first frame is: the container's ``start_time``.
        length: milliseconds from there to the end.
    """

    path: Path
    start: int
    length: int


@attrs.frozen(kw_only=True)
class Track:
    """One recording on the axis.

    Attributes:
        recording: the recording.
        number: position in reading order, from 1: lane by lane, row by row, then by time.
        start: milliseconds from the start of the axis; None if unknown. The track is drawn at the start then.
        exact: True if the start is known to the millisecond; False if it is from a date, or is that of the room.
        length: milliseconds; None if unknown.
        file: its media file, if it is at hand.
        is_open: True if the recording is still in progress, so that the track extends to the end of the axis.
        left: position of the start, as a fraction of the axis.
        width: width as a fraction of the axis; 0 if the length is unknown. Rows have room for :data:`MIN_TRACK_WIDTH`
            even where it is less.
    """

    recording: Recording
    number: int = 0
    start: int | None
    exact: bool
    length: int | None
    file: TrackFile | None = None
    is_open: bool
    left: float = 0.0
    width: float = 0.0

    @property
    def end(self) -> int | None:
        """Milliseconds from the start of the axis; None if unknown or still in progress."""
        if self.start is None or self.length is None:
            return None
        return self.start + self.length

    @property
    def name(self) -> str:
        """Name of the track, or else its source's or its own SID. Safe to show."""
        names = (self.recording.track_name, self.recording.source_sid, self.recording.sid)
        return safe_text(next((name for name in names if name and name.strip()), UNKNOWN), MAX_TEXT_LENGTH)

    @property
    def status(self) -> str:
        """The recording's status. Safe to show."""
        return safe_text(self.recording.status or UNKNOWN, MAX_TEXT_LENGTH)


@attrs.frozen
class Gap:
    """A time between two recordings of a band in which nothing was recorded.

    Attributes:
        start: milliseconds from the start of the axis.
        length: milliseconds; at least a second.
        left: position of the start, as a fraction of the axis.
        width: width as a fraction of the axis.
        row: index of the band's row in which the track before the gap is, so that a line from its end meets it.
    """

    start: int
    length: int
    left: float
    width: float
    row: int


@attrs.frozen
class Band:
    """The recordings of one participant that have the same type.

    Attributes:
        media_type: the type. Safe to show.
        rows: tracks by time; overlapping ones are in different rows.
        gaps: times without a recording between two tracks. Empty if the participant or the start of a track is unknown;
            none follows a track of unknown length.
    """

    media_type: str
    rows: tuple[tuple[Track, ...], ...]
    gaps: tuple[Gap, ...]

    def gaps_of(self, row: int) -> list[Gap]:
        """Return the gaps that are drawn in a row, given by its index."""
        return [gap for gap in self.gaps if gap.row == row]


@attrs.frozen
class Lane:
    """The recordings of one participant.

    Attributes:
        participant_sid: the participant's SID, safe to show; None for all recordings that have none.
        number: position among the lanes, from 1.
        bands: audio, video, data, then any other types.
        identity: the participant's name, safe to show; None if it is not known.
    """

    participant_sid: str | None
    number: int
    bands: tuple[Band, ...]
    identity: str | None = None

    @property
    def name(self) -> str:
        """Heading of the lane: the participant's name, or else their number."""
        if self.identity is not None:
            return self.identity
        return "Unknown participant" if self.participant_sid is None else f"Participant {self.number}"

    @property
    def joined(self) -> Track | None:
        """The participant's first track; None if the participant, or when any of the tracks began, is unknown."""
        if self.participant_sid is None:
            return None
        known = [track for track in self.all_tracks if track.start is not None]
        return min(known, key=drawn_start, default=None)

    @property
    def all_tracks(self) -> list[Track]:
        """The tracks of all bands, in reading order."""
        return [track for band in self.bands for row in band.rows for track in row]

    @property
    def rows(self) -> int:
        """Number of rows in all bands."""
        return sum(len(band.rows) for band in self.bands)

    @property
    def tracks(self) -> int:
        """Number of tracks in all bands."""
        return len(self.all_tracks)


@attrs.frozen
class Tick:
    """A mark on the axis.

    Attributes:
        at: milliseconds from the start of the axis.
        left: position as a fraction of the axis.
        label: text beside it.
    """

    at: int
    left: float
    label: str


@attrs.frozen
class Scale:
    """The ticks of the axis at one zoom level.

    Attributes:
        zoom: magnification; 1 if the whole axis is in view.
        step: milliseconds from tick to tick.
        ticks: the ticks of the whole axis; at most nine of them are in view.
    """

    zoom: int
    step: int
    ticks: tuple[Tick, ...]


@attrs.frozen(kw_only=True)
class Timeline:
    """The recordings of a room over time.

    Attributes:
        lanes: participants in the order of their first recordings, then the recordings without a participant.
        length: milliseconds from the start of the first recording to the end of the last; more if a recording is in
            progress.
        scales: the ticks of the axis, for each zoom level.
        began: date and time at which the first recording began; None if unknown.
        recordings: number of recordings.
        recorded: milliseconds of media, summed over all tracks.
        by_status: number of recordings by status. Safe to show.
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
        """Number of known participants."""
        return sum(lane.participant_sid is not None for lane in self.lanes)

    @property
    def exact(self) -> bool:
        """True if all starts are known to the millisecond."""
        return all(track.exact for track in self.all_tracks)

    @property
    def film_start(self) -> int:
        """Milliseconds from the start of the axis to that of a film of the room.

        Time T of a film is time ``film_start + T`` of the axis. A film starts with the first track that is in it: audio
        or video that is completed, with its file where files are at hand. The axis may start with another one, such as
        one that was deleted.
        """
        tracks = [track for track in self.all_tracks if is_filmed(track.recording)]
        with_files = [track for track in tracks if track.file is not None]
        return min((drawn_start(track) for track in with_files or tracks), default=0)

    @property
    def all_tracks(self) -> list[Track]:
        """The tracks of all lanes, in reading order."""
        return [track for lane in self.lanes for track in lane.all_tracks]

    @property
    def rows(self) -> int:
        """Number of rows in all lanes."""
        return sum(lane.rows for lane in self.lanes)

    @property
    def gaps(self) -> int:
        """Number of gaps in all lanes."""
        return sum(len(band.gaps) for lane in self.lanes for band in lane.bands)


def timeline(
    recordings: Iterable[Recording],
    *,
    names: Mapping[str, str] | None = None,
    files: Mapping[str, TrackFile] | None = None,
) -> Timeline:
    """Return the timeline of one room's recordings.

    Tracks begin where a film of the room has them. A recording lasts
    as long as its file, or else its ``duration``. Without either it extends to the end of the axis while its ``status``
    is ``processing``, and has no length otherwise.

    Args:
        recordings: recordings in any order; any of their fields may be None.
        names: names of participants by participant SID. Any text.
        files: media files that are at hand, by recording SID.
    """
    tracks = make_tracks(list(recordings), files or {})
    axis_length = compute_axis_length(tracks)
    lanes = make_lanes([with_position(track, axis_length) for track in tracks], axis_length, names or {})

    tracks_with_start = [track for track in tracks if track.start is not None]
    first = min(tracks_with_start, key=drawn_start, default=None)
    return Timeline(
        lanes=lanes,
        length=axis_length,
        scales=make_scales(axis_length),
        began=None if first is None else first.recording.date_created,
        recordings=len(tracks),
        recorded=sum(track.length or 0 for track in tracks),
        by_status=Counter(track.status for track in tracks),
    )


def scale(axis_length: int, zoom: int = 1) -> Scale:
    """Return the ticks of an axis of this many milliseconds at a zoom level."""
    step = tick_step(axis_length / zoom)
    ticks = [Tick(at, at / axis_length, format_milliseconds(at)) for at in range(0, axis_length + 1, step)]
    return Scale(zoom, step, tuple(ticks))


def make_tracks(recordings: Sequence[Recording], files: Mapping[str, TrackFile]) -> list[Track]:
    """Return tracks with starts and lengths, but without positions."""
    placements = place(recordings, {sid: file.start for sid, file in files.items()})
    axis_start = min((placement.start for placement in placements if placement.start is not None), default=0)

    tracks: list[Track] = []
    for placement in placements:
        recording = placement.recording
        file = files.get(recording.sid or "")
        length = length_of(recording) if file is None else file.length
        track = Track(
            recording=recording,
            start=None if placement.start is None else placement.start - axis_start,
            exact=placement.exact,
            file=file,
            length=length,
            is_open=length is None and recording.status == RecordingStatus.PROCESSING,
        )
        tracks.append(track)
    return tracks


def length_of(recording: Recording) -> int | None:
    """Return the length of a recording in milliseconds, or None if it is unknown."""
    seconds = valid_duration(recording)
    if seconds is None:
        return None
    return seconds * _SECOND


def is_filmed(recording: Recording) -> bool:
    """Return True if a film of the room includes a recording."""
    return recording.status == RecordingStatus.COMPLETED and recording.type in (MediaType.AUDIO, MediaType.VIDEO)


def drawn_start(track: Track) -> int:
    """Return the start of a track as drawn: that of the axis if it is unknown."""
    return track.start or 0


def compute_axis_length(tracks: Sequence[Track]) -> int:
    """Return the length of the axis in milliseconds."""
    known = max((drawn_start(track) + (track.length or 0) for track in tracks), default=0)
    if any(track.is_open for track in tracks):
        known += max(_MIN_OPEN_LENGTH, int(known * _OPEN_FRACTION))

    # Long enough that even the last track to start has room for the minimum width.
    latest_start = max(map(drawn_start, tracks), default=0)
    return max(_SECOND, known, int(latest_start / (1 - MIN_TRACK_WIDTH)) + 1)


def with_position(track: Track, axis_length: int) -> Track:
    """Return a track with its position and width on an axis."""
    left = drawn_start(track) / axis_length
    width = (track.length or 0) / axis_length
    if track.is_open:
        width = 1 - left
    return attrs.evolve(track, left=left, width=width)


def make_lanes(tracks: Sequence[Track], axis_length: int, names: Mapping[str, str]) -> tuple[Lane, ...]:
    """Return the lanes of all participants, with numbered tracks."""
    by_participant: dict[str | None, list[Track]] = defaultdict(list)
    for track in sorted(tracks, key=track_order):
        by_participant[track.recording.participant_sid].append(track)

    # The dictionary is in the order of first recordings; the sort is stable and only moves the unknown one last.
    participant_sids = sorted(by_participant, key=lambda sid: sid is None)
    lanes: list[Lane] = []
    next_number = 1
    for lane_number, sid in enumerate(participant_sids, 1):
        bands = make_bands(by_participant[sid], axis_length, next_number, with_gaps=sid is not None)
        lane = Lane(None, lane_number, bands)
        if sid is not None:
            lane = Lane(safe_text(sid, MAX_TEXT_LENGTH), lane_number, bands, safe_name(names.get(sid)))
        lanes.append(lane)
        next_number += lane.tracks
    return tuple(lanes)


def safe_name(name: str | None) -> str | None:
    """Return a participant's name, safe to show, or None if there is none."""
    if name is None or not name.strip():
        return None
    return safe_text(name.strip(), MAX_TEXT_LENGTH)


def track_order(track: Track) -> tuple[int, str]:
    """Return a sort key: by start, then by SID."""
    return drawn_start(track), track.recording.sid or ""


def make_bands(tracks: Sequence[Track], axis_length: int, next_number: int, *, with_gaps: bool) -> tuple[Band, ...]:
    """Return the bands of a participant; their tracks are numbered from ``next_number``."""
    by_type: dict[str, list[Track]] = defaultdict(list)
    for track in tracks:
        by_type[track.recording.type or UNKNOWN].append(track)

    bands: list[Band] = []
    for media_type in sorted(by_type, key=type_order):
        rows = assign_rows(by_type[media_type])
        gaps = find_gaps(rows, axis_length) if with_gaps else ()
        numbered: list[tuple[Track, ...]] = []
        for row in rows:
            numbered.append(tuple(attrs.evolve(track, number=number) for number, track in enumerate(row, next_number)))
            next_number += len(row)
        bands.append(Band(safe_text(media_type, MAX_TEXT_LENGTH), tuple(numbered), gaps))
    return tuple(bands)


def type_order(media_type: str) -> tuple[int, str]:
    """Return a sort key: the known types in their order, then any others by name."""
    index = next((index for index, known in enumerate(_TYPES) if known == media_type), len(_TYPES))
    return index, media_type


def assign_rows(tracks: Sequence[Track]) -> list[list[Track]]:
    """Return tracks, given by start, in as few rows as possible, so that no two of a row overlap as drawn.

    Upper rows are filled first.
    """
    rows: list[list[Track]] = []
    # Min-heap of (position at which the row's last track ends, index of the row).
    occupied: list[tuple[float, int]] = []
    # Min-heap of the indices of rows with room for the next track.
    free: list[int] = []
    for track in tracks:
        # Rows whose last track has ended by now can be used again.
        while occupied and occupied[0][0] <= track.left:
            heappush(free, heappop(occupied)[1])
        if not free:
            heappush(free, len(rows))
            rows.append([])
        row = heappop(free)
        rows[row].append(track)
        heappush(occupied, (track.left + max(track.width, MIN_TRACK_WIDTH), row))
    return rows


def find_gaps(rows: Sequence[Sequence[Track]], axis_length: int) -> tuple[Gap, ...]:
    """Return the gaps between the tracks of a band, which are given by row.

    A track of unknown length may reach over all that follow, so there are no known gaps after it.
    """
    gaps: list[Gap] = []
    recorded_until: int | None = None
    last_row = 0
    for track, row in sorted(with_row_numbers(rows), key=lambda pair: track_order(pair[0])):
        # It may have been anywhere, also in what looks like a gap.
        if track.start is None:
            return ()
        if recorded_until is not None and track.start - recorded_until >= _MIN_GAP:
            length = track.start - recorded_until
            gaps.append(Gap(recorded_until, length, recorded_until / axis_length, length / axis_length, last_row))
        if track.end is None:
            break
        if recorded_until is None or track.end > recorded_until:
            recorded_until, last_row = track.end, row
    return tuple(gaps)


def with_row_numbers(rows: Sequence[Sequence[Track]]) -> Iterator[tuple[Track, int]]:
    """Yield each track with the index of its row."""
    for index, row in enumerate(rows):
        for track in row:
            yield track, index


def make_scales(axis_length: int) -> tuple[Scale, ...]:
    """Return the scale of each zoom level: powers of two, as long as ten seconds or more are in view."""
    zooms = [1]
    while zooms[-1] < _MAX_ZOOM and axis_length / (zooms[-1] * 2) >= _MIN_VIEW:
        zooms.append(zooms[-1] * 2)
    return tuple(scale(axis_length, zoom) for zoom in zooms)


def tick_step(view_length: float) -> int:
    """Return the shortest readable step that leaves few enough ticks in a view of this many milliseconds."""
    for step in _STEPS:
        if view_length / step <= _MAX_STEPS_IN_VIEW:
            return step

    power = 1
    while True:
        for factor in (1, 2, 5):
            step = factor * power * _DAY
            if view_length / step <= _MAX_STEPS_IN_VIEW:
                return step
        power *= 10
