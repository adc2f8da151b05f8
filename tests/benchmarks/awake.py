"""A busy loop at the lowest priority, which keeps a CPU awake: ``python -m tests.benchmarks.awake``.

An idle CPU sleeps, and waking it up can cost a virtual machine more than a small request does. That would be counted,
with much variance, as time of the contender that waits most. With a busy loop on each CPU, none sleeps, and any other
process still gets the CPU at once. The loop ends with its standard input.
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
    """Keep all CPUs awake; on Linux only, which has a priority that never takes time from others."""
    with ExitStack() as stack:
        if sys.platform == "linux":
            for _ in range(os.cpu_count() or 1):
                stack.enter_context(Worker("tests.benchmarks.awake"))
        yield


def _exit_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    threading.Thread(target=_exit_with_stdin).start()
    while True:
        pass
