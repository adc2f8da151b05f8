"""``roomrec list``: list the recordings of rooms, on standard output or into a file."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import click
from rich.console import Console

from roomrec_async._api.params import MAX_PAGE_SIZE
from roomrec_async._asyncio import run_in_thread
from roomrec_async._files import is_same_place
from roomrec_async._format import format_count, format_pace
from roomrec_async._listing.scan import DateWindow
from roomrec_async._tables import (
    ROOM_NAME_COLUMN,
    Row,
    TableWriter,
    open_table,
    recording_columns,
    table_format,
)
from roomrec_async._text import safe_text
from roomrec_async.cli.support.columns import SortKey, check_wide, column_options, columns_of, format_json, make_row
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.failures import Failures, write_failed_rooms
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.names import RoomNames, RoomNaming
from roomrec_async.cli.support.options import (
    LocalPath,
    allow_empty_option,
    base_url_option,
    files_option,
    limit_options,
    rooms_argument,
    window_options,
)
from roomrec_async.cli.support.output import StdoutWriter
from roomrec_async.cli.support.places import check_file_place
from roomrec_async.cli.support.progress import show_progress
from roomrec_async.cli.support.resources import check_options, make_client, make_sources
from roomrec_async.cli.support.signals import run_async
from roomrec_async.cli.support.tables import Table, render_lines, room_heading
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.models import Recording, RecordingStatus, RoomResult

Recordings: TypeAlias = AsyncGenerator[Recording, None]
NameOf: TypeAlias = Callable[[Recording], str | None]
"""Returns the name of a recording's room, if it is shown and known."""

# Rows that are written to a file at once, in a thread.
_BATCH_SIZE: Final = 1_000

_EXAMPLES: Final = """\b
Examples:
  roomrec list RM2cfaa189a9cc4a80b935caff592db30c
  roomrec list --from-file rooms.txt --status completed --after 7d
  roomrec list --after yesterday --before today
  roomrec list - < rooms.txt > recordings.jsonl
  roomrec list --from-file rooms.txt -o recordings.parquet
"""


@click.command("list", cls=RoomrecCommand, epilog=_EXAMPLES)
@rooms_argument
@files_option
@allow_empty_option
@click.option(
    "--status",
    type=click.Choice([status.value for status in RecordingStatus], case_sensitive=False),
    help="Only recordings with this status. Without it, deleted recordings are not listed.",
)
@click.option("--source-sid", metavar="SID", help="Only recordings of this track (MT...).")
@window_options("recordings that started")
@click.option(
    "--page-size",
    type=click.IntRange(1, MAX_PAGE_SIZE),
    metavar="N",
    help="Recordings per request. By default as many as are allowed and needed.",
)
@click.option(
    "--limit", type=click.IntRange(0), metavar="N", help="Maximum number of recordings per room, or of the account."
)
@base_url_option
@limit_options
@click.option(
    "--json/--table",
    "as_json",
    default=None,
    help="JSON, one recording per line, or a table. By default a table on a terminal, and JSON elsewhere.",
)
@column_options(Recording)
@click.option(
    "-o",
    "--output",
    type=LocalPath(),
    metavar="FILE",
    help="Write to a file instead: .jsonl, .csv or .parquet. It is written only if no room failed.",
)
@click.option("--allow-partial", is_flag=True, help="Write the file of --output even if some rooms failed.")
@click.option(
    "--failed-rooms",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Write the SIDs of the rooms that failed to this file, one per line, for --from-file.",
)
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Show progress on stderr. By default, on a terminal only while the recordings go to a file.",
)
def list_recordings(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    allow_empty: bool,
    status: str | None,
    source_sid: str | None,
    after: datetime | None,
    before: datetime | None,
    page_size: int | None,
    limit: int | None,
    base_url: str,
    as_json: bool | None,
    output: Path | None,
    allow_partial: bool,
    failed_rooms: Path | None,
    progress: bool | None,
    columns: tuple[str, ...] | None,
    wide: bool,
    sort: SortKey | None,
) -> int:
    """List the recordings of rooms, many rooms at a time, or of the whole account in a window of time.

    ROOM is a room SID, RM and 32 hexadecimal digits, or a unique name; - reads rooms from standard input, as from a
    file. A name must be that of one room only. Rooms are read as needed and recordings are printed as they arrive: of a
    million rooms, only the SIDs are kept in memory. A room that is given twice is listed once.

    The column room_name is there only if --columns names it: it takes one more request for each room.

    Without rooms, --after or --before lists the recordings of the whole account.

    In a CSV file, track names that a spreadsheet would evaluate as formulas are prefixed with an apostrophe.

    The credentials come from the environment: TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN, or with TWILIO_API_KEY and
    TWILIO_API_SECRET.
    """
    sources = None
    if rooms or files or not (after or before):
        sources = make_sources(rooms, files, allow_empty=allow_empty)
    options = RoomOptions(
        status=status,
        source_sid=source_sid,
        date_created_after=after,
        date_created_before=before,
        page_size=page_size,
        limit=limit,
    )
    if output is not None and as_json is not None:
        raise click.UsageError("--output cannot be used with --json or --table: its file extension sets the format")
    check_incomplete(output, allow_partial, failed_rooms)
    if sources is None and failed_rooms is not None:
        raise click.UsageError("--failed-rooms needs rooms: --after and --before alone list the whole account")
    if output is not None:
        check_file(output)
    if as_json is None:
        as_json = not sys.stdout.isatty()
    as_table = output is None and not as_json
    check_wide(wide, columns, as_table=as_table)
    job = ListRun(
        sources,
        output=output,
        allow_partial=allow_partial,
        failed_rooms=failed_rooms,
        as_table=as_table,
        with_progress=shows_progress(progress, output, as_table=as_table),
        columns=columns,
        is_wide=wide,
        sort=sort,
    )
    return run_async(job.run(make_client(base_url), options))


def check_incomplete(output: Path | None, allow_partial: bool, failed_rooms: Path | None) -> None:
    """Check the options for a list that is not complete.

    Raises:
        UsageError: they cannot be used with the others.
        OSError: the file for failed rooms cannot be written.
    """
    if allow_partial and output is None:
        raise click.UsageError("--allow-partial needs --output FILE")
    if failed_rooms is not None and output is not None and is_same_place(failed_rooms, output):
        raise click.UsageError("--failed-rooms and --output name the same file")
    if failed_rooms is not None:
        check_file_place(failed_rooms)


def check_file(output: Path) -> None:
    """Check that a file can be written in the format of its extension.

    Raises:
        UsageError: it is a directory.
        InvalidArgumentError: there is no such format.
        ConfigurationError: the format needs an extra that is not installed.
        OSError: nothing can be written there.
    """
    if output.is_dir():
        raise click.UsageError(f"--output must be a file, and {str(output)!r} is a directory")
    table_format(output)
    check_file_place(output)


def shows_progress(progress: bool | None, output: Path | None, *, as_table: bool) -> bool:
    """Return True if progress is shown: on a terminal it would be drawn over a table, or over what a pager prints."""
    on_terminal = sys.stderr.isatty()
    if progress is None:
        progress = output is not None or not on_terminal or not stdout_is_pipe()
    return progress and not (as_table and on_terminal)


def stdout_is_pipe() -> bool:
    """Return True if another program reads the output: it may write to the terminal that would show the progress."""
    return stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)


@attrs.define
class ListRun:
    """One run of the command.

    Attributes:
        sources: the rooms, or None for the whole account.
        output: the file to write, or None for standard output.
        allow_partial: True to write the file even if rooms failed.
        failed_rooms: the file for the SIDs of rooms that failed, or None.
        as_table: True to print a table, False to print JSON lines.
        with_progress: True to show progress, if stderr is a terminal.
        columns: names of the only columns to show, or None.
        is_wide: True to show all columns of a table.
        sort: what to sort by, or None for the order in which recordings come.
        naming: looks up the names of rooms where they are a column, or None.
        rooms: number of rooms so far, malformed lines of the input included.
        recordings: number of recordings so far.
    """

    sources: RoomSources | None
    output: Path | None
    allow_partial: bool
    failed_rooms: Path | None
    as_table: bool
    with_progress: bool
    columns: tuple[str, ...] | None
    is_wide: bool
    sort: SortKey | None
    naming: RoomNaming | None = None
    failures: Failures = attrs.field(factory=Failures)
    rooms: int = 0
    recordings: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """List all recordings, and return the exit code."""
        check_options(client, options)
        limit = options.get("limit")
        if self.sort is not None:
            # The largest are not among the first that come.
            options = RoomOptions(**{**options, "limit": None})
        if self.columns is not None and ROOM_NAME_COLUMN.name in self.columns:
            self.naming = RoomNaming(client, self.failures.add_room)
        async with (
            client,
            self._open_recordings(client, options) as recordings,
            aclosing(self._count(recordings)) as counted,
            aclosing(counted if self.sort is None else self._sort(counted, self.sort, limit)) as ordered,
            aclosing(ordered if self.naming is None else self.naming.pass_on(ordered)) as named,
        ):
            await self._write(named)

        self._print_summary()
        return self.failures.exit_code

    @asynccontextmanager
    async def _open_recordings(
        self, client: RecordingsClient, options: RoomOptions
    ) -> AsyncGenerator[Recordings, None]:
        """Open what is to be listed for the time of a block, and show the progress."""
        if self.sources is None:
            recordings = list_account(client, options)
            with self._show_progress(client):
                yield recordings
            return

        find_room = RoomNames(client).find
        async with self.sources.open(find_room, self._on_invalid_line, self.failures.print_repeated) as room_sids:
            with write_failed_rooms(self.failed_rooms) as add_failed_room, self._show_progress(client):

                def on_error(result: RoomResult) -> None:
                    self.failures.add_room(result)
                    add_failed_room(result.room_sid)

                yield client.stream(self._count_rooms(room_sids), on_error=on_error, **options)

    async def _count_rooms(self, room_sids: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        async for room_sid in room_sids:
            self.rooms += 1
            yield room_sid

    def _on_invalid_line(self, position: str, reason: str) -> None:
        self.rooms += 1
        self.failures.add_line(position, reason)

    async def _count(self, recordings: Recordings) -> Recordings:
        async with aclosing(recordings):
            async for recording in recordings:
                self.recordings += 1
                yield recording

    async def _sort(self, recordings: Recordings, key: SortKey, limit: int | None) -> Recordings:
        """Yield recordings in order, up to a limit of each room or of the account."""
        kept: Counter[str | None] = Counter()
        ordered = key.sort(recordings)
        async with aclosing(ordered):
            async for recording in ordered:
                group = None if self.sources is None else recording.room_sid
                if limit is None or kept[group] < limit:
                    kept[group] += 1
                    yield recording
        self.recordings = kept.total()

    async def _write(self, recordings: Recordings) -> None:
        if self.output is None:
            await self._print(recordings)
            return
        file_format = table_format(self.output)
        columns = recording_columns()
        if self.columns is not None:
            by_name = columns_of(Recording)
            columns = [by_name[name] for name in self.columns]
        with suppress(IncompleteError), open_table(self.output, columns, file_format) as table:
            await write_rows(table, recordings, self._name_of)
            if self._is_incomplete:
                raise IncompleteError

    @property
    def _is_incomplete(self) -> bool:
        return self.failures.count > 0 and not self.allow_partial

    async def _print(self, recordings: Recordings) -> None:
        console = Console(highlight=False)
        table = self._make_table(console)
        if not self.as_table:
            lines = json_lines(recordings, self.columns, self._name_of)
        elif self._has_headings:
            lines = grouped_lines(recordings, table, console)
        else:
            lines = table_lines(recordings, table, console)
        async with StdoutWriter() as output, aclosing(lines):
            async for line in lines:
                await output.write(line)
        if self.as_table and self.recordings and table.left_out:
            self.failures.print(f"{table.format_left_out()} (--wide shows all)")

    @property
    def _has_headings(self) -> bool:
        """True if the recordings of a room follow one another, below a heading."""
        return self.sources is not None and self.sort is None and self.columns is None

    def _make_table(self, console: Console) -> Table[Recording]:
        if self.columns is not None:
            return Table.for_fields(Recording, self.columns, {ROOM_NAME_COLUMN.name: self._name_of})
        return Table.for_recordings(None if self.is_wide else console.width, with_room=not self._has_headings)

    def _name_of(self, recording: Recording) -> str | None:
        return None if self.naming is None else self.naming.name_of(recording)

    def _show_progress(self, client: RecordingsClient) -> AbstractContextManager[object]:
        if not self.with_progress:
            return nullcontext()

        def format_progress(elapsed: float) -> str:
            pace = format_pace(self.recordings, elapsed)
            parts = [pace, f"{client.limiter.in_flight} in flight"]
            if self.sources is not None:
                parts.insert(0, self._format_rooms())
            return " · ".join(parts)

        return show_progress(self.failures.console, format_progress)

    def _print_summary(self) -> None:
        if self.output is not None and self._is_incomplete:
            self.failures.print(
                f"{safe_text(str(self.output))} was not written: {self.failures.count:,} of "
                f"{format_count(self.rooms, 'room')} failed. Run this again, or add --allow-partial to write the "
                f"{format_count(self.recordings, 'recording')} that were listed"
            )
        elif self.output is not None:
            self.failures.print(f"{safe_text(str(self.output))}: {self._format_summary()}")
        elif self.as_table and self.failures.console.is_terminal:
            self.failures.print(self._format_summary())

    def _format_summary(self) -> str:
        rooms = "the account" if self.sources is None else self._format_rooms()
        return f"{format_count(self.recordings, 'recording')} of {rooms}"

    def _format_rooms(self) -> str:
        return format_count(self.rooms, "room") + self.failures.format_suffix()


def list_account(client: RecordingsClient, options: RoomOptions) -> Recordings:
    """Return the recordings of all rooms.

    Raises:
        InvalidArgumentError: an option is out of the bounds of such a list.
    """
    after, limit = options.get("date_created_after"), options.get("limit")
    listed = client.account_recordings(**options)
    if after is None or limit is not None:
        return aiter(listed)
    window = DateWindow(after, options.get("date_created_before"))
    # Many lists at once.
    return flatten(
        client.scan(
            window,
            status=options.get("status"),
            source_sid=options.get("source_sid"),
            page_size=options.get("page_size"),
        )
    )


async def flatten(lists: AsyncGenerator[list[Recording], None]) -> Recordings:
    """Yield the recordings of lists one by one."""
    async with aclosing(lists):
        async for recordings in lists:
            for recording in recordings:
                yield recording


async def json_lines(
    recordings: Recordings, columns: Sequence[str] | None, name_of: NameOf
) -> AsyncGenerator[str, None]:
    """Yield each recording, or these columns of it, as a line of JSON."""
    async for recording in recordings:
        yield f"{format_json(recording, columns, name_of(recording))}\n"


async def table_lines(recordings: Recordings, table: Table[Recording], console: Console) -> AsyncGenerator[str, None]:
    """Yield each recording as a row of a table, the first one below the header."""
    header = [table.header()]
    async for recording in recordings:
        yield render_lines(console, *header, table.row(recording))
        header.clear()


async def grouped_lines(recordings: Recordings, table: Table[Recording], console: Console) -> AsyncGenerator[str, None]:
    """Yield each recording as a row of a table, with a heading above those of each room."""
    room_sid = None
    async for recording in recordings:
        if recording.room_sid != room_sid:
            if room_sid is not None:
                yield "\n"
            room_sid = recording.room_sid
            yield render_lines(console, room_heading(room_sid or "?"), table.header())
        yield render_lines(console, table.row(recording))


class IncompleteError(Exception):
    """Ends the writing of a file that would lack the recordings of some rooms."""


async def write_rows(table: TableWriter, recordings: Recordings, name_of: NameOf) -> None:
    """Write recordings to a table, in batches: disks are slow, and the event loop must not wait for them."""
    batch: list[Row] = []
    async for recording in recordings:
        batch.append(make_row(recording, name_of(recording)))
        if len(batch) >= _BATCH_SIZE:
            await run_in_thread(partial(table.write, batch))
            batch = []
    await run_in_thread(partial(table.write, batch))
