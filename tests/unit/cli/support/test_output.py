"""Lines on standard output, which may be slow, broken, or the terminal that shows the progress."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest
from rich.console import Console

from roomrec_async.cli.support import output as output_module
from roomrec_async.cli.support.output import LineWriter, StdoutWriter


class SlowFile(io.StringIO):
    """Takes nothing until it is released, as a pager that waits for its user."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.writing = threading.Event()

    def write(self, text: str) -> int:
        self.writing.set()
        assert self.released.wait(10)
        return super().write(text)


class BrokenFile(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowFile:
    file = SlowFile()
    monkeypatch.setattr(output_module, "open_stdout", lambda: file)
    return file


async def test_all_texts_are_written_in_order(slow: SlowFile) -> None:
    slow.released.set()
    async with StdoutWriter() as output:
        for number in range(5_000):
            await output.write(f"{number}\n")
    assert slow.getvalue() == "".join(f"{number}\n" for number in range(5_000))


async def test_a_slow_reader_stops_the_producer_but_not_the_event_loop(slow: SlowFile) -> None:
    written = 0

    async def produce() -> None:
        nonlocal written
        async with StdoutWriter() as output:
            for _ in range(5_000):
                await output.write("line\n")
                written += 1
                # The first text is in the hands of the thread before others are queued.
                await asyncio.sleep(0)

    producing = asyncio.create_task(produce())
    while not slow.writing.is_set() or written < 1_001:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert written == 1_001
    slow.released.set()
    await producing
    assert slow.getvalue() == "line\n" * 5_000


async def test_a_reader_that_is_gone_is_an_error_of_the_next_write_or_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "open_stdout", BrokenFile)
    with pytest.raises(BrokenPipeError):
        async with StdoutWriter() as output:
            await output.write("line\n")
    async with StdoutWriter() as output:
        await output.write("line\n")
        await asyncio.sleep(0.05)
        with pytest.raises(BrokenPipeError):
            await output.write("line\n")


async def test_an_interruption_does_not_wait_for_the_reader(slow: SlowFile) -> None:
    async def produce() -> None:
        async with StdoutWriter() as output:
            await output.write("line\n")
            await asyncio.sleep(60)

    producing = asyncio.create_task(produce())
    while not slow.writing.is_set():
        await asyncio.sleep(0.01)
    producing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(producing, 5)
    assert not slow.released.is_set()
    slow.released.set()


async def test_lines_go_to_standard_output_where_that_is_no_terminal(slow: SlowFile) -> None:
    slow.released.set()
    async with LineWriter(Console(file=io.StringIO(), force_terminal=True)) as output:
        await output.write("[red]one[/red]")
        await output.write("two")
    assert slow.getvalue() == "[red]one[/red]\ntwo\n"


async def test_lines_go_above_the_progress_where_both_are_on_the_terminal(
    slow: SlowFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    terminal = io.StringIO()
    async with LineWriter(Console(file=terminal, force_terminal=True, width=20)) as output:
        await output.write("[red]a line that is longer than the terminal[/red]")
    assert terminal.getvalue() == "[red]a line that is longer than the terminal[/red]\n"
    assert slow.getvalue() == ""
