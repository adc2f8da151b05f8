"""``roomrec rooms``: the rooms of the account, as a table, as JSON lines, or as SIDs for another command."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Final

import click
from rich.console import Console

from roomrec_async._api.codec import to_dict
from roomrec_async._listing.pager import Pager
from roomrec_async.cli.support.options import base_url_option, client_from, window_options
from roomrec_async.cli.support.stdio import LineWriter
from roomrec_async.cli.support.tables import Table, rendered
from roomrec_async.client import RecordingsClient
from roomrec_async.models import Room, RoomStatus

_EXAMPLES: Final = """\b
Examples:
  roomrec rooms --after 2026-03-01T00:00:00Z
  roomrec rooms --sids | roomrec list -
"""


@click.command("rooms", epilog=_EXAMPLES, short_help="List the rooms of the account.")
@click.option(
    "--status",
    type=click.Choice([status.value for status in RoomStatus], case_sensitive=False),
    default=RoomStatus.COMPLETED.value,
    show_default=True,
    help="Only rooms with this status.",
)
@click.option("--name", metavar="NAME", help="Only rooms of this unique name.")
@window_options("rooms that were created")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many rooms.")
@base_url_option
@click.option(
    "--json/--table",
    "as_json",
    default=None,
    help="JSON, one room a line, or a table. By default a table on a terminal, JSON elsewhere.",
)
@click.option("--sids", is_flag=True, help="Only the SIDs, one a line.")
def list_rooms(
    status: str,
    name: str | None,
    after: datetime | None,
    before: datetime | None,
    limit: int | None,
    base_url: str,
    as_json: bool | None,
    sids: bool,
) -> int:
    """List the rooms of the account, those that are over unless asked otherwise.

    The credentials are those of the environment, as for 'roomrec list'.
    """
    if sids and as_json is not None:
        raise click.UsageError("--sids goes with neither --json nor --table")
    client = client_from(base_url)
    rooms = client.rooms(
        status=status, unique_name=name, date_created_after=after, date_created_before=before, limit=limit
    )
    if sids:
        return asyncio.run(_print(client, rooms, _sid_line))
    tabular = sys.stdout.isatty() if as_json is None else not as_json
    return asyncio.run(_print(client, rooms, _table_line() if tabular else _json_line))


async def _print(client: RecordingsClient, rooms: Pager[Room], line_of: Callable[[Room], str]) -> int:
    async with client, LineWriter() as output, aclosing(_each(rooms)) as each:
        async for room in each:
            await output.write(line_of(room))
    return 0


async def _each(rooms: Pager[Room]) -> AsyncGenerator[Room, None]:
    async with aclosing(aiter(rooms)) as each:
        async for room in each:
            yield room


def _sid_line(room: Room) -> str:
    return f"{room.sid}\n"


def _json_line(room: Room) -> str:
    return json.dumps(to_dict(room), separators=(",", ":")) + "\n"


def _table_line() -> Callable[[Room], str]:
    console = Console(highlight=False)
    table = Table.of_rooms(console.width)
    heading = [table.titles()]

    def line_of(room: Room) -> str:
        lines = [*heading, table.row(room)]
        heading.clear()
        return rendered(console, *lines)

    return line_of
