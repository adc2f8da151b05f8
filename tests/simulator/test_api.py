"""The operations of the API, over raw HTTP: what they return, filter and delete."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import aiohttp
import pytest
from yarl import URL

from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID, Account

from .raw_http import (
    EXAMPLES,
    FIELDS,
    STATUSES,
    account_list,
    account_url,
    all_records,
    delete,
    is_muted,
    is_stored,
    of_account,
    ok,
    pages,
    records,
    refused,
    room_list,
    session_of,
    sids,
    signed_url,
    stored_records,
    unlimited,
)

# Recordings of a room


async def test_records_have_the_fields_of_the_example_in_its_order(sim, http):
    example = json.loads((EXAMPLES / "one_recording.json").read_bytes())["recordings"][0]
    assert list(example) == FIELDS
    for record in await records(http, room_list(sim, sim.room_sids[0])):
        assert list(record) == FIELDS
        assert record["room_sid"] == record["grouping_sids"]["room_sid"] == sim.room_sids[0]
        assert record["account_sid"] == sim.credentials.account_sid
        assert record["links"]["media"] == record["url"] + "/Media"
        assert await ok(http, record["url"]) == record


@pytest.mark.parametrize(("sid", "file"), [(EXAMPLE_ROOM_SID, "one_recording"), (EMPTY_EXAMPLE_ROOM_SID, "empty")])
async def test_the_examples_of_the_reference_are_served_byte_for_byte(sim, http, sid, file):
    expected = (EXAMPLES / f"{file}.json").read_bytes()
    for query in ({}, {"Status": "completed", "PageSize": "50", "Page": "0"}):
        async with http.get(room_list(sim, sid, **query)) as response:
            assert (response.status, await response.read()) == (200, expected)
    assert list(sim.recordings(sid)) == json.loads(expected)["recordings"]


async def test_a_recording_belongs_to_its_room(sim, http):
    record = next(sim.recordings(sim.room_sids[0]))
    await refused(http, record["url"].replace(sim.room_sids[0], sim.room_sids[1]), 404, 20404)
    await refused(http, record["url"].replace(record["sid"], "RT" + "0" * 32), 404, 20404)
    await refused(http, f"{sim.base_url}/v1/Rooms/RM{'0' * 32}", 404, 20404)


async def test_a_recording_is_found_by_its_sid_alone(sim, http):
    for record in all_records(sim)[::30]:
        assert await ok(http, account_url(sim, record["sid"])) == of_account(sim, record)
    for sid in ("RT" + "0" * 32, "RT", sim.room_sids[0], Account(99).recording_sids.sid(0)):
        await refused(http, account_url(sim, sid), 404, 20404)


@pytest.mark.parametrize("sid", ["RM" + "0" * 32, "RM123", "RT" + "a" * 32, "RM" + "g" * 32, "%20", "rm" + "a" * 32])
async def test_an_unknown_or_malformed_room_is_404(sim, http, sid):
    body = await refused(http, f"{sim.base_url}/v1/Rooms/{sid}/Recordings?PageSize=no", 404, 20404)
    assert body["message"].startswith("The requested resource /Rooms/R" if sid[0] == "R" else "The requested resource")
    assert body["message"].endswith("/Recordings was not found")


async def test_the_digits_of_a_sid_may_be_in_either_case(sim, http):
    room_sid = sim.room_sids[0]
    upper = f"RM{room_sid[2:].upper()}"
    found = list(sim.recordings(room_sid))
    assert await records(http, room_list(sim, upper, PageSize=7)) == found
    source = found[0]["source_sid"]
    of_track = [record for record in found if record["source_sid"] == source]
    assert await records(http, room_list(sim, upper, SourceSid=f"MT{source[2:].upper()}")) == of_track
    of_room = await records(http, account_list(sim, {"GroupingSid": upper}))
    assert sids(of_room) == sids(found)
    sid = found[0]["sid"]
    assert await ok(http, f"{sim.base_url}/v1/Rooms/{upper}/Recordings/RT{sid[2:].upper()}") == found[0]


async def test_a_room_of_another_account_is_404(sim, http):
    await refused(http, room_list(sim, Account(99).room_sids[0]), 404, 20404)


# Filters


async def test_deleted_recordings_appear_only_when_asked_for(sim, http):
    for room_sid in sim.room_sids:
        found = Counter(record["status"] for record in await records(http, room_list(sim, room_sid)))
        assert 10 <= found.total() <= 30
        assert "deleted" not in found
        for status in ("processing", "completed", "deleted", "failed"):
            of_status = await records(http, room_list(sim, room_sid, Status=status, PageSize=7))
            assert {record["status"] for record in of_status} <= {status}
            assert of_status == list(sim.recordings(room_sid, status))
            assert len(of_status) == (found[status] if status != "deleted" else len(of_status))
    assert any(list(sim.recordings(room_sid, "deleted")) for room_sid in sim.room_sids)


async def test_the_bounds_of_dates_are_inclusive_and_exclusive(sim, http):
    room_sid = sim.room_sids[1]
    everything = list(sim.recordings(room_sid))
    moment = everything[len(everything) // 2]["date_created"]
    after = await records(http, room_list(sim, room_sid, DateCreatedAfter=moment))
    before = await records(http, room_list(sim, room_sid, DateCreatedBefore=moment))
    assert after == [record for record in everything if record["date_created"] >= moment]
    assert before == [record for record in everything if record["date_created"] < moment]
    assert after[0]["date_created"] == moment


@pytest.mark.parametrize("shift", [-1, 0, 1])
@pytest.mark.parametrize("hours", [0, 14, -9.5])
async def test_instants_are_compared_whatever_their_offset(sim, http, shift, hours):
    room_sid = sim.room_sids[2]
    everything = list(sim.recordings(room_sid))
    moment = datetime.fromisoformat(everything[7]["date_created"]) + timedelta(seconds=shift)
    given_as = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
    after = await records(http, room_list(sim, room_sid, DateCreatedAfter=given_as))
    before = await records(http, room_list(sim, room_sid, DateCreatedBefore=given_as))
    assert after == [r for r in everything if datetime.fromisoformat(r["date_created"]) >= moment]
    assert before + after == everything


async def test_a_source_has_its_own_recordings_and_no_others(sim, http):
    several = 0
    for room_sid in sim.room_sids:
        everything = [*sim.recordings(room_sid), *sim.recordings(room_sid, "deleted")]
        for source_sid in {record["source_sid"] for record in everything}:
            expected = [record for record in sim.recordings(room_sid) if record["source_sid"] == source_sid]
            several += len(expected) > 1
            assert await records(http, room_list(sim, room_sid, SourceSid=source_sid, PageSize=2)) == expected
    assert several, "no track was recorded twice"
    foreign = next(sim.recordings(sim.room_sids[0]))["source_sid"]
    assert await records(http, room_list(sim, sim.room_sids[1], SourceSid=foreign)) == []


# Rooms


async def test_rooms_are_those_in_progress_unless_asked_otherwise():
    async with unlimited(120, 2) as sim, session_of(sim) as http:
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


# Deletion


@pytest.mark.parametrize("status", ["completed", "processing", "failed"])
@pytest.mark.parametrize("under", ["room", "account"])
async def test_a_deleted_recording_leaves_the_lists_and_stays_with_its_dates(sim, http, status, under):
    record = all_records(sim, status)[0]
    room_sid, sid = record["room_sid"], record["sid"]
    kept = [other for other in all_records(sim) if other["sid"] != sid]
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
    assert [other for other in all_records(sim) if other["sid"] != sid] == kept


async def test_the_media_of_a_deleted_recording_are_gone(sim, http, anonymous):
    record = stored_records(sim)[0]
    signed = await signed_url(http, record["url"])
    assert await delete(http, record["url"]) == 204
    for url in (record["url"], account_url(sim, record["sid"])):
        await refused(http, f"{url}/Media", 404, 20404)
    async with anonymous.get(URL(signed, encoded=True)) as response:
        assert response.status == 404
        assert "<Code>NoSuchKey</Code>" in await response.text()
    with pytest.raises(LookupError):
        sim.media(record["sid"])


@pytest.mark.parametrize("again", [404, 204])
async def test_the_response_to_a_second_deletion_is_a_setting(sim, http, again):
    sim.second_delete = again
    first, drawn = all_records(sim, "completed")[0], all_records(sim, "deleted")[0]
    assert await delete(http, first["url"]) == 204
    before = await ok(http, first["url"])
    for url in (first["url"], account_url(sim, first["sid"]), drawn["url"]):
        assert await delete(http, url) == again
    assert await ok(http, first["url"]) == before
    assert await ok(http, drawn["url"]) == drawn
    if again == 404:
        body = await refused(http, first["url"], 404, 20404, method="DELETE")
        assert first["sid"] in body["message"]


async def test_what_is_not_there_cannot_be_deleted(sim, http):
    record, other = next(sim.recordings(sim.room_sids[0])), sim.room_sids[1]
    before = all_records(sim)
    for url in (
        record["url"].replace(record["room_sid"], other),
        record["url"].replace(record["room_sid"], EXAMPLE_ROOM_SID),
        account_url(sim, "RT" + "0" * 32),
        account_url(sim, "RT1"),
        account_url(sim, record["source_sid"]),
        account_url(sim, Account(99).recording_sids.sid(0)),
    ):
        await refused(http, url, 404, 20404, method="DELETE")
    for url in (f"{record['url']}/Media", room_list(sim, other), account_list(sim)):
        await refused(http, url, 405, 20004, method="DELETE")
    async with aiohttp.ClientSession() as stranger:
        await refused(stranger, record["url"], 401, 20003, method="DELETE")
    assert all_records(sim) == before


async def test_concurrent_deletions_of_one_recording_delete_it_once(sim, http):
    record = all_records(sim, "completed")[0]
    statuses = Counter(await asyncio.gather(*(delete(http, record["url"]) for _ in range(8))))
    assert statuses == {204: 1, 404: 7}


@pytest.mark.parametrize("under", ["room", "account"])
@pytest.mark.parametrize("status", [None, "completed"])
async def test_deleting_while_a_list_is_read_neither_loses_nor_repeats_another_record(sim, http, under, status):
    query = {"PageSize": "5"} | ({"Status": status} if status else {})
    url = room_list(sim, sim.room_sids[-1], **query) if under == "room" else account_list(sim, query)
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
    before, listed, following = sids(all_records(sim, "deleted")), [], url
    alive = all_records(sim, "completed")
    while following:
        page = await ok(http, following)
        listed += [record["sid"] for record in page["recordings"]]
        following = page["meta"]["next_page_url"]
        for record in alive[:1] + alive[-1:]:
            assert await delete(http, record["url"]) == 204
        alive = alive[1:-1]
    assert set(before) <= set(listed)
    assert len(set(listed)) == len(listed)


# Media


async def test_every_recording_has_media_or_a_404():
    seen = Counter()
    async with unlimited(80, 6, seed=3, media_size=2_000) as sim, session_of(sim) as http:
        for record in all_records(sim):
            external = record["media_external_location"] is not None
            if is_stored(record):
                await signed_url(http, record["url"])
            else:
                body = await refused(http, record["links"]["media"], 404, 20404)
                assert body["message"].endswith(f"/Recordings/{record['sid']}/Media was not found")
                with pytest.raises(LookupError):
                    sim.media(record["sid"])
            seen[record["status"], external] += 1
            seen["muted"] += is_muted(record)
    assert seen.pop("muted")
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
