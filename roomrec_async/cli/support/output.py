"""Where the lines of a command go that shows progress meanwhile."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from .stdio import LineWriter


class Lines:
    """Standard output; where that is the terminal on which progress is shown, the lines above the progress.

    Args:
        console: where progress is shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._writer = None if console.is_terminal and sys.stdout.isatty() else LineWriter()

    async def write(self, line: str) -> None:
        """Write a line, without its end.

        Raises:
            OSError: an earlier line could not be written.
        """
        if self._writer is None:
            self._console.print(Text(line), soft_wrap=True)
        else:
            await self._writer.write(f"{line}\n")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            await self._writer.__aexit__(kind, error, traceback)
