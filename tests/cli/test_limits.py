"""``--redis``, ``--reads-per-second``, ``--max-concurrency`` and ``--timeout``."""

from __future__ import annotations

import time
from pathlib import Path

import click
import pytest

from roomrec_async.cli.app import roomrec as group
from roomrec_async.simulator import Simulator, faults

from .conftest import Command

SENDING = ("rooms", "list", "export", "download", "delete", "archive", "timeline", "mux", "report")


def test_every_command_that_sends_has_the_options() -> None:
    options = {
        name: {option for parameter in load_command(name).params for option in parameter.opts}
        for name in group.commands
    }
    limits = {"--redis", "--reads-per-second", "--max-concurrency", "--timeout"}
    assert {name for name, names in options.items() if limits <= names} == set(SENDING)
    assert {name for name, names in options.items() if "--base-url" in names} == set(SENDING)


def load_command(name: str) -> click.Command:
    _, command, _ = group.resolve_command(click.Context(group), [name])
    assert command is not None
    return command


def test_limits_hold_for_a_command(simulator: Simulator, roomrec: Command) -> None:
    rooms = simulator.room_sids[:6]
    began = time.monotonic()
    outcome = roomrec("list", *rooms, "--max-concurrency", "1", "--reads-per-second", "5")
    assert outcome.code == 0
    # Six requests, of which the first need not wait.
    assert time.monotonic() - began >= 5 / 5 - 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-concurrency", "0"], "--max-concurrency"),
        (["--max-concurrency", "many"], "--max-concurrency"),
        (["--reads-per-second", "-1"], "--reads-per-second must be positive"),
        (["--timeout", "0"], "must be a positive number of seconds"),
        (["--timeout", "soon"], "--timeout"),
        (["--redis", "http://host"], "--redis must be a Redis URL"),
        (["--redis", "redis://:canary@ry@host"], "--redis must be a Redis URL"),
    ],
)
def test_mistakes_are_refused(simulator: Simulator, roomrec: Command, options: list[str], message: str) -> None:
    before = simulator.stats.requests
    line = roomrec.fails("list", *simulator.room_sids, *options, code=2)
    assert message in line
    assert "canary" not in line
    assert simulator.stats.requests == before


def test_the_url_of_redis_comes_from_the_environment(
    simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOMREC_REDIS_URL", "redis://:canary@ry@host")
    assert "$ROOMREC_REDIS_URL must be a Redis URL" in roomrec.fails("list", *simulator.room_sids, code=2)


@pytest.mark.parametrize("command", SENDING)
def test_the_timeout_holds_for_every_command(
    command: str, simulator: Simulator, roomrec: Command, tmp_path: Path
) -> None:
    arguments: dict[str, list[object]] = {
        "rooms": [],
        "export": ["--after", "2026-01-01T00Z", "-o", tmp_path / "export"],
        "report": ["--after", "2026-01-01T00Z"],
        "download": [simulator.room_sids[0], "-o", tmp_path / "media"],
        "archive": ["--after", "2026-01-01T00Z", "-o", tmp_path / "archive"],
        "timeline": [simulator.room_sids[0], "-o", tmp_path / "out.svg"],
        "mux": [simulator.room_sids[0], "-o", tmp_path / "out.mkv"],
    }
    # Much longer than the timeout, which ends the wait.
    simulator.inject(faults.StallHeaders(60), times=None)
    outcome = roomrec(command, *arguments.get(command, [simulator.room_sids[0]]), "--timeout", "0.2")
    assert outcome.code == 1
    assert "0.2 s" in outcome.err
