"""The aiohttp sessions that requests go through. The only module that touches aiohttp's private attributes."""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from ssl import SSLContext
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypedDict

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from roomrec_async._version import __version__
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ClientClosedError, ConfigurationError

from .timers import SharedTimer, closed_error

if TYPE_CHECKING:
    # Not at run time: the places of these names are aiohttp's own affair.
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from aiohttp.typedefs import StrOrURL

USER_AGENT: Final = (
    f"roomrec_async/{__version__} aiohttp/{aiohttp.__version__} "
    f"Python/{sys.version_info.major}.{sys.version_info.minor}"
)

# Bytes of a page that may arrive before the reader has taken the ones before: less of it costs speed.
_PAGE_BUFFER: Final = 2**18
# Seconds that an idle connection is kept.
_KEEPALIVE: Final = 60

# The private names of aiohttp that are used here, each with what is different where it is missing.
_NO_RETRY_SWITCH: Final = "a middleware now keeps aiohttp from sending a request twice, which costs some time"
_NO_HOOKS: Final = (
    "the time to connect now counts as reading, and a request that meets a dead connection of the pool uses up an "
    "attempt"
)
_NO_DEFAULT_PROXY: Final = "media now bypass the proxy of an aiohttp session of your own: pass proxy= to the client"
# Parameters of the methods of aiohttp's connector that are overridden.
_HOOKS: Final = {"_create_connection": ("self", "req", "traces", "timeout"), "_get": ("self", "key", "traces")}
# Private names that a warning was issued for.
_warned: Final[set[str]] = set()


class _RequestOptions(TypedDict):
    """Arguments of aiohttp's requests."""

    headers: CIMultiDict[str]
    raise_for_status: bool
    auto_decompress: bool
    read_bufsize: int
    proxy: str | None


class ConnectionLog:
    """Where the connections of requests under way come from, by the task of each.

    Attributes:
        opened_by: tasks that opened a new connection, and when it was open, on the clock of :func:`time.perf_counter`,
            or when they began if it never was; the others use one from the pool.
        need_new: tasks whose request must not use one from the pool.
        failed: tasks whose request failed, with the error. Filled by :meth:`send_once` only.
    """

    __slots__ = ("failed", "need_new", "opened_by")

    def __init__(self) -> None:
        self.opened_by: dict[asyncio.Task[object] | None, float] = {}
        self.need_new: set[asyncio.Task[object] | None] = set()
        self.failed: dict[asyncio.Task[object] | None, aiohttp.ClientError] = {}

    def forget(self, task: asyncio.Task[object]) -> float | None:
        """Forget a task whose request has ended; return when its connection was open, or None if that was pooled."""
        # While all connections come from the pool, there is nothing to forget.
        if not (self.opened_by or self.need_new or self.failed):
            return None
        self.need_new.discard(task)
        self.failed.pop(task, None)
        return self.opened_by.pop(task, None)

    async def send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, or raise the error that it failed with: a middleware against aiohttp's second attempt."""
        task = asyncio.current_task()
        if task in self.failed:
            raise self.failed[task]
        try:
            return await handler(request)
        except aiohttp.ClientError as error:
            self.failed[task] = error
            raise


class Sessions:
    """The sessions of one client: for the API the user's or an owned one, and one for media.

    Attributes:
        sees_connections: True if the session for the API tells where its connections come from, and when it has
            connected. A user's session does not, nor does an aiohttp that has changed.
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
        proxy: str | None,
        user_agent: str | None,
    ) -> None:
        self._ssl = ssl
        # The client's own proxy comes before that of the user's session, whose password is not for it.
        self._has_proxy = has_proxy
        self.connections = ConnectionLog()
        self._user_agent = USER_AGENT if user_agent is None else f"{USER_AGENT} {user_agent}"
        # A session of the user's has a name of its own, by which the user's program is known.
        names = [self._user_agent] if user_session is None else [*_user_agents(user_session), self._user_agent]
        self._session_headers = {"User-Agent": " ".join(names), "Accept": "application/json"}
        self.sees_connections = user_session is None and _has_hooks()
        self._user_session = user_session
        self._uses_user_session = user_session is not None and not self._has_authentication(user_session)
        # Arguments of each request of the API; None where the session has all of them.
        self._options: _RequestOptions | None = None
        if user_session is None and proxy is None:
            # The session is made for these requests: aiohttp takes a thousand instructions for each argument of one.
            self._session_headers["Authorization"] = credentials.authorization
        else:
            # Not in a session's headers: aiohttp sends those to a proxy, too, this one as Proxy-Authorization.
            headers = CIMultiDict({"Authorization": credentials.authorization})
            if self._uses_user_session:
                headers.update(self._session_headers)
            self._options = {
                "headers": headers,
                "raise_for_status": False,
                "auto_decompress": True,
                "read_bufsize": _PAGE_BUFFER,
                "proxy": proxy,
            }
        self._owned_session: aiohttp.ClientSession | None = None
        self._media_session: aiohttp.ClientSession | None = None
        # The event loop that the owned session belongs to.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trace_configs = list(trace_configs)
        self._timer = timer
        self.closed = False

    def request(self, method: str, url: URL, timeout: aiohttp.ClientTimeout) -> Awaitable[aiohttp.ClientResponse]:
        """Send a request of the API, and return its response when its headers are there.

        Redirects are not followed: credentials must not go to another host.

        Raises:
            ClientClosedError: as for :meth:`for_api`.
            ConfigurationError: as for :meth:`for_api`.
        """
        session = self.for_api()
        if self._options is None:
            return session.request(method, url, timeout=timeout, allow_redirects=False)
        return session.request(method, url, timeout=timeout, allow_redirects=False, **self._options)

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
            if self._uses_user_session:
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
        if session.auth is not None or session.trust_env:
            return True
        # A password for a proxy that cannot be seen may be there.
        return self._has_proxy and (not _shows_proxy(session) or session._default_proxy_auth is not None)

    def _session_beside(self, user_session: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """Return a session for the API over the user's connections, with the user's headers and proxy.

        aiohttp refuses a request that has an Authorization header if its session has authentication, or finds some in
        a .netrc file: such a session cannot be used itself.
        """
        if self._owned_session is None or self._owned_session.closed:
            headers = CIMultiDict(user_session.headers)
            headers.update(self._session_headers)
            self._owned_session = self._session_over(user_session, headers=headers, auto_decompress=True)
        return self._owned_session

    def _session_over(
        self, session: aiohttp.ClientSession, *, headers: Mapping[str, str], auto_decompress: bool
    ) -> aiohttp.ClientSession:
        """Return a session over the connections and the proxy of another one, with nothing else of it."""
        proxy, proxy_auth = (None, None) if self._has_proxy else _default_proxy(session)
        return self._new_session(
            partial(
                aiohttp.ClientSession,
                connector=session.connector,
                connector_owner=False,
                headers=headers,
                auto_decompress=auto_decompress,
                proxy=proxy,
                proxy_auth=proxy_auth,
            )
        )

    def _new_session(self, make_session: Callable[..., aiohttp.ClientSession]) -> aiohttp.ClientSession:
        """Return a new session that sends each request once.

        Where a connection breaks before the response, aiohttp sends the request again: past the limiter, the number of
        attempts and the retry budget, so that an outage would see twice the traffic. It has no public setting for that.
        """
        make_session = partial(make_session, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=self._trace_configs)
        session = make_session()
        if hasattr(session, "_retry_connection"):
            session._retry_connection = False
            return session

        session.detach()
        _warn_of_missing("_retry_connection", _NO_RETRY_SWITCH)
        return make_session(middlewares=[self.connections.send_once])

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
        return self._new_session(
            partial(
                aiohttp.ClientSession,
                connector=self._new_connector(),
                headers=self._session_headers,
                read_bufsize=_PAGE_BUFFER,
            )
        )

    def _new_connector(self) -> aiohttp.TCPConnector:
        ssl = True if self._ssl is None else self._ssl
        if self.sees_connections:
            return _Connector(self._timer, ssl, self.connections)
        _warn_of_missing("_create_connection", _NO_HOOKS)
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE, ssl=ssl)

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
    return _default_proxy(session)[0] is not None


def _default_proxy(session: aiohttp.ClientSession) -> tuple[StrOrURL | None, aiohttp.BasicAuth | None]:
    """Return the proxy that a session sends everything through, and its password."""
    if not _shows_proxy(session):
        _warn_of_missing("_default_proxy", _NO_DEFAULT_PROXY)
        return None, None
    return session._default_proxy, session._default_proxy_auth


def _shows_proxy(session: aiohttp.ClientSession) -> bool:
    """Return True if a session has the attributes of its proxy, which no public ones show."""
    return hasattr(session, "_default_proxy") and hasattr(session, "_default_proxy_auth")


def _has_hooks() -> bool:
    """Return True if aiohttp's connector has the methods that :class:`_Connector` overrides, as they are known."""
    return all(_is_known(getattr(aiohttp.TCPConnector, name, None), parameters) for name, parameters in _HOOKS.items())


def _is_known(method: object, parameters: tuple[str, ...]) -> bool:
    return inspect.iscoroutinefunction(method) and tuple(inspect.signature(method).parameters) == parameters


def _warn_of_missing(name: str, effect: str) -> None:
    """Warn, once in this process, that a private name of aiohttp is gone or means something else."""
    if name in _warned:
        return
    _warned.add(name)
    warnings.warn(
        f"aiohttp {aiohttp.__version__} has no {name} that roomrec_async {__version__} knows: {effect}. Update "
        "roomrec_async, or install an older aiohttp",
        RuntimeWarning,
        stacklevel=2,
    )


class _Connector(aiohttp.TCPConnector):
    """Opens as many connections as the limiter grants permits, and tells where connections come from.

    Connecting does not count as reading, and all of it is bounded: the look-up of the name, the proxy's answer to
    CONNECT and the TLS handshake, too.
    """

    def __init__(self, timer: SharedTimer, ssl: SSLContext | bool, log: ConnectionLog) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEEPALIVE, ssl=ssl)
        self._timer = timer
        self._log = log

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        task = asyncio.current_task()
        self._log.opened_by[task] = perf_counter()
        connect_timeout = self._timer.scope_for(timeout.sock_connect)
        try:
            with self._timer.paused(), connect_timeout:
                connection = await super()._create_connection(req, traces, timeout)
        except TimeoutError as error:
            if connect_timeout.expired:
                raise aiohttp.ConnectionTimeoutError from error
            raise
        self._log.opened_by[task] = perf_counter()
        return connection

    def _get(self, key: ConnectionKey, traces: list[Trace]) -> Coroutine[object, object, Connection | None]:
        if self._log.need_new and asyncio.current_task() in self._log.need_new:
            return _no_connection()
        return super()._get(key, traces)


async def _no_connection() -> None:
    """Return what a pool returns that has no idle connection."""


def _keep_read_buffers() -> None:
    """Make the C library keep the memory that asyncio reads into.

    asyncio reads into 256 KiB. Linux' allocator takes blocks of that size from the system and gives them back at each
    read, which costs a tenth of the time that listing with 50 records a page takes, until it has once been given back
    a larger one: this, which is never touched.
    """
    bytes(2**20)
