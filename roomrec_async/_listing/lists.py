"""The lists of one client: what they share, and how each is opened."""

from __future__ import annotations

from typing import Final, Unpack

import msgspec

from roomrec_async._api.arguments import named_room_sid, recording_sids, room_sid_of
from roomrec_async._api.codec import PageDecoder, decode_account_recordings, decode_recordings
from roomrec_async._api.params import (
    ACCOUNT_RECORDINGS_PATH,
    MAX_ACCOUNT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    Parameters,
    RoomFilters,
    ScanFilters,
    account_recordings_parameters,
    check_limit,
    recordings_parameters,
    recordings_path,
)
from roomrec_async._http.transport import Transport
from roomrec_async._text import safe_text
from roomrec_async._validate import check_bool
from roomrec_async.config import Timeout
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.events import OperationName
from roomrec_async.models import Model, Recording, Room

from .fanout import OpenRoom
from .pager import ListOperation, Pager
from .scan import DateWindow, OpenWindow

# Rooms at once where the limiter does not bound the requests in flight.
_ROOMS_WITHOUT_LIMIT: Final = 100
_FEW_PERMITS: Final = 8
# Characters of a SID that somebody else sent.
_MAX_SID_SHOWN: Final = 40


class Lists(msgspec.Struct, frozen=True):
    """Opens the lists of one client.

    Args:
        transport: sends the requests.
        timeout: the timeouts of a list that sets none itself.
        max_pages: maximum number of pages of a list.
    """

    transport: Transport
    timeout: Timeout
    max_pages: int

    def open(
        self,
        name: OperationName,
        path: str,
        parameters: Parameters,
        decode: PageDecoder[Model],
        *,
        limit: int | None = None,
        resume: str | None = None,
        prefetch: bool = True,
        timeout: Timeout | float | None = None,
        max_page_size: int = MAX_PAGE_SIZE,
    ) -> Pager[Model]:
        """Return a list that is not started yet; the arguments are those of :class:`ListOperation`.

        Raises:
            InvalidArgumentError: the limit or the resume token cannot be used.
        """
        operation = ListOperation(
            name=name,
            transport=self.transport,
            path=path,
            parameters=parameters,
            decode=decode,
            timeout=Timeout._resolve(timeout, self.timeout),
            limit=check_limit(limit),
            resume=resume,
            prefetch=check_bool("prefetch", prefetch),
            max_page_size=max_page_size,
            max_pages=self.max_pages,
        )
        return Pager(operation)

    def room_sid(self, room: object) -> str:
        """Return the SID of a room of the account that is given as a :class:`Room` or by its SID.

        Raises:
            InvalidArgumentError: it is neither, is of another account, or the SID is malformed.
        """
        return room_sid_of(self.named_room_sid(room))

    def named_room_sid(self, room: object) -> str:
        """Return the SID of a room like :meth:`room_sid`, but a text as it is."""
        if isinstance(room, str):
            return room
        sid = named_room_sid(room)
        if isinstance(room, Room):
            self.check_account(f"room {sid}", room.account_sid)
        return sid

    def recording_sids(self, recording: object, sid: object = None) -> tuple[str | None, str]:
        """Return the SIDs of a recording's room and of the recording itself, which is of the account.

        Raises:
            InvalidArgumentError: as for :func:`recording_sids`, or it is of another account.
        """
        sids = recording_sids(recording, sid)
        if isinstance(recording, Recording):
            self.check_account(f"recording {sids[1]}", recording.account_sid)
        elif isinstance(recording, Room):
            self.named_room_sid(recording)
        return sids

    def check_account(self, name: str, account_sid: str | None) -> None:
        """Check that a model is of the account of the credentials, or of one whose data the service returns for them.

        Raises:
            InvalidArgumentError: it comes from another client, and the service would only say that it does not exist.
        """
        if self.transport.is_foreign(account_sid) and account_sid != self.transport.foreign_account_sid:
            raise InvalidArgumentError(
                f"{name} is of account {safe_text(str(account_sid), _MAX_SID_SHOWN)}, and the client's credentials are "
                f"of {self.transport.account_sid}: use a client of that account, or give the SIDs if you mean it"
            )

    def room_opener(
        self, *, limit: int | None = None, timeout: Timeout | float | None = None, **filters: Unpack[RoomFilters]
    ) -> OpenRoom:
        """Return a function that opens the list of a room. The options are checked here, once, for all rooms."""
        parameters = recordings_parameters(**filters)
        limit = check_limit(limit)
        timeout = Timeout._resolve(timeout, self.timeout)

        def open_room(room_sid: str) -> Pager[Recording]:
            # Rooms run side by side already: a prefetched page in each would only hold memory.
            return self.open(
                "recordings",
                recordings_path(room_sid),
                parameters,
                decode_recordings,
                limit=limit,
                prefetch=False,
                timeout=timeout,
            )

        return open_room

    def window_opener(self, *, timeout: Timeout | float | None = None, **filters: Unpack[ScanFilters]) -> OpenWindow:
        """Return a function that opens the list of the account's recordings in a window."""

        def open_window(window: DateWindow) -> Pager[Recording]:
            return self.open(
                "account_recordings",
                ACCOUNT_RECORDINGS_PATH,
                account_recordings_parameters(
                    date_created_after=window.after, date_created_before=window.before, **filters
                ),
                decode_account_recordings,
                prefetch=False,
                timeout=timeout,
                max_page_size=MAX_ACCOUNT_PAGE_SIZE,
            )

        return open_window

    def max_rooms(self) -> int:
        """Return how many rooms may be under way at present: one for each permit.

        With more of them, each request would wait for its turn behind those of other rooms, and pages that came
        together would all be decoded before the next requests are sent. But a room that backs off needs no permit;
        where there are few permits, there is always another room that can use one.
        """
        permits = self.transport.limiter.max_concurrency
        if permits is None:
            return _ROOMS_WITHOUT_LIMIT
        if permits < _FEW_PERMITS:
            return 2 * permits
        return permits + min(permits, self.transport.backing_off)
