"""A real Redis on loopback for the tests of this folder, and processes that share a rate limit through it."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

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
    """A redis-server process that keeps nothing on disk.

    Args:
        password: the password of its default user.
        options: further options of redis-server, such as ``"--maxmemory", "2mb"``.
        port: the port of an earlier one, or a free one.
    """

    def __init__(self, password: str | None = None, *options: str, port: int | None = None) -> None:
        self.port = port or unused_port()
        self.password = password
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self.options = options
        # A replica stores what it gets from its primary, and a node of a cluster what it knows of the others.
        self._files = [Path(tempfile.gettempdir(), f"roomrec-{self.port}.{suffix}") for suffix in ("rdb", "conf")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            pytest.fail("these tests need a real Redis: apt-get install redis-server (or valkey-server)")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *self.options]
        options += ["--dir", str(self._files[0].parent), "--dbfilename", self._files[0].name]
        options += ["--cluster-config-file", self._files[1].name]
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
            for file in self._files:
                file.unlink(missing_ok=True)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

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
        """Return the number of requests that stand at Redis for a read."""
        with self.client() as client:
            return client.zcard(f"roomrec:{{{name}}}:reads")

    def follow(self, primary: RedisServer) -> None:
        """Become a replica of another server, and wait until it has its data."""
        with self.client() as client:
            client.replicaof("127.0.0.1", primary.port)
            deadline = time.monotonic() + 20
            while client.info("replication").get("master_link_status") != "up":
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def promote(self) -> None:
        """Become a primary."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")


class DelayingProxy:
    """Forwards connections to a port, each byte late by half of the round trip; it can stop, and go on.

    Attributes:
        target: the port that new connections lead to.
        round_trip: seconds that it adds to a command and its reply.
    """

    def __init__(self, target: int, round_trip: float = 0.0) -> None:
        self.target = target
        self.round_trip = round_trip
        self._moving = asyncio.Event()
        self._moving.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.go_on()
        self.cut()
        await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Forward nothing; connections stay open, and new ones are accepted."""
        self._moving.clear()

    def go_on(self) -> None:
        self._moving.set()

    def cut(self) -> None:
        """Break all connections."""
        for writer in list(self._writers):
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._forward(reader, far_writer), self._forward(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - loop.time())
                await self._moving.wait()
                if not data:
                    break
                writer.write(data)
            writer.close()

        writing = asyncio.create_task(write())
        with suppress(OSError):
            while data := await reader.read(65536):
                queue.put_nowait((loop.time() + self.round_trip / 2, data))
        queue.put_nowait((loop.time() + self.round_trip / 2, b""))
        with suppress(OSError):
            await writing


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


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
    count: int, simulator: Simulator, url: str | list[str], *, seconds: float, at_once: int, **limiter: object
) -> AsyncIterator[list[Worker]]:
    """Start worker processes, and yield them once they work. Each may have a URL of its own."""
    urls = [url] * count if isinstance(url, str) else url
    orders = {
        "limiter": {"lease_seconds": LEASE, **limiter},
        "credentials": [simulator.credentials.account_sid, simulator.credentials.password],
        "base_url": simulator.base_url,
        "room_sid": simulator.room_sids[0],
        "seconds": seconds,
        "at_once": at_once,
    }
    pipe = asyncio.subprocess.PIPE
    workers = []
    for each in urls:
        command = (sys.executable, str(WORKER), json.dumps({"redis": each, **orders}))
        workers.append(Worker(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)))
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


async def use(limiter: RedisRateLimiter, times: int = 30) -> None:
    """Take permits at once, one in ten for a write."""

    async def request(*, write: bool) -> None:
        async with limiter.write() if write else limiter.read():
            await asyncio.sleep(0.01)

    async with asyncio.timeout(LEASE + 10):
        await asyncio.gather(*(request(write=number % 10 == 0) for number in range(times)))


def most_in_a_second(times: list[float]) -> int:
    """Return the largest number of times that lie within one second."""
    times = sorted(times)
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
