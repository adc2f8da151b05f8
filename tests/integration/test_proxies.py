"""Proxies: those that are given, those of the environment, and those of a session of the user's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from roomrec_async import (
    ConnectionFailedError,
    InvalidArgumentError,
    RateLimiter,
    Recording,
    RecordingsClient,
    RetryPolicy,
)
from roomrec_async._http.proxies import Proxies

from .raw_server import CREDENTIALS, ROOM_SID, RawServer, Request, page, raw_server, response

MEDIA = b"\x1a\x45\xdf\xa3" + bytes(1000)
RECORDING = Recording(sid="RT" + "1" * 32, room_sid=ROOM_SID, size=len(MEDIA), container_format="mka")
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "NETRC")


async def serve(request: Request) -> bytes:
    """The service, its store, and a proxy to both: whoever is asked answers."""
    path = URL(request.target).path
    if path.endswith("/Media"):
        location = f"http://{request.headers['host']}/store?signature"
        return response(json.dumps({"redirect_to": location}).encode(), "302 Found")
    if path == "/store":
        return response(MEDIA, "200 OK", 'ETag: "1"')
    return response(page())


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def origin() -> AsyncIterator[RawServer]:
    async with raw_server(serve) as running:
        yield running


@pytest.fixture
async def proxy() -> AsyncIterator[RawServer]:
    async with raw_server(serve) as running:
        yield running


async def list_and_download(origin: RawServer, directory: Path, **options: Any) -> None:
    limiter = RateLimiter(None, None, None)
    async with RecordingsClient(CREDENTIALS, base_url=origin.url, limiter=limiter, **options) as client:
        assert len(await client.recordings(ROOM_SID).to_list()) == 1
        await client.download(RECORDING, directory / "media.mka")


def paths(server: RawServer) -> list[str]:
    return [URL(request.target).path.rpartition("/")[2] for request in server.requests]


EVERYTHING = ["Recordings", "Media", "store"]


def assert_credentials_went_to_the_service_alone(server: RawServer) -> None:
    *api, store = server.requests
    assert {request.headers["authorization"] for request in api} == {CREDENTIALS.authorization}
    assert "authorization" not in store.headers


async def test_a_given_proxy_is_for_the_api_and_for_media(origin: RawServer, proxy: RawServer, tmp_path: Path) -> None:
    await list_and_download(origin, tmp_path, proxy=proxy.url)
    assert (paths(proxy), paths(origin)) == (EVERYTHING, [])
    assert_credentials_went_to_the_service_alone(proxy)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_a_proxy_of_the_environment_is_used_where_it_is_trusted(
    origin: RawServer, proxy: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, trusted: bool
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    await list_and_download(origin, tmp_path, trust_env=trusted)
    assert (paths(proxy), paths(origin)) == ((EVERYTHING, []) if trusted else ([], EVERYTHING))


async def test_no_proxy_names_hosts_that_are_asked_directly(
    origin: RawServer, proxy: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    await list_and_download(origin, tmp_path, trust_env=True)
    assert (paths(proxy), paths(origin)) == ([], EVERYTHING)


async def test_from_env_trusts_the_environment(
    origin: RawServer, proxy: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    environ = {
        "TWILIO_ACCOUNT_SID": CREDENTIALS.account_sid,
        "TWILIO_AUTH_TOKEN": CREDENTIALS.password,
        "ROOMREC_BASE_URL": origin.url,
    }
    async with RecordingsClient.from_env(environ) as client:
        await client.recordings(ROOM_SID).to_list()
    assert (paths(proxy), paths(origin)) == (["Recordings"], [])


@pytest.mark.parametrize("how", ["proxy=", "trust_env=True"])
async def test_media_go_through_the_proxy_of_a_lent_session_as_well(
    origin: RawServer, proxy: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "trust_env=True":
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
    options: dict[str, Any] = {"proxy": proxy.url} if how == "proxy=" else {"trust_env": True}
    async with aiohttp.ClientSession(**options) as session:
        await list_and_download(origin, tmp_path, session=session)
    assert (paths(proxy), paths(origin)) == (EVERYTHING, [])
    assert_credentials_went_to_the_service_alone(proxy)


async def test_the_proxy_of_a_lent_session_comes_before_that_of_the_environment(
    origin: RawServer, proxy: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_server(serve) as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        async with aiohttp.ClientSession(proxy=proxy.url, trust_env=True) as session:
            await list_and_download(origin, tmp_path, session=session)
        assert (paths(proxy), paths(other), paths(origin)) == (EVERYTHING, [], [])


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "session", ["own", "own, of the environment", "lent", "lent, with a proxy", "lent, with authentication"]
)
@pytest.mark.parametrize("password", [None, "of:proxy"])
@pytest.mark.parametrize("base_url", ["https://video.example", None])
async def test_a_proxy_gets_no_credentials_but_its_own(
    origin: RawServer, session: str, password: str | None, base_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headers of CONNECT are for the proxy alone; those of a forwarded request are the service's but for one."""
    at_proxy: list[dict[str, str]] = []

    async def serve_and_connect(request: Request) -> bytes:
        at_proxy.append(request.headers)
        return response(page()) if request.method == "GET" else response(b"", "502 Bad Gateway")

    async with raw_server(serve_and_connect) as proxy:
        url = URL(proxy.url) if password is None else URL(proxy.url).with_user("of").with_password("proxy")
        authentication = aiohttp.BasicAuth("somebody", "else") if session.endswith("authentication") else None
        default_proxy = url if session.endswith("proxy") else None
        of_environment = session.endswith("environment")
        if of_environment:
            monkeypatch.setenv("HTTP_PROXY", str(url))
            monkeypatch.setenv("HTTPS_PROXY", str(url))
        async with aiohttp.ClientSession(auth=authentication, proxy=default_proxy) as lent:
            async with RecordingsClient(
                CREDENTIALS,
                base_url=base_url or origin.url,
                session=None if session.startswith("own") else lent,
                proxy=None if default_proxy or of_environment else str(url),
                trust_env=of_environment,
                retry=RetryPolicy(max_attempts=1),
            ) as client:
                with nullcontext() if base_url is None else pytest.raises(ConnectionFailedError):
                    await client.recordings(ROOM_SID).to_list()
    (headers,) = at_proxy
    expected = None if password is None else aiohttp.encode_basic_auth("of", "proxy")
    assert headers.get("proxy-authorization") == expected
    assert headers.get("authorization") == (CREDENTIALS.authorization if base_url is None else None)


async def test_a_proxy_for_media_alone_gets_no_credentials(
    proxy: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve_api(request: Request) -> bytes:
        if request.target.endswith("/Media"):
            location = "http://store.example/store?signature"
            return response(json.dumps({"redirect_to": location}).encode(), "302 Found")
        return response(page())

    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with raw_server(serve_api) as api:
        await list_and_download(api, tmp_path, trust_env=True)
    assert (paths(api), paths(proxy)) == (EVERYTHING[:2], EVERYTHING[2:])
    assert {request.headers["authorization"] for request in api.requests} == {CREDENTIALS.authorization}
    (store,) = proxy.requests
    assert not {"authorization", "proxy-authorization"} & store.headers.keys()


async def test_a_netrc_file_changes_nothing(origin: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with aiohttp.ClientSession(trust_env=True) as session:
        await list_and_download(origin, tmp_path, session=session)
    assert paths(origin) == EVERYTHING
    assert_credentials_went_to_the_service_alone(origin)


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("headers", [{}, {"X-Team": "blue"}])
async def test_a_lent_session_with_authentication_of_its_own_works(
    origin: RawServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("somebody", "else"), headers=headers) as session:
        await list_and_download(origin, tmp_path, session=session)
        assert not session.closed
    assert_credentials_went_to_the_service_alone(origin)
    assert {request.headers.get("x-team") for request in origin.requests[:2]} == {headers.get("X-Team")}
    assert "x-team" not in origin.requests[2].headers


@pytest.mark.parametrize("value", ["socks5://user:s3cr3t@proxy.example", "http://[", "s3cr3t"])
def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(InvalidArgumentError, match="HTTPS_PROXY must be") as caught:
        Proxies(None, trust_env=True, user_session=None)
    assert "s3cr3t" not in str(caught.value)


def test_each_scheme_has_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://secure.example:1")
    proxies = Proxies(None, trust_env=True, user_session=None)
    assert proxies.proxy_for(URL("https://video.twilio.com")) == "http://secure.example:1"
    assert proxies.proxy_for(URL("http://127.0.0.1:8080")) is None
