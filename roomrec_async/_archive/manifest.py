"""The manifest of an archive: every recording in its ledger, as a table in the archive itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from roomrec_async._api.codec import to_dict
from roomrec_async._asyncio import run_in_thread
from roomrec_async._tables import Column, Row, TableFormat, open_table, recording_columns
from roomrec_async.protocols import Destination

from .ledger import Entry, Ledger

_OWN_COLUMNS: Final = (
    Column("state", "text"),
    Column("location", "text"),
    Column("bytes", "integer"),
    Column("sha256", "text"),
    Column("etag", "text"),
    Column("archived_at", "instant"),
    Column("deleted_at", "instant"),
    Column("error", "text"),
)
_PIECE: Final = 2**20


async def write_manifest(
    ledger: Ledger, destination: str | os.PathLike[str] | Destination, formats: Collection[TableFormat]
) -> tuple[str, ...]:
    """Write the manifest in these formats: ``manifest.jsonl`` and so on. The result is where they are."""
    return tuple([await _write_one(ledger, destination, each) for each in formats])


async def _write_one(
    ledger: Ledger,
    destination: str | os.PathLike[str] | Destination,
    format: TableFormat,  # noqa: A002
) -> str:
    name = f"manifest.{format}"
    if isinstance(destination, (str, os.PathLike)):
        path = Path(destination) / name
        await _write_table(ledger, path, format)
        return str(path)
    with TemporaryDirectory(prefix="roomrec-") as directory:
        path = Path(directory) / name
        await _write_table(ledger, path, format)
        await destination.write(name, _pieces(path))
    return destination.location(name)


async def _write_table(ledger: Ledger, path: Path, format: TableFormat) -> None:  # noqa: A002
    with open_table(path, [*recording_columns(), *_OWN_COLUMNS], format) as table:
        async for entries in ledger.entries():
            await run_in_thread(partial(table.write, [_row(entry) for entry in entries]))


def _row(entry: Entry) -> Row:
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
    }


async def _pieces(path: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
