"""Responses as they are sent: compressed for those who accept it."""

import gzip
import json

import aiohttp
import pytest

from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID

from .raw_http import room_list


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate", "gzip"), ("*", "gzip"), ("GZIP;q=0.5", "gzip"), ("gzip;q=0", None), ("br", None), ("", None)],
)
async def test_bodies_are_compressed_for_those_who_ask(sim, accepted, encoding):
    headers = {"Authorization": sim.credentials.authorization, "Accept-Encoding": accepted}
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as session:
        async with session.get(room_list(sim, sim.room_sids[0])) as response:
            body = await response.read()
            assert response.headers.get("Content-Encoding") == encoding
            assert json.loads(gzip.decompress(body) if encoding else body)["recordings"]
        async with session.get(room_list(sim, EMPTY_EXAMPLE_ROOM_SID)) as response:
            assert "Content-Encoding" not in response.headers
