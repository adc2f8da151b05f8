"""Programs as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import attrs


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a program, with pipes for its output."""
    # In a group of its own, so that Ctrl-C can reach all its processes as it does in a terminal.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, arguments)], text=True, start_new_session=True, **pipes)


def is_gone(group: int) -> bool:
    """Return True if no process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def running_dask(*arguments: object, log: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Dask command, and kill it at the end; its output goes to a file or nowhere."""
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    with (Path(os.devnull) if log is None else log).open("ab") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)
    with process:
        try:
            yield process
        finally:
            process.kill()


@attrs.frozen
class Commands:
    """A scheduler and workers as Dask's own commands start them, with their files and logs in a directory."""

    directory: Path
    environment: Mapping[str, str] = attrs.field(factory=dict)
    options: tuple[object, ...] = ()

    @property
    def file(self) -> Path:
        return self.directory / "scheduler.json"

    @contextmanager
    def scheduler(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a scheduler that listens."""
        self.file.unlink(missing_ok=True)
        options = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", self.file)
        log = self.directory / "scheduler.log"
        with running_dask("scheduler", *options, *self.options, log=log, **self.environment) as process:
            wait_until(lambda: self.file.exists() and self.file.read_text("utf-8").endswith("}"))
            yield process

    def worker(self, name: str = "worker", **environment: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a worker, in one process of one thread."""
        options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", self.directory)
        log = self.directory / f"{name}.log"
        arguments = ("worker", "--scheduler-file", self.file, *options, *self.options)
        return running_dask(*arguments, log=log, **{**self.environment, **environment})
