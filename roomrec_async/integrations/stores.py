"""Object stores as destinations: S3, Google Cloud Storage, Azure, and what speaks their protocols.

It needs the extra ``stores``: ``pip install 'roomrec-async[stores]'``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from yarl import URL

from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError
from roomrec_async.paging import cancelled

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store, from_url
except ModuleNotFoundError as error:
    raise ConfigurationError("object stores need obstore: pip install 'roomrec-async[stores]'") from error

if TYPE_CHECKING:
    from obstore.store import RetryConfig

AnyStore: TypeAlias = S3Store | GCSStore | AzureStore | LocalStore | MemoryStore
"""The kinds of store that can be written to."""

# The smallest part that S3 takes, and how many are on their way at once.
_PART: Final = 5 * 2**20
_PARTS_AT_ONCE: Final = 2
# What is handed over at once: with less, obstore is slow.
_PIECE: Final = 2**19
_REASON_AT_MOST: Final = 200
# By default it goes on for three minutes, also where there is nothing but missing credentials.
_RETRIES: Final[RetryConfig] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
# Where the clouds' machines ask for credentials if the environment has none.
_METADATA: Final = ("169.254.169.254", "/latest/api/token", "/latest/meta-data", "metadata.google.internal")


class ObjectStore:
    """A place in an object store, as a destination of :meth:`roomrec_async.RecordingsClient.download`.

    What is written is there whole, or not at all: an upload that ends early is aborted.

    Args:
        store: a store of obstore's, with its own credentials and settings.
        prefix: what comes before every name, such as ``rooms/2026``.

    Example:
        >>> store = ObjectStore(obstore.store.S3Store("bucket", region="eu-central-1"), prefix="rooms")
        >>> await client.download(recording, store)
    """

    def __init__(self, store: AnyStore, prefix: str = "") -> None:
        if not isinstance(store, AnyStore):
            raise InvalidArgumentError(f"store must be one of obstore's, not {type(store).__name__}")
        self._store = store
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._base = _described(store)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The store that a URL such as ``s3://bucket/prefix`` names, with the credentials of the environment.

        Raises:
            ConfigurationError: there is no such kind of store, or the environment lacks something.
        """
        parsed = _parsed(url)
        place = str(parsed.with_path("").with_query(None).with_fragment(None)) if parsed.host else url
        try:
            store = from_url(place, retry_config=_RETRIES)
        except (BaseError, ValueError) as error:
            reason = _reason(error)
        else:
            if isinstance(store, HTTPStore):
                raise ConfigurationError(f"{place} is no object store: give s3://, gs:// or az:// and a bucket")
            return cls(store, parsed.path if parsed.host else "")
        raise ConfigurationError(f"{place} cannot be used: {reason}")

    def location(self, name: str) -> str:
        """Where something of this name is, such as ``s3://bucket/rooms/RT....mkv``."""
        return f"{self._base}{self._prefix}{name}"

    async def size(self, name: str) -> int | None:
        """How many bytes there are under this name; None if there is nothing.

        Raises:
            MediaError: the store did not answer, or refused.
        """
        try:
            found = await obstore.head_async(self._store, self._prefix + name)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            reason = _reason(error)
        else:
            return found["size"]
        raise MediaError(f"{self.location(name)}: {reason}")

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Put something there, all of it or nothing. What the chunks raise comes out as it is.

        Raises:
            MediaError: the store did not take it.
        """
        pieces = _in_pieces(chunks)
        first = await _up_to_a_part(pieces)
        feed = _Feed(first, pieces)
        uploading = asyncio.ensure_future(self._upload(name, feed if len(first) >= _PART else first))
        try:
            await asyncio.shield(uploading)
            return
        except (BaseError, OSError) as error:
            reason = _reason(error)
        finally:
            # Without its chunks the upload ends by itself, and cleans up after itself.
            await feed.stop()
            await asyncio.wait([uploading])
            await pieces.aclose()
        raise feed.failure or MediaError(f"{self.location(name)}: {reason}")

    async def _upload(self, name: str, data: _Feed | bytes) -> None:
        await obstore.put_async(
            self._store,
            self._prefix + name,
            data,
            use_multipart=not isinstance(data, bytes),
            chunk_size=_PART,
            max_concurrency=_PARTS_AT_ONCE,
        )

    def __repr__(self) -> str:
        return f"<ObjectStore at {self.location('')}>"


class _Feed:
    """Pieces for an upload, fetched by a task of our own, so that they can be stopped at any time.

    Attributes:
        failure: what fetching them raised.
    """

    def __init__(self, first: bytes, pieces: AsyncIterator[bytes]) -> None:
        self.failure: BaseException | None = None
        self._pieces = pieces
        self._ready: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._ready.put_nowait(first)
        self._stopped = False
        self._fetching: asyncio.Task[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        piece = None if self._stopped else await self._ready.get()
        if self._stopped or self.failure is not None:
            # Any exception will do: it makes the upload abort. What went wrong is told by whoever started it.
            raise OSError("the upload was stopped")
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _fetch(self) -> None:
        try:
            async for piece in self._pieces:
                await self._ready.put(piece)
        except Exception as error:  # noqa: BLE001  it is raised by whoever started the upload
            self.failure = error
        await self._ready.put(None)

    async def stop(self) -> None:
        """Let whoever asks for a piece meet an error from now on."""
        self._stopped = True
        if self._fetching is not None:
            await cancelled(self._fetching)
        if self._ready.empty():
            self._ready.put_nowait(None)


async def _in_pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in larger pieces."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _up_to_a_part(pieces: AsyncIterator[bytes]) -> bytes:
    """The beginning: all of it, or at least a part."""
    held: list[bytes] = []
    async for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= _PART:
            break
    return b"".join(held)


def _described(store: AnyStore) -> str:
    if isinstance(store, LocalStore):
        return f"{store.prefix or ''}/"
    if isinstance(store, MemoryStore):
        return "memory:///"
    prefix = f"{store.prefix}/" if store.prefix else ""
    if isinstance(store, S3Store):
        return f"s3://{store.config.get('bucket', '')}/{prefix}"
    if isinstance(store, GCSStore):
        return f"gs://{store.config.get('bucket', '')}/{prefix}"
    return f"az://{store.config.get('container_name', '')}/{prefix}"


def _parsed(url: str) -> URL:
    try:
        parsed = URL(url)
    except ValueError:
        raise ConfigurationError("this is no URL of an object store: give s3://bucket/prefix or alike") from None
    if parsed.user or parsed.password or parsed.query_string:
        raise ConfigurationError("an object store's URL holds no credentials: put them into the environment")
    return parsed


def _reason(error: Exception) -> str:
    """The first line of what the store says; the rest is for its developers, and may quote requests."""
    if any(place in str(error) for place in _METADATA):
        return "there are no credentials for it in the environment"
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    line = line.partition("?")[0]
    return line if len(line) <= _REASON_AT_MOST else f"{line[:_REASON_AT_MOST]}..."
