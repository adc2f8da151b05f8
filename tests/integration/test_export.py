"""Exports to directories and to a server that speaks the S3 protocol, killed and resumed, whole and in shards."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import attrs
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from roomrec_async import (
    ConfigurationError,
    DateWindow,
    InvalidArgumentError,
    MediaError,
    RateLimiter,
    RecordingsClient,
    RetryPolicy,
)
from roomrec_async import _lease as lease
from roomrec_async._destinations import resolve_destination
from roomrec_async._export import run as export_run
from roomrec_async._export.store import open_store
from roomrec_async.simulator import Simulator, faults

from .conftest import S3Server

# Each starts processes, or makes whole archives.
pytestmark = pytest.mark.slow

UNLIMITED: dict[str, Any] = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}


def unpaced(simulator: Simulator, retry: RetryPolicy | None = None) -> RecordingsClient:
    return simulator.client(limiter=RateLimiter(None, None, None), retry=retry)


YEAR = DateWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
FAR_BACK = datetime(2020, 1, 1, tzinfo=UTC)

_EXPORT = """
import asyncio, sys
from datetime import datetime
from roomrec_async import Credentials, DateWindow, RateLimiter, RecordingsClient
from roomrec_async import _lease as lease

# The tests need not wait long to see that a process is dead.
lease.BEAT = 0.1

async def main(base_url, account_sid, token, destination, source):
    limiter = RateLimiter(reads_per_second=None)
    async with RecordingsClient(Credentials(account_sid, token), base_url=base_url, limiter=limiter) as client:
        if source == "window":
            rooms = DateWindow(datetime.fromisoformat("2020-01-01T00:00:00Z"))
        else:
            rooms = open(source).read().split()
        await client.export(rooms, destination)

asyncio.run(main(*sys.argv[1:]))
"""


class Files(Protocol):
    """Where an export is."""

    destination: str

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


@attrs.frozen
class Directory:
    destination: str

    def names(self) -> list[str]:
        root = Path(self.destination)
        return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]

    def read(self, name: str) -> bytes:
        return (Path(self.destination) / name).read_bytes()


@attrs.frozen
class Bucket:
    server: S3Server
    bucket: str

    @property
    def destination(self) -> str:
        return f"s3://{self.bucket}/nightly"

    def names(self) -> list[str]:
        return [key.removeprefix("nightly/") for key in self.server.objects(self.bucket)]

    def read(self, name: str) -> bytes:
        return self.server.content(self.bucket, f"nightly/{name}")


def parts(files: Files) -> list[str]:
    return [name for name in files.names() if "/" not in name]


def exported(files: Files) -> list[str]:
    """Return the SIDs in all parts."""
    tables = [pq.read_table(io.BytesIO(files.read(name))) for name in parts(files)]
    return [sid for table in tables for sid in table["sid"].to_pylist()]


def truth(simulator: Simulator, *, without: str | None = None) -> list[str]:
    found = [record for sid in simulator.room_sids for record in simulator.recordings(sid)]
    return sorted(str(record["sid"]) for record in found if record["status"] != without)


def check_manifest(files: Files, run: int = 1) -> None:
    """Check that the manifest lists all parts of a run, as they are."""
    manifest = json.loads(files.read(f"_roomrec/run-{run:05d}/manifest.json"))
    listed = {part["name"]: part for part in manifest["parts"]}
    assert sorted(listed) == sorted(name for name in parts(files) if f"-{run:05d}-" in name)
    for name, part in listed.items():
        content = files.read(name)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (part["bytes"], part["sha256"])
        assert pq.read_table(io.BytesIO(content)).num_rows == part["recordings"]
    assert manifest["recordings"] == sum(part["recordings"] for part in listed.values())


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.slow)])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    if request.param == "directory":
        return Directory(str(tmp_path / "export"))
    s3: S3Server = request.getfixturevalue("s3")
    settings = {
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "canary-secret-key",
        "AWS_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = "export-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    s3.bucket(bucket)
    return Bucket(s3, bucket)


async def test_rooms_are_exported_once(files: Files) -> None:
    async with Simulator(450, (0, 3), **UNLIMITED) as simulator, unpaced(simulator) as client:
        report = await client.export([*simulator.room_sids, *simulator.room_sids[:20]], files.destination)
        assert sorted(exported(files)) == truth(simulator)
        assert (report.recordings, report.parts, report.complete) == (len(truth(simulator)), 3, True)
        assert simulator.stats.requests == 450
        check_manifest(files)

        again = await client.export(reversed(simulator.room_sids[:]), files.destination)
        assert again == report
        assert simulator.stats.requests == 450


async def test_so_many_rooms_are_in_fewer_and_larger_parts(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_run, "_MAX_UNITS", 10)
    async with Simulator(4500, (1, 2), **UNLIMITED) as simulator, unpaced(simulator) as client:
        report = await client.export(simulator.room_sids, files.destination)
        assert (report.parts, report.complete) == (10, True)
        assert sorted(exported(files)) == truth(simulator)
        check_manifest(files)


async def test_units_are_those_of_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(450, (0, 3), **UNLIMITED) as simulator:
        async with unpaced(simulator, RetryPolicy(max_attempts=1)) as client:
            simulator.inject(faults.Respond(500), path_contains=simulator.room_sids[7])
            assert not (await client.export(simulator.room_sids, tmp_path)).complete
            # As a later version may have it.
            monkeypatch.setattr(export_run, "_ROOMS_PER_UNIT", 100)
            report = await client.export(simulator.room_sids, tmp_path)
        assert (report.parts, report.complete) == (3, True)
        assert sorted(exported(Directory(str(tmp_path)))) == truth(simulator)


async def test_a_window_is_exported_once_and_then_what_is_new(files: Files) -> None:
    async with Simulator(300, 7, **UNLIMITED) as simulator, unpaced(simulator) as client:
        window = DateWindow(FAR_BACK)
        report = await client.export(window, files.destination, since_last=True)
        assert sorted(exported(files)) == truth(simulator, without="processing")
        assert report.pending == len(truth(simulator)) - report.recordings > 0
        check_manifest(files)

        before = simulator.stats.requests
        second = await client.export(window, files.destination, since_last=True)
        assert (second.run, second.recordings, second.pending) == (2, 0, report.pending)
        # The first page of the new window, its list, and each recording that was processing.
        assert simulator.stats.requests - before <= report.pending + 2
        assert sorted(exported(files)) == truth(simulator, without="processing")


@pytest.mark.parametrize("source", ["rooms", "window"])
async def test_shards_in_any_order_and_again(files: Files, source: str) -> None:
    async with Simulator(500, (1, 4), **UNLIMITED) as simulator, unpaced(simulator) as client:
        rooms = simulator.room_sids[:] if source == "rooms" else DateWindow(FAR_BACK)
        reports = [await client.export(rooms, files.destination, shard=(index, 5)) for index in (4, 2, 2, 5, 1)]
        assert [report.complete for report in reports] == [False] * 5
        assert reports[1] == reports[2]
        last = await client.export(rooms, files.destination, shard="3/5")
        assert last.complete
        without = None if source == "rooms" else "processing"
        assert sorted(exported(files)) == truth(simulator, without=without)
        check_manifest(files)
        requests = simulator.stats.requests
        assert (await client.export(rooms, files.destination, shard="4/5")).complete
        assert simulator.stats.requests == requests


async def test_shards_at_the_same_time(files: Files) -> None:
    async with Simulator(300, 3, **UNLIMITED) as simulator, unpaced(simulator) as client:
        window = DateWindow(FAR_BACK)
        shards = [client.export(window, files.destination, shard=(index, 4)) for index in (1, 2, 3, 4)]
        reports = await asyncio.gather(*shards)
        assert len({report.before for report in reports}) == 1
        assert any(report.complete for report in reports)
        assert sorted(exported(files)) == truth(simulator, without="processing")
        check_manifest(files)


async def test_readers_take_the_directory_as_it_is(tmp_path: Path) -> None:
    async with Simulator(30, 5, **UNLIMITED) as simulator, unpaced(simulator) as client:
        await client.export(simulator.room_sids[:], tmp_path / "parquet")
        await client.export(simulator.room_sids[:], tmp_path / "jsonl", format="jsonl")
        table = ds.dataset(tmp_path / "parquet").to_table()
        lines = ds.dataset(tmp_path / "jsonl", format="json").to_table()
        expected = {
            str(record["sid"]): record["grouping_sids"]["participant_sid"]  # type: ignore[index]
            for sid in simulator.room_sids
            for record in simulator.recordings(sid)
        }
    assert dict(zip(table["sid"].to_pylist(), table["participant_sid"].to_pylist(), strict=True)) == expected
    assert dict(zip(lines["sid"].to_pylist(), lines["participant_sid"].to_pylist(), strict=True)) == expected
    types = {field.name: field.type for field in table.schema}
    assert types["date_created"] == pa.timestamp("us", "UTC")
    assert types["size"] == pa.int64()
    assert table.schema.metadata == {b"roomrec.schema_version": b"1"}


async def test_rooms_that_are_given_with_their_names_have_them_in_each_row(tmp_path: Path) -> None:
    async with Simulator(30, (1, 3), **UNLIMITED) as simulator, unpaced(simulator) as client:
        rooms = await client.rooms(status="completed")
        await client.export(rooms, tmp_path)
        table = ds.dataset(tmp_path).to_table(["room_sid", "room_name"])
        names = {str(room.sid): room.unique_name for room in rooms}
        assert {row["room_sid"]: row["room_name"] for row in table.to_pylist()} == names


async def test_other_settings_are_refused(tmp_path: Path) -> None:
    async with Simulator(3, 2, **UNLIMITED) as simulator, unpaced(simulator) as client:
        rooms = simulator.room_sids[:]
        await client.export(rooms, tmp_path / "rooms")
        await client.export(YEAR, tmp_path / "window")
        requests = simulator.stats.requests
        before = DateWindow(YEAR.after, datetime(2026, 11, 1, tzinfo=UTC))
        for source, directory, options in (
            (rooms, "rooms", {"format": "jsonl"}),
            (rooms, "rooms", {"shard": "1/2"}),
            (rooms[1:], "rooms", {}),
            (YEAR, "rooms", {}),
            (DateWindow(FAR_BACK), "window", {}),
            (before, "window", {}),
        ):
            with pytest.raises(ConfigurationError, match="holds an export"):
                await client.export(source, tmp_path / directory, **options)
        with pytest.raises(ConfigurationError, match="since_last is for a window"):
            await client.export(rooms, tmp_path / "new", since_last=True)
        with pytest.raises(InvalidArgumentError, match="format"):
            await client.export(rooms, tmp_path / "new", format="csv")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="room_sid"):
            await client.export(["RM1"], tmp_path / "malformed")
        assert not (tmp_path / "new").exists()
        assert simulator.stats.requests == requests


async def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    foreign = {"part-000000.parquet": b"mine", "_roomrec/notes.txt": b"mine", "_roomrec/tmp/x": b"mine", "a/b": b"c"}
    for name, content in foreign.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    async with Simulator(3, 2, **UNLIMITED) as simulator, unpaced(simulator) as client:
        await client.export(simulator.room_sids[:], tmp_path)
        await client.export(simulator.room_sids[:], tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in foreign} == foreign


async def test_rooms_that_fail_are_tried_again(tmp_path: Path) -> None:
    unknown = "RM" + "f" * 32
    async with (
        Simulator(450, 2, **UNLIMITED) as simulator,
        unpaced(simulator, RetryPolicy(max_attempts=1)) as client,
    ):
        rooms = [*simulator.room_sids, unknown]
        broken = simulator.room_sids[7]
        simulator.inject(faults.Respond(503), path_contains=broken, times=None)
        report = await client.export(rooms, tmp_path)
        assert report.failures.keys() == {unknown, broken}
        assert (report.complete, report.manifest) == (False, None)
        simulator.clear_faults()
        again = await client.export(rooms, tmp_path)
        assert again.failures.keys() == {unknown}
        assert sorted(exported(Directory(str(tmp_path)))) == truth(simulator)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "error"}, stderr=subprocess.PIPE)


async def kill_and_resume(files: Files, source: str, simulator: Simulator, kills: int, seed: int) -> list[int]:
    """Kill the export at random instants and run it to its end; return how many requests each process sent."""
    choices = random.Random(seed)
    account = simulator.credentials
    command = [sys.executable, "-c", _EXPORT, simulator.base_url, account.account_sid, account.password]
    command += [files.destination, source]
    sent = []
    for kill in range(kills + 1):
        before = simulator.stats.requests
        process = start(command)
        if kill < kills:
            # From the first request on, or while it starts; it may also have ended.
            wanted = before + choices.choice([0, 1, *range(5, 400, 5)])
            while process.poll() is None and simulator.stats.requests < wanted:
                await asyncio.sleep(0.001)
            await asyncio.sleep(choices.random() / 50)
            process.send_signal(signal.SIGKILL)
        _, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode in ((0, -signal.SIGKILL) if kill < kills else (0,)), errors.decode()
        sent.append(simulator.stats.requests - before)
    return sent


@pytest.mark.timeout(600)
@pytest.mark.parametrize("source", ["rooms", "window"])
@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.slow)])
async def test_killed_at_any_instant(files: Files, source: str, kills: int, tmp_path: Path) -> None:
    with Simulator(1500, 3, **UNLIMITED) as simulator:
        (tmp_path / "rooms.txt").write_text("\n".join(simulator.room_sids))
        name = str(tmp_path / "rooms.txt") if source == "rooms" else source
        sent = await kill_and_resume(files, name, simulator, kills, seed=kills)
        found = Counter(exported(files))
        assert sorted(found.elements()) == truth(simulator, without=None if source == "rooms" else "processing")
        check_manifest(files)
        # Nothing but what was under way is asked for again: two units, each of 200 rooms, or 33 pages and a division.
        least, unit = (1500, 200) if source == "rooms" else (90, 40)
        assert sum(sent) <= least + kills * 2 * unit
        with_files = [name for name in files.names() if name.startswith("_roomrec/tmp/")]
        assert with_files == []


_SIGNALLED = """
import os, obstore

def signalled(function):
    async def call(*args, **options):
        global left
        left -= 1
        is_chosen = left == 0
        if is_chosen and when == "before":
            os.kill(os.getpid(), number)
        try:
            return await function(*args, **options)
        finally:
            if is_chosen and when == "after":
                os.kill(os.getpid(), number)
    return call

number, left, when = int(os.environ["SIGNAL"]), int(os.environ["OPERATION"]), os.environ["WHEN"]
for name in ("put_async", "get_async", "head_async"):
    setattr(obstore, name, signalled(getattr(obstore, name)))
"""


@attrs.frozen
class Exports:
    """Processes that export the rooms of a file, and send themselves a signal at an operation of the store."""

    simulator: Simulator
    destination: str
    rooms: Path

    def start(self, number: int = 0, operation: int = 0, when: str = "") -> subprocess.Popen[bytes]:
        account = self.simulator.credentials
        arguments = [self.simulator.base_url, account.account_sid, account.password, self.destination, str(self.rooms)]
        environ = {"SIGNAL": str(number), "OPERATION": str(operation), "WHEN": when}
        return subprocess.Popen(
            [sys.executable, "-c", _SIGNALLED + _EXPORT, *arguments],
            env={**os.environ, **environ, "PYTHONWARNINGS": "error"},
            stderr=subprocess.PIPE,
        )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("files", ["s3"], indirect=True)
async def test_killed_at_operations_of_the_store(files: Files, tmp_path: Path) -> None:
    choices = random.Random(7)
    with Simulator(1500, 3, **UNLIMITED) as simulator:
        exports = Exports(simulator, files.destination, tmp_path / "rooms.txt")
        exports.rooms.write_text("\n".join(simulator.room_sids))
        statuses = []
        for _ in range(20):
            process = exports.start(signal.SIGKILL, choices.randrange(1, 25), choices.choice(["before", "after"]))
            _, errors = await asyncio.to_thread(process.communicate)
            assert process.returncode in (0, -signal.SIGKILL), errors.decode()
            statuses.append(process.returncode)
        assert statuses[0] == -signal.SIGKILL
        process = exports.start()
        _, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, errors.decode()
        assert sorted(exported(files)) == truth(simulator)
        check_manifest(files)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not stop processes")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("files", ["s3"], indirect=True)
@pytest.mark.parametrize("when", ["before", "after"])
# From the lease to the parts; a whole export has more operations than that.
@pytest.mark.parametrize("operation", [3, 9, 14, 17, 25])
async def test_a_process_that_is_stopped_until_another_is_done_writes_no_more(
    files: Files, operation: int, when: str, tmp_path: Path
) -> None:
    with Simulator(1500, 3, **UNLIMITED) as simulator:
        exports = Exports(simulator, files.destination, tmp_path / "rooms.txt")
        exports.rooms.write_text("\n".join(simulator.room_sids))
        stopped = exports.start(signal.SIGSTOP, operation, when)
        try:
            await asyncio.to_thread(os.waitid, os.P_PID, stopped.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            assert stopped.poll() is None
            heir = exports.start()
            _, errors = await asyncio.to_thread(heir.communicate)
            assert heir.returncode == 0, errors.decode()
        finally:
            stopped.send_signal(signal.SIGCONT)
            _, errors = await asyncio.to_thread(stopped.communicate)
        # It finds out, or that there is nothing left to do.
        assert stopped.returncode == 0 or b"another process has taken over" in errors, errors.decode()
        assert sorted(exported(files)) == truth(simulator)
        check_manifest(files)


@pytest.mark.parametrize("files", ["s3"], indirect=True)
async def test_a_shard_in_a_store_is_written_by_one_process(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    monkeypatch.setattr(lease, "BEATS_MISSED", 200)
    with Simulator(4, 2, **UNLIMITED) as simulator:
        async with unpaced(simulator) as client, open_store(resolve_destination(files.destination), "shard-00001"):
            with pytest.raises(MediaError, match=r"another process is exporting to s3://.*: wait for its end"):
                await client.export(simulator.room_sids, files.destination)
        async with unpaced(simulator) as client:
            assert (await client.export(simulator.room_sids, files.destination)).complete
