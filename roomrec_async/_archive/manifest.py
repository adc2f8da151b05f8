"""Manifest of an archive: a table of all recordings in its ledger, stored in the archive itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from roomrec_async._api.codec import to_dict
from roomrec_async._asyncio import call_destination, run_in_thread
from roomrec_async._tables import Column, Row, TableFormat, open_table, recording_columns
from roomrec_async.protocols import Destination

from .ledger import Entry, Ledger

# Written after the columns of the recordings.
_LEDGER_COLUMNS: Final = (
    Column("state", "text"),
    Column("location", "text"),
    Column("bytes", "integer"),
    Column("sha256", "text"),
    Column("etag", "text"),
    Column("archived_at", "instant"),
    Column("deleted_at", "instant"),
    Column("error", "text"),
    Column("unproven", "text"),
)
# Bytes read at once.
_READ_SIZE: Final = 2**20


async def write_manifest(
    ledger: Ledger, destination: str | os.PathLike[str] | Destination, formats: Collection[TableFormat]
) -> tuple[str, ...]:
    """Write the manifest in each format, as ``manifest.jsonl`` and so on, and return their paths or URLs."""
    return tuple([await write_format(ledger, destination, table_format) for table_format in formats])


async def write_format(
    ledger: Ledger, destination: str | os.PathLike[str] | Destination, table_format: TableFormat
) -> str:
    """Write the manifest in one format, and return its path or URL. An existing manifest is overwritten."""
    name = f"manifest.{table_format}"
    if isinstance(destination, (str, os.PathLike)):
        path = Path(destination) / name
        await write_table(ledger, path, table_format)
        return str(path)

    # A store takes an object as a stream, and a table needs a file: it is written to a temporary one first.
    with TemporaryDirectory(prefix="roomrec-") as directory:
        path = Path(directory) / name
        await write_table(ledger, path, table_format)
        await call_destination(destination.write(name, read_chunks(path)))
    return destination.location(name)


async def write_table(ledger: Ledger, path: Path, table_format: TableFormat) -> None:
    """Write all entries of a ledger to a table file."""
    with open_table(path, [*recording_columns(), *_LEDGER_COLUMNS], table_format) as table:
        async for entries in ledger.entries():
            await run_in_thread(partial(table.write, [manifest_row(entry) for entry in entries]))


def manifest_row(entry: Entry) -> Row:
    """Return the row of an entry: the recording's fields, and the ledger's."""
    return {
        **to_dict(entry.recording),
        "state": entry.state.value,
        "location": entry.location,
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "etag": entry.etag,
        "archived_at": entry.archived_at and entry.archived_at.isoformat(),
        "deleted_at": entry.deleted_at and entry.deleted_at.isoformat(),
        "error": entry.error,
        "unproven": entry.unproven,
    }


async def read_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes, read in threads."""
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, _READ_SIZE):
            yield chunk
