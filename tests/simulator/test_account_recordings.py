"""The account-wide list, over raw HTTP: its order, filters and pages, and how many rooms it looks at."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import pytest

from .raw_http import (
    STATUSES,
    account_list,
    all_records,
    is_listed,
    of_account,
    ok,
    pages,
    records,
    refused,
    room_list,
    session_of,
    sids,
    unlimited,
)


async def test_the_records_are_those_of_the_rooms(sim, http):
    found = await records(http, account_list(sim, {"PageSize": "100"}))
    expected = {record["sid"]: of_account(sim, record) for record in all_records(sim) if is_listed(record, ())}
    assert len(found) == len(expected) > 200
    for record in found:
        assert record == expected[record["sid"]]
        assert list(record) == list(expected[record["sid"]])
        assert "room_sid" not in record
    for record in found[::40]:
        assert await ok(http, record["url"]) == record


async def test_every_combination_of_filters_leaves_what_it_says(sim, http):
    every = all_records(sim)
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
        expected = [record for record in every if is_listed(record, query)]
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
    assert sids(found) == sids(record for record in all_records(sim) if is_listed(record, query))


async def test_a_grouping_sid_is_a_room_or_a_participant_and_several_must_all_hold(sim, http):
    every = all_records(sim)
    rooms = sorted({record["grouping_sids"]["room_sid"] for record in every})
    one, other = rooms[:2]
    participants = [
        sorted({r["grouping_sids"]["participant_sid"] for r in every if r["grouping_sids"]["room_sid"] == room})
        for room in (one, other)
    ]
    (mine, also_mine, *_), (foreign, *_) = participants
    unknown = "RM" + "0" * 32
    for grouping_sids, empty in [
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
        query = [("GroupingSid", sid) for sid in grouping_sids]
        found = await records(http, account_list(sim, [*query, ("PageSize", "4")]))
        assert sids(found) == sids(record for record in every if is_listed(record, query)), grouping_sids
        assert bool(found) != empty, grouping_sids
    for sid in participants[0]:
        query = [("GroupingSid", sid)]
        found = await records(http, account_list(sim, query))
        assert sids(found) == sids(record for record in every if is_listed(record, query))


@pytest.mark.parametrize("shift", [-1, 0, 1])
async def test_the_window_of_dates_begins_with_its_first_instant_and_ends_before_its_last(sim, http, shift):
    every = all_records(sim, "processing", "completed", "failed")
    moments = sorted({datetime.fromisoformat(record["date_created"]) for record in every})
    for moment in (moments[0], moments[len(moments) // 2], moments[-1]):
        bound = (moment + timedelta(seconds=shift)).isoformat()
        after = await records(http, account_list(sim, {"DateCreatedAfter": bound, "PageSize": "100"}))
        before = await records(http, account_list(sim, {"DateCreatedBefore": bound, "PageSize": "100"}))
        assert sids(after) == sids(record for record in every if is_listed(record, [("DateCreatedAfter", bound)]))
        assert sids(after + before) == sids(every)


@pytest.mark.parametrize("size", [1, 7, 50, 99, 100])
async def test_the_pages_together_are_the_list(sim, http, size):
    found = await pages(http, account_list(sim, {"PageSize": str(size)}))
    listed = [record["sid"] for page in found for record in page["recordings"]]
    assert sorted(listed) == sids(all_records(sim, "processing", "completed", "failed"))
    assert all(len(page["recordings"]) == size == page["meta"]["page_size"] for page in found[:-1])
    assert found[-1]["recordings"], "the last page is never an empty one"
    assert [page["meta"]["page"] for page in found] == list(range(len(found)))


async def test_a_page_has_fifty_unless_asked_otherwise(sim, http):
    page = await ok(http, account_list(sim))
    assert (len(page["recordings"]), page["meta"]["page_size"]) == (50, 50)


@pytest.mark.parametrize("filtered", ["no", "status", "room", "source", "window"])
async def test_pages_lead_back_as_they_lead_on(sim, http, filtered):
    every = all_records(sim)
    dates = sorted(record["date_created"] for record in every)
    room = Counter(record["room_sid"] for record in every).most_common(1)[0][0]
    source, count = Counter(record["source_sid"] for record in every if is_listed(record, ())).most_common(1)[0]
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


async def test_of_a_million_rooms_only_those_are_looked_at_that_a_page_needs(monkeypatch):
    async with unlimited(1_000_000, (1, 20), seed=4) as sim, session_of(sim) as http:
        looked_at, find = Counter(), sim.account.room

        def counting(index):
            looked_at[index] += 1
            return find(index)

        monkeypatch.setattr(sim.account, "room", counting)
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
