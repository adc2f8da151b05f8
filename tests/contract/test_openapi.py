"""Requests and the simulator's answers, held against the provider's published OpenAPI description.

The description is not part of this project: ``ROOMREC_OPENAPI`` says where it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from multidict import MultiDict
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict
from yarl import URL

from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID, ReceivedRequest, Simulator

HOST = "https://video.twilio.com"
DESCRIPTION = Path(
    os.environ.get("ROOMREC_OPENAPI") or Path(__file__).parents[3] / "shared" / "api" / "twilio_video_v1.json"
)
REFERENCE = DESCRIPTION.with_name("list-room-recordings.txt")


@attrs.define
class Request:
    """A request as openapi-core reads it, at the host that the description names."""

    method: str
    path: str
    parameters: RequestParameters
    host_url: str = HOST
    content_type: str = ""
    body: bytes | None = None

    @classmethod
    def of(cls, received: ReceivedRequest) -> Request:
        query = URL(f"{HOST}/?{received.query_string}", encoded=True).query
        return cls.made(received.path, query, received.headers)

    @classmethod
    def made(cls, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Request:
        parameters = RequestParameters(query=ImmutableMultiDict(MultiDict(query)), header=Headers(headers or {}))
        return cls("get", path, parameters)


@attrs.define
class Response:
    """A response as openapi-core reads it."""

    data: bytes
    status_code: int = 200
    content_type: str = "application/json"
    headers: Headers = attrs.field(factory=Headers)


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


def as_published(body: bytes) -> bytes:
    """A page without the deviation of the reference's own example: a codec in lower case, which the description's
    enumeration does not have."""
    page = json.loads(body)
    for record in page["recordings"]:
        record["codec"] = record["codec"].upper()
    return json.dumps(page).encode()


async def answers(sim: Simulator, url: str) -> AsyncIterator[tuple[Request, bytes]]:
    """All pages of a list, with the requests for them."""
    following: str | None = f"{sim.base_url}{url}"
    async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as session:
        while following:
            async with session.get(URL(following, encoded=True)) as response:
                assert response.status == 200
                body = await response.read()
            asked = URL(following, encoded=True)
            yield Request.made(asked.path, asked.query), body
            following = json.loads(body)["meta"]["next_page_url"]


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

    @pytest.mark.parametrize(
        "query", [{"PageSize": "1001"}, {"PageSize": "0"}, {"SourceSid": "MT1"}, {"Status": "done"}, {"Page": "-1"}]
    )
    def test_what_we_refuse_is_refused_there(self, description: OpenAPI, query: dict[str, str]) -> None:
        with pytest.raises(OpenAPIError):
            description.validate_request(Request.made(f"/v1/Rooms/RM{'0' * 32}/Recordings", query))


class TestAnswers:
    @pytest.mark.parametrize("query", ["", "?PageSize=1000", "?PageSize=3", "?Status=deleted", "?Status=processing"])
    async def test_pages_are_as_described(self, description: OpenAPI, sim: Simulator, query: str) -> None:
        count = 0
        for room in sim.room_sids:
            async for request, body in answers(sim, f"/v1/Rooms/{room}/Recordings{query}"):
                description.validate_response(request, Response(as_published(body)))
                count += len(json.loads(body)["recordings"])
        assert count

    @pytest.mark.parametrize("room", [EXAMPLE_ROOM_SID, EMPTY_EXAMPLE_ROOM_SID])
    async def test_the_examples_are_the_references_byte_for_byte(
        self, description: OpenAPI, sim: Simulator, room: str
    ) -> None:
        ((request, body),) = [answer async for answer in answers(sim, f"/v1/Rooms/{room}/Recordings")]
        assert body in REFERENCE.read_bytes()
        assert len(json.loads(body)["recordings"]) == (room == EXAMPLE_ROOM_SID)
        description.validate_response(request, Response(as_published(body)))

    async def test_rooms_are_as_described(self, description: OpenAPI, sim: Simulator) -> None:
        async with aiohttp.ClientSession(headers={"Authorization": sim.credentials.authorization}) as session:
            for path, query in (("/v1/Rooms", {"Status": "completed"}), (f"/v1/Rooms/{sim.room_sids[0]}", {})):
                async with session.get(f"{sim.base_url}{path}", params=query) as response:
                    description.validate_response(Request.made(path, query), Response(await response.read()))

    @pytest.mark.parametrize(
        ("field", "value"), [("size", "23"), ("sid", "RT" + "a" * 31), ("status", "done"), ("date_created", "today")]
    )
    async def test_a_wrong_answer_is_found(self, description: OpenAPI, sim: Simulator, field: str, value: Any) -> None:
        ((request, body),) = [answer async for answer in answers(sim, f"/v1/Rooms/{EXAMPLE_ROOM_SID}/Recordings")]
        page = json.loads(as_published(body))
        page["recordings"][0][field] = value
        with pytest.raises(OpenAPIError):
            description.validate_response(request, Response(json.dumps(page).encode()))
