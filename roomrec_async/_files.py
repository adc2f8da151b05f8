"""A file that comes into being beside its place, and takes it when it is whole. Blocking: for threads."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from .errors import MediaError

_PIECE: Final = 2**20


# What the system says of a disk without a word about the file.
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
def full_disk_named(path: Path) -> Iterator[None]:
    """Errors that say only that something is full say of which file they are."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, which is in its place and on the disk when the block ends well, and is not there when it does not."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    put_in_place(part, path)


def put_in_place(part: Path, path: Path) -> None:
    """Put a file that is written into its place, safe from a loss of power, in one step; remove it if that fails."""
    try:
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


class PartFile:
    """What has arrived of a file: ``NAME.part`` beside its place, and ``NAME.part.etag``, which says of what.

    It is locked, so that two downloads of the same thing never write into one file. A program that dies leaves it
    unlocked, and the next one goes on with it.

    Args:
        path: where the file is to be. Directories are made if need be.

    Attributes:
        size: how many bytes it has.
        unsynced: how many were written since :meth:`sync` was last called.
        version: the ETag of what it is a part of; None if that is not known, so that it cannot be gone on with.

    Raises:
        MediaError: somebody else downloads this file right now.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._label = path.with_name(f"{path.name}.part.etag")
        # A thread may still write when the event loop is closed that waited for it, and the file with it.
        self._busy = Lock()
        self.unsynced = 0
        self._file = _opened(self._part, path)
        try:
            self.size = self._file.seek(0, os.SEEK_END)
            self.version = _text(self._label)
        except BaseException:
            self._file.close()
            raise

    def begin(self, version: str | None) -> None:
        """Begin anew, with this version."""
        with self._busy, full_disk_named(self._label):
            # In this order, and each step on the disk before the next: the label is never that of other bytes.
            self._label.unlink(missing_ok=True)
            if self.size:
                self._file.truncate(self._file.seek(0))
                os.fsync(self._file.fileno())
            if version is not None:
                self._label.write_text(version, "utf-8")
            self.size, self.version = 0, version

    def read(self) -> Iterator[bytes]:
        """What is there already."""
        with self._part.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append."""
        with self._busy, full_disk_named(self._part):
            for chunk in chunks:
                self._file.write(chunk)
                self.size += len(chunk)
                self.unsynced += len(chunk)

    def sync(self) -> None:
        """Wait until what was written is on the disk; what is written meanwhile may be, too."""
        self.unsynced = 0
        with full_disk_named(self._part):
            os.fsync(self._file.fileno())
        if sys.platform == "linux":
            # Nobody reads it soon, and the memory that would keep it is cheaper to use again than other memory.
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def finish(self) -> None:
        """Put the file into its place, safe from a loss of power, in one step."""
        with self._busy, full_disk_named(self._part):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._label.unlink(missing_ok=True)
            self._part.replace(self._path)
            _sync_directory(self._path.parent)
            self._file.close()

    def discard(self) -> None:
        """Remove it."""
        with self._busy:
            self._remove()

    def close(self) -> None:
        """Leave it as it is, for another attempt, if there is anything in it. May be called again."""
        with self._busy, full_disk_named(self._part):
            if not self._file.closed and not self.size:
                self._remove()
            self._file.close()

    def _remove(self) -> None:
        self._label.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)
        self._file.close()


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8") or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _opened(part: Path, path: Path) -> BufferedRandom:
    """The part, opened and locked; made if it is not there."""
    while True:
        file = open(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: SIM115, PTH123  given away
        try:
            _lock(file, path)
            # Whoever had the lock may have put this very file into its place before it let go.
            if os.fstat(file.fileno()).st_ino == part.stat().st_ino:
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BufferedRandom, path: Path) -> None:
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
