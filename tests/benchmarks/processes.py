"""The server and the contenders as processes with a line-based protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import IO, Self


class Worker:
    """A Python module in a process of its own; it ends when its standard input does.

    Args:
        module: the module.
        arguments: its arguments.
        processor: the processor that it runs on; None for any.
    """

    def __init__(self, module: str, *arguments: str, processor: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if processor is not None:
            os.sched_setaffinity(self._process.pid, {processor})

    def call(self, command: str) -> dict[str, float]:
        """Send a command, and return the result."""
        self._stdin.write(f"{command}\n")
        self._stdin.flush()
        result: dict[str, float] = json.loads(self.read_line())
        return result

    def read_line(self) -> str:
        """Return the next line that it prints."""
        line = self._stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has died; its error is above")
        return line.strip()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stdin.close()
        self._stdout.close()
        self._process.wait(10)


class Server(Worker):
    """The server of pre-rendered pages.

    Args:
        latency: seconds that each response takes.
        processor: the processor that it runs on; None for any.
    """

    def __init__(self, latency: float = 0.0, processor: int | None = None) -> None:
        super().__init__("tests.benchmarks.server", str(latency), processor=processor)
        self.base_url = f"http://127.0.0.1:{self.read_line()}"

    def requests(self) -> int:
        """Return the number of requests since the last call."""
        with urllib.request.urlopen(f"{self.base_url}/requests") as response:
            return int(response.read())
