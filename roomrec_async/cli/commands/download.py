"""``roomrec download``: download the media of rooms to files or into an object store."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import click

from roomrec_async._asyncio import map_concurrently
from roomrec_async._format import format_count, format_size
from roomrec_async._media.download import Download
from roomrec_async._media.record_file import write_record
from roomrec_async._text import safe_text
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.options import (
    allow_empty_option,
    base_url_option,
    destination_option,
    downloads_option,
    files_option,
    limit_options,
    private_key_option,
    rooms_argument,
    window_options,
)
from roomrec_async.cli.support.output import LineWriter
from roomrec_async.cli.support.places import check_directory_place
from roomrec_async.cli.support.progress import show_transfers
from roomrec_async.cli.support.resources import (
    check_options,
    make_client,
    make_decryption,
    make_sources,
    open_rooms,
    parse_destination,
    prepare_destination,
)
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import RoomRecError
from roomrec_async.models import MediaType, Recording, RecordingStatus
from roomrec_async.protocols import Decryption, Destination

_EXAMPLES: Final = """\b
Examples:
  roomrec download RM2cfaa189a9cc4a80b935caff592db30c -o media/
  roomrec download --from-file rooms.txt --type audio -o media/
  roomrec download --from-file rooms.txt -o s3://bucket/rooms
"""


@click.command("download", cls=RoomrecCommand, epilog=_EXAMPLES)
@rooms_argument
@files_option
@allow_empty_option
@destination_option
@click.option(
    "--type",
    "media_type",
    type=click.Choice([kind.value for kind in MediaType], case_sensitive=False),
    help="Only recordings of this type.",
)
@window_options("recordings that started")
@downloads_option
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Maximum time to wait for media that are not ready yet: they can take some seconds after a room has ended.",
)
@private_key_option
@base_url_option
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each recording instead of its location.")
def download(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    allow_empty: bool,
    output: str,
    media_type: str | None,
    after: datetime | None,
    before: datetime | None,
    downloads: int,
    wait: float,
    private_key: Path | None,
    base_url: str,
    as_json: bool,
) -> int:
    """Download the media of all completed recordings of rooms, several at a time.

    Files are named after their recordings, RT....mka or RT....mkv, and the location of each is printed. The record of
    each is written beside it, as RT....json. If this is interrupted, run the same command again: it resumes, and skips
    the files that are complete.

    ROOM is a room SID or a unique name; - reads rooms from standard input, as from a file. The credentials come from
    the environment, as for 'roomrec list'.
    """
    job = DownloadRun(
        sources=make_sources(rooms, files, allow_empty=allow_empty),
        destination=parse_destination(output),
        decryption=make_decryption(private_key),
        media_type=None if media_type is None else MediaType(media_type),
        max_concurrent=downloads,
        wait=wait,
        as_json=as_json,
    )
    check_directory_place(job.destination)
    options = RoomOptions(status=RecordingStatus.COMPLETED, date_created_after=after, date_created_before=before)
    return run_async(job.run(make_client(base_url), options))


@attrs.define
class DownloadRun:
    """One run of the command.

    Attributes:
        sources: the rooms.
        destination: where the media are stored.
        decryption: decrypts encrypted media, or None.
        media_type: the only type to download, or None for all.
        max_concurrent: maximum number of downloads at a time.
        wait: seconds to wait for media that are not ready.
        as_json: True to print JSON instead of locations.
        failures: the rooms and recordings that failed.
        found: number of recordings listed so far that are to be downloaded.
        complete: number of those whose media are stored.
        already_there: number of those whose media were stored before.
        received_bytes: bytes received so far.
        expected_bytes: bytes received so far, and those still to be received for the recordings found.
    """

    sources: RoomSources
    destination: Path | Destination
    decryption: Decryption | None
    media_type: MediaType | None
    max_concurrent: int
    wait: float
    as_json: bool
    failures: Failures = attrs.field(factory=Failures)
    found: int = 0
    complete: int = 0
    already_there: int = 0
    received_bytes: int = 0
    expected_bytes: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """Download all media, and return the exit code."""
        check_options(client, options)
        async with client, open_rooms(self.sources, client, self.failures) as room_sids:
            # A mistake in the destination is found before anything is listed.
            await prepare_destination(self.destination)
            with show_transfers(self.failures.console, self._byte_counts, self._format_counts):
                await self._download_all(client, room_sids, options)

        self.failures.print(f"{self._format_counts()}, {format_size(self.received_bytes)}")
        return self.failures.exit_code

    async def _download_all(
        self, client: RecordingsClient, room_sids: AsyncGenerator[str, None], options: RoomOptions
    ) -> None:
        async def download_one(recording: Recording) -> AsyncGenerator[Download, None]:
            finished = await self._download(client, recording)
            if finished is not None:
                yield finished

        async with (
            aclosing(client.stream(room_sids, on_error=self.failures.add_room, **options)) as recordings,
            aclosing(
                map_concurrently(self._select(recordings), download_one, lambda: self.max_concurrent)
            ) as downloads,
            LineWriter(self.failures.console) as output,
        ):
            async for finished in downloads:
                await output.write(self._format_line(finished))

    async def _select(self, recordings: AsyncGenerator[Recording, None]) -> AsyncGenerator[Recording, None]:
        """Yield the recordings of the type that was asked for, and count what is to be downloaded."""
        async for recording in recordings:
            if self.media_type in (None, recording.type):
                self.found += 1
                self.expected_bytes += recording.size or 0
                yield recording

    async def _download(self, client: RecordingsClient, recording: Recording) -> Download | None:
        """Download a recording's media; return None if that failed."""
        expected = recording.size or 0
        received = 0

        def on_bytes(size: int) -> None:
            nonlocal received
            received += size
            self.received_bytes += size

        try:
            finished = await client.download(
                recording, self.destination, decryption=self.decryption, wait=self.wait, on_bytes=on_bytes
            )
            # A folder of downloads then says whose tracks it has, and when.
            await write_record(recording, self.destination)
        except RoomRecError as error:
            self.failures.add(recording.sid, error)
            return None
        finally:
            # What has not been received by now will not be: it was there before, or the download failed.
            self.expected_bytes -= expected - received

        self.complete += 1
        self.already_there += finished.already_there
        return finished

    def _byte_counts(self) -> tuple[int, int]:
        return self.received_bytes, self.expected_bytes

    def _format_line(self, finished: Download) -> str:
        if self.as_json:
            return json.dumps(attrs.asdict(finished))
        return safe_text(finished.location)

    def _format_counts(self) -> str:
        already_there = f" ({self.already_there:,} already there)" if self.already_there else ""
        failed = self.failures.format_suffix()
        return f"{self.complete:,} of {format_count(self.found, 'recording')}{already_there}{failed}"
