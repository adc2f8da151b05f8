"""Parts of a manifest: ``manifest.jsonl/part-000000.jsonl`` and so on, in a directory or a store."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, Protocol, TypeGuard

from roomrec_async.protocols import Destination, ReadableDestination

# The folder has the name of a table. Several ledgers have parts of their own, behind the number of the ledger.
_PART: Final = re.compile(r"(?:.*/)?[^/]+\.([a-z]+)/part-(?:[0-9]+-)?[0-9]{6,}\.([a-z]+)", re.IGNORECASE)


class PartStore(ReadableDestination, Protocol):
    """A store that can hold a manifest in parts."""

    def sizes(self, folder: str) -> AsyncGenerator[tuple[str, int], None]:
        """Yield the name and the size in bytes of each object in a folder, whose name ends in a slash."""

    async def delete(self, name: str) -> None:
        """Delete the object of this name, if there is one."""


def can_hold_parts(destination: Destination) -> TypeGuard[PartStore]:
    """Return True if a store can list and delete its objects.

    A local one, which has no endpoint, cannot: there, a name is either that of a file or that of a folder.
    """
    is_local = getattr(destination, "endpoint", None) == ""
    return hasattr(destination, "sizes") and hasattr(destination, "delete") and not is_local


def is_part(name: str) -> bool:
    """Return True if a name, which includes that of its folder, is that of a part."""
    match = _PART.fullmatch(name)
    return match is not None and match[1].lower() == match[2].lower()


def part_paths(directory: Path) -> list[Path]:
    """Return the parts in a directory, in order; an empty list if it is none that has the name of a table."""
    # The directory of an archive has a folder for each room, which nobody needs to look at.
    if not directory.suffix or not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if is_part(f"{directory.name}/{path.name}") and path.is_file())
