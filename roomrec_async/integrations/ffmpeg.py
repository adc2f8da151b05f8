"""A room's recordings as one film, by ffmpeg (Debian's package ``ffmpeg``): everyone heard and seen, in sync."""

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
from roomrec_async._files import put_in_place
from roomrec_async._media.locate import media_name
from roomrec_async._text import safe_repr
from roomrec_async._views.film import Container, Film, Size, Source, command, usable
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError
from roomrec_async.models import Recording, RecordingStatus
from roomrec_async.protocols import Decryption

OnProgress: TypeAlias = Callable[[int, int], object]
"""What is told how many milliseconds of the film there are, and how many there are to be."""

_CONTAINERS: Final[tuple[Container, ...]] = get_args(Container)
_DOWNLOADS: Final = 4
_SAID_AT_MOST: Final = 300


@attrs.frozen
class Muxed:
    """A film.

    Attributes:
        path: the file.
        seconds: how long it is.
        videos: how many tracks are seen in it.
        audios: how many are heard.
        left_out: recordings that are not in it: data, what is not completed, and what does not say when it began.
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
    """Put the completed audio and video of a room together.

    Participants are heard together, and seen in a grid that changes as they come and go, each at the time that the
    recording's ``offset`` says; where nobody speaks it is silent, where nobody is seen it is black. Tracks of one
    participant are side by side. Media that are missing are downloaded first.

    Args:
        client: what lists and downloads.
        room_sid: ``RM`` and 32 hexadecimal digits.
        output: the file, which ends in ``.mkv`` or ``.mp4``; it is in its place when it is whole.
        media: the directory where downloads are kept, and looked for. By default they are deleted at the end.
        size: of the picture; by default 1280 by 720 pixels.
        decryption: what encrypted media are decrypted with.
        on_progress: is called while ffmpeg works.

    Raises:
        InvalidArgumentError: the room's SID is malformed, the file has another ending, or its directory is not there.
        ConfigurationError: ffmpeg is not installed.
        MediaError: there is nothing to put together, or ffmpeg could not.
        RoomRecError: the recordings could not be listed or downloaded.
        OSError: a file cannot be written.
    """
    path, container = check_output(output)
    ffmpeg, ffprobe = _program("ffmpeg"), _program("ffprobe")
    recordings = await client.recordings(room_sid, status=RecordingStatus.COMPLETED).to_list()
    chosen = usable(recordings)
    with TemporaryDirectory(prefix="roomrec-") as directory:
        film = Film.of(await _Files(client, Path(media or directory), decryption, ffprobe).of(chosen))
        part = path.with_name(f"{path.name}.part")
        arguments = command(film, part.absolute(), container, size or Size(), ffmpeg=ffmpeg)
        try:
            await _run(arguments, film.length, on_progress)
            await run_in_thread(partial(put_in_place, part, path))
        finally:
            part.unlink(missing_ok=True)
    left_out = len(recordings) - len(chosen)
    return Muxed(path, film.length / 1000, len(film.videos), len(film.audios), left_out)


async def planned(
    client: RecordingsClient,
    room_sid: str,
    output: str | os.PathLike[str],
    *,
    media: str | os.PathLike[str],
    size: Size | None = None,
) -> list[str]:
    """The command that :func:`mux` would run, with the lengths that the service says. Nothing is downloaded or run.

    Args:
        client: what lists.
        room_sid: as for :func:`mux`.
        output: as for :func:`mux`.
        media: the directory where the downloads are.
        size: as for :func:`mux`.

    Raises:
        InvalidArgumentError: as for :func:`mux`.
        MediaError: there is nothing to put together.
        RoomRecError: the recordings could not be listed.
    """
    path, container = check_output(output)
    recordings = usable(await client.recordings(room_sid, status=RecordingStatus.COMPLETED).to_list())
    sources = [
        Source(recording, Path(media) / media_name(recording), (recording.duration or 0) * 1000)
        for recording in recordings
    ]
    return command(Film.of(sources), path, container, size or Size())


def check_output(output: str | os.PathLike[str]) -> tuple[Path, Container]:
    """The file of a film, and what is in it.

    Raises:
        InvalidArgumentError: it ends in something else, or its directory is not there.
    """
    path = Path(output)
    for container in _CONTAINERS:
        if path.suffix.lower() == f".{container}":
            if not path.parent.is_dir():
                raise InvalidArgumentError(f"there is no directory {path.parent} for {path.name}")
            return path, container
    raise InvalidArgumentError(f"a film's file must end in .mkv or .mp4, not {safe_repr(path.name)}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"{name} is not installed: apt-get install ffmpeg, or see https://ffmpeg.org")
    return found


@attrs.frozen
class _Files:
    """The files of recordings: downloaded if need be, and measured."""

    client: RecordingsClient
    directory: Path
    decryption: Decryption | None
    ffprobe: str

    async def of(self, recordings: Sequence[Recording]) -> list[Source]:
        """The file of each, in the same order."""

        async def each() -> AsyncGenerator[Recording, None]:
            for recording in recordings:
                yield recording

        async with aclosing(map_concurrently(each(), self._of, lambda: _DOWNLOADS)) as sources:
            by_sid = {source.recording.sid: source async for source in sources}
        return [by_sid[recording.sid] for recording in recordings]

    async def _of(self, recording: Recording) -> AsyncGenerator[Source, None]:
        download = await self.client.download(recording, f"{self.directory}{os.sep}", decryption=self.decryption)
        yield Source(recording, Path(download.location), await self._length(recording, download.location))

    async def _length(self, recording: Recording, path: str) -> int:
        """Milliseconds, and so more exact than the service, which rounds to seconds."""
        asked = ("-show_entries", "format=duration,start_time", "-of", "json", f"file:{path}")
        async with _running((self.ffprobe, "-v", "error", "-f", "matroska", *asked)) as process:
            out, said = await process.communicate()
        if process.returncode:
            raise MediaError(f"the media of {recording.sid} cannot be read: {_last_line(said)}")
        about = json.loads(out)["format"]
        if "duration" not in about:
            return (recording.duration or 0) * 1000
        return round((float(about["duration"]) - float(about.get("start_time", 0))) * 1000)


async def _run(arguments: Sequence[str], length: int, on_progress: OnProgress | None) -> None:
    async with _running([arguments[0], "-progress", "pipe:1", *arguments[1:]]) as process:
        out, err = (cast("asyncio.StreamReader", stream) for stream in (process.stdout, process.stderr))
        saying = asyncio.create_task(err.read())
        try:
            async for line in out:
                name, _, value = line.decode().strip().partition("=")
                if name == "out_time_us" and value.isdecimal() and on_progress is not None:
                    on_progress(min(int(value) // 1000, length), length)
            said = await saying
            await process.wait()
        finally:
            await cancel_and_wait(saying)
    if process.returncode:
        raise MediaError(f"ffmpeg could not put the film together: {_last_line(said)}")


@asynccontextmanager
async def _running(arguments: Sequence[str]) -> AsyncGenerator[Process, None]:
    """A process that is over when the block is, whatever ends it."""
    process = await asyncio.create_subprocess_exec(*arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await wait_finished(asyncio.ensure_future(process.wait()))


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return lines[-1][:_SAID_AT_MOST]
