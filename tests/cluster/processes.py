"""Programs as processes of their own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a program, with pipes for its output."""
    # In a group of its own, so that Ctrl-C can reach all its processes as it does in a terminal.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, arguments)], text=True, start_new_session=True, **pipes)


def is_gone(group: int) -> bool:
    """Return True if no process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
