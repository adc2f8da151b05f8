"""Progress lines on a terminal."""

from __future__ import annotations

import io
import re

from rich.console import Console

from roomrec_async.cli.support.progress import TransferProgress, make_bar, show_progress, show_transfers


def terminal(width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_elsewhere_than_on_a_terminal_nothing_is_shown() -> None:
    console = Console(file=io.StringIO())
    with show_progress(console, lambda elapsed: "some text", rooms=3) as advance:
        advance()
    with show_transfers(console, lambda: (1, 2), lambda: "some text"):
        pass
    assert written(console) == ""


def test_rooms_that_are_done_are_counted_beside_the_text() -> None:
    console = terminal()
    with show_progress(console, lambda _: "rooms", rooms=3) as advance:
        advance()
        advance()
        # What is printed draws the progress.
        console.print("a line")
    assert re.search(r"a line *\n.*2/3 rooms · \d:\d\d:\d\d", written(console))


def test_text_is_no_markup() -> None:
    console = terminal()
    with show_progress(console, lambda elapsed: "[red]text[/red]"):
        pass
    assert "[red]text[/red]" in written(console)


def test_transfers_show_the_counts_of_the_moment() -> None:
    console, counts = terminal(160), [(0, 0)]
    with show_transfers(console, lambda: counts[-1], lambda: "1 of 2 recordings"):
        counts.append((500_000, 2_000_000))
    assert re.search(r"0\.5/2\.0 MB .* 1 of 2 recordings", written(console))


def test_transfers_take_one_row_of_a_narrow_terminal() -> None:
    for width in (20, 30, 40, 60):
        console = terminal(width)
        with show_transfers(console, lambda: (300_000_000, 2_600_000_000), lambda: "89 of 915 recordings"):
            console.print("a line")
        # A row more would be erased with another movement of the cursor.
        assert re.findall(r"\x1b\[(\d*)A", written(console)) == ["1"]


def test_a_transfer_that_was_complete_goes_on_when_there_is_more() -> None:
    counts = [(100, 100)]
    progress = TransferProgress(lambda: counts[-1], console=terminal(), transient=True, disable=False)
    progress.get_renderables()
    assert progress.finished
    counts.append((100, 300))
    progress.get_renderables()
    assert not progress.finished
    assert (progress.tasks[0].completed, progress.tasks[0].total) == (100, 300)


def test_a_bar_takes_what_the_rest_of_the_line_leaves() -> None:
    widths = [make_bar(terminal(width), 70).bar_width for width in (40, 80, 100, 110, 300)]
    assert widths == [8, 10, 30, 40, 40]
