"""Layout of a film of a room's tracks, and the ffmpeg command that makes it.

Nothing is run here. Times are whole milliseconds from the start of the room's first track.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from roomrec_async._validate import check_integer
from roomrec_async.errors import MediaError
from roomrec_async.models import MediaType, Recording, RecordingStatus

Container: TypeAlias = Literal["mkv", "mp4"]

FRAMES_PER_SECOND: Final = 30
_MILLISECONDS: Final = 1_000

# Samples per second of the mixed audio: the rate at which Opus decodes.
_SAMPLE_RATE: Final = 48_000
# The limiter's ceiling, as a fraction of full scale: simultaneous speakers must not clip.
_MAX_LEVEL: Final = 0.95

# A track may end a little before its stated length. Its last frame is repeated for up to this many seconds.
_LAST_FRAME_SECONDS: Final = 2

_MUXERS: Final[dict[Container, tuple[str, ...]]] = {
    "mkv": ("-f", "matroska"),
    "mp4": ("-f", "mp4", "-movflags", "+faststart"),
}
_VIDEO_CODEC: Final = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p")
_AUDIO_CODECS: Final[dict[Container, tuple[str, ...]]] = {
    "mkv": ("-c:a", "libopus", "-b:a", "96k"),
    "mp4": ("-c:a", "aac", "-b:a", "160k"),
}

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


@attrs.frozen
class Source:
    """A recording with its media file.

    Attributes:
        recording: the recording.
        path: the file.
        length: milliseconds.
    """

    recording: Recording
    path: Path
    length: int


@attrs.frozen
class Track:
    """A source with its times in the film.

    Attributes:
        source: the recording and its file.
        number: index among the inputs of the command, from 0.
        start: milliseconds from the start of the film.
        end: milliseconds from the start of the film.
    """

    source: Source
    number: int
    start: int
    end: int

    @property
    def is_video(self) -> bool:
        """True for video, False for audio."""
        return self.source.recording.type == MediaType.VIDEO


@attrs.frozen
class Cell:
    """A rectangle of the picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


@attrs.frozen
class Scene:
    """A part of the film in which the same videos are visible.

    Attributes:
        first: number of its first frame.
        frames: number of frames.
        videos: visible tracks, in the order of their cells; the picture is black if there are none.
    """

    first: int
    frames: int
    videos: tuple[Track, ...]


def usable(recordings: Iterable[Recording]) -> list[Recording]:
    """Return the recordings that a film can include: completed audio and video with an ``offset``."""
    types = (MediaType.AUDIO, MediaType.VIDEO)
    return [
        recording
        for recording in recordings
        if recording.status == RecordingStatus.COMPLETED and recording.type in types and recording.offset is not None
    ]


@attrs.frozen
class Film:
    """All tracks of a room, each at its recording's ``offset``.

    The ``offset`` is the start of the room, which all of its tracks usually share; the start of a track within the room
    is only in its file.

    Attributes:
        tracks: in the order in which participants joined; tracks of one participant are adjacent.
        length: milliseconds to the end of the last track.
    """

    tracks: tuple[Track, ...]
    length: int

    @classmethod
    def from_sources(cls, sources: Sequence[Source]) -> Film:
        """Return the film of these sources.

        Raises:
            MediaError: there are no sources.
        """
        if not sources:
            raise MediaError("there is nothing to combine: the room has no completed audio or video with a known start")

        # A participant joins with their first track.
        joined: dict[str | None, int] = {}
        for source in sources:
            participant_sid = source.recording.participant_sid
            joined[participant_sid] = min(joined.get(participant_sid, offset_of(source)), offset_of(source))

        film_start = min(joined.values())
        tracks: list[Track] = []
        for number, source in enumerate(sorted(sources, key=lambda source: track_order(source, joined))):
            start = offset_of(source) - film_start
            tracks.append(Track(source, number, start, start + source.length))
        return cls(tuple(tracks), max(track.end for track in tracks))

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

    def scenes(self) -> list[Scene]:
        """Return the scenes: the film is cut wherever a video starts or ends."""
        spans = [(track, frame_at(track.start), frame_at(track.end)) for track in self.videos]
        cuts = {0, self.frames}
        for _, start, end in spans:
            cuts.update((start, end))

        scenes: list[Scene] = []
        for first, after_last in pairwise(sorted(cuts)):
            visible = tuple(track for track, start, end in spans if start <= first < end)
            scenes.append(Scene(first, after_last - first, visible))
        return scenes


def offset_of(source: Source) -> int:
    """Return the offset of a source's recording in milliseconds."""
    return source.recording.offset or 0


def track_order(source: Source, joined: dict[str | None, int]) -> tuple[int, str, int, str]:
    """Return a sort key: by participant, in the order of joining, then by time."""
    recording = source.recording
    participant_sid = recording.participant_sid
    return joined[participant_sid], participant_sid or "", offset_of(source), recording.sid or ""


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


def round_down_to_even(pixels: float) -> int:
    """Return the largest even number that is not greater."""
    return int(pixels) // 2 * 2


def command(film: Film, output: Path, container: Container, size: Size, *, ffmpeg: str = "ffmpeg") -> list[str]:
    """Return the command that makes the film, in one run of ffmpeg.

    It contains nothing that a participant typed: files are named after the SIDs of recordings.

    Args:
        film: the film to make.
        output: the file to write.
        container: format of the file.
        size: size of the picture.
        ffmpeg: the program.
    """
    maps: list[str] = []
    filters: list[str] = []
    if film.videos:
        filters += [*video_filters(film), *scene_filters(film, size)]
        maps += ["-map", "[video]", *_VIDEO_CODEC, "-r", str(FRAMES_PER_SECOND)]
    if film.audios:
        filters += audio_filters(film)
        maps += ["-map", "[audio]", *_AUDIO_CODECS[container]]

    # The demuxer is named: a file in disguise, such as a playlist, must not make ffmpeg open other files or URLs.
    inputs = (part for track in film.tracks for part in ("-f", "matroska", "-i", f"file:{track.source.path}"))
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
        *inputs,
        *("-filter_complex", ";".join(filters), *maps, "-map_metadata", "-1"),
        *(*_MUXERS[container], f"file:{output}"),
    ]


def video_filters(film: Film) -> Iterator[str]:
    """Yield a filter for each video: to a constant frame rate, to its time, and a copy for each of its scenes."""
    scenes = film.scenes()
    for track in film.videos:
        copies = [f"[v{track.number}_{index}]" for index, scene in enumerate(scenes) if track in scene.videos]
        if not copies:
            # Shorter than a frame. ffmpeg requires that every input is used.
            yield f"[{track.number}:v:0]nullsink"
            continue
        first = frame_at(track.start)
        yield (
            f"[{track.number}:v:0]setpts=PTS-STARTPTS,fps={FRAMES_PER_SECOND}:start_time=0,"
            f"tpad=stop_mode=clone:stop_duration={_LAST_FRAME_SECONDS},"
            f"setpts=N+{first},settb=1/{FRAMES_PER_SECOND},split={len(copies)}{''.join(copies)}"
        )


def scene_filters(film: Film, size: Size) -> Iterator[str]:
    """Yield the filters that compose each scene, and the one that joins them."""
    scenes = film.scenes()
    for index, scene in enumerate(scenes):
        yield from compose_scene(index, scene, size)
    labels = "".join(f"[s{index}]" for index in range(len(scenes)))
    yield f"{labels}concat=n={len(scenes)}:v=1:a=0[video]"


def compose_scene(index: int, scene: Scene, size: Size) -> Iterator[str]:
    """Yield the filters that put the videos of a scene, each in its cell, on a black background."""
    background = f"color=c=black:s={size.width}x{size.height}:r={FRAMES_PER_SECOND}"
    yield f"{background},trim=end_frame={scene.frames},setsar=1[b{index}_0]"

    # [bINDEX_N] is the background with the first N videos on it.
    for position, (track, cell) in enumerate(zip(scene.videos, grid(len(scene.videos), size), strict=True)):
        yield (
            f"[v{track.number}_{index}]trim=start_pts={scene.first}:end_pts={scene.first + scene.frames},"
            f"setpts=PTS-{scene.first},"
            f"scale={cell.width}:{cell.height}:force_original_aspect_ratio=decrease:force_divisible_by=2,setsar=1,"
            f"pad={cell.width}:{cell.height}:-1:-1:color=black[c{track.number}_{index}]"
        )
        # The last frame stays if the track ends before the scene does.
        yield (
            f"[b{index}_{position}][c{track.number}_{index}]overlay={cell.left}:{cell.top}:eof_action=repeat"
            f"[b{index}_{position + 1}]"
        )
    yield f"[b{index}_{len(scene.videos)}]format=yuv420p[s{index}]"


def audio_filters(film: Film) -> Iterator[str]:
    """Yield the filters that mix all audio: each track at its time and recorded level, silent where it has none."""
    for track in film.audios:
        yield (
            f"[{track.number}:a:0]asetpts=PTS-STARTPTS,aresample={_SAMPLE_RATE}:async=1:first_pts=0,"
            # Mono goes to both channels at full level: ffmpeg's own conversion to stereo would take 3 dB off.
            f"aformat=sample_fmts=fltp,pan=stereo|FL=FL+FC|FR=FR+FC,adelay=delays={track.start}:all=1[a{track.number}]"
        )
    labels = "".join(f"[a{track.number}]" for track in film.audios)
    mix = ""
    if len(film.audios) > 1:
        mix = f"amix=inputs={len(film.audios)}:normalize=0:dropout_transition=0,"
    seconds = film.length / _MILLISECONDS
    yield f"{labels}{mix}alimiter=limit={_MAX_LEVEL}:level=0,apad,atrim=end={seconds:.3f}[audio]"
