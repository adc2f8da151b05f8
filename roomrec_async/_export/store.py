"""Where an export is written to: a directory, or an object store. Names are those of objects, with slashes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import IO, Final, Protocol, TypeAlias, TypeGuard

import attrs

from roomrec_async._asyncio import call_destination, run_in_thread
from roomrec_async._files import (
    BusyError,
    add_path_to_disk_full_errors,
    check_replaceable,
    file_size,
    lock_file,
    make_directory,
    open_regular,
    replace_file,
    sync_directory,
)
from roomrec_async._lease import Lease, ObjectVersion, VersionedDestination, hold
from roomrec_async.errors import ConfigurationError
from roomrec_async.protocols import Destination, ReadableDestination

STATE_FOLDER: Final = "_roomrec"
"""Folder of the state. Arrow, Spark and DuckDB pass over names with a leading underscore."""

# Bytes read at once.
_READ_SIZE: Final = 2**20
# Bytes of the largest part that is sent in one request, which alone can name the version that it replaces.
_MAX_EXCHANGED: Final = 5 * 2**20


ReplacePart: TypeAlias = Callable[[IO[bytes]], Awaitable[None]]
"""Writes a part with the content of a file."""


class ExportDestination(ReadableDestination, Protocol):
    """A destination that can be read, and that creates an object only if there is none of its name."""

    async def create(self, name: str, data: bytes) -> bool:
        """Store an object and return True; return False, and change nothing, if there is one of this name."""


class LeasedDestination(ExportDestination, VersionedDestination, Protocol):
    """A destination that can also replace an object only if it has a known version."""


class ExportStore(Protocol):
    """Reads and writes the objects of an export. Each of them appears as a whole or not at all."""

    def location(self, name: str) -> str:
        """Return the path or URL of an object."""

    async def exists(self, name: str) -> bool:
        """Return True if there is an object of this name."""

    async def read(self, name: str) -> bytes | None:
        """Return the content of an object, or None if there is none."""

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object and return True; return False, and change nothing, if there is one of this name."""

    async def replace(self, name: str, file: IO[bytes]) -> None:
        """Write an object with the content of a file; an existing one is replaced."""

    async def prepare_part(self, name: str) -> ReplacePart:
        """Return the function that writes a part with the content of a file; called before its records are listed.

        The function writes nothing, and raises MediaError, once another process has taken over the shard.

        Raises:
            MediaError: another process has taken over the shard.
        """


@asynccontextmanager
async def open_store(
    destination: str | os.PathLike[str] | Destination, shard: str
) -> AsyncGenerator[ExportStore, None]:
    """Open the store of a destination, for one shard, which no other process may write meanwhile.

    Destinations that cannot replace an object of a known version have no such protection.

    Raises:
        BusyError: another process writes the shard.
        MediaError: the store did not answer, or refused a request.
        ConfigurationError: the destination cannot be read, or cannot create or replace an object on a condition.
    """
    if isinstance(destination, (str, os.PathLike)):
        directory = Path(destination)
        with lock_shard(directory, shard):
            yield DirectoryStore(directory, shard)
        return
    objects = export_destination(destination)
    if not is_leased_destination(objects):
        yield ObjectsStore(objects)
        return
    lease = Lease(objects, f"{STATE_FOLDER}/{shard}.lease", "exporting")
    async with hold(lease):
        if not await lease.is_exclusive():
            raise ConfigurationError(
                f"{objects.location('')} ignores conditional requests (If-Match and If-None-Match), without which "
                "two processes cannot be kept apart: export to another store, or to a directory"
            )
        yield LeasedStore(objects, lease)


def unlocked_store(destination: str | os.PathLike[str] | Destination) -> ExportStore:
    """Return the store of a destination for its state, which any process may read, and create what is not there.

    Raises:
        ConfigurationError: the destination cannot be read, or cannot create an object on a condition.
    """
    if isinstance(destination, (str, os.PathLike)):
        return DirectoryStore(Path(destination), f"state-{token_hex(8)}")
    return ObjectsStore(export_destination(destination))


@contextmanager
def lock_shard(directory: Path, shard: str) -> Iterator[None]:
    """Keep other processes from writing the same shard to a directory. A process that dies lets go.

    Raises:
        BusyError: another process writes it.
    """
    path = directory / STATE_FOLDER / f"{shard}.lock"
    make_directory(path.parent)
    with open_regular(path, os.O_RDWR | os.O_CREAT, "r+b") as file:
        try:
            lock_file(file, path)
        except BusyError:
            raise BusyError(f"another process is exporting to {directory}: wait for its end") from None
        yield


def is_export_destination(destination: Destination) -> TypeGuard[ExportDestination]:
    """Return True if a destination has the methods that an export needs."""
    return all(callable(getattr(destination, name, None)) for name in ("read", "create"))


def export_destination(destination: Destination) -> ExportDestination:
    """Return a destination that has the methods that an export needs.

    Raises:
        ConfigurationError: it has not.
    """
    if is_export_destination(destination):
        return destination
    raise ConfigurationError(
        f"{type(destination).__name__} cannot hold an export: it needs the methods read and create, as "
        "roomrec_async.integrations.stores.ObjectStore has them"
    )


def is_leased_destination(destination: ExportDestination) -> TypeGuard[LeasedDestination]:
    """Return True if a destination replaces objects only if they have a known version."""
    return bool(getattr(destination, "is_versioned", False))


@attrs.frozen
class DirectoryStore:
    """The files in a directory."""

    directory: Path
    shard: str

    def location(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.directory / name)

    async def exists(self, name: str) -> bool:
        """Return True if there is a file of this name."""
        return await run_in_thread(partial(file_size, self.directory / name)) is not None

    async def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""
        try:
            return await run_in_thread((self.directory / name).read_bytes)
        except FileNotFoundError:
            return None

    async def create(self, name: str, data: bytes) -> bool:
        """Write a file and return True; return False if there is one of this name."""
        return await run_in_thread(partial(self._create, name, data))

    async def replace(self, name: str, file: IO[bytes]) -> None:
        """Write a file; an existing one is replaced."""
        await run_in_thread(partial(self._replace, name, file))

    async def prepare_part(self, name: str) -> ReplacePart:
        """Return the function that writes a part: the shard is locked until this process ends."""
        return partial(self.replace, name)

    def _create(self, name: str, data: bytes) -> bool:
        path = self.directory / name
        make_directory(path.parent)
        temporary = self._temporary(path)
        try:
            with add_path_to_disk_full_errors(path), temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)
        return True

    def _replace(self, name: str, file: IO[bytes]) -> None:
        path = self.directory / name
        check_replaceable(path)
        make_directory(path.parent)
        temporary = self._temporary(path)
        file.seek(0)
        with add_path_to_disk_full_errors(path):
            try:
                with temporary.open("xb") as copy:
                    shutil.copyfileobj(file, copy, _READ_SIZE)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            replace_file(temporary, path)

    def _temporary(self, path: Path) -> Path:
        """Return where to write a file first: a name that no other shard uses, and that is free.

        Not beside the parts, where a reader would see it. It is the same in each attempt, so that what a killed process
        has left is removed.
        """
        temporary = self.directory / STATE_FOLDER / "tmp" / f"{self.shard}.{path.name}"
        make_directory(temporary.parent)
        # It may be a second name of a finished file, which must not be written to.
        temporary.unlink(missing_ok=True)
        return temporary


@attrs.frozen
class ObjectsStore:
    """The objects in a destination that is no directory."""

    destination: ExportDestination

    def location(self, name: str) -> str:
        """Return the URL of an object."""
        return self.destination.location(name)

    async def exists(self, name: str) -> bool:
        """Return True if there is an object of this name."""
        return await call_destination(self.destination.size(name)) is not None

    async def read(self, name: str) -> bytes | None:
        """Return the content of an object, or None if there is none."""
        if not await self.exists(name):
            return None
        return b"".join([chunk async for chunk in self.destination.read(name)])

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object and return True; return False if there is one of this name."""
        return await call_destination(self.destination.create(name, data))

    async def replace(self, name: str, file: IO[bytes]) -> None:
        """Write an object; an existing one is replaced."""
        file.seek(0)
        await call_destination(self.destination.write(name, read_chunks(file)))

    async def prepare_part(self, name: str) -> ReplacePart:
        """Return the function that writes a part: the destination has no versions to compare."""
        return partial(self.replace, name)


@attrs.frozen
class LeasedStore(ObjectsStore):
    """The objects in a store where this process has the lease of the shard."""

    destination: LeasedDestination
    lease: Lease

    async def prepare_part(self, name: str) -> ReplacePart:
        """Return the function that writes a part over the version that there is now.

        The lease is confirmed after that version was read: once another process has taken it over and written the part,
        there is another version.
        """
        return partial(self._replace_part, name, await self._replaceable_version(name))

    async def _replaceable_version(self, name: str) -> ObjectVersion | None:
        found = await call_destination(self.destination.read_version(name))
        await self.lease.confirm()
        return None if found is None else found[1]

    async def _replace_part(self, name: str, version: ObjectVersion | None, file: IO[bytes]) -> None:
        if file.seek(0, os.SEEK_END) > _MAX_EXCHANGED:
            await self.lease.confirm()
            await self.replace(name, file)
            return
        file.seek(0)
        data = await run_in_thread(file.read)
        while await call_destination(self.destination.exchange(name, data, version)) is None:
            # Either the lease is lost, or a request arrived late that the holder before this one sent in its time.
            version = await self._replaceable_version(name)


async def read_chunks(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the rest of a file, read in threads."""
    while chunk := await asyncio.to_thread(file.read, _READ_SIZE):
        yield chunk


def file_digest(file: IO[bytes]) -> tuple[int, str]:
    """Return the size of a file, and the SHA-256 of its content in hexadecimal."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # typed for readable buffers, which files are
    return file.tell(), digest.hexdigest()
