"""``roomrec --dask`` as a process of its own, on a cluster that it starts or one that runs already."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from distributed import Client

from roomrec_async.simulator import Simulator

from ..cli.conftest import without_progress
from .conftest import UNKNOWN_ROOM, expected
from .processes import Commands, is_gone, start, wait_until

ROOMREC = (sys.executable, "-W", "error", "-m", "roomrec_async.cli")


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    for name in ("TWILIO_API_KEY", "TWILIO_API_SECRET", "PYTHONWARNINGS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    with Simulator(10, (0, 5), 14, media_size=(0, 20_000)) as simulator:
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.account_sid)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
        monkeypatch.setenv("ROOMREC_BASE_URL", simulator.base_url)
        yield simulator


@pytest.fixture
def rooms(simulator: Simulator, tmp_path: Path) -> Path:
    path = tmp_path / "rooms.txt"
    path.write_text("".join(f"{room_sid}\n" for room_sid in simulator.room_sids), "utf-8")
    return path


def run_roomrec(*arguments: object) -> tuple[int, str, list[str]]:
    """Run the command, and return its exit code, its output and the lines on stderr but those about its progress."""
    with start(*ROOMREC, *arguments) as running:
        out, err = running.communicate(timeout=50)
    return running.returncode, out, without_progress(err).splitlines()


def test_export_on_a_cluster_of_its_own(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    with rooms.open("a", encoding="utf-8") as file:
        file.write(f"nonsense\n{UNKNOWN_ROOM}\n")
    code, out, messages = run_roomrec(
        "--dask", "local", "export", "--from-file", rooms, "-o", tmp_path / "new", "--status", "completed"
    )
    completed = expected(simulator, status="completed")
    assert (code, out) == (1, "")
    assert sorted(row["sid"] for row in pq.read_table(tmp_path / "new").to_pylist()) == completed
    (part,) = (tmp_path / "new").glob("*.parquet")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["_roomrec", part.name]
    assert messages[0].startswith(f"{rooms}:11: no room is named 'nonsense'")
    assert messages[1].startswith(f"{UNKNOWN_ROOM}: ")
    assert "HTTP 404, code 20404" in messages[1]
    size = part.stat().st_size / 1000
    summary = f"{tmp_path / 'new'}: run 1: {len(completed)} recordings in 1 file, {size:.1f} kB; 1 room failed"
    assert messages[2:] == [summary]


async def test_workers_with_credentials_of_their_own(
    simulator: Simulator, rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller has only the SID of the account, and so the SIDs of rooms."""
    commands = Commands(tmp_path)
    with commands.scheduler(), commands.worker():
        address = json.loads(commands.file.read_text("utf-8"))["address"]
        monkeypatch.delenv("TWILIO_AUTH_TOKEN")
        on_cluster = ("--dask", address, "--worker-credentials")
        with rooms.open("a", encoding="utf-8") as file:
            file.write("daily-standup\n")
        code, _, messages = await asyncio.to_thread(
            run_roomrec, *on_cluster, "export", "--from-file", rooms, "-o", tmp_path / "new"
        )
        assert (code, len(messages)) == (1, 2), messages
        assert "'daily-standup' is no SID, and the workers do not look up names: give SIDs" in messages[0]
        assert sorted(row["sid"] for row in pq.read_table(tmp_path / "new").to_pylist()) == expected(simulator)
        monkeypatch.delenv("TWILIO_ACCOUNT_SID")
        code, _, messages = await asyncio.to_thread(
            run_roomrec, *on_cluster, "export", "--from-file", rooms, "-o", tmp_path / "new"
        )
    assert (code, messages) == (
        2,
        ["roomrec: --worker-credentials needs the account: set TWILIO_ACCOUNT_SID in the environment"],
    )


def test_credentials_of_workers_without_a_cluster(simulator: Simulator, rooms: Path) -> None:
    code, _, messages = run_roomrec("--worker-credentials", "export", "--from-file", rooms, "-o", "new")
    assert code == 2
    assert messages[-1].startswith("roomrec: --worker-credentials is for a cluster: give --dask ADDRESS, too")
    assert simulator.stats.requests == 0


async def test_archive_on_a_cluster_that_is_there(
    cluster: Client, simulator: Simulator, rooms: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(simulator.private_key_pem)
    arguments = ("archive", "--from-file", rooms, "-o", tmp_path / "media", "--private-key", key)
    # As the other jobs of this account on this cluster.
    on_cluster = ("--dask", cluster.scheduler.address, "--slots", "2")
    code, out, messages = await asyncio.to_thread(run_roomrec, *on_cluster, *arguments)
    manifest = [json.loads(line) for line in (tmp_path / "media" / "manifest.jsonl").read_text().splitlines()]
    assert (code, out) == (0, "")
    assert sorted(row["sid"] for row in manifest) == expected(simulator, status="completed")
    for row in manifest:
        if row["state"] == "archived":
            assert Path(row["location"]).read_bytes() == b"".join(simulator.media(row["sid"]))
    copied = sum(row["state"] == "archived" for row in manifest)
    assert messages[-1].startswith(f"{copied} recordings in the archive")
    assert copied > 0


def test_ctrl_c_ends_it_and_all_its_processes(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    simulator.latency = 0.5
    simulator.concurrency_limit = None
    with start(*ROOMREC, "--dask", "local", "export", "--from-file", rooms, "-o", tmp_path / "new") as running:
        wait_until(lambda: simulator.stats.requests >= 1)
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert (running.returncode, without_progress(err)) == (130, "roomrec: interrupted\n")
    wait_until(lambda: is_gone(running.pid))
    assert list((tmp_path / "new").glob("part-*")) == []


def test_mistakes(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    exporting = ("export", "--from-file", rooms)
    archiving = ("archive", "--from-file", rooms, "-o", tmp_path)
    for arguments, message in {
        ("rooms",): "--dask works with archive and export only, not with rooms",
        exporting: "Missing option '-o' / '--output'",
        (*exporting, "-o", file): "file': it exists, and is not a directory: name another place",
        ("archive", "--after", "2026-01-01T00:00:00Z", "-o", tmp_path): "--dask needs rooms instead of --after",
        (*archiving, "--ledger", file): "is a file, and with --dask it must be a directory",
        (*archiving, "--private-key", file): "not a private key in PEM format",
    }.items():
        code, out, messages = run_roomrec("--dask", "local", *arguments)
        assert (code, out, len(messages)) == (2, "", 1), messages
        assert message in messages[0]
    code, _, messages = run_roomrec("--dask", "no://address", "export", "--from-file", rooms, "-o", tmp_path / "new")
    assert (code, len(messages)) == (2, 1)
    assert "--dask must be an address such as tls://host:8786, or 'local': unknown address scheme 'no'" in messages[0]
    encrypted = ("--dask", "tls://127.0.0.1:1", "export", "--from-file", rooms, "-o", tmp_path / "new")
    code, _, messages = run_roomrec(*encrypted)
    assert (code, len(messages)) == (2, 1)
    assert "tls://127.0.0.1:1 needs Dask's certificates: set distributed.comm.tls.ca-file" in messages[0]
    code, _, messages = run_roomrec("--slots", "2", "export", "--from-file", rooms)
    assert (code, messages[-1]) == (
        2,
        "roomrec: --slots is for a cluster: give --dask ADDRESS, too (see 'roomrec --help')",
    )
    code, _, messages = run_roomrec("--dask", "local", "--slots", "21", "export", "--from-file", rooms, "-o", "new")
    assert (code, len(messages)) == (2, 1)
    assert "slots must be at most 20" in messages[0]
    assert simulator.stats.requests == 0


def test_a_bad_key_is_reported_before_it_connects_to_the_cluster(
    simulator: Simulator, rooms: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    nobody = "tcp://127.0.0.1:1"
    code, _, messages = run_roomrec(
        "--dask", nobody, "archive", "--from-file", rooms, "-o", tmp_path, "--private-key", key
    )
    assert (code, len(messages)) == (2, 1), messages
    assert "not a private key in PEM format" in messages[0]


@pytest.mark.parametrize("command", ["export", "archive"])
def test_without_the_extra_it_says_so(simulator: Simulator, rooms: Path, tmp_path: Path, command: str) -> None:
    script = "import sys; sys.modules['distributed'] = None; from roomrec_async.cli import main; main()"
    arguments = ("--dask", "local", command, "--from-file", rooms, "-o", tmp_path / "new")
    with start(sys.executable, "-c", script, *arguments) as running:
        _, err = running.communicate(timeout=30)
    assert running.returncode == 2
    assert err == "roomrec: a cluster needs distributed: pip install 'roomrec-async[dask]'\n"
