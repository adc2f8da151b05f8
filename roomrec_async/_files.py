"""Atomic writes: data goes to a temporary file, renamed when complete. Everything here blocks: run it in a thread."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedRandom, BufferedWriter
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import BinaryIO, Final

from .errors import InvalidArgumentError, MediaError

if sys.platform != "win32":
    import fcntl

_LOGGER: Final = logging.getLogger("roomrec_async")
# Topics of the warnings that were logged.
_warned: Final[set[str]] = set()

# Errors of file systems, mostly of networks, that cannot lock a file or sync a directory.
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_DIRECTORY_SYNC: Final = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

# Bytes read at once.
_READ_SIZE: Final = 2**20

# Errors of a full disk, an exhausted quota and a file-size limit. A failed write does not name its file.
_DISK_FULL_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def file_path(destination: str | os.PathLike[str], name: str) -> Path:
    """Return the path to write to: ``name`` in a destination that is a directory, else the destination itself.

    A destination is a directory if it exists as one, or ends in a slash.
    """
    given = os.fspath(destination)
    path = Path(given)
    is_directory = given.endswith(("/", os.sep)) or path.is_dir()
    return path / name if is_directory else path


def file_size(path: Path) -> int | None:
    """Return the size of a file in bytes, or None if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


@contextmanager
def add_path_to_disk_full_errors(path: Path) -> Iterator[None]:
    """Set the ``filename`` of disk-full errors that have none."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL_ERRORS and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at ``path``, synced to disk, only if the block succeeds; otherwise it is removed.

    Any number of writers may do this at once with the same path: the last one to finish replaces the others' files. If
    the path is a symbolic link, the link is replaced, and not what it points to.
    """
    file = open_temporary(path)
    temporary_path = Path(file.name)
    try:
        with add_path_to_disk_full_errors(path):
            with file:
                yield file
            replace_file(temporary_path, path)
    except BaseException:
        temporary_path.unlink(missing_ok=True)
        raise


def create_temporary(path: Path) -> Path:
    """Create an empty file as :func:`open_temporary` does, and return its path."""
    with open_temporary(path) as file:
        return Path(file.name)


def open_temporary(path: Path) -> BufferedWriter:
    """Create and open a file beside ``path``, with a name that no other has and the permissions of any new file.

    Raises:
        InvalidArgumentError: the path is that of a device, a pipe or a socket, which must not be replaced.
        OSError: it cannot be created. The error names the path, and not the temporary file.
    """
    if is_special(path):
        raise InvalidArgumentError(f"{path} is no regular file, so it cannot be replaced: name another file")
    # Names have at most 255 bytes, and a character has at most 4.
    temporary_path = path.with_name(f".{path.name[:50]}.{token_hex(8)}.part")
    try:
        # Exclusively: a link of this name is an error, too, and is not followed.
        return temporary_path.open("xb")
    except OSError as error:
        error.filename = str(path)
        raise


def is_special(path: Path) -> bool:
    """Return True for a device, a pipe or a socket, and for a link to one, such as ``/dev/stdout``."""
    try:
        mode = path.stat().st_mode
        # Standard output may be a regular file, but its name must not become another one.
        is_descriptor = path.is_symlink() and str(path.readlink()).startswith("/proc/")
    except OSError:
        # Missing, or not accessible: creating the file says so.
        return False
    return is_descriptor or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def replace_file(source: Path, path: Path) -> None:
    """Sync a finished file to disk and rename it to ``path``, atomically; remove it if that fails."""
    try:
        # Opened for writing: Windows syncs no others.
        with source.open("r+b") as file:
            os.fsync(file.fileno())
        source.replace(path)
    except BaseException:
        source.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


class PartFile:
    """An incomplete file that can be resumed: ``NAME.part``, with the validator of its content in ``NAME.part.etag``.

    It is locked, so that two downloads never write to the same file. The lock of a process that dies is released, and
    the next process can resume the file.

    Args:
        path: the path of the complete file. Missing directories are created.

    Attributes:
        size: number of bytes written so far, those of earlier attempts included.
        unsynced: number of bytes written since the last :meth:`sync`.
        validator: what identifies the version of the content, a strong ETag or a date; None if nothing does, so that
            the file cannot be resumed.

    Raises:
        MediaError: the file is locked by another download.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._part_path = path.with_name(f"{path.name}.part")
        self._validator_path = path.with_name(f"{path.name}.part.etag")
        # A thread may still be writing when the event loop that waits for it is torn down and closes this file.
        self._lock = Lock()
        self.unsynced = 0
        self._file = open_and_lock(self._part_path, path)
        try:
            self.size = self._file.seek(0, os.SEEK_END)
            self.validator = read_validator(self._validator_path)
        except BaseException:
            self._file.close()
            raise

    @property
    def resumable_size(self) -> int:
        """Number of bytes that can be resumed: all, or 0 if nothing identifies their version."""
        return self.size if self.validator else 0

    def restart(self, validator: str | None) -> None:
        """Drop all bytes, and start over with content that has this validator."""
        with self._lock, add_path_to_disk_full_errors(self._validator_path):
            # The old validator is removed first, and the new one is written only when the truncation is on the disk:
            # a validator must never be found beside bytes of another version.
            self._validator_path.unlink(missing_ok=True)
            if self.size:
                self._file.truncate(self._file.seek(0))
                os.fsync(self._file.fileno())
            if validator is not None:
                self._validator_path.write_text(validator, "utf-8")
            self.size = 0
            self.validator = validator

    def read(self) -> Iterator[bytes]:
        """Yield the bytes written so far, in chunks."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            self._file.flush()
        with self._part_path.open("rb") as file:
            while chunk := file.read(_READ_SIZE):
                yield chunk

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append chunks."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            for chunk in chunks:
                self._file.write(chunk)
                self.size += len(chunk)
                self.unsynced += len(chunk)

    def sync(self) -> None:
        """Wait until what has been written is on the disk. May run beside :meth:`write`."""
        self.unsynced = 0
        with add_path_to_disk_full_errors(self._part_path):
            os.fsync(self._file.fileno())
        if sys.platform == "linux":
            # Nobody will read these pages soon. Dropped from the cache, they are reused for the bytes that follow,
            # which is cheaper than to reclaim other memory for each of them.
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def finish(self) -> None:
        """Sync the file to disk and rename it to its final path, atomically."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._validator_path.unlink(missing_ok=True)
            self._part_path.replace(self._path)
            sync_directory(self._path.parent)
            self._file.close()

    def discard(self) -> None:
        """Close the part and delete it. A complete file at the final path stays."""
        with self._lock:
            self._remove()

    def close(self) -> None:
        """Close the part and keep it for another attempt; delete it if it is empty. May be called again."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            if not self._file.closed and not self.size:
                self._remove()
            self._file.close()

    def _remove(self) -> None:
        self._validator_path.unlink(missing_ok=True)
        self._part_path.unlink(missing_ok=True)
        self._file.close()


def read_validator(path: Path) -> str | None:
    """Return the validator in a file, or None if there is none or it is unreadable."""
    try:
        return path.read_text("utf-8") or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def open_and_lock(part_path: Path, path: Path) -> BufferedRandom:
    """Open the part of ``path`` for reading and writing, created if missing, and lock it.

    Raises:
        MediaError: another download holds the lock.
    """
    while True:
        file = open(os.open(part_path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: SIM115, PTH123  returned
        try:
            lock_file(file, path)
            # The previous owner of the lock may have renamed or deleted this very file before it let go: then the
            # directory has another file under this name, or none, and that one is opened instead.
            if os.fstat(file.fileno()).st_ino == part_path.stat().st_ino:
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def lock_file(file: BufferedRandom, path: Path) -> None:
    """Take the exclusive lock of an open file, without waiting.

    Raises:
        MediaError: another download holds it.
    """
    if sys.platform == "win32":
        # Windows itself refuses to replace a file that is open.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MediaError(f"{path} is already being downloaded, by this program or another one") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warn_once("locks", f"the file system of {path.parent} has no locks: two downloads at once may mix their bytes")


def sync_directory(directory: Path) -> None:
    """Sync the entries of a directory to disk, so that a rename in it survives a power loss."""
    if sys.platform == "win32":
        # Directories cannot be opened there.
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
        warn_once(
            "sync", f"the file system of {directory} cannot sync directories: a power loss may undo a finished file"
        )
    finally:
        os.close(descriptor)


def warn_once(topic: str, message: str) -> None:
    """Log what is not promised on some file system, once in this process for each topic."""
    if topic not in _warned:
        _warned.add(topic)
        _LOGGER.warning("%s", message)
