"""``roomrec --dask`` and the cluster of one machine, as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from distributed import Client

from roomrec_async.simulator import Simulator

from .conftest import expected

ROOMREC = (sys.executable, "-W", "error", "-m", "roomrec_async.cli")
UNKNOWN_ROOM = "RM" + "0" * 32


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


def started(*arguments: object) -> subprocess.Popen[str]:
    # A group of its own, so that Ctrl-C can reach all its processes as it does in a terminal.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, arguments)], text=True, start_new_session=True, **pipes)


def ended(*arguments: object) -> tuple[int, str, list[str]]:
    with started(*ROOMREC, *arguments) as running:
        out, err = running.communicate(timeout=50)
    return running.returncode, out, err.splitlines()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(group: int) -> bool:
    """Whether no process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_list_writes_parquet_on_a_cluster_of_its_own(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    with rooms.open("a", encoding="utf-8") as file:
        file.write(f"nonsense\n{UNKNOWN_ROOM}\n")
    code, out, told = ended(
        "--dask", "local", "list", "--from-file", rooms, "-o", tmp_path / "new", "--status", "completed"
    )
    completed = expected(simulator, status="completed")
    assert (code, out) == (1, "")
    assert sorted(row["sid"] for row in pq.read_table(tmp_path / "new").to_pylist()) == completed
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["part-000000.parquet"]
    assert told[0].startswith(f"{rooms}:11: a room SID must be")
    assert told[1].startswith(f"{UNKNOWN_ROOM}: HTTP 404, code 20404")
    size = (tmp_path / "new" / "part-000000.parquet").stat().st_size / 1000
    summary = f"{tmp_path / 'new'}: {len(completed)} recordings of 12 rooms, 2 failed, in 1 file of {size:.1f} kB"
    assert told[2:] == [summary]


async def test_archive_on_a_cluster_that_is_there(
    cluster: Client, simulator: Simulator, rooms: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(simulator.private_key_pem)
    arguments = ("archive", "--from-file", rooms, "-o", tmp_path / "media", "--private-key", key)
    code, out, told = await asyncio.to_thread(ended, "--dask", cluster.scheduler.address, *arguments)
    manifest = [json.loads(line) for line in (tmp_path / "media" / "manifest.jsonl").read_text().splitlines()]
    assert (code, out) == (0, "")
    assert sorted(row["sid"] for row in manifest) == expected(simulator, status="completed")
    for row in manifest:
        if row["state"] == "archived":
            assert Path(row["location"]).read_bytes() == b"".join(simulator.media(row["sid"]))
    copied = sum(row["state"] == "archived" for row in manifest)
    assert told[-1].startswith(f"{copied} recordings in the archive")
    assert copied > 0


def test_ctrl_c_ends_it_and_all_its_processes(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    simulator.latency = 0.5
    simulator.concurrency_limit = None
    with started(*ROOMREC, "--dask", "local", "list", "--from-file", rooms, "-o", tmp_path / "new") as running:
        until(lambda: simulator.stats.requests >= 1)
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "roomrec: interrupted\n")
    until(lambda: is_gone(running.pid))
    assert list((tmp_path / "new").iterdir()) == []


def test_mistakes(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for arguments, message in {
        ("rooms",): "--dask goes with list and archive only, not with rooms",
        ("list", "--from-file", rooms): "--dask needs --output DIRECTORY",
        (
            "list",
            "--from-file",
            rooms,
            "-o",
            "x.csv",
        ): "with --dask, --output is a directory, not a file such as 'x.csv'",
        ("archive", "--after", "2026-01-01T00:00:00Z", "-o", tmp_path): "--dask goes with rooms",
        (
            "archive",
            "--from-file",
            rooms,
            "-o",
            tmp_path,
            "--ledger",
            file,
        ): "is a file, and with --dask it must be a directory",
        ("archive", "--from-file", rooms, "-o", tmp_path, "--private-key", file): "no private key in PEM format",
    }.items():
        code, out, told = ended("--dask", "local", *arguments)
        assert (code, out, len(told)) == (2, "", 1), told
        assert message in told[0]
    code, _, told = ended("--dask", "no://address", "list", "--from-file", rooms, "-o", tmp_path / "new")
    assert (code, len(told)) == (2, 1)
    assert "--dask must be an address such as tls://host:8786, or 'local': unknown address scheme 'no'" in told[0]
    assert simulator.stats.requests == 0


def test_a_wrong_key_is_told_of_before_a_cluster_is_looked_for(
    simulator: Simulator, rooms: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    nobody = "tcp://127.0.0.1:1"
    code, _, told = ended("--dask", nobody, "archive", "--from-file", rooms, "-o", tmp_path, "--private-key", key)
    assert (code, len(told)) == (2, 1), told
    assert "no private key in PEM format" in told[0]


def test_without_the_extra_it_says_so(simulator: Simulator, rooms: Path, tmp_path: Path) -> None:
    script = "import sys; sys.modules['distributed'] = None; from roomrec_async.cli import main; main()"
    arguments = ("--dask", "local", "list", "--from-file", rooms, "-o", tmp_path / "new")
    with started(sys.executable, "-c", script, *arguments) as running:
        _, err = running.communicate(timeout=30)
    assert running.returncode == 2
    assert err == "roomrec: a cluster needs distributed: pip install 'roomrec-async[dask]'\n"


_TWO_CLUSTERS = """
import asyncio
from roomrec_async.integrations.dask import local_cluster

async def main():
    async with local_cluster(1) as one, local_cluster(2) as two:
        print(len(await one.nthreads()), len(await two.nthreads()), *(await two.nthreads()).values())

if __name__ == "__main__":
    asyncio.run(main())
"""


_HEARTS_BEAT_TO_THE_END = """
import asyncio
from roomrec_async.integrations.dask import local_cluster

async def hearts_beat(dask_worker):
    async def forever():
        while dask_worker.status.name == "running":
            await dask_worker.heartbeat()
    dask_worker.hearts = [asyncio.create_task(forever()) for _ in range(3)]

async def main():
    async with local_cluster(2) as cluster:
        await cluster.run(hearts_beat)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_local_cluster_ends_quietly_whatever_its_workers_were_saying(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_HEARTS_BEAT_TO_THE_END, "utf-8")
    with started(sys.executable, "-W", "error", script) as running:
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (0, "", "")


def test_two_local_clusters_are_no_trouble_to_each_other(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_TWO_CLUSTERS, "utf-8")
    with started(sys.executable, "-W", "error", script) as running:
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (0, "1 2 1 1\n", "")
    until(lambda: is_gone(running.pid))
