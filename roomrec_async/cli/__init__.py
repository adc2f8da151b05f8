"""The ``roomrec`` command: recordings from the command line, a demonstration, and the simulator as a server.

It needs the extra ``cli``: ``pip install 'roomrec-async[cli]'``.
"""

import sys

_REQUIRED_PACKAGES = ("click", "rich")


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        from .app import run  # noqa: PLC0415  fails without the extra

        # A command is imported when it runs.
        exit_code = run()
    except ModuleNotFoundError as error:
        # Any other missing module is a mistake of ours.
        if (error.name or "").partition(".")[0] not in _REQUIRED_PACKAGES:
            raise
        needed = " and ".join(_REQUIRED_PACKAGES)
        sys.stderr.write(f"roomrec needs {needed}: pip install 'roomrec-async[cli]'\n")
        sys.exit(2)
    sys.exit(exit_code)
