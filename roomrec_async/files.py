"""A file that comes into being beside its place, and takes it when it is whole. Blocking: for threads."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final, Self

from .errors import MediaError

_PIECE: Final = 2**20
_PART: Final = re.compile(r"\.([0-9a-f]{16})\.part")


def file_path(destination: str | os.PathLike[str], name: str) -> Path:
    """The path that a caller means: a directory, which gets a file of this name, or the file itself."""
    given = os.fspath(destination)
    path = Path(given)
    is_directory = given.endswith(("/", os.sep)) or path.is_dir()
    return path / name if is_directory else path


def file_size(path: Path) -> int | None:
    """The size of a file; None if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, which is in its place and on the disk when the block ends well, and is not there when it does not."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    part.replace(path)
    _sync_directory(path.parent)


class PartFile:
    """What has arrived of a file: ``NAME.KEY.part`` beside its place, where the key says which version
    it is a part of.

    It is locked, so that two downloads of the same thing never write into one file. A program that dies leaves it
    unlocked, and the next one goes on with it.

    Attributes:
        size: how many bytes it has.
    """

    def __init__(self, path: Path, part: Path, key: str, file: BinaryIO) -> None:
        self._key = key
        self.size = file.seek(0, os.SEEK_END)
        self._path = path
        self._part = part
        self._file = file
        # A thread may still write when the task that waited for it is cancelled, and closes the file.
        self._busy = Lock()

    @classmethod
    def left_behind(cls, path: Path) -> Self | None:
        """The part that an earlier attempt has left, if there is one that nobody writes to.

        Raises:
            MediaError: somebody else downloads this file right now.
        """
        for part in sorted(path.parent.glob("*.part")):
            match = _PART.fullmatch(part.name.removeprefix(path.name))
            if part.name.startswith(path.name) and match:
                with suppress(FileNotFoundError):
                    return cls(path, part, match[1], _opened(part, "r+b", path))
        return None

    @classmethod
    def begun(cls, path: Path, version: str | None) -> Self:
        """An empty one, in a directory that is made if need be; without a version it can never be gone on with.

        Raises:
            MediaError: somebody else downloads this file right now.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        key = _key(version or "")
        part = path.with_name(f"{path.name}.{key}.part")
        file = _opened(part, "ab", path)
        file.truncate(0)
        return cls(path, part, key, file)

    def is_part_of(self, version: str) -> bool:
        """Whether it is a part of this version."""
        return bool(version) and _key(version) == self._key

    def read(self) -> Iterator[bytes]:
        """What is there already."""
        with self._part.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append."""
        with self._busy:
            for chunk in chunks:
                self._file.write(chunk)
                self.size += len(chunk)

    def finish(self) -> None:
        """Put the file into its place, safe from a loss of power, in one step."""
        with self._busy:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self._path)
            _sync_directory(self._path.parent)

    def discard(self) -> None:
        """Remove it."""
        with self._busy:
            self._part.unlink(missing_ok=True)
            self._file.close()

    def close(self) -> None:
        """Leave it as it is, for another attempt."""
        with self._busy:
            self._file.close()


def _key(version: str) -> str:
    """A version of any length and characters, as it stands in the name of a part."""
    return hashlib.sha256(version.encode()).hexdigest()[:16]


def _opened(part: Path, mode: str, path: Path) -> BinaryIO:
    """The part, opened and locked.

    Raises:
        FileNotFoundError: it is gone, or was put into its place meanwhile.
        MediaError: somebody else has it open.
    """
    while True:
        file: BinaryIO = part.open(mode, buffering=0)  # type: ignore[assignment]  # unbuffered files are binary
        try:
            _lock(file, path)
            # Whoever had the lock may have put this very file into its place before it let go.
            if os.fstat(file.fileno()).st_ino == part.stat().st_ino:
                return file
        except FileNotFoundError:
            file.close()
            if "r" in mode:
                raise
        except BaseException:
            file.close()
            raise
        else:
            file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    if sys.platform == "win32":
        return  # an open file cannot be opened for writing or be replaced there
    import fcntl  # noqa: PLC0415  not everywhere

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MediaError(f"{path} is being downloaded already, by this program or by another one") from None


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
