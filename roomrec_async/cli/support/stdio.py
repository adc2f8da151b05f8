"""Standard input and output for threads, so that the event loop need not wait for them."""

from __future__ import annotations

import asyncio
import codecs
import sys
from collections.abc import Callable
from concurrent.futures import Future
from io import BufferedReader, TextIOWrapper
from threading import Thread
from typing import Final, TextIO, TypeVar

from roomrec_async.errors import InvalidArgumentError

_Result = TypeVar("_Result")

# First bytes of a file that tell its encoding.
_START_SIZE: Final = 4


async def run_in_daemon_thread(function: Callable[[], _Result]) -> _Result:
    """Run a function in a thread of its own, and return its result.

    Unlike with :func:`asyncio.to_thread`, the program can end while the function blocks: nothing can interrupt a read
    from a terminal or a write to a pager.
    """
    future: Future[_Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  the awaiting task gets it
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


def open_stdin() -> TextIO:
    """Return standard input as a file of its own, for :func:`run_in_daemon_thread`.

    At exit, the interpreter takes the locks of ``sys.stdin`` and ``sys.stdout``: it would crash while a thread that
    blocks holds one of them.

    Raises:
        InvalidArgumentError: standard input is closed.
    """
    if sys.stdin is None:
        raise InvalidArgumentError("standard input is closed: give rooms as arguments, or --from-file FILE")
    # Closing the file must not close the descriptor, which belongs to the process.
    return decode_text(open(sys.stdin.fileno(), "rb", closefd=False))


def open_stdout() -> TextIO:
    """Return standard output as a file of its own; see :func:`open_stdin`."""
    return open(sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, errors="replace", closefd=False)


def decode_text(file: BufferedReader) -> TextIO:
    """Return a file as text: UTF-8, or the UTF-16 that PowerShell writes. Other bytes become replacement characters.

    It reads the start of the file, and so may block.
    """
    return TextIOWrapper(file, encoding=detect_encoding(file.peek(_START_SIZE)), errors="replace")


def detect_encoding(start: bytes) -> str:
    """Return the encoding of a text, given its first bytes."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a byte order mark, ASCII text has a zero in every other byte.
    match list(start[:_START_SIZE]):
        case [_, 0, _, 0]:
            return "utf-16-le"
        case [0, _, 0, _]:
            return "utf-16-be"
    # Files from Windows begin with a byte order mark.
    return "utf-8-sig"
