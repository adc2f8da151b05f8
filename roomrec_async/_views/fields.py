"""Fields of recordings as the views read them: numbers in their documented range, texts of limited length.

The service's responses are not trusted here: a number out of range counts as one that is missing.
"""

from __future__ import annotations

from typing import Final

from roomrec_async._validate import INT64_MAX
from roomrec_async.models import Recording

MAX_TEXT_LENGTH: Final = 200
"""Maximum number of characters of a text that is shown; longer ones are cut."""

UNKNOWN: Final = "unknown"
"""Text shown for a field that the service left empty."""

# API reference: size and offset are 64-bit integers. A duration is an integer; 32 bits are 68 years.
_MAX_DURATION: Final = 2**31 - 1


def valid_size(recording: Recording) -> int | None:
    """Return the size in bytes, or None if there is none or it is out of range."""
    return in_range(recording.size, 0, INT64_MAX)


def valid_duration(recording: Recording) -> int | None:
    """Return the duration in seconds, or None if there is none or it is out of range."""
    return in_range(recording.duration, 0, _MAX_DURATION)


def valid_offset(recording: Recording) -> int | None:
    """Return the offset in milliseconds, which may be negative, or None if there is none or it is out of range."""
    return in_range(recording.offset, -INT64_MAX - 1, INT64_MAX)


def in_range(value: int | None, minimum: int, maximum: int) -> int | None:
    """Return a value, or None if it is out of a range."""
    if value is None or not minimum <= value <= maximum:
        return None
    return value
