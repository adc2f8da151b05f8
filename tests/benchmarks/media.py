"""Downloads against curl, side by side against one by one, and the account's list against room by room."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from roomrec_async import Credentials, Recording, RecordingsClient
from roomrec_async.simulator import Simulator, faults
from tests.benchmarks.contenders import ACCOUNT_SID, AUTH_TOKEN
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import Worker

_ROOM_SID = "RM" + "1" * 32
_SID = "RT" + "1" * 32


def measure(*, quick: bool) -> Iterator[Figure]:
    """All of them; the quick ones are smaller, and prove only that they run."""
    yield from against_curl(size=2**26 if quick else 2**30, rounds=1 if quick else 5)
    yield asyncio.run(side_by_side(count=40 if quick else 200))
    yield from asyncio.run(account_scan(rooms=1000 if quick else 25_000))


def against_curl(size: int, rounds: int) -> Iterator[Figure]:
    """One large file from loopback to the disk, taking turns."""
    times: dict[str, list[float]] = {"curl": [], "curl, sha256sum and sync": [], "ours": []}
    grown = 0.0
    with tempfile.TemporaryDirectory() as source, Worker("tests.benchmarks.media_server", source) as server:
        base_url = f"http://127.0.0.1:{server.line()}"
        os.truncate(os.open(f"{source}/{_SID}", os.O_CREAT | os.O_WRONLY, 0o600), size)
        url = f"{base_url}/media/{_SID}"
        for _ in range(rounds):
            for name, seconds in times.items():
                with tempfile.TemporaryDirectory() as target:
                    os.sync()
                    begin = time.perf_counter()
                    if name == "ours":
                        grown = max(grown, asyncio.run(_download(base_url, size, target)))
                    else:
                        _curl(url, f"{target}/media", checked=name != "curl")
                    seconds.append(time.perf_counter() - begin)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    megabytes = size / 2**20
    yield Figure(f"download of {megabytes:,.0f} MiB, hashed and synced", megabytes / medians["ours"], "MiB/s", "")
    yield Figure("of the speed of curl, which does neither", medians["curl"] / medians["ours"], "x", "0.7 at the least")
    yield Figure(
        "of the speed of curl with sha256sum and sync", medians["curl, sha256sum and sync"] / medians["ours"], "x", ""
    )
    yield Figure("peak memory growth meanwhile", grown, "MiB", "30 at the most")


async def _download(base_url: str, size: int, target: str) -> float:
    recording = Recording(sid=_SID, room_sid=_ROOM_SID, size=size)
    async with RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=base_url) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        download = await client.download(recording, f"{target}/")
    assert download.size == size
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _curl(url: str, target: str, *, checked: bool) -> None:
    curl = shutil.which("curl")
    if curl is None:
        raise RuntimeError("curl is needed: apt install curl")
    subprocess.run([curl, "--silent", "--fail", "--output", target, url], check=True)
    if checked:
        with Path(target).open("rb") as file:
            hashlib.file_digest(file, "sha256")
            os.fsync(file.fileno())


async def side_by_side(count: int) -> Figure:
    """Small media, 20 ms an answer: eight at a time against one by one."""
    async with (
        Simulator(rooms=count, recordings_per_room=2, media_size=50_000, latency=0.02, reads_per_second=None) as sim,
        sim.client() as client,
    ):
        sim.store.inject(faults.StallHeaders(0.02), times=None)
        recordings = [
            recording
            async for recording in client.stream(sim.room_sids, status="completed")
            if recording.media_external_location is None and recording.encryption_key is None
        ][:count]
        seconds = {at_once: await _fetch_all(client, recordings, at_once) for at_once in (1, 8)}
    name = f"{len(recordings)} small media, 8 at a time, sooner than one by one"
    return Figure(name, seconds[1] / seconds[8], "x", "3 at the least")


async def _fetch_all(client: RecordingsClient, recordings: list[Recording], at_once: int) -> float:
    limit = asyncio.Semaphore(at_once)

    async def fetch(recording: Recording, target: str) -> None:
        async with limit:
            await client.download(recording, target)

    with tempfile.TemporaryDirectory() as target:
        begin = time.perf_counter()
        await asyncio.gather(*(fetch(recording, target) for recording in recordings))
        return time.perf_counter() - begin


async def account_scan(rooms: int) -> Iterator[Figure]:
    """Four recordings a room, 80 reads a second. Room by room is taken at its best: a request each, at the quota."""
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
                f"requests for {4 * rooms:,} recordings of {rooms:,} rooms, fewer via the account",
                rooms / requests,
                "x",
                "15 at the least",
            ),
            Figure("the same, sooner", rooms / 80 / seconds, "x", "10 at the least"),
        ]
    )
