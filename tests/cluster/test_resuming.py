"""Exports whose client, scheduler or workers are killed in mid-run, and that are run again."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pyarrow.parquet as pq
import pytest
from distributed import Client

from roomrec_async._export.shard import key_hash
from roomrec_async.simulator import Simulator

from ..integration.conftest import S3Server, s3
from .conftest import expected, requests_when_idle
from .processes import Commands

__all__ = ["s3"]

# Each starts processes, which takes long where others do as well.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_ROOMS = 40
_SHARDS = 8
_CLIENT = """
import asyncio, sys
from distributed import Client
from roomrec_async import Credentials
from roomrec_async.integrations.dask import ClusterSettings, export_on

async def main(scheduler_file, base_url, account_sid, token, destination, rooms, per_shard):
    settings = ClusterSettings(
        credentials=Credentials(account_sid, token),
        base_url=base_url,
        rooms_per_shard=int(per_shard),
        slots=2,
        reads_per_second=20,
    )
    async with Client(scheduler_file=scheduler_file, asynchronous=True) as cluster:
        report = await export_on(cluster, open(rooms).read().split(), destination, settings=settings)
    assert report.complete and not report.failed, report

asyncio.run(main(*sys.argv[1:]))
"""
# The tests need not wait long to see that a process is dead.
_PRELOAD = """
from roomrec_async import _lease as lease

lease.BEAT = 0.2
"""


@attrs.frozen
class Export:
    """An export, and how to start its client."""

    simulator: Simulator
    commands: Commands
    destination: str
    bucket: str | None
    s3: S3Server
    environment: dict[str, str]

    def start(self) -> subprocess.Popen[bytes]:
        rooms = self.commands.directory / "rooms.txt"
        rooms.write_text("\n".join(self.simulator.room_sids))
        credentials = self.simulator.credentials
        arguments = (self.commands.file, self.simulator.base_url, credentials.account_sid, credentials.password)
        with (self.commands.directory / "client.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _CLIENT, *map(str, arguments), self.destination, str(rooms), "5"],
                env={**os.environ, **self.environment},
                stderr=log,
            )

    def files(self) -> dict[str, bytes]:
        """Return the files of the export by name."""
        if self.bucket is not None:
            return {name: self.s3.content(self.bucket, name) for name in self.s3.objects(self.bucket)}
        root = Path(self.destination)
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def unwritten_rooms(self) -> set[str]:
        """Return the rooms of the shards that are not done."""
        done = {name.rpartition("/")[2] for name in self.files()}
        return {sid for sid in self.simulator.room_sids if f"shard-{key_hash(sid) % _SHARDS + 1:05d}.json" not in done}

    def exported(self) -> list[str]:
        tables = [pq.read_table(io.BytesIO(data)) for name, data in self.files().items() if name.startswith("part-")]
        return sorted(sid for table in tables for sid in table["sid"].to_pylist())

    def asked(self, since: int) -> Counter[str]:
        """Return how often each room was asked for, from some request on."""
        return Counter(request.path.split("/")[3] for request in [*self.simulator.requests][since:])


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(_ROOMS, (1, 3), reads_per_second=20, latency=0.05) as simulator:
        yield simulator


@pytest.fixture(params=["directory", "store"])
def export(request: pytest.FixtureRequest, simulator: Simulator, s3: S3Server, tmp_path: Path) -> Export:
    preload = tmp_path / "preload.py"
    preload.write_text(_PRELOAD)
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": "2s",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
        "DASK_DISTRIBUTED__WORKER__PRELOAD": f"['{preload}']",
    }
    commands = Commands(tmp_path, environment)
    if request.param == "directory":
        return Export(simulator, commands, str(tmp_path / "export"), None, s3, environment)
    bucket = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    s3.bucket(bucket)
    return Export(simulator, commands, f"s3://{bucket}", bucket, s3, environment)


async def reach(simulator: Simulator, requests: int, client: subprocess.Popen[bytes]) -> None:
    """Wait for so many requests, or the end of the client."""
    async with asyncio.timeout(180):
        while simulator.stats.requests < requests and client.poll() is None:
            await asyncio.sleep(0.01)


async def finish(client: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(client.wait, 180)


async def test_the_client_is_killed(export: Export) -> None:
    """Twice; what is on the workers stops by itself, and each run asks only for what is not yet written."""
    simulator = export.simulator
    with ExitStack() as processes:
        processes.enter_context(export.commands.scheduler())
        for name in ("first", "second"):
            processes.enter_context(export.commands.worker(name))
        async with Client(scheduler_file=str(export.commands.file), asynchronous=True) as cluster:
            before, missing = 0, set(simulator.room_sids)
            for requests in (9, 11):
                client = export.start()
                await reach(simulator, before + requests, client)
                client.kill()
                await finish(client)
                after = await requests_when_idle(cluster, simulator)
                assert set(export.asked(before)) <= missing
                before, missing = after, export.unwritten_rooms()
            assert 0 < len(missing) < _ROOMS
            assert await finish(export.start()) == 0
            assert export.asked(before) == Counter(missing)
    assert export.exported() == expected(simulator)
    assert simulator.stats.refused == 0


async def test_the_scheduler_is_killed(export: Export) -> None:
    """Client and workers end by themselves; with another scheduler and other workers, the next run does the rest."""
    simulator = export.simulator
    with ExitStack() as processes:
        scheduler = processes.enter_context(export.commands.scheduler())
        workers = [processes.enter_context(export.commands.worker(name)) for name in ("first", "second")]
        client = export.start()
        await reach(simulator, 15, client)
        scheduler.kill()
        assert await finish(client) not in (0, None)
        for worker in workers:
            await asyncio.to_thread(worker.wait, 180)
    before, missing = len(simulator.requests), export.unwritten_rooms()
    assert 0 < len(missing) <= _ROOMS
    with ExitStack() as processes:
        processes.enter_context(export.commands.scheduler())
        processes.enter_context(export.commands.worker("third"))
        assert await finish(export.start()) == 0
    assert export.asked(before) == Counter(missing)
    assert export.exported() == expected(simulator)


async def test_everything_is_killed_but_the_scheduler(export: Export) -> None:
    """Workers that were killed leave leases behind, which are found to be dead; there are no workers for a while."""
    simulator = export.simulator
    with ExitStack() as processes:
        processes.enter_context(export.commands.scheduler())
        workers = [processes.enter_context(export.commands.worker(name)) for name in ("first", "second")]
        client = export.start()
        await reach(simulator, 15, client)
        for process in (*workers, client):
            process.kill()
            await finish(process)
        before, missing = len(simulator.requests), export.unwritten_rooms()
        client = export.start()
        for name in ("third", "fourth"):
            processes.enter_context(export.commands.worker(name))
        assert await finish(client) == 0
    assert export.asked(before) == Counter(missing)
    assert export.exported() == expected(simulator)
