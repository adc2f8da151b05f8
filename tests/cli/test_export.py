"""``roomrec export`` against a simulator on real sockets."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pyarrow.dataset as ds

from roomrec_async.simulator import Simulator, faults

from .conftest import Command, start_process, wait_until


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


def test_shards(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    for shard in ("2/2", "1/2"):
        outcome = roomrec("export", *simulator.room_sids, "-o", tmp_path, "--shard", shard)
        assert outcome.code == 0
        assert outcome.errors[-1].endswith("not complete: run what is missing again") == (shard == "2/2")
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
