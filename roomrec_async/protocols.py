"""The interfaces that a program may implement: limiters, observers, and destinations and decryption of media."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from .events import Activity

__all__ = [
    "Decryption",
    "Decryptor",
    "Destination",
    "Limiter",
    "ObservableLimiter",
    "Observer",
    "PacedPermit",
    "Permit",
    "ReadableDestination",
]


class Permit(Protocol):
    """The right to have one request in flight, for the time of an ``async with`` block."""

    async def __aenter__(self) -> Self:
        """Wait for the permit."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the permit back."""

    def accepted(self) -> None:
        """Note that the service took the request on, whatever it answered."""

    def rate_limited(self) -> None:
        """Note that the service refused the request with 429."""


class PacedPermit(Permit, Protocol):
    """A permit that counts a request from when it was sent, as those of this package do."""

    def sent_late(self, seconds: float) -> None:
        """Note that the request was sent so long after the permit was granted: a connection had to be opened first."""


class Limiter(Protocol):
    """Grants each request of a client: a :class:`~roomrec_async.RateLimiter`, or one that many processes share."""

    @property
    def max_concurrency(self) -> int | None:
        """Maximum number of requests in flight at present, or None for no limit."""

    @property
    def in_flight(self) -> int:
        """Number of permits held."""

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a permit."""

    def read(self) -> Permit:
        """Return a permit for one read: ``async with limiter.read(): ...``."""

    def write(self) -> Permit:
        """Return a permit for one write."""

    def pause(self, seconds: float) -> None:
        """Start nothing for some seconds, because of a ``Retry-After``. 0 ends a pause, if it can."""


class ObservableLimiter(Limiter, Protocol):
    """A limiter that tells its state, as those of this package do."""

    @property
    def paused_until(self) -> datetime | None:
        """The time before which nothing starts, in UTC; None if nothing is paused."""

    @property
    def degraded(self) -> bool:
        """True while the limiter has lost what it shares with other processes, and keeps to its part of the quota."""


class Observer(Protocol):
    """Receives client events. Called in the event loop, so it must not block.

    What an observer raises is logged, and the client goes on.

    Example:
        >>> class RateLimitCounter:
        ...     count = 0
        ...
        ...     def started(self, activity: Activity) -> None: ...
        ...
        ...     def ended(self, activity: Activity) -> None:
        ...         self.count += isinstance(activity, Attempt) and activity.status == 429
        >>> client = RecordingsClient(credentials, observers=[RateLimitCounter()])
    """

    def started(self, activity: Activity) -> None:
        """Handle the start of an activity."""

    def ended(self, activity: Activity) -> None:
        """Handle the end of an activity, whether it succeeded or failed."""


class Decryptor(Protocol):
    """Decrypts one recording's media as they arrive."""

    @property
    def size(self) -> int | None:
        """Number of bytes of the decrypted media, or None where the store does not say."""

    def update(self, chunk: bytes) -> bytes:
        """Return the next decrypted bytes; there may be none.

        Raises:
            DecryptionError: the key is wrong, or the media are damaged.
        """

    def finalize(self) -> bytes:
        """Return the last decrypted bytes.

        Raises:
            DecryptionError: the media are damaged or incomplete.
        """


class Decryption(Protocol):
    """Makes the decryptors of encrypted media; ``roomrec_async.integrations.decryption`` has one."""

    def decryptor(self, headers: Mapping[str, str]) -> Decryptor:
        """Return what decrypts the media that came with these response headers.

        Raises:
            DecryptionError: the headers do not say how, or the key is wrong.
        """


class Destination(Protocol):
    """Stores media elsewhere than at a path; ``roomrec_async.integrations.stores`` has object stores."""

    def location(self, name: str) -> str:
        """Return where an object of this name is stored, for people to read: a URL or a path."""

    async def size(self, name: str) -> int | None:
        """Return the number of bytes stored under this name, or None if there is nothing."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Store an object, all of it or nothing. Where the chunks end in an exception, nothing is left behind."""


class ReadableDestination(Destination, Protocol):
    """A destination that can read its objects, as an archive needs before it deletes a recording at the source."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of the object of this name, from the store itself and not from a cache."""
