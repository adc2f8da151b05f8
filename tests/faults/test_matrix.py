"""Every operation under every fault: the right result or a documented error, in time, and nothing left behind.

``python -m pytest tests/faults --verbose`` prints the outcomes.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from roomrec_async import Bounds, RateLimiter, RecordingsClient, RetryPolicy, RoomRecError, Timeout
from roomrec_async.simulator import Simulator

from .conftest import Outcomes
from .faults import FAULTS, FAULTS_OF_THE_STORE
from .operations import OPERATIONS, ArchiveFailedError, Operation

TOTAL_TIMEOUT = 0.4
# Seconds after which an operation hangs: several requests, each with retries and a timeout of its own.
MAX_SECONDS = 8.0
MEDIA_SIZE = 3000


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=3, recordings_per_room=12, seed=1, media_size=MEDIA_SIZE, reads_per_second=None, writes_per_second=None
    ) as simulator:
        yield simulator


def impatient_client(sim: Simulator, limiter: RateLimiter) -> RecordingsClient:
    return RecordingsClient(
        sim.credentials,
        base_url=sim.base_url,
        limiter=limiter,
        retry=RetryPolicy(base_delay=0, max_attempts=3),
        timeout=Timeout(total=TOTAL_TIMEOUT, connect=0.2, read=0.1),
        bounds=Bounds(max_response_bytes=2**20, max_pages=40),
    )


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("name", FAULTS)
async def test_every_operation(
    name: str, times: int | None, sim: Simulator, tmp_path: Path, outcomes: Outcomes
) -> None:
    for operation in OPERATIONS:
        expected = await run_without_faults(operation, sim, tmp_path / operation.__name__ / "expected")
        sim.account.deletions.clear()
        sim.inject(FAULTS[name], times=times)
        sim.store.inject(FAULTS_OF_THE_STORE[name], times=times)
        outcome = await run_with_faults(operation, sim, tmp_path / operation.__name__, expected)
        outcomes[name, "once" if times else "always", operation.__name__] = outcome
        sim.clear_faults()
        sim.store.clear_faults()
        sim.account.deletions.clear()


async def run_without_faults(operation: Operation, sim: Simulator, directory: Path) -> object:
    directory.mkdir(parents=True)
    async with sim.client(limiter=RateLimiter(None, None, None)) as client:
        return await operation(client, sim, directory)


async def run_with_faults(operation: Operation, sim: Simulator, directory: Path, expected: object) -> str:
    """Run an operation, check what holds whatever the fault, and return the outcome."""
    server_tasks = asyncio.all_tasks()
    limiter = RateLimiter(8, None, None)
    client = impatient_client(sim, limiter)
    outcome = "the right result"
    async with client:
        try:
            async with asyncio.timeout(MAX_SECONDS):
                result = await operation(client, sim, directory)
        except (RoomRecError, ArchiveFailedError) as error:
            assert str(error)
            outcome = type(error).__name__
        else:
            assert result == expected
        # Without the tasks of the server, one for each connection.
        left = {task for task in asyncio.all_tasks() - server_tasks if "RequestHandler" not in repr(task)}
        assert not left
        assert limiter.in_flight == limiter.waiting == 0
        session = client._transport._sessions._owned_session
        assert session is None or session.connector is None or not session.connector._acquired
    complete = [path for path in directory.rglob("*") if path.suffix in {".mka", ".mkv"} or path.name == "media"]
    assert all(path.stat().st_size == MEDIA_SIZE for path in complete)
    return outcome


async def test_a_connection_that_is_refused(sim: Simulator, tmp_path: Path, outcomes: Outcomes) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    for operation in OPERATIONS:
        limiter = RateLimiter(None, None, None)
        (tmp_path / operation.__name__).mkdir()
        async with RecordingsClient(
            sim.credentials,
            base_url=f"http://127.0.0.1:{port}",
            limiter=limiter,
            retry=RetryPolicy(base_delay=0, max_attempts=2),
        ) as client:
            with pytest.raises((RoomRecError, ArchiveFailedError)) as caught:
                await operation(client, sim, tmp_path / operation.__name__)
        outcomes["connection refused", "always", operation.__name__] = type(caught.value).__name__
        assert limiter.in_flight == 0


@pytest.mark.parametrize("name", ["TLS, wrong name", "TLS, expired certificate"])
async def test_certificates(name: str, sim: Simulator, tmp_path: Path, outcomes: Outcomes) -> None:
    authority = trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        authority.issue_cert("elsewhere.example")
        if name == "TLS, wrong name"
        else authority.issue_cert("127.0.0.1", not_after=yesterday)
    )
    client_context = ssl.create_default_context()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client_context)
    certificate.configure_cert(server_context)
    received: list[str] = []

    async def receive(request: web.BaseRequest) -> web.Response:
        received.append(request.path)
        return web.Response()

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context)
    await site.start()
    try:
        for operation in OPERATIONS:
            (tmp_path / operation.__name__).mkdir()
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_context)) as session:
                client = RecordingsClient(
                    sim.credentials, session=session, base_url=f"https://127.0.0.1:{runner.addresses[0][1]}"
                )
                async with client:
                    with pytest.raises((RoomRecError, ArchiveFailedError), match="certificate") as caught:
                        await operation(client, sim, tmp_path / operation.__name__)
            outcomes[name, "always", operation.__name__] = type(caught.value).__name__
    finally:
        await runner.cleanup()
        with suppress(RuntimeError):
            gc.collect()
    assert received == []
