"""Proof of a copy, without which nothing is deleted at the source: its bytes, read back from where they are stored."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final, TypeGuard

import attrs

from roomrec_async._asyncio import call_destination, run_in_thread
from roomrec_async._files import file_size
from roomrec_async._media.download import Digest
from roomrec_async.errors import VerificationError
from roomrec_async.models import Recording
from roomrec_async.protocols import Destination, ReadableDestination

from .ledger import Entry

# Bytes read at once from a file.
_READ_SIZE: Final = 2**20


@attrs.frozen
class StoredCopy:
    """A copy as it was read back.

    Attributes:
        size: number of bytes.
        sha256: SHA-256 of the bytes, in hexadecimal.
        is_matroska: True if they begin as every recording does.
    """

    size: int
    sha256: str
    is_matroska: bool

    def is_intact(self, entry: Entry) -> bool:
        """Return True if these are the bytes that the ledger has recorded."""
        return (self.size, self.sha256) == (entry.bytes, entry.sha256)


async def read_back(destination: str | os.PathLike[str] | Destination, name: str) -> StoredCopy | None:
    """Read a copy from the archive, and return what it is, or None if there is none.

    Raises:
        VerificationError: the destination cannot read its objects.
        OSError: the file cannot be read.
    """
    if isinstance(destination, (str, os.PathLike)):
        path = Path(destination) / name
        return await run_in_thread(partial(read_file, path))
    if not is_readable(destination):
        raise VerificationError(
            f"{destination.location(name)} cannot be read back: {type(destination).__name__} has no method read()"
        )
    if await call_destination(destination.size(name)) is None:
        return None
    return await call_destination(read_object(destination.read(name)))


def read_file(path: Path) -> StoredCopy | None:
    """Return what a file is, or None if there is none."""
    digest = Digest()
    # Opening a pipe would wait for its other end.
    if file_size(path) is None:
        return None
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_READ_SIZE):
            digest.update(chunk)
    return StoredCopy(digest.size, digest.sha256, digest.is_matroska)


async def read_object(chunks: AsyncIterator[bytes]) -> StoredCopy:
    """Return what an object of a store is."""
    digest = Digest()
    async for chunk in chunks:
        await run_in_thread(partial(digest.update, chunk))
    return StoredCopy(digest.size, digest.sha256, digest.is_matroska)


def check_proof(entry: Entry, copy: StoredCopy | None) -> None:
    """Check that a copy is proof enough to delete the recording at the source.

    Raises:
        VerificationError: it is not. The message says why.
    """
    if copy is None:
        reason: str | None = "it is missing"
    elif not copy.is_intact(entry):
        reason = "its bytes are not those that were written"
    else:
        reason = doubt(entry.recording, copy.size, is_matroska=copy.is_matroska)
    if reason is not None:
        raise VerificationError(
            f"{entry.sid} stays at the source, because its copy at {entry.location} proves nothing: {reason}"
        )


def doubt(recording: Recording, size: int, *, is_matroska: bool) -> str | None:
    """Return why a copy may not be all of the recording, or None if nothing speaks against it."""
    if recording.size is None:
        return "the service announced no size"
    if recording.size != size:
        return f"it has {size} bytes, and the service announced {recording.size}"
    if not is_matroska:
        return "it does not begin as a Matroska file, as recordings do"
    return None


def is_readable(destination: Destination) -> TypeGuard[ReadableDestination]:
    """Return True if a destination can read its objects."""
    return hasattr(destination, "read")
