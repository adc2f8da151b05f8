"""The steps that make a film with ffmpeg: each is one command of bounded size, which writes one file.

1. Each track becomes a file of its own that starts at a frame or sample of the film, has no gaps, and one size.
   Whatever is odd about a track (changing sizes, missing frames, lost packets, a late start) ends here.
2. Each scene is composed from those files. All audio is mixed from them, in groups where there is a lot.
3. The scenes are joined with the audio, without encoding them again.

The file of a step is named after everything that it is made of, so a later run finds it if it would be the same.
Nothing that a participant typed is in a command: names are in files of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import attrs

from .film import (
    FRAMES_PER_SECOND,
    Cell,
    Container,
    Film,
    Layout,
    Scene,
    Size,
    Source,
    Track,
    grid,
    with_gutters,
    with_screen,
)

# Changed whenever other commands would make another film of the same tracks.
_VERSION: Final = 1
# Inputs of one command: they bound its arguments, memory and open files, whatever the room.
MAX_INPUTS: Final = 64

# Samples per second of all audio: the rate at which Opus decodes.
_SAMPLE_RATE: Final = 48_000
_SAMPLES_PER_MILLISECOND: Final = _SAMPLE_RATE // 1_000
# A packet of Opus has 20 ms. A gap of half of that is filled at once, so that losses never add up; the rounding of
# timestamps to milliseconds is well below.
_MIN_FILLED_GAP: Final = 0.010

_VIDEO_CODEC: Final = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p")
# Of files in between: large and fast, with a frame to start from in every second.
_DRAFT_CODEC: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "14", "-g", "30", "-pix_fmt", "yuv420p")
_LOSSLESS_CODEC: Final = ("-c:a", "flac", "-sample_fmt", "s16")
# Sums of tracks are scaled down, and have more bits instead.
_LOSSLESS_MIX_CODEC: Final = ("-c:a", "flac", "-sample_fmt", "s32", "-bits_per_raw_sample", "24")
_AUDIO_CODECS: Final[dict[Container, tuple[str, ...]]] = {
    "mkv": ("-c:a", "libopus", "-b:a", "96k", "-f", "matroska"),
    "mp4": ("-c:a", "aac", "-b:a", "160k", "-f", "mp4"),
}
_MUXERS: Final[dict[Container, tuple[str, ...]]] = {
    "mkv": ("-f", "matroska"),
    "mp4": ("-f", "mp4", "-movflags", "+faststart"),
}
# Units of time of a scene's file: a whole number of them is a frame, so that the times of scenes add up exactly.
_TIMESCALE: Final = 512 * FRAMES_PER_SECOND

Chapter: TypeAlias = tuple[int, str]
"""Start in milliseconds, and title."""


@attrs.frozen(kw_only=True)
class Step:
    """A command that writes one file. All names of files are relative to the directory that it runs in.

    Attributes:
        kind: what is made, such as ``scene``; the beginning of the file's name.
        extension: the end of the file's name.
        arguments: those of ffmpeg, without the file to write.
        files: texts that the command reads, by their names.
        length: milliseconds of media that it writes.
        source: the recording that is read; None if only files of other steps are.
    """

    kind: str
    extension: str
    arguments: tuple[str, ...]
    files: Mapping[str, str] = attrs.field(factory=dict)
    length: int
    source: Source | None = None

    @property
    def name(self) -> str:
        """Name of the file that is written: the same for the same result."""
        version = "" if self.source is None else self.source.version
        everything = [_VERSION, self.arguments, sorted(self.files.items()), version]
        digest = hashlib.sha256(json.dumps(everything).encode()).hexdigest()
        return f"{self.kind}-{digest[:24]}.{self.extension}"


@attrs.frozen(kw_only=True)
class Style:
    """Appearance of a film.

    Attributes:
        size: size of the picture.
        container: format of the file.
        layout: ``grid`` for cells of one size; ``screen`` to give shared screens the frame, and cameras a strip.
        screen_name: text in the names of tracks that are shared screens, in any case.
        names: names of participants by their SIDs, to be shown in their cells.
    """

    size: Size
    container: Container
    layout: Layout = "grid"
    screen_name: str = "screen"
    names: Mapping[str, str] = attrs.field(factory=dict)

    def cells(self, videos: Sequence[Track]) -> list[Cell]:
        """Return the cells of visible tracks."""
        if self.layout == "screen":
            cells = with_screen([self._is_screen(track) for track in videos], self.size)
        else:
            cells = grid(len(videos), self.size)
        return with_gutters(cells, self.size)

    def name_of(self, track: Track) -> str | None:
        """Return the name to show in a track's cell, or None."""
        return self.names.get(track.source.recording.participant_sid or "")

    def _is_screen(self, track: Track) -> bool:
        return self.screen_name.casefold() in (track.source.recording.track_name or "").casefold()


@attrs.frozen
class Tile:
    """A track in a cell during a scene."""

    track: Track
    cell: Cell


Composition: TypeAlias = Sequence[tuple[Scene, Sequence[Tile]]]
"""The scenes of a film, each with its tiles."""


def compose(film: Film, style: Style) -> Composition:
    """Return the scenes of a film with their tiles."""
    return [
        (scene, [Tile(*pair) for pair in zip(scene.videos, style.cells(scene.videos), strict=True)])
        for scene in film.scenes()
    ]


@attrs.frozen
class Plan:
    """The steps of a film.

    Attributes:
        film: the film.
        style: its appearance.
        tracks: steps that prepare the tracks, one each; they need no others.
        scenes: steps of each scene: each needs the one before it, and the last one is the scene. Empty without videos.
        mixes: steps that mix audio in groups, level by level: those of a level need only those of the level before.
        final_mix: what is mixed into the film's audio: names of files, and their starts in milliseconds.
    """

    film: Film
    style: Style
    tracks: tuple[Step, ...]
    scenes: tuple[tuple[Step, ...], ...]
    mixes: tuple[tuple[Step, ...], ...]
    final_mix: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, film: Film, style: Style) -> Plan:
        """Return the plan of a film."""
        composition = compose(film, style) if film.videos else ()
        videos = video_steps(composition)
        audios = {track: audio_step(track) for track in film.audios}
        levels, final_mix = mix_steps([(step, track.start) for track, step in audios.items()])
        scenes = tuple(tuple(scene_steps(scene, tiles, videos, style)) for scene, tiles in composition)
        return cls(film, style, (*videos.values(), *audios.values()), scenes, levels, final_mix)

    def audio_step(self, limit: float) -> Step:
        """Return the step that makes the film's audio.

        Args:
            limit: highest level before it is encoded, as a fraction of full scale.
        """
        gain = MAX_INPUTS ** len(self.mixes)
        inputs = [part for name, _ in self.final_mix for part in input_file(name)]
        filters = mix_filters([start for _, start in self.final_mix])
        seconds = self.film.length / 1_000
        end = f"volume={gain},alimiter=limit={limit:.4f}:level=0:latency=1,apad,atrim=end={seconds:.3f}"
        return Step(
            kind="audio",
            extension=self.style.container,
            arguments=(*inputs, "-filter_complex", f"{filters},{end}[out]", "-map", "[out]", *self._audio_codec),
            length=self.film.length,
        )

    def join_step(self, audio: str | None, chapters: Sequence[Chapter]) -> Step:
        """Return the step that makes the film of its scenes and its audio.

        Args:
            audio: name of the audio's file, or None if there is none.
            chapters: chapters by start.
        """
        files = {"chapters.txt": chapters_text(chapters, self.film.length)}
        inputs = ["-f", "ffmetadata", *input_file("chapters.txt")]
        # Metadata of the chapters, and none of the tracks.
        maps = ["-map_metadata", "0", "-map_chapters", "0"]
        if self.scenes:
            files["scenes.txt"] = "".join(scene_lines(steps[-1]) for steps in self.scenes)
            inputs += ["-f", "concat", *input_file("scenes.txt")]
            maps += ["-map", "1:v:0"]
        if audio is not None:
            inputs += input_file(audio)
            maps += ["-map", f"{2 if self.scenes else 1}:a:0"]
        arguments = (*inputs, *maps, "-c", "copy", *_MUXERS[self.style.container])
        return Step(
            kind="film", extension=self.style.container, arguments=arguments, files=files, length=self.film.length
        )

    @property
    def _audio_codec(self) -> tuple[str, ...]:
        return _AUDIO_CODECS[self.style.container]


def input_file(name: str) -> tuple[str, ...]:
    """Return the arguments for a file of another step."""
    return ("-protocol_whitelist", "file", "-i", f"file:{name}")


def recording_file(source: Source) -> tuple[str, ...]:
    """Return the arguments for a recording's file, whose times are kept, and whose picture may change its size.

    The demuxer is named: a file in disguise, such as a playlist, must not make ffmpeg open other files or URLs.
    """
    options = ("-threads", "1", "-copyts", "-reinit_filter", "0", "-f", "matroska")
    return (*options, *input_file(str(source.path.absolute())))


def video_steps(composition: Composition) -> dict[Track, Step]:
    """Return a step for each video that is visible at any time."""
    shown: dict[Track, list[tuple[Scene, Cell]]] = {}
    for scene, tiles in composition:
        for tile in tiles:
            shown.setdefault(tile.track, []).append((scene, tile.cell))
    return {track: video_step(track, cells) for track, cells in shown.items()}


def video_step(track: Track, shown: Sequence[tuple[Scene, Cell]]) -> Step:
    """Return the step that prepares a video: each frame of the film from its first one on, in the size of its cell.

    The file has the size of the largest cell. A smaller one is at its top left.
    """
    first = track.first_frame
    last_scene = shown[-1][0]
    frames = last_scene.first + last_scene.frames - first
    # Time of the film's frame on the clock of the file.
    start = (track.source.container_start - track.start) / 1_000 + first / FRAMES_PER_SECOND
    box = box_of(cell for _, cell in shown)
    initial = shown[0][1]
    commands = "".join(resize_commands(shown, first))

    files = {}
    resize = ""
    if commands:
        name = f"cells-{hashlib.sha256(commands.encode()).hexdigest()[:24]}.txt"
        files[name] = commands
        resize = f"sendcmd=f={name},"
    filters = (
        f"[0:v:0]fps={FRAMES_PER_SECOND}:start_time={start:.6f},settb=1/{FRAMES_PER_SECOND},setpts=N,{resize}"
        f"scale@fit={initial.width}:{initial.height}:force_original_aspect_ratio=decrease:force_divisible_by=2:"
        "eval=frame,setsar=1[picture];"
        f"color=c=black:s={box.width}x{box.height}:r={FRAMES_PER_SECOND},setsar=1[box];"
        f"[box][picture]overlay@cell=x=({initial.width}-w)/2:y=({initial.height}-h)/2:eof_action=repeat[out]"
    )
    codec = (*_DRAFT_CODEC, "-threads", "2", "-frames:v", str(frames), "-f", "matroska")
    return Step(
        kind="video",
        extension="mkv",
        arguments=(*recording_file(track.source), "-filter_complex", filters, "-map", "[out]", *codec),
        files=files,
        length=milliseconds_of(frames),
        source=track.source,
    )


def box_of(cells: Iterable[Cell]) -> Cell:
    """Return a cell that is as wide as the widest and as high as the highest."""
    every = list(cells)
    return Cell(0, 0, max(cell.width for cell in every), max(cell.height for cell in every))


def resize_commands(shown: Sequence[tuple[Scene, Cell]], first: int) -> Iterator[str]:
    """Yield the lines of a file that tells ffmpeg's filters when the size of a track's cell changes."""
    for (_, before), (scene, cell) in pairwise(shown):
        if (cell.width, cell.height) == (before.width, before.height):
            continue
        # Half a frame early, so that the rounding of times does not matter.
        time = (scene.first - first - 0.5) / FRAMES_PER_SECOND
        yield (
            f"{time:.6f} scale@fit w {cell.width}, scale@fit h {cell.height}, "
            f"overlay@cell x ({cell.width}-w)/2, overlay@cell y ({cell.height}-h)/2;\n"
        )


def audio_step(track: Track) -> Step:
    """Return the step that prepares an audio track: from its start on, with silence for whatever was not recorded."""
    source = track.source
    filters = (
        # first_pts counts samples of the input, whose rate is not known here; 0 is 0 at any rate.
        f"[0:a:0]asetpts=PTS-({source.container_start / 1_000:.3f})/TB,"
        f"aresample={_SAMPLE_RATE}:async=1:min_hard_comp={_MIN_FILLED_GAP}:first_pts=0,"
        # Mono goes to both channels at full level: ffmpeg's own conversion to stereo would take 3 dB off.
        "asetpts=N/SR/TB,aformat=sample_fmts=fltp,pan=stereo|FL=FL+FC|FR=FR+FC[out]"
    )
    return Step(
        kind="sound",
        extension="flac",
        arguments=(
            *recording_file(source),
            "-filter_complex",
            filters,
            "-map",
            "[out]",
            *_LOSSLESS_CODEC,
            "-f",
            "flac",
        ),
        length=source.length,
        source=source,
    )


def mix_steps(
    tracks: Sequence[tuple[Step, int]],
) -> tuple[tuple[tuple[Step, ...], ...], tuple[tuple[str, int], ...]]:
    """Return the steps that mix many tracks in groups, level by level, and what then remains to be mixed.

    Tracks that are close in time form a group, so that the files are not longer than they must be.

    Args:
        tracks: prepared tracks, and their starts in milliseconds.
    """
    levels: list[tuple[Step, ...]] = []
    remaining = sorted(tracks, key=lambda item: item[1])
    while len(remaining) > MAX_INPUTS:
        groups = [remaining[first : first + MAX_INPUTS] for first in range(0, len(remaining), MAX_INPUTS)]
        remaining = [mix_group(group) for group in groups]
        levels.append(tuple(step for step, _ in remaining))
    return tuple(levels), tuple((step.name, start) for step, start in remaining)


def mix_group(group: Sequence[tuple[Step, int]]) -> tuple[Step, int]:
    """Return the step that mixes a group, scaled down by the number of inputs that one may have, and its start."""
    begin = group[0][1]
    inputs = [part for step, _ in group for part in input_file(step.name)]
    filters = mix_filters([start - begin for _, start in group])
    step = Step(
        kind="mix",
        extension="flac",
        arguments=(
            *(*inputs, "-filter_complex", f"{filters},volume={1 / MAX_INPUTS}[out]", "-map", "[out]"),
            *(*_LOSSLESS_MIX_CODEC, "-f", "flac"),
        ),
        length=max(start + step.length for step, start in group) - begin,
    )
    return step, begin


def mix_filters(starts: Sequence[int]) -> str:
    """Return the filters that mix inputs, each from a time in milliseconds on; the sum is not limited."""
    delayed: list[str] = []
    for index, start in enumerate(starts):
        # A film may start within a track.
        cut = f"atrim=start_sample={-start * _SAMPLES_PER_MILLISECOND},asetpts=PTS-STARTPTS,"
        delay = max(0, start) * _SAMPLES_PER_MILLISECOND
        delayed.append(
            f"[{index}:a:0]{cut if start < 0 else ''}aformat=sample_fmts=fltp,adelay=delays={delay}S:all=1[a{index}]"
        )
    labels = "".join(f"[a{index}]" for index in range(len(starts)))
    return f"{';'.join(delayed)};{labels}amix=inputs={len(starts)}:normalize=0:dropout_transition=0"


def scene_steps(scene: Scene, tiles: Sequence[Tile], videos: Mapping[Track, Step], style: Style) -> Iterator[Step]:
    """Yield the steps of a scene: several where it has many tiles, each of which adds some to the picture before."""
    background: Step | None = None
    for first in range(0, max(1, len(tiles)), MAX_INPUTS):
        is_last = first + MAX_INPUTS >= len(tiles)
        background = scene_step(scene, tiles[first : first + MAX_INPUTS], videos, style, background, is_last=is_last)
        yield background


def scene_step(
    scene: Scene,
    tiles: Sequence[Tile],
    videos: Mapping[Track, Step],
    style: Style,
    background: Step | None,
    *,
    is_last: bool,
) -> Step:
    """Return a step that puts tiles on a background, which is black if there is none yet."""
    inputs: list[str] = []
    filters: list[str] = []
    files: dict[str, str] = {}
    for index, tile in enumerate(tiles):
        inputs += seek(scene.first - tile.track.first_frame, videos[tile.track].name)
        cell, label = tile.cell, label_filter(tile, style, files)
        filters.append(
            f"[{index}:v:0]settb=1/{FRAMES_PER_SECOND},setpts=N,crop={cell.width}:{cell.height}:0:0{label}[v{index}];"
            f"[b{index}][v{index}]overlay={cell.left}:{cell.top}:eof_action=repeat[b{index + 1}]"
        )
    canvas = f"color=c=black:s={style.size.width}x{style.size.height}:r={FRAMES_PER_SECOND}"
    if background is not None:
        inputs += input_file(background.name)
        canvas = f"[{len(tiles)}:v:0]settb=1/{FRAMES_PER_SECOND},setpts=N"
    filters.insert(0, f"{canvas},setsar=1,format=yuv420p[b0]")
    filters.append(f"[b{len(tiles)}]format=yuv420p[out]")
    codec = ("-frames:v", str(scene.frames), "-video_track_timescale", str(_TIMESCALE), "-f", "mp4")
    return Step(
        kind="scene",
        extension="mp4",
        arguments=(
            *(*inputs, "-filter_complex", ";".join(filters), "-map", "[out]"),
            *(*(_VIDEO_CODEC if is_last else _DRAFT_CODEC), "-threads", "2", *codec),
        ),
        files=files,
        length=milliseconds_of(scene.frames),
    )


def seek(frame: int, name: str) -> tuple[str, ...]:
    """Return the arguments for a prepared video from a frame on."""
    # Half a frame early, so that the rounding of times to milliseconds does not matter.
    time = () if frame <= 0 else ("-ss", f"{(frame - 0.5) / FRAMES_PER_SECOND:.6f}")
    return ("-threads", "1", *time, *input_file(name))


def label_filter(tile: Tile, style: Style, files: dict[str, str]) -> str:
    """Return the filter that writes a participant's name into a cell, or nothing, and add the name to the files."""
    text = style.name_of(tile.track)
    if text is None:
        return ""
    name = f"name-{hashlib.sha256(text.encode()).hexdigest()[:24]}.txt"
    files[name] = text
    size = max(10, tile.cell.height // 16)
    place = f"x={size // 2}:y=h-th-{size // 2}:box=1:boxcolor=black@0.5:boxborderw={size // 4}"
    return f",drawtext=textfile={name}:expansion=none:fontsize={size}:fontcolor=white:{place}"


def scene_lines(scene: Step) -> str:
    """Return the lines that name a scene in the list of all."""
    return f"file '{scene.name}'\n"


def chapters_text(chapters: Sequence[Chapter], length: int) -> str:
    """Return the file that gives ffmpeg the chapters of a film of some length."""
    lines = [";FFMETADATA1"]
    starts = [start for start, _ in chapters]
    for (start, title), end in zip(chapters, [*starts[1:], length], strict=False):
        escaped = "".join(f"\\{char}" if char in "=;#\\\n" else char for char in title)
        lines.append(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={escaped}")
    return "\n".join(lines) + "\n"


def joining(film: Film, names: Mapping[str, str]) -> list[Chapter]:
    """Return a chapter for each moment at which participants join, titled with their names, or else their numbers."""
    joined: dict[str, int] = {}
    for track in film.tracks:
        participant_sid = track.source.recording.participant_sid
        if participant_sid is not None:
            start = max(0, track.start)
            joined[participant_sid] = min(joined.get(participant_sid, start), start)

    chapters: dict[int, tuple[int, list[str]]] = {}
    for number, (participant_sid, start) in enumerate(joined.items(), 1):
        # Those who join within a second share a chapter.
        first, who = chapters.setdefault(start // 1_000, (start, []))
        who.append(names.get(participant_sid, f"Participant {number}"))
        chapters[start // 1_000] = min(first, start), who
    return [(start, ", ".join(who)) for start, who in sorted(chapters.values())]


def milliseconds_of(frames: int) -> int:
    """Return the length of frames in milliseconds."""
    return frames * 1_000 // FRAMES_PER_SECOND
