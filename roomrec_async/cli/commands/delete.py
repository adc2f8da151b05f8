"""``roomrec delete``: delete recordings for good; without ``--yes``, only show which."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from datetime import datetime
from typing import Final

import attrs
import click
from rich.console import Console

from roomrec_async._asyncio import map_concurrently
from roomrec_async._format import format_count, format_size
from roomrec_async._media.delete import foreign_account
from roomrec_async._text import safe_text
from roomrec_async._validate import canonical_sid
from roomrec_async.cli.support.columns import format_json
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.options import (
    account_sid_option,
    allow_empty_option,
    base_url_option,
    files_option,
    limit_options,
    rooms_argument,
    window_options,
)
from roomrec_async.cli.support.output import LineWriter
from roomrec_async.cli.support.progress import show_progress
from roomrec_async.cli.support.resources import check_options, make_client, make_sources, open_rooms
from roomrec_async.cli.support.signals import run_async
from roomrec_async.cli.support.tables import Table
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.credentials import Credentials
from roomrec_async.errors import RoomRecError, VerificationError
from roomrec_async.models import Recording, RecordingStatus

# Twice the published quota of 20 writes per second: enough to use it up even if each takes two seconds.
_MAX_CONCURRENT: Final = 40

# Characters of a value of the service that a message quotes.
_MAX_QUOTE_LENGTH: Final = 40

_STATUSES: Final = [status.value for status in RecordingStatus if status is not RecordingStatus.DELETED]

_EXAMPLES: Final = """\b
Examples:
  roomrec delete RM2cfaa189a9cc4a80b935caff592db30c
  roomrec delete --from-file rooms.txt --before 2026-01-01T00:00:00Z --yes
"""


@click.command("delete", cls=RoomrecCommand, epilog=_EXAMPLES)
@rooms_argument
@files_option
@allow_empty_option
@click.option(
    "--status",
    type=click.Choice(_STATUSES, case_sensitive=False),
    default=RecordingStatus.COMPLETED.value,
    show_default=True,
    help="Only recordings with this status.",
)
@window_options("recordings that started")
@account_sid_option
@base_url_option
@limit_options
@click.option("--yes", is_flag=True, help="Really delete. Without this, nothing is deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print the recordings as JSON, one per line.")
def delete(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    allow_empty: bool,
    status: str,
    after: datetime | None,
    before: datetime | None,
    account_sid: str | None,
    base_url: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete the recordings of rooms. Their media are lost for good; the service keeps the metadata for 30 days.

    Without --yes, only show what would be deleted. With it, print the SID of each deleted recording. It is safe to
    run this again: recordings that are already gone are skipped. To keep a copy, see 'roomrec archive'.

    ROOM is a room SID or a unique name; - reads rooms from standard input, as from a file. The credentials come from
    the environment, as for 'roomrec list'.
    """
    sources = make_sources(rooms, files, allow_empty=allow_empty)
    options = RoomOptions(status=status, date_created_after=after, date_created_before=before)
    job = DeleteRun(
        sources, Selection(RecordingStatus(status), after, before), account_sid, dry_run=not yes, as_json=as_json
    )
    return run_async(job.run(make_client(base_url), options))


@attrs.frozen
class Selection:
    """What may be deleted of what the lists have: a gateway may drop their filters, or answer with another list.

    Attributes:
        status: the status that recordings must have.
        after: when they must have started, at the earliest; None for no bound.
        before: the time before which they must have started; None for no bound.
    """

    status: RecordingStatus
    after: datetime | None
    before: datetime | None
    _room_sids: set[str] = attrs.field(factory=set)

    async def add_rooms(self, room_sids: AsyncIterable[str]) -> AsyncGenerator[str, None]:
        """Yield the SIDs of rooms, whose recordings may be deleted from then on."""
        async for room_sid in room_sids:
            self._room_sids.add(canonical_sid(room_sid))
            yield room_sid

    def includes(self, recording: Recording) -> bool:
        """Return True if a recording was asked for.

        Raises:
            VerificationError: that is not certain, or the recording is of a room that was not named.
        """
        if recording.room_sid is not None and canonical_sid(recording.room_sid) not in self._room_sids:
            room_sid = safe_text(recording.room_sid, _MAX_QUOTE_LENGTH)
            raise VerificationError(f"it is not deleted: it says that it is of {room_sid}, which was not named")
        if recording.status != self.status:
            status = safe_text(recording.status or "of unknown status", _MAX_QUOTE_LENGTH)
            raise VerificationError(f"it is not deleted: it is not {self.status}, but {status}")
        return self._is_in_window(recording.date_created)

    def _is_in_window(self, created: datetime | None) -> bool:
        if self.after is None and self.before is None:
            return True
        if created is None:
            raise VerificationError("it is not deleted: it has no date, and may lie outside the window")
        return (self.after is None or self.after <= created) and (self.before is None or created < self.before)


@attrs.define
class DeleteRun:
    """One run of the command.

    Attributes:
        sources: the rooms.
        selection: chooses the recordings.
        account_sid: the account whose recordings may be deleted; None for that of the credentials.
        dry_run: True to only show the recordings.
        as_json: True to print the recordings as JSON.
        failures: the rooms and recordings that failed.
        recordings: number of recordings shown or deleted.
        bytes: their total size.
        already_gone: how many of them something else had deleted in the meantime.
        of_other_accounts: number of recordings that would not be deleted.
    """

    sources: RoomSources
    selection: Selection
    account_sid: str | None
    dry_run: bool
    as_json: bool
    failures: Failures = attrs.field(factory=Failures)
    recordings: int = 0
    bytes: int = 0
    already_gone: int = 0
    of_other_accounts: int = 0

    async def run(self, client: RecordingsClient, options: RoomOptions) -> int:
        """Show or delete all recordings, and return the exit code."""
        check_options(client, options)
        async with (
            client,
            open_rooms(self.sources, client, self.failures) as room_sids,
            aclosing(self.selection.add_rooms(room_sids)) as named,
            aclosing(client.stream(named, on_error=self.failures.add_room, **options)) as listed,
            aclosing(self._select(listed)) as recordings,
            LineWriter(self.failures.console) as output,
        ):
            if self.dry_run:
                await self._show_all(recordings, output)
            else:
                await self._delete_all(client, recordings, output)

        self.failures.print(self._format_summary())
        return self.failures.exit_code

    async def _select(self, recordings: AsyncGenerator[Recording, None]) -> AsyncGenerator[Recording, None]:
        """Yield the recordings that were asked for. Those of which that is not certain are failures."""
        async for recording in recordings:
            try:
                is_selected = self.selection.includes(recording)
            except VerificationError as error:
                self.failures.add(recording.sid, error)
                continue
            if is_selected:
                yield recording

    async def _show_all(self, recordings: AsyncGenerator[Recording, None], output: LineWriter) -> None:
        console = Console(highlight=False)
        table = Table.for_recordings(console.width)
        account_sid = self.account_sid or Credentials.from_env().account_sid
        async for recording in recordings:
            if foreign_account(recording, account_sid) is not None:
                self.of_other_accounts += 1
                continue
            self._count(recording)
            await output.write(format_json(recording) if self.as_json else table.row(recording).plain)
        if self.recordings and table.left_out and not self.as_json:
            self.failures.print(table.format_left_out())

    async def _delete_all(
        self, client: RecordingsClient, recordings: AsyncGenerator[Recording, None], output: LineWriter
    ) -> None:
        async def delete_one(recording: Recording) -> AsyncGenerator[Recording, None]:
            try:
                existed = await client.delete(recording, account_sid=self.account_sid)
            except RoomRecError as error:
                # It is not yielded, so it is neither counted nor printed.
                self.failures.add(recording.sid, error)
            else:
                self.already_gone += not existed
                yield recording

        with show_progress(self.failures.console, lambda _: self._format_summary()):
            async with aclosing(map_concurrently(recordings, delete_one, lambda: _MAX_CONCURRENT)) as deleted:
                async for recording in deleted:
                    self._count(recording)
                    await output.write(format_json(recording) if self.as_json else safe_text(recording.sid or ""))

    def _count(self, recording: Recording) -> None:
        self.recordings += 1
        self.bytes += recording.size or 0

    def _format_summary(self) -> str:
        amount = f"{format_count(self.recordings, 'recording')}, {format_size(self.bytes)}"
        failed = self.failures.format_suffix()
        if self.dry_run:
            kept = f"; {self.of_other_accounts:,} more belong to another account" if self.of_other_accounts else ""
            return f"nothing was deleted: --yes would delete {amount}{kept}{failed}"
        gone = f" ({self.already_gone:,} already gone)" if self.already_gone else ""
        return f"{amount} deleted{gone}{failed}"
