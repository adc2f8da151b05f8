"""Rooms and recordings as arguments: as models, one by one or from a list, as by their SIDs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from roomrec_async import (
    Credentials,
    InvalidArgumentError,
    RateLimiter,
    Recording,
    RecordingsClient,
    Records,
    Room,
    RoomResult,
)
from roomrec_async.simulator import Simulator

OTHER_ACCOUNT = "AC" + "9" * 32


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(rooms=5, recordings_per_room=8, reads_per_second=None, writes_per_second=None) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    async with sim.client(limiter=RateLimiter(None, None, None)) as client:
        yield client


async def listed(stream: AsyncIterator[Recording]) -> list[str]:
    return sorted([str(recording.sid) async for recording in stream])


async def test_a_room_is_as_good_as_its_sid(sim: Simulator, client: RecordingsClient) -> None:
    async for room in client.rooms(status="completed"):
        assert isinstance(room.sid, str)
        assert await client.recordings(room) == await client.recordings(room.sid).to_list()
        assert await client.participants(room) == await client.participants(room.sid).to_list()


async def test_gather_takes_the_list_of_rooms_as_it_is(sim: Simulator, client: RecordingsClient) -> None:
    by_room = await client.gather(client.rooms(status="completed"))
    rooms = await client.rooms(status="completed")
    assert list(by_room) == [room.sid for room in rooms]
    assert by_room == await client.gather(rooms) == await client.gather(room.sid for room in rooms if room.sid)
    assert all(type(recordings) is Records for recordings in by_room.values())
    assert sum(map(len, by_room.values())) > 0


async def test_one_room_in_two_forms_is_fetched_once(sim: Simulator, client: RecordingsClient) -> None:
    sid = sim.room_sids[0]
    by_room = await client.gather([Room(sid=sid), sid, Room(sid=f"RM{sid[2:].upper()}")])
    assert list(by_room) == [sid]
    assert sim.stats.requests == 1


async def test_the_other_two_take_rooms_too(sim: Simulator, client: RecordingsClient) -> None:
    rooms = await client.rooms(status="completed")
    results = [result async for result in client.as_completed(rooms)]
    assert sorted(result.room_sid for result in results) == sorted(str(room.sid) for room in rooms)
    everything = sorted(str(recording.sid) for result in results for recording in result.recordings)
    assert await listed(client.stream(client.rooms(status="completed"))) == everything


async def test_by_the_accounts_list_too(sim: Simulator, client: RecordingsClient) -> None:
    rooms = await client.rooms(status="completed")
    since = min(room.date_created for room in rooms if room.date_created)
    options: Any = {"via": "account", "date_created_after": since}
    by_room = await client.gather(rooms, **options)
    assert {sid: len(found) for sid, found in by_room.items()} == {
        sid: len(found) for sid, found in (await client.gather(rooms)).items()
    }
    assert all(type(recordings) is Records for recordings in by_room.values())
    assert await listed(client.stream(rooms, **options)) == await listed(client.stream(rooms))


async def test_failures_are_values_where_that_is_asked_for(client: RecordingsClient) -> None:
    missing = Room(sid="RM" + "7" * 32)
    by_room = await client.gather([missing], return_exceptions=True)
    assert getattr(by_room[str(missing.sid)], "message", None) == "There is no such room"
    (result,) = [result async for result in client.as_completed([missing])]
    assert isinstance(result, RoomResult)
    assert result.error is not None


async def test_a_recording_is_as_good_as_its_sids(sim: Simulator, client: RecordingsClient) -> None:
    room, other = (await client.rooms(status="completed", limit=2)).copy()
    recordings = await client.recordings(room)
    first, second, third = recordings[:3]
    assert await client.recording(first) == await client.recording(room, str(first.sid)) == first
    alone = await client.recording(attrs.evolve(first, room_sid=None))
    assert (alone.sid, alone.room_sid) == (first.sid, first.room_sid)
    assert await client.delete(first)
    assert await client.delete(room, str(second.sid))
    assert await client.delete(attrs.evolve(third, room_sid=None))
    assert not await client.delete(other, str(recordings[3].sid))
    assert [each.sid for each in await client.recordings(room)] == [each.sid for each in recordings[3:]]


@pytest.mark.parametrize("form", ["recording", "SIDs", "room", "named destination"])
async def test_media_of_a_recording_in_each_form(
    sim: Simulator, client: RecordingsClient, tmp_path: Path, form: str
) -> None:
    (room,) = await client.rooms(status="completed", limit=1)
    recording = (await client.recordings(room, status="completed"))[0]
    sids = (str(room.sid), str(recording.sid))
    downloaded = {
        "recording": lambda: client.download(recording, tmp_path),
        "SIDs": lambda: client.download(*sids, tmp_path),
        "room": lambda: client.download(room, sids[1], tmp_path),
        "named destination": lambda: client.download(*sids, destination=tmp_path),
    }[form]
    download = await downloaded()
    assert Path(download.location).name == f"{recording.sid}.{recording.container_format}"
    assert download.size == recording.size
    assert await client.signed_media_url(*(sids if form == "SIDs" else (recording,)))


async def test_a_recording_is_fetched_as_it_is_now(sim: Simulator, client: RecordingsClient) -> None:
    recording = await client.recordings(sim.room_sids[0]).first()
    assert recording is not None
    stale = attrs.evolve(recording, status="processing", size=None)
    assert await client.recording(stale) == recording


async def test_rooms_of_another_client_are_refused_before_anything_is_sent(
    sim: Simulator, client: RecordingsClient
) -> None:
    async with Simulator(rooms=2, seed=7) as elsewhere, elsewhere.client() as other:
        rooms = await other.rooms(status="completed")
        sentence = f"is of account {elsewhere.credentials.account_sid}, and .* {sim.credentials.account_sid}: use a"
        for use in (
            lambda: client.recordings(rooms[0]).to_list(),
            lambda: client.gather(rooms),
            lambda: client.gather(other.rooms(status="completed")),
            lambda: anext(client.stream(rooms)),
            lambda: anext(client.as_completed(rooms)),
            lambda: client.wait_for_recordings(rooms[0]),
        ):
            with pytest.raises(InvalidArgumentError, match=sentence):
                await use()
    assert sim.stats.requests == 0


async def test_what_the_service_returns_for_these_credentials_may_be_read(
    sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    # A parent's key with a subaccount's SID: the service returns what the parent has recorded.
    key = sim.api_key_credentials
    credentials = Credentials.api_key(OTHER_ACCOUNT, key.username, key.password)
    async with RecordingsClient(credentials, base_url=sim.base_url) as client:
        with caplog.at_level(logging.WARNING, "roomrec_async"):
            by_room = await client.gather(client.rooms(status="completed"))
        assert "but the credentials name" in caplog.text
        recording = next(recording for recordings in by_room.values() for recording in recordings)
        assert await client.recording(recording) == recording
        with pytest.raises(InvalidArgumentError, match="is not deleted: it belongs to account"):
            await client.delete(recording)
