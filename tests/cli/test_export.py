"""``roomrec export`` against a simulator on real sockets."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TypeAlias

import pyarrow.dataset as ds
import pytest

from roomrec_async._export.store import lock_shard
from roomrec_async.cli.support import dates
from roomrec_async.simulator import Simulator, faults

from .conftest import Command, start_process, wait_until

NextSecond: TypeAlias = Callable[..., None]


@pytest.fixture
def next_second(monkeypatch: pytest.MonkeyPatch) -> NextSecond:
    """Move the present of the command line by some seconds."""

    class Clock(datetime):
        ahead = timedelta()

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # its own class is not needed
            return datetime.now(tz) + cls.ahead

    def move(seconds: int = 1) -> None:
        Clock.ahead += timedelta(seconds=seconds)

    monkeypatch.setattr(dates, "datetime", Clock)
    return move


def plan_of(directory: Path) -> dict[str, str]:
    return json.loads((directory / "_roomrec/run-00001/plan.json").read_text())


def exported(directory: Path) -> list[str]:
    return sorted(ds.dataset(directory).to_table()["sid"].to_pylist())


def records(simulator: Simulator) -> list[str]:
    return sorted(str(record["sid"]) for sid in simulator.room_sids for record in simulator.recordings(sid))


def test_rooms(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    outcome = roomrec("export", *simulator.room_sids, "-o", tmp_path, "--json")
    assert outcome.code == 0
    (last,) = outcome.errors
    assert last.startswith(f"{tmp_path}: run 1: {len(records(simulator))} recordings in 1 file, ")
    summary = json.loads(outcome.out)
    assert (summary["recordings"], summary["complete"]) == (len(records(simulator)), True)
    assert exported(tmp_path) == records(simulator)


def test_only_some_recordings_of_rooms(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    completed = sorted(
        str(record["sid"]) for sid in simulator.room_sids for record in simulator.recordings(sid, "completed")
    )
    assert 0 < len(completed) < len(records(simulator))
    command = ("export", *simulator.room_sids, "-o", tmp_path)
    assert roomrec(*command, "--status", "completed").code == 0
    assert exported(tmp_path) == completed
    # Another run must not add the others.
    line = roomrec.fails(*command)
    assert "holds an export with the filters Status=completed, and not none: give the same, or another dest" in line


def test_shards(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    for shard in ("2/2", "1/2"):
        outcome = roomrec("export", *simulator.room_sids, "-o", tmp_path, "--shard", shard)
        assert outcome.code == 0
        assert outcome.errors[-1].endswith("complete once the other shards are") == (shard == "2/2")
    assert exported(tmp_path) == records(simulator)


def test_the_account_since_the_last_run(roomrec: Command, tmp_path: Path) -> None:
    command = ("export", "--after", "2020-01-01T00:00:00Z", "--since-last", "-o", tmp_path)
    assert "run 1: " in roomrec(*command).err
    assert "run 2: 0 recordings in 0 files" in roomrec(*command).err
    # The beginning is that of the first run.
    for later in (("--after", "7d"), ()):
        assert "0 recordings in 0 files" in roomrec("export", *later, "--since-last", "-o", tmp_path).err
    earlier = ("export", "--after", "2019-01-01T00:00:00Z", "--since-last", "-o", tmp_path)
    assert "a window from 2020-01-01" in roomrec.fails(*earlier)


def test_a_time_ago_is_that_of_the_run_which_is_resumed(
    roomrec: Command, tmp_path: Path, next_second: NextSecond
) -> None:
    command = ("export", "--after", "4000d", "--before", "now", "-o", tmp_path)
    first = roomrec(*command, "--shard", "2/2")
    assert first.errors[-1].endswith("complete once the other shards are")
    next_second()
    for other in ("4001d", "2015-01-01T00:00:00Z"):
        refused = roomrec("export", "--after", other, *command[3:], "--shard", "1/2")
        assert (refused.code, "a window from" in refused.errors[-1]) == (2, True)
    second = roomrec(*command, "--shard", "1/2")
    assert (second.code, f"{tmp_path}: run 1: " in second.err) == (0, True)
    assert f"window began at {plan_of(tmp_path)['after'].replace('+00:00', 'Z')}" in second.err
    # A complete run is another matter: a job that names the last week wants the last week.
    next_second()
    refused = roomrec(*command, "--shard", "1/2")
    assert (refused.code, "give the same, since_last (--since-last)" in refused.errors[-1]) == (2, True)
    again = roomrec(*command, "--since-last", "--shard", "1/2")
    assert (again.code, f"{tmp_path}: run 2: 0 recordings" in again.err) == (0, True)


def test_shards_of_a_window_that_begins_some_time_ago_begin_at_once(
    roomrec: Command, tmp_path: Path, next_second: NextSecond
) -> None:
    command = ("export", "--after", "4000d", "--since-last", "-o", tmp_path)
    # The one that comes second may have been started first.
    next_second(2)
    assert roomrec(*command, "--shard", "2/2").code == 0
    next_second(-1)
    assert f"{tmp_path}: run 1: " in roomrec(*command, "--shard", "1/2").err


def test_identities(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    command = ("export", *simulator.room_sids, "-o", tmp_path)
    assert roomrec(*command, "--identities").code == 0
    assert any(ds.dataset(tmp_path).to_table()["participant_identity"].to_pylist())
    assert "identities of participants: yes, and not no" in roomrec.fails(*command)


def test_mistakes(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    room = simulator.room_sids[0]
    assert "nothing to export" in roomrec.fails("export", "-o", tmp_path)
    assert "holds no export of the account" in roomrec.fails("export", "--since-last", "-o", tmp_path / "new")
    (tmp_path / "new" / "_roomrec" / "shard-00001.lock").unlink()
    (tmp_path / "new" / "_roomrec").rmdir()
    (tmp_path / "new").rmdir()
    assert "give either rooms" in roomrec.fails("export", room, "--since-last", "-o", tmp_path)
    assert not [*tmp_path.iterdir()]


def test_another_process_at_work_is_no_mistake(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    with lock_shard(tmp_path, "shard-00001"):
        line = roomrec.fails("export", *simulator.room_sids, "-o", tmp_path, code=1)
    assert line == f"roomrec: another process is exporting to {tmp_path}: wait for its end"


def test_sigterm_keeps_what_is_written(simulator: Simulator, tmp_path: Path) -> None:
    simulator.inject(faults.StallHeaders(60), path_contains=simulator.room_sids[0], times=None)
    requests = simulator.stats.requests
    with start_process("export", *simulator.room_sids, "-o", tmp_path) as process:
        try:
            wait_until(lambda: simulator.stats.requests > requests)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=40)
        finally:
            process.kill()
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "roomrec: ended by SIGTERM"
    assert [path.name for path in tmp_path.iterdir()] == ["_roomrec"]
