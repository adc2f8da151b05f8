"""The state of an archive in a store: the rows of its ledger, as files of JSON lines under ``_roomrec/``.

A run has a ledger in a temporary file. What changes there is written to the store in parts, numbered, in a folder of
the run's own. One object, the index, names the files and folders that make up the state, in their order. Whoever opens
the state replaces the index first, by one that ends the folder of the run before. What that run writes later, though it
lost the lease, belongs to nothing, and it can no longer replace the index itself.

Hence a recording may be deleted at the source once the part that says where its copy is was written, and the lease was
confirmed after that: whoever takes over from then on reads the part.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import zlib
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final, TypeVar

import attrs
import cattrs

from roomrec_async._asyncio import call_destination, run_in_thread, wait_finished
from roomrec_async._lease import Lease, LeaseLostError, ObjectVersion, hold
from roomrec_async._validate import canonical_sid
from roomrec_async.errors import ConfigurationError, MediaError, RoomRecError
from roomrec_async.protocols import Destination

from .guard import StateStore
from .journal import COMPRESSION
from .ledger import LEDGER_NAME, Ledger
from .manifest import check_has_no_manifest, read_chunks

_Result = TypeVar("_Result")

INDEX: Final = "_roomrec/archive.json"
"""Name of the object that says what the state is made of."""

_FOLDER: Final = "_roomrec/archive/"
_LEASE: Final = "_roomrec/archive.lease"
_EXTENSION: Final = ".jsonl.gz"
_VERSION: Final = 1
# Parts that are read one by one when the state is opened. With more of them, they become one file.
_MAX_PARTS: Final = 64
# Steps, and seconds, after which what they have changed is written: what a run that is killed may do once more.
_GROUP_SIZE: Final = 64
_GROUP_SECONDS: Final = 30.0


class StateError(MediaError):
    """The state of an archive cannot be written: nothing else must be, either."""


@attrs.frozen
class StateFile:
    """A file of the state, in one object. The digest is its SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@attrs.frozen
class Journal:
    """The folder of a run that has ended, and the number of parts in it."""

    folder: str
    parts: int


@attrs.frozen(kw_only=True)
class Index:
    """What a state is made of.

    Attributes:
        account: SID of the account whose recordings are archived.
        files: files with rows, the earliest first.
        journals: folders of runs after these files, the earliest first.
        folder: the folder of the present run, which is the last part of the state.
        obsolete: objects that an earlier index named. They are to be deleted.
        version: version of the state.
    """

    account: str
    files: list[StateFile] = attrs.field(factory=list)
    journals: list[Journal] = attrs.field(factory=list)
    folder: str = attrs.field(factory=lambda: f"{_FOLDER}{token_hex(8)}/")
    obsolete: list[str] = attrs.field(factory=list)
    version: int = _VERSION

    def encode(self) -> bytes:
        """Return the index as JSON."""
        return json.dumps(cattrs.unstructure(self), indent=1).encode() + b"\n"

    def next_run(self, parts: int) -> Index:
        """Return the index of the next run, which finds so many parts in the folder of the last one."""
        journals = [*self.journals, Journal(self.folder, parts)] if parts else self.journals
        return Index(account=self.account, files=self.files, journals=journals, obsolete=self.obsolete)

    def part_names(self) -> list[str]:
        """Return the names of all parts in the folders of earlier runs."""
        return [part_name(journal.folder, n) for journal in self.journals for n in range(1, journal.parts + 1)]


class LocalState:
    """The state of an archive whose ledger is its file: what a method of the ledger has recorded is kept at once."""

    async def sync(self) -> None:
        """Do nothing."""

    async def checkpoint(self) -> None:
        """Do nothing."""

    async def finish(self) -> None:
        """Do nothing."""


@attrs.define
class StoredState:
    """The state of an archive in a store.

    Attributes:
        store: the store.
        lease: the lease of the state, which this process has.
        ledger: the ledger of this run.
        directory: a directory for temporary files.
        index: what the state is made of.
    """

    store: StateStore
    lease: Lease
    ledger: Ledger
    directory: Path
    index: Index
    _index_version: ObjectVersion
    # Parts in the folder of this run.
    _parts: int = 0
    # Why the state cannot be written any more.
    _failure: RoomRecError | None = None
    _steps: int = 0
    _written_at: float = attrs.field(factory=monotonic)
    # Calls of sync(), and how many of them what was written last has served.
    _requested: int = 0
    _served: int = 0
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def ledger_path(self) -> Path:
        """File of the ledger."""
        return self.directory / LEDGER_NAME

    @property
    def _journal_path(self) -> Path:
        """File with the bytes of all parts, which are a file of the state when put together."""
        return self.directory / "journal"

    @property
    def _is_long(self) -> bool:
        """True if there are so many parts that they should become one file."""
        return self._parts + sum(journal.parts for journal in self.index.journals) >= _MAX_PARTS

    async def sync(self) -> None:
        """Return when all that the ledger has recorded is in the store, and this process had the lease after that.

        Any number of callers are served at once.

        Raises:
            StateError: the state cannot be written.
            LeaseLostError: another process has taken over.
        """
        self._requested += 1
        ticket = self._requested
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._served >= ticket:
                return
            served = self._requested
            await uninterrupted(self._noting_failure(self._write_changes()))
            self._served = served

    async def checkpoint(self) -> None:
        """Count a step of the run, and write what has changed if there were many, or much time has passed.

        Raises: as :meth:`sync` does.
        """
        self._steps += 1
        is_due = self._steps >= _GROUP_SIZE or monotonic() - self._written_at >= _GROUP_SECONDS
        if is_due or self._is_long or self._failure is not None:
            await self.finish()

    async def finish(self) -> None:
        """Write what has changed, and put parts together if there are many. Raises as :meth:`sync` does."""
        await self.sync()
        async with self._lock:
            if self._failure is None and self._is_long:
                await self._noting_failure(self._compact())

    async def _noting_failure(self, work: Awaitable[None]) -> None:
        """Wait for something that writes the state. Once it has failed, nothing is written any more."""
        try:
            await work
        except LeaseLostError as error:
            self._failure = error
            raise
        except RoomRecError as error:
            self._failure = StateError(f"the state of the archive cannot be written: {error}")
            raise self._failure from None
        except OSError as error:
            # The temporary files are not what is in the store.
            self._failure = StateError(f"the state of the archive cannot be written: {error}")
            raise

    async def _write_changes(self) -> None:
        self._steps = 0
        self._written_at = monotonic()
        lines = await self.ledger.take_changes()
        if not lines:
            await self.lease.ensure()
            return
        data = await run_in_thread(partial(compress, lines))
        name = part_name(self.index.folder, self._parts + 1)
        await self.lease.ensure()
        if not await call_destination(self.store.create(name, data)):
            # A request whose answer was lost is sent again.
            found = await call_destination(self.store.read_version(name))
            if found is None or found[0] != data:
                raise MediaError(f"{self.store.location(name)} was written by something else: run the archive again")
        # Whoever has taken over before this has ended the folder without the part.
        await self.lease.confirm()
        self._parts += 1
        await run_in_thread(partial(append_file, self._journal_path, data))

    async def _compact(self) -> None:
        """Let all parts become one file; all files, too, if those after the first have outgrown it."""
        files, obsolete = self.index.files, self.index.next_run(self._parts).part_names()
        path = self._journal_path
        grown = sum(file.bytes for file in files[1:]) + path.stat().st_size
        if not files or grown > files[0].bytes:
            obsolete += [file.name for file in files]
            files = []
            path = self.directory / "snapshot"
            await self.ledger.write_all(path)
        file = await self._write_file(path)
        index = Index(account=self.index.account, files=[*files, file], obsolete=obsolete)
        await uninterrupted(self._replace_parts(index))
        await self.delete_obsolete()

    async def _write_file(self, path: Path) -> StateFile:
        """Write a file of the state under a name of its own, and read it back: it replaces what proves deletions."""
        file = await run_in_thread(partial(describe_file, path))
        await self.lease.ensure()
        await call_destination(self.store.write(file.name, read_chunks(path)))
        await fetch(self.store, file, self.directory / "copy")
        return file

    async def _replace_parts(self, index: Index) -> None:
        await self._replace_index(index)
        await run_in_thread(partial(self._journal_path.unlink, missing_ok=True))
        self._parts = 0

    async def _replace_index(self, index: Index) -> None:
        """Replace the index, if it is still the one that this run has written."""
        self._index_version = await exchange_index(self.store, self.lease, index, self._index_version)
        self.index = index

    async def delete_obsolete(self) -> None:
        """Delete what an earlier index named, and this one does not. Those who may not delete keep it."""
        if not self.index.obsolete:
            return
        try:
            for name in self.index.obsolete:
                await self.lease.ensure()
                await call_destination(self.store.delete(name))
        except LeaseLostError:
            raise
        except MediaError:
            return
        await uninterrupted(self._replace_index(attrs.evolve(self.index, obsolete=[])))

    async def load(self) -> None:
        """Read the state into the ledger, and note its changes from then on.

        Raises:
            ConfigurationError: the state is damaged.
            MediaError: the store did not answer, or refused a request.
        """
        paths = []
        for number, file in enumerate(self.index.files):
            paths.append(self.directory / f"file-{number}")
            await fetch(self.store, file, paths[-1])
        for name in self.index.part_names():
            found = await call_destination(self.store.read_version(name))
            if found is None:
                raise damaged(self.store, name, "it is missing")
            await run_in_thread(partial(append_file, self._journal_path, found[0]))
        if self.index.journals:
            paths.append(self._journal_path)
        try:
            await self.ledger.replay(partial(read_lines, paths))
        except ValueError as error:
            reason = str(error)
        else:
            await self.ledger.watch_changes()
            return
        raise damaged(self.store, self.index.folder, reason)


@asynccontextmanager
async def open_state(store: StateStore, account_sid: str) -> AsyncGenerator[StoredState, None]:
    """Open the state of the archive in a store, which no other process may use meanwhile.

    Raises:
        ConfigurationError: the archive has a ledger elsewhere, or is that of another account; the state is damaged; or
            the store does not compare versions.
        MediaError: another process is archiving to the store; or the store did not answer, or refused a request.
    """
    await check_has_state(store)
    lease = Lease(store, _LEASE, "archiving")
    async with hold(lease):
        if not await lease.is_exclusive():
            raise ConfigurationError(
                f"{store.location('')} ignores conditional requests (If-Match and If-None-Match), without which two "
                "processes cannot be kept apart: name a file for the ledger (--ledger FILE on the command line)"
            )
        index, version = await begin_run(store, lease, account_sid)
        with TemporaryDirectory(prefix="roomrec-") as directory:
            path = Path(directory) / LEDGER_NAME
            name = f"the state of the archive in {store.location('')}"
            async with Ledger(path, ".", name=name) as ledger:
                state = StoredState(store, lease, ledger, Path(directory), index, version)
                try:
                    await state.load()
                except ConfigurationError:
                    # Whoever has taken over puts parts together, which are missing here then.
                    await lease.confirm()
                    raise
                await state.delete_obsolete()
                try:
                    yield state
                finally:
                    # What was done before an error, or before Ctrl-C, need not be done again.
                    with suppress(RoomRecError, OSError):
                        await state.sync()


async def check_has_state(store: StateStore) -> None:
    """Check that a store has the state of its archive, or no archive yet.

    Raises:
        ConfigurationError: it has a manifest only, of an archive with a ledger elsewhere.
    """
    if await call_destination(store.size(INDEX)) is not None:
        return
    await check_has_no_manifest(store, ("jsonl", "parquet"))


async def check_has_no_state(destination: Destination) -> None:
    """Check that the archive in a store does not have its state there, as it is to have a ledger.

    Raises:
        ConfigurationError: it does.
    """
    if await call_destination(destination.size(INDEX)) is not None:
        raise ConfigurationError(
            f"{destination.location(INDEX)} is the state of this archive: name no ledger (--ledger on the command "
            "line) besides, or archive to another destination"
        )


async def begin_run(store: StateStore, lease: Lease, account_sid: str) -> tuple[Index, ObjectVersion]:
    """Replace the index, so that what runs before this one write from now on belongs to nothing.

    Raises:
        ConfigurationError: the archive is that of another account, or the index is damaged.
        MediaError: the store did not answer, or refused a request.
    """
    account_sid = canonical_sid(account_sid)
    found = await call_destination(store.read_version(INDEX))
    if found is None:
        index = Index(account=account_sid)
        return index, await uninterrupted(exchange_index(store, lease, index, None))
    before = decode_index(store, found[0])
    if before.account != account_sid:
        raise ConfigurationError(
            f"{store.location('')} has the archive of account {before.account}, not of {account_sid}: archive to "
            "another destination"
        )
    index = before.next_run(await count_parts(store, before.folder))
    return index, await uninterrupted(exchange_index(store, lease, index, found[1]))


def decode_index(store: StateStore, data: bytes) -> Index:
    """Return the index in an object.

    Raises:
        ConfigurationError: it is damaged, or of another version.
    """
    try:
        values = json.loads(data)
        if values["version"] != _VERSION:
            raise damaged(store, INDEX, f"it is of version {values['version']}, and not {_VERSION}")
        return cattrs.structure(values, Index)
    except (ValueError, TypeError, KeyError, cattrs.BaseValidationError):
        pass
    raise damaged(store, INDEX, "it is no index of a state")


async def exchange_index(store: StateStore, lease: Lease, index: Index, version: ObjectVersion | None) -> ObjectVersion:
    """Replace the index of a version, and return the new one's.

    Raises:
        LeaseLostError: another process has taken over.
        MediaError: the index has another version; or the store did not answer, or refused a request.
    """
    data = index.encode()
    replaced = await call_destination(store.exchange(INDEX, data, version))
    if replaced is not None:
        return replaced
    # A request whose answer was lost is sent again.
    found = await call_destination(store.read_version(INDEX))
    if found is not None and found[0] == data:
        return found[1]
    await lease.confirm()
    raise MediaError(f"{store.location(INDEX)} was written by something else: run the archive again")


async def count_parts(store: StateStore, folder: str) -> int:
    """Return the number of parts in a folder.

    Raises:
        ConfigurationError: one of them is missing.
    """
    found = {name async for name, _ in store.sizes(folder) if name.endswith(_EXTENSION)}
    for number in range(1, len(found) + 1):
        name = part_name(folder, number)
        if name not in found:
            raise damaged(store, name, "it is missing")
    return len(found)


async def fetch(store: StateStore, file: StateFile, path: Path) -> None:
    """Copy a file of the state to a path.

    Raises:
        ConfigurationError: it is missing, or not what was written.
    """
    if await call_destination(store.size(file.name)) != file.bytes:
        raise damaged(store, file.name, f"it does not have {file.bytes} bytes")
    digest = hashlib.sha256()
    with path.open("wb") as copy:
        async for chunk in store.read(file.name):
            digest.update(chunk)
            await run_in_thread(partial(copy.write, chunk))
    if digest.hexdigest() != file.sha256:
        raise damaged(store, file.name, "its digest is another one")


async def uninterrupted(call: Awaitable[_Result]) -> _Result:
    """Wait for a request that writes. Whoever is cancelled waits for its end, so that it does not arrive later."""
    request = asyncio.ensure_future(call)
    await wait_finished(request)
    return await call_destination(request)


def damaged(store: StateStore, name: str, reason: str) -> ConfigurationError:
    """Return the error for a state that cannot be read."""
    return ConfigurationError(
        f"the state of the archive in {store.location('')} is damaged: {store.location(name)}: {reason}. Restore it "
        "from a backup, or archive to another destination"
    )


def part_name(folder: str, number: int) -> str:
    """Return the name of a part."""
    return f"{folder}{number:06d}{_EXTENSION}"


def compress(lines: list[str]) -> bytes:
    """Return lines as the content of a part."""
    return gzip.compress("".join(lines).encode(), COMPRESSION)


def append_file(path: Path, data: bytes) -> None:
    """Append bytes to a file."""
    with path.open("ab") as file:
        file.write(data)


def describe_file(path: Path) -> StateFile:
    """Return what becomes of a file in the state, under a name that no other has."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return StateFile(f"{_FOLDER}{token_hex(8)}{_EXTENSION}", file.tell(), digest)


def read_lines(paths: list[Path]) -> Iterator[bytes]:
    """Yield the lines of files of the state.

    Raises:
        ValueError: one of them is damaged.
    """
    for path in paths:
        try:
            with gzip.open(path) as file:
                yield from file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(str(error)) from None
