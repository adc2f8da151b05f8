"""The log of a command: its lines on stderr and in a file, how many of them, and in which format."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, TextIO, TypeAlias

import attrs
import click

from roomrec_async._format import format_duration
from roomrec_async._text import safe_text

from .errors import format_os_error
from .options import LocalPath

if TYPE_CHECKING:
    from rich.console import Console

LogFormat: TypeAlias = Literal["text", "json"]

PROGRESS_INTERVAL: float = 30.0
"""Seconds between two lines of progress where stderr is no terminal."""

_LIBRARY: Final = logging.getLogger("roomrec_async")
_LEVELS: Final = ("debug", "info", "warning", "error")

# Where the context of a command keeps the options of its log.
_OPTIONS_KEY: Final = "roomrec.log"


@attrs.define
class Log:
    """The log of one run. By default, it shows the command's lines, and the library's warnings.

    Attributes:
        command: the command, such as "roomrec list"; empty until it runs.
        level: least level of the command's own lines.
        library_level: least level of the library's lines, about retries and rate limits.
        format: "text" or "json".
        file: file that the lines are added to as well, with their times; or None.
    """

    command: str = ""
    level: int = logging.INFO
    library_level: int = logging.WARNING
    format: LogFormat = "text"
    file: TextIO | None = None

    def draws_on(self, console: Console) -> bool:
        """Return True if progress is drawn on a console, rather than logged in lines."""
        return console.is_terminal and self.format == "text"

    @property
    def is_quiet(self) -> bool:
        """True if only warnings or errors are shown."""
        return self.level > logging.INFO

    def write(self, line: str, level: int = logging.INFO, *, console: Console | None = None) -> None:
        """Write a line of the command, if its level is high enough.

        Args:
            line: the text.
            level: a level of :mod:`logging`.
            console: standard error, if it may show progress: the line appears above that.
        """
        if level >= self.level:
            self.emit(line, level, console)

    def emit(self, line: str, level: int, console: Console | None = None) -> None:
        """Write a line, whatever its level."""
        stamped = self._format_json(line, level) if self.format == "json" else None
        if console is None:
            # After SIGHUP, the terminal is gone.
            with suppress(OSError):
                click.echo(stamped or line, err=True)
        else:
            console.print(stamped or line, soft_wrap=True, markup=False, emoji=False)
        if self.file is not None:
            self.file.write(f"{stamped or self._format_text(line, level)}\n")
            self.file.flush()

    def _format_json(self, line: str, level: int) -> str:
        name = logging.getLevelName(level).lower()
        return json.dumps({"time": format_now(), "level": name, "command": self.command, "message": line})

    def _format_text(self, line: str, level: int) -> str:
        return f"{format_now()} {logging.getLevelName(level)} {line}"


class LibraryHandler(logging.Handler):
    """Writes the library's lines to the log of a command."""

    def __init__(self, log: Log) -> None:
        super().__init__(log.library_level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._log.emit(safe_text(record.getMessage()), record.levelno, _console.get())


_log: ContextVar[Log | None] = ContextVar("log", default=None)
# Shared by everything that writes to stderr in one run, so that each line appears above the progress.
_console: ContextVar[Console | None] = ContextVar("console", default=None)


def current_log() -> Log:
    """Return the log of the command that runs."""
    return _log.get() or Log()


def stderr_console() -> Console:
    """Return the console for standard error."""
    return _console.get() or make_console()


def make_console() -> Console:
    """Return a new console for standard error."""
    from rich.console import Console  # noqa: PLC0415  the help does without it

    return Console(stderr=True, highlight=False)


@contextmanager
def open_log() -> Iterator[Log]:
    """Provide a log for the time of a block, the run of a command; close its file at the end."""
    log = Log()
    level = _LIBRARY.level
    tokens = _log.set(log), _console.set(None)
    try:
        yield log
    finally:
        _LIBRARY.setLevel(level)
        for handler in [each for each in _LIBRARY.handlers if isinstance(each, LibraryHandler)]:
            _LIBRARY.removeHandler(handler)
        if log.file is not None:
            log.file.close()
        _log.reset(tokens[0])
        _console.reset(tokens[1])


def add_log_options(command: click.Command) -> click.Command:
    """Add the options of every command's log to a command, once, and let them hold while it runs."""
    function = command.callback
    if function is not None and not any(parameter in _OPTIONS for parameter in command.params):
        command.callback = with_log(function)
        command.params.extend(_OPTIONS)
    return command


def with_log(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function of a command that first applies the options of its log."""

    @wraps(function)
    def run(*args: object, **kwargs: object) -> object:
        apply_options(click.get_current_context())
        return function(*args, **kwargs)

    return run


def apply_options(context: click.Context) -> None:
    """Apply the options of the log of the command that runs.

    Raises:
        UsageError: they cannot be used together, or the file cannot be written.
    """
    log = _log.get()
    if log is None:
        # The command was not started by the group.
        return
    given = context.meta.get(_OPTIONS_KEY, {})
    log.command = context.command_path
    log.format = given.get("log_format", "text")
    log.level, log.library_level = levels_of(given)
    path = given.get("log_file")
    if path is not None:
        log.file = open_file(path)
    _console.set(make_console())
    _LIBRARY.setLevel(log.library_level)
    _LIBRARY.addHandler(LibraryHandler(log))


def levels_of(given: dict[str, object]) -> tuple[int, int]:
    """Return the least level of the command's lines, and of the library's.

    Raises:
        UsageError: the options contradict each other.
    """
    if len(given.keys() & {"verbose", "quiet", "log_level"}) > 1:
        raise click.UsageError("--verbose, --quiet and --log-level set the same thing: give one of them")
    if "quiet" in given:
        return logging.ERROR, logging.ERROR
    if "log_level" in given:
        level: int = logging.getLevelNamesMapping()[str(given["log_level"]).upper()]
        return level, level
    times = given.get("verbose", 0)
    return logging.INFO, {0: logging.WARNING, 1: logging.INFO}.get(int(str(times)), logging.DEBUG)


def open_file(path: Path) -> TextIO:
    """Open a log file to add lines to it.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--log-file cannot be written: {format_os_error(error)}") from None


def keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep the value of an option that was given, for :func:`apply_options`."""
    if value and parameter.name is not None:
        context.meta.setdefault(_OPTIONS_KEY, {})[parameter.name] = value


_OPTIONS: Final = (
    click.Option(
        ["-v", "--verbose"],
        count=True,
        expose_value=False,
        callback=keep,
        help="Tell more on stderr: retries and pauses; with -vv every request.",
    ),
    click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Print errors only on stderr: no progress and no summary.",
    ),
    click.Option(
        ["--log-level"],
        type=click.Choice(_LEVELS, case_sensitive=False),
        expose_value=False,
        callback=keep,
        help="Least level of the lines on stderr, in place of -v and -q.",
    ),
    click.Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        expose_value=False,
        callback=keep,
        help="Format of the lines on stderr. By default text.",
    ),
    click.Option(
        ["--log-file"],
        type=LocalPath(dir_okay=False),
        metavar="FILE",
        expose_value=False,
        callback=keep,
        help="Also add these lines to a file, with their times.",
    ),
)


@contextmanager
def log_progress(format_text: Callable[[float], str]) -> Iterator[None]:
    """Log the progress of a block: at its start, every 30 seconds, and at its end.

    Outside a command, nothing is written.

    Args:
        format_text: returns what has been done, given the seconds since the start.
    """
    log = _log.get()
    if log is None or not log.command:
        yield
        return
    console = stderr_console()
    start = monotonic()

    def write(event: str) -> None:
        elapsed = monotonic() - start
        log.write(f"{log.command}: {event} after {format_duration(elapsed)}: {format_text(elapsed)}", console=console)

    log.write(f"{log.command}: started at {format_now()}", console=console)
    event = "stopped"
    try:
        with call_every(PROGRESS_INTERVAL, lambda: write("running")):
            yield
        event = "done"
    finally:
        write(event)


@contextmanager
def call_every(seconds: float, function: Callable[[], None]) -> Iterator[None]:
    """Call a function in a thread, again and again, for the time of a block."""
    ended = Event()

    def run() -> None:
        while not ended.wait(seconds):
            function()

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def format_now() -> str:
    """Return the time as it is written in a log, such as ``2026-03-01T09:30:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
