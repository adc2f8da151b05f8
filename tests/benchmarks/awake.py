"""Does nothing, all the time, at a priority below all others: ``python -m tests.benchmarks.awake``.

A processor that has nothing to do sleeps, and to wake it up can cost a virtual machine more than a small request. That
would be counted as the time of whoever waits most, more of it or less by chance. With this on each processor, none
sleeps, and whoever has something to do is served at once. It ends with its standard input.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.benchmarks.processes import Worker


@contextmanager
def processors_awake() -> Iterator[None]:
    """Keep the processors awake; on Linux, which has such a priority."""
    with ExitStack() as stack:
        if sys.platform == "linux":
            for _ in range(os.cpu_count() or 1):
                stack.enter_context(Worker("tests.benchmarks.awake"))
        yield


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    threading.Thread(target=_end_with_input).start()
    while True:
        pass
