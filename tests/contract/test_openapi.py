"""Requests, and the simulator's responses, validated against the provider's published OpenAPI description.

The description is not part of this project: ``ROOMREC_OPENAPI`` holds its path.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import attrs
import pytest
from multidict import MultiDict
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict
from yarl import URL

from roomrec_async import BadRequestError, Credentials
from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID, ReceivedRequest, Simulator

Query: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]

HOST = "https://video.twilio.com"
DESCRIPTION = Path(
    os.environ.get("ROOMREC_OPENAPI") or Path(__file__).parents[3] / "shared" / "api" / "twilio_video_v1.json"
)
REFERENCE = DESCRIPTION.with_name("list-room-recordings.txt")


@attrs.define
class Request:
    """Request in the form that openapi-core reads, at the host of the description."""

    method: str
    path: str
    parameters: RequestParameters
    host_url: str = HOST
    content_type: str = ""
    body: bytes | None = None

    @classmethod
    def of(cls, received: ReceivedRequest) -> Request:
        query = URL(f"{HOST}/?{received.query_string}", encoded=True).query
        return cls.made(received.path, query, received.headers, method=received.method.lower())

    @classmethod
    def made(
        cls, path: str, query: Query = (), headers: Mapping[str, str] | None = None, *, method: str = "get"
    ) -> Request:
        # As pairs, because a parameter may be repeated.
        pairs = ImmutableMultiDict(list(MultiDict(query).items()))
        return cls(method, path, RequestParameters(query=pairs, header=Headers(headers or {})))


@attrs.define
class Response:
    """Response in the form that openapi-core reads."""

    data: bytes
    status_code: int = 200
    content_type: str = "application/json"
    headers: Headers = attrs.field(factory=Headers)

    @classmethod
    async def of(cls, received: aiohttp.ClientResponse) -> Response:
        return cls(
            await received.read(), received.status, received.content_type, Headers(list(received.headers.items()))
        )

    def as_published(self) -> Response:
        """Return the response with its codecs in upper case.

        The reference's own example, like the simulator, has one in lower case, which the description does not list.
        """
        page = json.loads(self.data)
        for record in page.get("recordings", [page]):
            record["codec"] = record["codec"].upper()
        return attrs.evolve(self, data=json.dumps(page).encode())

    @property
    def recordings(self) -> list[dict[str, Any]]:
        return json.loads(self.data)["recordings"]


@pytest.fixture(scope="module")
def description() -> OpenAPI:
    if not DESCRIPTION.exists():
        reason = f"the provider's description is not at {DESCRIPTION}: set ROOMREC_OPENAPI"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return OpenAPI.from_file_path(str(DESCRIPTION))


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(rooms=3, recordings_per_room=20, seed=1, reads_per_second=None) as simulator:
        yield simulator


async def responses(sim: Simulator, url: str) -> AsyncIterator[tuple[Request, Response]]:
    """Yield all pages of a list, with their requests."""
    following: str | None = f"{sim.base_url}{url}"
    async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as session:
        while following:
            asked = URL(following, encoded=True)
            async with session.get(asked) as received:
                response = await Response.of(received)
            assert response.status_code == 200
            yield Request.made(asked.path, asked.query), response
            following = json.loads(response.data)["meta"]["next_page_url"]


class TestRequests:
    async def test_every_parameter_is_as_described(self, description: OpenAPI, sim: Simulator) -> None:
        room = sim.room_sids[0]
        async with sim.client() as client:
            everything = await client.recordings(room, page_size=7).to_list()
            first = everything[0]
            assert first.date_created is not None
            await client.recordings(
                room,
                status="completed",
                source_sid=first.source_sid,
                date_created_after=first.date_created - timedelta(days=1),
                date_created_before=datetime.now(UTC) + timedelta(microseconds=1),
                page_size=1000,
                page=0,
            ).to_list()
            await client.gather(sim.room_sids, status="deleted")
        sent = [Request.of(received) for received in sim.requests]
        for request in sent:
            description.validate_request(request)
        names = {name for request in sent for name in request.parameters.query}
        assert names == {
            *("Status", "SourceSid", "DateCreatedAfter", "DateCreatedBefore"),
            *("PageSize", "Page", "PageToken"),
        }
        assert all(received.status == 200 for received in sim.requests)

    async def test_all_parameters_at_once_are_as_described(self, description: OpenAPI, sim: Simulator) -> None:
        room = sim.room_sids[0]
        async with sim.client() as client:
            (one, *_) = await client.recordings(room, limit=1).to_list()
            with pytest.raises(BadRequestError):  # the token is not the simulator's; only the request matters here
                await client.recordings(
                    room,
                    status="COMPLETED",
                    source_sid=one.source_sid,
                    date_created_after=datetime(2026, 1, 1, 3, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=5.5))),
                    date_created_before=datetime(2027, 1, 1, tzinfo=UTC),
                    page_size=2,
                    page=3,
                    page_token="a-token/+=",
                ).to_list()
        request = Request.of(sim.requests[-1])
        assert dict(request.parameters.query) == {
            "Status": "completed",
            "DateCreatedBefore": "2027-01-01T00:00:00Z",
            "DateCreatedAfter": "2025-12-31T22:00:01Z",
            "SourceSid": one.source_sid,
            "PageSize": "2",
            "Page": "3",
            "PageToken": "a-token/+=",
        }
        description.validate_request(request)

    async def test_every_parameter_of_the_accounts_list_is_as_described(
        self, description: OpenAPI, sim: Simulator
    ) -> None:
        async with sim.client() as client:
            first, *_ = await client.account_recordings(page_size=7, status="completed").to_list()
            grouped = first.grouping_sids
            found = await client.account_recordings(
                status="completed",
                source_sid=first.source_sid,
                grouping_sids=[grouped["room_sid"], grouped["participant_sid"]],
                date_created_after=first.date_created,
                date_created_before=datetime(2027, 6, 1, tzinfo=timezone(timedelta(hours=-3.5))),
                media_type=first.type,
                page_size=100,
                page=0,
            ).to_list()
            assert first.sid in {recording.sid for recording in found}
            assert await client.account_recordings().to_list()
        sent = [Request.of(received) for received in sim.requests]
        for request in sent:
            assert request.path == "/v1/Recordings"
            description.validate_request(request)
        names = {name for request in sent for name in request.parameters.query}
        assert names == {
            *("Status", "SourceSid", "GroupingSid", "DateCreatedAfter", "DateCreatedBefore", "MediaType"),
            *("PageSize", "Page", "PageToken"),
        }
        several = [request.parameters.query.getlist("GroupingSid") for request in sent]
        assert [grouped["room_sid"], grouped["participant_sid"]] in several
        assert all(received.status == 200 for received in sim.requests)

    async def test_single_recordings_and_deletions_are_asked_for_as_described(
        self, description: OpenAPI, sim: Simulator
    ) -> None:
        room = sim.room_sids[0]
        async with sim.client() as client:
            (one,) = await client.recordings(room, limit=1).to_list()
            assert one.sid is not None
            await client.recording(room, one.sid)
            assert await client.delete(room, one.sid)
        fetched, deleted = [Request.of(received) for received in list(sim.requests)[-2:]]
        assert [(request.method, request.path) for request in (fetched, deleted)] == [
            ("get", f"/v1/Rooms/{room}/Recordings/{one.sid}"),
            ("delete", f"/v1/Rooms/{room}/Recordings/{one.sid}"),
        ]
        for request in (fetched, deleted):
            description.validate_request(request)

    @pytest.mark.parametrize("method", ["get", "delete"])
    def test_single_recordings_without_credentials_are_not_as_described(
        self, description: OpenAPI, method: str
    ) -> None:
        basic = {"Authorization": Credentials("AC" + "0" * 32, "token").authorization}
        for path in (f"/v1/Recordings/RT{'0' * 32}", f"/v1/Rooms/RM{'0' * 32}/Recordings/RT{'0' * 32}"):
            description.validate_request(Request.made(path, headers=basic, method=method))
            with pytest.raises(OpenAPIError):
                description.validate_request(Request.made(path, method=method))

    def test_a_request_without_credentials_is_not_as_described(self, description: OpenAPI) -> None:
        path = f"/v1/Rooms/RM{'0' * 32}/Recordings"
        basic = {"Authorization": Credentials("AC" + "0" * 32, "token").authorization}
        description.validate_request(Request.made(path, {}, basic))
        for headers in ({}, {"Authorization": basic["Authorization"].replace("Basic", "Bearer")}):
            with pytest.raises(OpenAPIError):
                description.validate_request(Request.made(path, {}, headers))

    @pytest.mark.parametrize(
        "query",
        [
            {"PageSize": "1001"},
            {"PageSize": "0"},
            {"SourceSid": "MT1"},
            {"Status": "done"},
            {"Page": "-1"},
            {"DateCreatedAfter": "2017-06-01"},
            {"DateCreatedBefore": "2017-06-01T00:00:00"},
        ],
    )
    def test_the_description_refuses_what_we_refuse(self, description: OpenAPI, query: dict[str, str]) -> None:
        path = f"/v1/Rooms/RM{'0' * 32}/Recordings"
        basic = {"Authorization": Credentials("AC" + "0" * 32, "token").authorization}
        with pytest.raises(OpenAPIError):
            description.validate_request(Request.made(path, query, basic))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *[("PageSize", value) for value in ("101", "0")],
            *[("GroupingSid", value) for value in ("RM1", "RM" + "g" * 32)],
            *[("MediaType", value) for value in ("Audio", "text")],
            *[("Status", "done"), ("SourceSid", "MT1"), ("Page", "-1"), ("DateCreatedAfter", "2017-06-01")],
        ],
    )
    async def test_the_description_and_the_simulator_refuse_what_the_accounts_list_refuses(
        self, description: OpenAPI, sim: Simulator, name: str, value: str
    ) -> None:
        basic = {"Authorization": sim.credentials.authorization}
        with pytest.raises(OpenAPIError):
            description.validate_request(Request.made("/v1/Recordings", {name: value}, basic))
        async with aiohttp.ClientSession(headers=basic) as session:
            async with session.get(f"{sim.base_url}/v1/Recordings", params={name: value}) as received:
                assert received.status == 400


class TestResponses:
    @pytest.mark.parametrize("query", ["", "?PageSize=1000", "?PageSize=3", "?Status=deleted", "?Status=processing"])
    async def test_pages_are_as_described(self, description: OpenAPI, sim: Simulator, query: str) -> None:
        count = 0
        for room in sim.room_sids:
            async for request, response in responses(sim, f"/v1/Rooms/{room}/Recordings{query}"):
                description.validate_response(request, response.as_published())
                count += len(response.recordings)
        assert count

    async def test_pages_of_a_window_and_of_a_track_are_as_described(
        self, description: OpenAPI, sim: Simulator
    ) -> None:
        url = f"/v1/Rooms/{sim.room_sids[0]}/Recordings"
        everything = [record async for _, response in responses(sim, url) for record in response.recordings]
        dates = sorted({record["date_created"] for record in everything})
        assert len(dates) > 2
        source = everything[0]["source_sid"]
        for query, wanted in (
            (f"DateCreatedAfter={dates[1]}", lambda record: record["date_created"] >= dates[1]),
            (f"DateCreatedBefore={dates[-1]}", lambda record: record["date_created"] < dates[-1]),
            (f"SourceSid={source}", lambda record: record["source_sid"] == source),
            (f"DateCreatedBefore={dates[0]}", lambda record: False),
        ):
            found = []
            async for request, response in responses(sim, f"{url}?{query.replace(':', '%3A')}&PageSize=3"):
                description.validate_response(request, response.as_published())
                found += response.recordings
            assert sorted(record["sid"] for record in found) == sorted(
                record["sid"] for record in everything if wanted(record)
            )

    @pytest.mark.parametrize("room", [EXAMPLE_ROOM_SID, EMPTY_EXAMPLE_ROOM_SID])
    async def test_the_examples_are_the_references_byte_for_byte(
        self, description: OpenAPI, sim: Simulator, room: str
    ) -> None:
        ((request, response),) = [pair async for pair in responses(sim, f"/v1/Rooms/{room}/Recordings")]
        assert response.data in REFERENCE.read_bytes()
        assert len(response.recordings) == (room == EXAMPLE_ROOM_SID)
        description.validate_response(request, response.as_published())

    @pytest.mark.parametrize(
        "query", ["", "?PageSize=100", "?PageSize=7", "?Status=deleted", "?Status=processing", "?MediaType=video"]
    )
    async def test_pages_of_the_account_are_as_described(
        self, description: OpenAPI, sim: Simulator, query: str
    ) -> None:
        count = 0
        async for request, response in responses(sim, f"/v1/Recordings{query}"):
            description.validate_response(request, response.as_published())
            count += len(response.recordings)
        assert count

    async def test_pages_of_rooms_and_participants_are_as_described(self, description: OpenAPI, sim: Simulator) -> None:
        grouped = next(sim.recordings(sim.room_sids[0]))["grouping_sids"]
        assert isinstance(grouped, dict)
        room, participant = (f"GroupingSid={grouped[name]}" for name in ("room_sid", "participant_sid"))
        counts = []
        for query in (room, f"{room}&{participant}"):
            found = []
            async for request, response in responses(sim, f"/v1/Recordings?{query}&PageSize=3"):
                description.validate_response(request, response.as_published())
                found += response.recordings
            counts.append(len(found))
        assert 0 < counts[1] < counts[0] == 20

    @pytest.mark.parametrize("status", ["completed", "processing", "failed", "deleted"])
    async def test_responses_to_single_recordings_and_deletions_are_as_described(
        self, description: OpenAPI, sim: Simulator, status: str
    ) -> None:
        sim.second_delete = 204
        record = next(record for room in sim.room_sids for record in sim.recordings(room, status))
        paths = (f"/v1/Rooms/{record['room_sid']}/Recordings/{record['sid']}", f"/v1/Recordings/{record['sid']}")
        async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as session:
            for method in ("get", "delete", "get", "delete"):
                for path in paths:
                    async with session.request(method, f"{sim.base_url}{path}") as received:
                        response = await Response.of(received)
                    assert response.status_code == (200 if method == "get" else 204)
                    response = response.as_published() if method == "get" else response
                    description.validate_response(Request.made(path, method=method), response)

    async def test_rooms_are_as_described(self, description: OpenAPI, sim: Simulator) -> None:
        async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as session:
            for path, query in (("/v1/Rooms", {"Status": "completed"}), (f"/v1/Rooms/{sim.room_sids[0]}", {})):
                async with session.get(f"{sim.base_url}{path}", params=query) as received:
                    description.validate_response(Request.made(path, query), await Response.of(received))

    async def test_participants_are_asked_for_and_are_as_described(self, description: OpenAPI, sim: Simulator) -> None:
        async with sim.client() as client:
            for room in sim.room_sids:
                everyone = await client.participants(room).to_list()
                first = everyone[0]
                await client.participants(
                    room,
                    status=first.status,
                    identity=first.identity,
                    date_created_after=first.date_created,
                    date_created_before=datetime.now(UTC),
                    page_size=7,
                    page=0,
                ).to_list()
        for received in sim.requests:
            description.validate_request(Request.of(received))
        names = {name for received in sim.requests for name in Request.of(received).parameters.query}
        assert names >= {"Status", "Identity", "DateCreatedAfter", "DateCreatedBefore", "PageSize", "Page"}
        for room in sim.room_sids:
            pages = [pair async for pair in responses(sim, f"/v1/Rooms/{room}/Participants?PageSize=4")]
            assert len(pages) > 1
            for request, response in pages:
                description.validate_response(request, response)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("size", "23"), ("sid", "RT" + "a" * 31), ("status", "done"), ("date_created", "today"), ("links", [])],
    )
    async def test_a_wrong_record_is_refused(
        self, description: OpenAPI, sim: Simulator, field: str, value: Any
    ) -> None:
        ((request, response),) = [pair async for pair in responses(sim, f"/v1/Rooms/{EXAMPLE_ROOM_SID}/Recordings")]
        page = json.loads(response.as_published().data)
        page["recordings"][0][field] = value
        with pytest.raises(OpenAPIError):
            description.validate_response(request, attrs.evolve(response, data=json.dumps(page).encode()))

    @pytest.mark.parametrize("wrong", [{"status_code": 200}, {"status_code": 404}], ids=repr)
    def test_a_wrong_response_to_a_deletion_is_refused(self, description: OpenAPI, wrong: dict[str, Any]) -> None:
        request = Request.made(f"/v1/Recordings/RT{'0' * 32}", method="delete")
        described = Response(b"", 204, "")
        description.validate_response(request, described)
        with pytest.raises(OpenAPIError):
            description.validate_response(request, attrs.evolve(described, **wrong))

    @pytest.mark.parametrize("wrong", [{"status_code": 299}, {"content_type": "text/html"}, {"data": b"{"}], ids=repr)
    async def test_a_wrong_response_is_refused(
        self, description: OpenAPI, sim: Simulator, wrong: dict[str, Any]
    ) -> None:
        ((request, response),) = [pair async for pair in responses(sim, f"/v1/Rooms/{EXAMPLE_ROOM_SID}/Recordings")]
        with pytest.raises(OpenAPIError):
            description.validate_response(request, attrs.evolve(response.as_published(), **wrong))
