"""Sending a request until there is a response or an error, on real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async import (
    AuthenticationError,
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
)
from roomrec_async.simulator import Simulator, faults
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

        async def slowly(self: Any, req: Any, traces: Any, timeout: Any) -> Any:
            await asyncio.sleep(0.5)
            return await connect(self, req, traces, timeout)

        monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
        async with sim.client(timeout=Timeout(connect=5, read=0.3), retry=RetryPolicy(max_attempts=1)) as client:
            assert await listed(client, sim.room_sids[0]) == truth(sim, sim.room_sids[0])

    async def test_the_time_until_the_headers_is_not_taken_from_that_of_the_body(self, sim: Simulator) -> None:
        class LateTwice:
            async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
                await asyncio.sleep(0.3)
                response, body = await exchange.start_response()
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

    @pytest.mark.slow
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
    async def test_timeouts_that_cannot_work_are_refused(self, bad: Any) -> None:
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

    async def test_connections_refused_are_tried_again_and_then_reported(self, unused_tcp_port: int) -> None:
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
            # A connection from the pool that breaks is no attempt: the request is sent again at once, and once.
            resends = before if isinstance(fault, faults.Reset) else 0
            assert sim.stats.requests - before == caught.value.attempts == 3 + resends
            recording = next(iter(sim.recordings(sim.room_sids[0])))
            with pytest.raises(expected) as caught:
                await client.delete(sim.room_sids[0], str(recording["sid"]))
            assert sim.stats.requests - before == caught.value.attempts + 3 + resends
            assert caught.value.attempts == 3

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
        assert (error.status, error.code, error.detail, error.request_id) == (status, *expected, "RQ7")
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

    async def test_no_permit_and_no_connection_is_held_while_waiting_for_a_retry(self, sim: Simulator) -> None:
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

    async def test_a_refusal_is_reported_when_nothing_helps(self, sim: Simulator) -> None:
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

    async def test_a_private_authority_is_trusted_by_ssl_or_by_the_environment(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(server_context)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        authority_file = tmp_path / "authority.pem"
        authority.cert_pem.write_to_path(authority_file)

        async def empty_list(_: web.Request) -> web.Response:
            return web.json_response({"recordings": [], "meta": {"next_page_url": None}})

        app = web.Application()
        app.router.add_get("/{tail:.*}", empty_list)
        server = TestServer(app, host="127.0.0.1", scheme="https")
        await server.start_server(ssl=server_context)
        async with server:
            url = f"https://localhost:{server.port}"
            credentials = Credentials(ACCOUNT_SID, AUTH_TOKEN)
            async with RecordingsClient(credentials, base_url=url, ssl=trusting) as client:
                assert await client.recordings(ROOM_SID).to_list() == []
            async with RecordingsClient(credentials, base_url=url) as client:
                with pytest.raises(ConnectionFailedError, match="certificate"):
                    await client.recordings(ROOM_SID).to_list()
            # Python reads the variable when it makes its first context: in a process of its own.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _LIST_A_ROOM,
                env={**os.environ, "SSL_CERT_FILE": str(authority_file), "ROOMREC_BASE_URL": url},
                stdout=asyncio.subprocess.PIPE,
            )
            printed, _ = await process.communicate()
        assert printed.decode().strip() == "[]"

    async def test_ssl_does_not_go_with_a_lent_session(self) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match="ssl belongs to the session"):
                RecordingsClient(
                    Credentials(ACCOUNT_SID, AUTH_TOKEN), session=session, ssl=ssl.create_default_context()
                )


_LIST_A_ROOM = f"""
import asyncio, os
from roomrec_async import Credentials, RecordingsClient

async def main():
    os.environ.update(TWILIO_ACCOUNT_SID={ACCOUNT_SID!r}, TWILIO_AUTH_TOKEN="token")
    async with RecordingsClient.from_env() as client:
        print(await client.recordings({ROOM_SID!r}).to_list())

asyncio.run(main())
"""
