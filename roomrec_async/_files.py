"""Atomic writes: data goes to a temporary file, renamed when complete. Everything here blocks: run it in a thread."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from threading import Lock
from typing import IO, BinaryIO, Final, Literal

import attrs

from .errors import InvalidArgumentError, MediaError

try:
    import fcntl
except ImportError:
    # On Windows, which neither renames nor deletes a file that is open.
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

# Windows cannot open directories.
_DIRECTORIES_ONLY: Final[int | None] = getattr(os, "O_DIRECTORY", None)

# Flags for opening a file, and not what a link leads to, nor a pipe; on Windows, which lacks both, without translating
# the ends of lines.
_FILES_ONLY: Final = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

_LOGGER: Final = logging.getLogger("roomrec_async")
# Topics of the warnings that were logged.
_warned: Final[set[str]] = set()

# Errors of file systems, mostly of networks, that cannot lock a file or sync a directory.
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_DIRECTORY_SYNC: Final = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

# Bytes read at once.
_READ_SIZE: Final = 2**20

# Errors of opening a link, or a pipe or socket without another end.
_NOT_REGULAR: Final = (errno.ELOOP, errno.ENXIO)

# Errors of a full disk, an exhausted quota and a file-size limit. A failed write does not name its file.
DISK_FULL_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BusyError(MediaError):
    """Another process is doing the same at this moment: try again once it has ended."""


def file_path(destination: str | os.PathLike[str], name: str) -> Path:
    """Return the path to write to: ``name`` in a destination that is a directory, else the destination itself.

    A destination is a directory if it exists as one, or ends in a slash.
    """
    given = os.fspath(destination)
    path = Path(given)
    is_directory = given.endswith(("/", os.sep)) or path.is_dir()
    return path / name if is_directory else path


def file_size(path: Path) -> int | None:
    """Return the size of a file in bytes, or None if there is no regular file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def is_same_place(path: Path, other: Path) -> bool:
    """Return True if files that are written to two paths replace each other."""
    # A link at the end of a path is replaced itself; those before it are followed.
    return path.name == other.name and path.parent.resolve() == other.parent.resolve()


def make_directory(path: Path) -> None:
    """Create a directory and its missing parents, if it is missing, so that they survive a power loss."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        sync_directory(directory.parent)


@contextmanager
def add_path_to_disk_full_errors(path: Path) -> Iterator[None]:
    """Set the ``filename`` of disk-full errors that have none."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRORS and error.filename is None:
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
        InvalidArgumentError: the path is that of something else than a file, which must not be replaced.
        OSError: it cannot be created. The error names the path, and not the temporary file.
    """
    check_replaceable(path)
    # Names have at most 255 bytes, and a character has at most 4.
    temporary_path = path.with_name(f".{path.name[:50]}.{os.urandom(8).hex()}.part")
    try:
        # Exclusively: a link of this name is an error, too, and is not followed.
        return temporary_path.open("xb")
    except OSError as error:
        error.filename = str(path)
        raise


def check_replaceable(path: Path) -> None:
    """Check that nothing but a file would be replaced by a file at this path.

    Raises:
        InvalidArgumentError: there is a directory, a device, a pipe or a socket, or a link to one, such as
            ``/dev/stdout``.
    """
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
        # Standard output may be a regular file, but its name must not become another one.
        is_descriptor = path.is_symlink() and str(path.readlink()).startswith("/proc/")
    except OSError:
        # Missing, or not accessible: creating the file says so.
        return
    if is_descriptor or not is_regular:
        raise InvalidArgumentError(f"{path} is no regular file, so it cannot be replaced: name another file")


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


@attrs.frozen
class Checkpoint:
    """The beginning of a part, as it was received.

    Attributes:
        version: what identifies the complete content.
        size: number of bytes.
        sha256: SHA-256 of these bytes, in hexadecimal.
    """

    version: str
    size: int
    sha256: str


class PartFile:
    """An incomplete file that can be resumed: ``NAME.part``, with its checkpoints in ``NAME.part.jsonl``.

    A checkpoint has the digest of the bytes as they were received. Only a beginning that still has this digest may be
    resumed: a power loss may have left other bytes on the disk, or another program may have written them.

    The part is locked, so that two downloads never write to the same file. The lock of a process that dies is released,
    and the next process can resume the file.

    Args:
        path: the path of the complete file. Missing directories are created.

    Attributes:
        size: number of bytes in the file so far, those of earlier attempts included.
        version: what identifies the content; None if nothing does, so that the file cannot be resumed.
        unsynced: number of bytes written since the last :meth:`sync`.
        unsaved: number of bytes written since the last :meth:`save_checkpoint`.
        checkpoint: the last checkpoint of earlier attempts that the file is long enough for; None if there is none.

    Raises:
        InvalidArgumentError: something else than a file is at the path, or at that of the part.
        MediaError: the file is locked by another download.
    """

    def __init__(self, path: Path) -> None:
        check_replaceable(path)
        make_directory(path.parent)
        self._path = path
        self._part_path = path.with_name(f"{path.name}.part")
        self._checkpoints_path = path.with_name(f"{path.name}.part.jsonl")
        # A thread may still be writing when the event loop that waits for it is torn down and closes this file.
        self._lock = Lock()
        self.unsynced = 0
        self.unsaved = 0
        self._file = open_and_lock(self._part_path, path)
        try:
            self.size = self._file.seek(0, os.SEEK_END)
            self.checkpoint = read_checkpoint(self._checkpoints_path, self.size)
            self.version = None if self.checkpoint is None else self.checkpoint.version
        except BaseException:
            self._file.close()
            raise

    def read(self, size: int) -> Iterator[bytes]:
        """Yield the first bytes of the part, in chunks."""
        with self._part_path.open("rb") as file:
            while size > 0 and (chunk := file.read(min(size, _READ_SIZE))):
                size -= len(chunk)
                yield chunk

    def resume(self, size: int) -> None:
        """Drop all but the first bytes, which are those of a checkpoint, and go on with the same content."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            self._file.truncate(self._file.seek(size))
            self.size = size

    def restart(self, version: str | None) -> None:
        """Drop all bytes, and start over with the content of a version; None if nothing identifies it."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            self._checkpoints_path.unlink(missing_ok=True)
            if self.size:
                self._file.truncate(self._file.seek(0))
            self.size = 0
            self.checkpoint = None
            self.version = version

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append chunks."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            for chunk in chunks:
                self._file.write(chunk)
                self.size += len(chunk)
                self.unsynced += len(chunk)
                self.unsaved += len(chunk)

    def save_checkpoint(self, sha256: str) -> None:
        """Record the digest of all bytes so far, so that they can be resumed, if anything identifies their version."""
        self.unsaved = 0
        if self.version is None:
            return
        with self._lock, add_path_to_disk_full_errors(self._checkpoints_path):
            self._file.flush()
            checkpoint = Checkpoint(self.version, self.size, sha256)
            # A line that is cut off by a power loss is skipped when it is read.
            with open_regular(self._checkpoints_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, "wb") as file:
                file.write(json.dumps(attrs.asdict(checkpoint)).encode() + b"\n")

    def sync(self) -> None:
        """Wait until what has been written is on the disk. May run beside :meth:`write`."""
        self.unsynced = 0
        with add_path_to_disk_full_errors(self._part_path):
            os.fsync(self._file.fileno())
        if sys.platform == "linux" and hasattr(os, "posix_fadvise"):
            # Nobody will read these pages soon. Dropped from the cache, they are reused for the bytes that follow,
            # which is cheaper than to reclaim other memory for each of them.
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def finish(self) -> None:
        """Sync the file to disk and rename it to its final path, atomically."""
        with self._lock, add_path_to_disk_full_errors(self._part_path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._checkpoints_path.unlink(missing_ok=True)
            with closing_first(self._file):
                self._part_path.replace(self._path)
                sync_directory(self._path.parent)

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
        self._checkpoints_path.unlink(missing_ok=True)
        remove_locked(self._file, self._part_path)


def read_checkpoint(path: Path, size: int) -> Checkpoint | None:
    """Return the last checkpoint in a file that a part of this size can have, or None if there is none."""
    found = None
    try:
        with open_regular(path, os.O_RDONLY, "rb") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, InvalidArgumentError):
        return None
    for line in lines:
        checkpoint = parse_checkpoint(line)
        if checkpoint is not None and checkpoint.size <= size:
            found = checkpoint
    return found


def parse_checkpoint(line: bytes) -> Checkpoint | None:
    """Return the checkpoint in a line, or None if the line is damaged."""
    try:
        match json.loads(line):
            case {"version": str(version), "size": int(size), "sha256": str(sha256)}:
                return Checkpoint(version, size, sha256)
    except (ValueError, RecursionError):
        pass
    return None


def open_regular(path: Path, flags: int, mode: Literal["rb", "wb", "r+b"]) -> IO[bytes]:
    """Open a file, and nothing but a file that has this name only.

    Args:
        path: the path.
        flags: those of :func:`os.open`.
        mode: that of :func:`open`.

    Raises:
        InvalidArgumentError: it is a link, has another name, too, or is no file.
    """
    message = f"{path} is a link or no file: remove it"
    try:
        # Without waiting for the other end of a pipe.
        descriptor = os.open(path, flags | _FILES_ONLY, 0o666)
    except OSError as error:
        if error.errno not in _NOT_REGULAR:
            raise
        raise InvalidArgumentError(message) from None

    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return open(descriptor, mode)  # noqa: PTH123  of a descriptor
    os.close(descriptor)
    raise InvalidArgumentError(message)


def open_and_lock(part_path: Path, path: Path) -> IO[bytes]:
    """Open the part of ``path`` for reading and writing, created if missing, and lock it.

    Raises:
        InvalidArgumentError: there is something else than a file.
        MediaError: another download holds the lock.
    """
    while True:
        file = open_regular(part_path, os.O_RDWR | os.O_CREAT, "r+b")
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


def lock_file(file: IO[bytes], path: Path) -> None:
    """Take the exclusive lock of an open file, without waiting.

    Raises:
        BusyError: another download holds it.
    """
    if sys.platform == "win32" or not _HAS_LOCKS:
        # Windows itself refuses to replace a file that is open.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"{path} is already being downloaded, by this program or another one") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warn_once("locks", f"the file system of {path.parent} has no locks: two downloads at once may mix their bytes")


def remove_locked(file: IO[bytes], path: Path) -> None:
    """Delete a file that :func:`open_and_lock` opened, and close it."""
    with closing_first(file):
        path.unlink(missing_ok=True)


@contextmanager
def closing_first(file: IO[bytes]) -> Iterator[None]:
    """Close a locked file around a block that renames or deletes it.

    After the block where there are locks, so that nobody else gets this file meanwhile; before it on Windows.
    """
    if not _HAS_LOCKS:
        file.close()
    yield
    file.close()


def sync_directory(directory: Path) -> None:
    """Sync the entries of a directory to disk, so that a rename in it survives a power loss."""
    if _DIRECTORIES_ONLY is None:
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY | _DIRECTORIES_ONLY)
    except PermissionError:
        # A directory can be written to without being readable.
        warn_no_sync(directory)
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
        warn_no_sync(directory)
    finally:
        os.close(descriptor)


def warn_no_sync(directory: Path) -> None:
    """Log, once, that a directory cannot be synced."""
    warn_once("sync", f"the file system of {directory} cannot sync directories: a power loss may undo a finished file")


def warn_once(topic: str, message: str) -> None:
    """Log what is not promised on some file system, once in this process for each topic."""
    if topic not in _warned:
        _warned.add(topic)
        _LOGGER.warning("%s", message)
