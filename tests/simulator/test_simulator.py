"""The simulator around the API, over raw HTTP: credentials, headers, quotas, latency and settings."""

import asyncio
import json
import time
from collections import Counter

import aiohttp
import pytest
from yarl import URL

from roomrec_async.errors import InvalidArgumentError
from roomrec_async.simulator import Simulator

from .raw_http import (
    account_url,
    all_records,
    delete,
    get,
    media_of,
    ok,
    refused,
    room_list,
    sids,
    stored_records,
)

# Authentication


async def test_both_kinds_of_credentials_are_accepted(sim):
    for credentials in (sim.credentials, sim.api_key_credentials):
        headers = {"Authorization": credentials.authorization.replace("Basic", "basic")}
        async with aiohttp.ClientSession(headers=headers) as session:
            await ok(session, room_list(sim, sim.room_sids[0]))


@pytest.mark.parametrize("authorization", [None, "Basic", "Basic !!", "Bearer x", "account token", "key sid, token"])
async def test_other_credentials_are_refused(sim, authorization):
    made = {
        "account token": aiohttp.encode_basic_auth(sim.credentials.account_sid, "x" * 32),
        "key sid, token": aiohttp.encode_basic_auth(sim.api_key_credentials.username, sim.credentials.password),
    }
    headers = {"Authorization": made.get(authorization, authorization)} if authorization else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        body = await refused(session, room_list(sim, sim.room_sids[0]), 401, 20003)
        assert body["message"] == "Authenticate"
        async with session.get(sim.base_url) as response:
            assert response.headers["WWW-Authenticate"].startswith("Basic")


async def test_wrong_credentials_are_found_before_quotas(sim):
    sim.reads_per_second = 0
    async with aiohttp.ClientSession() as session:
        await refused(session, room_list(sim, sim.room_sids[0]), 401, 20003)


# Headers and latency


@pytest.mark.parametrize("query", [{}, {"PageSize": "0"}])
async def test_every_response_has_the_headers_of_the_reference(sim, http, query):
    async with http.get(room_list(sim, sim.room_sids[0], **query)) as response:
        assert response.headers["Content-Type"] == "application/json"
        for name in ("Origin", "Methods", "Headers"):
            assert response.headers[f"Access-Control-Allow-{name}"]
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Twilio-Concurrent-Requests"] == "1"
        assert len(response.headers["Twilio-Request-Id"]) == 34
        assert response.headers["Twilio-Request-Duration"].split(".")[1].isdigit()


async def test_latency_can_be_a_range(sim, http):
    sim.latency = (0.05, 0.06)
    started = time.perf_counter()
    async with http.get(room_list(sim, sim.room_sids[0])) as response:
        assert float(response.headers["Twilio-Request-Duration"]) >= 0.05
    assert time.perf_counter() - started >= 0.05


# Quotas


async def test_reads_beyond_the_quota_are_429_and_do_not_count(sim, http):
    sim.reads_per_second, sim.retry_after = 5, None
    url = room_list(sim, sim.room_sids[0], PageSize=1)
    statuses = Counter([(await get(http, url))[0] for _ in range(12)])
    assert statuses == {200: 5, 429: 7}
    assert sim.stats.refused == 7
    async with http.delete(url) as response:
        assert response.status == 405, "writes have a quota of their own"
    await refused(http, url, 429, 20429)
    sim.retry_after = "3"
    async with http.get(url) as response:
        assert response.headers["Retry-After"] == "3"
        assert await response.json() == {
            "code": 20429,
            "message": "Too Many Requests",
            "more_info": "https://www.twilio.com/docs/errors/20429",
            "status": 429,
        }
    await asyncio.sleep(1.02)
    async with http.get(url) as response:
        assert response.status == 200
        assert "Retry-After" not in response.headers


async def test_deletions_are_writes_in_the_quota(sim, http):
    sim.writes_per_second = 3
    found = all_records(sim, "completed")[:5]
    assert Counter([await delete(http, record["url"]) for record in found]) == {204: 3, 429: 2}
    assert sim.stats.refused == 2
    gone = sids(all_records(sim, "deleted"))
    assert [record["sid"] in gone for record in found] == [True] * 3 + [False] * 2
    sim.reads_per_second = 0
    await refused(http, found[0]["url"], 429, 20429)
    sim.writes_per_second = None
    assert await delete(http, found[-1]["url"]) == 204, "reads have a quota of their own"


async def test_more_requests_at_once_than_the_limit_are_429(sim, http):
    sim.concurrency_limit, sim.latency = 3, 0.2
    url = room_list(sim, sim.room_sids[0], PageSize=1)
    statuses = Counter(status for status, _ in await asyncio.gather(*(get(http, url) for _ in range(10))))
    assert statuses == {200: 3, 429: 7}
    assert sim.stats.peak_in_flight >= 4
    assert sim.stats.in_flight == 0
    sim.concurrency_limit = 10
    assert {status for status, _ in await asyncio.gather(*(get(http, url) for _ in range(10)))} == {200}


# Settings


@pytest.mark.parametrize("under", ["room", "account"])
@pytest.mark.parametrize(("setting", "status"), [("json", 302), ("location", 302), ("ok", 200)])
async def test_the_three_ways_to_respond_with_the_url_of_media(sim, http, anonymous, setting, status, under):
    sim.media_response = setting
    record = stored_records(sim)[0]
    url = record["links"]["media"] if under == "room" else account_url(sim, record["sid"]) + "/Media"
    async with http.get(url, allow_redirects=False) as response:
        assert response.status == status
        assert response.headers["Twilio-Request-Id"]
        body = await response.read()
        if setting == "location":
            assert body == b""
            signed = response.headers["Location"]
        else:
            assert response.content_type == "application/json"
            assert "Location" not in response.headers
            assert list(json.loads(body)) == ["redirect_to"]
            signed = json.loads(body)["redirect_to"]
    assert signed.startswith(f"{sim.store.base_url}/")
    assert URL(signed).origin() != URL(sim.base_url).origin()
    async with anonymous.get(URL(signed, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, media_of(sim, record["sid"]))


async def test_a_location_can_be_followed(sim, http):
    sim.media_response = "location"
    record = stored_records(sim)[0]
    async with http.get(record["links"]["media"]) as response:
        assert (response.status, await response.read()) == (200, media_of(sim, record["sid"]))
    assert "Authorization" not in sim.store.requests[-1].headers


def test_no_other_response_to_a_second_deletion_can_be_set():
    with pytest.raises(InvalidArgumentError, match="second_delete"):
        Simulator(second_delete=410)


# What tests compare with


async def test_records_are_known_only_for_known_rooms(sim):
    with pytest.raises(LookupError):
        sim.recordings("RM" + "0" * 32)


async def test_it_makes_clients_of_its_account(sim):
    async with sim.client() as client:
        found = [recording.sid async for recording in client.recordings(sim.room_sids[0])]
    assert found == [record["sid"] for record in sim.recordings(sim.room_sids[0])]
