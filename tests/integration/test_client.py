"""The methods of the client: rooms, recordings, deletion, media URLs and lists, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from roomrec_async import (
    AuthenticationError,
    Credentials,
    DecodeError,
    InvalidArgumentError,
    NotFoundError,
    ParticipantStatus,
    RateLimiter,
    Recording,
    RecordingsClient,
    RetryPolicy,
    RoomStatus,
    ServerError,
)
from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID, Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

UNKNOWN_ROOM = "RM" + "0" * 32
UNKNOWN = "RT" + "0" * 32


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=60, recordings_per_room=(0, 30), seed=6, reads_per_second=None, concurrency_limit=None
    ) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    async with sim.client(limiter=RateLimiter(None, None, None), retry=RetryPolicy(base_delay=0)) as client:
        yield client


def asked(sim: Simulator) -> dict[str, list[str]]:
    """The query of the last request."""
    return parse_qs(sim.requests[-1].query_string)


def everything(sim: Simulator, status: str | None = None) -> list[dict[str, Any]]:
    return [record for sid in sim.room_sids for record in sim.recordings(sid, status)]


class TestRooms:
    async def test_by_default_only_those_in_progress(self, sim: Simulator, client: RecordingsClient) -> None:
        rooms = await client.rooms().to_list()
        assert rooms
        assert {room.status for room in rooms} == {RoomStatus.IN_PROGRESS}
        assert asked(sim) == {"PageSize": ["1000"]}

    async def test_all_of_them_by_status(self, sim: Simulator, client: RecordingsClient) -> None:
        found = [room.sid for status in RoomStatus for room in await client.rooms(status=status).to_list()]
        assert sorted(map(str, found)) == sorted(sim.room_sids)

    async def test_each_parameter_by_its_name(self, sim: Simulator, client: RecordingsClient) -> None:
        after = datetime(2026, 2, 1, 1, tzinfo=UTC)
        pager = client.rooms(
            status="completed",
            unique_name="daily standup & co",
            date_created_after=after,
            date_created_before=after + timedelta(days=1),
            page_size=7,
        )
        assert await pager.to_list() == []
        assert asked(sim) == {
            "Status": ["completed"],
            "UniqueName": ["daily standup & co"],
            "DateCreatedAfter": ["2026-02-01T01:00:00Z"],
            "DateCreatedBefore": ["2026-02-02T01:00:00Z"],
            "PageSize": ["7"],
        }

    async def test_it_is_resumed(self, client: RecordingsClient) -> None:
        whole = await client.rooms(status="completed").to_list()
        async for page in client.rooms(status="completed", page_size=10).pages():
            rest = await client.rooms(status="completed", resume=page.resume_token).to_list()
            assert [*page.items, *rest] == whole
            break
        with pytest.raises(InvalidArgumentError, match="Status"):
            client.rooms(status="failed", resume=page.resume_token)

    @pytest.mark.parametrize(
        "wrong", [{"status": "over"}, {"unique_name": ""}, {"page_size": 1001}, {"limit": -1}, {"page": -1}]
    )
    def test_refused_before_anything_is_sent(self, sim: Simulator, client: RecordingsClient, wrong: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            client.rooms(**wrong)


class TestParticipants:
    async def test_everyone_who_was_recorded(self, sim: Simulator, client: RecordingsClient) -> None:
        completed = await client.rooms(status="completed").to_list()
        for room in completed:
            participants = await client.participants(str(room.sid), page_size=3).to_list()
            assert {each.status for each in participants} <= {ParticipantStatus.DISCONNECTED}
            assert all(each.identity and each.end_time == room.end_time for each in participants)
            recorded = {each.participant_sid for each in await client.recordings(str(room.sid)).to_list()}
            assert recorded <= {each.sid for each in participants}

    async def test_of_a_room_in_progress_only_those_who_are_connected(self, client: RecordingsClient) -> None:
        room_sid = str((await client.rooms().to_list())[0].sid)
        connected = await client.participants(room_sid).to_list()
        assert connected
        assert {(each.status, each.end_time, each.duration) for each in connected} == {("connected", None, None)}
        assert await client.participants(room_sid, status="disconnected").to_list() == []

    async def test_each_parameter_by_its_name(self, sim: Simulator, client: RecordingsClient) -> None:
        room_sid = sim.room_sids[0]
        after = datetime(2025, 2, 1, 1, tzinfo=UTC)
        pager = client.participants(
            room_sid,
            status="disconnected",
            identity="Zoë & co",
            date_created_after=after,
            date_created_before=after + timedelta(days=1),
            page_size=7,
        )
        assert await pager.to_list() == []
        assert sim.requests[-1].path == f"/v1/Rooms/{room_sid}/Participants"
        assert asked(sim) == {
            "Status": ["disconnected"],
            "Identity": ["Zoë & co"],
            "DateCreatedAfter": ["2025-02-01T01:00:00Z"],
            "DateCreatedBefore": ["2025-02-02T01:00:00Z"],
            "PageSize": ["7"],
        }

    async def test_one_by_identity(self, sim: Simulator, client: RecordingsClient) -> None:
        room_sid = str((await client.rooms(status="completed").to_list())[0].sid)
        everyone = await client.participants(room_sid).to_list()
        (found,) = await client.participants(room_sid, identity=everyone[-1].identity).to_list()
        assert found == everyone[-1]

    @pytest.mark.parametrize("wrong", [{"status": "gone"}, {"identity": ""}, {"page_size": 1001}, {"limit": -1}])
    def test_refused_before_anything_is_sent(self, client: RecordingsClient, wrong: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            client.participants(f"RM{'0' * 32}", **wrong)

    async def test_a_room_that_is_not_there(self, client: RecordingsClient) -> None:
        with pytest.raises(NotFoundError, match=f"RM{'0' * 32}"):
            await client.participants(f"RM{'0' * 32}").to_list()


class TestRoom:
    async def test_it_is_what_the_list_says(self, sim: Simulator, client: RecordingsClient) -> None:
        listed = await client.rooms(status="completed").first()
        assert listed is not None
        before = sim.stats.requests
        assert await client.room(str(listed.sid)) == await client.room(listed) == listed
        assert sim.stats.requests - before == 2

    async def test_what_is_not_there(self, client: RecordingsClient) -> None:
        with pytest.raises(NotFoundError, match=UNKNOWN_ROOM):
            await client.room(UNKNOWN_ROOM)

    @pytest.mark.parametrize("sid", ["RM1", "daily-standup", "", UNKNOWN])
    async def test_malformed_sids(self, sim: Simulator, client: RecordingsClient, sid: str) -> None:
        with pytest.raises(InvalidArgumentError):
            await client.room(sid)
        assert sim.stats.requests == 0

    @pytest.mark.parametrize("body", [b"[]", b"null", b'{"duration": {}}', b'{"sid": "RM0"}'])
    async def test_a_response_that_is_none(self, sim: Simulator, client: RecordingsClient, body: bytes) -> None:
        sim.inject(faults.Replace(lambda _: body))
        with pytest.raises(DecodeError, match=sim.room_sids[3]):
            await client.room(sim.room_sids[3])


class TestRecording:
    async def test_it_is_what_the_list_says(self, sim: Simulator, client: RecordingsClient) -> None:
        listed = await client.recordings(sim.room_sids[3]).first()
        assert listed is not None
        assert await client.recording(sim.room_sids[3], str(listed.sid)) == listed

    async def test_what_is_not_there(self, sim: Simulator, client: RecordingsClient) -> None:
        with pytest.raises(NotFoundError, match=UNKNOWN):
            await client.recording(sim.room_sids[3], UNKNOWN)

    @pytest.mark.parametrize(
        ("room_sid", "sid"), [("RM1", UNKNOWN), (UNKNOWN_ROOM, "RT1"), (UNKNOWN_ROOM, UNKNOWN_ROOM)]
    )
    async def test_malformed_sids(self, sim: Simulator, client: RecordingsClient, room_sid: str, sid: str) -> None:
        for operation in (client.recording, client.delete):
            with pytest.raises(InvalidArgumentError):
                await operation(room_sid, sid)
        assert sim.stats.requests == 0

    @pytest.mark.parametrize("body", [b"[]", b"null", b'{"size": {}}'])
    async def test_a_response_that_is_none(self, sim: Simulator, client: RecordingsClient, body: bytes) -> None:
        listed = await client.recordings(sim.room_sids[3]).first()
        sim.inject(faults.Replace(lambda _: body))
        assert listed
        with pytest.raises(DecodeError, match=str(listed.sid)):
            await client.recording(sim.room_sids[3], str(listed.sid))


class TestDelete:
    async def test_it_is_gone_and_to_delete_it_again_is_no_error(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        [first, *rest] = await client.recordings(sim.room_sids[3], status="completed").to_list()
        assert await client.delete(sim.room_sids[3], str(first.sid)) is True
        assert await client.delete(sim.room_sids[3], str(first.sid)) is False
        assert await client.recordings(sim.room_sids[3], status="completed").to_list() == rest
        deleted = await client.recordings(sim.room_sids[3], status="deleted").to_list()
        assert first.sid in [recording.sid for recording in deleted]

    async def test_a_service_that_says_yes_twice(self, sim: Simulator, client: RecordingsClient) -> None:
        first = await client.recordings(sim.room_sids[3], status="completed").first()
        assert first
        sim.second_delete = 204
        assert await client.delete(sim.room_sids[3], str(first.sid)) is True
        assert await client.delete(sim.room_sids[3], str(first.sid)) is True

    async def test_what_never_was(self, client: RecordingsClient, sim: Simulator) -> None:
        assert await client.delete(sim.room_sids[3], UNKNOWN) is False
        assert await client.delete(UNKNOWN_ROOM, UNKNOWN) is False

    async def test_a_lost_answer_is_asked_for_again(self, sim: Simulator, client: RecordingsClient) -> None:
        class LoseTheAnswer:
            async def handle(self, exchange: Exchange, /) -> None:
                await exchange.get_response()
                exchange.reset()

        first = await client.recordings(sim.room_sids[3], status="completed").first()
        assert first
        sim.inject(LoseTheAnswer())
        assert await client.delete(sim.room_sids[3], str(first.sid)) is False
        assert [request.method for request in sim.requests][-1] == "DELETE"
        assert len(sim.account.deletions) == 1

    async def test_errors_are_the_usual_ones(self, sim: Simulator, client: RecordingsClient) -> None:
        sim.inject(faults.Respond(503), times=None)
        with pytest.raises(ServerError) as caught:
            await client.delete(sim.room_sids[3], UNKNOWN)
        assert (caught.value.method, caught.value.attempts) == ("DELETE", 5)
        sim.clear_faults()
        wrong = Credentials(sim.credentials.account_sid, "wrong")
        async with RecordingsClient(wrong, base_url=sim.base_url) as other:
            with pytest.raises(AuthenticationError):
                await other.delete(sim.room_sids[3], UNKNOWN)

    async def test_it_takes_the_quota_of_writes(self, sim: Simulator) -> None:
        """Half of what the service takes in a second: nothing is refused, whatever this machine is doing besides."""
        recordings = everything(sim, "completed")[:15]
        limiter = RateLimiter(reads_per_second=None, writes_per_second=10)
        sim.writes_per_second = 20
        async with sim.client(limiter=limiter) as client:
            begin = asyncio.get_running_loop().time()
            await asyncio.gather(*(client.delete(r["room_sid"], r["sid"]) for r in recordings))
            assert asyncio.get_running_loop().time() - begin >= 1.0
        assert sim.stats.refused == 0
        assert len(sim.account.deletions) == 15


class TestAccount:
    async def test_it_is_all_there_is(self, sim: Simulator, client: RecordingsClient) -> None:
        listed = await client.account_recordings().to_list()
        truth = {record["sid"]: record for record in everything(sim)}
        assert sorted(map(str, (recording.sid for recording in listed))) == sorted(truth)
        assert all(recording.room_sid == truth[recording.sid]["room_sid"] for recording in listed)
        assert asked(sim)["PageSize"] == ["100"]

    async def test_each_parameter_by_its_name(self, sim: Simulator, client: RecordingsClient) -> None:
        participant, room, track = "PA" + "1" * 32, sim.room_sids[0], "MT" + "2" * 32
        pager = client.account_recordings(
            status="failed",
            source_sid=track,
            grouping_sids=[room, participant],
            date_created_after=datetime(2026, 2, 1, tzinfo=UTC),
            date_created_before=datetime(2026, 3, 1, tzinfo=UTC),
            media_type="VIDEO",
            page_size=100,
        )
        assert await pager.to_list() == []
        assert asked(sim) == {
            "Status": ["failed"],
            "SourceSid": [track],
            "GroupingSid": [room, participant],
            "DateCreatedAfter": ["2026-02-01T00:00:00Z"],
            "DateCreatedBefore": ["2026-03-01T00:00:00Z"],
            "MediaType": ["video"],
            "PageSize": ["100"],
        }

    async def test_it_is_resumed_with_its_groups(self, sim: Simulator, client: RecordingsClient) -> None:
        room = max(sim.room_sids, key=lambda sid: len(list(sim.recordings(sid))))
        whole = await client.account_recordings(grouping_sids=[room]).to_list()
        assert len(whole) > 5
        async for page in client.account_recordings(grouping_sids=[room], page_size=5).pages():
            token = page.resume_token
            break
        rest = await client.account_recordings(grouping_sids=[room], resume=token).to_list()
        assert [recording.sid for recording in rest] == [recording.sid for recording in whole[5:]]
        with pytest.raises(InvalidArgumentError, match="GroupingSid"):
            client.account_recordings(grouping_sids=[sim.room_sids[0], room], resume=token)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"page_size": 101},
            {"media_type": "smell"},
            {"grouping_sids": UNKNOWN_ROOM},
            {"grouping_sids": ["RM1"]},
            {"status": "gone"},
        ],
    )
    def test_refused_before_anything_is_sent(self, client: RecordingsClient, wrong: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            client.account_recordings(**wrong)


class TestMediaUrl:
    async def test_its_parameters(self, sim: Simulator, client: RecordingsClient) -> None:
        recording = await downloadable(sim, client)
        url = await client.signed_media_url(recording, ttl=60, content_disposition="inline")
        assert asked(sim) == {"Ttl": ["60"], "ContentDisposition": ["inline"]}
        assert url.startswith(sim.store.base_url)
        for wrong in ({"ttl": 0}, {"ttl": 3601}, {"content_disposition": "outline"}, {"wait": float("nan")}):
            with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
                await client.signed_media_url(recording, **wrong)

    async def test_expired_urls_are_requested_again_in_mid_download(
        self, sim: Simulator, client: RecordingsClient, tmp_path
    ) -> None:
        sim.account.media_size = (500_000, 500_000)
        recording = await downloadable(sim, client)

        class ExpireInTheMiddle(faults.ResetMidBody):
            async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
                answered = await super().handle(exchange)
                sim.store.expire_urls()
                return answered

        sim.store.inject(ExpireInTheMiddle(after=200_000))
        download = await client.download(recording, tmp_path / "media")
        assert (tmp_path / "media").read_bytes() == b"".join(sim.media(str(recording.sid)))
        assert download.size == 500_000
        assert sim.store.stats.by_status[403] == 1
        assert all("Authorization" not in request.headers for request in sim.store.requests)


async def downloadable(sim: Simulator, client: RecordingsClient) -> Recording:
    async for recording in client.stream(sim.room_sids, status="completed"):
        if recording.media_external_location is None and recording.encryption_key is None:
            return recording
    raise AssertionError("no recording with media")


@pytest.fixture
async def plain_sim() -> AsyncIterator[Simulator]:
    async with Simulator(rooms=3, recordings_per_room=25, reads_per_second=None, concurrency_limit=None) as simulator:
        yield simulator


def truth(plain_sim: Simulator, room_sid: str, status: str | None = None) -> list[object]:
    return [record["sid"] for record in plain_sim.recordings(room_sid, status)]


async def listed(client: RecordingsClient, room_sid: str, **options: Any) -> list[object]:
    return [recording.sid async for recording in client.recordings(room_sid, **options)]


class TestLists:
    async def test_the_references_examples(self, plain_sim: Simulator) -> None:
        async with plain_sim.client() as client:
            (recording,) = await client.recordings(EXAMPLE_ROOM_SID).to_list()
            assert recording.track_name == "A name"
            assert await client.recordings(EMPTY_EXAMPLE_ROOM_SID).to_list() == []

    @pytest.mark.parametrize("page_size", [1, 7, 24, 25, 26, 1000])
    @pytest.mark.parametrize("prefetch", [True, False])
    async def test_every_page_size_gives_the_same(self, plain_sim: Simulator, page_size: int, prefetch: bool) -> None:
        async with plain_sim.client() as client:
            got = await listed(client, plain_sim.room_sids[0], page_size=page_size, prefetch=prefetch)
        assert got == truth(plain_sim, plain_sim.room_sids[0])
        assert plain_sim.stats.requests == -(-25 // page_size)

    @pytest.mark.parametrize("status", ["completed", "Processing", "DELETED", "failed"])
    async def test_the_status_filter(self, plain_sim: Simulator, status: str) -> None:
        async with plain_sim.client() as client:
            assert await listed(client, plain_sim.room_sids[0], status=status) == truth(
                plain_sim, plain_sim.room_sids[0], status.lower()
            )

    async def test_the_date_filters_are_inclusive_and_exclusive(self, plain_sim: Simulator) -> None:
        async with plain_sim.client() as client:
            everything = await client.recordings(plain_sim.room_sids[0]).to_list()
            dates = sorted({r.date_created for r in everything if r.date_created})
            after, before = dates[3], dates[-3]
            window = await client.recordings(
                plain_sim.room_sids[0], date_created_after=after, date_created_before=before
            ).to_list()
        assert window == [r for r in everything if r.date_created and after <= r.date_created < before]
        assert {after} <= {r.date_created for r in window}

    @pytest.mark.slow
    async def test_two_clients_do_not_mix_their_answers(self, plain_sim: Simulator) -> None:
        async with plain_sim.client() as client:
            rooms = list(plain_sim.room_sids) * 20
            answers = await asyncio.gather(*(listed(client, room, page_size=9) for room in rooms))
        assert answers == [truth(plain_sim, room) for room in rooms]
