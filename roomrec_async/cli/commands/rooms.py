"""``roomrec rooms``: list the rooms of the account, as a table, as JSON lines, or as SIDs for another command."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

import click
from rich.console import Console

from roomrec_async._api.codec import to_json_lines
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.names import ANY_STATUS, join_lists
from roomrec_async.cli.support.options import base_url_option, limit_options, window_options
from roomrec_async.cli.support.output import StdoutWriter
from roomrec_async.cli.support.resources import make_client
from roomrec_async.cli.support.signals import run_async
from roomrec_async.cli.support.tables import Table, render_lines
from roomrec_async.client import RecordingsClient
from roomrec_async.models import Room, RoomStatus

_EXAMPLES: Final = """\b
Examples:
  roomrec rooms --after 2026-03-01T00:00:00Z
  set -o pipefail; roomrec rooms --sids | roomrec list -
"""


@click.command("rooms", epilog=_EXAMPLES)
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
@click.option("--sids", is_flag=True, help="Only the SIDs, one per line.")
def list_rooms(
    status: str | None,
    name: str | None,
    after: datetime | None,
    before: datetime | None,
    limit: int | None,
    base_url: str,
    as_json: bool | None,
    sids: bool,
) -> int:
    """List the rooms of the account: those that have ended, unless --status asks for others, or --name for one.

    The credentials come from the environment, as for 'roomrec list'.
    """
    if sids and as_json is not None:
        raise click.UsageError("--sids cannot be used with --json or --table")
    if as_json is None:
        as_json = not sys.stdout.isatty()

    client = make_client(base_url)
    statuses: Sequence[RoomStatus] = (RoomStatus.COMPLETED,)
    if status is not None:
        statuses = (RoomStatus(status),)
    elif name is not None:
        statuses = ANY_STATUS
    # Arguments are checked here, and nothing is sent.
    lists = [
        client.rooms(status=each, unique_name=name, date_created_after=after, date_created_before=before, limit=limit)
        for each in statuses
    ]
    rooms = join_lists(lists, limit)
    format_room: Callable[[Room], str]
    if sids:
        format_room = format_sid
    elif as_json:
        format_room = format_json
    else:
        format_room = table_formatter()
    return run_async(print_rooms(client, rooms, format_room))


async def print_rooms(
    client: RecordingsClient, rooms: AsyncGenerator[Room, None], format_room: Callable[[Room], str]
) -> int:
    """Print the rooms, and return the exit code."""
    async with client, StdoutWriter() as output, aclosing(rooms) as records:
        async for room in records:
            await output.write(format_room(room))
    return ExitCode.SUCCESS


def format_sid(room: Room) -> str:
    """Return the SID of a room, as a line."""
    return f"{room.sid}\n"


def format_json(room: Room) -> str:
    """Return a room as a line of JSON."""
    return to_json_lines([room]).decode()


def table_formatter() -> Callable[[Room], str]:
    """Return a function that formats a room as a row of a table, the first one below the header."""
    console = Console(highlight=False)
    table = Table.for_rooms(console.width)
    header = [table.header()]

    def format_row(room: Room) -> str:
        lines = [*header, table.row(room)]
        header.clear()
        return render_lines(console, *lines)

    return format_row
