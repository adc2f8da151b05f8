"""Records beside the media: ``RT....json``, so that a folder of downloads says whose tracks it has, and when."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Final

from roomrec_async._api.codec import from_dict, to_json_lines
from roomrec_async._asyncio import call_destination, run_in_thread
from roomrec_async._files import atomic_write, file_size
from roomrec_async._validate import check_room_sid
from roomrec_async.errors import DecodeError, MediaError
from roomrec_async.models import Recording
from roomrec_async.protocols import Destination

# Bytes. No record comes near.
_MAX_SIZE: Final = 2**20


def record_name(recording: Recording) -> str:
    """Return the name for the file of a recording's record."""
    return f"{recording.sid}.json"


async def write_record(recording: Recording, destination: str | os.PathLike[str] | Destination) -> None:
    """Write a recording's record into the directory or store of its media.

    Raises:
        MediaError: the store refused it.
        OSError: the file cannot be written.
    """
    content = to_json_lines([recording])
    name = record_name(recording)
    if isinstance(destination, (str, os.PathLike)):
        await run_in_thread(partial(write_if_changed, Path(destination) / name, content))
    else:
        await call_destination(destination.write(name, single_chunk(content)))


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file unless it has this content: a run that finds everything complete syncs nothing to disk."""
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_write(path) as file:
        file.write(content)


async def single_chunk(content: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the content as one chunk."""
    yield content


def read_record(path: Path) -> Recording:
    """Return the recording in a file that :func:`write_record` wrote.

    Raises:
        MediaError: it is no file, not a recording, or not the one that the file is named after.
        OSError: the file cannot be read.
    """
    # Opening a pipe would wait for its other end.
    if file_size(path) is None:
        raise MediaError(f"{path} is not the record of a recording: it is no file")
    with path.open("rb") as file:
        content = file.read(_MAX_SIZE)
    try:
        recording = from_dict(Recording, json.loads(content))
        if recording.room_sid is not None:
            check_room_sid(recording.room_sid)
    except (ValueError, RecursionError, DecodeError) as error:
        raise MediaError(f"{path} is not the record of a recording: {error}") from None
    if record_name(recording) != path.name:
        raise MediaError(f"{path} is the record of another recording, {recording.sid}")
    return recording
