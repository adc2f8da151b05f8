"""The server of both origins: the requests that it keeps and counts, and the faults that it injects."""

import asyncio

import pytest

from roomrec_async.errors import InvalidArgumentError
from roomrec_async.simulator import faults

from .raw_http import ok, room_list


async def test_requests_are_kept_as_they_came(sim, http):
    url = room_list(sim, sim.room_sids[0], Status="failed")
    await ok(http, url)
    received = sim.requests[-1]
    assert (received.method, received.path, received.status) == ("GET", url.path, 200)
    assert received.query_string == "Status=failed"
    assert received.headers["Authorization"] == sim.credentials.authorization
    assert abs(received.arrived_at - asyncio.get_running_loop().time()) < 5
    assert (sim.stats.requests, sim.stats.by_status, sim.stats.connections) == (1, {200: 1}, 1)


async def test_a_fault_happens_as_often_as_it_was_injected(sim, http):
    url = room_list(sim, sim.room_sids[0])
    sim.inject(faults.Respond(503), times=2, path_contains="Recordings")
    await ok(http, f"{sim.base_url}/v1/Rooms")
    assert [(await http.get(url)).status for _ in range(3)] == [503, 503, 200]


async def test_several_faults_happen_one_after_another(sim, http):
    url = room_list(sim, sim.room_sids[0])
    sim.inject(faults.Respond(500))
    sim.inject(faults.Respond(502), times=None)
    assert [(await http.get(url)).status for _ in range(4)] == [500, 502, 502, 502]
    sim.clear_faults()
    await ok(http, url)


@pytest.mark.parametrize("times", [0, -1])
async def test_a_fault_cannot_be_injected_less_than_once(sim, times):
    with pytest.raises(InvalidArgumentError, match=r"^times must be an integer from 1, or None"):
        sim.inject(faults.Reset(), times=times)
