"""The place where a film is made: locked, found again by the next run, and removed when it is no longer needed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

import attrs

from roomrec_async._asyncio import open_in_thread, run_in_thread
from roomrec_async._files import open_and_lock, remove_locked
from roomrec_async.errors import MediaError, RoomRecError

# The convention for directories of files that can be made again (bford.info/cachedir). Here, it says whose one is.
_TAG_NAME: Final = "CACHEDIR.TAG"
_TAG: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# Steps of a film, made by roomrec_async.\n"


@attrs.frozen
class Workspace:
    """Directories that one film is made in.

    Attributes:
        steps: directory of the files of steps.
        media: directory of the downloads.
    """

    steps: Path
    media: Path


@asynccontextmanager
async def open_workspace(output: Path, media: Path | None) -> AsyncGenerator[Workspace, None]:
    """Create the directories for a film, and lock its file, so that no two programs make it at once.

    They are removed when the film is made. If it is not, finished steps stay for the next run: in the media directory
    if there is one, else beside the film together with the downloads. There they are removed on cancellation.

    Args:
        output: file of the film.
        media: directory to keep downloads in, if any.

    Raises:
        MediaError: another program is making this film, or something else is in the place of the steps' directory.
    """
    workspace = make_workspace(output, media)
    async with lock_output(output):
        await run_in_thread(partial(make_steps_directory, workspace.steps))
        async with remove_when_done(workspace, keep_if_cancelled=media is not None):
            yield workspace


def make_workspace(output: Path, media: Path | None) -> Workspace:
    """Return the directories for a film."""
    if media is None:
        steps = output.with_name(f".{output.name[:50]}.mux").absolute()
        return Workspace(steps, steps / "media")
    digest = hashlib.sha256(str(output.absolute()).encode()).hexdigest()
    return Workspace((media / f".mux-{digest[:24]}").absolute(), media)


def make_steps_directory(path: Path) -> None:
    """Create the directory of a film's steps, or find the one that an earlier run has left.

    Raises:
        MediaError: there is something that no run has left, and that would be removed with the steps.
    """
    tag = path / _TAG_NAME
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise not_from_a_film(path)
    path.mkdir(parents=True, exist_ok=True)
    if tag.is_file():
        return
    if any(path.iterdir()):
        raise not_from_a_film(path)
    tag.write_bytes(_TAG)


def not_from_a_film(path: Path) -> MediaError:
    """Return the error for what would be removed, and is not from making a film."""
    return MediaError(f"{path} is needed for making the film, and is from something else: move it away")


@asynccontextmanager
async def remove_when_done(workspace: Workspace, *, keep_if_cancelled: bool) -> AsyncGenerator[None, None]:
    """Remove what the steps left at the end of this block, unless the next run can go on with it."""
    keep = False
    try:
        yield
    except (RoomRecError, OSError) as error:
        keep = await run_in_thread(partial(has_files, workspace.steps))
        if keep:
            error.add_note(f"what is done so far is kept in {workspace.steps}: run the same again to go on")
        raise
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        keep = keep_if_cancelled
        raise
    finally:
        if not keep:
            await run_in_thread(partial(shutil.rmtree, workspace.steps, ignore_errors=True))


def has_files(directory: Path) -> bool:
    """Return True if there is a file in a directory, or below it, and not only the tag."""
    return any(path.is_file() and path.name != _TAG_NAME for path in directory.rglob("*"))


@asynccontextmanager
async def lock_output(output: Path) -> AsyncGenerator[None, None]:
    """Keep a film's lock file locked during this block, and remove it afterwards.

    Raises:
        MediaError: another program holds it, or the file is something else.
    """
    lock_path = output.with_name(f".{output.name[:50]}.lock")

    def unlock(lock: IO[bytes]) -> None:
        remove_locked(lock, lock_path)

    try:
        lock = await open_in_thread(partial(open_and_lock, lock_path, output), unlock)
    except MediaError:
        raise MediaError(f"{output} is being made already, by this program or another one") from None
    # Locks are empty.
    if os.fstat(lock.fileno()).st_size:
        lock.close()
        raise not_from_a_film(lock_path)
    try:
        yield
    finally:
        unlock(lock)
