"""RecordingsClient, the session wrapper: one short method for each operation."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TypeAlias, TypeVar, Unpack, cast, overload

import aiohttp
import attrs

from ._api.arguments import check_recording, recording_sids, split_download_arguments
from ._api.codec import (
    decode_account_recordings,
    decode_participants,
    decode_recording,
    decode_recordings,
    decode_room,
    decode_rooms,
    with_room_sid,
)
from ._api.params import (
    ACCOUNT_RECORDINGS_PATH,
    MAX_ACCOUNT_PAGE_SIZE,
    ROOMS_PATH,
    RoomFilters,
    ScanFilters,
    account_recordings_parameters,
    any_recording_path,
    check_limit,
    media_parameters,
    participants_parameters,
    participants_path,
    recordings_parameters,
    recordings_path,
    room_path,
    rooms_parameters,
)
from ._api.urls import DEFAULT_BASE_URL
from ._asyncio import running_loop
from ._destinations import local_path, resolve_destination
from ._http.timers import Deadline
from ._http.transport import Transport
from ._listing import fanout, scan
from ._listing.async_only import only_async
from ._listing.fanout import OnError, RoomSids, SidOf, check_options, check_room_sids
from ._listing.lists import Lists
from ._listing.pager import Pager
from ._listing.records import Records
from ._listing.scan import DateWindow
from ._listing.waiting import wait_for_recordings
from ._media.delete import delete_recording, foreign_account
from ._observe import Notifier
from ._settings import (
    check_credentials,
    check_decryption,
    check_limiter,
    check_observers,
    check_session_settings,
    check_user_agent,
    warn_of_region,
)
from ._validate import check_account_sid, check_bool, check_callable, check_choice, check_instance, check_seconds
from .config import Bounds, RetryPolicy, Timeout
from .credentials import Credentials
from .errors import DecodeError, InvalidArgumentError, RoomRecError
from .events import Operation, OperationName
from .limits import RateLimiter
from .models import MediaType, Participant, ParticipantStatus, Recording, RecordingStatus, Room, RoomResult, RoomStatus
from .protocols import Decryption, Destination, Limiter, Observer

if TYPE_CHECKING:
    from ._archive.report import ArchiveProgress, ArchiveReport
    from ._export.report import ExportProgress, ExportReport
    from ._export.run import ExportOperation
    from ._media.download import Download, OnBytes
    from ._media.locate import Media
    from ._tables import TableFormat

_Resource = TypeVar("_Resource", Recording, Room)

Via: TypeAlias = Literal["rooms", "account"]
"""The lists that the recordings of many rooms come from; see :meth:`RecordingsClient.gather`."""


class RoomOptions(RoomFilters, total=False):
    """Options for the lists of many rooms; see :meth:`RecordingsClient.recordings`."""

    limit: int | None
    timeout: Timeout | float | None


class RecordingsClient:
    """Client for the recordings of video rooms, with one account's credentials.

    It may be created outside an event loop and is used inside one. ``async with`` closes it, as does :meth:`aclose`.
    One client is meant to be shared by all of a program's tasks: it holds the connections and the account's limits.

    Args:
        credentials: the account's credentials. :meth:`from_env` reads them from the environment.
        session: an aiohttp session to use; it is never closed or changed. By default the client has one of its own.
            Where a connection breaks before the response, a session other than the client's own sends the request a
            second time by itself: aiohttp has no setting for it, and neither limits nor attempts count it.
        base_url: another endpoint, such as a gateway. Only https, or a loopback address.
        limiter: the limits; give the same one to all clients of an account. By default ``RateLimiter()``.
        retry: how reads and deletions are retried. By default ``RetryPolicy()``.
        timeout: a number of seconds for each whole operation, or a :class:`Timeout`. By default ``Timeout()``.
        trace_configs: for the client's own aiohttp session.
        proxy: the URL of an HTTP proxy, for the API and for media.
        trust_env: True to use the proxies of ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` where no ``proxy`` is
            given. :meth:`from_env` does.
        ssl: an :class:`ssl.SSLContext` for the client's own session, such as one with a private certificate authority.
            By default Python's, which knows ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
        bounds: how much a response and a list may bring. By default ``Bounds()``.
        observers: receive the client's events; see :class:`~roomrec_async.Observer`.
        user_agent: name of your program, such as ``my-app/1.2``, for the end of the ``User-Agent``. The one that a
            session has of its own is kept in front.

    Raises:
        ConfigurationError: there are no credentials, the settings cannot work together, or they would send credentials
            unencrypted.
        InvalidArgumentError: a setting is of the wrong kind, or out of its bounds.

    Example:
        >>> async with RecordingsClient.from_env() as client:
        ...     async for recording in client.recordings("RM...", status="completed"):
        ...         print(recording.sid, recording.duration)
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        base_url: str = DEFAULT_BASE_URL,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        proxy: str | None = None,
        trust_env: bool = False,
        ssl: SSLContext | None = None,
        bounds: Bounds | None = None,
        observers: Sequence[Observer] = (),
        user_agent: str | None = None,
    ) -> None:
        check_session_settings(session, trace_configs, ssl)
        check_limiter(limiter)
        check_instance("retry", retry, RetryPolicy, "RetryPolicy(max_attempts=3)")
        check_instance("bounds", bounds, Bounds, "Bounds(max_pages=1000)")
        self._timeout = Timeout._resolve(timeout, Timeout())
        if bounds is None:
            bounds = Bounds()
        self._transport = Transport(
            check_credentials(credentials),
            session=session,
            base_url=base_url,
            limiter=RateLimiter() if limiter is None else limiter,
            retry=RetryPolicy() if retry is None else retry,
            trace_configs=trace_configs,
            proxy=proxy,
            trust_env=check_bool("trust_env", trust_env),
            ssl=ssl,
            bounds=bounds,
            notifier=Notifier(check_observers(observers)),
            user_agent=check_user_agent(user_agent),
        )
        self._lists = Lists(self._transport, self._timeout, bounds.max_pages)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        base_url: str | None = None,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        proxy: str | None = None,
        trust_env: bool = True,
        ssl: SSLContext | None = None,
        bounds: Bounds | None = None,
        observers: Sequence[Observer] = (),
        user_agent: str | None = None,
    ) -> Self:
        """Create a client with the credentials of the environment; the other arguments are those of the class.

        Reads ``TWILIO_ACCOUNT_SID`` with ``TWILIO_AUTH_TOKEN``, or with ``TWILIO_API_KEY`` and ``TWILIO_API_SECRET``;
        and ``ROOMREC_BASE_URL``, where no ``base_url`` is given. ``TWILIO_REGION`` and ``TWILIO_EDGE`` choose no
        address of Video: a warning is logged where they are set and there is no base URL.

        Raises:
            ConfigurationError: a variable is missing (the message names it), or the settings cannot work together.
            InvalidArgumentError: a value is malformed.
        """
        env = os.environ if environ is None else environ
        credentials = Credentials.from_env(env)
        base_url = base_url or env.get("ROOMREC_BASE_URL", "").strip()
        if not base_url:
            warn_of_region(env)
        return cls(
            credentials,
            session=session,
            base_url=base_url or DEFAULT_BASE_URL,
            limiter=limiter,
            retry=retry,
            timeout=timeout,
            trace_configs=trace_configs,
            proxy=proxy,
            trust_env=trust_env,
            ssl=ssl,
            bounds=bounds,
            observers=observers,
            user_agent=user_agent,
        )

    @property
    def limiter(self) -> Limiter:
        """Limiter of the client, to be shared with other clients of the account."""
        return self._transport.limiter

    def recordings(
        self,
        room_sid: str | Room,
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
        """List the recordings of one room: ``GET /v1/Rooms/{RoomSid}/Recordings``, "List room recording".

        Nothing is sent until the result is iterated; arguments are checked at once.

        Args:
            room_sid: the room, or its SID: ``RM`` and 32 hexadecimal digits.
            status: only recordings with this status. Deleted ones are listed only when asked for.
            source_sid: only recordings of this track.
            date_created_after: only recordings that started at this instant or later; aware, sent as UTC. The service
                takes whole seconds, as its dates are: both bounds are rounded up.
            date_created_before: only recordings that started before this instant; as for ``date_created_after``.
            page_size: records in a page, 1 to 1000. By default as many as allowed and needed: quotas count requests.
            page: the API's page index, from 0; it is "simply for client state".
            page_token: a page token of the API's, to start there.
            limit: maximum number of records; 0 gives none, None all.
            resume: a ``resume_token`` of a page or of an error, to resume from there, or the ``skip_token`` of a
                :class:`DecodeError`. Other arguments may be repeated, but not changed.
            prefetch: True to fetch the next page while the caller works on the present one.
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
        return self._lists.open(
            "recordings",
            recordings_path(self._lists.named_room_sid(room_sid)),
            parameters,
            decode_recordings,
            limit=limit,
            resume=resume,
            prefetch=prefetch,
            timeout=timeout,
        )

    def account_recordings(
        self,
        *,
        status: RecordingStatus | str | None = None,
        source_sid: str | None = None,
        grouping_sids: Sequence[str] = (),
        date_created_after: datetime | None = None,
        date_created_before: datetime | None = None,
        media_type: MediaType | str | None = None,
        page_size: int | None = None,
        page: int | None = None,
        page_token: str | None = None,
        limit: int | None = None,
        resume: str | None = None,
        prefetch: bool = True,
        timeout: Timeout | float | None = None,
    ) -> Pager[Recording]:
        """List the recordings of all rooms of the account: ``GET /v1/Recordings``, "List of all Track recordings".

        Nothing is sent until the result is iterated; arguments are checked at once. ``room_sid`` is filled in from
        ``grouping_sids`` where the service leaves it out.

        Args:
            status: as for :meth:`recordings`.
            source_sid: as for :meth:`recordings`.
            grouping_sids: only recordings that belong to all of these rooms (``RM...``) and participants (``PA...``).
            date_created_after: as for :meth:`recordings`.
            date_created_before: as for :meth:`recordings`.
            media_type: only audio, or only video.
            page_size: records in a page, 1 to 100 here. By default as many as allowed and needed.
            page: as for :meth:`recordings`.
            page_token: as for :meth:`recordings`.
            limit: as for :meth:`recordings`.
            resume: as for :meth:`recordings`.
            prefetch: as for :meth:`recordings`.
            timeout: as for :meth:`recordings`.

        Raises:
            InvalidArgumentError: an argument is outside the published description's patterns and bounds.
        """
        parameters = account_recordings_parameters(
            status=status,
            source_sid=source_sid,
            grouping_sids=grouping_sids,
            date_created_after=date_created_after,
            date_created_before=date_created_before,
            media_type=media_type,
            page_size=page_size,
            page=page,
            page_token=page_token,
        )
        return self._lists.open(
            "account_recordings",
            ACCOUNT_RECORDINGS_PATH,
            parameters,
            decode_account_recordings,
            limit=limit,
            resume=resume,
            prefetch=prefetch,
            timeout=timeout,
            max_page_size=MAX_ACCOUNT_PAGE_SIZE,
        )

    def rooms(
        self,
        *,
        status: RoomStatus | str | None = None,
        unique_name: str | None = None,
        date_created_after: datetime | None = None,
        date_created_before: datetime | None = None,
        page_size: int | None = None,
        page: int | None = None,
        page_token: str | None = None,
        limit: int | None = None,
        resume: str | None = None,
        prefetch: bool = True,
        timeout: Timeout | float | None = None,
    ) -> Pager[Room]:
        """List the rooms of the account: ``GET /v1/Rooms``.

        **Without a status, the API lists only the rooms in progress.** Most recordings are in rooms that have
        ended: ``client.rooms(status="completed")``.

        Args:
            status: ``in-progress`` (the API's default), ``completed`` or ``failed``.
            unique_name: only rooms of this name.
            date_created_after: only rooms that were created at this instant or later; as for :meth:`recordings`.
            date_created_before: only rooms that were created before this instant; as for :meth:`recordings`.
            page_size: records in a page, 1 to 1000. By default as many as allowed and needed.
            page: as for :meth:`recordings`.
            page_token: as for :meth:`recordings`.
            limit: as for :meth:`recordings`.
            resume: as for :meth:`recordings`.
            prefetch: as for :meth:`recordings`.
            timeout: as for :meth:`recordings`.

        Raises:
            InvalidArgumentError: an argument is outside the published description's patterns and bounds.
        """
        parameters = rooms_parameters(
            status=status,
            unique_name=unique_name,
            date_created_after=date_created_after,
            date_created_before=date_created_before,
            page_size=page_size,
            page=page,
            page_token=page_token,
        )
        return self._lists.open(
            "rooms",
            ROOMS_PATH,
            parameters,
            decode_rooms,
            limit=limit,
            resume=resume,
            prefetch=prefetch,
            timeout=timeout,
        )

    def participants(
        self,
        room_sid: str | Room,
        *,
        status: ParticipantStatus | str | None = None,
        identity: str | None = None,
        date_created_after: datetime | None = None,
        date_created_before: datetime | None = None,
        page_size: int | None = None,
        page: int | None = None,
        page_token: str | None = None,
        limit: int | None = None,
        resume: str | None = None,
        prefetch: bool = True,
        timeout: Timeout | float | None = None,
    ) -> Pager[Participant]:
        """List the participants of one room: ``GET /v1/Rooms/{RoomSid}/Participants``.

        **Without a status, the API lists only the connected participants of a room in progress.** Of a room that has
        ended, it lists all of them: they are disconnected.

        Args:
            room_sid: the room, or its SID: ``RM`` and 32 hexadecimal digits.
            status: ``connected``, ``disconnected`` or ``reconnecting``.
            identity: only participants of this identity. One who came back is listed once for each time.
            date_created_after: only participants who connected at this instant or later; as for :meth:`recordings`.
            date_created_before: only participants who connected before this instant; as for :meth:`recordings`.
            page_size: records in a page, 1 to 1000. By default as many as allowed and needed.
            page: as for :meth:`recordings`.
            page_token: as for :meth:`recordings`.
            limit: as for :meth:`recordings`.
            resume: as for :meth:`recordings`.
            prefetch: as for :meth:`recordings`.
            timeout: as for :meth:`recordings`.

        Raises:
            InvalidArgumentError: an argument is outside the published description's patterns and bounds.
        """
        parameters = participants_parameters(
            status=status,
            identity=identity,
            date_created_after=date_created_after,
            date_created_before=date_created_before,
            page_size=page_size,
            page=page,
            page_token=page_token,
        )
        return self._lists.open(
            "participants",
            participants_path(self._lists.named_room_sid(room_sid)),
            parameters,
            decode_participants,
            limit=limit,
            resume=resume,
            prefetch=prefetch,
            timeout=timeout,
        )

    async def room(self, room_sid: str | Room, *, timeout: Timeout | float | None = None) -> Room:
        """Fetch one room: ``GET /v1/Rooms/{Sid}``.

        Args:
            room_sid: its SID, ``RM`` and 32 hexadecimal digits; or a room, to fetch it as it is now.
            timeout: a number of seconds for the whole operation, or a :class:`Timeout`; by default the client's.

        Raises:
            InvalidArgumentError: the SID is malformed.
            NotFoundError: there is no such room.
            DecodeError: the response is not what the reference describes.
        """
        sid = self._lists.room_sid(room_sid)
        return await self._fetch("room", room_path(sid), lambda body: decode_room(body, sid), timeout)

    @overload
    async def recording(self, recording: Recording, /, *, timeout: Timeout | float | None = None) -> Recording: ...

    @overload
    async def recording(
        self, room_sid: str | Room, sid: str, *, timeout: Timeout | float | None = None
    ) -> Recording: ...

    async def recording(
        self, room_sid: Recording | Room | str, sid: str | None = None, *, timeout: Timeout | float | None = None
    ) -> Recording:
        """Fetch one recording: ``GET /v1/Rooms/{RoomSid}/Recordings/{Sid}``.

        Args:
            room_sid: a :class:`Recording`, to fetch it as it is now; or the room or its SID.
            sid: the recording's, ``RT`` and 32 hexadecimal digits, if the room is given.
            timeout: a number of seconds for the whole operation, or a :class:`Timeout`; by default the client's.

        Raises:
            InvalidArgumentError: a SID is missing or malformed.
            NotFoundError: there is no such recording.
            DecodeError: the response is not what the reference describes.
        """
        room, known_sid = self._lists.recording_sids(room_sid, sid)

        def decode(body: bytes) -> Recording:
            return with_room_sid(decode_recording(body, known_sid))

        return await self._fetch("recording", any_recording_path(room, known_sid), decode, timeout)

    async def wait_for_recordings(self, room_sid: str | Room, *, timeout: float | None = 600.0) -> Records[Recording]:
        """Return all recordings of a room once none of them is being processed, such as after its event ``room-ended``.

        The room is listed again and again, within the limits, at intervals of 1 to 15 seconds. Recordings that failed
        are in the list, too. The service may not know a room that has just ended, or list nothing of it: that counts
        after 15 seconds. A room in progress is waited for as long as it records.

        Args:
            room_sid: the room, or its SID.
            timeout: maximum number of seconds to wait; None for no limit. The last list may take 10 more.

        Returns:
            The recordings; none for a room in which nothing was recorded.

        Raises:
            RecordingsNotReadyError: recordings are still being processed; its ``recordings`` are those that there are.
            NotFoundError: there is no such room.
            InvalidArgumentError: an argument is malformed.
        """
        seconds = math.inf if timeout is None else check_seconds("timeout", timeout, positive=True)
        room = self._lists.room_sid(room_sid)

        def open_list(seconds: float) -> Pager[Recording]:
            return self.recordings(room, timeout=self._timeout._within(seconds))

        return await wait_for_recordings(room, open_list, seconds)

    @overload
    async def delete(
        self, recording: Recording, /, *, account_sid: str | None = None, timeout: Timeout | float | None = None
    ) -> bool: ...

    @overload
    async def delete(self, room_sid: str | Room, sid: str, *, timeout: Timeout | float | None = None) -> bool: ...

    async def delete(
        self,
        room_sid: Recording | Room | str,
        sid: str | None = None,
        *,
        account_sid: str | None = None,
        timeout: Timeout | float | None = None,
    ) -> bool:
        """Delete one recording's media for good: ``DELETE /v1/Rooms/{RoomSid}/Recordings/{Sid}``.

        The service keeps the metadata for 30 days, under the status ``deleted``. Deleting is idempotent: a recording
        that is gone already is a success.

        Args:
            room_sid: a :class:`Recording`; or the room, or its SID: ``RM`` and 32 hexadecimal digits.
            sid: the recording's, ``RT`` and 32 hexadecimal digits, if the room is given.
            account_sid: the account that a :class:`Recording` must belong to, if it says so; by default that of the
                credentials. A parent account's API key with a subaccount's SID lists, and deletes, what the *parent*
                has recorded: whoever means that gives the parent's SID. SIDs alone are deleted as they are named.
            timeout: a number of seconds for the whole operation, or a :class:`Timeout`; by default the client's.

        Returns:
            True if there was something to delete; False if the room no longer has such a recording. After an attempt
            whose response was lost, False may also mean that that attempt has deleted it.

        Raises:
            InvalidArgumentError: a SID is missing or malformed, or the recording belongs to another account.
            NotFoundError: a 404 or 410 without the service's code 20404, such as that of a gateway.
        """
        room, sid = recording_sids(room_sid, sid)
        if isinstance(room_sid, Recording):
            self._check_deletable(room_sid, account_sid)
        elif account_sid is not None:
            raise InvalidArgumentError("account_sid is compared with that of a Recording: give one, and not its SIDs")
        else:
            self._lists.room_sid(room_sid)
        return await delete_recording(self._transport, room, sid, self._deadline(timeout))

    @overload
    async def signed_media_url(
        self,
        recording: Recording,
        /,
        *,
        ttl: int | None = None,
        content_disposition: Literal["attachment", "inline"] | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
    ) -> str: ...

    @overload
    async def signed_media_url(
        self,
        room_sid: str | Room,
        sid: str,
        /,
        *,
        ttl: int | None = None,
        content_disposition: Literal["attachment", "inline"] | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
    ) -> str: ...

    async def signed_media_url(
        self,
        recording: Recording | Room | str,
        sid: str | None = None,
        /,
        *,
        ttl: int | None = None,
        content_disposition: Literal["attachment", "inline"] | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
    ) -> str:
        """Return a URL from which anybody can read a recording's media for some time: ``GET .../Media``.

        Whoever fetches it must send no ``Authorization`` header there. :meth:`download` does all of it.

        Args:
            recording: the recording, whose SIDs lead to the media; or its room, or the SID of that.
            sid: the recording's SID, if the room is given.
            ttl: seconds for which the URL is valid, 1 to 3600; the API's default is 600.
            content_disposition: whether a browser saves the media or plays them.
            wait: seconds to wait for media that are not there yet: they can come some seconds after the recording
                has ended.
            timeout: a number of seconds for each request, or a :class:`Timeout`; by default the client's.

        Raises:
            InvalidArgumentError: an argument is outside the documented bounds.
            NotFoundError: there are no media, or not yet, or no longer.
            MediaError: the service named no usable URL.
        """
        parameters = media_parameters(ttl=ttl, content_disposition=content_disposition)
        if not isinstance(recording, Recording):
            room, sid = self._lists.recording_sids(recording, sid)
            recording = Recording(room_sid=room, sid=sid)
        elif sid is not None:
            recording_sids(recording, sid)
        media = self._media("signed_media_url", recording, wait, Timeout._resolve(timeout, self._timeout))
        with self._transport.notifier.notify(media.operation), self._transport.operation_scope():
            return str(await media.url(parameters))

    @overload
    async def download(
        self,
        recording: Recording,
        /,
        destination: str | os.PathLike[str] | Destination,
        *,
        decryption: Decryption | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Download: ...

    @overload
    async def download(
        self,
        room_sid: str | Room,
        sid: str,
        /,
        destination: str | os.PathLike[str] | Destination,
        *,
        decryption: Decryption | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Download: ...

    async def download(
        self,
        recording: Recording | Room | str,
        /,
        *where: str | os.PathLike[str] | Destination,
        destination: str | os.PathLike[str] | Destination | None = None,
        decryption: Decryption | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Download:
        """Download a recording's media, whole and verified.

        Data goes to ``NAME.part``, which is renamed when it is complete and on the disk. An interrupted download
        resumes if the media have not changed. A file of the right name and size is not fetched again. Credentials go
        to the service, and never to the object store.

        Args:
            recording: the recording, whose SIDs lead to the media; or its room, or the SID of that.
            where: the recording's SID, if the room is given, for which the recording is fetched first; and the
                destination, which may also be named.
            destination: a file; or a directory (one that exists, or ends in a slash), which gets ``RT....mka`` or
                ``RT....mkv``; or a store: its URL, such as ``s3://bucket/prefix``, or an object such as
                :class:`roomrec_async.integrations.stores.ObjectStore`.
            decryption: decrypts encrypted media while they arrive, such as
                :class:`roomrec_async.integrations.decryption.PrivateKey`.
            wait: seconds to wait for media that are not there yet.
            timeout: a number of seconds for the whole download, or a :class:`Timeout`. By default there is no bound
                for the whole: the client's bounds for connecting, for reading, and for each request of the API hold.
            on_bytes: called in the event loop with the number of bytes that have arrived, each time some have.

        Raises:
            InvalidArgumentError: the recording has no SID, or the destination is not one.
            NotFoundError: there are no media, or not yet, or no longer.
            APIError: the service or the object store answered with another error.
            TransportError: connections broke too often, or time ran out. The part stays, to be resumed.
            VerificationError: the bytes that arrived are not those announced. Nothing is left behind.
            DecryptionError: there is no key, it is the wrong one, or the media are damaged. Nothing is left behind.
            MediaError: the same file is being downloaded already.
            OSError: the file cannot be written.
        """
        download_timeout = Timeout._resolve(timeout, attrs.evolve(self._timeout, total=None))
        check_callable("on_bytes", on_bytes)
        check_decryption(decryption)
        sid, place = split_download_arguments(recording, where, destination)
        target = resolve_destination(cast("str | os.PathLike[str] | Destination", place))
        recording = await self._fetched(recording, sid)
        media = self._media("download", recording, wait, self._timeout, download_timeout)

        # Not imported with the package: who only lists recordings needs none of it.
        from ._media.download import DownloadOperation  # noqa: PLC0415

        operation = DownloadOperation(media, target, decryption, on_bytes)
        return await operation.run(Deadline.start(download_timeout))

    async def archive(
        self,
        source: RoomSids | DateWindow,
        destination: str | os.PathLike[str] | Destination,
        *,
        delete: bool = False,
        account_sid: str | None = None,
        decryption: Decryption | None = None,
        ledger: str | os.PathLike[str] | None = None,
        manifest: Collection[TableFormat] = ("jsonl", "parquet"),
        downloads: int = 8,
        retry_failed: bool = False,
        progress: ArchiveProgress | None = None,
    ) -> ArchiveReport:
        """Copy the media of all completed recordings, verify and list them, and delete them at the source if asked.

        It may be killed at any instant and run again: it resumes. Recordings are put into a folder for each room:
        ``RM.../RT....mkv``.

        Args:
            source: rooms, as for :meth:`gather`; or a :class:`DateWindow`, for all that the account has recorded in it.
            destination: a directory, or a store as for :meth:`download`.
            delete: True to delete recordings at the source, each on proof of its copy, and never otherwise. The proof
                is that the bytes read back from the archive have the digest of those that were written, begin as
                Matroska, and are as many as the service announced. A store needs a method ``read`` for that
                (:class:`~roomrec_async.protocols.ReadableDestination`). Only recordings that ``source`` names are
                deleted, whatever else the archive contains.
            account_sid: the account whose recordings may be deleted; by default that of the credentials. See
                :meth:`delete`. Those that say that they belong to another account are copied, and stay at the source.
            decryption: decrypts encrypted media; without it, encrypted recordings fail.
            ledger: the SQLite file that records what is done; by default ``ledger.sqlite3`` in the directory. It
                belongs to one destination and to the account of the credentials. Without one, an archive in a store
                has its state there, in ``_roomrec/``. A store that knows no versions of its objects needs a ledger.
            manifest: the formats of the list that is written at the end: ``manifest.jsonl`` and ``manifest.parquet``.
                Parquet needs the extra ``parquet``. With more than 1,000 recordings it is a directory of this name with
                parts of 1,000 recordings each, of which a run writes those that have changed.
            downloads: how many media are copied at once.
            retry_failed: True to try recordings that failed in earlier runs at once, however often they failed.
            progress: kept up to date, to be looked at meanwhile.

        Returns:
            A report of the archive's contents. A recording that failed, or whose copy is no proof, is in its
            ``failures``. The next runs of the same source retry it: the first two in any case, unless the service says
            that it has no media of a recording that is older than two days; then after 12 hours, and each time after
            twice as long, up to 30 days. One that lacks the private key is retried as soon as ``decryption`` is given,
            and any one as soon as the service changes its record.

        Raises:
            InvalidArgumentError: an argument is out of its bounds.
            ConfigurationError: the ledger, or the state in the store, belongs to another destination or account, or is
                damaged; the archive has another ledger, or the other one of the two, or can have neither; or an extra
                is missing.
            MediaError: another process is archiving to the destination, or has taken over; or the state could not be
                written.
            AuthenticationError: the credentials were refused.
            RoomRecError: a window could not be listed.
            OSError: the disk is full, or cannot be written; or the directory has vanished.
        """
        # Not imported with the package: few need it, and SQLite takes time to import.
        from ._archive.report import ArchiveProgress  # noqa: PLC0415
        from ._archive.run import ArchiveOperation  # noqa: PLC0415

        operation = ArchiveOperation(
            transport=self._transport,
            lists=self._lists,
            timeout=self._timeout,
            source=_check_source(source),
            destination=resolve_destination(destination),
            delete=check_bool("delete", delete),
            account_sid=account_sid,
            decryption=check_decryption(decryption),
            ledger=None if ledger is None else local_path("ledger", ledger),
            manifest=manifest,
            downloads=downloads,
            retry_failed=check_bool("retry_failed", retry_failed),
            progress=check_instance("progress", progress, ArchiveProgress, "ArchiveProgress()") or ArchiveProgress(),
        )
        return await operation.run()

    async def export(
        self,
        source: RoomSids | DateWindow | None,
        destination: str | os.PathLike[str] | Destination,
        *,
        format: Literal["parquet", "jsonl"] = "parquet",  # noqa: A002  the word that everybody looks for
        since_last: bool = False,
        shard: str | tuple[int, int] | None = None,
        identities: bool = False,
        progress: ExportProgress | None = None,
        **options: Unpack[RoomOptions],
    ) -> ExportReport:
        """Write the records of rooms, or of all recordings of a window, to ``part-*`` files that are tables.

        It may be killed at any moment and run again: it resumes, and asks only for what is not yet written. Each
        recording is in one part, once. The columns are the fields of :class:`Recording`, in their order, then
        ``participant_sid`` and ``room_name``, which is known where the source gives :class:`Room` objects: texts,
        64-bit integers (``size``, ``offset``, ``duration``), UTC timestamps in microseconds (``date_*``), and JSON as
        text (``links``, ``grouping_sids``). The metadata of a Parquet file have ``roomrec.schema_version``. The state
        is beside the parts, in ``_roomrec/``.

        Of a window, recordings are written that are no longer processing. The others are written by the next run with
        ``since_last``, if they are done by then. Of rooms, all recordings are written, as they are.

        Args:
            source: rooms, as for :meth:`gather`; or a :class:`DateWindow`, for all that the account has recorded in it,
                with a twentieth of the requests; or with ``since_last`` None, for the window of the export there is.
            destination: a directory; or a store: its URL, such as ``s3://bucket/prefix``, or an
                :class:`~roomrec_async.integrations.stores.ObjectStore`.
            format: ``parquet``, which needs the extra ``parquet``, or ``jsonl``.
            since_last: True to take up where the last complete run ended, if there is one: recordings that began since,
                and those that were still processing then. A recording may appear in the lists up to an hour late. For
                a window only, whose beginning is that of the first run: a later one changes nothing.
            shard: which part of the work to do, such as ``"3/40"`` or ``(3, 40)`` for the third of 40. Shards may run
                at the same time or one after another, in any order, and again. They may be counted from 0: ``"0/40"``
                is the last.
            identities: True for a last column ``participant_identity``: who was recorded, by the name that the
                application gave. It takes one more request for each room, two for a room in progress; of a window,
                for each room in each piece of it. All runs into a destination must have it, or none.
            progress: kept up to date, to be looked at meanwhile.
            options: for rooms only, as for :meth:`recordings`: which of their recordings to write. ``limit`` is each
                room's, ``timeout`` each page's.

        Raises:
            InvalidArgumentError: an argument is out of its bounds.
            ConfigurationError: the destination holds an export of another account, window, format or number of shards,
                of other rooms, with other filters or with other columns, or one up to a time that is yet to come; it
                cannot hold an export; or an extra is missing.
            MediaError: another process is exporting the same shard to it.
            AuthenticationError: the credentials were refused.
            RoomRecError: a window could not be listed. What was written before that stays.
            OSError: the disk is full, or cannot be written.
        """
        operation = self._export_operation(
            source,
            destination,
            format=format,
            since_last=since_last,
            shard=shard,
            identities=identities,
            progress=progress,
            **options,
        )
        return await operation.run()

    def _export_operation(
        self,
        source: RoomSids | DateWindow | None,
        destination: str | os.PathLike[str] | Destination,
        *,
        format: TableFormat = "parquet",  # noqa: A002  as in export()
        since_last: bool = False,
        shard: str | tuple[int, int] | None = None,
        identities: bool = False,
        progress: ExportProgress | None = None,
        **options: Unpack[RoomOptions],
    ) -> ExportOperation:
        """Return an export that is not started yet. Its arguments, those of :meth:`export`, are checked here."""
        # Not imported with the package: few need it.
        from ._export.filters import describe_filters  # noqa: PLC0415
        from ._export.report import ExportProgress  # noqa: PLC0415
        from ._export.run import ExportOperation  # noqa: PLC0415
        from ._export.shard import Shard  # noqa: PLC0415

        check_options("export", options, RoomOptions.__optional_keys__)
        if options and (source is None or isinstance(source, DateWindow)):
            raise InvalidArgumentError(
                f"{next(iter(options))} is for rooms: of a window, all recordings are written once they are done"
            )
        return ExportOperation(
            transport=self._transport,
            lists=self._lists,
            timeout=self._timeout,
            source=None if source is None else _check_source(source),
            destination=resolve_destination(destination),
            format=format,
            since_last=check_bool("since_last", since_last),
            shard=Shard.parse(shard),
            list_participants=self.participants if check_bool("identities", identities) else None,
            open_room=self._lists.room_opener(**options),
            filters=describe_filters(**options),
            progress=check_instance("progress", progress, ExportProgress, "ExportProgress()") or ExportProgress(),
        )

    def _check_deletable(self, recording: Recording, account_sid: str | None) -> None:
        """Raise InvalidArgumentError if a recording does not belong to the account."""
        if account_sid is None:
            account_sid = self._transport.account_sid
        reason = foreign_account(recording, check_account_sid(account_sid))
        if reason is not None:
            raise InvalidArgumentError(
                f"{recording.sid} is not deleted: {reason}. If you mean it, give its account as account_sid"
            )

    async def _fetched(self, recording: Recording | Room | str, sid: object) -> Recording:
        """Return a recording as it is, or fetch the one that is given by its SIDs."""
        if isinstance(recording, Recording):
            self._lists.recording_sids(recording, sid)
            return recording
        _, own = self._lists.recording_sids(recording, sid)
        return await self.recording(recording, own)

    async def _fetch(
        self,
        name: OperationName,
        path: str,
        decode: Callable[[bytes], _Resource],
        timeout: Timeout | float | None,
    ) -> _Resource:
        """Return one resource."""
        operation = Operation(name, path)
        with self._transport.notifier.notify(operation):
            response = await self._transport.get(path, "", self._deadline(timeout), operation)
            try:
                resource = decode(response.body)
            except DecodeError as error:
                error.url = str(response.url)
                raise
            operation.records = 1
        return resource

    def _deadline(self, timeout: Timeout | float | None) -> Deadline:
        return Deadline.start(Timeout._resolve(timeout, self._timeout))

    def _media(
        self,
        name: OperationName,
        recording: Recording,
        wait: float,
        request_timeout: Timeout,
        stream_timeout: Timeout | None = None,
    ) -> Media:
        wait = check_seconds("wait", wait)
        self._lists.recording_sids(check_recording(recording))

        from ._media.locate import Media  # noqa: PLC0415  as for a download

        return Media(name, self._transport, recording, wait, request_timeout, stream_timeout or request_timeout)

    @overload
    async def gather(
        self,
        room_sids: RoomSids,
        *,
        via: Via = "rooms",
        return_exceptions: Literal[False] = False,
        **options: Unpack[RoomOptions],
    ) -> dict[str, Records[Recording]]: ...

    @overload
    async def gather(
        self, room_sids: RoomSids, *, via: Via = "rooms", return_exceptions: bool, **options: Unpack[RoomOptions]
    ) -> dict[str, Records[Recording] | RoomRecError]: ...

    async def gather(
        self,
        room_sids: RoomSids,
        *,
        via: Via = "rooms",
        return_exceptions: bool = False,
        **options: Unpack[RoomOptions],
    ) -> dict[str, Records[Recording]] | dict[str, Records[Recording] | RoomRecError]:
        """Return the recordings of many rooms: a list for each, in the order given. A room named twice is fetched once.

        Two spellings of a SID are one room, under the first of them: the service ignores the case of its digits.
        As with :func:`asyncio.gather`, the first error is raised; other rooms under way are cancelled.

        Args:
            room_sids: rooms or their SIDs, from any iterable or async iterable, such as ``client.rooms(...)``.
            via: ``rooms`` asks for each room: one request for each at the least. ``account`` asks for everything that
                the account has recorded from ``date_created_after`` (which must be given) to ``date_created_before``,
                100 recordings a request and many requests at once, and keeps what belongs to these rooms: for many
                rooms with few recordings each. A room that does not exist then is a room without recordings, a
                room's recordings are in the order in which they began, and an error is never one room's.
            return_exceptions: True to make a failed room's value its exception, while the other rooms go on.
            options: as for :meth:`recordings`; ``limit`` and ``timeout`` are each room's.

        Raises:
            InvalidArgumentError: an argument is out of its bounds, or ``via="account"`` has no beginning.
        """
        check_options("gather", options, RoomOptions.__optional_keys__)
        if _is_via_account(via):
            return await scan.gather(*self._account_scan(room_sids, **options))
        check_bool("return_exceptions", return_exceptions)
        by_room = await fanout.gather(
            check_room_sids(room_sids),
            self._lists.room_opener(**options),
            self._lists.max_rooms,
            self._transport.operation_scope(),
            self._lists.named_room_sid,
            return_exceptions=return_exceptions,
        )
        return cast("dict[str, Records[Recording]]", by_room)

    def as_completed(
        self, room_sids: RoomSids, *, via: Via = "rooms", **options: Unpack[RoomOptions]
    ) -> AsyncGenerator[RoomResult, None]:
        """Yield one :class:`RoomResult` for each room, as rooms finish. A room that fails is a result with an error.

        Rooms are pulled from the iterable as there is capacity for them; a slow consumer stops the fetching. Nothing
        is remembered: a room named twice is fetched twice. Leaving the loop stops everything.

        Args:
            room_sids: rooms or their SIDs, from any iterable or async iterable, such as ``client.rooms(...)``.
            via: as for :meth:`gather`; with ``account``, all rooms finish together, each of them once.
            options: as for :meth:`recordings`; ``limit`` and ``timeout`` are each room's.
        """
        check_options("as_completed", options, RoomOptions.__optional_keys__)
        if _is_via_account(via):
            return only_async(scan.as_completed(*self._account_scan(room_sids, **options)))
        results = fanout.as_completed(
            check_room_sids(room_sids),
            self._lists.room_opener(**options),
            self._lists.max_rooms,
            self._transport.operation_scope(),
            self._lists.named_room_sid,
        )
        return only_async(results)

    def stream(
        self,
        room_sids: RoomSids,
        *,
        via: Via = "rooms",
        on_error: OnError | None = None,
        **options: Unpack[RoomOptions],
    ) -> AsyncGenerator[Recording, None]:
        """Yield the recordings of many rooms, page by page as they come, in flat memory.

        Rooms are pulled, and slow consumers waited for, as with :meth:`as_completed`.

        Args:
            room_sids: rooms or their SIDs, from any iterable or async iterable, such as ``client.rooms(...)``.
            via: as for :meth:`gather`; with ``account``, the SIDs of all rooms are held in memory.
            on_error: called with the :class:`RoomResult` of each room that fails; an exception that it raises ends the
                stream. By default the failures are kept until the end.
            options: as for :meth:`recordings`; ``limit`` is each room's, ``timeout`` each page's.

        Raises:
            RoomsFailedError: after everything else was delivered, if rooms failed and there is no ``on_error``.
        """
        check_options("stream", options, RoomOptions.__optional_keys__)
        check_callable("on_error", on_error)
        if _is_via_account(via):
            return only_async(scan.stream(*self._account_scan(room_sids, **options)))
        recordings = fanout.stream(
            check_room_sids(room_sids),
            self._lists.room_opener(**options),
            self._lists.max_rooms,
            self._transport.operation_scope(),
            self._lists.named_room_sid,
            on_error=on_error,
        )
        return only_async(recordings)

    def _account_scan(
        self,
        room_sids: RoomSids,
        *,
        date_created_after: datetime | None = None,
        date_created_before: datetime | None = None,
        limit: int | None = None,
        timeout: Timeout | float | None = None,
        **filters: Unpack[ScanFilters],
    ) -> tuple[RoomSids, AsyncGenerator[list[Recording], None], int | None, SidOf]:
        """Return the arguments of the functions in :mod:`.scan`. All options are checked before anything is sent."""
        if date_created_after is None:
            raise InvalidArgumentError(
                "via='account' needs date_created_after: when the first of the rooms was created"
            )
        check_limit(limit)
        lists = self.scan(DateWindow(date_created_after, date_created_before), timeout=timeout, **filters)
        return check_room_sids(room_sids), lists, limit, self._lists.named_room_sid

    def scan(
        self,
        window: DateWindow,
        *,
        status: RecordingStatus | str | None = None,
        source_sid: str | None = None,
        page_size: int | None = None,
        timeout: Timeout | float | None = None,
    ) -> AsyncGenerator[list[Recording], None]:
        """Yield all recordings of the account in a window of time, each once, in lists as they come.

        The window is divided, and its parts are listed side by side: ``GET /v1/Recordings``.

        Args:
            window: from when to when recordings began.
            status: as for :meth:`account_recordings`.
            source_sid: as for :meth:`account_recordings`.
            page_size: as for :meth:`account_recordings`.
            timeout: for each page; as for :meth:`account_recordings`.

        Raises:
            InvalidArgumentError: an argument is out of its bounds.
        """
        scan.check_window(window)
        open_window = self._lists.window_opener(
            status=status, source_sid=source_sid, page_size=page_size, timeout=timeout
        )
        # Checks the arguments now, not when the first window is listed.
        open_window(window)
        return only_async(scan.scan(window, open_window, self._lists.max_rooms, self._transport.operation_scope()))

    async def aclose(self) -> None:
        """Close the client, and its session if it is the client's own. May be called again."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    if not TYPE_CHECKING:
        # To type checkers, such a use is an error already.

        def __enter__(self) -> NoReturn:
            raise TypeError("use 'async with' with a RecordingsClient, not 'with'")

        def __await__(self) -> NoReturn:
            raise TypeError("there is nothing to await in making a client: async with RecordingsClient(...) as client")

        # Python looks for both before it calls the first.
        __exit__ = None

    def __repr__(self) -> str:
        return f"<RecordingsClient of {self._transport.base_url}>"


def _check_source(source: RoomSids | DateWindow) -> RoomSids | DateWindow:
    """Return rooms, or a window of time.

    Raises:
        InvalidArgumentError: it is neither, or nothing can be in the window.
    """
    return scan.check_window(source) if isinstance(source, DateWindow) else check_room_sids(source)


def _is_via_account(via: Via) -> bool:
    return check_choice("via", via, ("rooms", "account")) == "account"
