"""Figures besides the comparison: latency, quota, memory, import time, compression."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import aiohttp
from isal import isal_zlib

from roomrec_async import Credentials, RateLimiter, RecordingsClient
from roomrec_async.simulator import Simulator
from tests.benchmarks import latency
from tests.benchmarks.contenders import AUTH_TOKEN
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import Server
from tests.benchmarks.rooms import ACCOUNT_SID, room_sid

# Seconds between two samples of the number of requests in flight.
_SAMPLE_INTERVAL: Final = 0.02


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield all figures; with ``quick``, of runs that are too small to mean anything but that they work."""
    yield from asyncio.run(latency.measure(rooms=200 if quick else 1000, rounds=1 if quick else 5))
    yield from asyncio.run(quota_bound(rooms=160 if quick else 1600))
    yield from asyncio.run(moving_limit(settling=2 if quick else 25, measuring=1 if quick else 15))
    yield from asyncio.run(memory(rooms=2000 if quick else 50_000))
    yield from import_time(rounds=3 if quick else 15)
    yield from asyncio.run(compression(lists=20 if quick else 200))


async def quota_bound(rooms: int) -> Iterator[Figure]:
    """Use a quota of 80 reads per second, which the server enforces."""
    async with Simulator(rooms=rooms, recordings_per_room=3, latency=0.1) as sim, sim.client() as client:
        begin = time.perf_counter()
        async for _ in client.as_completed(sim.room_sids):
            pass
        rate = rooms / (time.perf_counter() - begin)
        refused = sim.stats.refused
    return iter(
        [
            Figure("used of a quota of 80 reads per second", rate / 80 * 100, "%", "at least 97"),
            Figure("requests refused meanwhile", refused, "", "0"),
        ]
    )


async def moving_limit(settling: float, measuring: float) -> Iterator[Figure]:
    """Follow a concurrency limit that the service does not publish, and changes while the client runs: 100, 40, 160."""
    figures = []
    async with (
        Simulator(rooms=100, recordings_per_room=3, latency=0.5, reads_per_second=None) as sim,
        sim.client(limiter=RateLimiter(reads_per_second=None)) as client,
    ):

        async def endless() -> AsyncIterator[str]:
            while True:
                for room_sid in sim.room_sids:
                    yield room_sid

        async def run() -> None:
            async for _ in client.as_completed(endless()):
                pass

        running = asyncio.create_task(run())
        for limit in (100, 40, 160):
            sim.concurrency_limit = limit
            await asyncio.sleep(settling)
            samples = [await _in_flight(sim) for _ in range(int(measuring / _SAMPLE_INTERVAL))]
            name = f"used of a hidden concurrency limit of {limit}, on real sockets"
            figures.append(Figure(name, statistics.mean(samples) / limit * 100, "%", "at least 95"))
        refused = sim.stats.refused / sim.stats.requests * 100
        figures.append(Figure("requests refused meanwhile", refused, "%", "at most 2"))
        running.cancel()
        await asyncio.wait([running])
    return iter(figures)


async def _in_flight(sim: Simulator) -> int:
    await asyncio.sleep(_SAMPLE_INTERVAL)
    return min(sim.stats.in_flight, sim.concurrency_limit or 0)


async def memory(rooms: int) -> Iterator[Figure]:
    """Stream 20 recordings per room; the SIDs are generated on demand."""
    with Server() as server:
        async with _client(server.base_url, RateLimiter(reads_per_second=None)) as client:
            before = 0
            begin = time.perf_counter()
            count = 0
            async for _ in client.stream((room_sid(1, 20, n) for n in range(rooms)), page_size=20):
                count += 1
                if count == rooms:  # a twentieth of them: connections are open and caches filled
                    gc.collect()
                    before = _peak()
            seconds = time.perf_counter() - begin
        assert count == rooms * 20
    return iter(
        [
            Figure(f"peak memory growth while streaming {count:,} recordings", (_peak() - before) / 1024, "MiB", "30"),
            Figure("recordings per second meanwhile, 20 per request", count / seconds, "", ""),
        ]
    )


def import_time(rounds: int) -> Iterator[Figure]:
    """Compare the CPU time of fresh interpreters, in turns, with the bytecode cached by a first import."""
    times: dict[str, list[float]] = {"aiohttp": [], "roomrec_async": []}
    with tempfile.TemporaryDirectory() as cache:
        cached = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        subprocess.run([sys.executable, "-c", "import roomrec_async"], check=True, env=cached)
        for _ in range(rounds):
            for module, seconds in times.items():
                before = _cpu_of_children()
                subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=cached)
                seconds.append(_cpu_of_children() - before)
    medians = {module: statistics.median(seconds) for module, seconds in times.items()}
    ratio = medians["roomrec_async"] / medians["aiohttp"]
    yield Figure("import roomrec_async over import aiohttp, CPU time", ratio, "x", "at most 1.10")


async def compression(lists: int) -> Iterator[Figure]:
    """Compare the client's CPU time for pages of 1000 records: plain, and with gzip by either of aiohttp's backends."""
    figures = []
    with Server() as server:
        for name, headers, backend in (
            ("plain", {}, zlib),
            ("gzip", {"X-Compressed": "1"}, zlib),
            ("gzip, aiohttp.set_zlib_backend(isal_zlib)", {"X-Compressed": "1"}, isal_zlib),
        ):
            aiohttp.set_zlib_backend(backend)
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                _client(server.base_url, RateLimiter(reads_per_second=None), session) as client,
            ):
                begin = time.process_time()
                for _ in range(lists):
                    assert len(await client.recordings(room_sid(1, 1000)).to_list()) == 1000
                used = (time.process_time() - begin) / lists
            figures.append(Figure(f"CPU per recording, 1000 per page, {name}", used * 1e3, "us", ""))
    aiohttp.set_zlib_backend(zlib)
    return iter(figures)


def _client(base_url: str, limiter: RateLimiter, session: aiohttp.ClientSession | None = None) -> RecordingsClient:
    return RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=base_url, limiter=limiter, session=session)


def _cpu_of_children() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
