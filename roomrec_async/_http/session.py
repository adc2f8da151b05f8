"""The aiohttp sessions that requests go through. The only module that touches aiohttp's private attributes."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict

from roomrec_async._version import __version__
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ClientClosedError, ConfigurationError

from .timers import SharedTimer, closed_error, seconds_or_infinity

USER_AGENT: Final = (
    f"roomrec_async/{__version__} aiohttp/{aiohttp.__version__} "
    f"Python/{sys.version_info.major}.{sys.version_info.minor}"
)

# Seconds that an idle connection is kept.
_KEEPALIVE: Final = 60


class ConnectionLog:
    """Where the connections of requests under way come from, by the task of each.

    Attributes:
        opened_by: tasks that opened a new connection; the others use one from the pool.
        need_new: tasks whose request must not use one from the pool.
    """

    __slots__ = ("need_new", "opened_by")

    def __init__(self) -> None:
        self.opened_by: set[asyncio.Task[object] | None] = set()
        self.need_new: set[asyncio.Task[object] | None] = set()

    def forget(self, task: asyncio.Task[object]) -> None:
        """Forget a task whose request has ended."""
        self.opened_by.discard(task)
        self.need_new.discard(task)


class Sessions:
    """The sessions of one client: for the API the user's or an owned one, and one for media.

    Attributes:
        headers: headers to add to each request of the API; None where the session has them already.
        is_owned: True if the session for the API is the client's own.
        closed: True once the client is closed.
        connections: where the connections of the owned session's requests come from.
    """

    def __init__(
        self,
        credentials: Credentials,
        user_session: aiohttp.ClientSession | None,
        trace_configs: Sequence[aiohttp.TraceConfig],
        ssl: SSLContext | None,
        timer: SharedTimer,
        *,
        has_proxy: bool,
        user_agent: str | None,
    ) -> None:
        self._ssl = ssl
        # The client's own proxy comes before that of the user's session, whose password is not for it.
        self._has_proxy = has_proxy
        self.connections = ConnectionLog()
        self._user_agent = USER_AGENT if user_agent is None else f"{USER_AGENT} {user_agent}"
        # A session of the user's has a name of its own, by which the user's program is known.
        names = [self._user_agent] if user_session is None else [*_user_agents(user_session), self._user_agent]
        self._api_headers = CIMultiDict(
            {"Authorization": credentials.authorization, "User-Agent": " ".join(names), "Accept": "application/json"}
        )
        self.is_owned = user_session is None
        self.headers = None
        if user_session is not None and not self._has_authentication(user_session):
            self.headers = self._api_headers
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
            raise closed_error()

        if self._user_session is not None:
            if self._user_session.closed:
                raise ClientClosedError("the aiohttp session that was given to the client is closed")
            if self.headers is not None:
                return self._user_session
            return self._session_beside(self._user_session)

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
            self._media_session = self._session_over(
                self._user_session or api_session, headers={"User-Agent": self._user_agent}, auto_decompress=False
            )
        return self._media_session

    def _has_authentication(self, session: aiohttp.ClientSession) -> bool:
        """Return True if a session may add authentication of its own to a request, for the service or for a proxy."""
        if self._has_proxy and session._default_proxy_auth is not None:
            return True
        return session.auth is not None or session.trust_env

    def _session_beside(self, user_session: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """Return a session for the API over the user's connections, with the user's headers and proxy.

        aiohttp refuses a request that has an Authorization header if its session has authentication, or finds some in
        a .netrc file: such a session cannot be used itself.
        """
        if self._owned_session is None or self._owned_session.closed:
            headers = CIMultiDict(user_session.headers)
            headers.update(self._api_headers)
            self._owned_session = self._session_over(user_session, headers=headers, auto_decompress=True)
        return self._owned_session

    def _session_over(
        self, session: aiohttp.ClientSession, *, headers: Mapping[str, str], auto_decompress: bool
    ) -> aiohttp.ClientSession:
        """Return a session over the connections and the proxy of another one, with nothing else of it."""
        new_session = aiohttp.ClientSession(
            connector=session.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            auto_decompress=auto_decompress,
            trace_configs=self._trace_configs,
            # aiohttp has no public way to read these two.
            proxy=None if self._has_proxy else session._default_proxy,
            proxy_auth=None if self._has_proxy else session._default_proxy_auth,
        )
        _disable_hidden_retry(new_session)
        return new_session

    async def aclose(self) -> None:
        """Close the sessions that were made here. May be called again."""
        self.closed = True
        try:
            if self._media_session is not None:
                await self._media_session.close()
        finally:
            if self._owned_session is not None:
                await self._owned_session.close()

    def _new_api_session(self) -> aiohttp.ClientSession:
        _keep_read_buffers()
        session = aiohttp.ClientSession(
            connector=_Connector(self._timer, self._ssl, self.connections),
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


def _user_agents(session: aiohttp.ClientSession) -> list[str]:
    return session.headers.getall("User-Agent", [])


def has_default_proxy(session: aiohttp.ClientSession) -> bool:
    """Return True if a session sends everything through a proxy of its own."""
    return session._default_proxy is not None


class _Connector(aiohttp.TCPConnector):
    """Opens as many connections as the limiter grants permits.

    Connecting does not count as reading, and all of it is bounded: the look-up of the name, the proxy's answer to
    CONNECT and the TLS handshake, too.
    """

    def __init__(self, timer: SharedTimer, ssl: SSLContext | None, log: ConnectionLog) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEEPALIVE, ssl=True if ssl is None else ssl)
        self._timer = timer
        self._log = log

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        self._log.opened_by.add(asyncio.current_task())
        connect_timeout = self._timer.scope_for(seconds_or_infinity(timeout.sock_connect))
        try:
            with self._timer.paused(), connect_timeout:
                return await super()._create_connection(req, traces, timeout)
        except TimeoutError as error:
            if connect_timeout.expired:
                raise aiohttp.ConnectionTimeoutError from error
            raise

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        if self._log.need_new and asyncio.current_task() in self._log.need_new:
            return None
        return await super()._get(key, traces)


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
