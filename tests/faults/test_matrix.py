"""Every operation under every fault: the exact truth, or one documented error, in time, and nothing left behind.

``python -m pytest tests/faults --matrix`` prints what each cell gave.
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

from .faults import FAULTS, FAULTS_OF_THE_STORE
from .operations import OPERATIONS, ArchiveFailedError, Operation

DEADLINE = 0.4
PATIENCE = 8.0


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=3, recordings_per_room=12, seed=1, media_size=3000, reads_per_second=None, writes_per_second=None
    ) as simulator:
        yield simulator


def impatient(sim: Simulator, limiter: RateLimiter, session: aiohttp.ClientSession | None = None) -> RecordingsClient:
    return RecordingsClient(
        sim.credentials,
        session=session,
        base_url=sim.base_url,
        limiter=limiter,
        retry=RetryPolicy(base_delay=0, max_attempts=3),
        timeout=Timeout(total=DEADLINE, connect=0.2, read=0.1),
        bounds=Bounds(max_response_bytes=2**20, max_pages=40),
    )


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("name", FAULTS)
async def test_every_operation(
    name: str, times: int | None, sim: Simulator, tmp_path: Path, record_cell: dict[tuple[str, str, str], str]
) -> None:
    for operation in OPERATIONS:
        truth = await undisturbed(operation, sim, tmp_path / operation.__name__ / "truth")
        sim.world.deletions.clear()
        sim.inject(FAULTS[name], times=times)
        sim.store.inject(FAULTS_OF_THE_STORE[name], times=times)
        told = await disturbed(operation, sim, tmp_path / operation.__name__, truth)
        record_cell[name, "once" if times else "always", operation.__name__] = told
        sim.clear_faults()
        sim.store.clear_faults()
        sim.world.deletions.clear()


async def undisturbed(operation: Operation, sim: Simulator, directory: Path) -> object:
    directory.mkdir(parents=True)
    async with sim.client(limiter=RateLimiter(None, None, None)) as client:
        return await operation(client, sim, directory)


async def disturbed(operation: Operation, sim: Simulator, directory: Path, truth: object) -> str:
    """What a cell gives, with everything checked that holds in each."""
    servers, limiter = asyncio.all_tasks(), RateLimiter(8, None, None)
    client = impatient(sim, limiter)
    told = "the truth"
    async with client:
        try:
            async with asyncio.timeout(PATIENCE):
                result = await operation(client, sim, directory)
        except (RoomRecError, ArchiveFailedError) as error:
            assert str(error)
            told = type(error).__name__
        else:
            assert result == truth
        left = {task for task in asyncio.all_tasks() - servers if "RequestHandler" not in repr(task)}
        assert not left
        assert limiter.in_flight == limiter.waiting == 0
        own = client._transport._own
        assert own is None or own.connector is None or not own.connector._acquired
    whole = [path for path in directory.rglob("*") if path.suffix in {".mka", ".mkv"} or path.name == "media"]
    assert all(path.stat().st_size == 3000 for path in whole)
    return told


async def test_a_connection_that_is_refused(sim: Simulator, tmp_path: Path, record_cell) -> None:
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
        record_cell["connection refused", "always", operation.__name__] = type(caught.value).__name__
        assert limiter.in_flight == 0


@pytest.mark.parametrize("name", ["TLS, wrong name", "TLS, expired certificate"])
async def test_certificates(name: str, sim: Simulator, tmp_path: Path, record_cell) -> None:
    authority = trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        authority.issue_cert("elsewhere.example")
        if name == "TLS, wrong name"
        else authority.issue_cert("127.0.0.1", not_after=yesterday)
    )
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    certificate.configure_cert(theirs)
    received: list[str] = []

    async def receive(request: web.BaseRequest) -> web.Response:
        received.append(request.path)
        return web.Response()

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=theirs)
    await site.start()
    try:
        for operation in OPERATIONS:
            (tmp_path / operation.__name__).mkdir()
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ours)) as session:
                client = RecordingsClient(
                    sim.credentials, session=session, base_url=f"https://127.0.0.1:{runner.addresses[0][1]}"
                )
                async with client:
                    with pytest.raises((RoomRecError, ArchiveFailedError), match="certificate") as caught:
                        await operation(client, sim, tmp_path / operation.__name__)
            record_cell[name, "always", operation.__name__] = type(caught.value).__name__
    finally:
        await runner.cleanup()
        with suppress(RuntimeError):
            gc.collect()
    assert received == []
