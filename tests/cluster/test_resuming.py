"""Exports whose client, scheduler or workers are killed in mid-run, and that are run again."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pyarrow.parquet as pq
import pytest
from distributed import Client

from roomrec_async._export.shard import Shard, key_hash
from roomrec_async.simulator import Simulator, faults

from ..integration.conftest import S3Server, s3
from .conftest import UNLIMITED, expected, requests_when_idle
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

    def names(self) -> list[str]:
        """Return the names of the files."""
        if self.bucket is not None:
            return self.s3.objects(self.bucket)
        root = Path(self.destination)
        return [str(path.relative_to(root)) for path in root.rglob("*")]

    def read(self, name: str) -> bytes:
        if self.bucket is not None:
            return self.s3.content(self.bucket, name)
        return (Path(self.destination) / name).read_bytes()

    def unwritten_rooms(self) -> set[str]:
        """Return the rooms of the shards that are not done."""
        done = {name.rpartition("/")[2] for name in self.names()}
        return {sid for sid in self.simulator.room_sids if f"shard-{key_hash(sid) % _SHARDS + 1:05d}.json" not in done}

    async def reach(self, client: subprocess.Popen[bytes], rooms: int, requests: int = 0) -> None:
        """Wait until no more than so many rooms are unwritten, and so many requests were sent."""
        async with asyncio.timeout(240):
            while (
                self.simulator.stats.requests < requests or len(await asyncio.to_thread(self.unwritten_rooms)) > rooms
            ):
                assert client.poll() is None
                await asyncio.sleep(0.01)

    def exported(self) -> list[str]:
        tables = [pq.read_table(io.BytesIO(self.read(name))) for name in self.names() if name.startswith("part-")]
        return sorted(sid for table in tables for sid in table["sid"].to_pylist())

    def asked(self, since: int) -> Counter[str]:
        """Return how often each room was asked for, from some request on."""
        return Counter(request.path.split("/")[3] for request in [*self.simulator.requests][since:])


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    # Without a quota: a request that is late on a busy machine would be refused, and sent twice.
    with Simulator(_ROOMS, (1, 3), latency=0.05, **UNLIMITED) as simulator:
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


@asynccontextmanager
async def never_complete(simulator: Simulator) -> AsyncIterator[None]:
    """Answer no request for a room of the last shard in a block: however fast the machine is, something is left."""
    room_sid = next(sid for sid in simulator.room_sids if Shard(_SHARDS, _SHARDS).owns(sid))
    simulator.inject(faults.StallHeaders(600), times=None, path_contains=room_sid)
    yield
    simulator.clear_faults()


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
            for requests, rooms in ((9, _ROOMS), (1, _ROOMS - 1)):
                async with never_complete(simulator):
                    client = export.start()
                    await export.reach(client, rooms, before + requests)
                    client.kill()
                    await finish(client)
                    after = await requests_when_idle(cluster, simulator)
                assert set(export.asked(before)) <= missing
                before, missing = after, export.unwritten_rooms()
            assert 0 < len(missing) < _ROOMS
            assert await finish(export.start()) == 0
            assert export.asked(before) == Counter(missing)
    assert export.exported() == expected(simulator)


async def test_the_scheduler_is_killed(export: Export) -> None:
    """Client and workers end by themselves; with another scheduler and other workers, the next run does the rest."""
    simulator = export.simulator
    with ExitStack() as processes:
        scheduler = processes.enter_context(export.commands.scheduler())
        workers = [processes.enter_context(export.commands.worker(name)) for name in ("first", "second")]
        async with never_complete(simulator):
            client = export.start()
            await export.reach(client, _ROOMS - 1)
            scheduler.kill()
            assert await finish(client) == 1
            for worker in workers:
                await finish(worker)
    before, missing = len(simulator.requests), export.unwritten_rooms()
    assert 0 < len(missing) < _ROOMS
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
        async with never_complete(simulator):
            client = export.start()
            await export.reach(client, _ROOMS - 1)
            for process in (*workers, client):
                process.kill()
                await finish(process)
        before, missing = len(simulator.requests), export.unwritten_rooms()
        assert 0 < len(missing) < _ROOMS
        client = export.start()
        for name in ("third", "fourth"):
            processes.enter_context(export.commands.worker(name))
        assert await finish(client) == 0
    assert export.asked(before) == Counter(missing)
    assert export.exported() == expected(simulator)
