"""Download of one recording's media: to a file, resumed after interruptions, or to a store, all or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from concurrent import futures
from contextlib import aclosing, closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar

import attrs
import msgspec

from roomrec_async._asyncio import call_destination, open_in_thread, run_in_thread, wait_finished
from roomrec_async._files import PartFile, file_path, file_size
from roomrec_async._http.timers import Deadline
from roomrec_async.errors import (
    DecryptionError,
    InvalidArgumentError,
    RequestTimeoutError,
    TransportError,
    VerificationError,
)
from roomrec_async.protocols import Decryption, Decryptor, Destination

from .locate import Media, MediaStream, is_encrypted

_Result = TypeVar("_Result")

OnBytes: TypeAlias = Callable[[int], object]
"""Progress callback: called with the number of bytes that have just arrived."""

MATROSKA_MAGIC: Final = b"\x1a\x45\xdf\xa3"
"""First bytes of every recording, which is a Matroska file: the ID of the EBML header."""

# Unsynced bytes at which a background sync starts, so that few are left to wait for at the end.
_SYNC_THRESHOLD: Final = 2**26
# Bytes between two checkpoints: what is received again after the process was killed.
_CHECKPOINT_DISTANCE: Final = 2**22


@attrs.frozen
class Download:
    """The result of a download.

    Attributes:
        recording_sid: SID of the recording.
        location: path of the file, or the destination's :meth:`~Destination.location` of the object.
        size: number of bytes, decrypted where the media were encrypted.
        sha256: SHA-256 of these bytes, in hexadecimal; None for media that were already there, which are recognized by
            name and size without reading them.
        etag: ETag of the version that was read; None if nothing was read, or the store sends none.
        resumed_at: number of bytes kept from an earlier attempt.
        already_there: True if nothing had to be downloaded.
        is_matroska: True if the bytes begin as those of every recording do; None for media that were already there.
    """

    recording_sid: str
    location: str
    size: int
    sha256: str | None
    etag: str | None = None
    resumed_at: int = 0
    already_there: bool = False
    is_matroska: bool | None = None


class DownloadOperation(msgspec.Struct, frozen=True):
    """One download.

    Args:
        media: the media to download.
        destination: a path, or a store.
        decryption: decrypts encrypted media.
        on_bytes: called with the number of bytes that have arrived, each time some have.
        folder: prefix of the name in the destination; empty, or with a slash at its end.
        overwrite: True to download media even if a file of the same name and size is there.

    Raises:
        InvalidArgumentError: the destination is neither a path nor a :class:`Destination`.
    """

    media: Media
    destination: str | os.PathLike[str] | Destination
    decryption: Decryption | None = None
    on_bytes: OnBytes | None = None
    folder: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_destination(self.destination)

    @property
    def name(self) -> str:
        """Name of the media in the destination."""
        return self.folder + self.media.file_name

    async def run(self, deadline: Deadline) -> Download:
        """Download the media. Raises the errors of :meth:`roomrec_async.RecordingsClient.download`."""
        with self.media.transport.notifier.notify(self.media.operation):
            return await self._run_until(deadline)

    async def _run_until(self, deadline: Deadline) -> Download:
        """Download the media, within the deadline.

        Raises:
            RequestTimeoutError: the deadline has passed. The part of a file stays, to be resumed.
        """
        scope = self.media.transport.operation_scope(deadline)
        try:
            with scope, closing(MediaStream(self.media, deadline)) as stream:
                return await self._download(stream)
        except TimeoutError:
            # Somebody else's timeout, such as that of a destination, is not this one.
            if not scope.expired:
                raise
        raise RequestTimeoutError(
            f"the media did not arrive within {deadline.timeout.total:g} s",
            method="GET",
            url=f"{self.media.transport.base_url}{self.media.path}",
        )

    async def _download(self, stream: MediaStream) -> Download:
        if isinstance(self.destination, (str, os.PathLike)):
            return await self._download_to_file(file_path(self.destination, self.name), stream)
        return await self._download_to_destination(self.destination, stream)

    async def _download_to_file(self, path: Path, stream: MediaStream) -> Download:
        existing_size = await asyncio.to_thread(file_size, path)
        if existing_size is not None and self._is_complete(existing_size):
            return self._existing_download(str(path), existing_size)

        part = await open_part_file(path)
        try:
            pipeline, resumed_at = await start_again(stream, partial(self._fill_part, part, stream))
            await run_in_thread(part.finish)
        except (VerificationError, DecryptionError):
            # Wrong bytes must not be resumed.
            part.discard()
            raise
        finally:
            part.close()
        return self._finished_download(str(path), stream, pipeline, resumed_at)

    async def _fill_part(self, part: PartFile, stream: MediaStream) -> tuple[_Pipeline, int]:
        """Download the media to a part, and check their size. Returns the pipeline, and where the part was resumed."""
        digest = await run_in_thread(partial(digest_of_part, part))
        await stream.open(digest.size, lambda validator: self._version(validator) == part.version)
        if stream.position:
            await run_in_thread(partial(part.resume, stream.position))
        else:
            digest = Digest()
            # Decrypted bytes cannot be resumed: their number is not an offset into the encrypted ones.
            validator = None if is_encrypted(stream.headers) else stream.validator
            version = None if validator is None else self._version(validator)
            await run_in_thread(partial(part.restart, version))
        resumed_at = stream.position
        pipeline = self._pipeline(stream, digest)
        await write_part(part, self._counted_batches(stream), pipeline)
        self._check_size(pipeline, stream)
        return pipeline, resumed_at

    async def _download_to_destination(self, destination: Destination, stream: MediaStream) -> Download:
        location = destination.location(self.name)
        existing_size = await call_destination(destination.size(self.name))
        if existing_size is not None and self._is_complete(existing_size):
            return self._existing_download(location, existing_size)

        pipeline = await start_again(stream, partial(self._fill_object, destination, stream))
        stored_size = await call_destination(destination.size(self.name))
        if stored_size != pipeline.size:
            raise VerificationError(f"{location}: {stored_size} bytes are stored, and {pipeline.size} were written")
        return self._finished_download(location, stream, pipeline, 0)

    async def _fill_object(self, destination: Destination, stream: MediaStream) -> _Pipeline:
        """Download the media to an object of a store, and check their size."""
        await stream.open(0, lambda _: False)
        pipeline = self._pipeline(stream, Digest())

        async def chunks() -> AsyncGenerator[bytes, None]:
            async with aclosing(self._counted_batches(stream)) as batches:
                async for batch in batches:
                    yield b"".join(await run_in_thread(partial(pipeline.process, batch)))
            yield pipeline.finish()
            # Raised inside the destination's write, so that wrong bytes are not stored.
            self._check_size(pipeline, stream)

        async with aclosing(chunks()) as arriving:
            await call_destination(destination.write(self.name, arriving))
        return pipeline

    def _is_complete(self, existing_size: int) -> bool:
        return not self.overwrite and existing_size == self.media.size

    def _existing_download(self, location: str, size: int) -> Download:
        return Download(self._sid, location, size, sha256=None, already_there=True)

    def _finished_download(self, location: str, stream: MediaStream, pipeline: _Pipeline, resumed_at: int) -> Download:
        return Download(
            self._sid,
            location,
            pipeline.size,
            pipeline.digest.sha256,
            stream.etag,
            resumed_at,
            is_matroska=pipeline.digest.is_matroska,
        )

    def _version(self, validator: str) -> str:
        """Return what identifies the media, whatever the file is called: another recording may have the same ETag."""
        return f"{self._sid} {self.media.size} {validator}"

    def _pipeline(self, stream: MediaStream, digest: Digest) -> _Pipeline:
        """Return the pipeline for the bytes of a stream.

        Args:
            stream: the stream.
            digest: that of the bytes before those that the stream yields.

        Raises:
            DecryptionError: the media are encrypted, and there is no key for them, or it is the wrong one.
        """
        if not is_encrypted(stream.headers):
            return _Pipeline(None, digest)
        if self.decryption is None:
            raise DecryptionError(
                f"the media of {self._sid} are encrypted, and need the private key: "
                "decryption=PrivateKey.from_file(...), or --private-key FILE on the command line"
            )
        return _Pipeline(self.decryption.decryptor(stream.headers), digest)

    def _check_size(self, pipeline: _Pipeline, stream: MediaStream) -> None:
        """Check that as many bytes arrived as the decryption, the store or the service announced.

        Raises:
            VerificationError: there are fewer, or more.
        """
        # The store's total is that of the encrypted bytes.
        announced = pipeline.announced_size if is_encrypted(stream.headers) else stream.total
        if announced is None:
            announced = self.media.size
        if announced is not None and pipeline.size != announced:
            raise VerificationError(
                f"the media of {self._sid}: {pipeline.size} bytes arrived, and {announced} were announced"
            )

    async def _counted_batches(self, stream: MediaStream) -> AsyncGenerator[list[bytes], None]:
        """Yield the batches of a stream, and report their sizes to observers and to the callback."""
        async with aclosing(stream.batches()) as batches:
            async for batch in batches:
                size = sum(map(len, batch))
                self.media.operation.bytes += size
                if self.on_bytes is not None:
                    self.on_bytes(size)
                yield batch

    @property
    def _sid(self) -> str:
        return self.media.recording.sid or ""


def check_destination(destination: str | os.PathLike[str] | Destination) -> None:
    """Check that a destination is a path, or a store.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if not isinstance(destination, (str, os.PathLike)) and not hasattr(destination, "write"):
        raise InvalidArgumentError(f"destination must be a path or a store, not {type(destination).__name__}")


class Digest:
    """Hashes the bytes of media, counts them, and looks at how they begin. Blocks: run it in a thread.

    Attributes:
        size: number of bytes so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        # The first bytes, as many as the magic number has.
        self._head = b""

    def update(self, chunk: bytes) -> None:
        """Add the next bytes."""
        if len(self._head) < len(MATROSKA_MAGIC):
            self._head = (self._head + chunk)[: len(MATROSKA_MAGIC)]
        self.size += len(chunk)
        self._hash.update(chunk)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def is_matroska(self) -> bool:
        """True if the bytes begin as a Matroska file."""
        return self._head == MATROSKA_MAGIC


class _Pipeline:
    """Decrypts bytes if they are encrypted, and keeps a digest of them. Runs in threads, one call at a time.

    Only the steps of :meth:`process` may be taken apart, to write the bytes while they are hashed.

    Attributes:
        digest: the digest of the bytes that have come out so far, after those that it was given.
    """

    def __init__(self, decryptor: Decryptor | None, digest: Digest) -> None:
        self.digest = digest
        self._decryptor = decryptor

    @property
    def size(self) -> int:
        """Number of bytes that have come out so far."""
        return self.digest.size

    @property
    def announced_size(self) -> int | None:
        """Number of decrypted bytes according to the store; None if they are not encrypted, or it does not say."""
        if self._decryptor is None:
            return None
        return self._decryptor.size

    def process(self, chunks: list[bytes]) -> list[bytes]:
        """Return the next chunks, decrypted, after adding them to the digest."""
        chunks = self.decrypt(chunks)
        self.hash(chunks)
        return chunks

    def decrypt(self, chunks: list[bytes]) -> list[bytes]:
        """Return the next chunks, decrypted. They have to be hashed before the next ones."""
        if self._decryptor is None:
            return chunks
        return [self._decryptor.update(chunk) for chunk in chunks]

    def hash(self, chunks: Iterable[bytes]) -> None:
        """Add decrypted chunks to the digest."""
        for chunk in chunks:
            self.digest.update(chunk)

    def finish(self) -> bytes:
        """Return the last bytes, which the decryption held back, after adding them to the digest."""
        if self._decryptor is None:
            return b""
        last = self._decryptor.finalize()
        self.digest.update(last)
        return last


async def start_again(stream: MediaStream, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
    """Return the result of an attempt, repeated where the media broke off and cannot be resumed."""
    while True:
        try:
            return await attempt()
        except TransportError as error:
            await stream.retry(error)


async def open_part_file(path: Path) -> PartFile:
    """Open the part of a file in a thread. A caller that is cancelled meanwhile leaves it closed."""
    return await open_in_thread(partial(PartFile, path), PartFile.close)


def digest_of_part(part: PartFile) -> Digest:
    """Return the digest of the bytes that can be resumed: those of a checkpoint, if they are still the same."""
    digest = Digest()
    if part.checkpoint is None:
        return digest
    for chunk in part.read(part.checkpoint.size):
        digest.update(chunk)
    return digest if digest.sha256 == part.checkpoint.sha256 else Digest()


async def write_part(part: PartFile, batches: AsyncGenerator[list[bytes], None], pipeline: _Pipeline) -> None:
    """Write batches to a part as they arrive, each while the next one is read, and sync it now and then.

    A batch is written and hashed at the same time, and one is done before the next begins: whenever nothing runs, the
    digest is that of the bytes in the part, unless a write failed.
    """
    hasher = futures.ThreadPoolExecutor(1, thread_name_prefix="roomrec-hash")

    def write(batch: list[bytes]) -> None:
        chunks = pipeline.decrypt(batch)
        hashing = hasher.submit(pipeline.hash, chunks)
        try:
            part.write(chunks)
        finally:
            hashing.result()
        if part.unsaved >= _CHECKPOINT_DISTANCE:
            part.save_checkpoint(pipeline.digest.sha256)

    def save_rest() -> None:
        # After a failed write, what was hashed is not all there. The error that ends the download is the one to raise.
        if part.unsaved and part.size == pipeline.size:
            with suppress(OSError, InvalidArgumentError):
                part.save_checkpoint(pipeline.digest.sha256)

    try:
        # The hasher's thread ends last. It is idle by then, so that this waits for nothing.
        with hasher:
            async with _SerialExecutor() as writer, _SerialExecutor() as syncer, aclosing(batches):
                async for batch in batches:
                    await writer.submit(partial(write, batch))
                    if part.unsynced >= _SYNC_THRESHOLD and syncer.is_idle:
                        await syncer.submit(part.sync)
    except BaseException:
        await run_in_thread(save_rest)
        raise
    await run_in_thread(lambda: part.write([pipeline.finish()]))


class _SerialExecutor:
    """Runs functions in a thread, one after another.

    Threads cannot be cancelled: leaving the block waits for the function that is running.
    """

    def __init__(self) -> None:
        # The function that is running, or was the last one.
        self._running: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """True if no function is running."""
        return self._running is None or self._running.done()

    async def submit(self, function: Callable[[], None]) -> None:
        """Wait for the function before, raise its exception if it failed, and start this one."""
        if self._running is not None:
            await wait_finished(self._running)
            self._running.result()
        self._running = asyncio.get_running_loop().run_in_executor(None, function)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._running is not None:
            await wait_finished(self._running)
            if exc is None:
                self._running.result()
