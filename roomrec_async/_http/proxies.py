"""Which proxy a request goes through: the one that was given, or that of the environment."""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from roomrec_async._api.urls import check_proxy

from .session import has_default_proxy


class Proxies:
    """Chooses the proxy of each request, for the API and for media alike.

    The environment's variables are read here and not by aiohttp: with ``trust_env``, it would also read ``.netrc``, and
    send what it finds there to the object store.

    Args:
        proxy: the URL of a proxy for everything, or None.
        trust_env: True to use ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``, in either case, where none is given.
        user_session: the user's session, whose settings hold where there are none of the client's.

    Raises:
        InvalidArgumentError: a proxy is not an http or https URL.
    """

    def __init__(self, proxy: str | None, trust_env: bool, user_session: aiohttp.ClientSession | None) -> None:
        self._proxy = check_proxy(proxy)
        self._by_scheme: dict[str, str] = {}
        if user_session is not None:
            # A proxy of the session's own comes before those of the environment, as in aiohttp.
            trust_env = (trust_env or user_session.trust_env) and not has_default_proxy(user_session)
        if trust_env and proxy is None:
            found = getproxies()
            self._by_scheme = {scheme: found[scheme] for scheme in ("http", "https") if scheme in found}
        for scheme, url in self._by_scheme.items():
            check_proxy(url, f"{scheme.upper()}_PROXY")

    def proxy_for(self, url: URL) -> str | None:
        """Return the URL of the proxy for a request, or None."""
        if self._proxy is not None or not self._by_scheme:
            return self._proxy
        proxy = self._by_scheme.get(url.scheme)
        if proxy is None or (url.host is not None and proxy_bypass(url.host)):
            return None
        return proxy
