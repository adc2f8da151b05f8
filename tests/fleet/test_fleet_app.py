"""examples/fleet_app.py: a real server with several processes, a real Redis, real clients."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from roomrec_async import Recording, from_dict
from roomrec_async.simulator import Simulator

from .conftest import RedisServer

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EXAMPLE = ROOT / "examples" / "fleet_app.py"
WORKERS = 3
REQUESTS = 320
QUOTA = 80
# Enough to use up the quota, whichever process answers.
AT_ONCE = 40


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    # Without a quota, so that only the limiter holds requests back.
    async with Simulator(
        rooms=40, recordings_per_room=(0, 40), reads_per_second=None, concurrency_limit=20
    ) as simulator:
        yield simulator


def account(sim: Simulator) -> dict[str, str]:
    """Return the simulator's account as environment variables."""
    return {
        "ROOMREC_BASE_URL": sim.base_url,
        "TWILIO_ACCOUNT_SID": sim.credentials.username,
        "TWILIO_AUTH_TOKEN": sim.credentials.password,
    }


async def wait_started(process: Process) -> None:
    """Wait until all workers serve."""
    assert process.stderr is not None
    output = ""
    while len(re.findall("Application startup complete", output)) < WORKERS:
        line = await process.stderr.readline()
        assert line, output
        output += line.decode()


async def test_the_readme(sim: Simulator, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"^```python\n([^`]*RedisRateLimiter.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, README.name, "exec"), names)
    for name, value in account(sim).items():
        monkeypatch.setenv(name, value)
    counted = await names["count"](redis.url, sim.room_sids)
    assert counted == sum(1 for room_sid in sim.room_sids for _ in sim.recordings(room_sid))


async def test_workers_share_the_limits(sim: Simulator, redis: RedisServer) -> None:
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLE,
        *("--port", str(port), "--workers", str(WORKERS)),
        env={
            **os.environ,
            **account(sim),
            "REDIS_URL": redis.url,
        },
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        await wait_started(process)
        asked = [sim.room_sids[number % len(sim.room_sids)] for number in range(REQUESTS)]
        turns = asyncio.Semaphore(AT_ONCE)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def ask(room_sid: str) -> list[Recording]:
                # A new connection each time, so that any of the workers may answer.
                url, headers = f"/rooms/{room_sid}/recordings", {"Connection": "close"}
                async with turns, session.get(url, headers=headers) as response:
                    assert response.status == 200
                    return [from_dict(Recording, record) for record in await response.json()]

            answers = await asyncio.gather(*map(ask, asked))
    finally:
        process.send_signal(signal.SIGTERM)
        _, output = await process.communicate()
    for room_sid, answer in zip(asked, answers, strict=True):
        assert answer == [from_dict(Recording, record) for record in sim.recordings(room_sid)]
    # Busy processors make it longer. Workers that shared nothing would take a third of it.
    arrivals = [request.arrived_at for request in sim.requests]
    assert len(arrivals) == REQUESTS
    assert arrivals[-1] - arrivals[0] > REQUESTS / QUOTA - 1
    assert b"Traceback" not in output, output.decode()
