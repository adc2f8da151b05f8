"""Units of work, and their parts: each unit is one file or none, of a name that only this unit has."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import BinaryIO, Final, cast

import attrs

from roomrec_async._asyncio import run_in_thread
from roomrec_async._tables import (
    PARTICIPANT_COLUMN,
    ROOM_NAME_COLUMN,
    Column,
    Row,
    TableFormat,
    TableWriter,
    recording_columns,
    recording_row,
    write_table,
)
from roomrec_async._validate import canonical_sid
from roomrec_async.models import Recording, RecordingStatus

from .identities import Identities
from .state import SCHEMA_VERSION, Outcome, Part, Seen
from .store import ExportStore, file_digest

# Rows that are encoded by one call in a thread.
_ROWS_PER_WRITE: Final = 1_000
_METADATA: Final = {"roomrec.schema_version": str(SCHEMA_VERSION)}


def export_columns(*, identities: bool) -> list[Column]:
    """Return the columns of an export: those of a recording, the SID of its participant, and the name of its room.

    Args:
        identities: True for another column, with the identity of the participant.
    """
    columns = [*recording_columns(), PARTICIPANT_COLUMN, ROOM_NAME_COLUMN]
    if identities:
        columns.append(Column("participant_identity", "text", untrusted=True))
    return columns


def export_row(recording: Recording, room_names: Mapping[str, str | None], identities: Mapping[str, str] | None) -> Row:
    """Return a recording as a row of an export.

    Args:
        recording: the recording.
        room_names: the names of rooms, as far as they are known, by SID.
        identities: the identities of participants, as far as they are known, by SID; None for no such column.
    """
    name = room_names.get(canonical_sid(recording.room_sid or ""))
    row = {**recording_row(recording), "participant_sid": recording.participant_sid, "room_name": name}
    if identities is not None:
        row["participant_identity"] = identities.get(recording.participant_sid or "")
    return row


@attrs.frozen
class Selection:
    """Chooses the recordings that a unit writes, each once.

    Attributes:
        outcome: gets the recordings that the next run has to know.
        known: SIDs of recordings that earlier runs wrote, or look at in another unit.
        recent_after: recordings from this instant on are kept in the outcome; None for none.
        keep_pending: True to leave recordings that are still processing for the next run.
        room_names: the names of rooms, as far as they are known, by SID.
    """

    outcome: Outcome
    known: Collection[str] = frozenset()
    recent_after: datetime | None = None
    keep_pending: bool = True
    room_names: Mapping[str, str | None] = attrs.field(factory=dict)
    _taken: set[str] = attrs.field(factory=set)

    def choose(self, recordings: list[Recording]) -> list[Recording]:
        """Return the recordings to write."""
        return [recording for recording in recordings if self._is_chosen(recording)]

    def _is_chosen(self, recording: Recording) -> bool:
        sid = recording.sid
        if sid is None:
            return True
        # A list that grows while it is read can have a recording on two pages.
        if sid in self.known or sid in self._taken:
            return False
        self._taken.add(sid)
        if not self.keep_pending:
            return True

        seen = Seen(sid, recording.room_sid, recording.date_created)
        if recording.status is RecordingStatus.PROCESSING:
            self.outcome.pending.append(seen)
            return False
        if recording.status is RecordingStatus.DELETED:
            return False
        if self.recent_after is None or seen.created is None or seen.created >= self.recent_after:
            self.outcome.recent.append(seen)
        return True


async def write_part(
    store: ExportStore,
    name: str,
    file_format: TableFormat,
    recordings: AsyncGenerator[list[Recording], None],
    selection: Selection,
    identities: Identities | None,
) -> Outcome:
    """Write the part of a unit, and return the outcome. Where there is nothing to write, there is no part.

    The part appears when it is complete. An earlier one of this name, which a process wrote that was killed before it
    could say so, is replaced.

    Raises:
        UnfinishedError: some rooms could not be listed, or their participants.
    """
    columns = export_columns(identities=identities is not None)
    replace_part = await store.prepare_part(name)
    # Nameless: a process that is killed leaves nothing behind.
    with tempfile.TemporaryFile() as temporary:
        # It has another type on Windows.
        file = cast("BinaryIO", temporary)
        with write_table(file, columns, file_format, _METADATA) as table:
            count = await write_rows(table, recordings, selection, identities)

        if count or await store.exists(name):
            await run_in_thread(file.flush)
            size, digest = await run_in_thread(partial(file_digest, file))
            await replace_part(file)
            selection.outcome.parts.append(Part(name, count, size, digest))
    return selection.outcome


async def write_rows(
    table: TableWriter,
    recordings: AsyncGenerator[list[Recording], None],
    selection: Selection,
    identities: Identities | None,
) -> int:
    """Write the recordings that are chosen to a table, and return their number."""
    count = 0
    chosen: list[Recording] = []

    async def flush() -> None:
        nonlocal count
        known = None if identities is None else await identities.find(chosen)
        rows = [export_row(recording, selection.room_names, known) for recording in chosen]
        await run_in_thread(partial(table.write, rows))
        count += len(chosen)
        chosen.clear()

    async with aclosing(recordings):
        async for batch in recordings:
            chosen += selection.choose(batch)
            if len(chosen) >= _ROWS_PER_WRITE:
                await flush()
    await flush()
    return count
