"""The ratios of instructions that new ones are compared with.

Counts do not depend on what else the machine does, but on the interpreter, how it was built, and the libraries; their
ratios hardly depend on how it was built. ``instructions.json`` has the ratios to compare with, for each version of
Python, and the versions of the libraries, which the session installs.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

import attrs

BASELINE: Final = Path(__file__).with_name("instructions.json")
TOLERANCE: Final = 1.03
"""A ratio that has grown by more than this is a regression. Counts vary by half a percent."""

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
    "pyarrow",
    "yarl",
)


@attrs.frozen
class Counted:
    """Thousands of instructions of one case.

    Attributes:
        case: the number of recordings of a list, or what else is counted.
        ours: those of this library.
        by_hand: those of the same by hand; for imports, those of ``import aiohttp``.
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
