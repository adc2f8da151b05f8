"""``python -m tests.compatibility [REF]``: compare the work tree with a Git reference, by default the latest release.

Exits with 1 if something public was removed or changed so that programs may break. Public is what ``roomrec_async``
lists in ``__all__``, and what the modules that users import themselves define without a leading underscore.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import griffe

_PACKAGE: Final = "roomrec_async"
_IMPORTED_BY_USERS: Final = tuple(f"{_PACKAGE}.{name}." for name in ("integrations", "simulator", "webhooks"))


def latest_release() -> str | None:
    """The newest tag of a version that the work tree comes from."""
    described = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or None


def broken(ref: str) -> Iterator[griffe.Breakage]:
    """What is public and no longer as it was."""
    old = griffe.load_git(_PACKAGE, ref=ref)
    new = griffe.load(_PACKAGE, search_paths=["."])
    assert isinstance(old, griffe.Module)
    assert isinstance(new, griffe.Module)
    listed = [f"{member.canonical_path}." for name, member in old.members.items() if name in (old.exports or ())]
    public = (*listed, *_IMPORTED_BY_USERS)
    for breakage in griffe.find_breaking_changes(old, new):
        path = f"{breakage.obj.canonical_path}."
        if path.startswith(public):
            yield breakage


def main(arguments: list[str]) -> int:
    """Print what is broken, one line each."""
    ref = arguments[0] if arguments else latest_release()
    if ref is None:
        print("There is no release yet: nothing that anybody relies on can break.")
        return 0
    count = 0
    for breakage in broken(ref):
        count += 1
        print(breakage.explain(griffe.ExplanationStyle.ONE_LINE))
    print(f"{count} breaking changes since {ref}")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
