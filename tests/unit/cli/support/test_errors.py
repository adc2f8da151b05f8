"""Exit codes, and errors as one line of text."""

from __future__ import annotations

import errno
from pathlib import Path

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
from roomrec_async.cli.support.errors import (
    CommandExit,
    ExitCode,
    exit_code_for,
    exit_code_for_os_error,
    format_error,
    format_os_error,
)


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
    [
        (errno.ENOSPC, 1),
        (errno.EDQUOT, 1),
        (errno.EFBIG, 1),
        (errno.EIO, 1),
        (errno.ENOENT, 2),
        (errno.EACCES, 2),
        (errno.ECONNREFUSED, 1),
        (errno.EMFILE, 1),
    ],
)
def test_a_full_disk_is_no_mistake_in_the_input(number: int, code: int) -> None:
    assert exit_code_for_os_error(OSError(number, "text")) == code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EACCES, "x", "a"), "'a': permission denied: name another place, or change who may use it"),
        (OSError(errno.EISDIR, "x", b"a"), "'a': it is a directory: name a file"),
        (OSError(errno.ENOENT, "x", "missing"), "'missing': there is no such file"),
        (OSError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (OSError(errno.EMFILE, "x"), "too many open files: raise the limit with 'ulimit -n'"),
        (OSError("no scheduler\x1b"), "no scheduler\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_an_error_of_the_system_is_a_sentence(error: OSError, line: str) -> None:
    assert format_os_error(error) == line


def test_the_first_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "x.csv"
    error = FileNotFoundError(errno.ENOENT, "x", str(path))
    assert format_os_error(error) == (
        f"'{path}': there is no directory '{tmp_path / 'one'}': create it, or name another place"
    )
