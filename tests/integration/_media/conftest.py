"""A service and an object store on loopback, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from roomrec_async import Credentials, Recording, RecordingsClient, RetryPolicy, Timeout, from_dict

from ...conftest import ACCOUNT_SID, AUTH_TOKEN, record
from .media_store import CONTENT, MediaStore


@pytest.fixture
async def store() -> AsyncIterator[MediaStore]:
    store = MediaStore()
    async with store.service_server, store.store_server:
        yield store


@pytest.fixture
async def client(store: MediaStore) -> AsyncIterator[RecordingsClient]:
    async with RecordingsClient(
        Credentials(ACCOUNT_SID, AUTH_TOKEN),
        base_url=store.base_url,
        retry=RetryPolicy(base_delay=0),
        timeout=Timeout(total=5, connect=1, read=1),
    ) as client:
        yield client


@pytest.fixture
def recording() -> Recording:
    return from_dict(Recording, record(7, size=len(CONTENT)))
