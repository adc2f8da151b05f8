"""``roomrec list``: the recordings of rooms, as a table or as JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from datetime import datetime
from typing import Final, TypeAlias

import attrs
import click
from rich.console import Console
from rich.text import Text

from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.codec import to_dict
from roomrec_async.credentials import Credentials
from roomrec_async.errors import AuthenticationError, ConfigurationError
from roomrec_async.models import Recording, RecordingStatus, RoomResult
from roomrec_async.query import MAX_PAGE_SIZE
from roomrec_async.endpoints import DEFAULT_BASE_URL

from .blocking import LineWriter
from .inputs import Instant, RoomSources, checked_room
from .rendering import RecordingTable, counted, failure_told, length_told, pace_told, plain, progress_shown

Recordings: TypeAlias = AsyncGenerator[Recording, None]

_EXAMPLES: Final = """\b
Examples:
  roomrec list RM0123456789abcdef0123456789abcdef
  roomrec list --from-file rooms.txt --status completed --after 2026-03-01T00:00:00Z
  roomrec list - < rooms.txt | jq -r .sid
"""


@click.command("list", epilog=_EXAMPLES, short_help="List the recordings of rooms.")
@click.argument("rooms", nargs=-1, metavar="[ROOM|-]...", callback=checked_room)
@click.option(
    "--from-file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    help="Read room SIDs from a file, one a line; blank lines and # comments are passed over.",
)
@click.option(
    "--status",
    type=click.Choice([status.value for status in RecordingStatus], case_sensitive=False),
    help="Only recordings with this status. Deleted ones are listed only when asked for.",
)
@click.option("--source-sid", metavar="SID", help="Only recordings of this track (MT...).")
@click.option(
    "--after",
    type=Instant(),
    metavar="INSTANT",
    help="Only recordings that started then or later: 2026-03-01T09:30:00Z.",
)
@click.option("--before", type=Instant(), metavar="INSTANT", help="Only recordings that started before then.")
@click.option(
    "--page-size",
    type=click.IntRange(1, MAX_PAGE_SIZE),
    metavar="N",
    help="Recordings per request. By default as many as allowed and needed.",
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many recordings of each room.")
@click.option(
    "--base-url",
    envvar="ROOMREC_BASE_URL",
    default=DEFAULT_BASE_URL,
    metavar="URL",
    show_default=True,
    help="Another endpoint, such as a gateway or 'roomrec simulate'; also $ROOMREC_BASE_URL.",
)
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="How long a page may take, with all its retries. By default 300."
)
@click.option(
    "--json/--table",
    "as_json",
    default=None,
    help="JSON, one recording a line, or a table. By default a table on a terminal, JSON elsewhere.",
)
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress on stderr, if that is a terminal. By default while the recordings go to a file.",
)
def list_recordings(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    status: str | None,
    source_sid: str | None,
    after: datetime | None,
    before: datetime | None,
    page_size: int | None,
    limit: int | None,
    base_url: str,
    timeout: float | None,
    as_json: bool | None,
    progress: bool | None,
) -> int:
    """List the recordings of rooms, many rooms at once.

    ROOM is a room SID, RM and 32 hexadecimal digits; - stands for room SIDs on standard input, one a line. Rooms are
    read as they are needed and recordings printed as they come, so that a million rooms need no more memory than one.

    The credentials are those of the environment: TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN, or with TWILIO_API_KEY
    and TWILIO_API_SECRET.
    """
    if not rooms and not files:
        raise click.UsageError("no room: give room SIDs, --from-file FILE, or - for standard input")
    options = RoomOptions(
        status=status,
        source_sid=source_sid,
        date_created_after=after,
        date_created_before=before,
        page_size=page_size,
        limit=limit,
    )
    tabular = sys.stdout.isatty() if as_json is None else not as_json
    shown = not tabular and (_goes_to_file() if progress is None else progress)
    listing = _Listing(RoomSources(rooms, files), tabular=tabular, with_progress=shown)
    return asyncio.run(listing.run(_client(base_url, timeout), options))


def _client(base_url: str, timeout: float | None) -> RecordingsClient:
    try:
        credentials = Credentials.from_env()
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}. 'roomrec demo' needs none") from None
    return RecordingsClient(credentials, base_url=base_url, timeout=timeout)


def _goes_to_file() -> bool:
    # What reads a pipe may write to the same terminal, and progress would be drawn over it.
    return not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)


@attrs.define
class _Listing:
    """One run of the command: where the rooms come from, how recordings are printed, and what has been counted."""

    sources: RoomSources
    tabular: bool
    with_progress: bool
    errors: Console = attrs.field(factory=lambda: Console(stderr=True, highlight=False))
    rooms: int = 0
    recordings: int = 0
    failed: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """List everything. The result is the exit code."""
        async with client, aclosing(self._room_sids()) as room_sids, LineWriter() as output:
            recordings = self._counted(client.stream(room_sids, on_error=self._room_failed, **options))
            lines = _table_lines(recordings) if self.tabular else _json_lines(recordings)
            with self._progress(client):
                async with aclosing(recordings), aclosing(lines):
                    async for line in lines:
                        await output.write(line)
        if self.tabular and self.errors.is_terminal:
            self._say(f"{counted(self.recordings, 'recording')} of {self._rooms_told()}")
        return 1 if self.failed else 0

    async def _room_sids(self) -> AsyncGenerator[str, None]:
        async for room_sid in self.sources.sids(self._line_refused):
            self.rooms += 1
            yield room_sid

    async def _counted(self, recordings: Recordings) -> Recordings:
        async with aclosing(recordings):
            async for recording in recordings:
                self.recordings += 1
                yield recording

    def _room_failed(self, result: RoomResult) -> None:
        if isinstance(result.error, AuthenticationError):
            # It would be the same with every other room.
            raise result.error
        if result.error is not None:
            self.failed += 1
            self._say(f"{plain(result.room_sid)}: {failure_told(result.error)}")

    def _line_refused(self, place: str, reason: str) -> None:
        self.rooms += 1
        self.failed += 1
        self._say(f"{plain(place)}: {plain(reason)}")

    def _say(self, line: str) -> None:
        self.errors.print(Text(line), soft_wrap=True)

    def _rooms_told(self) -> str:
        return counted(self.rooms, "room") + (f", {self.failed:,} failed" if self.failed else "")

    def _progress(self, client: RecordingsClient) -> AbstractContextManager[object]:
        if not self.with_progress:
            return nullcontext()

        def tell(elapsed: float) -> str:
            pace, in_flight = pace_told(self.recordings, elapsed), client.limiter.in_flight
            return f"{self._rooms_told()} · {pace} · {in_flight} in flight · {length_told(elapsed)}"

        return progress_shown(self.errors, tell)


async def _json_lines(recordings: Recordings) -> AsyncGenerator[str, None]:
    async for recording in recordings:
        yield json.dumps(to_dict(recording), separators=(",", ":")) + "\n"


async def _table_lines(recordings: Recordings) -> AsyncGenerator[str, None]:
    console = Console(highlight=False)
    table, room_sid = RecordingTable(console.width), None
    async for recording in recordings:
        if recording.room_sid != room_sid:
            if room_sid is not None:
                yield "\n"
            room_sid = recording.room_sid
            yield _rendered(console, table.heading(room_sid or "?"))
        yield _rendered(console, table.row(recording))


def _rendered(console: Console, text: Text) -> str:
    with console.capture() as capture:
        console.print(text, soft_wrap=True)
    return capture.get()
