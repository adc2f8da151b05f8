"""What the server's rooms are called. It imports nothing, so that no contender pays for what another one imports."""

from __future__ import annotations

from typing import Final

ACCOUNT_SID: Final = "AC" + "0" * 32
"""The account that all recordings belong to."""


def room_sid(pages: int, size: int, number: int = 0) -> str:
    """Return the SID of a room with this number of pages, and of recordings per page."""
    return f"RM{pages:08x}{size:08x}{number:016x}"
