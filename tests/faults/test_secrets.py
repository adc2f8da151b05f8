"""Secrets are never shown: each is searched for in all that is logged, printed, warned of or raised."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import pickle
import traceback
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async import Credentials, RateLimiter, RecordingsClient, RetryPolicy, RoomRecError, Timeout, webhooks
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.simulator import Simulator, faults

from .faults import FAULTS
from .operations import OPERATIONS, ArchiveFailedError, stored_recording

# Faults that make a client wait for its timeouts show nothing that the others do not.
SLOW = ("stalled", "slow", "5 GiB", "gzip bomb", "429, Retry-After 1e300", "a next page that never ends")
QUICK = [name for name in FAULTS if not name.startswith(SLOW)]


def secrets_of(sim: Simulator, signatures: set[str]) -> list[str]:
    """Return what must never be shown: tokens, the header that is made of them, signatures of URLs, and the key."""
    secrets: list[str] = []
    for credentials in (sim.credentials, sim.api_key_credentials):
        plain = f"{credentials.username}:{credentials.password}"
        secrets += [credentials.password, b64encode(plain.encode()).decode()]
    body = sim.private_key_pem.decode().splitlines()[1]
    return [*secrets, *signatures, body]


@pytest.fixture
def emitted(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All that is logged, warned of or printed; tests add what is raised."""
    caplog.set_level(logging.DEBUG)
    emitted: list[str] = []
    printed = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("always")
        yield emitted
        gc.collect()
    emitted += [printed.getvalue(), caplog.text, *(str(warning.message) for warning in warned)]
    emitted += [str(record.__dict__) for record in caplog.records]


def texts_of(error: BaseException) -> list[str]:
    """Return all that an error shows or holds, with its cause and its context."""
    texts: list[str] = []
    for each in (error, error.__cause__, error.__context__):
        if each is not None:
            texts += [str(each), repr(each), repr(vars(each)), repr(each.args)]
            texts += traceback.format_exception(each)
    with contextlib.suppress(pickle.PicklingError, TypeError, AttributeError):
        texts.append(repr(pickle.dumps(error)))
    return texts


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=3, recordings_per_room=12, seed=1, media_size=3000, reads_per_second=None, writes_per_second=None
    ) as simulator:
        yield simulator


def client_of(sim: Simulator, credentials: Credentials) -> RecordingsClient:
    return RecordingsClient(
        credentials,
        base_url=sim.base_url,
        limiter=RateLimiter(8, None, None),
        retry=RetryPolicy(base_delay=0, max_attempts=2),
        timeout=Timeout(total=2, connect=1, read=1),
    )


@pytest.mark.parametrize("name", QUICK)
async def test_nothing_shows_a_secret(name: str, sim: Simulator, tmp_path: Path, emitted: list[str]) -> None:
    asyncio.get_running_loop().set_debug(False)
    for number, operation in enumerate(OPERATIONS):
        for origin in (sim, sim.store):
            sim.clear_faults()
            sim.store.clear_faults()
            origin.inject(FAULTS[name], times=None)
            credentials = sim.credentials if number % 2 else sim.api_key_credentials
            directory = tmp_path / f"{operation.__name__}-{origin is sim}"
            directory.mkdir()
            async with client_of(sim, credentials) as client:
                emitted += [repr(client), repr(client.limiter), repr(credentials), str(credentials)]
                try:
                    await operation(client, sim, directory)
                except (RoomRecError, ArchiveFailedError) as error:
                    emitted += texts_of(error)
    signatures = {parse_qs(request.query_string)["X-Amz-Signature"][0] for request in sim.store.requests}
    text = "\n".join(emitted)
    assert not [secret for secret in secrets_of(sim, signatures) if secret in text]


async def test_no_argument_that_takes_a_secret_shows_it(sim: Simulator, tmp_path: Path, emitted: list[str]) -> None:
    pem, token = sim.private_key_pem, sim.credentials.password
    key = PrivateKey.from_pem(pem)
    emitted += [repr(key), str(key)]
    with pytest.raises(TypeError) as pickled:
        pickle.dumps(key)
    emitted += texts_of(pickled.value)
    for attempt in (
        lambda: PrivateKey.from_pem(pem[:-40]),
        lambda: PrivateKey.from_pem(pem, password=token),
        lambda: webhooks.validate("https://a.example/", b"", {"X-Twilio-Signature": "x"}, token),
        lambda: Credentials(sim.credentials.account_sid, ""),
        lambda: RecordingsClient(sim.credentials, base_url=f"http://user:{token}@example.com"),
        lambda: RecordingsClient(sim.credentials, proxy=f"nonsense://user:{token}@example.com"),
    ):
        with pytest.raises(RoomRecError) as refused:
            attempt()
        emitted += texts_of(refused.value)
    assert not [secret for secret in secrets_of(sim, set()) if secret in "\n".join(emitted)]


async def test_credentials_reach_no_other_origin(sim: Simulator, tmp_path: Path) -> None:
    """All URLs lead to a second server, which keeps the requests that it receives."""
    received: list[tuple[str, dict[str, str]]] = []

    async def receive(request: web.BaseRequest) -> web.Response:
        received.append((request.path_qs, dict(request.headers)))
        return web.Response(body=b"x" * 3000, headers={"ETag": '"1"'})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receive)
    async with TestServer(app) as elsewhere, client_of(sim, sim.credentials) as client:
        url = str(elsewhere.make_url("/other/path"))

        def redirect_all(body: bytes) -> bytes:
            return body.replace(sim.base_url.encode(), url.encode()).replace(sim.store.base_url.encode(), url.encode())

        for fault in (
            faults.Replace(redirect_all),
            faults.Respond(302, b'{"redirect_to": "%s?X-Amz-Signature=1"}' % url.encode(), {"Location": url}),
            faults.Respond(
                200, b'{"redirect_to": "%s?X-Amz-Signature=1"}' % url.encode(), content_type="application/json"
            ),
            faults.Respond(307, headers={"Location": url}),
        ):
            for operation in OPERATIONS:
                sim.clear_faults()
                sim.inject(fault, times=None)
                directory = tmp_path / f"{operation.__name__}-{id(fault)}"
                directory.mkdir()
                with contextlib.suppress(RoomRecError, ArchiveFailedError, AssertionError):
                    await operation(client, sim, directory)
        async with aiohttp.ClientSession(headers={"Authorization": "Basic canary"}) as session:
            lent = RecordingsClient(sim.credentials, base_url=sim.base_url, session=session)
            with contextlib.suppress(RoomRecError):
                await lent.download(stored_recording(sim), tmp_path / "lent")
            await lent.aclose()
    assert received, "no request was led there, so nothing was tested"
    assert all(urlsplit(path).path == "/other/path" for path, _ in received)
    for _, headers in received:
        assert not {name for name in headers if name.lower() in {"authorization", "cookie", "proxy-authorization"}}
        assert sim.credentials.password not in str(headers)
