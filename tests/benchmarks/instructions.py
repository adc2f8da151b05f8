"""Instructions over those by hand: counted by valgrind, so that a change of one percent shows.

Counted are lists of one page, over the loop by hand, and importing the package and ``roomrec --help``, over ``import
aiohttp``.

Counts do not depend on what else the machine does, but on the interpreter, how it was built, and the libraries; their
ratios hardly depend on how it was built. ``instructions.json`` has the ratios to compare with, for each version of
Python, and the versions of the libraries, which the session installs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
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
"""A ratio that has grown by more than this is a regression. Counts vary by half a percent."""

# Recordings per page, and how many lists of one page are counted at once.
_LISTS: Final = {5: 10, 12: 10, 50: 6, 200: 4, 1000: 4}
# How often they are counted. The lowest count is taken: the first time of a size adapts more bytecode, and where the
# machine is busy, a response may come in more pieces, which only adds to a count.
_REPEATS: Final = 3
# Lists before those that are counted: the interpreter adapts its bytecode to what it runs.
_WARM_UP: Final = 20
_LIBRARIES: Final = (
    "aiohappyeyeballs",
    "aiohttp",
    "aiosignal",
    "attrs",
    "frozenlist",
    "idna",
    "msgspec",
    "multidict",
    "orjson",
    "propcache",
    "yarl",
)
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


@attrs.frozen
class Counted:
    """Thousands of instructions of one case.

    Attributes:
        case: the number of recordings of a list, or what else is counted.
        ours: those of this library.
        by_hand: those of the loop by hand; for imports, those of ``import aiohttp``.
    """

    case: str
    ours: float
    by_hand: float

    @property
    def ratio(self) -> float:
        """Ours over by hand."""
        return self.ours / self.by_hand


@attrs.define
class Baseline:
    """Earlier ratios.

    Attributes:
        libraries: versions of the libraries that were counted, by name.
        ratios: by interpreter (:func:`interpreter`) and case.
    """

    libraries: dict[str, str]
    ratios: dict[str, dict[str, float]]

    @classmethod
    def read(cls) -> Self:
        """Read ``instructions.json``."""
        return cls(**json.loads(BASELINE.read_text()))

    def obstacles(self) -> list[str]:
        """Return why counts cannot be compared here; empty if they can be."""
        obstacles = []
        if shutil.which("valgrind") is None:
            obstacles.append("valgrind is not installed")
        if interpreter() not in self.ratios:
            obstacles.append(f"there is no baseline for Python {interpreter()}, only for {', '.join(self.ratios)}")
        for library, wanted in self.libraries.items():
            if (found := version(library)) != wanted:
                obstacles.append(f"{library} {found} is installed, not {wanted}")
        return obstacles

    def ratio(self, row: Counted) -> float | None:
        """Return the earlier ratio of a case, or None."""
        return self.ratios.get(interpreter(), {}).get(row.case)

    def is_regression(self, row: Counted) -> bool:
        """Return True if the ratio has grown by more than the tolerance."""
        before = self.ratio(row)
        return before is not None and row.ratio > before * TOLERANCE

    def renew(self, rows: list[Counted]) -> None:
        """Write the ratios of this interpreter; with other libraries than before, those of the others are void."""
        libraries = {library: version(library) for library in _LIBRARIES}
        if libraries != self.libraries:
            self.ratios = {}
        self.libraries = libraries
        self.ratios[interpreter()] = {row.case: round(row.ratio, 4) for row in rows}
        BASELINE.write_text(json.dumps(attrs.asdict(self), indent=2) + "\n")


def interpreter() -> str:
    """Return the version of Python without its last part; other builds of it have almost the same ratios."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def measure() -> list[Counted]:
    """Count the instructions of all cases."""
    return [*measure_lists(), *measure_imports()]


def measure_lists() -> list[Counted]:
    """Count the instructions of both contenders, one process each, side by side."""
    with Server() as server, ExitStack() as stack:
        counts = [stack.enter_context(_Count(name, server.base_url)) for name in (OURS, BY_HAND)]
        ours, by_hand = [count.per_list() for count in counts]
    return [Counted(str(size), ours[size], by_hand[size]) for size in _LISTS]


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
        callgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={counts}"]
        for each in (command, [*callgrind, *command]):
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
        output = f"--callgrind-out-file={self._directory.name}/counts"
        command = ["valgrind", "--quiet", "--tool=callgrind", "--dump-before=getpgrp", output]
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
