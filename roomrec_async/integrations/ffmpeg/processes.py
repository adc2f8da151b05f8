"""Runs ffmpeg and ffprobe, so that none of them outlives this process, whatever ends it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

from roomrec_async._asyncio import cancel_and_wait, wait_finished
from roomrec_async._files import DISK_FULL_ERRORS
from roomrec_async.errors import ConfigurationError, MediaError

INPUT_OPTIONS: Final = ("-f", "matroska", "-protocol_whitelist", "file")
"""Options before an input. The demuxer is named: a file in disguise, such as a playlist, must not open others."""

# Characters of a program's error output that an error message quotes.
_MAX_QUOTE_LENGTH: Final = 300

# Linux kills a child whose parent has died, if the child asks for it: prctl(PR_SET_PDEATHSIG = 1, SIGKILL = 9). A
# function that runs between fork and exec could ask, too, but is unsafe in a program with threads. The parent may have
# died before the request: then the child has another one by now.
_DIE_WITH_PARENT: Final = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def find_program(name: str) -> str:
    """Return the path of ffmpeg or ffprobe.

    Raises:
        ConfigurationError: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise ConfigurationError(f"{name} is not installed: apt-get install ffmpeg, or see https://ffmpeg.org")
    return path


def bound_to_parent(arguments: Sequence[str]) -> list[str]:
    """Return a command that runs this one, and ends with this process even if it is killed. Linux only."""
    if sys.platform != "linux" or not sys.executable:
        return list(arguments)
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *arguments]


@asynccontextmanager
async def start_process(arguments: Sequence[str], directory: Path | None = None) -> AsyncGenerator[Process, None]:
    """Start a process with pipes for its output; it is killed if it still runs when the block ends."""
    command = bound_to_parent(arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=directory)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            # Also if this task is cancelled again: a process that nobody waits for would stay as a zombie.
            await wait_finished(asyncio.ensure_future(process.wait()))


async def run_program(
    arguments: Sequence[str], on_output: Callable[[bytes], object], *, directory: Path | None = None
) -> bytes:
    """Run a program, and return what it wrote to standard error.

    Args:
        arguments: the program's path, and its arguments.
        on_output: called with each chunk of its standard output.
        directory: the directory that it runs in; by default that of this process.

    Raises:
        MediaError: it failed; the message is the last line of its error output.
        OSError: it could not write, since the disk is full. That says nothing about what it has read.
    """
    async with start_process(arguments, directory) as process:
        stdout = cast("asyncio.StreamReader", process.stdout)
        stderr = cast("asyncio.StreamReader", process.stderr)
        # Both pipes must be read at once: a program stops when either is full.
        read_stderr = asyncio.create_task(stderr.read())
        try:
            while chunk := await stdout.read(2**18):
                on_output(chunk)
            error_output = await read_stderr
            await process.wait()
        finally:
            await cancel_and_wait(read_stderr)
    if process.returncode:
        check_disk_full(error_output)
        raise MediaError(last_line(error_output))
    return error_output


def check_disk_full(error_output: bytes) -> None:
    """Raise OSError if a program wrote to stderr that the disk is full, which need not be in the last line."""
    for number in DISK_FULL_ERRORS:
        reason = os.strerror(number)
        if reason.encode() in error_output:
            raise OSError(number, reason)


def last_line(error_output: bytes) -> str:
    """Return the last line that a program wrote to stderr, for an error message."""
    lines = error_output.decode(errors="replace").strip().splitlines()
    if not lines:
        return "no error message"
    return lines[-1][:_MAX_QUOTE_LENGTH]
