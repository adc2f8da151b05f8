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
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import click
from rich.console import Console

from roomrec_async._api.codec import to_dict
from roomrec_async._api.params import MAX_PAGE_SIZE
from roomrec_async._asyncio import run_in_thread
from roomrec_async._tables import format_of, open_table, recording_columns
from roomrec_async._text import safe_text
from roomrec_async.cli.support.cluster import Exporting, cluster_asked_for
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.options import base_url_option, client_from, files_option, rooms_argument, window_options
from roomrec_async.cli.support.stdio import LineWriter
from roomrec_async.cli.support.tables import (
    Table,
    counted,
    length_told,
    pace_told,
    progress_shown,
    rendered,
    room_heading,
)
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.models import Recording, RecordingStatus

Recordings: TypeAlias = AsyncGenerator[Recording, None]

_ROWS_AT_ONCE: Final = 1_000
_ENDINGS: Final = (".jsonl", ".csv", ".parquet")

_EXAMPLES: Final = """\b
Examples:
  roomrec list RM0123456789abcdef0123456789abcdef
  roomrec list --from-file rooms.txt --status completed --after 2026-03-01T00:00:00Z
  roomrec list - < rooms.txt | jq -r .sid
  roomrec list --from-file rooms.txt -o recordings.parquet
  roomrec --dask tls://scheduler:8786 list --from-file rooms.txt -o /shared/recordings
"""


@click.command("list", epilog=_EXAMPLES, short_help="List the recordings of rooms.")
@rooms_argument
@files_option
@click.option(
    "--status",
    type=click.Choice([status.value for status in RecordingStatus], case_sensitive=False),
    help="Only recordings with this status. Deleted ones are listed only when asked for.",
)
@click.option("--source-sid", metavar="SID", help="Only recordings of this track (MT...).")
@window_options("recordings that started")
@click.option(
    "--page-size",
    type=click.IntRange(1, MAX_PAGE_SIZE),
    metavar="N",
    help="Recordings per request. By default as many as allowed and needed.",
)
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many recordings of each room.")
@base_url_option
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
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a file instead: .jsonl, .csv or .parquet. It takes its place at the end, even if rooms failed. With "
    "'roomrec --dask', a directory, for Parquet files that the cluster writes.",
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
    output: Path | None,
    progress: bool | None,
) -> int:
    """List the recordings of rooms, many rooms at once.

    ROOM is a room SID, RM and 32 hexadecimal digits; - stands for room SIDs on standard input, one a line. Rooms are
    read as they are needed and recordings printed as they come, so that a million rooms need no more memory than one.

    In a CSV file, a track name that a spreadsheet would take for a formula has an apostrophe before it.

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
    if output is not None and as_json is not None:
        raise click.UsageError("--output goes with neither --json nor --table: the file's ending says what it is")
    if (address := cluster_asked_for()) is not None:
        return _exported(address, base_url, RoomSources(rooms, files), options, timeout, output, progress)
    if output is not None:
        _check_file(output)
    tabular = output is None and (sys.stdout.isatty() if as_json is None else not as_json)
    goes_to_file = output is not None or _stdout_goes_to_file()
    listing = _Listing(
        RoomSources(rooms, files),
        output=output,
        tabular=tabular,
        with_progress=not tabular and (goes_to_file if progress is None else progress),
    )
    return asyncio.run(listing.run(client_from(base_url, timeout), options))


def _exported(
    address: str,
    base_url: str,
    sources: RoomSources,
    options: RoomOptions,
    timeout: float | None,
    output: Path | None,
    progress: bool | None,
) -> int:
    """List on a cluster. The result is the exit code."""
    if output is None:
        raise click.UsageError("--dask needs --output DIRECTORY, which the workers write Parquet files to")
    if output.suffix.lower() in _ENDINGS:
        raise click.UsageError(f"with --dask, --output is a directory, not a file such as {output.name!r}")
    exporting = Exporting(
        address=address,
        base_url=base_url,
        sources=sources,
        options=RoomOptions(**options, timeout=timeout),
        directory=output,
        with_progress=progress is not False,
    )
    return asyncio.run(exporting.run())


def _check_file(output: Path) -> None:
    if output.is_dir():
        raise click.UsageError(f"--output must be a file, and {str(output)!r} is a directory")
    format_of(output)


def _stdout_goes_to_file() -> bool:
    # What reads a pipe may write to the same terminal, and progress would be drawn over it.
    return not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)


@attrs.define
class _Listing:
    """One run of the command: where the rooms come from, where recordings go, and what has been counted."""

    sources: RoomSources
    output: Path | None
    tabular: bool
    with_progress: bool
    failures: Failures = attrs.field(factory=Failures)
    rooms: int = 0
    recordings: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """List everything. The result is the exit code."""
        async with client, aclosing(self._room_sids()) as room_sids:
            recordings = self._counted(client.stream(room_sids, on_error=self.failures.of_room, **options))
            with self._progress(client):
                async with aclosing(recordings):
                    await (self._print(recordings) if self.output is None else _write(self.output, recordings))
        if self.output is not None or (self.tabular and self.failures.console.is_terminal):
            file = f"{safe_text(str(self.output))}: " if self.output is not None else ""
            self.failures.say(f"{file}{counted(self.recordings, 'recording')} of {self._rooms_told()}")
        return self.failures.exit_code

    async def _print(self, recordings: Recordings) -> None:
        lines = _table_lines(recordings) if self.tabular else _json_lines(recordings)
        async with LineWriter() as output, aclosing(lines):
            async for line in lines:
                await output.write(line)

    async def _room_sids(self) -> AsyncGenerator[str, None]:
        async for room_sid in self.sources.sids(self._line_refused):
            self.rooms += 1
            yield room_sid

    async def _counted(self, recordings: Recordings) -> Recordings:
        async with aclosing(recordings):
            async for recording in recordings:
                self.recordings += 1
                yield recording

    def _line_refused(self, place: str, reason: str) -> None:
        self.rooms += 1
        self.failures.of_line(place, reason)

    def _rooms_told(self) -> str:
        return counted(self.rooms, "room") + self.failures.told

    def _progress(self, client: RecordingsClient) -> AbstractContextManager[object]:
        if not self.with_progress:
            return nullcontext()

        def tell(elapsed: float) -> str:
            pace, in_flight = pace_told(self.recordings, elapsed), client.limiter.in_flight
            return f"{self._rooms_told()} · {pace} · {in_flight} in flight · {length_told(elapsed)}"

        return progress_shown(self.failures.console, tell)


async def _json_lines(recordings: Recordings) -> AsyncGenerator[str, None]:
    async for recording in recordings:
        yield json.dumps(to_dict(recording), separators=(",", ":")) + "\n"


async def _table_lines(recordings: Recordings) -> AsyncGenerator[str, None]:
    console = Console(highlight=False)
    table, room_sid = Table.of_recordings(console.width), None
    async for recording in recordings:
        if recording.room_sid != room_sid:
            if room_sid is not None:
                yield "\n"
            room_sid = recording.room_sid
            yield rendered(console, room_heading(room_sid or "?"), table.titles())
        yield rendered(console, table.row(recording))


async def _write(path: Path, recordings: Recordings) -> None:
    """Write a table's file, some rows at a time: disks are slow, and the event loop must not wait for them."""
    with open_table(path, recording_columns(), format_of(path)) as table:
        rows: list[Recording] = []
        async for recording in recordings:
            rows.append(recording)
            if len(rows) >= _ROWS_AT_ONCE:
                await run_in_thread(partial(table.write, [to_dict(row) for row in rows]))
                rows.clear()
        await run_in_thread(partial(table.write, [to_dict(row) for row in rows]))
