"""``roomrec delete``: recordings that are to be gone for good. Without ``--yes`` it only says which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final

import attrs
import click
from rich.console import Console

from roomrec_async._asyncio import map_concurrently
from roomrec_async._text import safe_text
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.options import base_url_option, client_from, files_option, rooms_argument, window_options
from roomrec_async.cli.support.output import Lines
from roomrec_async.cli.support.tables import Table, counted, progress_shown, size_told
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.errors import RoomRecError
from roomrec_async.models import Recording, RecordingStatus

_AT_ONCE: Final = 40
_EXAMPLES: Final = """\b
Examples:
  roomrec delete RM0123456789abcdef0123456789abcdef
  roomrec delete --from-file rooms.txt --before 2026-01-01T00:00:00Z --yes
"""


@click.command("delete", epilog=_EXAMPLES, short_help="Delete the recordings of rooms, for good.")
@rooms_argument
@files_option
@click.option(
    "--status",
    type=click.Choice(
        [status.value for status in RecordingStatus if status is not RecordingStatus.DELETED], case_sensitive=False
    ),
    default=RecordingStatus.COMPLETED.value,
    show_default=True,
    help="Only recordings with this status.",
)
@window_options("recordings that started")
@base_url_option
@click.option("--yes", is_flag=True, help="Do it. Without this, nothing is deleted.")
def delete(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    status: str,
    after: datetime | None,
    before: datetime | None,
    base_url: str,
    yes: bool,
) -> int:
    """Delete the recordings of rooms. Their media are gone for good; the service keeps the metadata for 30 days.

    Without --yes, it only shows what it would delete. With it, one line is printed for each: its SID. To run it again
    is safe: what is gone already is passed over. See 'roomrec archive' for copying first.

    ROOM is a room SID; - stands for room SIDs on standard input, one a line. The credentials are those of the
    environment, as for 'roomrec list'.
    """
    if not rooms and not files:
        raise click.UsageError("no room: give room SIDs, --from-file FILE, or - for standard input")
    options = RoomOptions(status=status, date_created_after=after, date_created_before=before)
    return asyncio.run(_Deleting(RoomSources(rooms, files), yes).run(client_from(base_url), options))


@attrs.define
class _Deleting:
    """One run of the command, and what has been counted."""

    sources: RoomSources
    in_earnest: bool
    failures: Failures = attrs.field(factory=Failures)
    recordings: int = 0
    bytes: int = 0
    gone: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """Show or delete everything. The result is the exit code."""
        async with (
            client,
            aclosing(self.sources.sids(self.failures.of_line)) as room_sids,
            aclosing(client.stream(room_sids, on_error=self.failures.of_room, **options)) as recordings,
            Lines(self.failures.console) as output,
        ):
            await (self._delete(client, recordings, output) if self.in_earnest else self._show(recordings, output))
        self.failures.say(self._told(0.0))
        return self.failures.exit_code

    async def _show(self, recordings: AsyncGenerator[Recording, None], output: Lines) -> None:
        console = Console(highlight=False)
        table = Table.of_recordings(console.width)
        async for recording in recordings:
            self._count(recording)
            await output.write(table.row(recording).plain)

    async def _delete(
        self, client: RecordingsClient, recordings: AsyncGenerator[Recording, None], output: Lines
    ) -> None:
        async def delete_one(recording: Recording) -> AsyncGenerator[Recording, None]:
            try:
                was_there = await client.delete(recording.room_sid or "", recording.sid or "")
            except RoomRecError as error:
                self.failures.of(recording.sid, error)
            else:
                self.gone += not was_there
                yield recording

        deleted = map_concurrently(recordings, delete_one, lambda: _AT_ONCE)
        with progress_shown(self.failures.console, self._told):
            async with aclosing(deleted):
                async for recording in deleted:
                    self._count(recording)
                    await output.write(safe_text(recording.sid or ""))

    def _count(self, recording: Recording) -> None:
        self.recordings += 1
        self.bytes += recording.size or 0

    def _told(self, _: float) -> str:
        told = f"{counted(self.recordings, 'recording')}, {size_told(self.bytes)}"
        if not self.in_earnest:
            return f"nothing was deleted: --yes would delete {told}{self.failures.told}"
        gone = f" ({self.gone:,} gone already)" if self.gone else ""
        return f"{told} deleted{gone}{self.failures.told}"
