"""The faults, over raw HTTP: what a client sees of each."""

import asyncio
import logging

import aiohttp
import pytest
from yarl import URL

from roomrec_async.simulator import faults

from .raw_http import ok, room_list


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.Reset(), aiohttp.ClientConnectionError),
        (faults.ResetMidBody(after=100), aiohttp.ClientError),
        (faults.Truncate(after=100), aiohttp.ClientPayloadError),
        (faults.StallHeaders(30), TimeoutError),
        (faults.StallBody(after=100, seconds=30), TimeoutError),
        (faults.SlowDrip(bytes_per_second=500), TimeoutError),
    ],
)
async def test_faults_that_break_a_response(sim, http, fault, error, caplog):
    caplog.set_level(logging.DEBUG)
    # aiohttp's own client sends a request again, once, when its connection is lost before the headers.
    sim.inject(fault, times=2 if isinstance(fault, faults.Reset) else 1)
    url = room_list(sim, sim.room_sids[0])
    with pytest.raises(error):
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=0.3)) as response:
            await response.read()
    assert (await ok(http, url))["recordings"]
    await asyncio.sleep(0.05)
    assert sim.stats.in_flight == 0
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_reset_is_seen_as_a_reset(sim):
    for fault, got in ((faults.Reset(), b""), (faults.ResetMidBody(after=7), b'{"meta"')):
        sim.inject(fault)
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(sim.base_url).port)
        path = room_list(sim, sim.room_sids[0]).raw_path
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {sim.credentials.authorization}\r\n\r\n".encode()
        )
        received = bytearray()

        async def read_on(reader: asyncio.StreamReader, received: bytearray) -> None:
            while True:
                received += await reader.readexactly(1)

        with pytest.raises(ConnectionResetError):
            await read_on(reader, received)
        assert received.partition(b"\r\n\r\n")[2] == got
        writer.close()


async def test_faults_that_change_a_response(sim, http):
    url = room_list(sim, sim.room_sids[0])
    sim.inject(faults.Respond(503, b"<h1>no</h1>", {"Retry-After": "1"}), times=2, path_contains="Recordings")
    sim.inject(faults.Replace(lambda body: body.replace(b'"meta"', b'"Meta"')))
    assert "meta" not in await ok(http, f"{sim.base_url}/v1/Rooms")
    for _ in range(2):
        async with http.get(url) as response:
            assert (response.status, response.content_type) == (503, "text/html")
            assert (await response.read(), response.headers["Retry-After"]) == (b"<h1>no</h1>", "1")
    sim.inject(faults.Respond(500), times=None)
    assert [(await http.get(url)).status for _ in range(3)] == [500] * 3
    sim.clear_faults()
    for fault in (faults.StallHeaders(0.01), faults.StallBody(5, 0.01), faults.SlowDrip(1e6)):
        sim.inject(fault)
        assert (await ok(http, url))["recordings"] == list(sim.recordings(sim.room_sids[0]))


async def test_a_connection_can_be_closed_behind_the_clients_back(sim, http):
    url = room_list(sim, sim.room_sids[0])
    sim.inject(faults.CloseConnection())
    async with http.get(url) as response:
        assert "Connection" not in response.headers
        await response.read()
    await asyncio.sleep(0.02)
    await ok(http, url)
    assert sim.stats.connections == 2


class _Gone:
    """A fault for a client that disconnects just before the response starts."""

    async def handle(self, exchange, /):
        exchange.close()
        await exchange.start_response()


async def test_a_client_that_is_gone_when_a_fault_sends_is_no_error(sim, http, caplog):
    caplog.set_level(logging.DEBUG)
    sim.inject(_Gone(), times=None)
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.get(room_list(sim, sim.room_sids[0]))
    assert sim.stats.in_flight == 0
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]
