"""The limits of an account, and the part of them that one of its processes uses on its own."""

from __future__ import annotations

import math
import re
from typing import Final, Literal, TypeAlias

import attrs

from roomrec_async._validate import MAX_RATE, check_integer, check_rate

Concurrency: TypeAlias = int | Literal["auto"] | None

NAME_PATTERN: Final = re.compile(r"[\w.:@-]{1,200}")
MICROSECONDS_PER_SECOND: Final = 1_000_000

# How the script writes "no limit" and a limit that adapts.
_NO_LIMIT: Final = 0
_ADAPTIVE: Final = -1
_SETTING_NAMES: Final = ("max_concurrency", "reads_per_second", "writes_per_second")


@attrs.frozen
class Limits:
    """The limits of the account; None for no limit."""

    max_concurrency: Concurrency
    reads_per_second: float | None
    writes_per_second: float | None

    def __attrs_post_init__(self) -> None:
        if self.max_concurrency is not None and self.max_concurrency != "auto":
            check_integer("max_concurrency", self.max_concurrency, minimum=1, alternative="'auto' or None")
        for name, rate in (("reads_per_second", self.reads_per_second), ("writes_per_second", self.writes_per_second)):
            if rate is not None:
                check_rate(name, rate, maximum=MAX_RATE)

    def script_arguments(self) -> tuple[str, str, str]:
        """Return the limits in the script's order and form."""
        concurrency = self.max_concurrency or _NO_LIMIT
        if concurrency == "auto":
            concurrency = _ADAPTIVE
        return str(concurrency), _format_rate(self.reads_per_second), _format_rate(self.writes_per_second)

    def differences(self, others: str) -> str:
        """Return how these limits differ from those in the script's form, for a message."""
        pairs = zip(_SETTING_NAMES, self.script_arguments(), others.split(), strict=True)
        return ", ".join(
            f"{name} is {_format_limit(mine)} here and {_format_limit(theirs)} there"
            for name, mine, theirs in pairs
            if mine != theirs
        )


def _format_rate(rate: float | None) -> str:
    # All of its digits; a whole number as one.
    return repr(float(rate or _NO_LIMIT)).removesuffix(".0")


def _format_limit(text: str) -> str:
    return {str(_NO_LIMIT): "None", str(_ADAPTIVE): "'auto'"}.get(text, text)


def to_microseconds(seconds: float) -> int:
    """Return whole microseconds, rounded up."""
    return math.ceil(seconds * MICROSECONDS_PER_SECOND)
