"""What the errors of Redis mean."""

from __future__ import annotations

import pytest
from redis.exceptions import ReadOnlyError, ResponseError

from roomrec_async.integrations.redis.server import is_read_only


@pytest.mark.parametrize(
    "error",
    [
        ReadOnlyError("You can't write against a read only replica."),
        # Redis 6, of a command in a script.
        ResponseError(
            "Error running script (call to f_6b1bf486): @user_script:1: @user_script: 1: "
            "-READONLY You can't write against a read only replica."
        ),
    ],
)
def test_replicas_are_recognized(error: Exception) -> None:
    assert is_read_only(error)


def test_other_errors_are_not() -> None:
    assert not is_read_only(ResponseError("OOM command not allowed when used memory > 'maxmemory'."))
