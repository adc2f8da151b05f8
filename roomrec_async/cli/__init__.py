"""The ``roomrec`` command: a demonstration, lists of recordings, and the simulator as a server.

It needs the extra ``cli``: ``pip install 'roomrec-async[cli]'``.
"""

import sys

_NEEDED = ("click", "rich")


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        from .app import run  # noqa: PLC0415  without the extra there must be a message, not an ImportError
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(f"roomrec needs {' and '.join(_NEEDED)}: pip install 'roomrec-async[cli]'\n")
        sys.exit(2)
    sys.exit(run())
