"""Object stores as destinations: S3, Google Cloud Storage, Azure, and services that speak their protocols.

Needs the extra ``stores``: ``pip install 'roomrec-async[stores]'``.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from yarl import URL

from roomrec_async._asyncio import wait_finished
from roomrec_async._lease import ObjectVersion
from roomrec_async._text import safe_repr
from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
    from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store, from_url
except ModuleNotFoundError as _error:
    raise ConfigurationError("object stores need obstore: pip install 'roomrec-async[stores]'") from _error

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import RetryConfig

AnyStore: TypeAlias = S3Store | GCSStore | AzureStore | LocalStore | MemoryStore
"""A store that can be written to."""

# Bytes; the smallest part that S3 takes. A slow connection could not send a larger one within a request's timeout.
_PART_SIZE: Final = 5 * 2**20
# One part is sent while the next one is buffered. With more of them, an abort would not wait until all are sent.
_MAX_CONCURRENT_PARTS: Final = 1
# By default obstore retries for three minutes, even if only the credentials are missing.
_RETRY_CONFIG: Final[RetryConfig] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}

# Environment variables that obstore reads, by precedence.
_S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_AZURE_ENDPOINTS: Final = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_AZURE_ACCOUNTS: Final = ("AZURE_STORAGE_ACCOUNT_NAME",)
# Hosts of Amazon's endpoints, with or without a region and the name of a bucket.
_AMAZON: Final = re.compile(r"[./]amazonaws\.com(\.cn)?(:\d+)?/?$", re.IGNORECASE)

# Control characters, and bytes of a command line that are no UTF-8.
_NOT_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_MAX_REASON_LENGTH: Final = 300
# Secrets in a URL: the user and password, and the query, which can be a signature.
_URL_SECRETS: Final = re.compile(r"(?<=://)[^/@\s]*@|\?\S*")
# The error code in a response of S3, and of the others.
_ERROR_CODE: Final = re.compile(r"<Code>(\w{1,80})</Code>")
_NO_BUCKET: Final = "there is no such bucket: create it, or correct the name"
_EXPLANATIONS: Final = {"NoSuchBucket": _NO_BUCKET, "ContainerNotFound": _NO_BUCKET}
# Parts of the URLs where a cloud's machines get their credentials, if the environment has none.
_METADATA_URLS: Final = ("169.254.169.254", "/latest/api/token", "/latest/meta-data", "metadata.google.internal")

# Seconds. obstore's threads release Python objects shortly after an operation has finished. If the interpreter exits at
# that moment, the process is aborted (SIGABRT), although all went well.
_EXIT_DELAY: Final = 0.05
atexit.register(time.sleep, _EXIT_DELAY)


class ObjectStore:
    """An object store, or a prefix in it, as a destination of :meth:`roomrec_async.RecordingsClient.download`.

    Objects are written as a whole or not at all: an upload that ends early is aborted.

    Args:
        store: one of obstore's stores, with its own credentials and settings.
        prefix: comes before every name, such as ``rooms/2026``.

    Raises:
        InvalidArgumentError: the store cannot be written to, or the prefix has an empty or a dotted folder, or a
            character that no name of an object has.

    Example:
        >>> store = ObjectStore(obstore.store.S3Store("bucket", region="eu-central-1"), prefix="rooms")
        >>> await client.download(recording, store)
    """

    def __init__(self, store: AnyStore, prefix: str = "") -> None:
        if not isinstance(store, AnyStore):
            raise InvalidArgumentError(f"store must be one of obstore's, not {type(store).__name__}")
        stripped = prefix.strip("/")
        folders = stripped.split("/") if stripped else []
        if not {"", ".", ".."}.isdisjoint(folders) or _NOT_IN_NAMES.search(prefix):
            raise InvalidArgumentError(f"prefix must be folders such as 'rooms/2026', not {safe_repr(prefix)}")
        self._store = store
        self._prefix = "".join(f"{folder}/" for folder in folders)
        self._base_url = _base_url(store)
        self._endpoint = _endpoint(store)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store at a URL such as ``s3://bucket/prefix``, with the credentials of the environment.

        Raises:
            ConfigurationError: the URL is not that of an object store, or the environment lacks something.
        """
        parsed = _parse_url(url)
        try:
            store = from_url(str(parsed), retry_config=_RETRY_CONFIG)
        except (BaseError, ValueError) as error:
            reason = _format_reason(error)
        else:
            if isinstance(store, HTTPStore):
                raise ConfigurationError(f"{parsed} is not an object store: give s3://, gs:// or az:// and a bucket")
            return cls(store)
        # Not raised above, where the error of the store, which can quote credentials, would be its context.
        raise ConfigurationError(f"{parsed} cannot be used: {reason}")

    @property
    def endpoint(self) -> str:
        """Service and account that have the bucket, such as ``https://minio.example:9000``; empty for a local one."""
        return self._endpoint

    def location(self, name: str) -> str:
        """Return the URL of the object of this name, such as ``s3://bucket/rooms/RT....mkv``."""
        return f"{self._base_url}{self._prefix}{name}"

    async def size(self, name: str) -> int | None:
        """Return the number of bytes of the object of this name, or None if there is none.

        Raises:
            MediaError: the store did not answer, or refused the request.
        """
        try:
            metadata = await obstore.head_async(self._store, self._prefix + name)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            reason = _format_reason(error)
        else:
            return metadata["size"]
        raise MediaError(f"{self.location(name)}: {reason}")

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Store an object as a whole or not at all. Exceptions from the chunks are raised unchanged.

        A caller that is cancelled waits until the store has discarded what it received.

        Raises:
            MediaError: the store did not accept the object.
        """
        async with aclosing(_buffer_parts(chunks)) as parts:
            # An object of less than a part is sent in one request.
            first = await anext(parts, b"")
            stream = _PartStream()
            is_multipart = len(first) >= _PART_SIZE
            data = stream if is_multipart else first
            upload = self._start_upload(name, data)
            upload.add_done_callback(lambda _: stream.abort())
            try:
                if is_multipart:
                    await stream.send_all(first, parts)
                await asyncio.wait([upload])
            finally:
                stream.abort()
                await wait_finished(upload)

        error = upload.exception()
        if error is not None:
            raise MediaError(f"{self.location(name)}: {_format_reason(error)}")

    async def create(self, name: str, data: bytes) -> bool:
        """Store a small object and return True; return False, and change nothing, if there is one of this name.

        Of any number of processes that create the same object at once, one gets True.

        Raises:
            MediaError: the store did not accept the object.
        """
        try:
            await obstore.put_async(self._store, self._prefix + name, data, mode="create")
        except (AlreadyExistsError, FileExistsError):
            return False
        except (BaseError, OSError) as error:
            reason = _format_reason(error)
        else:
            return True
        raise MediaError(f"{self.location(name)}: {reason}")

    @property
    def is_versioned(self) -> bool:
        """True if :meth:`exchange` can replace objects: a directory, as obstore's ``LocalStore``, cannot."""
        return not isinstance(self._store, LocalStore)

    async def read_version(self, name: str) -> tuple[bytes, ObjectVersion] | None:
        """Return the content of a small object and its version, or None if there is none of this name.

        Raises:
            MediaError: the store did not answer, or refused the request.
        """
        try:
            result = await obstore.get_async(self._store, self._prefix + name)
            content = bytes(await result.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            reason = _format_reason(error)
        else:
            return content, (result.meta["e_tag"], result.meta["version"])
        raise MediaError(f"{self.location(name)}: {reason}")

    async def exchange(self, name: str, data: bytes, version: ObjectVersion | None) -> ObjectVersion | None:
        """Replace a small object if it has a version, and return its new one; return None if it has another.

        Args:
            name: the name of the object.
            data: its new content.
            version: the version to replace, of :meth:`read_version` or of this method; None if there must be none.

        Raises:
            MediaError: the store did not accept the object.
        """
        try:
            result = await obstore.put_async(self._store, self._prefix + name, data, mode=_put_mode(version))
        except (AlreadyExistsError, PreconditionError):
            return None
        except (BaseError, OSError) as error:
            # The one to replace is gone; where there was to be none, it is the bucket that does not exist.
            if isinstance(error, FileNotFoundError) and version is not None:
                return None
            reason = _format_reason(error)
        else:
            return result["e_tag"], result["version"]
        raise MediaError(f"{self.location(name)}: {reason}")

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the object of this name, as the store has them.

        Raises:
            MediaError: there is no such object, the store did not answer, or it refused the request.
        """
        try:
            result = await obstore.get_async(self._store, self._prefix + name)
            async for chunk in result.stream(min_chunk_size=_PART_SIZE):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            reason = _format_reason(error)
        else:
            return
        raise MediaError(f"{self.location(name)}: {reason}")

    async def sizes(self, folder: str) -> AsyncGenerator[tuple[str, int], None]:
        """Yield the name and the size in bytes of each object in a folder, such as ``manifest.jsonl/``.

        Raises:
            MediaError: the store did not answer, or refused the request.
        """
        prefix = self._prefix + folder
        try:
            async for objects in obstore.list(self._store, prefix):
                for each in objects:
                    yield each["path"].removeprefix(self._prefix), each["size"]
        except (BaseError, OSError) as error:
            reason = _format_reason(error)
        else:
            return
        raise MediaError(f"{self.location(folder)}: {reason}")

    async def delete(self, name: str) -> None:
        """Delete the object of this name, if there is one.

        Raises:
            MediaError: the store did not answer, or refused the request.
        """
        try:
            await obstore.delete_async(self._store, self._prefix + name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            reason = _format_reason(error)
        else:
            return
        raise MediaError(f"{self.location(name)}: {reason}")

    def _start_upload(self, name: str, data: _PartStream | bytes) -> asyncio.Future[obstore.PutResult]:
        # obstore's future is not a task: a loop that ends cancels all tasks, and the upload could not clean up.
        return asyncio.ensure_future(
            obstore.put_async(
                self._store,
                self._prefix + name,
                data,
                use_multipart=isinstance(data, _PartStream),
                chunk_size=_PART_SIZE,
                max_concurrency=_MAX_CONCURRENT_PARTS,
            )
        )

    def __repr__(self) -> str:
        return f"<ObjectStore at {self.location('')}>"


class _PartStream:
    """Passes parts to an upload, each when the upload asks for it.

    The stream ends with an empty part. Before obstore takes that one, it waits for the parts that are being sent: an
    abort that overtook them would leave them in the store, and after the end obstore does not abort when a part fails.
    """

    def __init__(self) -> None:
        self._part = b""
        # Set while there is a part to take, and at the end.
        self._part_ready = asyncio.Event()
        # Set once the part was taken, and at the end.
        self._part_taken = asyncio.Event()
        # Ends the stream: StopAsyncIteration after all parts, another exception to abort the upload.
        self._end: Exception | None = None
        self._empty_part_sent = False

    async def send_all(self, first: bytes, others: AsyncIterator[bytes]) -> None:
        """Send the parts, and return when all of them were taken, or the upload was aborted."""
        await self._send(first)
        while self._end is None:
            part = await anext(others, None)
            if part is None:
                self._finish(StopAsyncIteration())
            else:
                await self._send(part)

    def abort(self) -> None:
        """Make the upload fail, unless it has reached the end of the stream."""
        # Any exception makes obstore abort. This one is shown to nobody: the caller raises the cause.
        self._finish(OSError("the upload was aborted"))

    async def _send(self, part: bytes) -> None:
        if self._end is None:
            self._part = part
            self._part_taken.clear()
            self._part_ready.set()
            await self._part_taken.wait()

    def _finish(self, end: Exception) -> None:
        self._end = end
        self._part_ready.set()
        self._part_taken.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await self._part_ready.wait()
        if self._end is None:
            part = self._part
            # No part is kept here while it is sent.
            self._part = b""
            self._part_ready.clear()
            self._part_taken.set()
            return part

        if self._empty_part_sent:
            raise self._end
        self._empty_part_sent = True
        return b""


async def _buffer_parts(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the same bytes in parts of at least the part size; only the last one may be smaller."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) >= _PART_SIZE:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _put_mode(version: ObjectVersion | None) -> Literal["create"] | UpdateVersion:
    if version is None:
        return "create"
    mode: UpdateVersion = {}
    e_tag, generation = version
    if e_tag is not None:
        mode["e_tag"] = e_tag
    if generation is not None:
        mode["version"] = generation
    return mode


def _base_url(store: AnyStore) -> str:
    """Return the URL, or for a local store the path, of the store and its own prefix."""
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


def _endpoint(store: AnyStore) -> str:
    """Return what tells two buckets of one name apart: the host of the service, and the account."""
    if isinstance(store, S3Store):
        endpoint = store.config.get("endpoint") or _environment_variable(*_S3_ENDPOINTS)
        # Whatever the region, all buckets there have names of their own.
        is_amazon = not endpoint or _AMAZON.search(endpoint) is not None
        return "s3.amazonaws.com" if is_amazon else _without_secrets(endpoint)
    if isinstance(store, AzureStore):
        endpoint = store.config.get("endpoint") or _environment_variable(*_AZURE_ENDPOINTS)
        account = store.config.get("account_name") or _environment_variable(*_AZURE_ACCOUNTS)
        return " ".join(filter(None, (account, _without_secrets(endpoint))))
    return "storage.googleapis.com" if isinstance(store, GCSStore) else ""


def _environment_variable(*names: str) -> str:
    """Return the value of the first of these variables that is set, or an empty text."""
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _without_secrets(endpoint: str) -> str:
    return _URL_SECRETS.sub("", endpoint).rstrip("/")


def _parse_url(url: str) -> URL:
    try:
        parsed = URL(url)
    except ValueError:
        raise ConfigurationError(
            "this is not the URL of an object store: give s3://bucket/prefix, gs:// or az://"
        ) from None
    if parsed.user or parsed.password or parsed.query_string:
        raise ConfigurationError("the URL of an object store must not contain credentials: set them in the environment")
    return parsed


def _format_reason(error: BaseException) -> str:
    """Return the first line of a store's error; the rest is for its developers, and may quote requests."""
    message = str(error)
    if any(url in message for url in _METADATA_URLS):
        return "the environment has no credentials for it"
    lines = message.splitlines()
    reason = lines[0] if lines and lines[0] else type(error).__name__

    # The server's response starts with a tag. It may quote the request: only its error code is kept.
    reason = _URL_SECRETS.sub("", reason.partition("<")[0]).rstrip(" :")
    if len(reason) > _MAX_REASON_LENGTH:
        reason = f"{reason[:_MAX_REASON_LENGTH]}..."
    code = _ERROR_CODE.search(message)
    if code is None:
        return reason
    return _EXPLANATIONS.get(code[1], f"{reason} ({code[1]})")
