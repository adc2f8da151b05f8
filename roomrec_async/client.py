"""RecordingsClient, the session wrapper: one short method for each operation."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, TypedDict, Unpack, cast, overload

import aiohttp
import attrs

from ._api.codec import (
    DecodedPage,
    RawBody,
    decode_account_recordings,
    decode_recording,
    decode_recordings,
    decode_rooms,
)
from ._api.params import (
    ACCOUNT_RECORDINGS_PATH,
    MAX_ACCOUNT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    ROOMS_PATH,
    Parameters,
    account_recordings_parameters,
    limit_checked,
    media_parameters,
    recording_path,
    recordings_parameters,
    recordings_path,
    rooms_parameters,
    seconds_checked,
)
from ._api.urls import DEFAULT_BASE_URL
from ._http.retries import RetryPolicy
from ._http.transport import Transport
from ._listing import fanout, scan
from ._listing.fanout import OnError, OpenRoom, RoomSids, room_sids_checked
from ._listing.pager import ListOperation, Pager
from ._listing.records import Model
from ._listing.scan import DateWindow
from ._media.download import Download, DownloadOperation, OnBytes
from ._media.locate import Decryption, Destination, Media
from .bounds import Bounds
from .config import Timeout
from .credentials import Credentials
from .errors import ConfigurationError, DecodeError, InvalidArgumentError, NotFoundError, RoomRecError, shown
from .events import Observer, Operation, OperationName, Watch
from .limits import Limiter, RateLimiter
from .models import MediaType, Recording, RecordingStatus, Room, RoomResult, RoomStatus

if TYPE_CHECKING:
    from ._archive.run import ArchiveProgress, ArchiveReport
    from ._tables import TableFormat

# With no bound on the requests in flight, something must still bound the rooms.
_ROOMS_AT_ONCE = 100
_FEW_PERMITS = 8

_ANY_ROOM_SID = "RM" + 32 * "0"


Via: TypeAlias = Literal["rooms", "account"]
"""Which lists the recordings of many rooms come from; see :meth:`RecordingsClient.gather`."""


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
            Where a connection breaks before the response, a session other than the client's own sends the request a
            second time by itself: aiohttp has no setting for it, and neither limits nor tries count it.
        base_url: another endpoint, such as a gateway. Only https, or a loopback address.
        limiter: the limits; give the same one to all clients of an account. By default ``RateLimiter()``.
        retry: how reads are tried again. By default ``RetryPolicy()``.
        timeout: a number of seconds for each whole operation, or a :class:`Timeout`. By default ``Timeout()``.
        trace_configs: for the client's own aiohttp session.
        proxy: the URL of an HTTP proxy.
        bounds: how much a response and a list may bring. By default ``Bounds()``.
        observers: what is told of all that the client does; see :class:`Observer`.

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
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeout | float | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        proxy: str | None = None,
        bounds: Bounds | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        if session is not None and trace_configs:
            raise ConfigurationError("trace_configs belong to the session: give them to the one you created")
        self._timeout = Timeout.of(timeout, Timeout())
        self._bounds = bounds or Bounds()
        self._transport = Transport(
            credentials,
            session=session,
            base_url=base_url,
            limiter=limiter or RateLimiter(),
            retry=retry or RetryPolicy(),
            trace_configs=trace_configs,
            proxy=proxy,
            bounds=self._bounds,
            watch=Watch(observers),
        )

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
        bounds: Bounds | None = None,
        observers: Sequence[Observer] = (),
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
            bounds=bounds,
            observers=observers,
        )

    @property
    def limiter(self) -> Limiter:
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
        return self._pager(
            "recordings",
            recordings_path(room_sid),
            parameters,
            decode_recordings,
            limit,
            resume,
            timeout,
            prefetch=prefetch,
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
        """The recordings of all rooms of the account: ``GET /v1/Recordings``, "List of all Track recordings".

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
        return self._pager(
            "account_recordings",
            ACCOUNT_RECORDINGS_PATH,
            parameters,
            decode_account_recordings,
            limit,
            resume,
            timeout,
            prefetch=prefetch,
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
        """The rooms of the account: ``GET /v1/Rooms``.

        **Without a status, the API lists only the rooms in progress.** Most recordings are in rooms that are over:
        ``client.rooms(status="completed")``.

        Args:
            status: ``in-progress`` (the API's default), ``completed`` or ``failed``.
            unique_name: only rooms of this name.
            date_created_after: only rooms that were created at this instant or later; aware, sent as UTC.
            date_created_before: only rooms that were created before this instant; aware, sent as UTC.
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
        return self._pager("rooms", ROOMS_PATH, parameters, decode_rooms, limit, resume, timeout, prefetch=prefetch)

    async def recording(self, room_sid: str, sid: str, *, timeout: Timeout | float | None = None) -> Recording:
        """One recording: ``GET /v1/Rooms/{RoomSid}/Recordings/{Sid}``.

        Args:
            room_sid: ``RM`` and 32 hexadecimal digits.
            sid: the recording's, ``RT`` and 32 hexadecimal digits.
            timeout: a number of seconds for the whole operation, or a :class:`Timeout`; by default the client's.

        Raises:
            InvalidArgumentError: a SID is malformed.
            NotFoundError: there is no such recording.
            DecodeError: the response is not what the reference describes.
        """
        path = recording_path(room_sid, sid)
        operation = Operation("recording", path)
        with self._transport.watch.over(operation):
            response = await self._transport.get(path, "", Timeout.of(timeout, self._timeout).start(), operation)
            try:
                recording = decode_recording(response.body, sid)
            except DecodeError as error:
                error.url = str(response.url)
                raise
            operation.records = 1
        return recording

    async def delete(self, room_sid: str, sid: str, *, timeout: Timeout | float | None = None) -> bool:
        """Delete one recording's media for good: ``DELETE /v1/Rooms/{RoomSid}/Recordings/{Sid}``.

        The service keeps the metadata for 30 days, under the status ``deleted``. To delete twice is to delete: a
        recording that is gone already is a success.

        Args:
            room_sid: ``RM`` and 32 hexadecimal digits.
            sid: the recording's, ``RT`` and 32 hexadecimal digits.
            timeout: a number of seconds for the whole operation, or a :class:`Timeout`; by default the client's.

        Returns:
            Whether there was something to delete; False if the service no longer knew it. After a try whose answer
            was lost, False may also mean that that try has deleted it.

        Raises:
            InvalidArgumentError: a SID is malformed.
        """
        path = recording_path(room_sid, sid)
        operation = Operation("delete", path)
        with self._transport.watch.over(operation):
            try:
                await self._transport.delete(path, Timeout.of(timeout, self._timeout).start(), operation)
            except NotFoundError:
                return False
        return True

    async def media_url(
        self,
        recording: Recording,
        *,
        ttl: int | None = None,
        content_disposition: Literal["attachment", "inline"] | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
    ) -> str:
        """A URL where a recording's media can be had for some time, by anybody who has it: ``GET .../Media``.

        Whoever fetches it must send no ``Authorization`` header there. :meth:`download` does all of it.

        Args:
            recording: whose media; its SIDs lead to them.
            ttl: for how many seconds the URL is good, 1 to 3600; the API's default is 600.
            content_disposition: whether a browser saves the media or plays them.
            wait: for how many seconds to wait for media that are not there yet: they can come some seconds after the
                recording has ended.
            timeout: a number of seconds for each request, or a :class:`Timeout`; by default the client's.

        Raises:
            InvalidArgumentError: an argument is outside the documented bounds.
            NotFoundError: there are no media, or not yet, or no longer.
            MediaError: the service named no usable URL.
        """
        parameters = media_parameters(ttl=ttl, content_disposition=content_disposition)
        media = self._media("media_url", recording, wait, Timeout.of(timeout, self._timeout))
        with self._transport.watch.over(media.operation):
            return str(await media.url(parameters))

    async def download(
        self,
        recording: Recording,
        destination: str | os.PathLike[str] | Destination,
        *,
        decryption: Decryption | None = None,
        wait: float = 0.0,
        timeout: Timeout | float | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Download:
        """Fetch a recording's media, whole and verified.

        A file grows beside its place as ``NAME.part`` and takes its place when it is whole and on the disk. What an
        interrupted download has left is gone on with, if it is of the same version. A file of the right name and size
        is not fetched again. Credentials go to the service, and never to the object store.

        Args:
            recording: whose media; its SIDs lead to them.
            destination: a file; or a directory (one that exists, or ends in a slash), which gets ``RT....mka`` or
                ``RT....mkv``; or a store, such as :class:`roomrec_async.integrations.stores.ObjectStore`.
            decryption: what encrypted media are decrypted with while they arrive, such as
                :class:`roomrec_async.integrations.decryption.PrivateKey`.
            wait: for how many seconds to wait for media that are not there yet.
            timeout: a number of seconds for the whole download, or a :class:`Timeout`. By default there is no bound
                for the whole: the client's bounds for connecting, for reading, and for each request of the API hold.
            on_bytes: is called in the event loop with the number of bytes that have arrived, each time some have.

        Raises:
            InvalidArgumentError: the recording has no SID, or the destination is none.
            NotFoundError: there are no media, or not yet, or no longer.
            APIError: the service or the object store answered with another error.
            TransportError: connections broke too often, or the time was over. The part stays, to be gone on with.
            VerificationError: what arrived is not what was announced. Nothing is left behind.
            DecryptionError: there is no key, it is the wrong one, or the media are damaged. Nothing is left behind.
            MediaError: the same file is being downloaded already.
            OSError: the file cannot be written.
        """
        reading = Timeout.of(timeout, attrs.evolve(self._timeout, total=None))
        media = self._media("download", recording, wait, self._timeout, reading)
        return await DownloadOperation(media, destination, decryption, on_bytes).run(reading.start())

    async def archive(
        self,
        source: RoomSids | DateWindow,
        destination: str | os.PathLike[str] | Destination,
        *,
        delete: bool = False,
        decryption: Decryption | None = None,
        ledger: str | os.PathLike[str] | None = None,
        manifest: Collection[TableFormat] = ("jsonl", "parquet"),
        downloads: int = 8,
        progress: ArchiveProgress | None = None,
    ) -> ArchiveReport:
        """Copy the media of all completed recordings, verify them, list them, and delete them at the source if asked.

        It may be killed at any instant and run again with the same ledger: it goes on where it was. Recordings are
        put into a folder for each room: ``RM.../RT....mkv``.

        Args:
            source: rooms, as for :meth:`gather`; or a :class:`DateWindow`, for all that the account has recorded in it.
            destination: a directory, or a store as for :meth:`download`.
            delete: whether recordings are deleted at the source: each when its copy is verified and safe on the disk,
                and never otherwise. A copy of an earlier run is looked at again before that.
            decryption: what encrypted media are decrypted with; without it, encrypted recordings fail.
            ledger: the SQLite file that says what is done; by default ``ledger.sqlite3`` in the directory. It must be
                given with a store, and belongs to one destination.
            manifest: the formats of the list that is written at the end: ``manifest.jsonl`` and ``manifest.parquet``.
                Parquet needs the extra ``parquet``.
            downloads: how many media are copied at once.
            progress: is kept up to date, to be looked at meanwhile.

        Returns:
            What the archive holds. A recording that failed is in its ``failures``, and tried again by the next run.

        Raises:
            InvalidArgumentError: an argument is outside its bounds.
            ConfigurationError: the ledger belongs to another destination, or is in use; or an extra is missing.
            AuthenticationError: the credentials were refused.
            RoomRecError: a window could not be listed.
            OSError: the disk is full, or cannot be written.
        """
        # Not with the package: few need it, and SQLite takes time to import.
        from ._archive.run import ArchiveOperation, ArchiveProgress  # noqa: PLC0415

        reading = attrs.evolve(self._timeout, total=None)
        return await ArchiveOperation(
            source=source if isinstance(source, DateWindow) else room_sids_checked(source),
            destination=destination,
            delete=delete,
            decryption=decryption,
            ledger=ledger,
            manifest=manifest,
            downloads=downloads,
            progress=progress or ArchiveProgress(),
            list_rooms=lambda room_sids: self.as_completed(room_sids, status=RecordingStatus.COMPLETED),
            list_window=lambda window: self.scan(window, status=RecordingStatus.COMPLETED),
            media=lambda recording: self._media("download", recording, 0.0, self._timeout, reading),
            delete_recording=self.delete,
            deadline=reading.start,
        ).run()

    def _pager(
        self,
        name: OperationName,
        path: str,
        parameters: Parameters,
        decode: Callable[[RawBody], DecodedPage[Model]],
        limit: int | None,
        resume: str | None,
        timeout: Timeout | float | None,
        *,
        prefetch: bool,
        max_page_size: int = MAX_PAGE_SIZE,
    ) -> Pager[Model]:
        return Pager(
            ListOperation(
                name=name,
                transport=self._transport,
                path=path,
                parameters=parameters,
                decode=decode,
                timeout=Timeout.of(timeout, self._timeout),
                limit=limit_checked(limit),
                resume=resume,
                prefetch=prefetch,
                max_page_size=max_page_size,
                max_pages=self._bounds.pages,
            )
        )

    def _media(
        self, of: OperationName, recording: Recording, wait: float, asking: Timeout, reading: Timeout | None = None
    ) -> Media:
        return Media(of, self._transport, recording, seconds_checked("wait", wait), asking, reading or asking)

    @overload
    async def gather(
        self,
        room_sids: RoomSids,
        *,
        via: Via = "rooms",
        return_exceptions: Literal[False] = False,
        **options: Unpack[RoomOptions],
    ) -> dict[str, list[Recording]]: ...

    @overload
    async def gather(
        self, room_sids: RoomSids, *, via: Via = "rooms", return_exceptions: bool, **options: Unpack[RoomOptions]
    ) -> dict[str, list[Recording] | RoomRecError]: ...

    async def gather(
        self,
        room_sids: RoomSids,
        *,
        via: Via = "rooms",
        return_exceptions: bool = False,
        **options: Unpack[RoomOptions],
    ) -> dict[str, list[Recording]] | dict[str, list[Recording] | RoomRecError]:
        """The recordings of many rooms: a list for each, in the order given. A room named twice is fetched once.

        As with :func:`asyncio.gather`, the first error is raised, and what else was under way is cancelled.

        Args:
            room_sids: any iterable or async iterable.
            via: ``rooms`` asks for each room: one request for each at the least. ``account`` asks for everything that
                the account has recorded from ``date_created_after`` (which must be given) to ``date_created_before``,
                100 recordings a request and many requests at once, and keeps what belongs to these rooms: for many
                rooms with few recordings each. A room that does not exist then is a room without recordings, a
                room's recordings are in the order in which they began, and an error is never one room's.
            return_exceptions: whether a failed room's value is its exception, and the other rooms go on.
            options: as for :meth:`recordings`; ``limit`` and ``timeout`` are each room's.

        Raises:
            InvalidArgumentError: an argument is outside its bounds, or ``via="account"`` has no beginning.
        """
        if _is_via_account(via):
            return await scan.gather(*self._account_scan(room_sids, options))
        return cast(
            "dict[str, list[Recording]]",
            await fanout.gather(
                room_sids_checked(room_sids),
                self._opener(options),
                self._rooms_at_once,
                return_exceptions=return_exceptions,
            ),
        )

    def as_completed(
        self, room_sids: RoomSids, *, via: Via = "rooms", **options: Unpack[RoomOptions]
    ) -> AsyncGenerator[RoomResult, None]:
        """One :class:`RoomResult` for each room, as rooms finish. A room that fails is a result with an error.

        Rooms are pulled from the iterable as there is capacity for them; a slow consumer stops the fetching. Nothing
        is remembered: a room named twice is fetched twice. Leaving the loop stops everything.

        Args:
            room_sids: any iterable or async iterable.
            via: as for :meth:`gather`; with ``account``, all rooms finish together, each of them once.
            options: as for :meth:`recordings`; ``limit`` and ``timeout`` are each room's.
        """
        if _is_via_account(via):
            return scan.as_completed(*self._account_scan(room_sids, options))
        return fanout.as_completed(room_sids_checked(room_sids), self._opener(options), self._rooms_at_once)

    def stream(
        self,
        room_sids: RoomSids,
        *,
        via: Via = "rooms",
        on_error: OnError | None = None,
        **options: Unpack[RoomOptions],
    ) -> AsyncGenerator[Recording, None]:
        """The recordings of many rooms, page by page as they come, in flat memory.

        Rooms are pulled and consumers waited for as with :meth:`as_completed`.

        Args:
            room_sids: any iterable or async iterable.
            via: as for :meth:`gather`; with ``account``, the SIDs of all rooms are held in memory.
            on_error: is called with the :class:`RoomResult` of each room that fails; what it raises ends the stream.
                By default the failures are kept until the end.
            options: as for :meth:`recordings`; ``limit`` is each room's, ``timeout`` each page's.

        Raises:
            RoomsFailedError: after everything else was delivered, if rooms failed and there is no ``on_error``.
        """
        if _is_via_account(via):
            return scan.stream(*self._account_scan(room_sids, options))
        return fanout.stream(
            room_sids_checked(room_sids), self._opener(options), self._rooms_at_once, on_error=on_error
        )

    def _account_scan(
        self, room_sids: RoomSids, options: RoomOptions
    ) -> tuple[RoomSids, AsyncGenerator[list[Recording], None], int | None]:
        """What the functions of :mod:`.scan` take. All options are checked here, before anything is sent."""
        limit = limit_checked(options.get("limit"))
        after, before = options.get("date_created_after"), options.get("date_created_before")
        if after is None:
            raise InvalidArgumentError(
                "via='account' needs date_created_after: when the first of the rooms was created"
            )
        lists = self.scan(
            DateWindow(after, before),
            status=options.get("status"),
            source_sid=options.get("source_sid"),
            page_size=options.get("page_size"),
            timeout=options.get("timeout"),
        )
        return room_sids_checked(room_sids), lists, limit

    def scan(
        self,
        window: DateWindow,
        *,
        status: RecordingStatus | str | None = None,
        source_sid: str | None = None,
        page_size: int | None = None,
        timeout: Timeout | float | None = None,
    ) -> AsyncGenerator[list[Recording], None]:
        """All recordings of the account in a window of time, each once, in lists as they come: ``GET /v1/Recordings``
        for many parts of the window at once.

        Args:
            window: from when to when recordings began.
            status: as for :meth:`account_recordings`.
            source_sid: as for :meth:`account_recordings`.
            page_size: as for :meth:`account_recordings`.
            timeout: for each page; as for :meth:`account_recordings`.

        Raises:
            InvalidArgumentError: an argument is outside its bounds.
        """

        def list_window(window: DateWindow) -> Pager[Recording]:
            return self.account_recordings(
                status=status,
                source_sid=source_sid,
                date_created_after=window.after,
                date_created_before=window.before,
                page_size=page_size,
                prefetch=False,
                timeout=timeout,
            )

        list_window(window)
        return scan.scan(window, list_window, self._rooms_at_once)

    def _opener(self, options: RoomOptions) -> OpenRoom:
        """How each of many rooms is listed. The options are checked here, once, before anything is sent."""
        # Rooms run side by side already: a page ahead in each would only hold memory.
        any_room = self.recordings(_ANY_ROOM_SID, prefetch=False, **options)

        def open_room(room_sid: str) -> Pager[Recording]:
            return any_room.at(recordings_path(room_sid))

        return open_room

    def _rooms_at_once(self) -> int:
        # One for each permit. With more of them, each request would wait for its turn behind those of other rooms, and
        # pages that came together would all be decoded before the next requests are sent. But a room that waits to be
        # tried again needs no permit; where there are few, there is always another room that can use it.
        permits = self.limiter.max_concurrency
        if permits is None:
            return _ROOMS_AT_ONCE
        return 2 * permits if permits < _FEW_PERMITS else permits + min(permits, self._transport.between_tries)

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


def _is_via_account(via: Via) -> bool:
    if via not in ("rooms", "account"):
        raise InvalidArgumentError(f"via must be 'rooms' or 'account', not {shown(via)}")
    return via == "account"
