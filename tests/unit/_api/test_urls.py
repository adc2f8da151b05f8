"""Where requests and credentials may go, and which URLs of media and proxies are accepted."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from roomrec_async import ConfigurationError, InvalidArgumentError, MediaError
from roomrec_async._api.urls import (
    DEFAULT_BASE_URL,
    check_base_url,
    check_media_url,
    check_proxy,
    check_proxy_for,
    is_loopback,
)

SIGNED = "https://bucket.s3.amazonaws.com/RT1.mka?X-Amz-Signature=a%2Bb%3d&X-Amz-Expires=600"
REQUEST = "GET https://video.twilio.com/v1/Recordings/RT1/Media"


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        pytest.param(DEFAULT_BASE_URL, "https://video.twilio.com", id="default"),
        pytest.param("https://video.twilio.com/", "https://video.twilio.com", id="slash"),
        pytest.param(
            "https://gateway.example:8443/twilio//", "https://gateway.example:8443/twilio", id="port and path"
        ),
        pytest.param("https://192.0.2.1", "https://192.0.2.1", id="address"),
        pytest.param("http://localhost:8080", "http://localhost:8080", id="localhost"),
        pytest.param("http://127.9.9.9/", "http://127.9.9.9", id="loopback"),
        pytest.param("http://[::1]:1", "http://[::1]:1", id="loopback, IPv6"),
    ],
)
def test_a_base_url_has_no_slash_at_its_end(given: str, returned: str) -> None:
    assert check_base_url(given) == returned


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "video.twilio.com",
        "//video.twilio.com",
        "ftp://video.twilio.com",
        "https://",
        "https:///v1",
        "http://[",
        "https://host:port",
        "https://user@video.twilio.com",
        "https://user:password@video.twilio.com",
        "https://video.twilio.com?x=1",
        "https://video.twilio.com/#x",
        "https://:password@video.twilio.com",
        "https://video twilio.com",
        "https://video.twilio.com/\r\nX-Header: 1",
        "https://video.twilio.com/\ud800",
        5,
        None,
        b"https://video.twilio.com",
        URL("https://video.twilio.com"),
    ],
    ids=ascii,
)
def test_a_base_url_is_a_scheme_a_host_a_port_and_a_path(base_url: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_base_url(base_url)
    assert str(caught.value) == "base_url must be 'https://host' with an optional port and path, and nothing else"


@pytest.mark.parametrize("base_url", ["https://video.twilio.com/v1", "https://gateway.example/twilio/v1/"])
def test_a_base_url_with_the_version_of_the_api_is_refused_with_the_right_one(base_url: str) -> None:
    right = base_url.rstrip("/").removesuffix("/v1")
    with pytest.raises(InvalidArgumentError) as caught:
        check_base_url(base_url)
    assert str(caught.value) == f"base_url must not end in /v1, which is added: give '{right}'"


@pytest.mark.parametrize(
    "base_url",
    ["http://video.twilio.com", "http://localhost.evil.example", "http://128.0.0.1", "http://0.0.0.0", "http://[::2]"],
)
def test_credentials_do_not_leave_the_machine_unencrypted(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_base_url(base_url)
    assert str(caught.value) == (
        f"base_url {base_url} is not https: credentials go unencrypted only to a loopback address"
    )


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "https://proxy.example", "http://["])
def test_credentials_do_not_go_to_a_proxy_unencrypted(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^credentials would go to the proxy unencrypted"):
        check_proxy_for("http://127.0.0.1:8080", proxy)


@pytest.mark.parametrize(
    ("base_url", "proxy"),
    [
        pytest.param("http://127.0.0.1:8080", "http://localhost:3128", id="proxy on this machine"),
        pytest.param("https://video.twilio.com", "http://proxy.example:3128", id="tunnel"),
    ],
)
def test_credentials_go_through_a_proxy_that_cannot_read_them_or_is_on_this_machine(base_url: str, proxy: str) -> None:
    check_proxy_for(base_url, proxy)


@pytest.mark.parametrize("proxy", [None, "http://proxy.example:3128", "https://user:password@proxy.example"])
def test_a_proxy_is_returned_as_it_is(proxy: str | None) -> None:
    assert check_proxy(proxy) == proxy


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy.example:3128",
        "http://",
        "http://[",
        5,
        URL("http://proxy.example"),
        "socks5://user:password@proxy.example",
    ],
)
def test_a_proxy_that_is_not_an_http_one_is_refused_and_not_shown(proxy: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^proxy must be the URL of an HTTP proxy") as caught:
        check_proxy(proxy)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        pytest.param(SIGNED, SIGNED, id="escapes in either case"),
        pytest.param(f"{SIGNED}#t=5", SIGNED, id="without its fragment"),
        pytest.param("https://h/a/../b?c=%7E~+", "https://h/a/../b?c=%7E~+", id="not normalized"),
    ],
)
def test_a_signed_url_is_not_quoted_again(given: str, returned: str) -> None:
    url = check_media_url(given, "https://video.twilio.com", REQUEST)
    assert url == URL(returned, encoded=True)
    assert str(url) == returned


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/RT1.mka",
        "//bucket.example/RT1.mka",
        "ftp://bucket.example/RT1.mka",
        "file:///etc/passwd",
        "http://bucket.example/RT1.mka",
        "https:///RT1.mka",
        "https://user:password@bucket.example/RT1.mka",
        "https://bucket.example/a b",
        "https://bucket.example/\xe9",
        "https://[",
    ],
)
def test_media_are_not_fetched_from_what_is_no_encrypted_url(url: str) -> None:
    with pytest.raises(MediaError) as caught:
        check_media_url(url, "https://video.twilio.com", REQUEST)
    assert str(caught.value) == f"{REQUEST}: the service sent no usable https URL for the media"


def test_media_may_come_over_http_where_the_service_does() -> None:
    assert str(check_media_url("http://127.0.0.1:9/RT1", "http://127.0.0.1:8", REQUEST)) == "http://127.0.0.1:9/RT1"
    assert str(check_media_url(SIGNED, "http://127.0.0.1:8", REQUEST)) == SIGNED
    with pytest.raises(MediaError):
        check_media_url("ftp://127.0.0.1:9/RT1", "http://127.0.0.1:8", REQUEST)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost", True),
        ("http://127.0.0.1", True),
        ("http://127.255.255.254:80", True),
        ("http://[::1]", True),
        ("http://128.0.0.1", False),
        ("http://10.0.0.1", False),
        ("http://[::2]", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
        ("", False),
    ],
)
def test_loopback_is_localhost_and_the_addresses_of_rfc_1122_and_rfc_4291(url: str, expected: bool) -> None:
    assert is_loopback(URL(url)) is expected
