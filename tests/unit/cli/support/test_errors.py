"""Exit codes, and errors as one line of text."""

from __future__ import annotations

import errno

import pytest

from roomrec_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DecodeError,
    InvalidArgumentError,
    NotFoundError,
    RoomRecError,
)
from roomrec_async.cli.support.errors import CommandExit, ExitCode, exit_code_for, exit_code_for_os_error, format_error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            NotFoundError(status=404, code=20404, message="No such room", method="GET", url="u", request_id="RQ1"),
            "HTTP 404, code 20404: No such room (request id RQ1)",
        ),
        (
            AuthenticationError(status=401, message="Authenticate", method="GET", url="u"),
            f"HTTP 401: Authenticate; {AuthenticationError.hint}",
        ),
        (
            ConnectionFailedError("refused", method="GET", url="u", attempts=5),
            "refused, after 5 attempts",
        ),
        (DecodeError("the body is not JSON\x1b[2J", url="u"), "u: the body is not JSON\N{REPLACEMENT CHARACTER}[2J"),
    ],
)
def test_an_error_is_one_line(error: RoomRecError, line: str) -> None:
    assert format_error(error) == line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError(status=404, message="No such room", method="GET", url="u"), 1),
        (ConnectionFailedError("refused", method="GET", url="u", attempts=5), 1),
        (InvalidArgumentError("limit must be positive"), 2),
        (ConfigurationError("no credentials"), 2),
        (AuthenticationError(status=401, message="Authenticate", method="GET", url="u"), 3),
    ],
)
def test_the_exit_code_says_who_can_do_something_about_it(error: RoomRecError, code: int) -> None:
    assert exit_code_for(error) == code


def test_a_command_ends_with_the_code_that_it_was_given() -> None:
    ended = CommandExit("interrupted", ExitCode.INTERRUPTED)
    assert (ended.format_message(), ended.exit_code) == ("interrupted", 130)


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EFBIG, 1), (errno.EIO, 1), (errno.ENOENT, 2), (errno.EACCES, 2)],
)
def test_a_full_disk_is_no_mistake_in_the_input(number: int, code: int) -> None:
    assert exit_code_for_os_error(OSError(number, "text")) == code
