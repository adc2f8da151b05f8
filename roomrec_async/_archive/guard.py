"""Stores that can hold the state of an archive. Importing this does not load SQLite."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, Protocol, TypeGuard

import attrs

from roomrec_async._lease import Lease, VersionedDestination
from roomrec_async.protocols import Destination

from .parts import PartStore

_METHODS: Final = ("read", "sizes", "delete", "create", "read_version", "exchange")


class StateStore(PartStore, VersionedDestination, Protocol):
    """A store that can hold the state of an archive."""

    async def create(self, name: str, data: bytes) -> bool:
        """Store an object and return True; return False, and change nothing, if there is one of this name."""


def can_hold_state(destination: str | os.PathLike[str] | Destination) -> TypeGuard[StateStore]:
    """Return True if a destination can hold the state of its archive as objects: a store that knows their versions."""
    is_versioned = bool(getattr(destination, "is_versioned", False))
    return is_versioned and all(callable(getattr(destination, name, None)) for name in _METHODS)


@attrs.frozen
class GuardedStore:
    """A store that is written only while this process has the lease.

    Raises LeaseLostError once another process has it: nothing is written or deleted any more.
    """

    store: StateStore
    lease: Lease

    @property
    def endpoint(self) -> str | None:
        """Service that has the store; None if it does not say."""
        endpoint = getattr(self.store, "endpoint", None)
        return endpoint if isinstance(endpoint, str) else None

    def location(self, name: str) -> str:
        """Return the URL of an object."""
        return self.store.location(name)

    async def size(self, name: str) -> int | None:
        """Return the number of bytes of an object, or None if there is none."""
        return await self.store.size(name)

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of an object."""
        return self.store.read(name)

    def sizes(self, folder: str) -> AsyncGenerator[tuple[str, int], None]:
        """Yield the name and the size in bytes of each object in a folder."""
        return self.store.sizes(folder)

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Store an object, if the lease is still held when its last bytes have arrived."""
        await self.lease.ensure()
        async with aclosing(self._guarded(chunks)) as guarded:
            await self.store.write(name, guarded)

    async def delete(self, name: str) -> None:
        """Delete an object."""
        await self.lease.ensure()
        await self.store.delete(name)

    async def _guarded(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for chunk in chunks:
            yield chunk
        # An upload may take hours. What is raised here discards it.
        await self.lease.ensure()
