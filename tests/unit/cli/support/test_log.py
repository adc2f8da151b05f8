"""The log of a command: levels, formats and lines of progress."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from threading import Event

import click
import pytest
from rich.console import Console

from roomrec_async.cli.support import log as log_module
from roomrec_async.cli.support.log import (
    Log,
    add_log_options,
    call_every,
    current_log,
    levels_of,
    log_progress,
    open_log,
)
from roomrec_async.cli.support.progress import show_progress, show_transfers


def run(function: object, *arguments: str) -> int:
    """Run a function as a command with the options of its log."""
    command = add_log_options(click.Command("try", callback=function))  # type: ignore[arg-type]
    with open_log():
        return command.main(list(arguments), prog_name="roomrec try", standalone_mode=False) or 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (logging.INFO, logging.WARNING)),
        ({"verbose": 1}, (logging.INFO, logging.INFO)),
        ({"verbose": 2}, (logging.INFO, logging.DEBUG)),
        ({"verbose": 5}, (logging.INFO, logging.DEBUG)),
        ({"quiet": True}, (logging.ERROR, logging.ERROR)),
        ({"log_level": "debug"}, (logging.DEBUG, logging.DEBUG)),
        ({"log_level": "warning"}, (logging.WARNING, logging.WARNING)),
    ],
)
def test_levels(given: dict[str, object], expected: tuple[int, int]) -> None:
    assert levels_of(given) == expected


@pytest.mark.parametrize("arguments", [["-v", "-q"], ["-q", "--log-level", "info"], ["-vv", "--log-level", "info"]])
def test_one_option_sets_the_level(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError, match="give one of them"):
        run(lambda: None, *arguments)


def test_options_are_added_once() -> None:
    command = click.Command("try", callback=lambda: None)
    names = [parameter.name for parameter in add_log_options(add_log_options(command)).params]
    assert names == ["verbose", "quiet", "log_level", "log_format", "log_file"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["told", "slow"]),
        (["-v"], ["told", "retrying", "slow"]),
        (["-vv"], ["told", "request", "retrying", "slow"]),
        (["-q"], []),
        (["--log-level", "warning"], ["slow"]),
    ],
)
def test_each_level_shows_its_lines(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
) -> None:
    library = logging.getLogger("roomrec_async")

    def tell() -> None:
        current_log().write("told")
        library.debug("request")
        library.info("retrying")
        library.warning("slow")

    run(tell, *arguments)
    assert capsys.readouterr().err.splitlines() == expected


def test_the_logger_of_the_library_is_left_as_it_was() -> None:
    library = logging.getLogger("roomrec_async")
    before = library.level, list(library.handlers)
    run(lambda: None, "-vv")
    assert (library.level, list(library.handlers)) == before


def test_json_has_a_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    text = 'a "quoted" line of [red]Zoë[/red] ' + 300 * "x"
    run(lambda: current_log().write(text, logging.ERROR), "--log-format", "json")
    (line,) = capsys.readouterr().err.splitlines()
    values = json.loads(line)
    assert values.pop("time").endswith("Z")
    assert values == {"level": "error", "command": "roomrec try", "message": text}


def test_a_file_gets_the_lines_with_their_times_after_those_it_has(tmp_path: Path) -> None:
    file = tmp_path / "roomrec.log"
    for text in ("one", "two"):
        run(lambda text=text: current_log().write(text), "--log-file", str(file))
    first, second = file.read_text(encoding="utf-8").splitlines()
    assert first.endswith("Z INFO one")
    assert second.endswith("Z INFO two")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"--log-file cannot be written: .*missing/x': there is no directory"):
        run(lambda: None, "--log-file", str(tmp_path / "missing" / "x"))


class TestProgress:
    """Where stderr is no terminal, lines tell of it."""

    def test_start_and_end_are_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        def work() -> None:
            console = Console(stderr=True)
            with show_progress(console, lambda _: "3 rooms"):
                pass
            with show_transfers(console, lambda: (2_000, 4_000), lambda: "1 of 2 recordings"):
                pass

        run(work)
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(" at ")[0] for line in lines[::2]] == ["roomrec try: started"] * 2
        assert lines[1] == "roomrec try: done after 0:00:00: 3 rooms"
        assert lines[3] == "roomrec try: done after 0:00:00: 1 of 2 recordings, 2.0 kB"

    def test_lines_tell_of_what_is_done_meanwhile(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_module, "PROGRESS_INTERVAL", 0.001)
        calls = 0
        told = Event()

        def format_text(_: float) -> str:
            nonlocal calls
            calls += 1
            if calls > 2:
                told.set()
            return f"{calls} rooms"

        def work() -> None:
            with log_progress(format_text):
                assert told.wait(30)

        run(work)
        assert "roomrec try: running after 0:00:00: 2 rooms\n" in capsys.readouterr().err

    def test_an_error_stops_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        def work() -> None:
            with log_progress(lambda _: "3 rooms"):
                raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            run(work)
        assert capsys.readouterr().err.splitlines()[-1] == "roomrec try: stopped after 0:00:00: 3 rooms"

    def test_quiet_commands_tell_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        def work() -> None:
            with log_progress(lambda _: "3 rooms"):
                pass

        run(work, "-q")
        assert capsys.readouterr().err == ""

    def test_json_is_written_instead_of_drawing_on_a_terminal(self) -> None:
        console = Console(file=io.StringIO(), force_terminal=True)
        assert Log().draws_on(console)
        assert not Log(format="json").draws_on(console)


def test_the_thread_has_ended_with_its_block() -> None:
    calls: list[None] = []
    called = Event()

    def call() -> None:
        calls.append(None)
        called.set()

    with call_every(0.001, call):
        assert called.wait(30)
    count = len(calls)
    assert not Event().wait(0.05)
    assert len(calls) == count
