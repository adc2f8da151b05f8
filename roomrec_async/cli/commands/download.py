"""``roomrec download``: the media of rooms' recordings, as files or in an object store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import click

from roomrec_async._asyncio import map_concurrently
from roomrec_async._media.download import Download
from roomrec_async._text import safe_text
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.options import (
    base_url_option,
    client_from,
    decryption_from,
    destination_from,
    downloads_option,
    files_option,
    prepared,
    private_key_option,
    rooms_argument,
    window_options,
)
from roomrec_async.cli.support.output import Lines
from roomrec_async.cli.support.tables import counted, size_told, transfers_shown
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import RoomRecError
from roomrec_async.models import MediaType, Recording, RecordingStatus
from roomrec_async.protocols import Decryption, Destination

_EXAMPLES: Final = """\b
Examples:
  roomrec download RM0123456789abcdef0123456789abcdef -o media/
  roomrec rooms --sids --after 2026-03-01T00:00:00Z | roomrec download - -o s3://bucket/rooms
"""


@click.command("download", epilog=_EXAMPLES, short_help="Download the media of rooms.")
@rooms_argument
@files_option
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR|URL",
    help="A directory, or an object store such as s3://bucket/prefix (its credentials are in the environment).",
)
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
    help="How long to wait for media that are not there yet: they can come some seconds after a room has ended.",
)
@private_key_option
@base_url_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each recording.")
def download(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
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

    Files are named after their recordings, RT....mka or RT....mkv. What is interrupted goes on where it stopped when
    the command is run again, and what is there already is passed over. One line is printed for each: where it is.

    ROOM is a room SID; - stands for room SIDs on standard input, one a line. The credentials are those of the
    environment, as for 'roomrec list'.
    """
    if not rooms and not files:
        raise click.UsageError("no room: give room SIDs, --from-file FILE, or - for standard input")
    downloading = _Downloading(
        sources=RoomSources(rooms, files),
        destination=destination_from(output),
        decryption=decryption_from(private_key),
        media_type=None if media_type is None else MediaType(media_type),
        at_once=downloads,
        wait=wait,
        as_json=as_json,
    )
    options = RoomOptions(status=RecordingStatus.COMPLETED, date_created_after=after, date_created_before=before)
    return asyncio.run(downloading.run(client_from(base_url), options))


@attrs.define
class _Downloading:
    """One run of the command, and what has been counted."""

    sources: RoomSources
    destination: Path | Destination
    decryption: Decryption | None
    media_type: MediaType | None
    at_once: int
    wait: float
    as_json: bool
    failures: Failures = attrs.field(factory=Failures)
    found: int = 0
    done: int = 0
    already: int = 0
    arrived: int = 0
    expected: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """Download everything. The result is the exit code."""
        await prepared(self.destination)

        async def fetch(recording: Recording) -> AsyncGenerator[Download, None]:
            if (fetched := await self._fetch(client, recording)) is not None:
                yield fetched

        with transfers_shown(self.failures.console, lambda: (self.arrived, self.expected), self._told):
            async with (
                client,
                aclosing(self.sources.sids(self.failures.of_line)) as room_sids,
                aclosing(client.stream(room_sids, on_error=self.failures.of_room, **options)) as recordings,
                aclosing(map_concurrently(self._wanted(recordings), fetch, lambda: self.at_once)) as downloads,
                Lines(self.failures.console) as output,
            ):
                async for download in downloads:
                    await output.write(self._line(download))
        self.failures.say(f"{self._told(0.0)}, {size_told(self.arrived)}")
        return self.failures.exit_code

    async def _wanted(self, recordings: AsyncGenerator[Recording, None]) -> AsyncGenerator[Recording, None]:
        async for recording in recordings:
            if self.media_type in (None, recording.type):
                self.found += 1
                self.expected += recording.size or 0
                yield recording

    async def _fetch(self, client: RecordingsClient, recording: Recording) -> Download | None:
        expected, arrived = recording.size or 0, 0

        def on_bytes(size: int) -> None:
            nonlocal arrived
            arrived += size
            self.arrived += size

        try:
            download = await client.download(
                recording, self.destination, decryption=self.decryption, wait=self.wait, on_bytes=on_bytes
            )
        except RoomRecError as error:
            self.failures.of(recording.sid, error)
            return None
        finally:
            # What has not arrived by now need not be waited for.
            self.expected -= expected - arrived
        self.done += 1
        self.already += download.already_there
        return download

    def _line(self, download: Download) -> str:
        return json.dumps(attrs.asdict(download)) if self.as_json else safe_text(download.location)

    def _told(self, _: float) -> str:
        already = f" ({self.already:,} were there)" if self.already else ""
        return f"{self.done:,} of {counted(self.found, 'recording')}{already}{self.failures.told}"
