"""The aiohttp sessions that requests go through. The only module that touches aiohttp's private attributes."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace
from multidict import CIMultiDict

from roomrec_async._version import __version__
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ClientClosedError, ConfigurationError

from .timers import SharedTimer

USER_AGENT: Final = (
    f"roomrec_async/{__version__} aiohttp/{aiohttp.__version__} "
    f"Python/{sys.version_info.major}.{sys.version_info.minor}"
)

# Seconds that an idle connection is kept.
_KEEPALIVE: Final = 60


class Sessions:
    """The sessions of one client: for the API the user's or an owned one, and one for media.

    Attributes:
        headers: headers to add to each request of the API; None where the owned session has them already.
        is_owned: True if the session for the API is the client's own.
    """

    def __init__(
        self,
        credentials: Credentials,
        user_session: aiohttp.ClientSession | None,
        trace_configs: Sequence[aiohttp.TraceConfig],
        timer: SharedTimer,
    ) -> None:
        self._api_headers = CIMultiDict(
            {"Authorization": credentials.authorization, "User-Agent": USER_AGENT, "Accept": "application/json"}
        )
        self.is_owned = user_session is None
        self.headers = None if self.is_owned else self._api_headers
        self._user_session = user_session
        self._owned_session: aiohttp.ClientSession | None = None
        self._media_session: aiohttp.ClientSession | None = None
        # The event loop that the owned session belongs to.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trace_configs = list(trace_configs)
        self._timer = timer
        self.closed = False

    def for_api(self) -> aiohttp.ClientSession:
        """Return the session for requests of the API, made on first use.

        Raises:
            ClientClosedError: the client or the user's session is closed.
            ConfigurationError: the client was first used in another event loop.
        """
        if self.closed:
            raise ClientClosedError("the client is closed: create a new one, or keep this one open for longer")

        if self._user_session is not None:
            if self._user_session.closed:
                raise ClientClosedError("the aiohttp session that was given to the client is closed")
            return self._user_session

        loop = asyncio.get_running_loop()
        if self._owned_session is None:
            self._owned_session = self._new_api_session()
            self._loop = loop
        if self._loop is not loop:
            raise ConfigurationError("the client was first used in another event loop: create one client for each loop")
        return self._owned_session

    def for_media(self) -> aiohttp.ClientSession:
        """Return a session over the same connections that sends no credentials, no user's headers and no cookies."""
        api_session = self.for_api()
        if self._media_session is None or self._media_session.closed:
            self._media_session = aiohttp.ClientSession(
                connector=api_session.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                auto_decompress=False,
                trace_configs=self._trace_configs,
            )
            _disable_hidden_retry(self._media_session)
        return self._media_session

    async def aclose(self) -> None:
        """Close the sessions that were made here. May be called again."""
        self.closed = True
        if self._media_session is not None:
            await self._media_session.close()
        if self._owned_session is not None:
            await self._owned_session.close()

    def _new_api_session(self) -> aiohttp.ClientSession:
        _keep_read_buffers()
        session = aiohttp.ClientSession(
            connector=_Connector(self._timer),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._api_headers,
            trace_configs=self._trace_configs,
        )
        _disable_hidden_retry(session)
        return session

    def __del__(self) -> None:
        owned_session = getattr(self, "_owned_session", None)
        if owned_session is not None and not owned_session.closed:
            warnings.warn(
                "a RecordingsClient was not closed: use 'async with', or await its aclose()",
                ResourceWarning,
                stacklevel=2,
            )


class _Connector(aiohttp.TCPConnector):
    """Opens as many connections as the limiter grants permits. Connecting does not count as reading."""

    def __init__(self, timer: SharedTimer) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEEPALIVE)
        self._timer = timer

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        with self._timer.paused():
            return await super()._create_connection(req, traces, timeout)


def _disable_hidden_retry(session: aiohttp.ClientSession) -> None:
    """Switch off aiohttp's own second attempt, for which it has no public setting.

    Where a connection breaks before the response, aiohttp sends the request again: past the limiter, the number of
    attempts and the retry budget, so that an outage would see twice the traffic.
    """
    session._retry_connection = False


def _keep_read_buffers() -> None:
    """Make the C library keep the memory that asyncio reads into.

    asyncio reads into 256 KiB. Linux' allocator takes blocks of that size from the system and gives them back at each
    read, which costs a tenth of the time that listing with 50 records a page takes, until it has once been given back
    a larger one: this, which is never touched.
    """
    bytes(2**20)
