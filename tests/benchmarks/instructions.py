"""Instructions per list, over those of the loop by hand: counted by valgrind, so that a change of one percent shows.

Counts do not depend on what else the machine does, but on the interpreter and on the libraries. So the ratios of a
baseline, in ``instructions.json``, are compared only where those are the same.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

import attrs

from tests.benchmarks.contenders import OURS
from tests.benchmarks.processes import Server

BASELINE: Final = Path(__file__).with_name("instructions.json")
BY_HAND: Final = "by hand"
TOLERANCE: Final = 1.03
"""A ratio that has grown by more than this is a regression."""

# Recordings per page, and how many lists of one page are counted at once.
_LISTS: Final = {5: 10, 12: 10, 50: 6, 200: 4, 1000: 4}
# How often they are counted. The lowest count is taken: where the machine is busy, a response may come in more pieces,
# which only adds to a count.
_REPEATS: Final = 3
# Lists before those that are counted: the interpreter adapts its bytecode to what it runs.
_WARM_UP: Final = 20
_LIBRARIES: Final = ("aiohttp", "attrs", "msgspec", "multidict", "orjson", "yarl")
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


@attrs.frozen
class Counted:
    """Thousands of instructions per list of one page, and the ratio in the baseline; None if none can be compared."""

    page_size: int
    ours: float
    by_hand: float
    before: float | None

    @property
    def ratio(self) -> float:
        """Ours over by hand."""
        return self.ours / self.by_hand

    @property
    def is_regression(self) -> bool:
        """True if the ratio has grown by more than the tolerance."""
        return self.before is not None and self.ratio > self.before * TOLERANCE


def is_possible() -> bool:
    """Return True if valgrind is installed."""
    return shutil.which("valgrind") is not None


def measure() -> list[Counted]:
    """Count the instructions of both contenders, one process each, side by side."""
    with Server() as server, ExitStack() as stack:
        counts = [stack.enter_context(_Count(name, server.base_url)) for name in (OURS, BY_HAND)]
        ours, by_hand = [count.per_list() for count in counts]
    before = _ratios_before()
    return [Counted(size, ours[size], by_hand[size], before.get(str(size))) for size in _LISTS]


def environment() -> dict[str, str]:
    """Return what the counts depend on, beside this library."""
    libraries = {library: version(library) for library in _LIBRARIES}
    return {"python": sys.version, "machine": platform.machine(), "libc": "-".join(platform.libc_ver()), **libraries}


def differences() -> list[str]:
    """Return what is not as it was when the baseline was made: with any of them, nothing is compared."""
    before = json.loads(BASELINE.read_text())["environment"]
    now = environment()
    return [
        f"{name} {now.get(name)}, not {before.get(name)}"
        for name in {**before, **now}
        if now.get(name) != before.get(name)
    ]


def renew(counted: list[Counted]) -> None:
    """Write a new baseline."""
    ratios = {row.page_size: round(row.ratio, 4) for row in counted}
    BASELINE.write_text(json.dumps({"environment": environment(), "ratios": ratios}, indent=2) + "\n")


def _ratios_before() -> Mapping[str, float]:
    if differences():
        return {}
    ratios: Mapping[str, float] = json.loads(BASELINE.read_text())["ratios"]
    return ratios


class _Count:
    """A contender under callgrind, which writes its counts to a new file at each of the contender's marks."""

    def __init__(self, name: str, base_url: str) -> None:
        self._directory = tempfile.TemporaryDirectory()
        output = f"--callgrind-out-file={self._directory.name}/counts"
        command = ["valgrind", "--quiet", "--tool=callgrind", "--dump-before=getpgrp", output]
        contender = [sys.executable, "-m", "tests.benchmarks.contenders", name, base_url]
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
        total = _TOTAL.search((Path(self._directory.name) / f"counts.{number}").read_text())
        assert total is not None
        return int(total[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()
