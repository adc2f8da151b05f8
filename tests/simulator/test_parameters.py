"""The query parameters of the lists and of media, over raw HTTP: which values are accepted."""

import pytest
from yarl import URL

from roomrec_async.simulator import EXAMPLE_ROOM_SID

from .raw_http import account_list, all_records, is_listed, ok, records, refused, room_list, sids, stored_records


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
                "2026-01-01T00:00:00+99:00", "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z",
                "2026-01-01T00:00:00.000Z", "2026-01-01T00:00Z", "2026-01-01T00:00:00.123456789-05:30",
                "2026-01-01T00:00:00z", "2026-01-01T00:00:60Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00,5Z",
                "2026-01-01T00:00:00-0530",
            )
        ],
    ],
)  # fmt: skip
@pytest.mark.parametrize("room", ["random", "example"])
async def test_a_bad_parameter_of_a_rooms_list_is_400(sim, http, name, value, room):
    room_sid = EXAMPLE_ROOM_SID if room == "example" else sim.room_sids[0]
    body = await refused(http, room_list(sim, room_sid, **{name: value}), 400, 20001)
    assert name in body["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"Unknown": "x", "status": "nonsense", "Limit": "-5"},
        {"Status": "failed", "PageSize": "1000", "Page": "0"},
        {"DateCreatedAfter": "0001-01-01T00:00:00+14:00", "DateCreatedBefore": "9999-12-31T23:59:59-12:00"},
        {"DateCreatedAfter": "2026-01-01T00:00:00Z", "DateCreatedBefore": "2026-01-01T00:00:00-05:30"},
        {"DateCreatedAfter": "2027-01-01T00:00:00Z", "DateCreatedBefore": "2025-01-01T00:00:00Z"},
        {"SourceSid": "zz" + "F" * 32},
    ],
)
async def test_unusual_parameters_of_a_rooms_list_are_accepted(sim, http, query):
    await ok(http, room_list(sim, sim.room_sids[0], **query))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("PageSize", value) for value in ("101", "1000", "0", "-1", "", "x")],
        *[("GroupingSid", value) for value in ("", "RM", "RM" + "a" * 31, "RM" + "g" * 32)],
        *[("SourceSid", value) for value in ("", "MT1")],
        *[("MediaType", value) for value in ("", "Audio", "text")],
        *[("Status", value) for value in ("", "all", "Completed")],
        *[("DateCreatedAfter", value) for value in ("", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00.5Z")],
        *[("DateCreatedBefore", value) for value in ("", "2026-01-01", "2026-01-01T00:00:00", "now")],
        *[("Page", value) for value in ("1", "-1", "x")],
        *[("PageToken", value) for value in ("", "x", "PA" + "0" * 48)],
    ],
)
async def test_a_bad_parameter_of_the_accounts_list_is_400(sim, http, name, value):
    body = await refused(http, account_list(sim, {name: value}), 400, 20001)
    assert name in body["message"]


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
async def test_unusual_parameters_of_the_accounts_list_are_accepted(sim, http, query):
    found = await records(http, account_list(sim, query | {"PageSize": "100"}))
    assert sids(found) == sids(record for record in all_records(sim) if is_listed(record, list(query.items())))


async def test_of_several_grouping_sids_each_must_be_one(sim, http):
    good = ("GroupingSid", sim.room_sids[0])
    for query in ([good, ("GroupingSid", "x")], [("GroupingSid", "x"), good]):
        await refused(http, account_list(sim, query), 400, 20001)


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
