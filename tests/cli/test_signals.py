"""SIGTERM and SIGHUP, which end a command as Ctrl-C does: with its exit code, one line, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roomrec_async.simulator import Simulator, faults

from .conftest import ROOMREC, UNLIMITED, Outcome, files_in, start_process, wait_until, without_progress

AFTER = ("--after", "2026-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(rooms=2, recordings_per_room=4, seed=3, media_size=200_000, **UNLIMITED) as simulator:
        yield simulator


def end(process: subprocess.Popen[str], number: signal.Signals, when: Callable[[], bool]) -> Outcome:
    """Send a signal as soon as a condition holds, and wait for the end of the process."""
    with process:
        try:
            wait_until(when)
            process.send_signal(number)
            out, err = process.communicate(timeout=40)
        finally:
            process.kill()
    return Outcome(process.returncode, out, without_progress(err))


def ended_by(number: signal.Signals) -> Outcome:
    return Outcome(128 + number, "", f"roomrec: ended by {number.name}\n")


@pytest.mark.parametrize(
    ("command", "name", "number"),
    [
        (("list", "ROOM", "--failed-rooms", "failed.txt", "-o"), "out.csv", signal.SIGTERM),
        (("report", *AFTER, "-o"), "out.html", signal.SIGHUP),
        (("timeline", "ROOM", "-o"), "out.svg", signal.SIGTERM),
    ],
)
def test_an_output_stays_as_it_was(
    simulator: Simulator, tmp_path: Path, command: tuple[str, ...], name: str, number: signal.Signals
) -> None:
    (tmp_path / name).write_text("of yesterday")
    simulator.inject(faults.StallHeaders(20), times=None)
    sent = simulator.stats.requests
    arguments = [simulator.room_sids[0] if each == "ROOM" else each for each in command]
    process = start_process(*arguments, name, cwd=tmp_path)
    assert end(process, number, lambda: simulator.stats.requests > sent) == ended_by(number)
    assert files_in(tmp_path) == {name: b"of yesterday"}


def test_a_report_on_a_file(tmp_path: Path) -> None:
    # There is no event loop. A named pipe that nobody writes to is a file that is long to read.
    subprocess.run(["mkfifo", tmp_path / "manifest.jsonl"], check=True)
    process = start_process("report", "--manifest", "manifest.jsonl", "-o", "out.json", cwd=tmp_path)
    outcome = end(process, signal.SIGTERM, lambda: any(tmp_path.glob(".out.json.*.part")))
    assert outcome == ended_by(signal.SIGTERM)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.jsonl"]


def test_a_signal_that_is_ignored_stays_ignored(simulator: Simulator, tmp_path: Path) -> None:
    # As with nohup.
    program = "import os, signal, sys; signal.signal(1, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    simulator.inject(faults.StallHeaders(0.5))
    sent = simulator.stats.requests
    process = subprocess.Popen(
        [sys.executable, "-c", program, *ROOMREC, "list", simulator.room_sids[0], "-o", "out.jsonl"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert end(process, signal.SIGHUP, lambda: simulator.stats.requests > sent).code == 0
    assert (tmp_path / "out.jsonl").exists()


def test_it_ends_also_where_ctrl_c_is_ignored(simulator: Simulator, tmp_path: Path) -> None:
    # As for a job that a script starts with "&".
    program = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    simulator.inject(faults.StallHeaders(20), times=None)
    sent = simulator.stats.requests
    process = subprocess.Popen(
        [sys.executable, "-c", program, *ROOMREC, "list", simulator.room_sids[0], "-o", "out.jsonl"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert end(process, signal.SIGTERM, lambda: simulator.stats.requests > sent) == ended_by(signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []


def test_the_simulator_ends_in_order() -> None:
    process = start_process("simulate")
    assert process.stdout
    assert process.stderr
    assert process.stderr.readline().startswith("Paste these lines")
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 143
    assert process.stderr.read() == "roomrec: ended by SIGTERM\n"
    process.communicate()
