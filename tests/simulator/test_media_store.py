"""Deletion, the account-wide list, media and the object store, over raw HTTP, without the library's client."""

import asyncio
import json
import sys
import tracemalloc
from base64 import b64decode
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from roomrec_async.errors import InvalidArgumentError
from roomrec_async.simulator import EXAMPLE_ROOM_SID, Simulator, World, faults

STATUSES = ("processing", "completed", "deleted", "failed")
EBML = b"\x1a\x45\xdf\xa3"
TYPES = {"mka": "audio/x-matroska", "mkv": "video/x-matroska"}


def unlimited(*args, **kwargs) -> Simulator:
    return Simulator(*args, **{"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None} | kwargs)


def session_of(sim) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization})


@pytest.fixture
async def sim():
    async with unlimited(12, (10, 30), seed=3, media_size=(1_000, 200_000)) as simulator:
        yield simulator


@pytest.fixture
async def http(sim):
    async with session_of(sim) as session:
        yield session


@pytest.fixture
async def outside():
    """What the object store may be asked with: no credentials, nothing decompressed."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def room_list(sim, room_sid, **query) -> URL:
    return URL(f"{sim.base_url}/v1/Rooms/{room_sid}/Recordings").with_query(query)


def account_list(sim, query=()) -> URL:
    return URL(f"{sim.base_url}/v1/Recordings").with_query(query)


async def ok(http, url) -> dict:
    async with http.get(URL(url, encoded=True) if isinstance(url, str) else url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def refused(http, url, status, code, *, method="GET") -> dict:
    async with http.request(method, url, allow_redirects=False) as response:
        body = await response.json()
        assert (response.status, body["status"], body["code"]) == (status, status, code), body
        return body


async def delete(http, url) -> int:
    async with http.delete(url) as response:
        body = await response.read()
        assert body == b"" or response.status >= 400
        return response.status


async def pages(http, url) -> list[dict]:
    found = [await ok(http, url)]
    while found[-1]["meta"]["next_page_url"]:
        found.append(await ok(http, found[-1]["meta"]["next_page_url"]))
    return found


async def records(http, url) -> list[dict]:
    return [record for page in await pages(http, url) for record in page["recordings"]]


def sids(found) -> list[str]:
    return sorted(record["sid"] for record in found)


def everything(sim, *statuses) -> list[dict]:
    """The recordings of all rooms, as their rooms list them; by default whatever their status."""
    wanted = statuses or STATUSES
    return [record for room in sim.room_sids for status in wanted for record in sim.recordings(room, status)]


def account_url(sim, sid) -> str:
    return f"{sim.base_url}/v1/Recordings/{sid}"


# Deletion


@pytest.mark.parametrize("status", ["completed", "processing", "failed"])
@pytest.mark.parametrize("under", ["room", "account"])
async def test_a_deleted_recording_leaves_the_lists_and_stays_with_its_dates(sim, http, status, under):
    record = everything(sim, status)[0]
    room_sid, sid = record["room_sid"], record["sid"]
    kept = [other for other in everything(sim) if other["sid"] != sid]
    began = datetime.now(UTC).replace(microsecond=0)
    assert await delete(http, record["url"] if under == "room" else account_url(sim, sid)) == 204

    for url in (room_list(sim, room_sid), account_list(sim), room_list(sim, room_sid, Status=status)):
        assert sid not in sids(await records(http, url))
    for url in (room_list(sim, room_sid, Status="deleted"), account_list(sim, {"Status": "deleted"})):
        (deleted,) = [other for other in await records(http, url) if other["sid"] == sid]
        at = datetime.fromisoformat(deleted["date_deleted"])
        assert deleted["status"] == "deleted"
        assert deleted["date_updated"] == deleted["date_deleted"]
        assert at >= max(began, datetime.fromisoformat(record["date_created"]))
        same = set(record) - {"status", "date_deleted", "date_updated", "size", "duration", "url", "links", "room_sid"}
        assert {name: deleted[name] for name in same} == {name: record[name] for name in same}
    fetched = await ok(http, record["url"])
    assert fetched["status"] == "deleted"
    assert fetched in list(sim.recordings(room_sid, "deleted"))
    assert [other for other in everything(sim) if other["sid"] != sid] == kept


async def test_the_media_of_a_deleted_recording_are_gone(sim, http, outside):
    record = stored_records(sim)[0]
    signed = await signed_url(http, record["url"])
    assert await delete(http, record["url"]) == 204
    for url in (record["url"], account_url(sim, record["sid"])):
        await refused(http, f"{url}/Media", 404, 20404)
    async with outside.get(URL(signed, encoded=True)) as response:
        assert response.status == 404
        assert "<Code>NoSuchKey</Code>" in await response.text()
    with pytest.raises(LookupError):
        sim.media(record["sid"])


def test_no_recording_is_deleted_before_it_ends():
    room = World(3, 2, 20).room(1)
    index = next(index for index in range(room.total) if room.recording_status(index) == "completed")
    (before,) = room.recordings_json([index], "http://127.0.0.1:1")
    room.delete(index, 0)
    (after,) = room.recordings_json([index], "http://127.0.0.1:1")
    assert json.loads(after)["date_deleted"] == json.loads(before)["date_updated"]


@pytest.mark.parametrize("again", [404, 204])
async def test_the_answer_to_a_second_deletion_is_a_setting(sim, http, again):
    sim.second_delete = again
    first, drawn = everything(sim, "completed")[0], everything(sim, "deleted")[0]
    assert await delete(http, first["url"]) == 204
    before = await ok(http, first["url"])
    for url in (first["url"], account_url(sim, first["sid"]), drawn["url"]):
        assert await delete(http, url) == again
    assert await ok(http, first["url"]) == before
    assert await ok(http, drawn["url"]) == drawn
    if again == 404:
        body = await refused(http, first["url"], 404, 20404, method="DELETE")
        assert first["sid"] in body["message"]


def test_no_other_answer_to_a_second_deletion_can_be_set():
    with pytest.raises(InvalidArgumentError, match="second_delete"):
        Simulator(second_delete=410)


async def test_what_is_not_there_cannot_be_deleted(sim, http):
    record, other = next(sim.recordings(sim.room_sids[0])), sim.room_sids[1]
    before = everything(sim)
    for url in (
        record["url"].replace(record["room_sid"], other),
        record["url"].replace(record["room_sid"], EXAMPLE_ROOM_SID),
        account_url(sim, "RT" + "0" * 32),
        account_url(sim, "RT1"),
        account_url(sim, record["source_sid"]),
        account_url(sim, World(99).recording_sids.sid(0)),
    ):
        await refused(http, url, 404, 20404, method="DELETE")
    for url in (f"{record['url']}/Media", room_list(sim, other), account_list(sim)):
        await refused(http, url, 405, 20004, method="DELETE")
    async with aiohttp.ClientSession() as stranger:
        await refused(stranger, record["url"], 401, 20003, method="DELETE")
    assert everything(sim) == before


async def test_deletions_are_writes_in_the_quota(sim, http):
    sim.writes_per_second = 3
    found = everything(sim, "completed")[:5]
    assert Counter([await delete(http, record["url"]) for record in found]) == {204: 3, 429: 2}
    assert sim.stats.refused == 2
    gone = sids(everything(sim, "deleted"))
    assert [record["sid"] in gone for record in found] == [True] * 3 + [False] * 2
    sim.reads_per_second = 0
    await refused(http, found[0]["url"], 429, 20429)
    sim.writes_per_second = None
    assert await delete(http, found[-1]["url"]) == 204, "reads have a quota of their own"


@pytest.mark.parametrize("under", ["room", "account"])
@pytest.mark.parametrize("status", [None, "completed"])
async def test_deleting_while_a_list_is_under_way_costs_and_doubles_no_other_record(sim, http, under, status):
    query = {"PageSize": "5"} | ({"Status": status} if status else {})
    url = room_list(sim, sim.room_sids[0], **query) if under == "room" else account_list(sim, query)
    before = [record["sid"] for record in await records(http, url)]
    assert len(before) > 10
    listed, gone, following = [], set(), url
    while following:
        page = await ok(http, following)
        listed += [record["sid"] for record in page["recordings"]]
        following = page["meta"]["next_page_url"]
        # The last one of this page, and the one that the next page was to begin with.
        for sid in before[before.index(listed[-1]) :][:2] if page["recordings"] else []:
            assert await delete(http, account_url(sim, sid)) == 204
            gone.add(sid)
    assert listed == [sid for sid in before if sid in listed]
    assert len(set(listed)) == len(listed)
    assert set(before) - set(listed) <= gone
    assert len(set(before) - set(listed)) > 1
    assert [record["sid"] for record in await records(http, url)] == [sid for sid in before if sid not in gone]


async def test_a_list_of_the_deleted_has_each_once_while_it_grows(sim, http):
    url = account_list(sim, {"Status": "deleted", "PageSize": "3"})
    before, listed, following = sids(everything(sim, "deleted")), [], url
    alive = everything(sim, "completed")
    while following:
        page = await ok(http, following)
        listed += [record["sid"] for record in page["recordings"]]
        following = page["meta"]["next_page_url"]
        for record in alive[:1] + alive[-1:]:
            assert await delete(http, record["url"]) == 204
        alive = alive[1:-1]
    assert set(before) <= set(listed)
    assert len(set(listed)) == len(listed)


async def test_concurrent_deletions_of_one_recording_delete_it_once(sim, http):
    record = everything(sim, "completed")[0]
    statuses = Counter(await asyncio.gather(*(delete(http, record["url"]) for _ in range(8))))
    assert statuses == {204: 1, 404: 7}


# The list of the account


def wanted(record, query) -> bool:
    """What the filters leave, decided record by record."""
    created = datetime.fromisoformat(record["date_created"])
    tests = {
        "Status": lambda value: record["status"] == value,
        "SourceSid": lambda value: record["source_sid"] == value,
        "GroupingSid": lambda value: value in record["grouping_sids"].values(),
        "MediaType": lambda value: record["type"] == value,
        "DateCreatedAfter": lambda value: created >= datetime.fromisoformat(value),
        "DateCreatedBefore": lambda value: created < datetime.fromisoformat(value),
    }
    filtered = all(tests[name](value) for name, value in query if name in tests)
    return filtered and (record["status"] != "deleted" or ("Status", "deleted") in query)


def of_account(sim, record) -> dict:
    """A room's record, as the account has it."""
    url = account_url(sim, record["sid"])
    return {name: value for name, value in record.items() if name != "room_sid"} | {
        "url": url,
        "links": {"media": f"{url}/Media"},
    }


async def test_the_records_are_those_of_the_rooms(sim, http):
    found = await records(http, account_list(sim, {"PageSize": "100"}))
    expected = {record["sid"]: of_account(sim, record) for record in everything(sim) if wanted(record, ())}
    assert len(found) == len(expected) > 200
    for record in found:
        assert record == expected[record["sid"]]
        assert list(record) == list(expected[record["sid"]])
        assert "room_sid" not in record
    for record in found[::40]:
        assert await ok(http, record["url"]) == record


async def test_every_combination_of_filters_leaves_what_it_says(sim, http):
    every = everything(sim)
    alive = [record for record in every if record["status"] == "completed"]
    chosen = alive[len(alive) // 2]
    dates = sorted(record["date_created"] for record in every)
    filters = {
        "Status": ["completed", "deleted"],
        "SourceSid": [chosen["source_sid"]],
        "GroupingSid": list(chosen["grouping_sids"].values()),
        "MediaType": [chosen["type"], "data"],
        "DateCreatedAfter": [chosen["date_created"], dates[len(dates) // 4]],
        "DateCreatedBefore": [dates[len(dates) * 3 // 4]],
    }
    queries = [[]]
    for name, values in filters.items():
        queries += [[*query, (name, value)] for query in queries for value in values]
    sizes = Counter()
    for query in queries:
        expected = [record for record in every if wanted(record, query)]
        page = await ok(http, account_list(sim, [*query, ("PageSize", "100")]))
        if len(expected) <= 100:
            assert sids(page["recordings"]) == sids(expected), query
            assert page["meta"]["next_page_url"] is None
        else:
            assert set(sids(page["recordings"])) < set(sids(expected)), query
            assert len(page["recordings"]) == 100
        sizes[min(len(expected), 2)] += 1
    assert min(sizes.values()) > 20, sizes


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kind", ["audio", "video", "data"])
async def test_status_and_type(sim, http, status, kind):
    query = [("Status", status), ("MediaType", kind), ("PageSize", "7")]
    found = await records(http, account_list(sim, query))
    assert sids(found) == sids(record for record in everything(sim) if wanted(record, query))


async def test_a_grouping_sid_is_a_room_or_a_participant_and_several_must_all_hold(sim, http):
    every = everything(sim)
    rooms = sorted({record["grouping_sids"]["room_sid"] for record in every})
    one, other = rooms[:2]
    participants = [
        sorted({r["grouping_sids"]["participant_sid"] for r in every if r["grouping_sids"]["room_sid"] == room})
        for room in (one, other)
    ]
    (mine, also_mine, *_), (foreign, *_) = participants
    unknown = "RM" + "0" * 32
    for asked, empty in [
        ([one], False),
        ([mine], False),
        ([one, mine], False),
        ([mine, one], False),
        ([one, one], False),
        ([one, other], True),
        ([one, foreign], True),
        ([mine, also_mine], True),
        ([unknown], True),
        ([one, unknown], True),
        ([every[0]["source_sid"]], True),
    ]:
        query = [("GroupingSid", sid) for sid in asked]
        found = await records(http, account_list(sim, [*query, ("PageSize", "4")]))
        assert sids(found) == sids(record for record in every if wanted(record, query)), asked
        assert bool(found) != empty, asked
    for sid in participants[0]:
        query = [("GroupingSid", sid)]
        found = await records(http, account_list(sim, query))
        assert sids(found) == sids(record for record in every if wanted(record, query))


@pytest.mark.parametrize("shift", [-1.0, -0.000001, 0.0, 0.000001, 1.0])
async def test_the_window_of_dates_begins_with_its_first_instant_and_ends_before_its_last(sim, http, shift):
    every = everything(sim, "processing", "completed", "failed")
    moments = sorted({datetime.fromisoformat(record["date_created"]) for record in every})
    for moment in (moments[0], moments[len(moments) // 2], moments[-1]):
        bound = (moment + timedelta(seconds=shift)).isoformat()
        after = await records(http, account_list(sim, {"DateCreatedAfter": bound, "PageSize": "100"}))
        before = await records(http, account_list(sim, {"DateCreatedBefore": bound, "PageSize": "100"}))
        assert sids(after) == sids(record for record in every if wanted(record, [("DateCreatedAfter", bound)]))
        assert sids(after + before) == sids(every)


@pytest.mark.parametrize(
    "query",
    [
        {"DateCreatedAfter": "0001-01-01T00:00:00+14:00", "DateCreatedBefore": "9999-12-31T23:59:59-12:00"},
        {"DateCreatedAfter": "0001-01-01T00:00:00Z"},
        {"DateCreatedAfter": "9999-12-31T23:59:59Z"},
        {"DateCreatedBefore": "0001-01-01T00:00:00Z"},
        {"DateCreatedAfter": "2027-01-01T00:00:00Z", "DateCreatedBefore": "2025-01-01T00:00:00Z"},
        {"RoomSid": "RM" + "0" * 32},
    ],
)
async def test_unusual_parameters_are_accepted(sim, http, query):
    found = await records(http, account_list(sim, query | {"PageSize": "100"}))
    assert sids(found) == sids(record for record in everything(sim) if wanted(record, list(query.items())))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("PageSize", value) for value in ("101", "1000", "0", "-1", "", "x")],
        *[("GroupingSid", value) for value in ("", "RM", "RM" + "a" * 31, "RM" + "g" * 32)],
        *[("SourceSid", value) for value in ("", "MT1")],
        *[("MediaType", value) for value in ("", "Audio", "text")],
        *[("Status", value) for value in ("", "all", "Completed")],
        *[("DateCreatedAfter", value) for value in ("", "2026-01-01", "2026-01-01T00:00:00", "now")],
        *[("DateCreatedBefore", value) for value in ("", "2026-01-01", "2026-01-01T00:00:00", "now")],
        *[("Page", value) for value in ("1", "-1", "x")],
        *[("PageToken", value) for value in ("", "x", "PA" + "0" * 48)],
    ],
)
async def test_a_bad_parameter_is_400(sim, http, name, value):
    body = await refused(http, account_list(sim, {name: value}), 400, 20001)
    assert name in body["message"]


async def test_of_several_grouping_sids_each_must_be_one(sim, http):
    good = ("GroupingSid", sim.room_sids[0])
    for query in ([good, ("GroupingSid", "x")], [("GroupingSid", "x"), good]):
        await refused(http, account_list(sim, query), 400, 20001)


@pytest.mark.parametrize("size", [1, 7, 50, 99, 100])
async def test_the_pages_together_are_the_list(sim, http, size):
    found = await pages(http, account_list(sim, {"PageSize": str(size)}))
    listed = [record["sid"] for page in found for record in page["recordings"]]
    assert sorted(listed) == sids(everything(sim, "processing", "completed", "failed"))
    assert all(len(page["recordings"]) == size == page["meta"]["page_size"] for page in found[:-1])
    assert found[-1]["recordings"], "the last page is never an empty one"
    assert [page["meta"]["page"] for page in found] == list(range(len(found)))


async def test_a_page_has_fifty_unless_asked_otherwise(sim, http):
    page = await ok(http, account_list(sim))
    assert (len(page["recordings"]), page["meta"]["page_size"]) == (50, 50)


@pytest.mark.parametrize("filtered", ["no", "status", "room", "source", "window"])
async def test_pages_lead_back_as_they_lead_on(sim, http, filtered):
    every = everything(sim)
    dates = sorted(record["date_created"] for record in every)
    room = Counter(record["room_sid"] for record in every).most_common(1)[0][0]
    source, count = Counter(record["source_sid"] for record in every if wanted(record, ())).most_common(1)[0]
    assert count > 1
    query = {
        "no": [("PageSize", "60")],
        "status": [("Status", "deleted"), ("PageSize", "3")],
        "room": [("GroupingSid", room), ("PageSize", "3")],
        "source": [("SourceSid", source), ("PageSize", "1")],
        "window": [("DateCreatedAfter", dates[40]), ("DateCreatedBefore", dates[160]), ("PageSize", "13")],
    }[filtered]
    found = await pages(http, account_list(sim, query))
    assert len(found) > 1
    assert found[0]["meta"]["previous_page_url"] is None
    for earlier, later in pairwise(found):
        back = await ok(http, later["meta"]["previous_page_url"])
        assert back["recordings"] == earlier["recordings"]
        assert back["meta"]["next_page_url"] == earlier["meta"]["next_page_url"]
        assert later["meta"]["url"] == earlier["meta"]["next_page_url"]
        assert later["meta"]["first_page_url"] == found[0]["meta"]["url"]


async def test_the_meta_block_repeats_what_was_asked(sim, http):
    query = [
        ("GroupingSid", sim.room_sids[0]),
        ("MediaType", "audio"),
        ("GroupingSid", "PA" + "a" * 32),
        ("DateCreatedAfter", "2026-01-01T00:00:01+02:00"),
        ("Status", "completed"),
        ("PageSize", "100"),
    ]
    meta = (await ok(http, account_list(sim, query)))["meta"]
    assert list(meta) == [
        *("key", "url", "page", "page_size", "next_page_url", "first_page_url", "previous_page_url"),
    ]
    assert meta["key"] == "recordings"
    assert meta["url"].startswith(f"{sim.base_url}/v1/Recordings?")
    assert sorted(parse_qsl(urlsplit(meta["url"]).query)) == sorted([*query, ("Page", "0")])


async def test_a_token_is_good_for_its_own_list_only(sim, http):
    room, other = sim.room_sids[:2]
    first = await ok(http, account_list(sim, [("GroupingSid", room), ("PageSize", "2")]))
    query = dict(parse_qsl(urlsplit(first["meta"]["next_page_url"]).query))
    await ok(http, account_list(sim, query))
    for changed in (
        query | {"GroupingSid": other},
        query | {"PageSize": "3"},
        query | {"MediaType": "audio"},
        {name: value for name, value in query.items() if name != "GroupingSid"},
        [*query.items(), ("GroupingSid", room)],
        query | {"PageToken": "PB" + query["PageToken"][2:]},
    ):
        await refused(http, account_list(sim, changed), 400, 20001)
    await refused(http, room_list(sim, room, **query), 400, 20001)


async def test_the_list_of_an_account_without_recordings_has_one_empty_page():
    for rooms in (0, 3, 2**31):
        async with unlimited(rooms, 0) as sim, session_of(sim) as http:
            page = await ok(http, account_list(sim))
            assert (page["recordings"], page["meta"]["next_page_url"]) == ([], None)


async def test_a_recording_is_found_by_its_sid_alone(sim, http):
    for record in everything(sim)[::30]:
        assert await ok(http, account_url(sim, record["sid"])) == of_account(sim, record)
    for sid in ("RT" + "0" * 32, "RT", sim.room_sids[0], World(99).recording_sids.sid(0)):
        await refused(http, account_url(sim, sid), 404, 20404)


async def test_of_a_million_rooms_only_those_are_looked_at_that_a_page_needs(monkeypatch):
    async with unlimited(1_000_000, (1, 20), seed=4) as sim, session_of(sim) as http:
        looked_at, find = Counter(), sim.world.room

        def counting(index):
            looked_at[index] += 1
            return find(index)

        monkeypatch.setattr(sim.world, "room", counting)
        chosen = next(sim.recordings(sim.room_sids[500_000], "completed"))
        grouped, day = chosen["grouping_sids"], chosen["date_created"]
        week_later = (datetime.fromisoformat(day) + timedelta(days=7)).isoformat()
        for query in (
            {},
            {"Status": "deleted"},
            {"GroupingSid": grouped["room_sid"]},
            {"GroupingSid": grouped["participant_sid"]},
            {"SourceSid": chosen["source_sid"]},
            {"DateCreatedBefore": day},
            {"DateCreatedAfter": day, "DateCreatedBefore": week_later},
            {"DateCreatedAfter": "2028-01-01T00:00:00Z"},
        ):
            looked_at.clear()
            page = await ok(http, account_list(sim, query))
            if "GroupingSid" in query or "SourceSid" in query:
                assert chosen["sid"] in sids(page["recordings"])
            if page["meta"]["next_page_url"]:
                page = await ok(http, page["meta"]["next_page_url"])
                page = await ok(http, page["meta"]["previous_page_url"])
            assert len(looked_at) < 2_000, query


# Where the media are


def is_stored(record) -> bool:
    return record["status"] == "completed" and record["media_external_location"] is None


def stored_records(sim, *, encrypted=False) -> list[dict]:
    """The recordings whose media are in the object store, by default those that are not encrypted."""
    return [r for r in everything(sim, "completed") if is_stored(r) and (r["encryption_key"] is not None) == encrypted]


async def signed_url(http, recording_url, **query) -> str:
    async with http.get(URL(f"{recording_url}/Media").with_query(query), allow_redirects=False) as response:
        assert response.status == 302, await response.text()
        return (await response.json())["redirect_to"]


def truth(sim, sid) -> bytes:
    return b"".join(sim.media(sid))


@pytest.mark.parametrize("under", ["room", "account"])
@pytest.mark.parametrize(("answer", "status"), [("json", 302), ("location", 302), ("ok", 200)])
async def test_the_three_ways_to_say_where_media_are(sim, http, outside, answer, status, under):
    sim.media_answer = answer
    record = stored_records(sim)[0]
    url = record["links"]["media"] if under == "room" else account_url(sim, record["sid"]) + "/Media"
    async with http.get(url, allow_redirects=False) as response:
        assert response.status == status
        assert response.headers["Twilio-Request-Id"]
        body = await response.read()
        if answer == "location":
            assert body == b""
            signed = response.headers["Location"]
        else:
            assert response.content_type == "application/json"
            assert "Location" not in response.headers
            assert list(json.loads(body)) == ["redirect_to"]
            signed = json.loads(body)["redirect_to"]
    assert signed.startswith(f"{sim.store.base_url}/")
    assert URL(signed).origin() != URL(sim.base_url).origin()
    async with outside.get(URL(signed, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, truth(sim, record["sid"]))


async def test_a_location_can_be_followed(sim, http):
    sim.media_answer = "location"
    record = stored_records(sim)[0]
    async with http.get(record["links"]["media"]) as response:
        assert (response.status, await response.read()) == (200, truth(sim, record["sid"]))
    assert "Authorization" not in sim.store.requests[-1].headers


@pytest.mark.parametrize("as_text", [True, False])
async def test_a_url_is_good_as_text_and_parsed(sim, http, outside, as_text):
    signed = await signed_url(http, stored_records(sim)[0]["url"], ContentDisposition="inline")
    async with outside.get(signed if as_text else URL(signed, encoded=True)) as response:
        assert response.status == 200


async def test_every_recording_has_media_or_a_404():
    seen = Counter()
    async with unlimited(80, 6, seed=3, media_size=2_000) as sim, session_of(sim) as http:
        for record in everything(sim):
            external = record["media_external_location"] is not None
            if is_stored(record):
                await signed_url(http, record["url"])
            else:
                body = await refused(http, record["links"]["media"], 404, 20404)
                assert body["message"].endswith(f"/Recordings/{record['sid']}/Media was not found")
                with pytest.raises(LookupError):
                    sim.media(record["sid"])
            seen[record["status"], external] += 1
    assert {(status, external) for status in STATUSES for external in (True, False)} - set(seen) <= {("failed", True)}


async def test_media_of_what_is_not_there_are_404(sim, http):
    record, other = stored_records(sim)[0], sim.room_sids[-1]
    assert record["room_sid"] != other
    for url in (
        account_url(sim, "RT" + "0" * 32),
        account_url(sim, record["room_sid"]),
        record["url"].replace(record["room_sid"], other),
        record["url"].replace(record["room_sid"], EXAMPLE_ROOM_SID),
    ):
        await refused(http, f"{url}/Media", 404, 20404)
    async with aiohttp.ClientSession() as stranger:
        await refused(stranger, record["links"]["media"], 401, 20003)
    with pytest.raises(LookupError):
        sim.media("RT" + "0" * 32)


@pytest.mark.parametrize(("ttl", "expires"), [(None, "600"), ("1", "1"), ("600", "600"), ("3600", "3600")])
async def test_how_long_a_url_is_good(sim, http, ttl, expires):
    query = {} if ttl is None else {"Ttl": ttl}
    signed = await signed_url(http, stored_records(sim)[0]["url"], **query)
    assert URL(signed).query["X-Amz-Expires"] == expires


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("Ttl", value) for value in ("0", "3601", "-1", "", "1.5", "x", "9" * 30)],
        *[("ContentDisposition", value) for value in ("", "Inline", "none", 'inline;filename="x"')],
    ],
)
async def test_a_bad_parameter_of_media_is_400(sim, http, name, value):
    url = URL(stored_records(sim)[0]["links"]["media"]).with_query({name: value})
    assert name in (await refused(http, url, 400, 20001))["message"]


@pytest.mark.parametrize("asked", [None, "attachment", "inline"])
async def test_the_disposition_is_the_one_that_was_asked_for(sim, http, outside, asked):
    for record in [next(r for r in stored_records(sim) if r["container_format"] == kind) for kind in TYPES]:
        signed = await signed_url(http, record["url"], **({"ContentDisposition": asked} if asked else {}))
        async with outside.get(URL(signed, encoded=True)) as response:
            disposition, _, filename = response.headers["Content-Disposition"].partition(";")
        assert disposition == (asked or "attachment")
        assert filename.strip() == f"filename={record['sid']}.{record['container_format']}"


# The object store: access


async def error_of(response) -> tuple[int, str]:
    text = await response.text()
    assert response.content_type == "application/xml"
    assert text.startswith("<?xml")
    return response.status, text.partition("<Code>")[2].partition("</Code>")[0]


async def test_credentials_besides_the_signature_are_refused(sim, http):
    signed = URL(await signed_url(http, stored_records(sim)[0]["url"]), encoded=True)
    for authorization in (sim.credentials.authorization, "Bearer x", ""):
        async with aiohttp.ClientSession(headers={"Authorization": authorization}) as session:
            async with session.get(signed) as response:
                assert await error_of(response) == (400, "InvalidArgument")
                assert sim.credentials.password not in await response.text()


async def test_a_url_that_was_changed_is_refused(sim, http, outside):
    record, other = stored_records(sim)[:2]
    signed = await signed_url(http, record["url"], Ttl="60")
    longer = signed.replace("X-Amz-Expires=60&", "X-Amz-Expires=3600&")
    mark = signed[-1]
    for changed in (
        longer,
        signed[:-1] + ("0" if mark != "0" else "1"),
        signed[:-64],
        signed[: signed.index("&X-Amz-Signature")],
        signed.partition("?")[0],
        signed + "0",
        signed + "&X-Amz-Expires=3600",
        signed.replace("attachment", "inline"),
        signed.replace("?", "?x=1&"),
        signed.replace(record["sid"], other["sid"], 1),
        signed.replace(record["room_sid"], sim.room_sids[-1], 1),
        f"{sim.store.base_url}/",
    ):
        assert changed != signed
        async with outside.get(URL(changed, encoded=True)) as response:
            assert await error_of(response) == (403, "SignatureDoesNotMatch"), changed
    async with outside.get(URL(signed, encoded=True)) as response:
        assert response.status == 200


async def test_urls_expire(sim, http, outside):
    record = stored_records(sim)[0]
    earlier = [await signed_url(http, record["url"]) for _ in range(2)]
    assert earlier[0] != earlier[1]
    sim.store.expire_urls()
    later = await signed_url(http, record["url"])
    for url in earlier:
        async with outside.get(URL(url, encoded=True)) as response:
            assert await error_of(response) == (403, "AccessDenied")
    async with outside.get(URL(later, encoded=True)) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("ttl", "after", "status"), [(60, 57, 200), (60, 61, 403), (3600, 3597, 200), (3600, 3601, 403)]
)
async def test_urls_are_good_for_their_time(sim, http, outside, monkeypatch, ttl, after, status):
    signed = await signed_url(http, stored_records(sim)[0]["url"], Ttl=str(ttl))

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=after)

    monkeypatch.setattr("roomrec_async.simulator.media_store.datetime", Later)
    async with outside.get(URL(signed, encoded=True)) as response:
        assert response.status == status


async def test_a_url_of_another_account_is_refused(sim, http, outside):
    signed = URL(await signed_url(http, stored_records(sim)[0]["url"]), encoded=True)
    async with unlimited(3, 5, seed=77) as other:
        async with outside.get(signed.with_port(URL(other.store.base_url).port)) as response:
            assert await error_of(response) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_the_store_is_for_reading(sim, http, outside, method):
    record = stored_records(sim)[0]
    signed = await signed_url(http, record["url"])
    async with outside.request(method, URL(signed, encoded=True)) as response:
        assert await error_of(response) == (405, "MethodNotAllowed")
        assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD"}
    async with outside.get(URL(signed, encoded=True)) as response:
        assert await response.read() == truth(sim, record["sid"])


# The object store: content


async def whole(outside, signed, **headers):
    async with outside.get(URL(signed, encoded=True), headers=headers) as response:
        return response, await response.read()


async def test_media_are_as_their_records_say(sim, http, outside):
    kinds, bodies = set(), []
    for record in stored_records(sim)[::6]:
        response, body = await whole(outside, await signed_url(http, record["url"]))
        assert response.status == 200
        assert body.startswith(EBML)
        assert body == truth(sim, record["sid"])
        assert len(body) == record["size"] == int(response.headers["Content-Length"])
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Content-Type"] == TYPES[record["container_format"]]
        assert response.headers["Last-Modified"].endswith("GMT")
        kinds.add(record["container_format"])
        bodies.append(body)
    assert kinds == set(TYPES)
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 37, 38, 39, 65_559, 262_182])
async def test_media_have_the_size_that_was_asked_for(outside, size):
    async with unlimited(2, 8, seed=1, media_size=size) as sim, session_of(sim) as http:
        record = stored_records(sim)[0]
        assert record["size"] == size
        response, body = await whole(outside, await signed_url(http, record["url"]))
        assert (response.status, len(body)) == (200, size)
        assert body[:4] == EBML[:size]
        assert body == truth(sim, record["sid"])


async def test_media_follow_from_the_seed(sim):
    async with unlimited(12, (10, 30), seed=3, media_size=(1_000, 200_000)) as again:
        for record in stored_records(sim)[:3]:
            assert truth(again, record["sid"]) == truth(sim, record["sid"])
            assert again.store.base_url != sim.store.base_url


@pytest.mark.parametrize("accepted", ["gzip, deflate, br", "gzip", "*", "identity"])
async def test_media_are_never_compressed(sim, http, outside, accepted):
    record = stored_records(sim)[0]
    headers = {"Accept-Encoding": accepted}
    response, body = await whole(outside, await signed_url(http, record["url"]), **headers)
    assert "Content-Encoding" not in response.headers
    assert body == truth(sim, record["sid"])


async def test_a_head_has_the_headers_of_a_get(sim, http, outside):
    record = stored_records(sim)[0]
    signed = await signed_url(http, record["url"])
    got, _ = await whole(outside, signed)
    async with outside.head(URL(signed, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, b"")
        for name in ("ETag", "Content-Length", "Content-Type", "Accept-Ranges", "Content-Disposition", "Last-Modified"):
            assert response.headers[name] == got.headers[name]
        assert int(response.headers["Content-Length"]) == record["size"]
    async with outside.head(URL(signed + "0", encoded=True)) as response:
        assert response.status == 403
    assert [received.method for received in sim.store.requests] == ["GET", "HEAD", "HEAD"]


SIZE = 300_000


@pytest.fixture
async def stored(outside):
    """A simulator, a recording of SIZE bytes, its URL and its content."""
    async with unlimited(2, 8, seed=1, media_size=SIZE) as sim, session_of(sim) as http:
        record = stored_records(sim)[0]
        yield sim, record, await signed_url(http, record["url"]), truth(sim, record["sid"])


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=0-3", 0, 3),
        ("bytes=3-3", 3, 3),
        ("bytes=36-38", 36, 38),
        ("bytes=1000-1999", 1000, 1999),
        ("bytes=1000-", 1000, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        (f"bytes=-{SIZE + 1}", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=0-{SIZE - 1}", 0, SIZE - 1),
        (f"bytes=0-{SIZE}", 0, SIZE - 1),
        (f"bytes=5-{10**15}", 5, SIZE - 1),
    ],
)
async def test_a_range_is_a_part_of_the_whole(outside, stored, asked, first, last):
    _, _, signed, content = stored
    response, body = await whole(outside, signed, Range=asked)
    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert int(response.headers["Content-Length"]) == last - first + 1
    assert body == content[first : last + 1]
    complete, _ = await whole(outside, signed)
    for name in ("ETag", "Content-Type", "Accept-Ranges", "Last-Modified", "Content-Disposition"):
        assert response.headers[name] == complete.headers[name]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", f"bytes={10**18}-", "bytes=-0"])
async def test_a_range_outside_is_416(outside, stored, asked):
    response, body = await whole(outside, stored[2], Range=asked)
    assert response.status == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert b"<Code>InvalidRange</Code>" in body


@pytest.mark.parametrize("asked", ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "0-1"])
async def test_what_is_not_one_range_gets_the_whole(outside, stored, asked):
    response, body = await whole(outside, stored[2], Range=asked)
    assert (response.status, body) == (200, stored[3])
    assert "Content-Range" not in response.headers


async def test_a_range_with_its_ends_swapped_is_no_part(outside, stored):
    response, body = await whole(outside, stored[2], Range="bytes=9-5")
    # RFC 9110 leaves the choice: pass it over or refuse it.
    assert response.status == 416 or (response.status, body) == (200, stored[3])


async def test_a_range_of_absurdly_many_digits_is_answered(outside, stored):
    response, _ = await whole(outside, stored[2], Range=f"bytes=5-{'9' * 5_000}")
    assert response.status in {200, 206, 416}


async def test_no_part_of_nothing(outside):
    async with unlimited(2, 8, seed=1, media_size=0) as sim, session_of(sim) as http:
        signed = await signed_url(http, stored_records(sim)[0]["url"])
        for asked in ("bytes=0-", "bytes=0-0", "bytes=-5"):
            response, _ = await whole(outside, signed, Range=asked)
            assert (response.status, response.headers["Content-Range"]) == (416, "bytes */0")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, SIZE - 1), max_size=6, unique=True))
@example(cuts=[4, 38, 65_521 + 38, 2**18, 2**18 + 38])
async def test_parts_together_are_the_whole(outside, stored, cuts):
    _, _, signed, content = stored
    edges = [0, *sorted(cuts), SIZE]
    parts = [await whole(outside, signed, Range=f"bytes={start}-{stop - 1}") for start, stop in pairwise(edges)]
    assert b"".join(body for _, body in parts) == content
    assert {response.status for response, _ in parts} == {206}
    assert len({response.headers["ETag"] for response, _ in parts}) == 1


async def test_conditions_hold_for_the_version_that_is_there(outside, stored):
    sim, record, signed, content = stored
    first, _ = await whole(outside, signed)
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    response, body = await whole(outside, signed, **{"If-Match": tag, "Range": "bytes=10-19"})
    assert (response.status, body) == (206, content[10:20])
    response, body = await whole(outside, signed, **{"If-Range": tag, "Range": "bytes=10-19"})
    assert (response.status, body) == (206, content[10:20])

    sim.store.replace(record["sid"])
    second, changed = await whole(outside, signed)
    assert second.status == 200
    assert second.headers["ETag"] != tag
    assert changed != content
    assert len(changed) == len(content)
    assert changed.startswith(EBML)
    assert truth(sim, record["sid"]) == changed
    response, body = await whole(outside, signed, **{"If-Match": tag, "Range": "bytes=10-19"})
    assert response.status == 412
    assert b"<Code>PreconditionFailed</Code>" in body
    response, body = await whole(outside, signed, **{"If-Range": tag, "Range": "bytes=10-19"})
    assert (response.status, body) == (200, changed)
    response, body = await whole(outside, signed, **{"If-Range": tag, "Range": f"bytes={SIZE}-"})
    assert (response.status, body) == (200, changed)
    response, _ = await whole(outside, signed, **{"If-Match": second.headers["ETag"]})
    assert response.status == 200


async def test_any_version_will_do_for_an_asterisk(outside, stored):
    response, body = await whole(outside, stored[2], **{"If-Match": "*"})
    assert (response.status, body) == (200, stored[3])


async def test_replacing_one_recording_leaves_the_others(sim, http, outside):
    one, other = stored_records(sim)[:2]
    before = [truth(sim, record["sid"]) for record in (one, other)]
    tags = set()
    for _ in range(3):
        tags.add((await whole(outside, await signed_url(http, one["url"])))[0].headers["ETag"])
        sim.store.replace(one["sid"])
    assert len(tags) == 3
    assert truth(sim, one["sid"]) != before[0]
    assert truth(sim, other["sid"]) == before[1]
    assert await ok(http, one["url"]) == one


# Encrypted media


def decrypted(sim, headers, body) -> bytes:
    """By hand, as the provider's documentation says."""
    private = load_pem_private_key(sim.private_key_pem, None)
    key = private.decrypt(b64decode(headers["x-amz-meta-x-amz-key"]), PKCS1v15())
    iv = b64decode(headers["x-amz-meta-x-amz-iv"])
    assert (len(key), len(iv)) == (32, 16)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(body) + decryptor.finalize()) + unpadder.finalize()


@pytest.fixture(params=[SIZE, 299_999, 16, 15, 1, 0])
async def encrypting(request):
    async with unlimited(40, 3, seed=3, media_size=request.param) as simulator:
        yield simulator


async def test_encrypted_media_can_be_decrypted(encrypting, outside):
    sim = encrypting
    async with session_of(sim) as http:
        for record in stored_records(sim, encrypted=True)[:3]:
            signed = await signed_url(http, record["url"])
            response, body = await whole(outside, signed)
            assert response.headers["Content-Type"] == "application/octet-stream"
            assert int(response.headers["x-amz-meta-x-amz-unencrypted-content-length"]) == record["size"]
            assert len(body) == (record["size"] // 16 + 1) * 16
            plain = decrypted(sim, response.headers, body)
            assert plain == truth(sim, record["sid"])
            assert len(plain) == record["size"]
            again, same = await whole(outside, signed)
            assert same == body
            for name in ("x-amz-meta-x-amz-key", "x-amz-meta-x-amz-iv", "ETag"):
                assert again.headers[name] == response.headers[name]


async def test_parts_of_encrypted_media_are_parts_of_the_whole(outside):
    async with unlimited(40, 3, seed=3, media_size=SIZE) as sim, session_of(sim) as http:
        record = stored_records(sim, encrypted=True)[0]
        signed = await signed_url(http, record["url"])
        response, content = await whole(outside, signed)
        size = len(content)
        for start, stop in pairwise([0, 1, 15, 16, 100, 2**18, 2**18 + 38, SIZE - 1, size - 16, size - 1, size]):
            part, body = await whole(outside, signed, Range=f"bytes={start}-{stop - 1}")
            assert (part.status, body) == (206, content[start:stop])
            assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
            assert part.headers["x-amz-meta-x-amz-key"] == response.headers["x-amz-meta-x-amz-key"]
        async with outside.head(URL(signed, encoded=True)) as head:
            assert int(head.headers["Content-Length"]) == size
            assert head.headers["x-amz-meta-x-amz-iv"] == response.headers["x-amz-meta-x-amz-iv"]
        past_the_end, _ = await whole(outside, signed, Range=f"bytes={size}-")
        assert (past_the_end.status, past_the_end.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_encrypted_media_that_are_replaced_have_another_key(outside):
    async with unlimited(40, 3, seed=3, media_size=1_000) as sim, session_of(sim) as http:
        record = stored_records(sim, encrypted=True)[0]
        signed = await signed_url(http, record["url"])
        first, before = await whole(outside, signed)
        sim.store.replace(record["sid"])
        second, after = await whole(outside, signed)
        assert before != after
        assert decrypted(sim, first.headers, before) != decrypted(sim, second.headers, after)
        assert decrypted(sim, second.headers, after) == truth(sim, record["sid"])
        for name in ("ETag", "x-amz-meta-x-amz-key", "x-amz-meta-x-amz-iv"):
            assert first.headers[name] != second.headers[name]


# Faults and accounts of what was asked


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.Reset(), aiohttp.ClientConnectionError),
        (faults.ResetMidBody(after=1_000), aiohttp.ClientError),
        (faults.Truncate(after=1_000), aiohttp.ClientPayloadError),
        (faults.StallHeaders(30), TimeoutError),
        (faults.StallBody(after=1_000, seconds=30), TimeoutError),
        (faults.SlowDrip(bytes_per_second=1_000), TimeoutError),
    ],
)
async def test_faults_happen_at_the_store_alone(outside, stored, fault, error):
    sim, record, signed, content = stored
    # aiohttp's own client sends a request again, once, when its connection is lost before the headers.
    sim.store.inject(fault, times=2 if isinstance(fault, faults.Reset) else 1)
    async with session_of(sim) as http:
        assert await ok(http, record["url"]) == record
    with pytest.raises(error):
        async with outside.get(URL(signed, encoded=True), timeout=aiohttp.ClientTimeout(total=0.3)) as response:
            await response.read()
    response, body = await whole(outside, signed)
    assert (response.status, body) == (200, content)


async def test_faults_of_the_api_leave_the_store_alone(outside, stored):
    sim, record, signed, content = stored
    sim.inject(faults.Respond(503), times=None)
    async with session_of(sim) as http, http.get(record["url"]) as response:
        assert response.status == 503
    response, body = await whole(outside, signed)
    assert (response.status, body) == (200, content)


async def test_faults_that_change_an_answer_of_the_store(outside, stored):
    sim, record, signed, content = stored
    sim.store.inject(faults.Respond(503, b"<Error><Code>SlowDown</Code></Error>"), path_contains=record["sid"])
    sim.store.inject(faults.Replace(lambda body: body[:-1] + b"\0"))
    sim.store.inject(faults.Respond(500), path_contains="elsewhere")
    response, body = await whole(outside, signed)
    assert (response.status, body) == (503, b"<Error><Code>SlowDown</Code></Error>")
    _, body = await whole(outside, signed)
    assert body == content[:-1] + b"\0"
    _, body = await whole(outside, signed)
    assert body == content


async def test_a_body_that_is_cut_can_be_taken_up_again(outside, stored):
    sim, _, signed, content = stored
    sim.store.inject(faults.Truncate(after=70_000))
    received = bytearray()
    async with outside.get(URL(signed, encoded=True)) as response:
        assert int(response.headers["Content-Length"]) == SIZE
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                received += piece
    assert 0 < len(received) <= 70_000
    resumed, rest = await whole(
        outside, signed, Range=f"bytes={len(received)}-", **{"If-Match": response.headers["ETag"]}
    )
    assert resumed.status == 206
    assert bytes(received) + rest == content


async def test_the_store_keeps_accounts_of_its_own(outside, stored):
    sim, record, signed, _ = stored
    assert (sim.stats.requests, sim.store.stats.requests) == (1, 0)
    await whole(outside, signed, Range="bytes=0-9")
    await whole(outside, signed + "0")
    assert [received.path for received in sim.requests] == [urlsplit(record["links"]["media"]).path]
    assert sim.store.stats.by_status == {206: 1, 403: 1}
    assert (sim.stats.requests, sim.store.stats.requests, sim.store.stats.connections) == (1, 2, 1)
    received = sim.store.requests[0]
    assert (received.method, received.status, received.headers["Range"]) == ("GET", 206, "bytes=0-9")
    assert received.path.endswith(record["sid"])
    assert received.query_string == urlsplit(signed).query
    assert "Authorization" not in received.headers
    assert sim.store.stats.in_flight == 0


async def test_the_store_has_no_quota(outside, stored):
    sim, _, signed, _ = stored
    sim.reads_per_second, sim.concurrency_limit = 0, 0
    found = await asyncio.gather(*(whole(outside, signed, Range="bytes=0-9") for _ in range(50)))
    assert {response.status for response, _ in found} == {206}


# Size


async def streamed(outside, signed, *, expected, **headers) -> int:
    """How many bytes come, each compared with what is expected, none kept."""
    count, rest, pieces = 0, b"", iter(expected)
    async with outside.get(URL(signed, encoded=True), headers=headers) as response:
        assert response.status in {200, 206}
        async for received in response.content.iter_chunked(2**18):
            while len(rest) < len(received):
                rest += next(pieces)
            assert rest.startswith(received)
            rest = rest[len(received) :]
            count += len(received)
        assert count == int(response.headers["Content-Length"])
    assert rest + b"".join(pieces) == b""
    return count


@pytest.mark.parametrize(("encrypted", "size"), [(False, 300_000_000), (True, 60_000_000)])
async def test_large_media_take_no_memory(outside, encrypted, size):
    async with unlimited(40, 3, seed=3, media_size=size) as sim, session_of(sim) as http:
        record = stored_records(sim, encrypted=encrypted)[0]
        signed = await signed_url(http, record["url"])
        count = 0
        tracemalloc.start()
        try:
            async with outside.get(URL(signed, encoded=True)) as response:
                async for received in response.content.iter_any():
                    count += len(received)
            assert count == int(response.headers["Content-Length"])
            assert count == (size // 16 + 1) * 16 if encrypted else size
            assert tracemalloc.get_traced_memory()[1] < 16_000_000
        finally:
            tracemalloc.stop()


async def test_large_media_have_ranges_and_heads_as_small_ones(outside):
    async with unlimited(2, 8, seed=1, media_size=40_000_000) as sim, session_of(sim) as http:
        record = stored_records(sim)[0]
        signed = await signed_url(http, record["url"])
        assert await streamed(outside, signed, expected=sim.media(record["sid"])) == 40_000_000
        content = sim.store.content(*sim.world.find_recording(record["sid"]))
        late = content.pieces(12_345_678, content.size)
        assert await streamed(outside, signed, expected=late, Range="bytes=12345678-") == 40_000_000 - 12_345_678
        response, body = await whole(outside, signed, Range="bytes=39999990-")
        assert (response.status, len(body)) == (206, 10)
        async with outside.head(URL(signed, encoded=True)) as head:
            assert (head.status, head.headers["Content-Length"]) == (200, "40000000")


async def test_large_media_can_be_cut_by_a_fault(outside):
    async with unlimited(2, 8, seed=1, media_size=20_000_000) as sim, session_of(sim) as http:
        signed = await signed_url(http, stored_records(sim)[0]["url"])
        sim.store.inject(faults.Truncate(after=1_000))
        with pytest.raises(aiohttp.ClientPayloadError):
            await whole(outside, signed)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_large_media_can_be_changed_by_a_fault(outside, encrypted):
    async with unlimited(40, 3, seed=3, media_size=6_000_000) as sim, session_of(sim) as http:
        signed = await signed_url(http, stored_records(sim, encrypted=encrypted)[0]["url"])
        _, before = await whole(outside, signed)
        sim.store.inject(faults.Replace(lambda body: body[:-1_000]))
        response, after = await whole(outside, signed)
        assert after == before[:-1_000]
        assert int(response.headers["Content-Length"]) == len(after)


async def test_without_the_extra_only_encrypted_media_are_missing(outside, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, name, None)
    async with unlimited(40, 3, seed=3, media_size=1_000) as sim, session_of(sim) as http:
        plain = await signed_url(http, stored_records(sim)[0]["url"])
        encrypted = await signed_url(http, stored_records(sim, encrypted=True)[0]["url"])
        assert (await whole(outside, plain))[0].status == 200
        response, body = await whole(outside, encrypted)
        assert response.status == 501
        assert b"roomrec-async[crypto]" in body
