"""Progress: on a terminal one line that is redrawn, and removed at the end; elsewhere lines of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from roomrec_async._format import format_duration, format_size

from .log import current_log, log_progress

_MIN_BAR_WIDTH: Final = 8
_MAX_BAR_WIDTH: Final = 40

# Width that the rest of the line takes, beside the bar: for counts of rooms, and of bytes.
_COUNTS_WIDTH: Final = 70
_TRANSFERS_WIDTH: Final = 90

# Columns that wrap would make two rows of it on a narrow terminal.
_ONE_LINE: Final = Column(no_wrap=True)


@contextmanager
def show_progress(
    console: Console, format_text: Callable[[float], str], *, rooms: int | None = None
) -> Iterator[Callable[[], None]]:
    """Show a line of progress for the time of a block. Where the console is no terminal, it is logged.

    The time since the start is shown after the text.

    Args:
        console: the console.
        format_text: returns the text of the line, given the seconds since the start.
        rooms: number of rooms, where that is known: they are then shown as a bar.

    Yields:
        A function to call when one of the rooms is done.
    """
    if not current_log().draws_on(console):
        with log_progress(format_text):
            yield lambda: None
        return

    columns: tuple[ProgressColumn, ...] = (SpinnerColumn(),)
    if rooms is not None:
        columns = (make_bar(console, _COUNTS_WIDTH), MofNCompleteColumn())
    text = CallbackColumn(lambda elapsed: f"{format_text(elapsed)} · {format_duration(elapsed)}")
    with Progress(*columns, text, console=console, transient=True, disable=current_log().is_quiet) as progress:
        task = progress.add_task("", total=rooms)
        yield lambda: progress.advance(task)


@contextmanager
def show_transfers(
    console: Console, byte_counts: Callable[[], tuple[int, int]], format_text: Callable[[], str]
) -> Iterator[None]:
    """Show a line of progress in bytes for the time of a block. Where the console is no terminal, it is logged.

    Args:
        console: the console.
        byte_counts: returns the number of bytes received so far, and expected in all.
        format_text: returns the text beside them.
    """
    log = current_log()
    if not log.draws_on(console):
        with log_progress(lambda _: f"{format_text()}, {format_size(byte_counts()[0])}"):
            yield
        return

    columns = (
        make_bar(console, _TRANSFERS_WIDTH),
        DownloadColumn(table_column=_ONE_LINE),
        TransferSpeedColumn(table_column=_ONE_LINE),
        TimeRemainingColumn(table_column=_ONE_LINE),
        CallbackColumn(lambda _: format_text()),
    )
    with TransferProgress(byte_counts, *columns, console=console, transient=True, disable=log.is_quiet):
        yield


def make_bar(console: Console, other_width: int) -> BarColumn:
    """Return a bar that leaves so much of the line to other columns."""
    width = console.width - other_width
    return BarColumn(bar_width=max(_MIN_BAR_WIDTH, min(_MAX_BAR_WIDTH, width)))


class CallbackColumn(ProgressColumn):
    """Text from a function, which is given the seconds since the start."""

    def __init__(self, format_text: Callable[[float], str]) -> None:
        super().__init__()
        self._format_text = format_text

    def render(self, task: Task) -> Text:
        """Return the text."""
        return Text(self._format_text(task.elapsed or 0.0), no_wrap=True)


class TransferProgress(Progress):
    """Progress that asks a function for its byte counts whenever it is drawn."""

    def __init__(
        self,
        byte_counts: Callable[[], tuple[int, int]],
        *columns: ProgressColumn,
        console: Console,
        transient: bool,
        disable: bool,
    ) -> None:
        self._byte_counts = byte_counts
        super().__init__(*columns, console=console, transient=transient, disable=disable)
        self._bytes_task = self.add_task("", total=0)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Update the counts, and return what is drawn."""
        # The constructor of Progress draws, too: there is no task yet.
        if self.task_ids:
            completed, total = self._byte_counts()
            # These are not left to update(): with a new total, it forgets the speed that it has measured; and a task
            # that once reached its total stays finished.
            self.tasks[0].total = total or None
            self.tasks[0].finished_time = None
            self.update(self._bytes_task, completed=completed)
        return super().get_renderables()
