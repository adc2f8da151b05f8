"""Directories that all workers and the caller see under one name."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from distributed import get_worker

from roomrec_async._asyncio import run_in_thread
from roomrec_async.errors import ConfigurationError


def absolute(place: str | os.PathLike[str]) -> Path:
    """What workers can be told, whose own directory is another one."""
    return Path(place).absolute()


@asynccontextmanager
async def shared(directory: Path) -> AsyncGenerator[str, None]:
    """A file in a directory, by which workers know that they see the same one."""
    token = f".roomrec-{uuid4().hex}"
    await run_in_thread((directory / token).touch)
    try:
        yield token
    finally:
        await run_in_thread(partial((directory / token).unlink, missing_ok=True))


async def check_seen(directory: Path, token: str) -> None:
    """Whether this worker sees what the caller has put there."""
    if not await run_in_thread((directory / token).exists):
        where = get_worker().address
        raise ConfigurationError(f"worker {where} does not see {directory}: it must be a directory that all share")
