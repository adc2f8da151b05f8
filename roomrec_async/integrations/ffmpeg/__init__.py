"""A room's recordings combined into one film by ffmpeg: everyone seen and heard, in sync. Needs Debian's ``ffmpeg``."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypedDict, Unpack, get_args

import attrs

from roomrec_async._archive.kept import open_kept
from roomrec_async._asyncio import run_in_thread
from roomrec_async._destinations import local_path
from roomrec_async._text import safe_text
from roomrec_async._validate import check_choice, check_seconds
from roomrec_async._views.film import CAMERA_OFF_AFTER, Cut, Film, Format, Layout, Size
from roomrec_async._views.film_steps import Plan, Style
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError
from roomrec_async.models import Recording, Room
from roomrec_async.protocols import Decryption

from .outputs import Output, ParticipantFile, Per, check_output, check_replaces_no_media
from .probing import MediaFile, probe
from .processes import find_program
from .rendering import OnProgress, Renderer, Target, check_can_write, script
from .sources import Downloads, Found, LeftOut, fetch_kept, find, find_planned, list_room
from .workspace import Workspace, make_workspace, open_workspace

__all__ = [
    "FilmOptions",
    "LeftOut",
    "MediaFile",
    "Muxed",
    "OnProgress",
    "ParticipantFile",
    "Per",
    "make_script",
    "mux",
    "mux_files",
    "mux_kept",
    "probe",
]

_LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
_MILLISECONDS: Final = 1_000
# Characters of a participant's name that are shown.
_MAX_NAME_LENGTH: Final = 40


class FilmOptions(TypedDict, total=False):
    """Options for films: which part of a room is shown, and how."""

    per: Per
    """``room``, the default, makes one film; ``participant`` makes a file for each, all as long as the room."""
    format: Format | None
    """Format of the files of participants: ``mp4``, the default, ``mkv``, or ``wav`` for their sound alone, in mono,
    16 bit and 16 kHz, as speech recognition takes it. The format of a film is that of its file's extension."""
    size: Size | None
    """Size of the picture; by default 1280 by 720 pixels."""
    layout: Layout
    """``grid``, the default, has cells of one size; ``screen`` gives shared screens the frame, and cameras a strip."""
    screen_name: str
    """Text in the ``track_name`` of recordings that are shared screens, in any case; by default ``screen``."""
    names: Mapping[str, str] | None
    """Names of participants by their SIDs, to be shown in their cells, in the chapters, and in the names of files."""
    start: float
    """Seconds from the start of the room's first track at which the film begins; by default 0."""
    end: float | None
    """Seconds, likewise, at which it ends; None, the default, for the end of the last track."""
    camera_off_after: float
    """Seconds without a frame after which a camera is off; by default 2. Its cell shows an initial then, as long as the
    participant is heard, and is given up otherwise."""


@attrs.frozen(kw_only=True)
class Muxed:
    """A film that was made, or a file for each participant.

    Attributes:
        path: the film, or the directory of the files.
        seconds: duration.
        videos: number of video tracks in it.
        audios: number of audio tracks in it.
        left_out: audio and video recordings of the room that are not in it, each with the reason.
        truncated: recordings whose files break off; they are in it as far as they go.
        about: recordings that have no ``offset``, and are placed by their date, in whole seconds.
        data_tracks: number of data tracks of the room; there is nothing in them to be seen or heard.
        files: the files of participants, in the order of joining; none for a film.
    """

    path: Path
    seconds: float
    videos: int
    audios: int
    left_out: tuple[LeftOut, ...] = ()
    truncated: tuple[Recording, ...] = ()
    about: tuple[Recording, ...] = ()
    data_tracks: int = 0
    files: tuple[ParticipantFile, ...] = ()


async def mux(
    client: RecordingsClient,
    room_sid: str | Room,
    output: str | os.PathLike[str],
    *,
    media: str | os.PathLike[str] | None = None,
    decryption: Decryption | None = None,
    wait: float = 0.0,
    strict: bool = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[FilmOptions],
) -> Muxed:
    """Combine the audio and video recordings of a room into one film.

    Each track plays when it was recorded: at its ``offset`` from the least one of the room, plus the start time of its
    file. All audio is mixed. Video is shown in a layout that changes as participants come and go, with the tracks of
    one participant side by side. The film is silent where there is no audio, and black where there is no video. It has
    a chapter for each participant who joins.

    With ``per="participant"``, there is a file for each participant instead, named after their SID. All of them begin
    and end with the room, so that they stay in step beside each other. Whoever has no audio is silent in a WAV file.
    Tracks whose participants are not known have files of their own, named after their recordings.

    Media that are not in the media directory are downloaded first. Recordings that cannot be used are left out, and
    named in the result. The film is made in steps, each of a bounded number of tracks; a run that was killed is
    continued by the next one with the same output.

    Args:
        client: client to list and download with.
        room_sid: the room, or its SID: ``RM`` and 32 hexadecimal digits.
        output: file to write, ending in ``.mkv`` or ``.mp4``; it appears only once it is complete. With
            ``per="participant"``, a directory; other files in it stay as they are.
        media: directory to keep downloads in, and to look for earlier ones in. By default they are removed at the end.
        decryption: decrypts media that are encrypted.
        wait: maximum number of seconds to wait until no recording of the room is being processed; may be ``math.inf``.
        strict: True to make no film unless all of the room's audio and video is in it, whole.
        on_progress: called while ffmpeg works.
        **options: size, layout, names and others; see :class:`FilmOptions`.

    Raises:
        InvalidArgumentError: the room's SID is malformed, the file has another extension, its directory does not exist,
            it has the media of one of the room's recordings, or a setting is out of bounds.
        ConfigurationError: ffmpeg is not installed, or cannot write names.
        MediaError: there is nothing to combine, ``strict`` forbids what there is, another program is making the same
            film, or ffmpeg failed. What is done so far is kept; a note of the error says where.
        RoomRecError: the recordings could not be listed or downloaded.
        OSError: a file could not be written.
    """
    media_directory = None if media is None else local_path("media", media)
    if wait != math.inf:
        check_seconds("wait", wait)
    job = await _make_job(output, options, strict=strict, on_progress=on_progress)
    async with job.open_workspace(media_directory) as workspace:
        recordings = await list_room(client, room_sid, wait)
        downloads = Downloads(client, workspace.media, decryption, wait)
        found = await find(await downloads.fetch(recordings))
        return await job.run(found, workspace)


async def mux_files(
    files: Iterable[tuple[Recording, str | os.PathLike[str]]],
    output: str | os.PathLike[str],
    *,
    strict: bool = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[FilmOptions],
) -> Muxed:
    """Combine files that were downloaded before into one film, without a client. Nothing is sent.

    Args:
        files: recordings of one room, each with its media file.
        output: as for :func:`mux`, as are the others.
        strict: True to leave nothing out.
        on_progress: called while ffmpeg works.
        **options: size, layout, names and others; see :class:`FilmOptions`.

    Raises:
        InvalidArgumentError: as for :func:`mux`; or a recording has no SID, or is given twice.
        ConfigurationError: ffmpeg is not installed.
        MediaError: as for :func:`mux`.
        OSError: a file could not be written.
    """
    job = await _make_job(output, options, strict=strict, on_progress=on_progress)
    found = await find([(recording, Path(file)) for recording, file in files])
    async with job.open_workspace(None) as workspace:
        return await job.run(found, workspace)


async def mux_kept(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    room_sid: str | None = None,
    media: str | os.PathLike[str] | None = None,
    strict: bool = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[FilmOptions],
) -> Muxed:
    """Combine what was kept of a room into one film, without a client: from an archive, or a folder of downloads.

    Args:
        source: an archive's manifest, or a directory: an archive, one of its rooms, or a folder of downloads with a
            record ``RT....json`` for each. An archive may be in a store, as ``s3://bucket/prefix``; its objects are
            verified by their digests.
        output: as for :func:`mux`, as are the others.
        room_sid: the room; None if the source has only one.
        media: directory to keep copies of a store's objects in. By default they are removed at the end.
        strict: True to leave nothing out.
        on_progress: called while ffmpeg works.
        **options: size, layout, names and others; see :class:`FilmOptions`.

    Raises:
        InvalidArgumentError: as for :func:`mux`; or the source has no records, is damaged, or has several rooms.
        ConfigurationError: ffmpeg is not installed, or the store cannot be used.
        MediaError: as for :func:`mux`; or the store refused a request.
        OSError: a file could not be read or written.
    """
    media_directory = None if media is None else local_path("media", media)
    job = await _make_job(output, options, strict=strict, on_progress=on_progress)
    room = await open_kept(source, room_sid)
    async with job.open_workspace(media_directory) as workspace:
        return await job.run(await find(await fetch_kept(room, workspace.media)), workspace)


async def check_film(output: str | os.PathLike[str], options: FilmOptions) -> None:
    """Check the output and the options of :func:`mux`, which does so, too, but only once the room is known.

    Raises:
        InvalidArgumentError: as for :func:`mux`.
        ConfigurationError: as for :func:`mux`.
    """
    await _make_job(output, options, strict=False, on_progress=None)


async def make_script(
    client: RecordingsClient,
    room_sid: str | Room,
    output: str | os.PathLike[str],
    *,
    media: str | os.PathLike[str],
    **options: Unpack[FilmOptions],
) -> str:
    """Return a shell script that makes the film which :func:`mux` would make, without downloading or making anything.

    It is exact for media that are in the media directory. Others lie about where the list says, and last for whole
    seconds.

    Args:
        client: client to list with.
        room_sid: as for :func:`mux`, as are the others.
        output: file of the film.
        media: directory with the downloads.
        **options: size, layout, names and others; see :class:`FilmOptions`.

    Raises:
        InvalidArgumentError: as for :func:`mux`.
        ConfigurationError: a file for each participant is asked for, which a script does not make.
        MediaError: there is nothing to combine.
        RoomRecError: the recordings could not be listed.
    """
    target, style, cut = check_script(output, options)
    directory = local_path("media", media)
    recordings = await list_room(client, room_sid, 0)
    found = await find_planned(recordings, directory)
    if not found.sources:
        raise MediaError(format_refusal(found, [left_out.reason for left_out in found.left_out]))
    await run_in_thread(partial(check_replaces_no_media, [target.path], found.files))
    plan = await run_in_thread(lambda: Plan.of(Film.from_sources(found.sources, cut), style))
    return script(plan, make_workspace(target.path, directory).steps, target.path)


def check_script(output: str | os.PathLike[str], options: FilmOptions) -> tuple[Output, Style, Cut]:
    """Return what the options of :func:`make_script` stand for, checked before anything is sent.

    Raises:
        InvalidArgumentError: as for :func:`mux`.
        ConfigurationError: a file for each participant is asked for.
    """
    if options.get("per") == "participant":
        raise ConfigurationError("a script makes one film, and not a file for each participant")
    target = make_output(output, options)
    return target, make_style(target, options), make_cut(options)


def make_output(output: str | os.PathLike[str], options: FilmOptions) -> Output:
    """Return where to write, for the options of a film.

    Raises:
        InvalidArgumentError: it cannot be written there, or one of the options is out of bounds.
        ConfigurationError: the options cannot be used together.
    """
    return check_output(output, options.get("per", "room"), options.get("format"))


def make_style(output: Output, options: FilmOptions) -> Style:
    """Return the style for the options of a film.

    Raises:
        InvalidArgumentError: one of them is out of bounds.
    """
    layout = check_choice("layout", options.get("layout", "grid"), _LAYOUTS)
    return Style(
        size=options.get("size") or Size(),
        container=output.format,
        layout=layout,
        # On one line, and not much wider than a cell.
        names={
            sid: safe_text(" ".join(name.split()), _MAX_NAME_LENGTH)
            for sid, name in (options.get("names") or {}).items()
        },
    )


def make_cut(options: FilmOptions) -> Cut:
    """Return the part of a room for the options of a film.

    Raises:
        InvalidArgumentError: one of them is out of bounds.
    """
    start = check_seconds("start", options.get("start", 0))
    end = options.get("end")
    off_after = check_seconds("camera_off_after", options.get("camera_off_after", CAMERA_OFF_AFTER / _MILLISECONDS))
    screen_name = options.get("screen_name", "screen")
    if not screen_name.strip():
        raise InvalidArgumentError("screen_name must not be empty: every track would be a shared screen")
    return Cut(
        start=round(start * _MILLISECONDS),
        end=None if end is None else round(check_seconds("end", end) * _MILLISECONDS),
        off_after=round(off_after * _MILLISECONDS),
        screen_name=screen_name,
    )


@attrs.frozen(kw_only=True)
class _Job:
    """Makes one film of what was found."""

    output: Output
    style: Style
    cut: Cut
    strict: bool
    on_progress: OnProgress | None
    ffmpeg: str

    @asynccontextmanager
    async def open_workspace(self, media: Path | None) -> AsyncGenerator[Workspace, None]:
        """Create the directories for the files, and lock them; see :func:`.workspace.open_workspace`."""
        await run_in_thread(self.output.make_directory)
        async with open_workspace(self.output.anchor, media) as workspace:
            yield workspace

    async def run(self, found: Found, workspace: Workspace) -> Muxed:
        """Make the film.

        Raises:
            MediaError: there is nothing to combine, or ``strict`` forbids what there is, or ffmpeg failed.
        """
        reasons = [left_out.reason for left_out in found.left_out]
        if self.strict:
            reasons += [f"the media of {recording.sid} are truncated" for recording in found.truncated]
        if not found.sources or (self.strict and reasons):
            raise MediaError(format_refusal(found, reasons))

        def make_targets(film: Film) -> list[Target]:
            targets = self.output.targets(film, self.style, found.participants)
            check_replaces_no_media([target.path for target in targets], found.files)
            return targets

        renderer = Renderer(self.ffmpeg, workspace.steps, self.on_progress)
        film, undecodable = await renderer.render(found.sources, self.cut, make_targets, strict=self.strict)
        return Muxed(
            path=self.output.path,
            seconds=film.length / _MILLISECONDS,
            videos=0 if self.output.format == "wav" else len(film.videos),
            audios=len(film.audios),
            left_out=(*found.left_out, *undecodable),
            truncated=found.truncated,
            about=found.about,
            data_tracks=found.data_tracks,
            files=self.output.files(film, found.participants, self.style.names),
        )


async def _make_job(
    output: str | os.PathLike[str], options: FilmOptions, *, strict: bool, on_progress: OnProgress | None
) -> _Job:
    """Return the job for a film, with everything checked that can be before a file is there.

    Raises:
        InvalidArgumentError: the output or an option cannot be used.
        ConfigurationError: ffmpeg is not installed, or cannot do what is asked for.
    """
    target = make_output(output, options)
    style = make_style(target, options)
    cut = make_cut(options)
    find_program("ffprobe")
    ffmpeg = find_program("ffmpeg")
    if style.container != "wav":
        style = await make_writable(style, ffmpeg)
    return _Job(output=target, style=style, cut=cut, strict=strict, on_progress=on_progress, ffmpeg=ffmpeg)


async def make_writable(style: Style, ffmpeg: str) -> Style:
    """Return a style without initials if this ffmpeg cannot write.

    Raises:
        ConfigurationError: it cannot, and names are asked for.
    """
    try:
        await check_can_write(ffmpeg)
    except ConfigurationError:
        if style.names:
            raise
        return attrs.evolve(style, initials=False)
    return style


def format_refusal(found: Found, reasons: list[str]) -> str:
    """Return why no film is made."""
    if found.sources:
        return f"strict: not everything can be in the film: {'; '.join(reasons)}"
    if reasons:
        return f"there is nothing to combine: {'; '.join(reasons)}"
    if found.data_tracks:
        return "there is nothing to combine: the room has only data tracks"
    return "there is nothing to combine: the room has no recordings"
