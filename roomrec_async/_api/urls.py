"""Checks of URLs: where requests may go, and what may be sent there unencrypted."""

from __future__ import annotations

import ipaddress
from typing import Final

from yarl import URL

from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError

DEFAULT_BASE_URL: Final = "https://video.twilio.com"

API_VERSION: Final = "/v1"
"""The version of the API, with which each of its paths begins."""


def check_base_url(base_url: str) -> str:
    """Return a base URL without a slash at its end.

    Args:
        base_url: the base URL: https, or http to a loopback address.

    Raises:
        InvalidArgumentError: it is not a URL of a host with an optional port and path, or ends in the API's version.
        ConfigurationError: credentials would be sent unencrypted.
    """
    url = parse_url(base_url)
    has_extras = bool(url.query or url.fragment or url.user or url.password)
    if url.scheme not in ("https", "http") or not url.host or has_extras or not _is_printable(base_url):
        # The value is not repeated: it may hold a password.
        raise InvalidArgumentError("base_url must be 'https://host' with an optional port and path, and nothing else")
    if url.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(f"base_url {url} is not https: credentials go unencrypted only to a loopback address")
    without_slash = str(url).rstrip("/")
    if without_slash.endswith(API_VERSION):
        without_version = without_slash.removesuffix(API_VERSION)
        raise InvalidArgumentError(f"base_url must not end in {API_VERSION}, which is added: give {without_version!r}")
    return without_slash


def check_proxy_for(base_url: str, proxy: str | None) -> None:
    """Check that credentials do not go through a proxy unencrypted, where they could be read.

    Raises:
        ConfigurationError: they would.
    """
    if proxy is not None and base_url.startswith("http:") and not is_loopback(parse_url(proxy)):
        raise ConfigurationError("credentials would go to the proxy unencrypted: use an https base_url")


def check_media_url(url: str, base_url: str, request: str) -> URL:
    """Return the signed URL of media as the service sent it: quoting it again would break its signature.

    Args:
        url: the URL that the service sent.
        base_url: the client's base URL. Media may come over http only where the service itself does.
        request: the request that was answered with the URL, for the message.

    Raises:
        MediaError: it is not a URL, or not an encrypted one.
    """
    try:
        location = URL(url, encoded=True)
    except ValueError:
        location = URL()

    schemes = {"https"}
    if base_url.startswith("http:"):
        schemes.add("http")
    # Taken as already encoded, the URL was not checked: other characters than ASCII would go out as they are.
    if (
        location.scheme not in schemes
        or not location.host
        or location.user
        or not url.isascii()
        or not _is_printable(url)
    ):
        raise MediaError(f"{request}: the service sent no usable https URL for the media")
    return location.with_fragment(None)


def check_proxy(proxy: str | None, name: str = "proxy") -> str | None:
    """Return the URL of a proxy, or None for no proxy.

    Args:
        proxy: the URL.
        name: where it comes from, for the message.

    Raises:
        InvalidArgumentError: it is not an http or https URL.
    """
    if proxy is None:
        return None
    url = parse_url(proxy)
    if url.scheme not in ("http", "https") or not url.host or not _is_printable(proxy):
        # The value is not repeated: URLs of proxies may hold passwords.
        raise InvalidArgumentError(f"{name} must be the URL of an HTTP proxy, such as 'http://proxy.example:3128'")
    return proxy


def _is_printable(text: str) -> bool:
    """Return True if a URL has no white space, no control characters and no surrogates."""
    return text.isprintable() and " " not in text


def parse_url(url: str) -> URL:
    """Return a URL that is parsed, or an empty one, which passes no check, for anything else than the text of a URL."""
    try:
        return URL(url) if isinstance(url, str) else URL()
    except ValueError:
        return URL()


def is_loopback(url: URL) -> bool:
    """Return True if the host of a URL is this machine."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False
