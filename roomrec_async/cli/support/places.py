"""Checks of the places that commands write to, before anything is sent: looking up a room's name is a request, too."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from roomrec_async._files import create_temporary
from roomrec_async.protocols import Destination


def check_file_place(path: Path) -> None:
    """Check that a file can be created or replaced, by creating another one beside it for a moment.

    Raises:
        InvalidArgumentError: there is something else than a file.
        OSError: nothing can be created there.
    """
    create_temporary(path).unlink()


def check_directory_place(destination: Path | Destination) -> None:
    """Check that files can be created in a directory, or that it can be created. A store is left alone.

    Raises:
        OSError: they cannot, or it cannot.
    """
    if not isinstance(destination, Path):
        return
    directory = destination
    while not os.path.lexists(directory) and directory != directory.parent:
        directory = directory.parent
    if not directory.is_dir():
        code = errno.EEXIST if directory == destination else errno.ENOTDIR
        raise OSError(code, os.strerror(code), str(destination))
    try:
        create_temporary(directory / "roomrec").unlink()
    except OSError as error:
        error.filename = str(destination)
        raise
