"""A room's recordings combined into one film by ffmpeg: everyone seen and heard, in sync. Needs Debian's ``ffmpeg``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias, cast, get_args

import attrs

from roomrec_async._asyncio import cancel_and_wait, map_concurrently, run_in_thread, wait_finished
from roomrec_async._destinations import local_path
from roomrec_async._files import create_temporary, replace_file
from roomrec_async._media.locate import media_name
from roomrec_async._text import safe_repr
from roomrec_async._views.film import Container, Film, Size, Source, command, usable
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError
from roomrec_async.models import Recording, RecordingStatus
from roomrec_async.protocols import Decryption

OnProgress: TypeAlias = Callable[[int, int], object]
"""Callback that receives the milliseconds of the film made so far, and its total milliseconds."""

_CONTAINERS: Final[tuple[Container, ...]] = get_args(Container)
_MAX_DOWNLOADS: Final = 4
# Characters of ffmpeg's output that an error message quotes.
_MAX_QUOTE_LENGTH: Final = 300


@attrs.frozen
class Muxed:
    """A film that was made.

    Attributes:
        path: the file.
        seconds: duration.
        videos: number of video tracks in it.
        audios: number of audio tracks in it.
        left_out: number of completed recordings that are not in it: data tracks, and those that have no ``offset``.
    """

    path: Path
    seconds: float
    videos: int
    audios: int
    left_out: int


async def mux(
    client: RecordingsClient,
    room_sid: str,
    output: str | os.PathLike[str],
    *,
    media: str | os.PathLike[str] | None = None,
    size: Size | None = None,
    decryption: Decryption | None = None,
    on_progress: OnProgress | None = None,
) -> Muxed:
    """Combine the completed audio and video recordings of a room into one film.

    Each track plays at the time that its ``offset`` gives. All audio is mixed. Video is shown in a grid that changes as
    participants come and go, with the tracks of one participant side by side. The film is silent where there is no
    audio, and black where there is no video. Media that are not in the media directory are downloaded first.

    Args:
        client: client to list and download with.
        room_sid: SID of the room, ``RM`` and 32 hexadecimal digits.
        output: file to write, ending in ``.mkv`` or ``.mp4``; it appears only once it is complete.
        media: directory to keep downloads in, and to look for earlier ones in. By default a temporary one.
        size: size of the picture; by default 1280 by 720 pixels.
        decryption: decrypts media that are encrypted.
        on_progress: called while ffmpeg works.

    Raises:
        InvalidArgumentError: the room's SID is malformed, the file has another extension, or its directory does not
            exist.
        ConfigurationError: ffmpeg is not installed.
        MediaError: there is nothing to combine, or ffmpeg failed.
        RoomRecError: the recordings could not be listed or downloaded.
        OSError: a file could not be written.
    """
    path, container = check_output(output)
    media_directory = None if media is None else local_path("media", media)
    ffmpeg = _find_program("ffmpeg")
    ffprobe = _find_program("ffprobe")
    recordings = await client.recordings(room_sid, status=RecordingStatus.COMPLETED).to_list()
    included = usable(recordings)

    with TemporaryDirectory(prefix="roomrec-") as temporary:
        files = _MediaFiles(client, media_directory or Path(temporary), decryption, ffprobe)
        film = Film.from_sources(await files.sources(included))
        part = await run_in_thread(partial(create_temporary, path))
        try:
            arguments = command(film, part.absolute(), container, size or Size(), ffmpeg=ffmpeg)
            await _run(arguments, film.length, on_progress)
            await run_in_thread(partial(replace_file, part, path))
        finally:
            part.unlink(missing_ok=True)

    left_out = len(recordings) - len(included)
    return Muxed(path, film.length / 1000, len(film.videos), len(film.audios), left_out)


async def planned(
    client: RecordingsClient,
    room_sid: str,
    output: str | os.PathLike[str],
    *,
    media: str | os.PathLike[str],
    size: Size | None = None,
) -> list[str]:
    """Return the command that :func:`mux` would run, without downloading or running anything.

    Lengths of tracks are the service's, in whole seconds, since there are no files to measure.

    Args:
        client: client to list with.
        room_sid: as for :func:`mux`.
        output: as for :func:`mux`.
        media: directory with the downloads.
        size: as for :func:`mux`.

    Raises:
        InvalidArgumentError: as for :func:`mux`.
        MediaError: there is nothing to combine.
        RoomRecError: the recordings could not be listed.
    """
    path, container = check_output(output)
    media_directory = local_path("media", media)
    recordings = await client.recordings(room_sid, status=RecordingStatus.COMPLETED).to_list()
    sources = [
        Source(recording, media_directory / media_name(recording), _stated_length(recording))
        for recording in usable(recordings)
    ]
    return command(Film.from_sources(sources), path, container, size or Size())


def check_output(output: str | os.PathLike[str]) -> tuple[Path, Container]:
    """Return the path of a film's file and the container format that its extension stands for.

    Raises:
        InvalidArgumentError: it has another extension, or its directory does not exist.
    """
    path = local_path("output", output)
    for container in _CONTAINERS:
        if path.suffix.lower() == f".{container}":
            if not path.parent.is_dir():
                raise InvalidArgumentError(f"there is no directory {path.parent} for {path.name}")
            return path, container
    raise InvalidArgumentError(f"a film's file must end in .mkv or .mp4, not {safe_repr(path.name)}")


def _find_program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ConfigurationError(f"{name} is not installed: apt-get install ffmpeg, or see https://ffmpeg.org")
    return path


def _stated_length(recording: Recording) -> int:
    """Return the milliseconds of a recording that the service states."""
    return (recording.duration or 0) * 1000


@attrs.frozen
class _MediaFiles:
    """Media files of recordings in a directory, downloaded where they are missing.

    Attributes:
        client: client to download with.
        directory: directory of the files.
        decryption: decrypts media that are encrypted, if any.
        ffprobe: the program that measures them.
    """

    client: RecordingsClient
    directory: Path
    decryption: Decryption | None
    ffprobe: str

    async def sources(self, recordings: Sequence[Recording]) -> list[Source]:
        """Return each recording with its file, in the same order."""

        async def iterate() -> AsyncGenerator[Recording, None]:
            for recording in recordings:
                yield recording

        by_sid: dict[str | None, Source] = {}
        async with aclosing(map_concurrently(iterate(), self._download, lambda: _MAX_DOWNLOADS)) as sources:
            async for source in sources:
                by_sid[source.recording.sid] = source
        return [by_sid[recording.sid] for recording in recordings]

    async def _download(self, recording: Recording) -> AsyncGenerator[Source, None]:
        download = await self.client.download(recording, f"{self.directory}{os.sep}", decryption=self.decryption)
        length = await self._measure(recording, download.location)
        yield Source(recording, Path(download.location), length)

    async def _measure(self, recording: Recording, path: str) -> int:
        """Return the milliseconds that a file lasts; the service states only whole seconds."""
        # The demuxer is named, so that a file in disguise cannot make ffprobe open others.
        options = ("-v", "error", "-f", "matroska", "-show_entries", "format=duration,start_time", "-of", "json")
        async with _start_process((self.ffprobe, *options, f"file:{path}")) as process:
            stdout, stderr = await process.communicate()
        if process.returncode:
            raise MediaError(f"the media of {recording.sid} cannot be read: {_last_line(stderr)}")

        file_format = json.loads(stdout)["format"]
        if "duration" not in file_format:
            return _stated_length(recording)
        # A Matroska file's duration counts from 0, also where its first frame is later.
        return round((float(file_format["duration"]) - float(file_format.get("start_time", 0))) * 1000)


async def _run(arguments: Sequence[str], length: int, on_progress: OnProgress | None) -> None:
    """Run ffmpeg.

    Raises:
        MediaError: it failed.
    """
    async with _start_process([arguments[0], "-progress", "pipe:1", *arguments[1:]]) as process:
        stdout = cast("asyncio.StreamReader", process.stdout)
        stderr = cast("asyncio.StreamReader", process.stderr)
        # Both pipes must be read at once: ffmpeg stops when either is full.
        read_stderr = asyncio.create_task(stderr.read())
        try:
            async for line in stdout:
                name, _, value = line.decode().strip().partition("=")
                if name == "out_time_us" and value.isdecimal() and on_progress is not None:
                    on_progress(min(int(value) // 1000, length), length)
            error_output = await read_stderr
            await process.wait()
        finally:
            await cancel_and_wait(read_stderr)
    if process.returncode:
        raise MediaError(f"ffmpeg could not make the film: {_last_line(error_output)}")


@asynccontextmanager
async def _start_process(arguments: Sequence[str]) -> AsyncGenerator[Process, None]:
    """Start a process with pipes for its output; it is killed if it still runs when the block ends."""
    process = await asyncio.create_subprocess_exec(*arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            # Also if this task is cancelled again: a process that nobody waits for would stay as a zombie.
            await wait_finished(asyncio.ensure_future(process.wait()))


def _last_line(error_output: bytes) -> str:
    """Return the last line that a program wrote to stderr, for an error message."""
    lines = error_output.decode(errors="replace").strip().splitlines()
    if not lines:
        return "no error message"
    return lines[-1][:_MAX_QUOTE_LENGTH]
