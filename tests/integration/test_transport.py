"""The session wrapper, on real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    Credentials,
    InvalidArgumentError,
    NotFoundError,
    RateLimiter,
    RateLimitError,
    RecordingsClient,
    RequestTimeoutError,
    RetryPolicy,
    RoomRecError,
    ServerError,
    Timeout,
    __version__,
)
from roomrec_async.simulator import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID, Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

from ..conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID

QUICK = RetryPolicy(base_delay=0)


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
        with pytest.raises(ClientClosedError, match="was closed while"):
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

    async def test_requests_go_through_the_proxy(self, sim: Simulator) -> None:
        proxied = []

        async def proxy(request: web.Request) -> web.Response:
            proxied.append(str(request.url))
            return web.json_response({"recordings": [], "meta": {"next_page_url": None}})

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", proxy)
        async with (
            TestServer(app) as server,
            RecordingsClient(sim.credentials, base_url=sim.base_url, proxy=str(server.make_url("/"))) as client,
        ):
            assert await listed(client, sim.room_sids[0]) == []
        assert proxied == [f"{sim.base_url}/v1/Rooms/{sim.room_sids[0]}/Recordings?PageSize=1000"]
        assert sim.stats.requests == 0

    async def test_who_is_calling(self, sim: Simulator) -> None:
        async with sim.client() as client:
            await client.recordings(sim.room_sids[0]).first()
        (request,) = sim.requests
        assert request.headers["User-Agent"].startswith(f"roomrec_async/{__version__} aiohttp/")
        assert request.headers["Authorization"] == sim.credentials.authorization
        assert request.headers["Accept"] == "application/json"

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


def lent(session: aiohttp.ClientSession, sim: Simulator, timeout: Timeout) -> RecordingsClient:
    """A client that tries once, over a session of the caller's own."""
    return RecordingsClient(
        sim.credentials,
        session=session,
        base_url=sim.base_url,
        timeout=timeout,
        retry=RetryPolicy(max_attempts=1),
    )


class TestTimeouts:
    async def test_the_deadline_holds_against_a_server_that_is_silent(self, sim: Simulator) -> None:
        sim.inject(faults.StallHeaders(30), times=None)
        await self._ends_in_time(sim, "not finished within 0.3 s")

    async def test_the_deadline_holds_against_a_slow_drip(self, sim: Simulator) -> None:
        sim.inject(faults.SlowDrip(bytes_per_second=100), times=None)
        await self._ends_in_time(sim, "not finished within 0.3 s")

    async def test_the_deadline_holds_while_waiting_for_the_limiter(self, sim: Simulator) -> None:
        limiter = RateLimiter(1, None, None)
        async with limiter.read():
            await self._ends_in_time(sim, "all of it spent waiting for the rate limiter", limiter)
        assert sim.stats.requests == 0

    async def _ends_in_time(self, sim: Simulator, message: str, limiter: RateLimiter | None = None) -> None:
        limiter = limiter or RateLimiter()
        begin = time.monotonic()
        async with sim.client(limiter=limiter) as client:
            with pytest.raises(RequestTimeoutError, match=message) as caught:
                await client.recordings(sim.room_sids[0], timeout=0.3).to_list()
        assert time.monotonic() - begin < 5
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.resume_token is not None
        assert limiter.waiting == 0

    async def test_no_wait_goes_past_the_deadline(self, sim: Simulator) -> None:
        sim.inject(faults.Respond(503, headers={"Retry-After": "20"}), times=None)
        begin = time.monotonic()
        async with sim.client(timeout=10) as client:
            with pytest.raises(ServerError, match="503"):
                await client.recordings(sim.room_sids[0]).to_list()
        assert time.monotonic() - begin < 5
        assert sim.stats.requests == 1

    async def test_a_whole_list_has_one_deadline_and_an_iteration_one_for_each_page(self, sim: Simulator) -> None:
        sim.latency = 0.1
        async with sim.client(timeout=0.5) as client:
            assert len(await listed(client, sim.room_sids[0], page_size=3, prefetch=False)) == 25
            with pytest.raises(RequestTimeoutError):
                await client.recordings(sim.room_sids[0], page_size=3).to_list()

    async def test_a_read_timeout_is_tried_again(self, sim: Simulator) -> None:
        sim.inject(faults.StallBody(after=10, seconds=30))
        async with sim.client(timeout=Timeout(read=0.2), retry=QUICK) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])
        assert sim.stats.requests == 2

    @pytest.mark.parametrize("fault", [faults.StallHeaders(30), faults.StallBody(after=10, seconds=30)])
    async def test_the_time_to_connect_is_not_given_to_reading(self, sim: Simulator, fault: faults.Fault) -> None:
        sim.inject(fault)
        async with sim.client(timeout=Timeout(connect=25, read=0.2), retry=RetryPolicy(max_attempts=1)) as client:
            async with asyncio.timeout(5):
                with pytest.raises(RequestTimeoutError, match=r"nothing received for 0\.2 s"):
                    await client.recordings(sim.room_sids[0]).to_list()

    async def test_the_time_of_connecting_is_not_taken_from_reading(
        self, sim: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect = aiohttp.TCPConnector._create_connection

        async def slowly(*args: Any) -> Any:
            await asyncio.sleep(0.5)
            return await connect(*args)

        monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
        async with sim.client(timeout=Timeout(connect=5, read=0.3), retry=RetryPolicy(max_attempts=1)) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_the_time_until_the_headers_is_not_taken_from_that_of_the_body(self, sim: Simulator) -> None:
        class LateTwice:
            async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
                await asyncio.sleep(0.3)
                response, body = await exchange.begin()
                await asyncio.sleep(0.3)
                await response.write(body)
                return response

        sim.inject(LateTwice())
        async with sim.client(timeout=Timeout(read=0.5), retry=RetryPolicy(max_attempts=1)) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_with_a_lent_session_connecting_and_reading_are_one(self, sim: Simulator) -> None:
        sim.inject(faults.StallHeaders(30))
        async with aiohttp.ClientSession() as session:
            client = lent(session, sim, Timeout(connect=0.2, read=0.2))
            with pytest.raises(RequestTimeoutError, match=r"nothing received for 0\.4 s"):
                await client.recordings(sim.room_sids[0]).to_list()

    async def test_a_slow_body_may_take_longer_than_one_read(self, sim: Simulator) -> None:
        sim.inject(faults.SlowDrip(bytes_per_second=10_000))
        headers = {"Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(headers=headers) as session:
            client = lent(session, sim, Timeout(connect=0.2, read=0.3))
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_a_connect_timeout_says_so(self) -> None:
        # A listening socket whose backlog is full answers no further handshake.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            fillers = []
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            client = RecordingsClient(
                Credentials(ACCOUNT_SID, AUTH_TOKEN),
                base_url=f"http://127.0.0.1:{port}",
                retry=RetryPolicy(max_attempts=1),
                timeout=Timeout(connect=0.3),
            )
            async with client:
                with pytest.raises(RequestTimeoutError, match=r"no connection within 0\.3 s"):
                    await client.recordings(ROOM_SID).first()
            for filler in fillers:
                filler.close()

    @pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "5"])
    async def test_time_outs_that_cannot_work_are_refused(self, bad: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="timeout"):
            RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), timeout=bad)


class TestRetries:
    @pytest.mark.parametrize(
        "fault",
        [
            faults.Respond(429),
            faults.Respond(429, headers={"Retry-After": "0"}),
            faults.Respond(500),
            faults.Respond(502, b"<html><title>Bad gateway</title></html>"),
            faults.Respond(503),
            faults.Respond(504),
            faults.Reset(),
            faults.ResetMidBody(after=100),
            faults.Truncate(after=100),
            faults.CloseConnection(),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("page_size", [10, None])
    async def test_a_passing_fault_changes_nothing(self, sim: Simulator, fault: Any, page_size: int | None) -> None:
        sim.inject(fault, times=3)
        async with sim.client(retry=QUICK) as client:
            assert await listed(client, sim.room_sids[0], page_size=page_size) == truth(sim, sim.room_sids[0])

    async def test_connections_refused_are_tried_again_and_then_told(self, unused_tcp_port: int) -> None:
        credentials = Credentials(ACCOUNT_SID, AUTH_TOKEN)
        url = f"http://127.0.0.1:{unused_tcp_port}"
        async with RecordingsClient(credentials, base_url=url, retry=QUICK) as client:
            with pytest.raises(ConnectionFailedError, match="Cannot connect") as caught:
                await client.recordings(ROOM_SID).first()
        assert caught.value.attempts == 5
        assert ROOM_SID in caught.value.url

    @pytest.mark.parametrize(
        ("fault", "expected"), [(faults.Respond(503), ServerError), (faults.Reset(), ConnectionFailedError)]
    )
    @pytest.mark.parametrize("before", [0, 1], ids=["on a new connection", "on a used connection"])
    async def test_attempts_are_capped_and_each_is_one_request(
        self, sim: Simulator, fault: faults.Fault, expected: Any, before: int
    ) -> None:
        async with sim.client(retry=RetryPolicy(max_attempts=3, base_delay=0)) as client:
            for _ in range(before):
                await client.recordings(sim.room_sids[0]).first()
            sim.inject(fault, times=None)
            with pytest.raises(expected) as caught:
                await client.recordings(sim.room_sids[0]).first()
            assert sim.stats.requests - before == caught.value.attempts == 3
            recording = next(iter(sim.recordings(sim.room_sids[0])))
            with pytest.raises(expected) as caught:
                await client.delete(sim.room_sids[0], str(recording["sid"]))
            assert sim.stats.requests - before == caught.value.attempts + 3 == 6

    @pytest.mark.parametrize(
        ("status", "body", "expected"),
        [
            (400, b'{"code": 20001, "message": "bad", "status": 400}', (20001, "bad")),
            (401, b"", (None, "Unauthorized")),
            (403, b'{"title": "Suspended", "code": 20403, "status": 403}', (20403, "Suspended")),
            (404, b"<html><title>Not here</title></html>", (None, "Not Found. Not here")),
            (405, b"no", (None, "Method Not Allowed. no")),
            (410, b"[]", (None, "Gone. []")),
            (501, b'{"code": "x"}', (None, "Not Implemented")),
        ],
    )
    async def test_everything_else_fails_at_once(self, sim: Simulator, status: int, body: bytes, expected: Any) -> None:
        sim.inject(faults.Respond(status, body, headers={"Twilio-Request-Id": "RQ7"}))
        async with sim.client() as client:
            with pytest.raises(RoomRecError) as caught:
                await client.recordings(sim.room_sids[0]).first()
        error: Any = caught.value
        assert (error.status, error.code, error.message, error.request_id) == (status, *expected, "RQ7")
        assert sim.room_sids[0] in error.url
        assert sim.stats.requests == 1

    async def test_a_redirect_is_not_followed(self, sim: Simulator) -> None:
        async with Simulator(rooms=1) as elsewhere:
            sim.inject(faults.Respond(302, headers={"Location": f"{elsewhere.base_url}/v1/Rooms?secret=1"}))
            async with sim.client() as client:
                with pytest.raises(RoomRecError, match="redirects are not followed") as caught:
                    await client.recordings(sim.room_sids[0]).first()
            assert elsewhere.stats.requests == 0
        assert "secret" not in str(caught.value)

    async def test_a_retry_after_pauses_every_request_of_the_limiter(self, sim: Simulator) -> None:
        limiter = RateLimiter(10, None, None)
        sim.inject(faults.Respond(429, headers={"Retry-After": "1"}), path_contains=sim.room_sids[0])
        async with sim.client(limiter=limiter) as client, sim.client(limiter=limiter) as other:
            refused = asyncio.create_task(listed(client, sim.room_sids[0]))
            while not sim.stats.by_status[429]:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            begin = asyncio.get_running_loop().time()
            await listed(other, sim.room_sids[1])
            assert asyncio.get_running_loop().time() - begin > 0.7
            assert await refused == truth(sim, sim.room_sids[0])
        assert sim.stats.requests == 3

    async def test_no_permit_and_no_connection_is_held_while_waiting_to_try_again(self, sim: Simulator) -> None:
        limiter = RateLimiter(1, None, None)
        sim.inject(faults.Respond(503, headers={"Retry-After": "30"}), path_contains=sim.room_sids[0])
        async with sim.client(limiter=limiter) as client:
            waiting = asyncio.create_task(listed(client, sim.room_sids[0]))
            while not sim.stats.by_status[503]:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(5):
                assert await listed(client, sim.room_sids[1]) == truth(sim, sim.room_sids[1])
            assert limiter.in_flight == 0
            assert sim.stats.connections == 1
            waiting.cancel()
            await asyncio.wait([waiting])

    async def test_an_outage_does_not_multiply_the_traffic(self, sim: Simulator) -> None:
        sim.inject(faults.Respond(503), times=None)
        async with sim.client(retry=RetryPolicy(base_delay=0, budget=10), limiter=RateLimiter(5, None, None)) as client:
            for _ in range(100):
                with pytest.raises(ServerError):
                    await client.recordings(sim.room_sids[0]).first()
        assert sim.stats.requests == 110

    async def test_refusals_are_told_when_nothing_helps(self, sim: Simulator) -> None:
        sim.concurrency_limit = 0
        async with sim.client(retry=QUICK) as client:
            with pytest.raises(RateLimitError, match=r"429, code 20429.*after 5 attempts"):
                await client.recordings(sim.room_sids[0]).first()


class TestErrorsOfTheService:
    async def test_wrong_credentials(self, sim: Simulator) -> None:
        async with RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=sim.base_url) as client:
            with pytest.raises(AuthenticationError, match="20003") as caught:
                await client.recordings(sim.room_sids[0]).first()
        assert AUTH_TOKEN not in repr(caught.value) + str(caught.value)

    async def test_an_unknown_room(self, sim: Simulator) -> None:
        async with sim.client() as client:
            with pytest.raises(NotFoundError, match=ROOM_SID) as caught:
                await client.recordings(ROOM_SID).first()
        assert caught.value.code == 20404
        assert caught.value.request_id is not None
        assert caught.value.request_id.startswith("RQ")


class TestLists:
    async def test_the_references_examples(self, sim: Simulator) -> None:
        async with sim.client() as client:
            (recording,) = await client.recordings(EXAMPLE_ROOM_SID).to_list()
            assert recording.track_name == "A name"
            assert await client.recordings(EMPTY_EXAMPLE_ROOM_SID).to_list() == []

    @pytest.mark.parametrize("page_size", [1, 7, 24, 25, 26, 1000])
    @pytest.mark.parametrize("prefetch", [True, False])
    async def test_every_page_size_gives_the_same(self, sim: Simulator, page_size: int, prefetch: bool) -> None:
        async with sim.client() as client:
            got = await listed(client, sim.room_sids[0], page_size=page_size, prefetch=prefetch)
        assert got == truth(sim, sim.room_sids[0])
        assert sim.stats.requests == -(-25 // page_size)

    @pytest.mark.parametrize("status", ["completed", "Processing", "DELETED", "failed"])
    async def test_the_status_filter(self, sim: Simulator, status: str) -> None:
        async with sim.client() as client:
            assert await listed(client, sim.room_sids[0], status=status) == truth(sim, sim.room_sids[0], status.lower())

    async def test_the_date_filters_are_inclusive_and_exclusive(self, sim: Simulator) -> None:
        async with sim.client() as client:
            everything = await client.recordings(sim.room_sids[0]).to_list()
            dates = sorted({r.date_created for r in everything if r.date_created})
            after, before = dates[3], dates[-3]
            window = await client.recordings(
                sim.room_sids[0], date_created_after=after, date_created_before=before
            ).to_list()
        assert window == [r for r in everything if r.date_created and after <= r.date_created < before]
        assert {after} <= {r.date_created for r in window}

    async def test_two_clients_do_not_mix_their_answers(self, sim: Simulator) -> None:
        async with sim.client() as client:
            rooms = list(sim.room_sids) * 20
            answers = await asyncio.gather(*(listed(client, room, page_size=9) for room in rooms))
        assert answers == [truth(sim, room) for room in rooms]


class TestTls:
    @pytest.mark.parametrize("name", ["localhost", "wrong.example"])
    async def test_a_certificate_of_another_name_is_refused_once_and_nothing_is_sent(self, name: str) -> None:
        authority, requests = trustme.CA(), []
        server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(server_context)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)

        async def answer(request: web.Request) -> web.Response:
            requests.append(request)
            return web.json_response({"recordings": [], "meta": {"next_page_url": None}})

        app = web.Application()
        app.router.add_get("/{tail:.*}", answer)
        server = TestServer(app, host="127.0.0.1", scheme="https")
        await server.start_server(ssl=server_context)
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with (
            server,
            aiohttp.ClientSession(connector=connector) as session,
            RecordingsClient(
                Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=f"https://localhost:{server.port}", session=session
            ) as client,
        ):
            if name == "localhost":
                assert await client.recordings(ROOM_SID).to_list() == []
                return
            with pytest.raises(ConnectionFailedError, match="certificate") as caught:
                await client.recordings(ROOM_SID).to_list()
            assert caught.value.attempts == 1
            assert requests == []
