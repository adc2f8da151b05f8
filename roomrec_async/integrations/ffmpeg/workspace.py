"""The place where a film is made: locked, found again by the next run, and removed when it is no longer needed."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import IO

import attrs

from roomrec_async._asyncio import run_in_thread, wait_finished
from roomrec_async._files import open_and_lock
from roomrec_async.errors import MediaError, RoomRecError


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
        MediaError: another program is making this film.
    """
    lock_path = output.with_name(f".{output.name[:50]}.lock")
    lock = await open_lock(lock_path, output)
    with closing(lock):
        try:
            workspace = make_workspace(output, media)
            await run_in_thread(partial(workspace.steps.mkdir, parents=True, exist_ok=True))
            async with remove_when_done(workspace, keep_if_cancelled=media is not None):
                yield workspace
        finally:
            # Before the lock is released: who opens the file after that creates another one.
            lock_path.unlink(missing_ok=True)


def make_workspace(output: Path, media: Path | None) -> Workspace:
    """Return the directories for a film."""
    if media is None:
        steps = output.with_name(f".{output.name[:50]}.mux").absolute()
        return Workspace(steps, steps / "media")
    digest = hashlib.sha256(str(output.absolute()).encode()).hexdigest()
    return Workspace((media / f".mux-{digest[:24]}").absolute(), media)


@asynccontextmanager
async def remove_when_done(workspace: Workspace, *, keep_if_cancelled: bool) -> AsyncGenerator[None, None]:
    """Remove what the steps left at the end of this block, unless the next run can go on with it."""
    keep = False
    try:
        yield
    except RoomRecError as error:
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
    """Return True if there is a file in a directory, or below it."""
    return any(path.is_file() for path in directory.rglob("*"))


async def open_lock(lock_path: Path, output: Path) -> IO[bytes]:
    """Open and lock the lock file of a film.

    Raises:
        MediaError: another program holds it.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, open_and_lock, lock_path, output)
    try:
        await wait_finished(opening)
    except asyncio.CancelledError:
        if opening.exception() is None:
            opening.result().close()
        raise
    try:
        return opening.result()
    except MediaError:
        raise MediaError(f"{output} is being made already, by this program or another one") from None
