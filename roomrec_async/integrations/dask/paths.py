"""Places that the caller and all workers share."""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from distributed import get_worker

from roomrec_async._asyncio import run_in_thread
from roomrec_async.errors import ConfigurationError


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as an absolute one: workers have other working directories than the caller."""
    return Path(path).absolute()


def check_picklable(name: str, value: object) -> None:
    """Check that an argument can be sent to the workers.

    Raises:
        ConfigurationError: it cannot.
    """
    try:
        pickle.dumps(value)
    except Exception as error:  # noqa: BLE001  objects may raise anything when they are pickled
        raise ConfigurationError(f"{name} cannot be sent to the workers: {error}") from None


@asynccontextmanager
async def marker_file(directory: Path) -> AsyncGenerator[str, None]:
    """Keep an empty file in a directory, and yield its name, by which workers recognize the directory."""
    name = f".roomrec-{uuid4().hex}"
    try:
        await run_in_thread((directory / name).touch)
        yield name
    finally:
        await run_in_thread(partial((directory / name).unlink, missing_ok=True))


async def check_visible(directory: Path, marker: str) -> None:
    """Raise on a worker that does not see the caller's marker file in the directory.

    A directory of the same name on the worker's own disk would take its files, and nobody would find them.

    Raises:
        ConfigurationError: the marker is not there.
    """
    if not await run_in_thread((directory / marker).exists):
        address = get_worker().address
        raise ConfigurationError(f"worker {address} does not see {directory}: it must be a directory that all share")
