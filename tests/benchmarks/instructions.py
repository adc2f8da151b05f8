"""Instructions over those by hand: counted by valgrind, so that a change of one percent shows.

Counted are lists of one page, over the loop by hand; exports of a page, over those by hand; and importing the package
and ``roomrec --help``, over ``import aiohttp``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from tests.benchmarks.baseline import Counted
from tests.benchmarks.contenders import OURS
from tests.benchmarks.exports import EXPORTS, ROUNDS, SIZE
from tests.benchmarks.processes import Server

BY_HAND: Final = "by hand"

# Recordings per page, and how many lists of one page are counted at once.
_LISTS: Final = {5: 10, 12: 10, 50: 6, 200: 4, 1000: 4}
# How often they are counted. The lowest count is taken: the first time of a size adapts more bytecode, and where the
# machine is busy, a response may come in more pieces, which only adds to a count.
_REPEATS: Final = 3
# Lists before those that are counted: the interpreter adapts its bytecode to what it runs.
_WARM_UP: Final = 20
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def measure() -> list[Counted]:
    """Count the instructions of all cases."""
    lists = measure_lists()
    return [*lists, *measure_exports(lists), *measure_imports()]


def measure_lists() -> list[Counted]:
    """Count the instructions of both contenders, one process each, side by side."""
    with Server() as server, ExitStack() as stack:
        counts = [stack.enter_context(_Count(name, server.base_url)) for name in (OURS, BY_HAND)]
        ours, by_hand = [count.per_list() for count in counts]
    return [Counted(str(size), ours[size], by_hand[size]) for size in _LISTS]


def measure_exports(lists: Sequence[Counted]) -> list[Counted]:
    """Count the instructions of exports by hand and by this library; those of JSON lines also over the list itself."""
    with tempfile.TemporaryDirectory() as directory, Server() as server:
        counts = Path(directory) / "counts"
        subprocess.run(
            [
                *callgrind(counts),
                "--dump-before=getpgrp",
                sys.executable,
                "-m",
                "tests.benchmarks.exports",
                server.base_url,
            ],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        # A part for each run between its two marks, and one before it.
        runs = [total(Path(f"{counts}.{2 + 2 * run}")) / 1000 for run in range(2 * ROUNDS * len(EXPORTS))]
    best = [min(runs[first : first + ROUNDS]) for first in range(0, len(runs), ROUNDS)]
    ours = dict(zip(EXPORTS, best[::2], strict=True))
    by_hand = dict(zip(EXPORTS, best[1::2], strict=True))
    listing = next(row for row in lists if row.case == str(SIZE))
    return [
        *(Counted(name, ours[name], by_hand[name]) for name in EXPORTS),
        Counted("JSON lines over list", ours["JSON lines"], listing.ours),
    ]


def callgrind(counts: Path) -> list[str]:
    """Return the beginning of a command whose instructions are counted, into a file."""
    return ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={counts}"]


def measure_imports() -> list[Counted]:
    """Count the instructions of fresh interpreters, with the bytecode that a first run has left."""
    aiohttp = count_process("-c", "import aiohttp")
    return [
        Counted("import", count_process("-c", "import roomrec_async"), aiohttp),
        Counted("roomrec --help", count_process("-m", "roomrec_async.cli", "--help"), aiohttp),
    ]


def count_process(*arguments: str) -> float:
    """Return the thousands of instructions of a process of this interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": directory,
        }
        command = [sys.executable, *arguments]
        counts = Path(directory) / "counts"
        for each in (command, [*callgrind(counts), *command]):
            subprocess.run(each, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        return total(counts) / 1000


def total(counts: Path) -> int:
    """Return the number of instructions in a file of callgrind's."""
    found = _TOTAL.search(counts.read_text())
    assert found is not None
    return int(found[1])


class _Count:
    """A contender under callgrind, which writes its counts to a new file at each of the contender's marks."""

    def __init__(self, name: str, base_url: str) -> None:
        self._directory = tempfile.TemporaryDirectory()
        command = [*callgrind(Path(self._directory.name) / "counts"), "--dump-before=getpgrp"]
        contender = [sys.executable, "-m", "tests.benchmarks.contenders", name, base_url, "--freeze"]
        self._process = subprocess.Popen(
            [*command, *contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            # The order of sets would be another in each process.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"1 {min(_LISTS)} 0 {_WARM_UP}\n")
        for size, lists in _LISTS.items():
            self._process.stdin.write(f"1 {size} 0 {lists}\n" * _REPEATS)
        self._process.stdin.close()

    def per_list(self) -> dict[int, float]:
        """Wait for the end, and return thousands of instructions per list, by size of the page."""
        if self._process.wait():
            raise RuntimeError(f"{self._process.args!r} has failed: run it by hand to see why")
        # The first call warms up; each has a part of its own between its two marks, and one before it.
        first_calls = range(2, 2 + _REPEATS * len(_LISTS), _REPEATS)
        return {
            size: min(self._part(2 * call) for call in range(first, first + _REPEATS)) / lists / 1000
            for first, (size, lists) in zip(first_calls, _LISTS.items(), strict=True)
        }

    def _part(self, number: int) -> int:
        return total(Path(self._directory.name) / f"counts.{number}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()
