"""The account: rooms and recordings as functions of the seed."""

import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async.errors import InvalidArgumentError
from roomrec_async.simulator import Account, Simulator

from .raw_http import FIELDS, ok, room_list, session_of, unlimited


async def test_credentials_and_data_follow_from_the_seed():
    same, again, other = Account(1), Account(1), Account(2)
    assert (same.credentials, list(same.room_sids)) == (again.credentials, list(again.room_sids))
    assert same.credentials != other.credentials
    assert not set(same.room_sids) & set(other.room_sids)


@given(shown=st.integers(0, 300), seed=st.integers(0, 50))
def test_a_room_shows_the_number_that_was_asked_for(shown, seed):
    room = Account(seed, 3, shown).room(seed % 3)
    statuses = [room.recording_status(index) for index in range(room.total_count)]
    instants = [room.recording_created(index) for index in range(room.total_count)]
    assert len(statuses) - statuses.count("deleted") == shown
    assert instants == sorted(instants)


def test_records_vary_as_those_of_an_account_do():
    account = Account(5, 200, 40)
    rooms = [account.room(index) for index in range(200)]
    every = [
        json.loads(text)
        for room in rooms
        for text in room.recordings_json(range(room.total_count), "http://127.0.0.1:1")
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


def test_no_recording_is_deleted_before_it_ends():
    room = Account(3, 2, 20).room(1)
    index = next(index for index in range(room.total_count) if room.recording_status(index) == "completed")
    (before,) = room.recordings_json([index], "http://127.0.0.1:1")
    room.delete(index, 0)
    (after,) = room.recordings_json([index], "http://127.0.0.1:1")
    assert json.loads(after)["date_deleted"] == json.loads(before)["date_updated"]


@pytest.mark.parametrize("arguments", [(-1, 5), (5, -1), (5, (3, 2)), (2**40, 1), (1, 2**40)])
def test_impossible_accounts_are_refused(arguments):
    with pytest.raises(InvalidArgumentError):
        Simulator(*arguments)


async def test_a_million_recordings_and_rooms_take_no_memory():
    tracemalloc.start()
    try:
        async with unlimited(1_000_000, 1_000_000) as sim, session_of(sim) as http:
            room_sid = sim.room_sids[999_999]
            first = await ok(http, room_list(sim, room_sid, PageSize=10))
            late = next(iter(sim.recordings(room_sid, "failed")))["date_created"]
            assert len((await ok(http, room_list(sim, room_sid, DateCreatedAfter=late)))["recordings"]) == 50
            assert len(first["recordings"]) == 10
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
