"""A simulator without limits, and sessions to talk to it."""

import aiohttp
import pytest

from .raw_http import SIZE, media_of, session_of, signed_url, stored_records, unlimited


@pytest.fixture
async def sim():
    async with unlimited(14, (10, 30), seed=3, media_size=(1_000, 200_000)) as simulator:
        yield simulator


@pytest.fixture
async def http(sim):
    async with session_of(sim) as session:
        yield session


@pytest.fixture
async def anonymous():
    """A session for the object store: without credentials, and without decompression."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def stored(anonymous):
    """A simulator, a recording of SIZE bytes, its URL and its content."""
    async with unlimited(2, 8, seed=1, media_size=SIZE) as sim, session_of(sim) as http:
        record = stored_records(sim)[0]
        yield sim, record, await signed_url(http, record["url"]), media_of(sim, record["sid"])
