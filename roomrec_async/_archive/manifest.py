"""Manifest of an archive: a table of all recordings in its ledger, stored in the archive itself, in parts if large."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import ExitStack, aclosing
from functools import partial
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from roomrec_async._asyncio import call_destination, open_in_thread, run_in_thread
from roomrec_async._files import check_replaceable, file_size, make_directory, sync_directory
from roomrec_async._tables import Column, Row, TableFormat, TableWriter, open_table, recording_columns, recording_row
from roomrec_async.errors import ConfigurationError, MediaError
from roomrec_async.protocols import Destination

from .ledger import Entry, Ledger, WrittenFile
from .parts import can_hold_parts, is_part, part_paths
from .tracking import PART_SIZE

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
# Version of an object without any bytes.
_EMPTY: Final = "0"


class LedgerSource(Protocol):
    """What a manifest is made of: a ledger, or several."""

    def ledgers(self) -> AsyncGenerator[tuple[str, Ledger], None]:
        """Yield each ledger, open until the next one, and what the names of its parts begin with."""


async def write_manifest(
    source: LedgerSource, destination: str | os.PathLike[str] | Destination, formats: Collection[TableFormat]
) -> tuple[str, ...]:
    """Write the manifest in each format, as far as it has changed, and return its paths or URLs.

    A manifest of at most 1,000 recordings is a file, ``manifest.jsonl`` and so on. A larger one is a directory of that
    name, with parts of at most 1,000 recordings: ``manifest.jsonl/part-000000.jsonl`` and so on. Only parts with rows
    that are new or have changed are written. A store that cannot list and delete its objects gets one object.
    """
    files = manifest_files(destination)
    if formats:
        writer = _ManifestWriter(source, files, formats)
        if files.hold_parts and await writer.is_large():
            await writer.write_parts()
        else:
            await writer.write_single()
    return tuple(files.location(manifest_name(table_format)) for table_format in formats)


def delete_parts(directory: Path) -> None:
    """Delete a directory of parts, if there is one, but nothing that is none."""
    # A run that was killed may have left a part that it was writing.
    unfinished = directory.glob(".part-*.part") if directory.is_dir() else ()
    for path in (*part_paths(directory), *unfinished):
        path.unlink()
    if directory.is_dir():
        directory.rmdir()


def hidden_folder(name: str) -> str:
    """Return the folder in which a manifest becomes one of parts, before the file of its name is replaced."""
    return f".{name}.parts"


def file_version(path: Path) -> str | None:
    """Return what identifies a file, which another one in its place does not have; None if there is no file."""
    size = file_size(path)
    return None if size is None else f"{size} {path.stat().st_mtime_ns}"


def part_versions(directory: Path) -> dict[str, str]:
    """Return the versions of the parts of a manifest in a directory, by their names and its own."""
    return {f"{directory.name}/{path.name}": file_version(path) or "" for path in part_paths(directory)}


def manifest_name(table_format: TableFormat) -> str:
    """Return the name of the manifest in a format: that of a file, or of a directory of parts."""
    return f"manifest.{table_format}"


def check_manifest(path: Path) -> None:
    """Check that a manifest may be written to a path: that there is nothing else than a file, or than parts.

    Raises:
        InvalidArgumentError: there is.
    """
    is_empty = path.is_dir() and not any(path.iterdir())
    if not is_empty and not part_paths(path):
        check_replaceable(path)


async def check_has_no_manifest(
    destination: str | os.PathLike[str] | Destination, formats: Collection[TableFormat]
) -> None:
    """Check that no manifest would be replaced by that of a new archive.

    It may be all that is known of recordings that were deleted at the source.

    Raises:
        ConfigurationError: there is a manifest, of an archive whose ledger is elsewhere.
    """
    files = manifest_files(destination)
    for name in map(manifest_name, formats):
        if await files.version(name) is not None or await files.parts(name):
            raise ConfigurationError(
                f"{files.location(name)} is the manifest of an archive whose ledger is elsewhere: name it (--ledger "
                "FILE on the command line), move the manifest away, or archive to another destination"
            )


def manifest_paths(directory: Path, formats: Collection[TableFormat]) -> list[Path]:
    """Return the paths of the manifests in a directory."""
    return [directory / manifest_name(table_format) for table_format in formats]


class ManifestFiles(Protocol):
    """The files of a manifest, in a directory or in a store."""

    @property
    def hold_parts(self) -> bool:
        """True if a manifest can be in parts."""

    def location(self, name: str) -> str:
        """Return the path or URL of a file."""

    async def version(self, name: str) -> str | None:
        """Return the version of a file, or None if there is none."""

    async def parts(self, name: str) -> dict[str, str]:
        """Return the versions of the parts of a manifest, by name."""

    async def delete(self, name: str) -> None:
        """Delete a part."""

    async def delete_parts(self, name: str) -> None:
        """Delete the parts of a manifest that becomes a file."""

    async def write(
        self, entries: AsyncGenerator[list[Entry], None], files: Mapping[str, TableFormat]
    ) -> dict[str, str]:
        """Write entries, which are read once, to a file in each format. Returns the versions of the files by name."""

    async def start_parts(self, name: str) -> str:
        """Return the folder to write the first parts of a manifest to."""

    async def finish_parts(self, name: str) -> None:
        """Let the parts in that folder become the manifest. It replaces a file."""


def manifest_files(destination: str | os.PathLike[str] | Destination) -> ManifestFiles:
    """Return the files of the manifest of an archive."""
    if isinstance(destination, (str, os.PathLike)):
        return _DirectoryFiles(Path(destination))
    return _StoreFiles(destination)


class _DirectoryFiles:
    """A manifest in a directory."""

    hold_parts = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def location(self, name: str) -> str:
        return str(self._directory / name)

    async def version(self, name: str) -> str | None:
        return await run_in_thread(partial(file_version, self._directory / name))

    async def parts(self, name: str) -> dict[str, str]:
        return await run_in_thread(partial(part_versions, self._directory / name))

    async def delete(self, name: str) -> None:
        await run_in_thread((self._directory / name).unlink)

    async def delete_parts(self, name: str) -> None:
        await run_in_thread(partial(delete_parts, self._directory / name))

    async def write(
        self, entries: AsyncGenerator[list[Entry], None], files: Mapping[str, TableFormat]
    ) -> dict[str, str]:
        paths = {self._directory / name: table_format for name, table_format in files.items()}
        for path in paths:
            await run_in_thread(partial(make_directory, path.parent))
        await write_tables(entries, paths)
        return {name: await self.version(name) or "" for name in files}

    async def start_parts(self, name: str) -> str:
        folder = hidden_folder(name)
        # A run that was killed may have left some.
        await run_in_thread(partial(shutil.rmtree, self._directory / folder, ignore_errors=True))
        return folder

    async def finish_parts(self, name: str) -> None:
        await run_in_thread(partial(self._finish_parts, self._directory / hidden_folder(name), self._directory / name))

    def _finish_parts(self, folder: Path, path: Path) -> None:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        folder.rename(path)
        sync_directory(self._directory)


class _StoreFiles:
    """A manifest in a store."""

    def __init__(self, store: Destination) -> None:
        self._store = store

    @property
    def hold_parts(self) -> bool:
        return can_hold_parts(self._store)

    def location(self, name: str) -> str:
        return self._store.location(name)

    async def version(self, name: str) -> str | None:
        size = await call_destination(self._store.size(name))
        return None if size is None else str(size)

    async def parts(self, name: str) -> dict[str, str]:
        return await call_destination(self._list_parts(name))

    async def _list_parts(self, name: str) -> dict[str, str]:
        if not can_hold_parts(self._store):
            return {}
        return {found: str(size) async for found, size in self._store.sizes(f"{name}/") if is_part(found)}

    async def delete(self, name: str) -> None:
        if can_hold_parts(self._store):
            await call_destination(self._store.delete(name))

    async def delete_parts(self, name: str) -> None:
        for part in await self.parts(name):
            await self.delete(part)

    async def write(
        self, entries: AsyncGenerator[list[Entry], None], files: Mapping[str, TableFormat]
    ) -> dict[str, str]:
        # A store takes an object as a stream, and a table needs a file: it is written to a temporary one first.
        with TemporaryDirectory(prefix="roomrec-") as directory:
            paths = {Path(directory) / Path(name).name: table_format for name, table_format in files.items()}
            sizes = await write_tables(entries, paths)
            for name, path in zip(files, paths, strict=True):
                await call_destination(self._store.write(name, read_chunks(path)))
            return {name: str(size) for name, size in zip(files, sizes, strict=True)}

    async def start_parts(self, name: str) -> str:
        # An object may have the name of a folder.
        return name

    async def finish_parts(self, name: str) -> None:
        version = await self.version(name)
        if version is None:
            return
        try:
            await self.delete(name)
        except MediaError:
            # Those who may write need not be allowed to delete. An empty object does not say what is no longer true.
            if version != _EMPTY:
                await call_destination(self._store.write(name, no_chunks()))


class _ManifestWriter:
    """Writes the manifest of one or several ledgers, as far as it has changed since the ledgers say it was written."""

    def __init__(self, source: LedgerSource, files: ManifestFiles, formats: Collection[TableFormat]) -> None:
        self._source = source
        self._files = files
        self._formats = formats

    async def is_large(self) -> bool:
        """Return True if the manifest has more rows than a file."""
        rows = 0
        async with aclosing(self._source.ledgers()) as ledgers:
            async for _, ledger in ledgers:
                rows += sum(count.recordings for count in (await ledger.counts()).values())
                if rows > PART_SIZE:
                    return True
        return False

    async def write_single(self) -> None:
        """Write a file in each format."""
        stale: dict[str, TableFormat] = {}
        for table_format in self._formats:
            if await self._is_stale(manifest_name(table_format)):
                stale[manifest_name(table_format)] = table_format
        if not stale:
            return

        # Parts are those of a larger archive, whose ledger was lost.
        for name in stale:
            await self._files.delete_parts(name)
        revisions = await self._revisions()
        versions = await self._files.write(self._entries(), stale)
        async with aclosing(self._source.ledgers()) as ledgers:
            async for prefix, ledger in ledgers:
                for name, version in versions.items():
                    await ledger.mark_written(name, WrittenFile(revisions[prefix], version))

    async def _is_stale(self, name: str) -> bool:
        """Return True if a file is missing, or not what all ledgers say it is."""
        version = await self._files.version(name)
        if version is None:
            return True
        async with aclosing(self._source.ledgers()) as ledgers:
            async for _, ledger in ledgers:
                current = WrittenFile(await total_revision(ledger), version)
                if (await ledger.written_files()).get(name) != current:
                    return True
        return False

    async def _revisions(self) -> dict[str, int]:
        async with aclosing(self._source.ledgers()) as ledgers:
            return {prefix: await total_revision(ledger) async for prefix, ledger in ledgers}

    async def _entries(self) -> AsyncGenerator[list[Entry], None]:
        async with aclosing(self._source.ledgers()) as ledgers:
            async for _, ledger in ledgers:
                async with aclosing(ledger.entries()) as batches:
                    async for batch in batches:
                        yield batch

    async def write_parts(self) -> None:
        """Write the parts that are missing or have changed, in each format, and delete what is no part of it."""
        folders: dict[TableFormat, str] = {}
        found: dict[str, str] = {}
        started: list[str] = []
        for table_format in self._formats:
            name = manifest_name(table_format)
            parts = await self._files.parts(name)
            # Of a file, or of nothing, the first parts become a manifest when all are there.
            if not parts or await self._files.version(name) is not None:
                started.append(name)
            folders[table_format] = await self._files.start_parts(name) if name in started else name
            found |= parts

        async with aclosing(self._source.ledgers()) as ledgers:
            async for prefix, ledger in ledgers:
                for name in await self._write_parts_of(prefix, ledger, folders, found):
                    found.pop(name, None)
        for name in started:
            await self._files.finish_parts(name)
        for name in found:
            await self._files.delete(name)

    async def _write_parts_of(
        self, prefix: str, ledger: Ledger, folders: Mapping[TableFormat, str], found: Mapping[str, str]
    ) -> set[str]:
        """Write the parts of one ledger that are not among those found, as they should be. Returns all its names."""
        written = await ledger.written_files()
        names: set[str] = set()
        for part, revision in (await ledger.part_revisions()).items():
            stale: dict[str, TableFormat] = {}
            for table_format, folder in folders.items():
                file_name = f"part-{prefix}{part:06d}.{table_format}"
                name = f"{manifest_name(table_format)}/{file_name}"
                names.add(name)
                if name not in found or written.get(name) != WrittenFile(revision, found[name]):
                    stale[f"{folder}/{file_name}"] = table_format
            if not stale:
                continue
            for path, version in (await self._files.write(ledger.entries(part), stale)).items():
                name = f"{manifest_name(stale[path])}/{path.rpartition('/')[2]}"
                await ledger.mark_written(name, WrittenFile(revision, version))
        return names


async def total_revision(ledger: Ledger) -> int:
    """Return the revision of all rows of a ledger, which grows whenever one of them changes."""
    return sum((await ledger.part_revisions()).values())


async def write_tables(entries: AsyncGenerator[list[Entry], None], files: Mapping[Path, TableFormat]) -> list[int]:
    """Write entries to a table file in each format. Returns the sizes of the files, which are on the disk then."""
    columns = [*recording_columns(), *_LEDGER_COLUMNS]
    with ExitStack() as stack:

        def open_tables() -> list[TableWriter]:
            return [stack.enter_context(open_table(path, columns, kind)) for path, kind in files.items()]

        def write(batch: list[Entry]) -> None:
            rows = [manifest_row(entry) for entry in batch]
            for table in tables:
                table.write(rows)

        def close() -> list[int]:
            # Writes the rest, and syncs the files.
            stack.pop_all().close()
            return [path.stat().st_size for path in files]

        tables = await run_in_thread(open_tables)
        async with aclosing(entries):
            async for batch in entries:
                await run_in_thread(partial(write, batch))
        return await run_in_thread(close)


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


async def no_chunks() -> AsyncGenerator[bytes, None]:
    """Yield nothing, as the bytes of an empty object."""
    return
    yield
