"""Manifest of an archive: a table of all recordings in its ledger, stored in the archive itself."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Collection
from contextlib import ExitStack
from functools import partial
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from roomrec_async._asyncio import call_destination, open_in_thread, run_in_thread
from roomrec_async._tables import Column, Row, TableFormat, TableWriter, open_table, recording_columns, recording_row
from roomrec_async.protocols import Destination

from .ledger import Entry

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


class EntrySource(Protocol):
    """What a manifest is made of: a ledger, or several."""

    def entries(self) -> AsyncGenerator[list[Entry], None]:
        """Yield all entries, in batches."""


async def write_manifest(
    ledger: EntrySource, destination: str | os.PathLike[str] | Destination, formats: Collection[TableFormat]
) -> tuple[str, ...]:
    """Write the manifest in each format, as ``manifest.jsonl`` and so on, and return their paths or URLs.

    An existing manifest is overwritten.
    """
    if isinstance(destination, (str, os.PathLike)):
        return tuple(map(str, await write_tables(ledger, Path(destination), formats)))

    # A store takes an object as a stream, and a table needs a file: it is written to a temporary one first.
    with TemporaryDirectory(prefix="roomrec-") as directory:
        paths = await write_tables(ledger, Path(directory), formats)
        for path in paths:
            await call_destination(destination.write(path.name, read_chunks(path)))
    return tuple(destination.location(path.name) for path in paths)


def manifest_paths(directory: Path, formats: Collection[TableFormat]) -> list[Path]:
    """Return the paths of the manifests in a directory."""
    return [directory / f"manifest.{table_format}" for table_format in formats]


async def write_tables(ledger: EntrySource, directory: Path, formats: Collection[TableFormat]) -> list[Path]:
    """Write all entries of a ledger, which is read once, to a table file in each format. Returns their paths."""
    paths = manifest_paths(directory, formats)
    columns = [*recording_columns(), *_LEDGER_COLUMNS]
    with ExitStack() as stack:

        def open_tables() -> list[TableWriter]:
            return [
                stack.enter_context(open_table(path, columns, table_format))
                for path, table_format in zip(paths, formats, strict=True)
            ]

        def write(entries: list[Entry]) -> None:
            rows = [manifest_row(entry) for entry in entries]
            for table in tables:
                table.write(rows)

        tables = await run_in_thread(open_tables)
        async for entries in ledger.entries():
            await run_in_thread(partial(write, entries))
        # Closing writes the rest, and syncs the files to disk.
        await run_in_thread(stack.pop_all().close)
    return paths


def manifest_row(entry: Entry) -> Row:
    """Return the row of an entry: the recording's fields, and the ledger's."""
    return {
        **recording_row(entry.recording),
        "state": entry.state.value,
        "location": entry.location,
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "etag": entry.etag,
        "archived_at": entry.archived_at,
        "deleted_at": entry.deleted_at,
        "error": entry.error,
        "unproven": entry.unproven,
    }


async def read_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes, read in threads."""
    with await open_in_thread(lambda: path.open("rb"), BufferedReader.close) as file:
        while chunk := await run_in_thread(partial(file.read, _READ_SIZE)):
            yield chunk
