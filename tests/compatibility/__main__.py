"""Find breaking changes of the public API: ``python -m tests.compatibility [REF]``.

Compares the work tree with a Git revision, by default the latest release, and exits with 1 if something public was
removed, or changed so that programs may break. Public is what ``roomrec_async`` lists in ``__all__``, and what the
modules that users import directly define without a leading underscore.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import griffe

_PACKAGE: Final = "roomrec_async"
# Prefixes of the modules that users import directly.
_PUBLIC_MODULES: Final = tuple(
    f"{_PACKAGE}.{name}." for name in ("events", "integrations", "protocols", "simulator", "webhooks")
)


def latest_release() -> str | None:
    """Return the latest version tag among the ancestors of the work tree, or None if there is none."""
    described = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or None


def breaking_changes(ref: str) -> Iterator[griffe.Breakage]:
    """Yield the breaking changes of the public API since a revision."""
    old = griffe.load_git(_PACKAGE, ref=ref)
    new = griffe.load(_PACKAGE, search_paths=["."])
    assert isinstance(old, griffe.Module)
    assert isinstance(new, griffe.Module)

    # Canonical paths, because names in __all__ are defined in private modules.
    exported = [f"{member.canonical_path}." for name, member in old.members.items() if name in (old.exports or ())]
    public = (*exported, *_PUBLIC_MODULES)
    for breakage in griffe.find_breaking_changes(old, new):
        # The dot keeps "Room" from matching "RoomResult".
        path = f"{breakage.obj.canonical_path}."
        if path.startswith(public):
            yield breakage


def main(arguments: list[str]) -> int:
    """Print the breaking changes, one per line; return the exit code."""
    ref = arguments[0] if arguments else latest_release()
    if ref is None:
        print("There is no release yet, so there is nothing to break.")
        return 0

    count = 0
    for breakage in breaking_changes(ref):
        count += 1
        print(breakage.explain(griffe.ExplanationStyle.ONE_LINE))
    print(f"{count} breaking changes since {ref}")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
