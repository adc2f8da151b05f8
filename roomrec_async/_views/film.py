"""How the tracks of a room become one film: what is heard and seen when, and the command for ffmpeg that makes it.

Nothing here runs anything. Times are whole milliseconds from the beginning of the room's first track.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
_SAMPLES: Final = 48_000
# A track may end a little before the service says; its last picture stays until then.
_LAST_PICTURE_SECONDS: Final = 2
_LOUDEST: Final = 0.95

_MUXERS: Final[dict[Container, tuple[str, ...]]] = {
    "mkv": ("-f", "matroska"),
    "mp4": ("-f", "mp4", "-movflags", "+faststart"),
}
_VIDEO_CODEC: Final = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p")
_AUDIO_CODECS: Final[dict[Container, tuple[str, ...]]] = {
    "mkv": ("-c:a", "libopus", "-b:a", "96k"),
    "mp4": ("-c:a", "aac", "-b:a", "160k"),
}
_MIN_SIDE: Final = 16
_MAX_SIDE: Final = 7_680


@attrs.frozen
class Size:
    """The size of the picture, in pixels; both even, as codecs want it.

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
    """A recording's file.

    Attributes:
        recording: the recording.
        path: where its file is.
        length: milliseconds.
    """

    recording: Recording
    path: Path
    length: int


@attrs.frozen
class Track:
    """A file's place in the film.

    Attributes:
        source: the file.
        number: its position among the inputs of the command, from 0.
        start: when it begins.
        end: when it is over.
    """

    source: Source
    number: int
    start: int
    end: int

    @property
    def is_video(self) -> bool:
        """Whether it is seen; else it is heard."""
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
    """A time in which the same tracks are seen, in the order of their cells.

    Attributes:
        first: its first frame.
        frames: how many it has.
        videos: what is seen; nothing is black.
    """

    first: int
    frames: int
    videos: tuple[Track, ...]


def usable(recordings: Iterable[Recording]) -> list[Recording]:
    """Those that can be heard or seen: completed audio and video that tells when it began."""
    kinds = (MediaType.AUDIO, MediaType.VIDEO)
    return [
        recording
        for recording in recordings
        if recording.status == RecordingStatus.COMPLETED and recording.type in kinds and recording.offset is not None
    ]


@attrs.frozen
class Film:
    """All tracks of a room, each at its time.

    Attributes:
        tracks: in the order in which participants joined, those of a participant together.
        length: milliseconds, to the end of the last track.
    """

    tracks: tuple[Track, ...]
    length: int

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Film:
        """The film of these files.

        Raises:
            MediaError: there are none.
        """
        if not sources:
            raise MediaError("there is nothing to put together: no completed audio or video with a known beginning")
        offsets = {id(source): source.recording.offset or 0 for source in sources}
        begin = min(offsets.values())
        joined: dict[str | None, int] = {}
        for source in sources:
            who = source.recording.participant_sid
            joined[who] = min(joined.get(who, offsets[id(source)]), offsets[id(source)])
        ordered = sorted(sources, key=lambda source: _order(source, joined))
        tracks = tuple(
            Track(source, number, offsets[id(source)] - begin, offsets[id(source)] - begin + source.length)
            for number, source in enumerate(ordered)
        )
        return cls(tracks, max(track.end for track in tracks))

    @property
    def videos(self) -> list[Track]:
        """The tracks that are seen."""
        return [track for track in self.tracks if track.is_video]

    @property
    def audios(self) -> list[Track]:
        """The tracks that are heard."""
        return [track for track in self.tracks if not track.is_video]

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return max(1, _frame(self.length))

    def scenes(self) -> list[Scene]:
        """The film, cut wherever a track appears or goes."""
        spans = [(track, _frame(track.start), _frame(track.end)) for track in self.videos]
        cuts = sorted({0, self.frames, *(cut for _, *span in spans for cut in span if cut < self.frames)})
        return [
            Scene(first, after - first, tuple(track for track, begin, end in spans if begin <= first < end))
            for first, after in pairwise(cuts)
        ]


def _order(source: Source, joined: dict[str | None, int]) -> tuple[int, str, int, str]:
    recording = source.recording
    who = recording.participant_sid
    return joined[who], who or "", recording.offset or 0, recording.sid or ""


def _frame(milliseconds: int) -> int:
    return round(milliseconds * FRAMES_PER_SECOND / _MILLISECONDS)


def grid(count: int, size: Size) -> list[Cell]:
    """The cells of so many tracks: rows of equal cells, the last row in the middle."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    width, height = _even(size.width / columns), _even(size.height / rows)
    cells = []
    for number in range(count):
        row, column = divmod(number, columns)
        in_the_row = min(columns, count - row * columns)
        margin = _even((size.width - in_the_row * width) / 2)
        cells.append(Cell(margin + column * width, row * height, width, height))
    return cells


def _even(pixels: float) -> int:
    return int(pixels) // 2 * 2


def command(film: Film, output: Path, container: Container, size: Size, *, ffmpeg: str = "ffmpeg") -> list[str]:
    """The command that makes the film, in one run.

    Nothing that a participant has typed is in it: files are named after recordings' SIDs.

    Args:
        film: what is to be made.
        output: the file that is to be written.
        container: its format.
        size: of the picture.
        ffmpeg: the program.
    """
    maps: list[str] = []
    filters: list[str] = []
    if film.videos:
        filters += [*_prepared(film), *_scenes(film, size)]
        maps += ["-map", "[video]", *_VIDEO_CODEC, "-r", str(FRAMES_PER_SECOND)]
    if film.audios:
        filters += _mixed(film)
        maps += ["-map", "[audio]", *_AUDIO_CODECS[container]]
    # A demuxer by name: what pretends to be Matroska must not make ffmpeg open other files or addresses.
    inputs = (part for track in film.tracks for part in ("-f", "matroska", "-i", f"file:{track.source.path}"))
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
        *inputs,
        *("-filter_complex", ";".join(filters), *maps, "-map_metadata", "-1"),
        *(*_MUXERS[container], f"file:{output}"),
    ]


def _prepared(film: Film) -> Iterable[str]:
    """Each video at a constant rate, at its time, once for each scene that it is in."""
    scenes = film.scenes()
    for track in film.videos:
        parts = [f"[v{track.number}_{index}]" for index, scene in enumerate(scenes) if track in scene.videos]
        if not parts:
            yield f"[{track.number}:v:0]nullsink"
            continue
        first = _frame(track.start)
        yield (
            f"[{track.number}:v:0]setpts=PTS-STARTPTS,fps={FRAMES_PER_SECOND}:start_time=0,"
            f"tpad=stop_mode=clone:stop_duration={_LAST_PICTURE_SECONDS},"
            f"setpts=N+{first},settb=1/{FRAMES_PER_SECOND},split={len(parts)}{''.join(parts)}"
        )


def _scenes(film: Film, size: Size) -> Iterable[str]:
    scenes = film.scenes()
    for index, scene in enumerate(scenes):
        yield from _scene(index, scene, size)
    yield f"{''.join(f'[s{index}]' for index in range(len(scenes)))}concat=n={len(scenes)}:v=1:a=0[video]"


def _scene(index: int, scene: Scene, size: Size) -> Iterable[str]:
    """One scene: its tracks, each in its cell, on black."""
    picture = f"{size.width}x{size.height}"
    yield f"color=c=black:s={picture}:r={FRAMES_PER_SECOND},trim=end_frame={scene.frames},setsar=1[b{index}_0]"
    for place, (track, cell) in enumerate(zip(scene.videos, grid(len(scene.videos) or 1, size), strict=False)):
        # The last picture stays, should the track end before its time.
        yield (
            f"[v{track.number}_{index}]trim=start_pts={scene.first}:end_pts={scene.first + scene.frames},"
            f"setpts=PTS-{scene.first},"
            f"scale={cell.width}:{cell.height}:force_original_aspect_ratio=decrease:force_divisible_by=2,setsar=1,"
            f"pad={cell.width}:{cell.height}:-1:-1:color=black[c{track.number}_{index}]"
        )
        yield (
            f"[b{index}_{place}][c{track.number}_{index}]overlay={cell.left}:{cell.top}:eof_action=repeat"
            f"[b{index}_{place + 1}]"
        )
    yield f"[b{index}_{len(scene.videos)}]format=yuv420p[s{index}]"


def _mixed(film: Film) -> Iterable[str]:
    """All audio, each at its time, silent before, after and in its gaps; as loud as it was recorded."""
    for track in film.audios:
        yield (
            f"[{track.number}:a:0]asetpts=PTS-STARTPTS,aresample={_SAMPLES}:async=1:first_pts=0,"
            # Both sides as loud as the one: a conversion of the layout would take 3 dB off.
            f"aformat=sample_fmts=fltp,pan=stereo|FL=FL+FC|FR=FR+FC,adelay=delays={track.start}:all=1[a{track.number}]"
        )
    labels = "".join(f"[a{track.number}]" for track in film.audios)
    mix = f"amix=inputs={len(film.audios)}:normalize=0:dropout_transition=0," if len(film.audios) > 1 else ""
    seconds = film.length / _MILLISECONDS
    yield f"{labels}{mix}alimiter=limit={_LOUDEST}:level=0,apad,atrim=end={seconds:.3f}[audio]"
