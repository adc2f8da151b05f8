"""The simulator keeps to the reference: checked over raw HTTP, without the library's client."""

import asyncio
import gzip
import json
import logging
import socket
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from collections import Counter
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from itertools import pairwise
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from roomrec_async.errors import InvalidArgumentError
from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID, Simulator, World, faults

pytest_plugins = ["roomrec_async.simulator.pytest_plugin"]

FIELDS = [
    "sid", "url", "size", "type", "codec", "links", "offset", "status", "duration", "room_sid", "source_sid",
    "track_name", "account_sid", "date_created", "date_deleted", "date_updated", "grouping_sids", "encryption_key",
    "container_format", "media_external_location",
]  # fmt: skip
EXAMPLES = files("roomrec_async.simulator") / "examples"


def unlimited(*args, **kwargs) -> Simulator:
    return Simulator(*args, **{"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None} | kwargs)


@pytest.fixture
async def sim():
    async with unlimited(4, (30, 60), seed=2) as simulator:
        yield simulator


@pytest.fixture
async def http(sim):
    async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as session:
        yield session


def list_url(sim, room_sid, **query) -> URL:
    return URL(f"{sim.base_url}/v1/Rooms/{room_sid}/Recordings").with_query(query)


async def get(http, url) -> tuple[int, dict]:
    async with http.get(URL(url, encoded=True) if isinstance(url, str) else url) as response:
        return response.status, await response.json()


async def ok(http, url) -> dict:
    status, body = await get(http, url)
    assert status == 200, body
    return body


async def refused(http, url, status, code) -> dict:
    actual, body = await get(http, url)
    assert (actual, body["status"], body["code"]) == (status, status, code), body
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert list(body) == ["code", "message", "more_info", "status"]
    return body


async def pages(http, url) -> list[dict]:
    found = [await ok(http, url)]
    while found[-1]["meta"]["next_page_url"]:
        found.append(await ok(http, found[-1]["meta"]["next_page_url"]))
    return found


def records(found) -> list[dict]:
    return [record for page in found for record in page["recordings"]]


# Authentication


async def test_both_kinds_of_credentials_are_accepted(sim):
    for credentials in (sim.credentials, sim.api_key_credentials):
        headers = {"Authorization": credentials.authorization.replace("Basic", "basic")}
        async with aiohttp.ClientSession(headers=headers) as session:
            await ok(session, list_url(sim, sim.room_sids[0]))


@pytest.mark.parametrize("authorization", [None, "Basic", "Basic !!", "Bearer x", "account token", "key sid, token"])
async def test_other_credentials_are_refused(sim, authorization):
    made = {
        "account token": aiohttp.encode_basic_auth(sim.credentials.account_sid, "x" * 32),
        "key sid, token": aiohttp.encode_basic_auth(sim.api_key_credentials.username, sim.credentials.password),
    }
    headers = {"Authorization": made.get(authorization, authorization)} if authorization else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        body = await refused(session, list_url(sim, sim.room_sids[0]), 401, 20003)
        assert body["message"] == "Authenticate"
        async with session.get(sim.base_url) as response:
            assert response.headers["WWW-Authenticate"].startswith("Basic")


async def test_credentials_and_data_follow_from_the_seed():
    same, again, other = World(1), World(1), World(2)
    assert (same.credentials, list(same.room_sids)) == (again.credentials, list(again.room_sids))
    assert same.credentials != other.credentials
    assert not set(same.room_sids) & set(other.room_sids)


# What is not there


@pytest.mark.parametrize("sid", ["RM" + "0" * 32, "RM123", "RT" + "a" * 32, "RM" + "g" * 32, "%20", "RM" + "A" * 32])
async def test_an_unknown_or_malformed_room_is_404(sim, http, sid):
    body = await refused(http, f"{sim.base_url}/v1/Rooms/{sid}/Recordings?PageSize=no", 404, 20404)
    assert body["message"].startswith("The requested resource /Rooms/R" if sid[0] == "R" else "The requested resource")
    assert body["message"].endswith("/Recordings was not found")


async def test_a_room_of_another_account_is_404(sim, http):
    await refused(http, list_url(sim, World(99).room_sids[0]), 404, 20404)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/Rooms/x/y", "/v2/Rooms", "/v1/Rooms/"])
async def test_an_unknown_path_is_404(sim, http, path):
    await refused(http, sim.base_url + path, 404, 20404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(sim, http, method):
    async with http.request(method, list_url(sim, sim.room_sids[0])) as response:
        assert (response.status, (await response.json())["code"]) == (405, 20004)
        assert response.headers["Allow"] == "GET"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS", "HEAD", "DELETE"])
async def test_what_a_path_can_be_used_for_is_said(sim, http, method):
    recording = f"RT{'0' * 32}"
    for path, allowed in (
        ("/v1/Rooms", {"GET"}),
        (f"/v1/Rooms/{sim.room_sids[0]}", {"GET"}),
        ("/v1/Recordings", {"GET"}),
        (f"/v1/Recordings/{recording}", {"GET", "DELETE"}),
        (f"/v1/Recordings/{recording}/Media", {"GET"}),
        (f"/v1/Rooms/{sim.room_sids[0]}/Recordings/{recording}", {"GET", "DELETE"}),
        (f"/v1/Rooms/{sim.room_sids[0]}/Recordings/{recording}/Media", {"GET"}),
    ):
        if method in allowed:
            continue
        async with http.request(method, sim.base_url + path) as response:
            assert response.status == 405
            assert set(response.headers["Allow"].split(",")) == allowed


# Parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("Status", value) for value in ("", "Completed", "in-progress", "all", "completed ")],
        *[("SourceSid", value) for value in ("", "MT", "MT" + "a" * 31, "MT" + "a" * 33, "M1" + "a" * 32, "MTg" * 12)],
        *[("PageSize", value) for value in ("", "0", "1001", "-1", "5.0", "+5", " 5", "\u0665", "1" * 400, "ten")],
        *[("Page", value) for value in ("", "-1", "x", "1", "7")],
        *[("PageToken", value) for value in ("", "x", "PA" + "0" * 16, "PA" + "0" * 48, "PC" + "0" * 48)],
        *[
            (name, value)
            for name in ("DateCreatedAfter", "DateCreatedBefore")
            for value in (
                "", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00 02:00", "now",
                "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "20260101T000000Z", "2026-01-01T00:00:00+2",
                "2026-01-01T00:00:00+99:00", "٢٠٢٦-01-01T00:00:00Z",
            )
        ],
    ],
)  # fmt: skip
@pytest.mark.parametrize("room", ["random", "example"])
async def test_a_bad_parameter_is_400(sim, http, name, value, room):
    room_sid = EXAMPLE_ROOM_SID if room == "example" else sim.room_sids[0]
    body = await refused(http, list_url(sim, room_sid, **{name: value}), 400, 20001)
    assert name in body["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"Unknown": "x", "status": "nonsense", "Limit": "-5"},
        {"Status": "failed", "PageSize": "1000", "Page": "0"},
        {"DateCreatedAfter": "0001-01-01T00:00:00+14:00", "DateCreatedBefore": "9999-12-31T23:59:59-12:00"},
        {"DateCreatedAfter": "2026-01-01T00:00Z", "DateCreatedBefore": "2026-01-01T00:00:00.123456789-05:30"},
        {"DateCreatedAfter": "2027-01-01T00:00:00Z", "DateCreatedBefore": "2025-01-01T00:00:00Z"},
        {"SourceSid": "zz" + "F" * 32},
    ],
)
async def test_unusual_parameters_are_accepted(sim, http, query):
    await ok(http, list_url(sim, sim.room_sids[0], **query))


# Filters


async def test_deleted_recordings_appear_only_when_asked_for(sim, http):
    for room_sid in sim.room_sids:
        found = Counter(record["status"] for record in records(await pages(http, list_url(sim, room_sid))))
        assert 30 <= found.total() <= 60
        assert "deleted" not in found
        for status in ("processing", "completed", "deleted", "failed"):
            of_status = records(await pages(http, list_url(sim, room_sid, Status=status, PageSize=7)))
            assert {record["status"] for record in of_status} <= {status}
            assert of_status == list(sim.recordings(room_sid, status))
            assert len(of_status) == (found[status] if status != "deleted" else len(of_status))
    assert any(list(sim.recordings(room_sid, "deleted")) for room_sid in sim.room_sids)


async def test_the_bounds_of_dates_are_inclusive_and_exclusive(sim, http):
    room_sid = sim.room_sids[1]
    everything = list(sim.recordings(room_sid))
    moment = everything[len(everything) // 2]["date_created"]
    after = records(await pages(http, list_url(sim, room_sid, DateCreatedAfter=moment)))
    before = records(await pages(http, list_url(sim, room_sid, DateCreatedBefore=moment)))
    assert after == [record for record in everything if record["date_created"] >= moment]
    assert before == [record for record in everything if record["date_created"] < moment]
    assert after[0]["date_created"] == moment


@pytest.mark.parametrize("shift", [-1.0, -0.000001, 0.0, 0.000001, 1.0])
@pytest.mark.parametrize("hours", [0, 14, -9.5])
async def test_instants_are_compared_whatever_their_offset_and_precision(sim, http, shift, hours):
    room_sid = sim.room_sids[2]
    everything = list(sim.recordings(room_sid))
    moment = datetime.fromisoformat(everything[7]["date_created"]) + timedelta(seconds=shift)
    given_as = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
    after = records(await pages(http, list_url(sim, room_sid, DateCreatedAfter=given_as)))
    before = records(await pages(http, list_url(sim, room_sid, DateCreatedBefore=given_as)))
    assert after == [r for r in everything if datetime.fromisoformat(r["date_created"]) >= moment]
    assert before + after == everything


async def test_a_source_has_its_own_recordings_and_no_others(sim, http):
    several = 0
    for room_sid in sim.room_sids:
        everything = [*sim.recordings(room_sid), *sim.recordings(room_sid, "deleted")]
        for source_sid in {record["source_sid"] for record in everything}:
            expected = [record for record in sim.recordings(room_sid) if record["source_sid"] == source_sid]
            several += len(expected) > 1
            assert records(await pages(http, list_url(sim, room_sid, SourceSid=source_sid, PageSize=2))) == expected
    assert several, "no track was recorded twice"
    foreign = next(sim.recordings(sim.room_sids[0]))["source_sid"]
    assert records(await pages(http, list_url(sim, sim.room_sids[1], SourceSid=foreign))) == []


# Pages


@pytest.mark.parametrize("size", [1, 2, 7, 29, 50, 59, 60, 61, 1000])
async def test_the_pages_together_are_the_list(sim, http, size):
    for room_sid in sim.room_sids:
        found = await pages(http, list_url(sim, room_sid, PageSize=size))
        assert records(found) == list(sim.recordings(room_sid))
        assert all(len(page["recordings"]) == size for page in found[:-1])
        assert found[-1]["recordings"], "the last page is never an empty one"
        assert [page["meta"]["page"] for page in found] == list(range(len(found)))


async def test_the_meta_block_is_that_of_the_example(sim, http):
    room_sid = sim.room_sids[0]
    query = {
        "SourceSid": "MT" + "a" * 32,
        "Status": "completed",
        "DateCreatedAfter": "2026-01-01T00:00:01Z",
        "DateCreatedBefore": "2026-12-31T23:59:59+00:00",
    }
    meta = (await ok(http, list_url(sim, room_sid, **query)))["meta"]
    expected = (
        f"{sim.base_url}/v1/Rooms/{room_sid}/Recordings?Status=completed"
        "&DateCreatedBefore=2026-12-31T23%3A59%3A59%2B00%3A00&DateCreatedAfter=2026-01-01T00%3A00%3A01Z"
        f"&SourceSid=MT{'a' * 32}&PageSize=50&Page=0"
    )
    assert list(meta.items()) == [
        ("key", "recordings"),
        ("url", expected),
        ("page", 0),
        ("page_size", 50),
        ("next_page_url", None),
        ("first_page_url", expected),
        ("previous_page_url", None),
    ]


async def test_pages_lead_back_as_they_lead_on(sim, http):
    found = await pages(http, list_url(sim, sim.room_sids[0], Status="completed", PageSize=4))
    assert len(found) > 3
    for earlier, later in pairwise(found):
        back = await ok(http, later["meta"]["previous_page_url"])
        assert back["recordings"] == earlier["recordings"]
        assert back["meta"]["next_page_url"] == earlier["meta"]["next_page_url"]
        assert later["meta"]["url"] == earlier["meta"]["next_page_url"]
        assert later["meta"]["first_page_url"] == found[0]["meta"]["url"]


async def test_a_token_is_good_for_its_own_list_only(sim, http):
    room_sid, other = sim.room_sids[0], sim.room_sids[1]
    first = await ok(http, list_url(sim, room_sid, PageSize=5, Status="completed"))
    query = dict(parse_qsl(urlsplit(first["meta"]["next_page_url"]).query))
    await ok(http, list_url(sim, room_sid, **query))
    await ok(http, list_url(sim, room_sid, **query | {"Page": "77"}))
    without_status = {name: value for name, value in query.items() if name != "Status"}
    token = query["PageToken"]
    for changed in (
        query | {"PageSize": "6"},
        query | {"Status": "failed"},
        query | {"SourceSid": "MT" + "a" * 32},
        without_status,
        query | {"PageToken": token[:-1] + ("0" if token[-1] != "0" else "1")},
        query | {"PageToken": token[:17] + ("1" if token[17] == "2" else "2") + token[18:]},
        query | {"PageToken": "PB" + token[2:]},
    ):
        await refused(http, list_url(sim, room_sid, **changed), 400, 20001)
    await refused(http, list_url(sim, other, **query), 400, 20001)
    await refused(http, list_url(sim, EXAMPLE_ROOM_SID, **query), 400, 20001)


async def test_a_room_without_recordings_has_one_empty_page():
    async with (
        unlimited(1, 0) as sim,
        aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as http,
    ):
        body = await ok(http, list_url(sim, sim.room_sids[0]))
        assert (body["recordings"], body["meta"]["next_page_url"]) == ([], None)


# Records


async def test_records_have_the_fields_of_the_example_in_its_order(sim, http):
    example = json.loads((EXAMPLES / "one_recording.json").read_bytes())["recordings"][0]
    assert list(example) == FIELDS
    for record in records(await pages(http, list_url(sim, sim.room_sids[0]))):
        assert list(record) == FIELDS
        assert record["room_sid"] == record["grouping_sids"]["room_sid"] == sim.room_sids[0]
        assert record["account_sid"] == sim.credentials.account_sid
        assert record["links"]["media"] == record["url"] + "/Media"
        assert await ok(http, record["url"]) == record


def test_records_vary_as_those_of_an_account_do():
    world = World(5, 200, 40)
    rooms = [world.room(index) for index in range(200)]
    every = [
        json.loads(text) for room in rooms for text in room.recordings_json(range(room.total), "http://127.0.0.1:1")
    ]
    seen = {field: Counter(json.dumps(record[field]) for record in every) for field in FIELDS}
    assert len(seen["sid"]) == len(every)
    assert {json.loads(value) for value in seen["codec"]} == {"VP8", "H264", "OPUS", "PCMU", "opus"}
    assert {json.loads(value) for value in seen["type"]} == {"audio", "video", "data"}
    assert seen["status"].most_common(1)[0][0] == '"completed"'
    assert 0 < seen["encryption_key"].total() - seen["encryption_key"]["null"] < len(every) / 5
    assert 0 < seen["media_external_location"].total() - seen["media_external_location"]["null"] < len(every) / 5
    assert any(not record["track_name"].isascii() for record in every)
    assert any(record["track_name"] == record["source_sid"] for record in every)
    assert len({record["grouping_sids"]["participant_sid"] for record in every}) > 3 * len(rooms)
    for record in every:
        assert (record["date_deleted"] is not None) == (record["status"] == "deleted")
        assert (record["size"] is None) == (record["duration"] is None) == (record["status"] == "processing")
        for field in ("date_created", "date_updated", "date_deleted"):
            value = record[field]
            assert value is None or (value.startswith("2026-") and value.endswith("Z") and len(value) == 20)
            assert value is None or value >= record["date_created"]
        assert record["container_format"] == ("mkv" if record["type"] == "video" else "mka")


@pytest.mark.parametrize(("sid", "file"), [(EXAMPLE_ROOM_SID, "one_recording"), (EMPTY_EXAMPLE_ROOM_SID, "empty")])
async def test_the_examples_of_the_reference_are_served_byte_for_byte(sim, http, sid, file):
    expected = (EXAMPLES / f"{file}.json").read_bytes()
    for query in ({}, {"Status": "completed", "PageSize": "50", "Page": "0"}):
        async with http.get(list_url(sim, sid, **query)) as response:
            assert (response.status, await response.read()) == (200, expected)
    assert list(sim.recordings(sid)) == json.loads(expected)["recordings"]


# Rooms


async def test_rooms_are_those_in_progress_unless_asked_otherwise():
    async with (
        unlimited(120, 2) as sim,
        aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as http,
    ):
        url = URL(f"{sim.base_url}/v1/Rooms")
        by_status = {
            status: [room for page in await pages(http, url.with_query(query)) for room in page["rooms"]]
            for status, query in {
                "in-progress": {"PageSize": 3},
                "completed": {"Status": "completed", "PageSize": 50},
                "failed": {"Status": "failed"},
            }.items()
        }
        assert all({room["status"] for room in rooms} == {status} for status, rooms in by_status.items())
        rooms = sorted((room for found in by_status.values() for room in found), key=lambda room: room["date_created"])
        assert [room["sid"] for room in rooms] == list(sim.room_sids)
        for room in rooms[:20]:
            assert await ok(http, room["url"]) == room
            named = await ok(http, url.with_query(UniqueName=room["unique_name"], Status=room["status"]))
            assert named["rooms"] == [room]
            assert (room["end_time"] is None) == (room["status"] == "in-progress")
        day = rooms[60]["date_created"][:10]
        after = await pages(http, url.with_query(Status="completed", DateCreatedAfter=day))
        assert [room for page in after for room in page["rooms"]] == [
            room for room in by_status["completed"] if room["date_created"] >= day
        ]
        await refused(http, url.with_query(Status="processing"), 400, 20001)
        await refused(http, url.with_query(PageSize="1001"), 400, 20001)
        assert (await ok(http, url.with_query(UniqueName="nobody")))["rooms"] == []


async def test_a_recording_belongs_to_its_room(sim, http):
    record = next(sim.recordings(sim.room_sids[0]))
    await refused(http, record["url"].replace(sim.room_sids[0], sim.room_sids[1]), 404, 20404)
    await refused(http, record["url"].replace(record["sid"], "RT" + "0" * 32), 404, 20404)
    await refused(http, f"{sim.base_url}/v1/Rooms/RM{'0' * 32}", 404, 20404)


# Headers


@pytest.mark.parametrize("query", [{}, {"PageSize": "0"}])
async def test_every_answer_has_the_headers_of_the_reference(sim, http, query):
    async with http.get(list_url(sim, sim.room_sids[0], **query)) as response:
        assert response.headers["Content-Type"] == "application/json"
        for name in ("Origin", "Methods", "Headers"):
            assert response.headers[f"Access-Control-Allow-{name}"]
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Twilio-Concurrent-Requests"] == "1"
        assert len(response.headers["Twilio-Request-Id"]) == 34
        assert response.headers["Twilio-Request-Duration"].split(".")[1].isdigit()


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate", "gzip"), ("*", "gzip"), ("GZIP;q=0.5", "gzip"), ("gzip;q=0", None), ("br", None), ("", None)],
)
async def test_bodies_are_compressed_for_those_who_ask(sim, accepted, encoding):
    headers = {"Authorization": sim.credentials.authorization, "Accept-Encoding": accepted}
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as session:
        async with session.get(list_url(sim, sim.room_sids[0])) as response:
            body = await response.read()
            assert response.headers.get("Content-Encoding") == encoding
            assert json.loads(gzip.decompress(body) if encoding else body)["recordings"]
        async with session.get(list_url(sim, EMPTY_EXAMPLE_ROOM_SID)) as response:
            assert "Content-Encoding" not in response.headers


async def test_requests_are_kept_as_they_came(sim, http):
    url = list_url(sim, sim.room_sids[0], Status="failed")
    await ok(http, url)
    received = sim.requests[-1]
    assert (received.method, received.path, received.status) == ("GET", url.path, 200)
    assert received.query_string == "Status=failed"
    assert received.headers["Authorization"] == sim.credentials.authorization
    assert abs(received.arrived_at - asyncio.get_running_loop().time()) < 5
    assert (sim.stats.requests, sim.stats.by_status, sim.stats.connections) == (1, {200: 1}, 1)


# Quotas


async def test_reads_beyond_the_quota_are_429_and_do_not_count(sim, http):
    sim.reads_per_second, sim.retry_after = 5, None
    url = list_url(sim, sim.room_sids[0], PageSize=1)
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


async def test_more_requests_at_once_than_the_limit_are_429(sim, http):
    sim.concurrency_limit, sim.latency = 3, 0.2
    url = list_url(sim, sim.room_sids[0], PageSize=1)
    statuses = Counter(status for status, _ in await asyncio.gather(*(get(http, url) for _ in range(10))))
    assert statuses == {200: 3, 429: 7}
    assert sim.stats.peak_in_flight >= 4
    assert sim.stats.in_flight == 0
    sim.concurrency_limit = 10
    assert {status for status, _ in await asyncio.gather(*(get(http, url) for _ in range(10)))} == {200}


async def test_wrong_credentials_are_found_before_quotas(sim):
    sim.reads_per_second = 0
    async with aiohttp.ClientSession() as session:
        await refused(session, list_url(sim, sim.room_sids[0]), 401, 20003)


async def test_latency_can_be_a_range(sim, http):
    sim.latency = (0.05, 0.06)
    started = time.perf_counter()
    async with http.get(list_url(sim, sim.room_sids[0])) as response:
        assert float(response.headers["Twilio-Request-Duration"]) >= 0.05
    assert time.perf_counter() - started >= 0.05


# Faults


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
async def test_faults_that_break_an_answer(sim, http, fault, error, caplog):
    caplog.set_level(logging.DEBUG)
    # aiohttp's own client sends a request again, once, when its connection is lost before the headers.
    sim.inject(fault, times=2 if isinstance(fault, faults.Reset) else 1)
    url = list_url(sim, sim.room_sids[0])
    with pytest.raises(error):
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=0.3)) as response:
            await response.read()
    assert (await ok(http, url))["recordings"]
    await asyncio.sleep(0.05)
    assert sim.stats.in_flight == 0
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_fault_reads_as_a_reset(sim):
    for fault, got in ((faults.Reset(), b""), (faults.ResetMidBody(after=7), b'{"meta"')):
        sim.inject(fault)
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(sim.base_url).port)
        path = list_url(sim, sim.room_sids[0]).raw_path
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


async def test_faults_that_change_an_answer(sim, http):
    url = list_url(sim, sim.room_sids[0])
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
    with pytest.raises(InvalidArgumentError):
        sim.inject(faults.Reset(), times=0)


async def test_a_connection_can_be_closed_behind_the_clients_back(sim, http):
    url = list_url(sim, sim.room_sids[0])
    sim.inject(faults.CloseConnection())
    async with http.get(url) as response:
        assert "Connection" not in response.headers
        await response.read()
    await asyncio.sleep(0.02)
    await ok(http, url)
    assert sim.stats.connections == 2


async def test_stopping_does_not_wait_for_stalled_requests():
    sim = unlimited(1, 5)
    async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as http:
        async with sim:
            sim.inject(faults.StallHeaders(60))
            sim.inject(faults.StallBody(3, 60))
            url = list_url(sim, sim.room_sids[0])

            async def read() -> None:
                async with http.get(url) as response:
                    await response.read()

            tasks = [asyncio.create_task(read()) for _ in range(2)]
            while sim.stats.in_flight < 2:
                await asyncio.sleep(0.01)
            stopping = time.perf_counter()
        assert time.perf_counter() - stopping < 2
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientError) for result in results), results
        assert sim.stats.in_flight == 0


# SIDs and size


@given(index=st.integers(0, 2**31 - 1), seed=st.integers())
def test_sids_lead_back_to_their_rooms(index, seed):
    world = World(seed, 2**31, (0, 2**31))
    sid = world.room_sids[index]
    assert len(sid) == 34
    assert sid in world.room_sids
    assert world.room_sids.index(sid) == index
    assert world.find_room(sid) == world.room(index)


@given(place=st.integers(2, 33), digit=st.sampled_from("0123456789abcdef"), index=st.integers(0, 99))
def test_a_changed_sid_is_unknown(place, digit, index):
    world = World(0, 100)
    sid = world.room_sids[index]
    changed = sid[:place] + digit + sid[place + 1 :]
    assert (changed in world.room_sids) == (changed == sid)


@given(shown=st.integers(0, 300), seed=st.integers(0, 50))
def test_a_room_shows_the_number_that_was_asked_for(shown, seed):
    room = World(seed, 3, shown).room(seed % 3)
    statuses = [room.recording_status(index) for index in range(room.total)]
    instants = [room.created(index) for index in range(room.total)]
    assert len(statuses) - statuses.count("deleted") == shown
    assert instants == sorted(instants)


def test_room_sids_are_a_sequence():
    sids = World(0, 10).room_sids
    every = list(sids)
    assert len(set(every)) == len(sids) == 10
    assert list(sids[2:8:3]) == every[2:8:3]
    assert list(reversed(sids)) == every[::-1]
    assert sids[-1] == every[-1]
    assert every[5] not in sids[6:]
    assert 5 not in sids
    for missing in (lambda: sids.index(every[5], 6), lambda: sids.index("RM"), lambda: sids.index(None)):
        with pytest.raises(ValueError, match="not here"):
            missing()
    with pytest.raises(IndexError):
        sids[10]


@pytest.mark.parametrize("arguments", [(-1, 5), (5, -1), (5, (3, 2)), (2**40, 1), (1, 2**40)])
def test_impossible_accounts_are_refused(arguments):
    with pytest.raises(InvalidArgumentError):
        Simulator(*arguments)


async def test_a_million_recordings_and_rooms_cost_no_memory():
    tracemalloc.start()
    try:
        async with (
            unlimited(1_000_000, 1_000_000) as sim,
            aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as http,
        ):
            room_sid = sim.room_sids[999_999]
            first = await ok(http, list_url(sim, room_sid, PageSize=10))
            late = next(iter(sim.recordings(room_sid, "failed")))["date_created"]
            assert len((await ok(http, list_url(sim, room_sid, DateCreatedAfter=late)))["recordings"]) == 50
            assert len(first["recordings"]) == 10
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


# Running


def test_it_runs_in_a_thread_for_synchronous_programs():
    before = set(threading.enumerate())
    simulator = Simulator(2, 3)
    for _ in range(2):
        with simulator as sim:
            assert simulator is sim
            request = urllib.request.Request(str(list_url(sim, sim.room_sids[0])))
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


async def test_the_truth_is_known_only_for_known_rooms(sim):
    with pytest.raises(LookupError):
        sim.recordings("RM" + "0" * 32)


def test_the_fixtures_serve_synchronous_tests(room_simulator_env, room_simulator, room_simulator_factory, monkeypatch):
    assert room_simulator_env is room_simulator
    assert room_simulator.reads_per_second is None
    other = room_simulator_factory(Simulator(rooms=1))
    assert other.base_url != room_simulator.base_url
    with pytest.raises(urllib.error.HTTPError, match="401") as refusal:
        urllib.request.urlopen(f"{other.base_url}/v1/Rooms?{urlencode({'PageSize': 1})}")
    refusal.value.close()


async def test_it_makes_clients_of_its_account(sim):
    async with sim.client() as client:
        found = [recording.sid async for recording in client.recordings(sim.room_sids[0])]
    assert found == [record["sid"] for record in sim.recordings(sim.room_sids[0])]
