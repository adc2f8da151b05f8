"""The aiohttp sessions of a client, on real sockets."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from roomrec_async import (
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    Credentials,
    InvalidArgumentError,
    NotFoundError,
    RecordingsClient,
    RetryPolicy,
    __version__,
)
from roomrec_async.simulator import Simulator

from ..conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(rooms=3, recordings_per_room=25, reads_per_second=None, concurrency_limit=None) as simulator:
        yield simulator


def truth(sim: Simulator, room_sid: str, status: str | None = None) -> list[object]:
    return [record["sid"] for record in sim.recordings(room_sid, status)]


async def listed(client: RecordingsClient, room_sid: str, **options: Any) -> list[object]:
    return [recording.sid async for recording in client.recordings(room_sid, **options)]


class TestSession:
    async def test_a_client_made_outside_a_loop_works_inside(self, sim: Simulator) -> None:
        made_outside = await asyncio.to_thread(sim.client)
        async with made_outside as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_its_own_session_is_closed_with_it(self, sim: Simulator) -> None:
        client = sim.client()
        await client.recordings(sim.room_sids[0]).first()
        await client.aclose()
        await client.aclose()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del client
            gc.collect()

    async def test_a_lent_session_is_neither_closed_nor_changed(self, sim: Simulator) -> None:
        async with aiohttp.ClientSession(headers={"X-Mine": "1"}, raise_for_status=True) as session:
            before = dict(session.headers)
            async with sim.client(session=session) as client:
                assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])
                with pytest.raises(NotFoundError):
                    await listed(client, ROOM_SID)
            assert not session.closed
            assert dict(session.headers) == before
        assert all(request.headers["X-Mine"] == "1" for request in sim.requests)

    async def test_a_lent_session_that_does_not_decompress_is_read_all_the_same(self, sim: Simulator) -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as session, sim.client(session=session) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_use_after_closing_is_a_clear_error(self, sim: Simulator) -> None:
        client = sim.client()
        await client.aclose()
        with pytest.raises(ClientClosedError, match="the client is closed"):
            await client.recordings(sim.room_sids[0]).first()
        assert sim.stats.requests == 0

    async def test_use_of_a_closed_lent_session_is_a_clear_error(self, sim: Simulator) -> None:
        session = aiohttp.ClientSession()
        await session.close()
        with pytest.raises(ClientClosedError, match="session that was given"):
            await sim.client(session=session).recordings(sim.room_sids[0]).first()

    async def test_closing_while_a_request_is_under_way_ends_it_with_a_clear_error(self, sim: Simulator) -> None:
        sim.latency = 30
        client = sim.client()
        request = asyncio.create_task(client.recordings(sim.room_sids[0]).first())
        while not sim.stats.requests:
            await asyncio.sleep(0.01)
        await client.aclose()
        with pytest.raises(ClientClosedError, match="the client is closed"):
            await request

    async def test_a_client_that_is_left_open_warns(self, sim: Simulator) -> None:
        client = sim.client()
        await client.recordings(sim.room_sids[0]).first()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
            messages = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
            # aiohttp's own warnings keep its session alive, which would warn of its connector later on.
            caught.clear()
            gc.collect()
        assert any("RecordingsClient was not closed" in message for message in messages)

    async def test_a_client_that_was_never_used_needs_no_closing(self, sim: Simulator) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sim.client()
            gc.collect()

    def test_a_client_of_another_loop_is_a_clear_error(self) -> None:
        with Simulator(rooms=1) as sim:
            client = sim.client()

            async def use() -> None:
                await client.recordings(sim.room_sids[0]).first()

            with asyncio.Runner() as first:
                first.run(use())
                with asyncio.Runner() as second, pytest.raises(ConfigurationError, match="another event loop"):
                    second.run(use())
                first.run(client.aclose())

    async def test_trace_configs_reach_aiohttp(self, sim: Simulator) -> None:
        seen = []

        async def note(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
            seen.append(params.url.path)

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(note)
        async with RecordingsClient(sim.credentials, base_url=sim.base_url, trace_configs=[trace]) as client:
            await client.recordings(sim.room_sids[0]).first()
        assert seen == [f"/v1/Rooms/{sim.room_sids[0]}/Recordings"]

    async def test_trace_configs_do_not_go_with_a_lent_session(self) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match="trace_configs"):
                RecordingsClient(
                    Credentials(ACCOUNT_SID, AUTH_TOKEN), session=session, trace_configs=[aiohttp.TraceConfig()]
                )

    async def test_what_a_lent_session_raises_of_its_own_is_a_failed_connection(self, sim: Simulator) -> None:
        # As the connectors for SOCKS proxies do, whose errors are neither aiohttp's nor the system's.
        class ProxyError(Exception):
            pass

        failures = iter([ProxyError("refused"), asyncio.IncompleteReadError(b"", 2)])

        async def fail_twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
            for failure in failures:
                raise failure
            return await handler(request)

        async def fail(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
            raise ProxyError("refused")

        retry = RetryPolicy(max_attempts=3, base_delay=0.001)
        async with aiohttp.ClientSession(middlewares=[fail_twice]) as session:
            client = RecordingsClient(sim.credentials, session=session, base_url=sim.base_url, retry=retry)
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])
        async with aiohttp.ClientSession(middlewares=[fail]) as session:
            client = RecordingsClient(sim.credentials, session=session, base_url=sim.base_url, retry=retry)
            by_room = await client.gather(sim.room_sids, return_exceptions=True)
            assert [type(each) for each in by_room.values()] == 3 * [ConnectionFailedError]
            error = by_room[sim.room_sids[0]]
            assert isinstance(error, ConnectionFailedError)
            assert error.detail == "refused (ProxyError)"
            assert isinstance(error.__cause__, ProxyError)

    @pytest.mark.parametrize("mistake", [AttributeError, KeyError, RuntimeError, AssertionError, TypeError, NameError])
    async def test_a_mistake_in_a_lent_session_is_raised_as_it_is(
        self, sim: Simulator, mistake: type[Exception]
    ) -> None:
        made: list[Exception] = []

        async def fail(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
            made.append(mistake("the program's own"))
            raise made[-1]

        async with aiohttp.ClientSession(middlewares=[fail]) as session:
            client = RecordingsClient(sim.credentials, session=session, base_url=sim.base_url)
            with pytest.raises(mistake) as caught:
                await listed(client, sim.room_sids[0])
        assert [caught.value] == made

    async def test_who_is_calling(self, sim: Simulator) -> None:
        async with sim.client() as client:
            await client.recordings(sim.room_sids[0]).first()
        (request,) = sim.requests
        assert request.headers["User-Agent"].startswith(f"roomrec_async/{__version__} aiohttp/")
        assert request.headers["Authorization"] == sim.credentials.authorization
        assert request.headers["Accept"] == "application/json"

    @pytest.mark.parametrize("own", ["the-app/2.0", None])
    @pytest.mark.parametrize("has_authentication", [False, True])
    async def test_the_program_that_is_calling_is_named_at_the_end_and_a_lent_session_at_the_front(
        self, sim: Simulator, own: str | None, has_authentication: bool
    ) -> None:
        headers = {} if own is None else {"User-Agent": own}
        # A session with trust_env may have passwords of its own, and is not used itself.
        async with (
            aiohttp.ClientSession(headers=headers, trust_env=has_authentication) as session,
            RecordingsClient(
                sim.credentials, base_url=sim.base_url, session=session, user_agent="my-export/1.2 (nightly)"
            ) as client,
        ):
            await client.recordings(sim.room_sids[0]).first()
            assert dict(session.headers) == headers
        (request,) = sim.requests
        front = "" if own is None else f"{own} "
        name = request.headers["User-Agent"]
        assert name.startswith(f"{front}roomrec_async/{__version__} aiohttp/")
        assert name.endswith(" my-export/1.2 (nightly)")
        assert len(request.headers.getall("User-Agent")) == 1

    async def test_the_store_learns_the_program_but_not_the_name_of_a_lent_session(
        self, sim: Simulator, tmp_path: Path
    ) -> None:
        async with (
            aiohttp.ClientSession(headers={"User-Agent": "the-app/2.0"}) as session,
            RecordingsClient(
                sim.credentials, base_url=sim.base_url, session=session, user_agent="my-export/1.2"
            ) as client,
        ):
            async for recording in client.recordings(sim.room_sids[0], status="completed", limit=1):
                await client.download(recording, f"{tmp_path}/")
        (request,) = [request for request in sim.store.requests if request.method == "GET"]
        name = request.headers["User-Agent"]
        assert name.startswith(f"roomrec_async/{__version__} aiohttp/")
        assert name.endswith(" my-export/1.2")

    async def test_an_api_key_works_like_the_token(self, sim: Simulator) -> None:
        async with RecordingsClient(sim.api_key_credentials, base_url=sim.base_url) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_from_env(self, sim: Simulator) -> None:
        environ = {
            "TWILIO_ACCOUNT_SID": sim.credentials.username,
            "TWILIO_AUTH_TOKEN": sim.credentials.password,
            "ROOMREC_BASE_URL": sim.base_url,
        }
        async with RecordingsClient.from_env(environ) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("http://video.twilio.com", "not https"),
        ("http://localhost.evil.example", "not https"),
        ("http://128.0.0.1", "not https"),
        ("ftp://video.twilio.com", "https://host"),
        ("video.twilio.com", "https://host"),
        ("https://user:password@video.twilio.com", "https://host"),
        ("https://video.twilio.com?x=1", "https://host"),
        ("", "https://host"),
        ("http://[", "https://host"),
        ("https://host:port", "https://host"),
    ],
)
def test_base_urls_that_credentials_must_not_go_to_are_refused(base_url: str, message: str) -> None:
    expected = ConfigurationError if message == "not https" else InvalidArgumentError
    with pytest.raises(expected, match=message) as caught:
        RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=base_url)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://gateway.example/twilio/",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:1",
        "http://localhost",
    ],
)
def test_base_urls_over_tls_or_to_loopback_are_accepted(base_url: str) -> None:
    RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=base_url)


@pytest.mark.parametrize("proxy", ["", "proxy.example:3128", "socks5://user:password@proxy.example", "http://["])
def test_proxies_that_cannot_work_are_refused(proxy: str) -> None:
    with pytest.raises(InvalidArgumentError, match="proxy must be") as caught:
        RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), proxy=proxy)
    assert "password" not in str(caught.value)


def test_credentials_do_not_go_to_a_proxy_unencrypted() -> None:
    with pytest.raises(ConfigurationError, match="proxy"):
        RecordingsClient(
            Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url="http://127.0.0.1:1", proxy="http://proxy.example:3128"
        )
