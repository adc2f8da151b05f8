"""Exit codes, and errors as one line of text."""

from __future__ import annotations

import errno
from enum import IntEnum
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

# No space, a quota that is used up, a file of the largest size allowed, and a device in error.
_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


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
    """Return the exit code for an error of the system: most are paths that are wrong, and a full disk is not."""
    return ExitCode.FAILURE if error.errno in _DISK_ERRORS else ExitCode.USAGE


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
