"""RecordingsClient, the session wrapper: one short method for each operation."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack, cast, overload

import aiohttp

from . import fanout
from .codec import decode_recordings
from .credentials import Credentials
from .errors import ConfigurationError, RoomRecError
from .fanout import OnError, OpenRoom, RoomSids, room_sids_checked
from .limits import RateLimiter
from .models import Recording, RecordingStatus, RoomResult
from .paging import ListOperation, Pager
from .query import limit_checked, recordings_parameters, recordings_path
from .retry import RetryPolicy
from .transport import DEFAULT_BASE_URL, Timeout, Transport

# With no bound on the requests in flight, something must still bound the rooms.
_ROOMS_AT_ONCE = 100

_ANY_ROOM_SID = "RM" + 32 * "0"


class RoomOptions(TypedDict, total=False):
    """What the lists of many rooms can be asked for; see :meth:`RecordingsClient.recordings`."""

    status: RecordingStatus | str | None
    source_sid: str | None
    date_created_after: datetime | None
    date_created_before: datetime | None
    page_size: int | None
    limit: int | None
    timeout: Timeout | float | None


class RecordingsClient:
    """The recordings of video rooms, over one account's credentials.

    It may be created outside an event loop and is used inside one. ``async with`` closes it, as does :meth:`aclose`.
    One client is meant to be shared by all of a program's tasks: it holds the connections and the account's limits.

    Args:
        credentials: who is calling.
        session: an aiohttp session to use; it is never closed or changed. By default the client has one of its own.
        base_url: another endpoint, such as a gateway. Only https, or a loopback address.
        limiter: the limits; give the same one to all clients of an account. By default ``RateLimiter()``.
        retry: how reads are tried again. By default ``RetryPolicy()``.
        timeout: a number of seconds for each whole operation, or a :class:`Timeout`. By default ``Timeout()``.
        trace_configs: for the client's own aiohttp session.
        proxy: the URL of an HTTP proxy.

    Raises:
        ConfigurationError: the settings cannot work together, or would send credentials unencrypted.

    Example:
        >>> async with RecordingsClient.from_env() as client:
        ...     async for recording in client.recordings("RM...", status="completed"):
        ...         print(recording.sid, recording.duration)
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        session: aiohttp.ClientSession | None = None,
        base_url: str = DEFAULT_BASE_URL,
        limiter: RateLimiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        proxy: str | None = None,
    ) -> None:
        if session is not None and trace_configs:
            raise ConfigurationError("trace_configs belong to the session: give them to the one you created")
        self._timeout = Timeout.of(timeout, Timeout())
        self._transport = Transport(
            credentials,
            session=session,
            base_url=base_url,
            limiter=limiter or RateLimiter(),
            retry=retry or RetryPolicy(),
            trace_configs=trace_configs,
            proxy=proxy,
        )

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        base_url: str | None = None,
        limiter: RateLimiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        proxy: str | None = None,
    ) -> Self:
        """A client with the credentials of the environment.

        Read are ``TWILIO_ACCOUNT_SID`` with ``TWILIO_AUTH_TOKEN``, or with ``TWILIO_API_KEY`` and
        ``TWILIO_API_SECRET``; and ``ROOMREC_BASE_URL``, where no ``base_url`` is given.

        Raises:
            ConfigurationError: something is missing (the message names it) or cannot work.
        """
        env = os.environ if environ is None else environ
        return cls(
            Credentials.from_env(env),
            session=session,
            base_url=base_url or env.get("ROOMREC_BASE_URL") or DEFAULT_BASE_URL,
            limiter=limiter,
            retry=retry,
            timeout=timeout,
            trace_configs=trace_configs,
            proxy=proxy,
        )

    @property
    def limiter(self) -> RateLimiter:
        """The client's limiter, to be shared with other clients of the account."""
        return self._transport.limiter

    def recordings(
        self,
        room_sid: str,
        *,
        status: RecordingStatus | str | None = None,
        source_sid: str | None = None,
        date_created_after: datetime | None = None,
        date_created_before: datetime | None = None,
        page_size: int | None = None,
        page: int | None = None,
        page_token: str | None = None,
        limit: int | None = None,
        resume: str | None = None,
        prefetch: bool = True,
        timeout: Timeout | float | None = None,
    ) -> Pager[Recording]:
        """The recordings of one room: ``GET /v1/Rooms/{RoomSid}/Recordings``, "List room recording".

        Nothing is sent until the result is iterated; arguments are checked at once.

        Args:
            room_sid: ``RM`` and 32 hexadecimal digits.
            status: only recordings with this status. Deleted ones are listed only when asked for.
            source_sid: only recordings of this track.
            date_created_after: only recordings that started at this instant or later; aware, sent as UTC.
            date_created_before: only recordings that started before this instant; aware, sent as UTC.
            page_size: records in a page, 1 to 1000. By default as many as allowed and needed: quotas count requests.
            page: the API's page index, from 0; it is "simply for client state".
            page_token: a page token of the API's, to begin there.
            limit: how many records to give at the most; 0 gives none, None all.
            resume: a ``resume_token`` of a page or of an error, to go on from there. Other arguments may be
                repeated, but not changed.
            prefetch: whether the next page is fetched while the caller works on the present one.
            timeout: a number of seconds for the whole operation, or a :class:`Timeout`; by default the client's.

        Raises:
            InvalidArgumentError: an argument is outside the reference's patterns and bounds.
        """
        parameters = recordings_parameters(
            status=status,
            source_sid=source_sid,
            date_created_after=date_created_after,
            date_created_before=date_created_before,
            page_size=page_size,
            page=page,
            page_token=page_token,
        )
        return Pager(
            ListOperation(
                transport=self._transport,
                path=recordings_path(room_sid),
                parameters=parameters,
                decode=decode_recordings,
                timeout=Timeout.of(timeout, self._timeout),
                limit=limit_checked(limit),
                resume=resume,
                prefetch=prefetch,
            )
        )

    @overload
    async def gather(
        self, room_sids: RoomSids, *, return_exceptions: Literal[False] = False, **options: Unpack[RoomOptions]
    ) -> dict[str, list[Recording]]: ...

    @overload
    async def gather(
        self, room_sids: RoomSids, *, return_exceptions: bool, **options: Unpack[RoomOptions]
    ) -> dict[str, list[Recording] | RoomRecError]: ...

    async def gather(
        self, room_sids: RoomSids, *, return_exceptions: bool = False, **options: Unpack[RoomOptions]
    ) -> dict[str, list[Recording]] | dict[str, list[Recording] | RoomRecError]:
        """The recordings of many rooms: a list for each, in the order given. A room named twice is fetched once.

        As with :func:`asyncio.gather`, the first error is raised, and what else was under way is cancelled.

        Args:
            room_sids: any iterable or async iterable.
            return_exceptions: whether a failed room's value is its exception, and the other rooms go on.
            options: as for :meth:`recordings`; ``limit`` and ``timeout`` are each room's.
        """
        return cast(
            "dict[str, list[Recording]]",
            await fanout.gather(
                room_sids_checked(room_sids),
                self._opener(options),
                self._rooms_at_once,
                return_exceptions=return_exceptions,
            ),
        )

    def as_completed(self, room_sids: RoomSids, **options: Unpack[RoomOptions]) -> AsyncGenerator[RoomResult, None]:
        """One :class:`RoomResult` for each room, as rooms finish. A room that fails is a result with an error.

        Rooms are pulled from the iterable as there is capacity for them; a slow consumer stops the fetching. Nothing
        is remembered: a room named twice is fetched twice. Leaving the loop stops everything.

        Args:
            room_sids: any iterable or async iterable.
            options: as for :meth:`recordings`; ``limit`` and ``timeout`` are each room's.
        """
        return fanout.as_completed(room_sids_checked(room_sids), self._opener(options), self._rooms_at_once)

    def stream(
        self, room_sids: RoomSids, *, on_error: OnError | None = None, **options: Unpack[RoomOptions]
    ) -> AsyncGenerator[Recording, None]:
        """The recordings of many rooms, page by page as they come, in flat memory.

        Rooms are pulled and consumers waited for as with :meth:`as_completed`.

        Args:
            room_sids: any iterable or async iterable.
            on_error: is called with the :class:`RoomResult` of each room that fails; what it raises ends the stream.
                By default the failures are kept until the end.
            options: as for :meth:`recordings`; ``limit`` is each room's, ``timeout`` each page's.

        Raises:
            RoomsFailedError: after everything else was delivered, if rooms failed and there is no ``on_error``.
        """
        return fanout.stream(
            room_sids_checked(room_sids), self._opener(options), self._rooms_at_once, on_error=on_error
        )

    def _opener(self, options: RoomOptions) -> OpenRoom:
        """How each of many rooms is listed. The options are checked here, once, before anything is sent."""
        # Rooms run side by side already: a page ahead in each would only hold memory.
        any_room = self.recordings(_ANY_ROOM_SID, prefetch=False, **options)

        def open_room(room_sid: str) -> Pager[Recording]:
            return any_room.at(recordings_path(room_sid))

        return open_room

    def _rooms_at_once(self) -> int:
        # Some rooms more than permits: a permit that is given back finds the next request waiting.
        permits = self.limiter.max_concurrency
        return _ROOMS_AT_ONCE if permits is None else 2 * permits

    async def aclose(self) -> None:
        """Close the client, and its session if it is the client's own. May be called again."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RecordingsClient of {self._transport.base_url}>"
