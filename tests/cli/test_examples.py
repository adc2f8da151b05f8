"""The examples of every ``--help``, run as they stand under ``roomrec simulate --``."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from roomrec_async.cli.app import roomrec as roomrec_group

from ..integration.conftest import serving
from .conftest import ROOMREC

COMMANDS = sorted(roomrec_group.commands)

# Parts of examples that run elsewhere, and why.
ELSEWHERE = {
    " mux ": "needs ffmpeg: in tests/mux",
    "--film room.mp4": "needs a film: in tests/mux",
    "timeline RM2cfaa189a9cc4a80b935caff592db30c -o room.svg": "needs ffprobe: in tests/mux",
    "s3://": "needs a bucket; see below",
    "--dask ": "starts a cluster: in tests/cluster",
    "simulate --rooms 500": "serves until Ctrl-C; see below",
}


@pytest.fixture(scope="module")
def shared() -> None:
    """Serve nothing: the examples have a service of their own."""


@pytest.fixture(name="simulator", autouse=True)
def put_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put ``roomrec`` on the path, and work in an empty directory."""
    program = tmp_path / "bin" / "roomrec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ROOMREC)} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def examples(command: str) -> list[str]:
    """Return the examples in the help of a command, each a piece of shell."""
    epilog = getattr(import_module(f"roomrec_async.cli.commands.{command}"), "_EXAMPLES", "")
    lines = epilog.partition("Examples:\n")[2].replace("\\\n", "")
    return [re.sub(" +", " ", line.strip()) for line in lines.splitlines()]


def runs_here(example: str) -> bool:
    return not any(part in f" {example} " for part in ELSEWHERE)


def test_all_commands_but_the_demonstration_have_examples() -> None:
    assert [command for command in COMMANDS if not examples(command)] == ["demo"]


def test_what_runs_elsewhere_is_an_example() -> None:
    everything = [f" {example} " for command in COMMANDS for example in examples(command)]
    assert [part for part in ELSEWHERE if not any(part in example for example in everything)] == []


# Commands whose examples run under one service, one after the other: some read what others have written.
GROUPS = (
    (("rooms", "list", "completion"), ("rooms.txt", "recordings.parquet", "roomrec.fish")),
    (("rooms", "archive", "timeline"), ("archive/manifest.jsonl", "room.html")),
    (("rooms", "archive", "report"), ("march.html", "people.html")),
    (("rooms", "export"), ("recordings", "rooms")),
    (("rooms", "download", "delete"), ("media",)),
)


def test_all_commands_are_in_a_group() -> None:
    assert {name for group, _ in GROUPS for name in group} == {*COMMANDS} - {"demo", "mux", "simulate"}


@pytest.mark.parametrize(("commands", "files"), GROUPS, ids=lambda each: each[-1])
def test_every_example_runs_under_simulate(commands: tuple[str, ...], files: tuple[str, ...]) -> None:
    run_simulated([each for name in commands for each in examples(name) if runs_here(each)])
    assert [name for name in files if not Path(name).exists()] == []


def test_examples_with_a_bucket_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # From the end, so that the archive, which deletes, comes last.
    lines = [each for name in reversed(COMMANDS) for each in examples(name) if "s3://" in each]
    with serving() as (s3, _):
        s3.send("PUT", "/bucket")
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        run_simulated(["roomrec rooms --sids > rooms.txt", *lines])
        stored = s3.objects("bucket")
    assert {name.split("/")[0] for name in stored} == {"recordings", "rooms"}
    assert [name for name in stored if name.endswith(".mka")] != []
    assert [name for name in stored if "/part-" in name] != []


def run_simulated(lines: list[str]) -> None:
    """Run lines of shell under one simulated service; none may fail."""
    script = "\n".join(["set -euo pipefail", *lines])
    command = ("simulate", "--rooms", "3", "--media-size", "20000", "--unlimited", "--", "bash", "-c", script)
    result = subprocess.run([*ROOMREC, *command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("example", [each for each in examples("simulate") if runs_here(each)])
def test_the_examples_of_simulate_itself(example: str) -> None:
    result = subprocess.run(["bash", "-c", example], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 3


def test_simulate_serves_until_ctrl_c() -> None:
    (example,) = (each for each in examples("simulate") if not runs_here(each))
    with subprocess.Popen(shlex.split(example), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("export TWILIO_ACCOUNT_SID=AC")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(command: str, columns: str) -> None:
    arguments = [*ROOMREC, *command.split(), "--help"]
    environ = {**os.environ, "COLUMNS": columns}
    text = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environ).stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
