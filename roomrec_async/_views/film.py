"""A film of a room's tracks: which of them is seen when, and where in the picture.

Nothing is run here, and no command is made: see :mod:`roomrec_async._views.film_steps`. Times are whole milliseconds
from the start of the film, which is that of the room's first track, unless a later one was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from roomrec_async._validate import check_integer
from roomrec_async.errors import InvalidArgumentError, MediaError
from roomrec_async.models import MediaType, Recording

Container: TypeAlias = Literal["mkv", "mp4"]
Format: TypeAlias = Literal["mkv", "mp4", "wav"]
Layout: TypeAlias = Literal["grid", "screen"]

Span: TypeAlias = tuple[int, int]
"""Frames of a film: the number of the first one, and of the one after the last."""

FRAMES_PER_SECOND: Final = 30
_MILLISECONDS: Final = 1_000

CAMERA_OFF_AFTER: Final = 2_000
"""Milliseconds without a frame after which a camera counts as off, so that no frozen face is shown."""

# A participant who is heard, but not seen, for less than this has no cell: most cameras start a little after, or stop a
# little before the microphone, and the others would change their cells twice.
_MIN_ABSENCE_FRAMES: Final = FRAMES_PER_SECOND

# Longer scenes are rendered in parts, which an interrupted run need not render again.
_MAX_SCENE_FRAMES: Final = 120 * FRAMES_PER_SECOND

# A shared screen leaves this fraction of the picture's width to the cameras.
_STRIP_FRACTION: Final = 1 / 5
# Height of a camera's picture as a fraction of its width.
_CAMERA_SHAPE: Final = 9 / 16
# Cells are separated by this fraction of the picture's width: 4 pixels of 1280.
_GUTTER_FRACTION: Final = 1 / 320

# Pixels. The largest is the width of 8K video.
_MIN_SIDE: Final = 16
_MAX_SIDE: Final = 7_680


@attrs.frozen
class Size:
    """Size of a picture in pixels; both sides are even, as video codecs require.

    Raises:
        InvalidArgumentError: a side is odd, or not from 16 to 7680.
    """

    width: int = 1_280
    height: int = 720

    def __attrs_post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            check_integer(name, side, minimum=_MIN_SIDE, maximum=_MAX_SIDE, even=True)


@attrs.frozen(kw_only=True)
class Source:
    """A recording with its media file, and where it lies in the room.

    Attributes:
        recording: the recording.
        path: the file.
        version: text that differs if the content of the file does.
        start: milliseconds from the start of the room.
        length: milliseconds.
        container_start: milliseconds of the first frame on the file's own clock.
        first_picture: milliseconds from the start of the track to the first frame that can be decoded.
        pauses: times without frames, in milliseconds from the start of the track.
    """

    recording: Recording
    path: Path
    version: str = ""
    start: int
    length: int
    container_start: int = 0
    first_picture: int = 0
    pauses: tuple[tuple[int, int], ...] = ()

    @property
    def is_video(self) -> bool:
        """True for video, False for audio."""
        return self.recording.type == MediaType.VIDEO

    def visible_spans(self, off_after: int) -> Iterator[tuple[int, int]]:
        """Yield the times at which there is a picture, in milliseconds from the start of the track.

        Args:
            off_after: milliseconds without a frame after which there is none.
        """
        begin = self.first_picture
        for pause_start, pause_end in self.pauses:
            if pause_end - pause_start > off_after and pause_end > begin:
                yield begin, max(begin, pause_start + off_after)
                begin = pause_end
        yield begin, self.length


@attrs.frozen(eq=False)
class Track:
    """A source with its times in the film.

    Attributes:
        source: the recording and its file.
        start: milliseconds from the start of the film; negative if the film starts within the track.
        end: milliseconds from the start of the film.
        spans: frames of the film in which there is a picture, each the first and the one after the last.
        is_screen: True for a shared screen.
    """

    source: Source
    start: int
    end: int
    spans: tuple[Span, ...] = ()
    is_screen: bool = False

    @property
    def is_video(self) -> bool:
        """True for video, False for audio."""
        return self.source.is_video

    @property
    def participant_sid(self) -> str | None:
        """SID of the participant whose track this is, if known."""
        return self.source.recording.participant_sid

    @property
    def first_frame(self) -> int:
        """Number of the film's first frame that the track can be seen in."""
        return max(0, frame_at(self.start))


@attrs.frozen(eq=False)
class Absence:
    """The times at which a participant is in the room with a microphone, and with a camera that is off.

    Attributes:
        participant_sid: SID of the participant.
        number: number of the participant, by the order of joining.
        spans: frames of the film, each the first and the one after the last.
    """

    participant_sid: str
    number: int
    spans: tuple[Span, ...]

    @property
    def is_screen(self) -> bool:
        """False: it stands for a camera."""
        return False


Shown: TypeAlias = Track | Absence
"""What a cell shows: a track, or a participant whose camera is off."""


@attrs.frozen
class Cell:
    """A rectangle of the picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


@attrs.frozen
class Scene:
    """A part of the film in which the same cells are shown.

    Attributes:
        first: number of its first frame.
        frames: number of frames.
        shown: what is in the cells, in their order; the picture is black if there are none.
    """

    first: int
    frames: int
    shown: tuple[Shown, ...]


@attrs.frozen(kw_only=True)
class Cut:
    """The part of a room that a film shows, and how.

    Attributes:
        start: milliseconds from the start of the room's first track.
        end: milliseconds, likewise; None for the end of the last track.
        off_after: milliseconds without a frame after which a camera is off.
        screen_name: text in the names of tracks that are shared screens, in any case.

    Raises:
        InvalidArgumentError: a number is negative, or the end is not after the start.
    """

    start: int = 0
    end: int | None = None
    off_after: int = CAMERA_OFF_AFTER
    screen_name: str = "screen"

    def __attrs_post_init__(self) -> None:
        check_integer("start", self.start, minimum=0)
        check_integer("camera_off_after", self.off_after, minimum=0)
        if self.end is not None and self.end <= self.start:
            raise InvalidArgumentError(
                f"the end of a film ({self.end / 1000:g} s) must be after its start ({self.start / 1000:g} s)"
            )

    def is_screen(self, source: Source) -> bool:
        """Return True if a source is a shared screen."""
        return self.screen_name.casefold() in (source.recording.track_name or "").casefold()


@attrs.frozen
class Film:
    """All tracks of a room, each at its time.

    Attributes:
        tracks: in the order in which participants joined; tracks of one participant are adjacent.
        length: milliseconds to the end of the last track, or of the part that was asked for.
        participants: SIDs of the participants of the room, in the order of joining.
    """

    tracks: tuple[Track, ...]
    length: int
    participants: tuple[str, ...]

    @classmethod
    def from_sources(cls, sources: Sequence[Source], cut: Cut | None = None) -> Film:
        """Return the film of these sources.

        Raises:
            MediaError: there are no sources, or none in the part that was asked for.
        """
        if not sources:
            raise MediaError("there is nothing to combine")
        cut = cut or Cut()
        origin = min(source.start for source in sources) + cut.start
        room_length = max(source.start + source.length for source in sources) - origin
        length = room_length if cut.end is None else min(room_length, cut.end - cut.start)

        tracks = [make_track(source, origin, length, cut) for source in in_order(sources)]
        within = tuple(track for track in tracks if track.end > 0 and track.start < length)
        if not within:
            raise MediaError("there is nothing to combine in that part of the room")
        sids = (track.participant_sid for track in tracks)
        return cls(within, length, tuple(dict.fromkeys(sid for sid in sids if sid is not None)))

    def only(self, tracks: Iterable[Track]) -> Film:
        """Return a film of the same length with only these of its tracks, at the same times."""
        return attrs.evolve(self, tracks=tuple(tracks))

    def number(self, participant_sid: str) -> int:
        """Return the number of a participant of the room, by the order of joining: 1 for the first."""
        return self.participants.index(participant_sid) + 1

    @property
    def videos(self) -> list[Track]:
        """Tracks with a picture."""
        return [track for track in self.tracks if track.is_video]

    @property
    def audios(self) -> list[Track]:
        """Tracks with sound."""
        return [track for track in self.tracks if not track.is_video]

    @property
    def frames(self) -> int:
        """Number of frames in the film."""
        return max(1, frame_at(self.length))

    @property
    def shown(self) -> list[Shown]:
        """Visible pictures, in the order of the cells; a camera keeps its place when it is off."""
        absences = {each.participant_sid: each for each in self._absences()}
        shown: list[Shown] = []
        for track in self.videos:
            absence = None if track.is_screen else absences.pop(track.participant_sid or "", None)
            shown += [track] if absence is None else [absence, track]
        return shown

    def _absences(self) -> Iterator[Absence]:
        cameras: dict[str, list[Span]] = {}
        microphones: dict[str, list[Span]] = {}
        for track in self.tracks:
            if track.participant_sid is None or track.is_screen:
                continue
            if track.is_video:
                cameras.setdefault(track.participant_sid, []).extend(track.spans)
            else:
                heard = max(0, frame_at(track.start)), min(self.frames, frame_at(track.end))
                microphones.setdefault(track.participant_sid, []).append(heard)

        for participant_sid, seen in cameras.items():
            spans = difference(microphones.get(participant_sid, []), seen)
            long = tuple(span for span in spans if span[1] - span[0] >= _MIN_ABSENCE_FRAMES)
            if long:
                yield Absence(participant_sid, self.number(participant_sid), long)

    def scenes(self) -> list[Scene]:
        """Return the scenes: the film is cut wherever a cell appears or goes, and wherever a scene is too long."""
        shown = self.shown
        starting: dict[int, list[int]] = {0: [], self.frames: []}
        for index, each in enumerate(shown):
            for span in each.spans:
                for frame in span:
                    starting.setdefault(frame, []).append(index)

        scenes: list[Scene] = []
        visible: set[int] = set()
        for first, after_last in pairwise(sorted(starting)):
            # Only what appears or goes has changed.
            for index in starting[first]:
                is_visible = is_within(shown[index].spans, first)
                (visible.add if is_visible else visible.discard)(index)
            cells = tuple(shown[index] for index in sorted(visible))
            scenes.extend(
                Scene(part, min(_MAX_SCENE_FRAMES, after_last - part), cells)
                for part in range(first, after_last, _MAX_SCENE_FRAMES)
            )
        return scenes


def in_order(sources: Sequence[Source]) -> list[Source]:
    """Return sources by participant, in the order of joining, then by time. A participant joins with a first track."""
    joined: dict[str | None, int] = {}
    for source in sources:
        participant_sid = source.recording.participant_sid
        joined[participant_sid] = min(joined.get(participant_sid, source.start), source.start)

    def key(source: Source) -> tuple[int, str, int, str]:
        participant_sid = source.recording.participant_sid
        return joined[participant_sid], participant_sid or "", source.start, source.recording.sid or ""

    return sorted(sources, key=key)


def make_track(source: Source, origin: int, length: int, cut: Cut) -> Track:
    """Return a source as a track of a film that starts at a time of the room, and has a length."""
    start = source.start - origin
    spans: list[Span] = []
    if source.is_video:
        last = max(1, frame_at(length))
        for begin, end in source.visible_spans(cut.off_after):
            first, after_last = max(0, frame_at(start + begin)), min(last, frame_at(start + end))
            # Shorter than a frame, or outside of the film.
            if first < after_last:
                spans.append((first, after_last))
    is_screen = source.is_video and cut.is_screen(source)
    return Track(source, start, start + source.length, tuple(spans), is_screen)


def is_within(spans: Iterable[Span], frame: int) -> bool:
    """Return True if a frame is in one of these spans."""
    return any(first <= frame < after_last for first, after_last in spans)


def difference(spans: Sequence[Span], without: Sequence[Span]) -> list[Span]:
    """Return the frames that are in any of some spans and in none of others, as spans in order."""
    bounds = sorted({frame for span in (*spans, *without) for frame in span})
    result: list[Span] = []
    for first, after_last in pairwise(bounds):
        if not is_within(spans, first) or is_within(without, first):
            continue
        is_next = bool(result) and result[-1][1] == first
        begin = result.pop()[0] if is_next else first
        result.append((begin, after_last))
    return result


def frame_at(milliseconds: int) -> int:
    """Return the number of the frame at a time."""
    return round(milliseconds * FRAMES_PER_SECOND / _MILLISECONDS)


def grid(count: int, size: Size) -> list[Cell]:
    """Return the cells of a picture with this many videos: rows of equal cells, with the last row centered."""
    if not count:
        return []

    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    width = round_down_to_even(size.width / columns)
    height = round_down_to_even(size.height / rows)

    cells: list[Cell] = []
    for index in range(count):
        row, column = divmod(index, columns)
        cells_in_row = min(columns, count - row * columns)
        margin = round_down_to_even((size.width - cells_in_row * width) / 2)
        cells.append(Cell(margin + column * width, row * height, width, height))
    return cells


def with_screen(is_screen: Sequence[bool], size: Size) -> list[Cell]:
    """Return the cells of a picture in which shared screens have the frame, and the cameras a strip at its right."""
    cameras = is_screen.count(False)
    if not any(is_screen) or not cameras:
        return grid(len(is_screen), size)

    strip = round_down_to_even(size.width * _STRIP_FRACTION)
    left = size.width - strip
    screens = iter(grid(is_screen.count(True), Size(left, size.height)))
    strip_cells = iter(column(cameras, left, Size(strip, size.height)))
    return [next(screens if screen else strip_cells) for screen in is_screen]


def column(count: int, left: int, size: Size) -> list[Cell]:
    """Return cells of the shape of a camera's picture, below each other; in several columns if they get too low."""
    columns = max(1, round(math.sqrt(count * size.width * _CAMERA_SHAPE / size.height)))
    rows = math.ceil(count / columns)
    width = round_down_to_even(size.width / columns)
    height = min(round_down_to_even(size.height / rows), round_down_to_even(width * _CAMERA_SHAPE))
    top = round_down_to_even((size.height - rows * height) / 2)

    cells: list[Cell] = []
    for index in range(count):
        row, position = divmod(index, columns)
        cells.append(Cell(left + position * width, top + row * height, width, height))
    return cells


def with_gutters(cells: Sequence[Cell], size: Size) -> list[Cell]:
    """Return cells with a gap between them, if there are several. Small pictures have none."""
    gutter = round_down_to_even(size.width * _GUTTER_FRACTION)
    if len(cells) < 2 or not gutter:  # noqa: PLR2004  one cell has no neighbor
        return list(cells)
    half = round_down_to_even(gutter / 2)
    return [
        Cell(cell.left + half, cell.top + half, max(2, cell.width - gutter), max(2, cell.height - gutter))
        for cell in cells
    ]


def round_down_to_even(pixels: float) -> int:
    """Return the largest even number that is not greater."""
    return int(pixels) // 2 * 2
