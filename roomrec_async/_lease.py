"""A lease in an object store: an object that its holder replaces again and again while it lives.

Nobody's clock is compared with another's. Who finds a lease watches it: if it changes, its holder lives; if it stays as
it is for several beats, its holder is dead, and the lease is taken over. Each replacement names the version that it
replaces, so that of two who take over one does, and a holder who was only stopped finds that the lease is another's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from time import monotonic
from typing import Final, Protocol, TypeAlias

import attrs

from roomrec_async._asyncio import call_destination, cancel_and_wait
from roomrec_async._files import BusyError
from roomrec_async._observe import LOGGER
from roomrec_async.errors import MediaError

ObjectVersion: TypeAlias = tuple[str | None, str | None]
"""What tells a version of an object from all others: its ETag, and its generation in stores that have one."""

BEAT: Final = 5.0
"""Seconds from one replacement of a lease to the next."""

BEATS_MISSED: Final = 6
"""Beats without a change after which the holder counts as dead."""

# One that no object has: neither a digest of any content, nor a generation.
_NO_VERSION: Final[ObjectVersion] = ('"00000000000000000000000000000000"', "0")


class VersionedDestination(Protocol):
    """A destination that replaces an object only if it has a known version."""

    def location(self, name: str) -> str:
        """Return the URL of an object."""

    async def read_version(self, name: str) -> tuple[bytes, ObjectVersion] | None:
        """Return the content of an object and its version, or None if there is none."""

    async def exchange(self, name: str, data: bytes, version: ObjectVersion | None) -> ObjectVersion | None:
        """Store an object if it has this version, or with None if there is none, and return its new version.

        Otherwise return None, and change nothing.
        """


class LeaseLostError(BusyError):
    """Another process has taken over the lease, and may be writing: stop."""


@attrs.define
class Lease:
    """A lease, and who has it.

    Attributes:
        destination: has the object.
        name: the name of the object.
        work: what the holder does, for messages, such as ``exporting``.
        holder: random text that tells this process from others.
    """

    destination: VersionedDestination
    name: str
    work: str
    holder: str = attrs.field(factory=lambda: token_hex(8))
    _beats: int = 0
    _version: ObjectVersion | None = None
    _is_lost: bool = False
    _confirmed_at: float = 0.0
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def acquire(self) -> None:
        """Take the lease, if nobody has it or its holder is dead.

        Raises:
            BusyError: a living process has it.
            MediaError: the store did not answer, or refused a request.
        """
        found = await self._read()
        if found is not None and read_holder(found[0]):
            found = await self._watch(found)
        self._version = await self._exchange(self.holder, None if found is None else found[1])
        # The answer to a request that was obeyed may have been lost.
        if self._version is None and not await self._is_held():
            raise self._busy()
        self._confirmed_at = monotonic()

    async def is_exclusive(self) -> bool:
        """Return True if the store compares versions; False if it writes whatever is asked for, and protects nobody."""
        for version in (None, _NO_VERSION):
            if await self._exchange(self.holder, version) is not None:
                return False
        return True

    async def confirm(self) -> None:
        """Replace the lease, which shows others that its holder lives, and the holder that it still has it.

        Raises:
            LeaseLostError: another process has taken it over.
            MediaError: the store did not answer, or refused the request.
        """
        async with self._lock:
            if not self._is_lost:
                asked_at = monotonic()
                version = await self._exchange(self.holder, self._version)
                self._is_lost = version is None and not await self._is_held()
                self._version = version or self._version
                self._confirmed_at = asked_at
        if self._is_lost:
            raise LeaseLostError(
                f"another process has taken over and is {self.work} to {self._where()}, since this one did not answer "
                f"for {BEAT * BEATS_MISSED:.0f} seconds: wait for its end"
            )

    async def ensure(self) -> None:
        """Confirm the lease, if the last time was longer ago than a living holder's. Raises as :meth:`confirm` does."""
        if self._is_lost or monotonic() - self._confirmed_at > 2 * BEAT:
            await self.confirm()

    async def keep(self) -> None:
        """Replace the lease until it is lost."""
        while not self._is_lost:
            await asyncio.sleep(BEAT)
            # It need not be lost, and who writes next is told.
            with suppress(MediaError):
                await self.confirm()

    async def release(self) -> None:
        """Let others have the lease at once."""
        with suppress(MediaError):
            await self._exchange("", self._version)

    async def _watch(self, found: tuple[bytes, ObjectVersion]) -> tuple[bytes, ObjectVersion] | None:
        """Return the lease once it is free, or unchanged for so long that its holder is dead."""
        LOGGER.warning(
            "a process that was %s to %s has not said that it ended: waiting up to %.0f seconds to see if it lives",
            self.work,
            self._where(),
            BEAT * BEATS_MISSED,
        )
        for _ in range(BEATS_MISSED):
            await asyncio.sleep(BEAT)
            now = await self._read()
            if now is None or not read_holder(now[0]):
                return now
            if now != found:
                raise self._busy()
        return found

    async def _is_held(self) -> bool:
        """Return True if this process is the holder, and keep the version."""
        found = await self._read()
        if found is None or read_holder(found[0]) != self.holder:
            return False
        self._version = found[1]
        return True

    async def _read(self) -> tuple[bytes, ObjectVersion] | None:
        return await call_destination(self.destination.read_version(self.name))

    async def _exchange(self, holder: str, version: ObjectVersion | None) -> ObjectVersion | None:
        # In many stores the ETag is a digest of the content: each beat has to be another.
        self._beats += 1
        data = json.dumps({"holder": holder, "by": self.holder, "beat": self._beats}).encode()
        return await call_destination(self.destination.exchange(self.name, data, version))

    def _where(self) -> str:
        return self.destination.location("")

    def _busy(self) -> BusyError:
        return BusyError(f"another process is {self.work} to {self._where()}: wait for its end")


def read_holder(content: bytes) -> str:
    """Return who holds a lease, or an empty text if nobody does. Who wrote a damaged one may be alive."""
    try:
        return str(json.loads(content)["holder"])
    except (ValueError, TypeError, KeyError):
        return "unknown"


@asynccontextmanager
async def hold(lease: Lease) -> AsyncGenerator[None, None]:
    """Hold a lease.

    Raises:
        BusyError: a living process has it.
        MediaError: the store did not answer, or refused a request.
    """
    await lease.acquire()
    keeper = asyncio.create_task(lease.keep())
    try:
        yield
    finally:
        await cancel_and_wait(keeper)
        await lease.release()
