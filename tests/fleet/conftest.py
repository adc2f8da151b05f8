"""A real Redis on loopback for the tests of this folder, and processes that share a rate limit through it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from redis import Redis
from redis.exceptions import RedisError

from roomrec_async.integrations.redis import RedisRateLimiter
from roomrec_async.simulator import Simulator

LEASE = 3.0
OTHER_NAME = "AC-other"
WORKER = Path(__file__).with_name("worker.py")


class RedisServer:
    """A redis-server process that keeps nothing on disk."""

    def __init__(self, password: str | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.password = password
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            pytest.fail("these tests need a real Redis: apt-get install redis-server (or valkey-server)")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        if self.password:
            options += ["--requirepass", self.password]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "redis-server did not start"
            try:
                with self.client() as client:
                    client.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("redis-server did not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def client(self) -> Redis:
        return Redis.from_url(self.url)

    def calls(self, command: str) -> int:
        """Return how many times a command was called."""
        with self.client() as client:
            return client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)

    def leases(self, name: str) -> int:
        """Return the number of leases in Redis."""
        with self.client() as client:
            return client.zcard(f"roomrec:{{{name}}}:leases")

    def waiters(self, name: str) -> int:
        """Return the number of processes that wait for a read."""
        with self.client() as client:
            return client.zcard(f"roomrec:{{{name}}}:reads")


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """Redis server for all tests that do not stop it."""
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Redis server that the test starts and stops."""
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def known(redis: RedisServer) -> str:
    """Name that Redis knows already, as it does OTHER_NAME: requests start without waiting for the time of a lease."""

    async def first_use(name: str) -> None:
        async with RedisRateLimiter(redis.url, name=name, lease_seconds=LEASE) as limiter, limiter.read():
            pass

    async def first_uses() -> None:
        await asyncio.gather(first_use("AC-known"), first_use(OTHER_NAME))

    asyncio.run(first_uses())
    return "AC-known"


@attrs.frozen
class Worker:
    """A process of the fleet."""

    process: asyncio.subprocess.Process

    async def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        await self.process.stdin.drain()

    async def done(self) -> int:
        """Wait until it has ended well, and return the number of its requests."""
        output, _ = await self.process.communicate()
        assert self.process.returncode == 0
        return int(output)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def fleet(
    count: int, simulator: Simulator, url: str, *, seconds: float, at_once: int, **limiter: object
) -> AsyncIterator[list[Worker]]:
    """Start worker processes, and yield them once they work."""
    orders = {
        "redis": url,
        "limiter": {"lease_seconds": LEASE, **limiter},
        "credentials": [simulator.credentials.account_sid, simulator.credentials.password],
        "base_url": simulator.base_url,
        "room_sid": simulator.room_sids[0],
        "seconds": seconds,
        "at_once": at_once,
    }
    command, pipe = (sys.executable, str(WORKER), json.dumps(orders)), asyncio.subprocess.PIPE
    workers = [Worker(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)) for _ in range(count)]
    try:
        for worker in workers:
            assert await worker.process.stdout.readline() == b"ready\n"
        for worker in workers:
            await worker.go()
        yield workers
    finally:
        for worker in workers:
            if worker.process.returncode is None:
                await worker.kill()


def most_in_a_second(times: list[float]) -> int:
    """Return the largest number of times that lie within one second."""
    times = sorted(times)
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
