"""Closing a client ends everything that is under way, at once and with one error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from roomrec_async import (
    ClientClosedError,
    RateLimiter,
    Recording,
    RecordingsClient,
    RetryPolicy,
    Timeout,
    TransportError,
)

from .raw_server import CREDENTIALS, ROOM_SID, RawServer, Request, page, raw_server, response

MEDIA = Recording(sid="RT" + "1" * 32, room_sid=ROOM_SID, size=300_000)
ROOMS = [f"RM{number:032x}" for number in range(20)]


async def stalling(request: Request) -> bytes | None:
    """The first 100 bytes of a body, and then nothing for a minute."""
    if request.target.endswith("/Media"):
        location = json.dumps({"redirect_to": f"http://{request.headers['host']}/store?signature"})
        return response(location.encode(), "302 Found")
    body = page(50) if "/v1/" in request.target else bytes(300_000)
    request.connection.writer.write(response(body)[: -len(body) + 100])
    await asyncio.sleep(60)
    return None


async def endless() -> AsyncIterator[str]:
    """A source of rooms that has none at present."""
    await asyncio.sleep(60)
    yield ROOM_SID


async def consume(results: Any) -> None:
    async for _ in results:
        pass


OPERATIONS: dict[str, Callable[[RecordingsClient, Path], Awaitable[Any]]] = {
    "to_list": lambda client, _: client.recordings(ROOM_SID).to_list(),
    "iterate": lambda client, _: consume(client.recordings(ROOM_SID)),
    "recording": lambda client, _: client.recording(ROOM_SID, "RT" + "1" * 32),
    "delete": lambda client, _: client.delete(ROOM_SID, "RT" + "1" * 32),
    "gather": lambda client, _: client.gather(ROOMS),
    "gather with exceptions": lambda client, _: client.gather(ROOMS, return_exceptions=True),
    "as_completed": lambda client, _: consume(client.as_completed(ROOMS)),
    "stream": lambda client, _: consume(client.stream(ROOMS)),
    "an idle source": lambda client, _: consume(client.as_completed(endless())),
    "download": lambda client, directory: client.download(MEDIA, directory / "media.mka"),
    "archive": lambda client, directory: client.archive(ROOMS, directory, manifest=("jsonl",)),
}


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(stalling) as running:
        yield running


@pytest.mark.parametrize("lent", [False, True], ids=["own session", "lent session"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_everything_under_way_ends_within_a_second(
    name: str, lent: bool, server: RawServer, tmp_path: Path
) -> None:
    session = aiohttp.ClientSession() if lent else None
    limiter = RateLimiter(10, None, None)
    client = RecordingsClient(CREDENTIALS, base_url=server.url, session=session, limiter=limiter)
    operation = asyncio.ensure_future(OPERATIONS[name](client, tmp_path))
    await asyncio.sleep(0.2)
    assert not operation.done()
    await client.aclose()
    async with asyncio.timeout(1):
        with pytest.raises(ClientClosedError, match="the client is closed"):
            await operation
    assert (limiter.in_flight, limiter.waiting) == (0, 0)
    if session is not None:
        assert not session.closed
        await session.close()


@pytest.mark.parametrize("waiting_for", ["a permit", "the next attempt"])
async def test_a_request_that_waits_ends_as_well(waiting_for: str) -> None:
    async def handle(_: Request) -> bytes | None:
        if waiting_for == "a permit":
            await asyncio.sleep(60)
        return response(b"", "503 Service Unavailable")

    limiter = RateLimiter(1, None, None)
    async with raw_server(handle) as server:
        client = RecordingsClient(
            CREDENTIALS, base_url=server.url, limiter=limiter, retry=RetryPolicy(base_delay=60, max_delay=60)
        )
        operations = [asyncio.ensure_future(client.recordings(ROOM_SID).to_list()) for _ in range(3)]
        await asyncio.sleep(0.2)
        await client.aclose()
        async with asyncio.timeout(1):
            results = await asyncio.gather(*operations, return_exceptions=True)
    assert {type(result) for result in results} == {ClientClosedError}
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_an_iteration_that_is_between_two_pages_ends_at_its_next_step() -> None:
    async def handle(_: Request) -> bytes:
        return response(page(2, "https://video.example/v1/x?PageToken=next"))

    async with raw_server(handle) as pages:
        client = RecordingsClient(CREDENTIALS, base_url=pages.url)
        records = aiter(client.recordings(ROOM_SID, prefetch=False))
        await anext(records)
        await anext(records)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await anext(records)


async def test_a_cancellation_at_the_same_moment_stays_a_cancellation(server: RawServer) -> None:
    client = RecordingsClient(CREDENTIALS, base_url=server.url)
    operation = asyncio.ensure_future(client.recordings(ROOM_SID).to_list())
    await asyncio.sleep(0.2)
    operation.cancel()
    await client.aclose()
    with pytest.raises(asyncio.CancelledError):
        await operation


async def test_no_timer_is_left_and_closing_again_does_nothing(server: RawServer) -> None:
    client = RecordingsClient(CREDENTIALS, base_url=server.url)
    operation = asyncio.ensure_future(client.recordings(ROOM_SID).to_list())
    await asyncio.sleep(0.2)
    await client.aclose()
    await client.aclose()
    await asyncio.wait([operation])
    assert isinstance(operation.exception(), ClientClosedError)
    timer = client._transport._timer
    assert timer._scopes == set()
    assert timer._handle is None or timer._handle.cancelled()


@pytest.mark.parametrize("name", ["to_list", "gather", "delete", "download"])
async def test_a_lent_connector_that_its_owner_closes_fails_the_request_and_cancels_nobody(
    name: str, server: RawServer, tmp_path: Path
) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    limiter = RateLimiter(10, None, None)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = RecordingsClient(
            CREDENTIALS,
            base_url=server.url,
            session=session,
            limiter=limiter,
            retry=RetryPolicy(max_attempts=1),
            # aiohttp does not wake whoever reads from a connection that its connector closes.
            timeout=Timeout(read=0.5),
        )
        # The other one waits for the only connection.
        operations = [asyncio.ensure_future(OPERATIONS[name](client, tmp_path / str(n))) for n in range(2)]
        await asyncio.sleep(0.2)
        await connector.close()
        async with asyncio.timeout(1):
            results = await asyncio.gather(*operations, return_exceptions=True)
        assert all(isinstance(result, (TransportError, ClientClosedError)) for result in results), results
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_closing_that_is_cancelled_again_and_again_still_closes_the_connections(server: RawServer) -> None:
    client = RecordingsClient(CREDENTIALS, base_url=server.url)
    operation = asyncio.ensure_future(shielded(client))
    await asyncio.sleep(0.2)
    session = client._transport._sessions.for_api()

    closing = asyncio.create_task(client.aclose())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert session.closed
    operation.cancel()
    await asyncio.wait([operation])


async def shielded(client: RecordingsClient) -> None:
    """List, and keep the operation open for as long as closing waits for it."""
    try:
        await client.recordings(ROOM_SID).to_list()
    finally:
        await asyncio.sleep(60)
