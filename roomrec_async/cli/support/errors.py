"""Exit codes, and errors as one line of text."""

from __future__ import annotations

import errno
import os
from enum import IntEnum
from pathlib import Path
from typing import Final

import click

from roomrec_async._format import format_count
from roomrec_async._text import safe_text
from roomrec_async.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    RoomRecError,
    TransportError,
)

# Errors that come of a wrong path. All others, such as a full disk or a connection that breaks, are no mistake of the
# person who typed it.
_PATH_ERRORS: Final = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENXIO,
        errno.EXDEV,
    }
)

_WHAT_IS_WRONG: Final = {
    errno.EACCES: "permission denied: name another place, or change who may use it",
    errno.EPERM: "permission denied: name another place, or change who may use it",
    errno.EROFS: "it is on a read-only file system: name another place",
    errno.EISDIR: "it is a directory: name a file",
    errno.EEXIST: "it exists, and is not a directory: name another place",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "it is a symbolic link that leads to itself",
    errno.ENOSPC: "no space left on the disk: free some, and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space, and run the same command again",
    errno.EFBIG: "the file is larger than the system allows: write to another file system, or raise 'ulimit -f'",
    errno.EIO: "the disk reports an error: check it, or name another one",
    errno.EMFILE: "too many open files: raise the limit with 'ulimit -n'",
}


class ExitCode(IntEnum):
    """Exit codes of ``roomrec``; its help lists them."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    AUTHENTICATION = 3
    # 128 and the number of SIGINT, as shells have it.
    INTERRUPTED = 130


class CommandExit(click.ClickException):
    """Ends the command with a message on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class, and reads it from here


def exit_code_for(error: RoomRecError) -> ExitCode:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, AuthenticationError):
        return ExitCode.AUTHENTICATION
    if isinstance(error, (ConfigurationError, InvalidArgumentError)):
        return ExitCode.USAGE
    return ExitCode.FAILURE


def exit_code_for_os_error(error: OSError) -> ExitCode:
    """Return the exit code for an error of the system: USAGE for a path that is wrong."""
    return ExitCode.USAGE if error.errno in _PATH_ERRORS else ExitCode.FAILURE


def format_os_error(error: OSError) -> str:
    """Return an error of the system as a sentence: the file, what is wrong with it, and what to do."""
    if error.errno is None:
        return safe_text(str(error))
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None
    message = _WHAT_IS_WRONG.get(error.errno)
    if message is None and name is not None and error.errno in {errno.ENOENT, errno.ENOTDIR}:
        message = format_missing(Path(name))
    if message is None:
        # For example "Connection refused".
        message = (error.strerror or str(error)).lower()
    return message if name is None else f"'{safe_text(name)}': {message}"


def format_missing(path: Path) -> str:
    """Return what is missing where a path leads."""
    for directory in reversed(path.parents):
        if not directory.exists():
            return f"there is no directory '{safe_text(str(directory))}': create it, or name another place"
        if not directory.is_dir():
            return f"'{safe_text(str(directory))}' is a file, not a directory: name another place"
    return "there is no such file"


def format_error(error: RoomRecError) -> str:
    """Return an error as one line, without the method and URL of the request: the line names the room instead."""
    if isinstance(error, APIError):
        return safe_text(format_api_error(error))
    if isinstance(error, TransportError):
        return safe_text(f"{error.detail}, after {format_count(error.attempts, 'attempt')}")
    return safe_text(str(error))


def format_api_error(error: APIError) -> str:
    """Return the status, code, message, request ID and hint of an error that the service answered with."""
    text = f"HTTP {error.status}"
    if error.code is not None:
        text += f", code {error.code}"
    text += f": {error.detail}"
    if error.request_id:
        text += f" (request id {error.request_id})"
    if error.hint:
        text += f"; {error.hint}"
    return text
