"""Where requests may go, credentials with them or not."""

from __future__ import annotations

import ipaddress
from typing import Final

from yarl import URL

from roomrec_async.errors import ConfigurationError, InvalidArgumentError, MediaError

DEFAULT_BASE_URL: Final = "https://video.twilio.com"


def check_base_url(base_url: str, proxy: str | None) -> str:
    """The base URL that a caller means, without a slash at its end.

    Raises:
        InvalidArgumentError: it is not such a URL.
        ConfigurationError: credentials would be sent unencrypted.
    """
    url = _parsed(base_url)
    if url.scheme not in ("https", "http") or not url.host or url.query or url.fragment or url.user:
        raise InvalidArgumentError("base_url must be 'https://host' with an optional port and path, and nothing else")
    if url.scheme == "http" and not _is_loopback(url):
        raise ConfigurationError(
            f"base_url {base_url} is not https: credentials go unencrypted only to a loopback address"
        )
    if url.scheme == "http" and proxy is not None and not _is_loopback(_parsed(proxy)):
        raise ConfigurationError("credentials would go to the proxy unencrypted: use an https base_url")
    return str(url).rstrip("/")


def check_media_url(url: str, base_url: str, of: str) -> URL:
    """The signed URL that the service names for media, as it stands: re-quoting would break its signature.

    Raises:
        MediaError: it is none, or is not encrypted where the service itself is.
    """
    try:
        location = URL(url, encoded=True)
    except ValueError:
        location = URL()
    allowed = ("https", "http") if base_url.startswith("http:") else ("https",)
    if location.scheme not in allowed or not location.host or location.user or not url.isascii() or " " in url:
        raise MediaError(f"{of}: the service named no usable https URL for the media")
    return location.with_fragment(None)


def check_proxy(proxy: str | None) -> str | None:
    """The proxy's URL, if it is one.

    Raises:
        InvalidArgumentError: it is not.
    """
    # The value is not repeated: proxies' URLs may hold passwords.
    if proxy is not None and (_parsed(proxy).scheme not in ("http", "https") or not _parsed(proxy).host):
        raise InvalidArgumentError("proxy must be the URL of an HTTP proxy, such as 'http://proxy.example:3128'")
    return proxy


def _parsed(url: str) -> URL:
    try:
        return URL(url)
    except ValueError:
        return URL()  # which passes no check


def _is_loopback(url: URL) -> bool:
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False
