"""``roomrec rooms``: list the rooms of the account, as a table, as JSON lines, or as SIDs for another command."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from roomrec_async._asyncio import run_in_thread
from roomrec_async._format import format_count
from roomrec_async._tables import open_table, table_format
from roomrec_async._text import safe_text
from roomrec_async.cli.support.columns import SortKey, check_wide, column_options, columns_of, format_json, make_row
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.names import ANY_STATUS, join_lists
from roomrec_async.cli.support.options import LocalPath, base_url_option, limit_options, window_options
from roomrec_async.cli.support.output import StdoutWriter
from roomrec_async.cli.support.resources import make_client
from roomrec_async.cli.support.signals import run_async
from roomrec_async.cli.support.tables import Table, render_lines
from roomrec_async.client import RecordingsClient
from roomrec_async.models import Room, RoomStatus

# Rows that are written to a file at once, in a thread.
_BATCH_SIZE: Final = 1_000

_EXAMPLES: Final = """\b
Examples:
  roomrec rooms --after 7d
  roomrec rooms --sids > rooms.txt
  roomrec rooms --after 2026-01-01 -o rooms.csv \\
      --columns sid,unique_name,duration
"""


@click.command("rooms", cls=RoomrecCommand, epilog=_EXAMPLES)
@click.option(
    "--status",
    type=click.Choice([status.value for status in RoomStatus], case_sensitive=False),
    help="Only rooms with this status; by default 'completed', and any with --name.",
)
@click.option("--name", metavar="NAME", help="Only rooms with this unique name, which those that have ended can share.")
@window_options("rooms that were created")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Maximum number of rooms.")
@base_url_option
@limit_options
@click.option(
    "--json/--table",
    "as_json",
    default=None,
    help="JSON, one room per line, or a table. By default a table on a terminal, and JSON elsewhere.",
)
@column_options(Room)
@click.option(
    "-o",
    "--output",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Write to a file instead: .jsonl, .csv or .parquet.",
)
@click.option("--sids", is_flag=True, help="Only the SIDs, one per line.")
def list_rooms(
    status: str | None,
    name: str | None,
    after: datetime | None,
    before: datetime | None,
    limit: int | None,
    base_url: str,
    as_json: bool | None,
    columns: tuple[str, ...] | None,
    wide: bool,
    sort: SortKey | None,
    output: Path | None,
    sids: bool,
) -> int:
    """List the rooms of the account: those that have ended, unless --status asks for others, or --name for one.

    The credentials come from the environment, as for 'roomrec list'.
    """
    check_form(output, as_json, sids=sids, has_columns=columns is not None)
    if as_json is None:
        as_json = not sys.stdout.isatty()
    as_table = not (as_json or sids or output)
    check_wide(wide, columns, as_table=as_table)

    client = make_client(base_url)
    statuses: Sequence[RoomStatus] = (RoomStatus.COMPLETED,)
    if status is not None:
        statuses = (RoomStatus(status),)
    elif name is not None:
        statuses = ANY_STATUS
    # Arguments are checked here, and nothing is sent. The largest are not among the first that come.
    each_limit = limit if sort is None else None
    lists = [
        client.rooms(
            status=each, unique_name=name, date_created_after=after, date_created_before=before, limit=each_limit
        )
        for each in statuses
    ]
    rooms = join_lists(lists, each_limit)
    if sort is not None:
        rooms = take(sort.sort(rooms), limit)
    if output is not None:
        return run_async(write_rooms(client, rooms, output, columns))
    if as_table:
        return run_async(print_table(client, rooms, columns, wide=wide))
    if sids:
        return run_async(print_rooms(client, rooms, lambda room: f"{room.sid}\n"))
    return run_async(print_rooms(client, rooms, lambda room: f"{format_json(room, columns)}\n"))


def check_form(output: Path | None, as_json: bool | None, *, sids: bool, has_columns: bool) -> None:
    """Check that one form of output is asked for.

    Raises:
        UsageError: it is not.
        InvalidArgumentError: the file has no format.
        ConfigurationError: the format needs an extra that is not installed.
    """
    if sids and (as_json is not None or has_columns):
        raise click.UsageError("--sids cannot be used with --json, --table or --columns")
    if output is None:
        return
    if sids or as_json is not None:
        raise click.UsageError("--output cannot be used with --sids, --json or --table: its file extension says it")
    table_format(output)


async def print_rooms(
    client: RecordingsClient, rooms: AsyncGenerator[Room, None], format_room: Callable[[Room], str]
) -> int:
    """Print the rooms, and return the exit code."""
    async with client, StdoutWriter() as output, aclosing(rooms) as records:
        async for room in records:
            await output.write(format_room(room))
    return ExitCode.SUCCESS


async def print_table(
    client: RecordingsClient, rooms: AsyncGenerator[Room, None], columns: Sequence[str] | None, *, wide: bool
) -> int:
    """Print the rooms as a table, and return the exit code."""
    console = Console(highlight=False)
    table = Table.for_rooms(None if wide else console.width)
    if columns is not None:
        table = Table.for_fields(Room, columns)
    header = [table.header()]

    def format_row(room: Room) -> str:
        lines = [*header, table.row(room)]
        header.clear()
        return render_lines(console, *lines)

    await print_rooms(client, rooms, format_row)
    if table.left_out and not header:
        click.echo(f"{table.format_left_out()} (--wide shows all)", err=True)
    return ExitCode.SUCCESS


async def write_rooms(
    client: RecordingsClient, rooms: AsyncGenerator[Room, None], output: Path, names: Sequence[str] | None
) -> int:
    """Write the rooms to a file, and return the exit code."""
    columns = columns_of(Room)
    chosen = [columns[name] for name in names or columns]
    failures = Failures()
    count = 0
    with open_table(output, chosen, table_format(output)) as table:
        async with client, aclosing(rooms) as records:
            async for batch in batched(records):
                await run_in_thread(partial(table.write, [make_row(room) for room in batch]))
                count += len(batch)
    failures.print(f"{safe_text(str(output))}: {format_count(count, 'room')}")
    return ExitCode.SUCCESS


async def take(rooms: AsyncGenerator[Room, None], limit: int | None) -> AsyncGenerator[Room, None]:
    """Yield the first rooms, up to a limit."""
    count = 0
    async with aclosing(rooms):
        async for room in rooms:
            if count == limit:
                return
            count += 1
            yield room


async def batched(rooms: AsyncGenerator[Room, None]) -> AsyncGenerator[list[Room], None]:
    """Yield rooms in lists: disks are slow, and the event loop must not wait for them."""
    batch: list[Room] = []
    async for room in rooms:
        batch.append(room)
        if len(batch) >= _BATCH_SIZE:
            yield batch
            batch = []
    yield batch
