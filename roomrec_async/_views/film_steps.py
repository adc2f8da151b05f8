"""The steps that make a film with ffmpeg: each is one command of bounded size, which writes one file.

1. Each track becomes a file of its own that starts at a frame or sample of the film, has no gaps, and one size.
   Whatever is odd about a track (changing sizes, missing frames, lost packets, a late start) ends here.
2. The scenes are composed from those files, several short ones at a time. All audio is mixed from them, in groups where
   there is a lot.
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
    Absence,
    Cell,
    Film,
    Format,
    Layout,
    Scene,
    Shown,
    Size,
    Source,
    Span,
    Track,
    grid,
    with_gutters,
    with_screen,
)

# Changed whenever other commands would make another film of the same tracks.
_VERSION: Final = 2
# Inputs of one command: they bound its arguments, memory and open files, whatever the room.
MAX_INPUTS: Final = 64
# Tiles of one command. Short scenes share a command up to so many, because each has to open all of its tracks.
_MAX_TILES: Final = 2 * MAX_INPUTS
# Times at which tiles of one command appear, which bound the length of its arguments.
_MAX_SPANS: Final = 2 * _MAX_TILES
# Frames after which a command is long enough: 10 seconds.
_MIN_SHARED_FRAMES: Final = 10 * FRAMES_PER_SECOND

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
# For transcription: the rate that speech recognition works at. RF64 is WAV beyond 4 GiB, and only then.
_WAV_SAMPLES_PER_MILLISECOND: Final = 16
_WAV_LIMIT: Final = 0.98
_WAV_FORMAT: Final = ("-c:a", "pcm_s16le", "-f", "wav", "-rf64", "auto")
# Sums of tracks are scaled down, and have more bits instead.
_LOSSLESS_MIX_CODEC: Final = ("-c:a", "flac", "-sample_fmt", "s32", "-bits_per_raw_sample", "24")
_AUDIO_CODECS: Final[dict[Format, tuple[str, ...]]] = {
    "mkv": ("-c:a", "libopus", "-b:a", "96k", "-f", "matroska"),
    "mp4": ("-c:a", "aac", "-b:a", "160k", "-f", "mp4"),
}
_MUXERS: Final[dict[Format, tuple[str, ...]]] = {
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
        container: format of the file; ``wav`` has no picture.
        layout: ``grid`` for cells of one size; ``screen`` to give shared screens the frame, and cameras a strip.
        names: names of participants by their SIDs, to be shown in their cells.
        initials: True to show an initial in the cell of a camera that is off; False leaves it black.
    """

    size: Size
    container: Format
    layout: Layout = "grid"
    names: Mapping[str, str] = attrs.field(factory=dict)
    initials: bool = True

    def cells(self, shown: Sequence[Shown]) -> list[Cell]:
        """Return the cells of what is shown."""
        if self.layout == "screen":
            cells = with_screen([each.is_screen for each in shown], self.size)
        else:
            cells = grid(len(shown), self.size)
        return with_gutters(cells, self.size)

    def name_of(self, shown: Shown) -> str | None:
        """Return the name to show in a cell, or None."""
        return self.names.get(shown.participant_sid or "")

    def initial_of(self, absence: Absence) -> str | None:
        """Return the initial to show for a camera that is off, or None: without a name, P and a number."""
        if not self.initials:
            return None
        name = self.names.get(absence.participant_sid, "")
        letters = (char for char in name if char.isalnum())
        return next(letters, name[:1]).upper() or f"P{absence.number}"


@attrs.frozen
class Tile:
    """What a cell shows during a scene."""

    shown: Shown
    cell: Cell


Composition: TypeAlias = Sequence[tuple[Scene, Sequence[Tile]]]
"""The scenes of a film, each with its tiles."""


def compose(film: Film, style: Style) -> Composition:
    """Return the scenes of a film with their tiles."""
    return [
        (scene, [Tile(*pair) for pair in zip(scene.shown, style.cells(scene.shown), strict=True)])
        for scene in film.scenes()
    ]


@attrs.frozen
class Reel:
    """Consecutive scenes that are composed at once.

    Attributes:
        first: number of the first frame.
        frames: number of frames.
        tiles: tiles of all scenes, each with the frames in which it is there, counted from the first one.
    """

    first: int
    frames: int
    tiles: Mapping[Tile, Sequence[Span]]

    @classmethod
    def of(cls, composition: Composition) -> Reel:
        """Return the reel of some scenes."""
        first = composition[0][0].first
        last = composition[-1][0]
        tiles: dict[Tile, list[Span]] = {}
        for scene, shown in composition:
            begin = scene.first - first
            for tile in shown:
                spans = tiles.setdefault(tile, [])
                # A span goes on if the tile was in the scene before.
                start = spans.pop()[0] if spans and spans[-1][1] == begin else begin
                spans.append((start, begin + scene.frames))
        return cls(first, last.first + last.frames - first, tiles)

    @property
    def fits(self) -> bool:
        """True if one command can compose all tiles."""
        spans = sum(map(len, self.tiles.values()))
        return spans <= _MAX_SPANS and len(self.tiles) <= _MAX_TILES and len(self._shown) <= MAX_INPUTS

    @property
    def _shown(self) -> set[Shown]:
        return {tile.shown for tile in self.tiles}

    @property
    def track_tiles(self) -> list[Tile]:
        """Tiles that show tracks."""
        return [tile for tile in self.tiles if isinstance(tile.shown, Track)]

    def enable_option(self, tile: Tile) -> str:
        """Return the option of a filter that is to work only while a tile is there, or nothing if it always is."""
        spans = self.tiles[tile]
        if sum(after_last - first for first, after_last in spans) == self.frames:
            return ""
        # By time: an overlay does not count the frames before its second input begins.
        times = ((first - 0.5, after_last - 0.5) for first, after_last in spans)
        terms = (f"between(t,{begin / FRAMES_PER_SECOND:.4f},{end / FRAMES_PER_SECOND:.4f})" for begin, end in times)
        return f":enable='{'+'.join(terms)}'"


def reels(composition: Composition) -> Iterator[Reel]:
    """Yield the scenes of a film in reels: a long scene, or several short ones with few tiles in all."""
    group: list[tuple[Scene, Sequence[Tile]]] = []
    for scene, tiles in composition:
        if group:
            before = Reel.of(group)
            is_long = max(before.frames, scene.frames) >= _MIN_SHARED_FRAMES
            if is_long or not Reel.of([*group, (scene, tiles)]).fits:
                yield before
                group = []
        group.append((scene, tiles))
    if group:
        yield Reel.of(group)


@attrs.frozen
class Plan:
    """The steps of a film.

    Attributes:
        film: the film.
        style: its appearance.
        tracks: steps that prepare the tracks, one each; they need no others.
        scenes: steps of each reel: each needs the one before it, and the last one is the reel. Empty without videos.
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
        scenes = tuple(tuple(scene_steps(reel, videos, style)) for reel in reels(composition))
        return cls(film, style, (*videos.values(), *audios.values()), scenes, levels, final_mix)

    def audio_step(self, limit: float) -> Step:
        """Return the step that makes the film's audio.

        Args:
            limit: highest level before it is encoded, as a fraction of full scale.
        """
        inputs, mix = self._mix()
        end = trim(limit, self.film.length * _SAMPLES_PER_MILLISECOND)
        codec = _AUDIO_CODECS[self.style.container]
        return Step(
            kind="audio",
            extension=self.style.container,
            arguments=(*inputs, "-filter_complex", f"{mix},{end}[out]", "-map", "[out]", *codec),
            length=self.film.length,
        )

    def wav_step(self) -> Step:
        """Return the step that makes a WAV file of the film's audio: mono, and as long as the film to the sample."""
        samples = self.film.length * _WAV_SAMPLES_PER_MILLISECOND
        rate = _WAV_SAMPLES_PER_MILLISECOND * 1_000
        inputs: list[str] = []
        filters = f"anullsrc=r={rate}:cl=mono,atrim=end_sample={samples}"
        if self.final_mix:
            inputs, mix = self._mix()
            # Tracks that were mono are at their full level again.
            filters = f"{mix},pan=mono|FC=0.5*FL+0.5*FR,aresample={rate},{trim(_WAV_LIMIT, samples)}"
        return Step(
            kind="wav",
            extension="wav",
            arguments=(*inputs, "-filter_complex", f"{filters}[out]", "-map", "[out]", *_WAV_FORMAT),
            length=self.film.length,
        )

    def _mix(self) -> tuple[list[str], str]:
        """Return the inputs of the film's audio, and the filters that mix them."""
        inputs = [part for name, _ in self.final_mix for part in input_file(name)]
        gain = MAX_INPUTS ** len(self.mixes)
        return inputs, f"{mix_filters([start for _, start in self.final_mix])},volume={gain}"

    def join_step(self, audio: str | None, chapters: Sequence[Chapter]) -> Step:
        """Return the step that makes the film of its scenes and its audio.

        Args:
            audio: name of the audio's file, or None if there is none.
            chapters: chapters by start.
        """
        files: dict[str, str] = {}
        metadata = add_file("chapters", chapters_text(chapters, self.film.length), files)
        inputs = ["-f", "ffmetadata", *input_file(metadata)]
        # Metadata of the chapters, and none of the tracks.
        maps = ["-map_metadata", "0", "-map_chapters", "0"]
        if self.scenes:
            scenes = "".join(scene_lines(steps[-1]) for steps in self.scenes)
            inputs += ["-f", "concat", *input_file(add_file("scenes", scenes, files))]
            maps += ["-map", "1:v:0"]
        if audio is not None:
            inputs += input_file(audio)
            maps += ["-map", f"{2 if self.scenes else 1}:a:0"]
        arguments = (*inputs, *maps, "-c", "copy", *_MUXERS[self.style.container])
        return Step(
            kind="film", extension=self.style.container, arguments=arguments, files=files, length=self.film.length
        )


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
            if isinstance(tile.shown, Track):
                shown.setdefault(tile.shown, []).append((scene, tile.cell))
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
    width, height = fitted_sides(initial)
    commands = "".join(resize_commands(shown, first))

    files: dict[str, str] = {}
    resize = f"sendcmd=f={add_file('cells', commands, files)}," if commands else ""
    filters = (
        f"[0:v:0]fps={FRAMES_PER_SECOND}:start_time={start:.6f},settb=1/{FRAMES_PER_SECOND},setpts=N,{resize}"
        f"scale@fit=w={width}:h={height}:eval=frame,setsar=1[picture];"
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


def fitted_sides(cell: Cell) -> tuple[str, str]:
    """Return the width and the height that a picture of any shape has in a cell, as expressions for ffmpeg.

    Both are even and at least 2: ffmpeg's own ``force_original_aspect_ratio`` fails where a strip would be lower.
    """
    width = f"min({cell.width},{cell.height}*iw/ih)"
    height = f"min({cell.height},{cell.width}*ih/iw)"
    return f"'max(2,2*trunc(round({width})/2))'", f"'max(2,2*trunc(round({height})/2))'"


def resize_commands(shown: Sequence[tuple[Scene, Cell]], first: int) -> Iterator[str]:
    """Yield the lines of a file that tells ffmpeg's filters when the size of a track's cell changes."""
    for (_, before), (scene, cell) in pairwise(shown):
        if (cell.width, cell.height) == (before.width, before.height):
            continue
        # Half a frame early, so that the rounding of times does not matter.
        time = (scene.first - first - 0.5) / FRAMES_PER_SECOND
        width, height = fitted_sides(cell)
        yield (
            f"{time:.6f} scale@fit w {width}, scale@fit h {height}, "
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


def trim(limit: float, samples: int) -> str:
    """Return the filters that limit audio to a level, as a fraction of full scale, and give it a number of samples."""
    return f"alimiter=limit={limit:.4f}:level=0:latency=1,apad,atrim=end_sample={samples}"


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


def scene_steps(reel: Reel, videos: Mapping[Track, Step], style: Style) -> Iterator[Step]:
    """Yield the steps of a reel: several where it has many tiles, each of which adds some to the picture before."""
    tiles = list(reel.tiles)
    size = len(tiles) if reel.fits else MAX_INPUTS
    background: Step | None = None
    for first in range(0, max(1, len(tiles)), max(1, size)):
        is_last = first + size >= len(tiles)
        part = attrs.evolve(reel, tiles={tile: reel.tiles[tile] for tile in tiles[first : first + size]})
        background = scene_step(part, videos, style, background, is_last=is_last)
        yield background


def scene_step(
    reel: Reel, videos: Mapping[Track, Step], style: Style, background: Step | None, *, is_last: bool
) -> Step:
    """Return a step that puts tiles on a background, which is black if there is none yet."""
    tracks = list(dict.fromkeys(tile.shown for tile in reel.tiles if isinstance(tile.shown, Track)))
    inputs = [part for track in tracks for part in seek(reel.first - track.first_frame, videos[track].name)]
    canvas = f"color=c=black:s={style.size.width}x{style.size.height}:r={FRAMES_PER_SECOND}"
    if background is not None:
        inputs += input_file(background.name)
        canvas = f"[{len(tracks)}:v:0]settb=1/{FRAMES_PER_SECOND},setpts=N"
    files: dict[str, str] = {}
    filters = [
        f"{canvas},setsar=1,format=yuv420p{''.join(absence_filters(reel, style, files))}[b0]",
        *tile_filters(reel, tracks),
        *overlay_filters(reel, style, files),
    ]
    codec = ("-frames:v", str(reel.frames), "-video_track_timescale", str(_TIMESCALE), "-f", "mp4")
    return Step(
        kind="scene",
        extension="mp4",
        arguments=(
            *(*inputs, "-filter_complex", ";".join(filters), "-map", "[out]"),
            *(*(_VIDEO_CODEC if is_last else _DRAFT_CODEC), "-threads", "2", *codec),
        ),
        files=files,
        length=milliseconds_of(reel.frames),
    )


def tile_filters(reel: Reel, tracks: Sequence[Track]) -> Iterator[str]:
    """Yield the filters that number the frames of each input as those of the reel, with an output for each tile."""
    outputs_of: dict[Shown, list[str]] = {}
    for number, tile in enumerate(reel.track_tiles):
        outputs_of.setdefault(tile.shown, []).append(f"[t{number}]")
    for index, track in enumerate(tracks):
        # It may begin within the reel.
        delay = max(0, track.first_frame - reel.first)
        outputs = outputs_of[track]
        yield f"[{index}:v:0]settb=1/{FRAMES_PER_SECOND},setpts=N+{delay},split={len(outputs)}{''.join(outputs)}"


def overlay_filters(reel: Reel, style: Style, files: dict[str, str]) -> Iterator[str]:
    """Yield the filters that put each tile of a track into the picture, while it is there."""
    for number, tile in enumerate(reel.track_tiles):
        cell, label = tile.cell, name_filter(tile, style, files)
        yield f"[t{number}]crop={cell.width}:{cell.height}:0:0{label}[v{number}]"
        place = f"{cell.left}:{cell.top}:eof_action=repeat{reel.enable_option(tile)}"
        yield f"[b{number}][v{number}]overlay={place}[b{number + 1}]"
    yield f"[b{len(reel.track_tiles)}]format=yuv420p[out]"


def absence_filters(reel: Reel, style: Style, files: dict[str, str]) -> Iterator[str]:
    """Yield the filters that write an initial into the cell of each camera that is off, and the name."""
    for tile in reel.tiles:
        if isinstance(tile.shown, Track):
            continue
        cell, enable = tile.cell, reel.enable_option(tile)
        initial = style.initial_of(tile.shown)
        if initial is not None:
            size = max(10, min(cell.width, cell.height) // 3)
            place = f"x={cell.left}+({cell.width}-tw)/2:y={cell.top}+({cell.height}-th)/2"
            yield text_filter(initial, files, f"fontsize={size}:fontcolor=0xb0b0b0:{place}{enable}")
        yield name_filter(tile, style, files, enable)


def seek(frame: int, name: str) -> tuple[str, ...]:
    """Return the arguments for a prepared video from a frame on."""
    # Half a frame early, so that the rounding of times to milliseconds does not matter.
    time = () if frame <= 0 else ("-ss", f"{(frame - 0.5) / FRAMES_PER_SECOND:.6f}")
    return ("-threads", "1", *time, *input_file(name))


def name_filter(tile: Tile, style: Style, files: dict[str, str], enable: str = "") -> str:
    """Return the filter that writes a participant's name into a cell, or nothing.

    Args:
        tile: the tile.
        style: its names are shown.
        files: texts that the command reads; the name is added.
        enable: option that says when.
    """
    name = style.name_of(tile.shown)
    if name is None:
        return ""
    size = max(10, tile.cell.height // 16)
    # A track is labelled before it is put into its cell, and an empty cell in the whole picture.
    left, top = (0, 0) if isinstance(tile.shown, Track) else (tile.cell.left, tile.cell.top)
    place = f"x={left + size // 2}:y={top + tile.cell.height - size // 2}-th"
    box = f"box=1:boxcolor=black@0.5:boxborderw={size // 4}"
    return text_filter(name, files, f"fontsize={size}:fontcolor=white:{place}:{box}{enable}")


def text_filter(text: str, files: dict[str, str], options: str) -> str:
    """Return the filter that writes a text, which is added to the files that the command reads."""
    return f",drawtext=textfile={add_file('text', text, files)}:expansion=none:{options}"


def add_file(kind: str, text: str, files: dict[str, str]) -> str:
    """Add a text to the files that a command reads, and return its name, which no other text has."""
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.txt"
    files[name] = text
    return name


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
        if track.participant_sid is not None:
            start = max(0, track.start)
            joined[track.participant_sid] = min(joined.get(track.participant_sid, start), start)

    chapters: dict[int, tuple[int, list[str]]] = {}
    for participant_sid, start in joined.items():
        # Those who join within a second share a chapter.
        first, who = chapters.setdefault(start // 1_000, (start, []))
        who.append(names.get(participant_sid, f"Participant {film.number(participant_sid)}"))
        chapters[start // 1_000] = min(first, start), who
    return [(start, ", ".join(who)) for start, who in sorted(chapters.values())]


def milliseconds_of(frames: int) -> int:
    """Return the length of frames in milliseconds."""
    return frames * 1_000 // FRAMES_PER_SECOND
