"""Pages of a list, over raw HTTP: page tokens, the ``meta`` block, and the way back."""

from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import pytest

from roomrec_async.simulator import EXAMPLE_ROOM_SID

from .raw_http import ok, pages, refused, room_list, session_of, unlimited


@pytest.fixture
async def sim():
    async with unlimited(4, (30, 60), seed=2) as simulator:
        yield simulator


@pytest.mark.parametrize("size", [1, 2, 7, 29, 50, 59, 60, 61, 1000])
async def test_the_pages_together_are_the_list(sim, http, size):
    for room_sid in sim.room_sids:
        found = await pages(http, room_list(sim, room_sid, PageSize=size))
        assert [record for page in found for record in page["recordings"]] == list(sim.recordings(room_sid))
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
    meta = (await ok(http, room_list(sim, room_sid, **query)))["meta"]
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
    found = await pages(http, room_list(sim, sim.room_sids[0], Status="completed", PageSize=4))
    assert len(found) > 3
    for earlier, later in pairwise(found):
        back = await ok(http, later["meta"]["previous_page_url"])
        assert back["recordings"] == earlier["recordings"]
        assert back["meta"]["next_page_url"] == earlier["meta"]["next_page_url"]
        assert later["meta"]["url"] == earlier["meta"]["next_page_url"]
        assert later["meta"]["first_page_url"] == found[0]["meta"]["url"]


async def test_a_token_is_good_for_its_own_list_only(sim, http):
    room_sid, other = sim.room_sids[0], sim.room_sids[1]
    first = await ok(http, room_list(sim, room_sid, PageSize=5, Status="completed"))
    query = dict(parse_qsl(urlsplit(first["meta"]["next_page_url"]).query))
    await ok(http, room_list(sim, room_sid, **query))
    await ok(http, room_list(sim, room_sid, **query | {"Page": "77"}))
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
        await refused(http, room_list(sim, room_sid, **changed), 400, 20001)
    await refused(http, room_list(sim, other, **query), 400, 20001)
    await refused(http, room_list(sim, EXAMPLE_ROOM_SID, **query), 400, 20001)


async def test_a_room_without_recordings_has_one_empty_page():
    async with unlimited(1, 0) as sim, session_of(sim) as http:
        body = await ok(http, room_list(sim, sim.room_sids[0]))
        assert (body["recordings"], body["meta"]["next_page_url"]) == ([], None)
