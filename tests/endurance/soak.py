"""Full rate under random faults for a long time: memory, descriptors and tasks stay flat.

``python -m tests.endurance.soak [MINUTES]`` prints its figures, and fails if one has grown.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import attrs

from roomrec_async import Credentials, RateLimiter, RecordingsClient, RetryPolicy, RoomRecError, Timeout
from roomrec_async.simulator import Simulator, faults

ROOMS = 400
SAMPLES = 40
FAULTS: list[faults.Fault] = [
    faults.Reset(),
    faults.ResetMidBody(after=100),
    faults.Truncate(after=100),
    faults.StallBody(after=50, seconds=1),
    faults.CloseConnection(),
    faults.Respond(429),
    faults.Respond(500),
    faults.Respond(503, headers={"Retry-After": "0"}),
    faults.Respond(200, b"<html>"),
    faults.Replace(lambda body: body[:-1]),
]


@attrs.frozen
class Sample:
    """What the process has at one time."""

    memory: float
    descriptors: int
    tasks: int


def sample() -> Sample:
    """Now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Sample(memory, len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()))


async def serve() -> None:
    """The simulator, with a fault for one request in ten, until its standard input ends."""
    chance = random.Random(1)
    async with Simulator(
        ROOMS, (0, 60), media_size=(0, 300_000), reads_per_second=None, writes_per_second=None, concurrency_limit=60
    ) as sim:
        print(sim.base_url, sim.credentials.username, sim.credentials.password, *sim.room_sids, flush=True)
        ending = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not ending.done():
            for origin in (sim, sim.store):
                if not origin._injected:
                    for _ in range(9):
                        origin.inject(faults.StallHeaders(0))
                    origin.inject(chance.choice(FAULTS))
            await asyncio.sleep(0.005)


async def work(client: RecordingsClient, room_sids: list[str], done: Counter[str], until: float) -> None:
    """Lists and downloads, again and again; what fails is counted."""
    chance = random.Random()
    while time.monotonic() < until:
        rooms = chance.sample(room_sids, 20)
        try:
            if chance.random() < 0.3:
                await client.gather(rooms, return_exceptions=True, page_size=20)
            else:
                await _download_some(client, rooms, done)
        except RoomRecError as error:
            done[type(error).__name__] += 1
        else:
            done["rounds"] += 1


async def _download_some(client: RecordingsClient, rooms: list[str], done: Counter[str]) -> None:
    stream = client.stream(rooms, status="completed", limit=2)
    with tempfile.TemporaryDirectory() as directory:
        async with contextlib.aclosing(stream):
            async for recording in stream:
                try:
                    await client.download(recording, directory)
                    done["downloads"] += 1
                except RoomRecError as error:
                    done[type(error).__name__] += 1


async def soak(minutes: float) -> list[Sample]:
    """Samples, evenly spread over the time after a tenth of it."""
    with subprocess.Popen(  # noqa: ASYNC220  before anything else runs
        [sys.executable, "-m", "tests.endurance.soak", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        base_url, username, password, *room_sids = server.stdout.readline().split()
        done: Counter[str] = Counter()
        until = time.monotonic() + minutes * 60
        samples: list[Sample] = []
        async with RecordingsClient(
            Credentials(username, password),
            base_url=base_url,
            limiter=RateLimiter("auto", None, None),
            retry=RetryPolicy(base_delay=0.01, budget=1_000_000),
            timeout=Timeout(total=20, read=0.5),
        ) as client:
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(work(client, room_sids, done, until))
                await asyncio.sleep(minutes * 6)
                while time.monotonic() < until:
                    samples.append(sample())
                    await asyncio.sleep(minutes * 54 / SAMPLES)
            assert client.limiter.in_flight == client.limiter.waiting == 0
        server.communicate("")
    print(", ".join(f"{count:,} {what}" for what, count in done.most_common()))
    return samples


def main(minutes: float) -> None:
    """Compare the first half with the second."""
    samples = asyncio.run(soak(minutes))
    half = len(samples) // 2
    for name, most in (("memory", 8.0), ("descriptors", 20.0), ("tasks", 20.0)):
        before, after = (
            statistics.median(getattr(each, name) for each in part) for part in (samples[:half], samples[half:])
        )
        print(f"{name}: median {before:,.1f} in the first half, {after:,.1f} in the second")
        if after > before + most:
            sys.exit(f"{name} has grown")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 30)
