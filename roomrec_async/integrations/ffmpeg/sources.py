"""The recordings of a room with their media files: downloaded where they are missing, measured, and placed in time."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeVar

import attrs

from roomrec_async._archive.kept import KeptRecording, KeptRoom
from roomrec_async._asyncio import map_concurrently
from roomrec_async._media.locate import media_name
from roomrec_async._media.record_file import write_record
from roomrec_async._views.film import Source
from roomrec_async._views.placement import place
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError, MediaError, NotFoundError, RecordingsNotReadyError
from roomrec_async.models import MediaType, Recording, RecordingStatus, Room
from roomrec_async.protocols import Decryption

from .probing import MediaFile, can_decode, probe

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Downloads, or files that are measured, at a time.
_MAX_AT_ONCE: Final = 4
# Media can appear some seconds after a recording is completed; those of a muted track never do.
_MAX_MEDIA_WAIT: Final = 10.0


@attrs.frozen
class LeftOut:
    """A recording that is not in a film, or only in part.

    Attributes:
        recording: the recording.
        reason: why; a sentence without its full stop, which names the recording.
    """

    recording: Recording
    reason: str


async def map_in_order(items: Sequence[_Item], function: Callable[[_Item], Awaitable[_Result]]) -> list[_Result]:
    """Return the result of an async function for each item, in the same order; a few run at a time."""

    async def iterate() -> AsyncGenerator[int, None]:
        for index in range(len(items)):
            yield index

    async def call(index: int) -> AsyncGenerator[tuple[int, _Result], None]:
        yield index, await function(items[index])

    async with aclosing(map_concurrently(iterate(), call, lambda: _MAX_AT_ONCE)) as finished:
        results = {index: result async for index, result in finished}
    return [results[index] for index in range(len(items))]


@attrs.frozen
class Measured:
    """A recording whose media file was measured."""

    recording: Recording
    path: Path
    media: MediaFile


@attrs.frozen
class Found:
    """What there is of a room.

    Attributes:
        sources: recordings that can be in a film, with their files.
        left_out: audio and video that cannot, each with the reason.
        truncated: recordings that are in it as far as their files go.
        about: recordings that are placed by a date only, in whole seconds.
        data_tracks: number of recordings that are neither audio nor video.
        files: media files of all recordings, whether they can be used or not.
    """

    sources: tuple[Source, ...]
    left_out: tuple[LeftOut, ...]
    truncated: tuple[Recording, ...]
    about: tuple[Recording, ...]
    data_tracks: int
    files: tuple[Path, ...]

    @property
    def participants(self) -> list[str]:
        """SIDs of the participants who have audio or video, usable or not, in the order of the recordings."""
        recordings = [each.recording for each in self.sources] + [each.recording for each in self.left_out]
        sids = (recording.participant_sid for recording in recordings)
        return list(dict.fromkeys(sid for sid in sids if sid is not None))


async def list_room(client: RecordingsClient, room_sid: str | Room, wait: float) -> list[Recording]:
    """Return the recordings of a room, once none is being processed, or the time to wait is up.

    Args:
        client: client to list with.
        room_sid: the room, or its SID.
        wait: maximum number of seconds.
    """
    # A list that changes while it is read can have a recording twice.
    return list({recording.sid: recording for recording in await wait_and_list(client, room_sid, wait)}.values())


async def wait_and_list(client: RecordingsClient, room_sid: str | Room, wait: float) -> list[Recording]:
    """Return a room's recordings, after waiting for those that are processing."""
    if not wait:
        return await client.recordings(room_sid)
    try:
        return await client.wait_for_recordings(room_sid, timeout=None if wait == math.inf else wait)
    except RecordingsNotReadyError as error:
        return error.recordings


@attrs.frozen
class Downloads:
    """Downloads media into a directory; those that are there are kept.

    Attributes:
        client: client to download with.
        directory: the directory.
        decryption: decrypts media that are encrypted, if any.
        wait: seconds to wait for media that are not there yet.
    """

    client: RecordingsClient
    directory: Path
    decryption: Decryption | None
    wait: float

    async def fetch(self, recordings: Sequence[Recording]) -> list[tuple[Recording, Path | LeftOut]]:
        """Return each recording with its file, or with the reason why there is none, in the same order."""
        fetched = await map_in_order(recordings, self._fetch)
        return list(zip(recordings, fetched, strict=True))

    async def _fetch(self, recording: Recording) -> Path | LeftOut:
        if recording.status != RecordingStatus.COMPLETED:
            return LeftOut(recording, f"{recording.sid} is {recording.status or 'of unknown status'}: no media")
        try:
            download = await self.client.download(
                recording,
                f"{self.directory}{os.sep}",
                decryption=self.decryption,
                wait=min(self.wait, _MAX_MEDIA_WAIT),
            )
        except NotFoundError:
            reason = "has no media: the service has none of a track that was muted throughout, or deleted them"
            return LeftOut(recording, f"{recording.sid} {reason}")
        except (MediaError, InvalidArgumentError) as error:
            return LeftOut(recording, str(error))
        # The directory is enough then for another film, without an account.
        await write_record(recording, self.directory)
        return Path(download.location)


async def fetch_kept(room: KeptRoom, directory: Path) -> list[tuple[Recording, Path | LeftOut]]:
    """Return each recording that was kept of a room with its file, or with the reason why there is none.

    Args:
        room: what was kept.
        directory: directory for copies of a store's objects.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)

    async def fetch(kept: KeptRecording) -> Path | LeftOut:
        try:
            return await room.fetch(kept, directory)
        except MediaError as error:
            return LeftOut(kept.recording, str(error))

    fetched = await map_in_order(room.recordings, fetch)
    return [(kept.recording, file) for kept, file in zip(room.recordings, fetched, strict=True)]


async def find(files: Iterable[tuple[Recording, Path | LeftOut]]) -> Found:
    """Measure the files of a room's recordings, and place them in time.

    Args:
        files: all recordings of the room, each with its file, or with the reason why there is none.

    Raises:
        InvalidArgumentError: a recording has no SID, or is there twice.
    """
    everything = list(files)
    check_distinct([recording for recording, _ in everything])
    tracks = [item for item in everything if item[0].type in (MediaType.AUDIO, MediaType.VIDEO)]
    results = await map_in_order(tracks, measure)
    measured = [result for result in results if isinstance(result, Measured)]
    left_out = [result for result in results if isinstance(result, LeftOut)]

    starts = {str(each.recording.sid): each.media.start for each in measured}
    placements = place([each.recording for each in measured], starts)
    sources: list[Source] = []
    for each, placement in zip(measured, placements, strict=True):
        if placement.start is None:
            reason = "has neither an offset nor a date to place it by"
            left_out.append(LeftOut(each.recording, f"{each.recording.sid} {reason}"))
        else:
            sources.append(await make_source(each, placement.start))
    return Found(
        sources=tuple(sources),
        left_out=tuple(left_out),
        truncated=tuple(each.recording for each in measured if each.media.truncated),
        about=tuple(each.recording for each in placements if each.start is not None and not each.exact),
        data_tracks=len(everything) - len(tracks),
        files=tuple(path for _, path in everything if isinstance(path, Path)),
    )


def check_distinct(recordings: Iterable[Recording]) -> None:
    """Check that each recording is there once, by its SID.

    Raises:
        InvalidArgumentError: a recording has no SID, or is there twice.
    """
    seen: set[str] = set()
    for recording in recordings:
        if recording.sid is None:
            raise InvalidArgumentError("a recording has no SID, so it cannot be distinguished from others")
        if recording.sid in seen:
            raise InvalidArgumentError(f"{recording.sid} is given twice")
        seen.add(recording.sid)


async def find_planned(recordings: Sequence[Recording], directory: Path) -> Found:
    """Return what there is of a room as far as its list and the files in a directory tell, without downloading.

    A file that is missing is planned with the start and the whole seconds that the list gives.
    """
    completed = [recording for recording in recordings if recording.status == RecordingStatus.COMPLETED]
    paths = {recording.sid: directory / media_name(recording) for recording in completed}
    at_hand = [recording for recording in completed if await asyncio.to_thread(paths[recording.sid].is_file)]
    found = await find([(recording, paths[recording.sid]) for recording in at_hand])

    starts = {str(source.recording.sid): source.container_start for source in found.sources}
    sources = list(found.sources)
    for placement in place(completed, starts):
        recording = placement.recording
        is_track = recording.type in (MediaType.AUDIO, MediaType.VIDEO)
        if recording not in at_hand and is_track and placement.start is not None and recording.duration:
            length = recording.duration * 1_000
            path = paths[recording.sid]
            sources.append(Source(recording=recording, path=path, start=placement.start, length=length))
    return attrs.evolve(
        found, sources=tuple(sources), data_tracks=sum(recording.type == MediaType.DATA for recording in recordings)
    )


async def measure(item: tuple[Recording, Path | LeftOut]) -> Measured | LeftOut:
    """Measure a recording's file; return why it cannot be used if that is so."""
    recording, path = item
    if isinstance(path, LeftOut):
        return path
    try:
        media = await probe(path)
    except MediaError as error:
        return LeftOut(recording, f"the media of {recording.sid} cannot be read: {error}")
    if not media.has_frames:
        return LeftOut(recording, f"the media of {recording.sid} have no frames that can be decoded")
    if recording.type == MediaType.VIDEO and not media.width:
        return LeftOut(recording, f"the media of {recording.sid} have no picture, though it is a video")
    if not await can_decode(path, "v" if recording.type == MediaType.VIDEO else "a"):
        return LeftOut(
            recording, f"the media of {recording.sid} cannot be decoded: they are damaged, or still encrypted"
        )
    return Measured(recording, path, media)


async def make_source(measured: Measured, start: int) -> Source:
    """Return a measured file that starts at a time of the room."""
    media = measured.media
    status = await asyncio.to_thread(measured.path.stat)
    return Source(
        recording=measured.recording,
        path=measured.path,
        version=f"{status.st_size} {status.st_mtime_ns}",
        start=start,
        length=media.length,
        container_start=media.start,
        first_picture=(media.first_key or 0) - media.start,
        pauses=tuple((pause.start - media.start, pause.end - media.start) for pause in media.pauses),
    )
