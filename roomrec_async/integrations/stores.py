"""Object stores as destinations: S3, Google Cloud Storage, Azure, and what speaks their protocols.

It needs the extra ``stores``: ``pip install 'roomrec-async[stores]'``.
"""

from __future__ import annotations

import asyncio
import atexit
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from yarl import URL

from roomrec_async._asyncio import wait_finished
from roomrec_async._text import safe_repr
from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError

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

# The smallest part that S3 takes. With a larger one a slow line does not send it within the time for a request.
_PART: Final = 5 * 2**20
# One is on its way while the next is collected. With more of them there is no waiting for all before an abort.
_PARTS_AT_ONCE: Final = 1
_REASON_AT_MOST: Final = 300
# What a URL can hold and nobody may read: who asks, and the query, which can be a signature.
_PRIVATE: Final = re.compile(r"(?<=://)[^/@\s]*@|\?\S*")
_CODE: Final = re.compile(r"<Code>(\w{1,80})</Code>")
# By default it goes on for three minutes, also where there is nothing but missing credentials.
_RETRIES: Final[RetryConfig] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
# Where the clouds' machines ask for credentials if the environment has none.
_METADATA: Final = ("169.254.169.254", "/latest/api/token", "/latest/meta-data", "metadata.google.internal")

# obstore's threads let go of Python's objects shortly after an operation is over. If the interpreter ends at that
# moment, the process is aborted (SIGABRT), however well it went.
_LAST_MOMENT: Final = 0.05
atexit.register(time.sleep, _LAST_MOMENT)


class ObjectStore:
    """A place in an object store, as a destination of :meth:`roomrec_async.RecordingsClient.download`.

    What is written is there whole, or not at all: an upload that ends early is aborted.

    Args:
        store: a store of obstore's, with its own credentials and settings.
        prefix: what comes before every name, such as ``rooms/2026``.

    Raises:
        InvalidArgumentError: this is no store that can be written to, or the prefix has an empty or a dotted folder.

    Example:
        >>> store = ObjectStore(obstore.store.S3Store("bucket", region="eu-central-1"), prefix="rooms")
        >>> await client.download(recording, store)
    """

    def __init__(self, store: AnyStore, prefix: str = "") -> None:
        if not isinstance(store, AnyStore):
            raise InvalidArgumentError(f"store must be one of obstore's, not {type(store).__name__}")
        folders = prefix.strip("/").split("/") if prefix.strip("/") else []
        if not {"", ".", ".."}.isdisjoint(folders):
            raise InvalidArgumentError(f"prefix must be folders such as 'rooms/2026', not {safe_repr(prefix)}")
        self._store = store
        self._prefix = "".join(f"{folder}/" for folder in folders)
        self._base = _described(store)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The store that a URL such as ``s3://bucket/prefix`` names, with the credentials of the environment.

        Raises:
            ConfigurationError: there is no such kind of store, or the environment lacks something.
        """
        parsed = _parsed(url)
        try:
            store = from_url(str(parsed), retry_config=_RETRIES)
        except (BaseError, ValueError) as error:
            reason = _reason(error)
        else:
            if isinstance(store, HTTPStore):
                raise ConfigurationError(f"{parsed} is no object store: give s3://, gs:// or az:// and a bucket")
            return cls(store)
        raise ConfigurationError(f"{parsed} cannot be used: {reason}")

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

        Whoever cancels this waits until the store has let go of what it had received.

        Raises:
            MediaError: the store did not take it.
        """
        async with aclosing(_in_parts(chunks)) as parts:
            first = await anext(parts, b"")
            feed = _Feed()
            uploading = self._upload(name, feed if len(first) >= _PART else first)
            uploading.add_done_callback(lambda _: feed.stop())
            try:
                if len(first) >= _PART:
                    await feed.give_all(first, parts)
                await asyncio.wait([uploading])
            finally:
                feed.stop()
                await wait_finished(uploading)
        if (error := uploading.exception()) is not None:
            raise MediaError(f"{self.location(name)}: {_reason(error)}")

    def _upload(self, name: str, data: _Feed | bytes) -> asyncio.Future[obstore.PutResult]:
        # This is no task, so that the end of an event loop, which cancels all tasks, lets it clean up.
        return asyncio.ensure_future(
            obstore.put_async(
                self._store,
                self._prefix + name,
                data,
                use_multipart=not isinstance(data, bytes),
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )
        )

    def __repr__(self) -> str:
        return f"<ObjectStore at {self.location('')}>"


class _Feed:
    """Hands parts to an upload, each when it is asked for.

    The last one is empty. Before obstore takes it, it waits for the parts that are on their way; so an abort does not
    overtake them, which would leave them behind, and an error of theirs comes at a time when obstore still aborts.
    """

    def __init__(self) -> None:
        self._part = b""
        self._given = asyncio.Event()
        self._taken = asyncio.Event()
        self._end: Exception | None = None
        self._last_is_out = False

    async def give_all(self, first: bytes, others: AsyncIterator[bytes]) -> None:
        """Hand the parts over; return when all are taken, or it was stopped."""
        await self._give(first)
        while self._end is None:
            part = await anext(others, None)
            if part is None:
                self._finish(StopAsyncIteration())
            else:
                await self._give(part)

    def stop(self) -> None:
        """Make the upload fail, unless it has everything."""
        # Any exception will do: it makes obstore abort. What went wrong is told by whoever stops.
        self._finish(OSError("the upload was stopped"))

    async def _give(self, part: bytes) -> None:
        if self._end is None:
            self._part = part
            self._taken.clear()
            self._given.set()
            await self._taken.wait()

    def _finish(self, end: Exception) -> None:
        self._end = end
        self._given.set()
        self._taken.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await self._given.wait()
        if self._end is None:
            part, self._part = self._part, b""
            self._given.clear()
            self._taken.set()
            return part
        if self._last_is_out:
            raise self._end
        self._last_is_out = True
        return b""


async def _in_parts(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of a part or more; only the last is smaller."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        if len(held) >= _PART:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


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


def _reason(error: BaseException) -> str:
    """The first line of what the store says; the rest is for its developers, and may quote requests."""
    if any(place in str(error) for place in _METADATA):
        return "there are no credentials for it in the environment"
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    # What the server sent begins with a tag. Of that, only the code: the rest can quote the request.
    line = _PRIVATE.sub("", line.partition("<")[0]).rstrip(" :")
    line = line if len(line) <= _REASON_AT_MOST else f"{line[:_REASON_AT_MOST]}..."
    code = _CODE.search(str(error))
    return f"{line} ({code[1]})" if code else line
