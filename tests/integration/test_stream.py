"""Response bodies on real sockets: how much is read, how much is held, and what a broken one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async import RequestTimeoutError, Timeout
from roomrec_async._http.request import WHOLE_OR_PARTIAL, PendingRequest, no_content
from roomrec_async._http.stream import ResponseStream, read_body
from roomrec_async._http.timers import SharedTimer
from roomrec_async.errors import ConnectionFailedError
from roomrec_async.events import Operation

CHUNK = bytes(range(256)) * 256
CLOSING = web.AppKey("closing", asyncio.Event)


async def chunked(request: web.Request) -> web.StreamResponse:
    """As many chunks of 64 KiB as the query says, without a Content-Length."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.query["chunks"])):
        await response.write(CHUNK)
    if "cut" in request.query:
        assert request.transport is not None
        request.transport.abort()
    return response


async def silent(request: web.Request) -> web.StreamResponse:
    """One chunk, and then nothing more."""
    response = web.StreamResponse(headers={"Content-Length": str(2 * len(CHUNK))})
    await response.prepare(request)
    await response.write(CHUNK)
    await request.app[CLOSING].wait()
    return response


async def fixed(request: web.Request) -> web.Response:
    return web.Response(body=CHUNK * int(request.query["chunks"]))


@pytest.fixture
async def url() -> AsyncIterator[Callable[[str], str]]:
    app = web.Application()
    app[CLOSING] = asyncio.Event()
    app.add_routes([web.get("/chunked", chunked), web.get("/silent", silent), web.get("/fixed", fixed)])
    async with TestServer(app) as server:
        yield lambda path: str(server.make_url("/")).rstrip("/") + path
        app[CLOSING].set()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize("path", ["/fixed?chunks=0", "/fixed?chunks=1", "/fixed?chunks=40", "/chunked?chunks=40"])
async def test_a_body_is_read_whole(path: str, url: Callable[[str], str], session: aiohttp.ClientSession) -> None:
    timer = SharedTimer()
    with timer.scope_for(5) as scope:
        response = await session.get(url(path))
        body = await read_body(response, 2**30, Timeout(read=5), scope)
    count = int(path.partition("chunks=")[2])
    assert body is not None
    assert body == CHUNK * count


@pytest.mark.parametrize("path", ["/fixed", "/chunked"])
@pytest.mark.parametrize(("limit", "fits"), [(0, True), (1, False)])
async def test_a_body_of_one_byte_too_many_is_not_read(
    path: str, limit: int, fits: bool, url: Callable[[str], str], session: aiohttp.ClientSession
) -> None:
    timer = SharedTimer()
    with timer.scope_for(5) as scope:
        response = await session.get(url(f"{path}?chunks=30"))
        body = await read_body(response, 30 * len(CHUNK) - limit, Timeout(read=5), scope)
    assert (body is not None) == fits
    # What was not read to its end cannot be used again.
    assert response.connection is None


def stream(response: aiohttp.ClientResponse, read: float) -> ResponseStream:
    operation, url = Operation("download", "/x"), response.url.with_query(None)
    request: PendingRequest[None] = PendingRequest(operation, "GET", url, WHOLE_OR_PARTIAL, no_content, 1)
    return ResponseStream(request, Timeout(read=read), response, SharedTimer())


async def test_media_come_in_batches_with_nothing_lost(
    url: Callable[[str], str], session: aiohttp.ClientSession
) -> None:
    response = await session.get(url("/chunked?chunks=50"))
    batches = [batch async for batch in stream(response, 5).batches()]
    assert b"".join(chunk for batch in batches for chunk in batch) == CHUNK * 50
    assert len(batches) < 50


async def test_what_came_before_a_break_is_delivered_first(
    url: Callable[[str], str], session: aiohttp.ClientSession
) -> None:
    media = stream(await session.get(url("/chunked?chunks=3&cut=1")), 5)
    received = b""
    with pytest.raises(ConnectionFailedError):
        async for batch in media.batches():
            received += b"".join(batch)
    media.close()
    assert received == CHUNK * 3


async def test_a_stream_that_falls_silent_ends_in_time(
    url: Callable[[str], str], session: aiohttp.ClientSession
) -> None:
    media = stream(await session.get(url("/silent")), 0.2)
    received = b""
    with pytest.raises(RequestTimeoutError, match=r"nothing received for 0\.2 s"):
        async for batch in media.batches():
            received += b"".join(batch)
    media.close()
    assert received == CHUNK
