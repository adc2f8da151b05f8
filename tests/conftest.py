"""What all tests share: credentials, a mocked service, bodies as the service sends them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import Mock

import aioresponses.core as aioresponses_core
import pytest
from aiohttp import ClientResponse, StreamReader
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses
from hypothesis import HealthCheck, settings

from roomrec_async import Credentials, RateLimiter, RecordingsClient, RetryPolicy

# All tests that have no event loop of their own can be run with eager tasks (nox -s eager).
if "ROOMREC_EAGER_TASKS" in os.environ:
    from .eager.conftest import pytest_asyncio_loop_factories  # noqa: F401

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "a-secret-token-that-must-never-be-shown"
ROOM_SID = "RM" + "1" * 32
BASE_URL = "https://video.twilio.com"
LIST_URL = f"{BASE_URL}/v1/Rooms/{ROOM_SID}/Recordings"


class _ResponseForMocks(ClientResponse):
    """aioresponses 0.7.9 does not know the argument that aiohttp requires since 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


def _reader_for_mocks(loop: Any = None) -> StreamReader:
    # The reader of aioresponses pauses its transport, which is none, in bodies of more than 128 KiB.
    return StreamReader(ResponseHandler(loop=loop), limit=2**30, loop=loop)


@pytest.fixture(autouse=True)
def _mocks_that_know_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioresponses_core, "ClientResponse", _ResponseForMocks)
    monkeypatch.setattr(aioresponses_core, "stream_reader_factory", _reader_for_mocks)


@pytest.fixture
def service() -> Iterator[aioresponses]:
    """The service, mocked: what is not registered here is a refused connection."""
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(ACCOUNT_SID, AUTH_TOKEN)


@pytest.fixture
def impatient() -> RetryPolicy:
    """Retries as by default, without the waits."""
    return RetryPolicy(base_delay=0)


@pytest.fixture
async def client(credentials: Credentials, impatient: RetryPolicy) -> AsyncIterator[RecordingsClient]:
    unlimited = RateLimiter(None, None, None)
    async with RecordingsClient(credentials, limiter=unlimited, retry=impatient) as client:
        yield client


def record(number: int, **fields: object) -> dict[str, object]:
    """A recording as the service sends it."""
    sid = f"RT{number:032x}"
    return {
        "sid": sid,
        "url": f"{LIST_URL}/{sid}",
        "size": 1000 + number,
        "type": "audio",
        "codec": "opus",
        "links": {"media": f"{LIST_URL}/{sid}/Media"},
        "offset": 10,
        "status": "completed",
        "duration": 10,
        "room_sid": ROOM_SID,
        "source_sid": f"MT{number:032x}",
        "track_name": "A name",
        "account_sid": ACCOUNT_SID,
        "date_created": "2015-07-30T20:00:00Z",
        "grouping_sids": {"room_sid": ROOM_SID, "participant_sid": "PA" + "2" * 32},
        "container_format": "mka",
        "media_external_location": None,
        **fields,
    }


def page_url(query: str) -> str:
    return f"{LIST_URL}?{query}"


def body(records: list[dict[str, object]], *, following: str | None = None, number: int = 0) -> bytes:
    """A page; ``following`` is the query of the next one."""
    meta = {
        "key": "recordings",
        "url": LIST_URL,
        "page": number,
        "page_size": 50,
        "next_page_url": page_url(following) if following else None,
        "first_page_url": LIST_URL,
        "previous_page_url": None,
    }
    return json.dumps({"meta": meta, "recordings": records}).encode()
