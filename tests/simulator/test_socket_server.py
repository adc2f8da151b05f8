"""Starting and stopping the simulator, in an event loop and in a thread."""

import asyncio
import gc
import json
import socket
import threading
import time
import urllib.request
import warnings
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp
import pytest

from roomrec_async.simulator import Simulator, faults

from .raw_http import room_list, session_of, unlimited


def test_it_runs_in_a_thread_for_synchronous_programs():
    before = set(threading.enumerate())
    simulator = Simulator(2, 3)
    for _ in range(2):
        with simulator as sim:
            assert simulator is sim
            request = urllib.request.Request(str(room_list(sim, sim.room_sids[0])))
            request.add_header("Authorization", sim.credentials.authorization)
            with urllib.request.urlopen(request, timeout=10) as response:
                assert len(json.load(response)["recordings"]) == 3
            with pytest.raises(RuntimeError, match="running already"):
                sim.__enter__()
            address = urlsplit(sim.base_url)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.hostname, address.port))
        with pytest.raises(RuntimeError, match="not running"):
            _ = simulator.base_url
    assert set(threading.enumerate()) == before


def test_a_port_in_use_is_an_error_in_both_forms():
    with Simulator() as sim:
        taken = Simulator(port=urlsplit(sim.base_url).port)
        with pytest.raises(OSError, match="address already in use"):
            taken.__enter__()

        async def start() -> None:
            async with taken:
                pass

        with pytest.raises(OSError, match="address already in use"):
            asyncio.run(start())


async def test_stopping_does_not_wait_for_stalled_requests():
    sim = unlimited(1, 5)
    async with session_of(sim) as http:
        async with sim:
            sim.inject(faults.StallHeaders(60))
            sim.inject(faults.StallBody(3, 60))
            url = room_list(sim, sim.room_sids[0])

            async def read() -> None:
                async with http.get(url) as response:
                    await response.read()

            tasks = [asyncio.create_task(read()) for _ in range(2)]
            while sim.stats.in_flight < 2:
                await asyncio.sleep(0.01)
            stopping = time.perf_counter()
        assert time.perf_counter() - stopping < 20
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientError) for result in results), results
        assert sim.stats.in_flight == 0


@pytest.mark.parametrize("turns", range(7))
def test_connections_that_were_accepted_just_now_are_closed(turns: int) -> None:
    async def connect_and_stop() -> list[socket.socket]:
        async with Simulator(1, 1) as sim:
            address = urlsplit(sim.base_url)
            clients = [socket.create_connection((address.hostname, address.port)) for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
        return clients

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clients = asyncio.run(connect_and_stop())
        gc.collect()
    for client in clients:
        client.settimeout(5)
        with client, suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert [str(each.message) for each in caught] == []
