"""Downloads: media into a file that is resumed, or to a destination that takes all of it or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

import attrs
import msgspec

from roomrec_async._asyncio import run_in_thread, wait_finished
from roomrec_async._files import PartFile, file_path, file_size
from roomrec_async._http.timers import Deadline
from roomrec_async.errors import (
    DecryptionError,
    InvalidArgumentError,
    RequestTimeoutError,
    VerificationError,
)
from roomrec_async.protocols import Decryption, Decryptor, Destination

from .locate import Media, MediaStream, is_encrypted

OnBytes: TypeAlias = Callable[[int], object]
"""What is told of the bytes that arrive, each time how many."""

# Bytes that go to the disk at once, so that there are few left to wait for at the end.
_SYNCED_AT_ONCE: Final = 2**26


@attrs.frozen
class Download:
    """A recording's media, where they are now.

    Attributes:
        recording_sid: whose media they are.
        location: the path of the file, or where the destination has put them.
        size: how many bytes there are, decrypted where they were encrypted.
        sha256: the SHA-256 of these bytes, in hexadecimal; None where they were there already, which is told by name
            and size without reading them.
        etag: the ETag of the version that was read; None where nothing was read, or the store has none.
        resumed_at: how many of the bytes an earlier attempt had left.
        already_there: whether nothing had to be downloaded.
    """

    recording_sid: str
    location: str
    size: int
    sha256: str | None
    etag: str | None = None
    resumed_at: int = 0
    already_there: bool = False


class DownloadOperation(msgspec.Struct, frozen=True):
    """One download: what, where to and how.

    Args:
        media: what.
        destination: a path, or something that takes media.
        decryption: what encrypted media are decrypted with.
        on_bytes: is told of the bytes that arrive.
        folder: what comes before the name in the destination: nothing, or something that ends in a slash.
        overwrite: True to download a file even if one of its name and size is there.

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
        """What the media are called in the destination."""
        return self.folder + self.media.name

    async def run(self, deadline: Deadline) -> Download:
        """Do it. Raises what :meth:`RecordingsClient.download` does."""
        with self.media.transport.notifier.notify(self.media.operation):
            return await self._within(deadline)

    async def _within(self, deadline: Deadline) -> Download:
        """Do it in time.

        Raises:
            RequestTimeoutError: it was not finished in time. What a file has by then stays, to be resumed.
        """
        scope = asyncio.timeout_at(None if deadline.timeout.total is None else deadline.at)
        try:
            async with scope:
                with closing(MediaStream(self.media, deadline)) as stream:
                    return await self._from(stream)
        except TimeoutError:
            if not scope.expired():
                raise
        raise RequestTimeoutError(
            f"the media did not arrive within {deadline.timeout.total:g} s",
            method="GET",
            url=f"{self.media.transport.base_url}{self.media.path}",
        )

    async def _from(self, stream: MediaStream) -> Download:
        if isinstance(self.destination, (str, os.PathLike)):
            return await self._to_file(file_path(self.destination, self.name), stream)
        return await self._to_destination(self.destination, stream)

    async def _to_file(self, path: Path, stream: MediaStream) -> Download:
        there = await asyncio.to_thread(file_size, path)
        if there is not None and self._is_whole(there):
            return self._already_at(str(path), there)
        part = await _opened(path)
        try:
            await stream.begin(part.size if part.version else 0, lambda etag: etag == part.version)
            if not stream.position:
                # Decrypted bytes do not tell where to go on in encrypted ones: they are the part of no version.
                version = None if is_encrypted(stream.headers) else stream.etag
                await run_in_thread(partial(part.begin, version))
            resumed_at, intake = stream.position, self._intake(stream)
            await _fill(part, self._batches(stream), intake)
            self._check(intake, stream)
            await run_in_thread(part.finish)
        except (VerificationError, DecryptionError):
            # What is not what it should be must not be resumed.
            part.discard()
            raise
        finally:
            part.close()
        return self._downloaded(str(path), stream, intake, resumed_at)

    async def _to_destination(self, destination: Destination, stream: MediaStream) -> Download:
        name = self.name
        location, there = destination.location(name), await destination.size(name)
        if there is not None and self._is_whole(there):
            return self._already_at(location, there)
        await stream.begin(0, lambda _: False)
        intake = self._intake(stream)

        async def chunks() -> AsyncGenerator[bytes, None]:
            async with aclosing(self._batches(stream)) as batches:
                async for batch in batches:
                    yield b"".join(await run_in_thread(partial(intake.take, batch)))
            yield intake.end()
            self._check(intake, stream)

        async with aclosing(chunks()) as arriving:
            await destination.write(name, arriving)
        there = await destination.size(name)
        if there != intake.size:
            raise VerificationError(f"{location}: {there} bytes are there, and {intake.size} were written")
        return self._downloaded(location, stream, intake, 0)

    def _is_whole(self, there: int) -> bool:
        return not self.overwrite and there == self.media.size

    def _already_at(self, location: str, size: int) -> Download:
        return Download(self._sid, location, size, sha256=None, already_there=True)

    def _downloaded(self, location: str, stream: MediaStream, intake: _Intake, resumed_at: int) -> Download:
        return Download(self._sid, location, intake.size, intake.sha256, stream.etag, resumed_at)

    def _intake(self, stream: MediaStream) -> _Intake:
        """What the bytes go through.

        Raises:
            DecryptionError: they are encrypted, and there is no key for them.
        """
        if not is_encrypted(stream.headers):
            return _Intake(None)
        if self.decryption is None:
            raise DecryptionError(
                f"the media of {self._sid} are encrypted, and need the private key: "
                "decryption=PrivateKey.from_file(...), or --private-key FILE on the command line"
            )
        return _Intake(self.decryption.decryptor(stream.headers))

    def _check(self, intake: _Intake, stream: MediaStream) -> None:
        """What arrived is as much as was announced, by whomever announced it."""
        announced = intake.announced or (stream.total if stream.total is not None else self.media.size)
        if announced is not None and intake.size != announced:
            raise VerificationError(
                f"the media of {self._sid}: {intake.size} bytes arrived, and {announced} were announced"
            )

    async def _batches(self, stream: MediaStream) -> AsyncGenerator[list[bytes], None]:
        async with aclosing(stream.batches()) as batches:
            async for batch in batches:
                arrived = sum(map(len, batch))
                self.media.operation.bytes += arrived
                if self.on_bytes is not None:
                    self.on_bytes(arrived)
                yield batch

    @property
    def _sid(self) -> str:
        return self.media.recording.sid or ""


def check_destination(destination: str | os.PathLike[str] | Destination) -> None:
    """Whether it is a path, or something that takes media.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if not isinstance(destination, (str, os.PathLike)) and not hasattr(destination, "write"):
        raise InvalidArgumentError(f"destination must be a path or a store, not {type(destination).__name__}")


class _Intake:
    """What bytes go through on their way: decrypted if they are encrypted, hashed and counted. For threads."""

    def __init__(self, decryptor: Decryptor | None) -> None:
        self.size = 0
        self._decryptor = decryptor
        self._hash = hashlib.sha256()

    @property
    def announced(self) -> int | None:
        """How many decrypted bytes there are, as the store says."""
        return self._decryptor.size if self._decryptor else None

    @property
    def sha256(self) -> str:
        """The digest of what went through."""
        return self._hash.hexdigest()

    def take(self, chunks: Iterable[bytes]) -> list[bytes]:
        """The next ones."""
        return [self._counted(self._decryptor.update(chunk) if self._decryptor else chunk) for chunk in chunks]

    def end(self) -> bytes:
        """What the decryption held back."""
        return self._counted(self._decryptor.finalize() if self._decryptor else b"")

    def _counted(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        self._hash.update(chunk)
        return chunk


async def _opened(path: Path) -> PartFile:
    """What has arrived of a file, from a thread; closed if nobody waits for it any longer."""
    opening = asyncio.get_running_loop().run_in_executor(None, PartFile, path)
    try:
        await wait_finished(opening)
    except asyncio.CancelledError:
        if opening.exception() is None:
            opening.result().close()
        raise
    return opening.result()


async def _fill(part: PartFile, batches: AsyncGenerator[list[bytes], None], intake: _Intake) -> None:
    """Write batch after batch, each while the next one arrives, and let the disk begin before the end."""

    def again() -> None:
        for piece in part.read():
            intake.take([piece])

    def write(batch: list[bytes]) -> None:
        part.write(intake.take(batch))

    if part.size:
        await run_in_thread(again)
    async with _Beside() as writing, _Beside() as syncing, aclosing(batches):
        async for batch in batches:
            await writing.start(partial(write, batch))
            if part.unsynced >= _SYNCED_AT_ONCE and syncing.is_idle:
                await syncing.start(part.sync)
    part.write([await run_in_thread(intake.end)])


class _Beside:
    """Work in a thread beside the event loop, one piece after the other. A thread cannot be cancelled: whoever leaves
    the block comes after it.
    """

    def __init__(self) -> None:
        self._working: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no work under way."""
        return self._working is None or self._working.done()

    async def start(self, work: Callable[[], None]) -> None:
        """Begin, when the piece before is done."""
        if self._working is not None:
            await wait_finished(self._working)
            self._working.result()
        self._working = asyncio.get_running_loop().run_in_executor(None, work)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._working is not None:
            await wait_finished(self._working)
            if error is None:
                self._working.result()
