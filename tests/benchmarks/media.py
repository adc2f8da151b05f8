"""Downloads compared with curl, concurrent downloads with sequential ones, and the account's list with rooms' lists."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from roomrec_async import Credentials, Recording, RecordingsClient
from roomrec_async.simulator import Simulator, faults
from tests.benchmarks.contenders import AUTH_TOKEN
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import Worker
from tests.benchmarks.rooms import ACCOUNT_SID

_ROOM_SID = "RM" + "1" * 32
_SID = "RT" + "1" * 32


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield all figures; with ``quick``, of runs that are too small to mean anything but that they work."""
    yield from against_curl(size=2**26 if quick else 2**30, rounds=1 if quick else 5)
    yield asyncio.run(side_by_side(count=40 if quick else 200))
    yield from asyncio.run(account_scan(rooms=1000 if quick else 25_000))


def against_curl(size: int, rounds: int) -> Iterator[Figure]:
    """Download one large file from loopback to the disk, in turns."""
    times: dict[str, list[float]] = {"curl": [], "curl, sha256sum and sync": [], "ours": []}
    memory_growth = 0.0
    with tempfile.TemporaryDirectory() as source, Worker("tests.benchmarks.media_server", source) as server:
        base_url = f"http://127.0.0.1:{server.read_line()}"
        os.truncate(os.open(f"{source}/{_SID}", os.O_CREAT | os.O_WRONLY, 0o600), size)
        url = f"{base_url}/media/{_SID}"
        for _ in range(rounds):
            for name, seconds in times.items():
                with tempfile.TemporaryDirectory() as target:
                    os.sync()
                    begin = time.perf_counter()
                    if name == "ours":
                        memory_growth = max(memory_growth, asyncio.run(_download(base_url, size, target)))
                    else:
                        _run("curl", "--silent", "--fail", "--output", f"{target}/media", url)
                        if name != "curl":
                            _run("sha256sum", f"{target}/media")
                            _run("sync", f"{target}/media")
                    seconds.append(time.perf_counter() - begin)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    megabytes = size / 2**20
    yield Figure(f"download of {megabytes:,.0f} MiB, hashed and synced", megabytes / medians["ours"], "MiB/s", "")
    yield Figure("speed over that of curl, which does neither", medians["curl"] / medians["ours"], "x", "at least 0.85")
    yield Figure(
        "speed over that of curl with sha256sum and sync",
        medians["curl, sha256sum and sync"] / medians["ours"],
        "x",
        "at least 2",
    )
    yield Figure("peak memory growth meanwhile", memory_growth, "MiB", "at most 30")


async def _download(base_url: str, size: int, target: str) -> float:
    recording = Recording(sid=_SID, room_sid=_ROOM_SID, size=size)
    async with RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=base_url) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        download = await client.download(recording, f"{target}/")
    assert download.size == size
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _run(program: str, *arguments: str) -> None:
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"{program} is needed: apt install {program}")
    subprocess.run([path, *arguments], check=True, stdout=subprocess.DEVNULL)


async def side_by_side(count: int) -> Figure:
    """Download small media at 20 ms per response: eight at a time, and one by one."""
    async with (
        Simulator(
            rooms=2 * count, recordings_per_room=2, media_size=50_000, latency=0.02, reads_per_second=None
        ) as sim,
        sim.client() as client,
    ):
        sim.store.inject(faults.StallHeaders(0.02), times=None)
        recordings = [
            recording
            async for recording in client.stream(sim.room_sids, status="completed")
            # Audio has no media if its participant was muted throughout.
            if recording.type == "video"
            and recording.media_external_location is None
            and recording.encryption_key is None
        ][:count]
        seconds = {concurrency: await _fetch_all(client, recordings, concurrency) for concurrency in (1, 8)}
    name = f"speedup of {len(recordings)} small media, 8 at a time, over one by one"
    return Figure(name, seconds[1] / seconds[8], "x", "at least 3")


async def _fetch_all(client: RecordingsClient, recordings: list[Recording], concurrency: int) -> float:
    limit = asyncio.Semaphore(concurrency)

    async def fetch(recording: Recording, target: str) -> None:
        async with limit:
            await client.download(recording, target)

    with tempfile.TemporaryDirectory() as target:
        begin = time.perf_counter()
        await asyncio.gather(*(fetch(recording, target) for recording in recordings))
        return time.perf_counter() - begin


async def account_scan(rooms: int) -> Iterator[Figure]:
    """List four recordings per room at 80 reads per second, compared with one request per room at the full quota."""
    async with Simulator(rooms, 4) as sim, sim.client() as client:
        begin = time.perf_counter()
        beginning = datetime(2025, 12, 1, tzinfo=UTC)
        found = await client.gather(sim.room_sids, via="account", date_created_after=beginning)
        seconds = time.perf_counter() - begin
        assert sum(map(len, found.values())) == 4 * rooms
        requests = sim.stats.requests
    return iter(
        [
            Figure(
                f"requests room by room over those via the account, {4 * rooms:,} recordings of {rooms:,} rooms",
                rooms / requests,
                "x",
                "at least 15",
            ),
            Figure("time room by room over that via the account", rooms / 80 / seconds, "x", "at least 10"),
        ]
    )
