"""Run at full rate under random faults for a long time: memory, descriptors and tasks must not grow.

``python -m tests.endurance.soak [MINUTES]`` prints the figures, and fails if one has grown.
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
WORKERS = 8
# Requests without a fault for each one with a fault.
HEALTHY_REQUESTS = 9
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
    """Resources of the process at one time: MiB of memory, open file descriptors, and asyncio tasks."""

    memory: float
    descriptors: int
    tasks: int


def take_sample() -> Sample:
    """Return the resources that the process uses at present."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Sample(memory, len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()))


async def serve() -> None:
    """Run the simulator, with a fault for one request in ten, until standard input ends."""
    rng = random.Random(1)
    async with Simulator(
        ROOMS, (0, 60), media_size=(0, 300_000), reads_per_second=None, writes_per_second=None, concurrency_limit=60
    ) as sim:
        print(sim.base_url, sim.credentials.username, sim.credentials.password, *sim.room_sids, flush=True)
        stdin_closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not stdin_closed.done():
            for origin in (sim, sim.store):
                if not origin._injected_faults:
                    origin.inject(faults.StallHeaders(0), times=HEALTHY_REQUESTS)
                    origin.inject(rng.choice(FAULTS))
            await asyncio.sleep(0.005)


async def work(client: RecordingsClient, room_sids: list[str], outcomes: Counter[str], until: float) -> None:
    """List and download until the given time; count what succeeded, and errors by their class."""
    rng = random.Random()
    while time.monotonic() < until:
        rooms = rng.sample(room_sids, 20)
        try:
            if rng.random() < 0.3:
                await client.gather(rooms, return_exceptions=True, page_size=20)
            else:
                await download_some(client, rooms, outcomes)
        except RoomRecError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["rounds"] += 1


async def download_some(client: RecordingsClient, rooms: list[str], outcomes: Counter[str]) -> None:
    stream = client.stream(rooms, status="completed", limit=2)
    with tempfile.TemporaryDirectory() as directory:
        async with contextlib.aclosing(stream):
            async for recording in stream:
                try:
                    await client.download(recording, directory)
                    outcomes["downloads"] += 1
                except RoomRecError as error:
                    outcomes[type(error).__name__] += 1


async def soak(minutes: float) -> list[Sample]:
    """Run for some minutes; return samples that are evenly spread over the last nine tenths of the time."""
    with subprocess.Popen(  # noqa: ASYNC220  before anything else runs
        [sys.executable, "-m", "tests.endurance.soak", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        base_url, username, password, *room_sids = server.stdout.readline().split()
        outcomes: Counter[str] = Counter()
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
                for _ in range(WORKERS):
                    group.create_task(work(client, room_sids, outcomes, until))
                await asyncio.sleep(minutes * 6)
                while time.monotonic() < until:
                    samples.append(take_sample())
                    await asyncio.sleep(minutes * 54 / SAMPLES)
            assert outcomes["rounds"] > 0
            assert outcomes["downloads"] > 0
            assert client.limiter.in_flight == client.limiter.waiting == 0
        server.communicate("")
    print(", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common()))
    return samples


def main(minutes: float) -> None:
    """Run, and compare the samples of the first half with those of the second."""
    samples = asyncio.run(soak(minutes))
    half = len(samples) // 2
    for name, max_growth in (("memory", 8.0), ("descriptors", 20.0), ("tasks", 20.0)):
        before, after = (
            statistics.median(getattr(each, name) for each in part) for part in (samples[:half], samples[half:])
        )
        print(f"{name}: median {before:,.1f} in the first half, {after:,.1f} in the second")
        if after > before + max_growth:
            sys.exit(f"{name} has grown")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 30)
