"""What a client reports to its observers: operations, the requests that they send, and each attempt of a request."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from yarl import URL

from ._validate import RECORDING_SID, ROOM_SID

OperationName: TypeAlias = Literal[
    "recordings",
    "account_recordings",
    "rooms",
    "participants",
    "room",
    "recording",
    "delete",
    "signed_media_url",
    "download",
]
"""The method of :class:`~roomrec_async.RecordingsClient` behind an operation; a fan-out is many ``recordings``."""


class Activity(msgspec.Struct, kw_only=True, eq=False, dict=True, weakref=True):
    """Something that begins and ends: an :class:`Operation`, a :class:`Request` or an :class:`Attempt`.

    Attributes:
        began: when it began, on the clock of :func:`time.perf_counter`.
        seconds: how long it took; None while it is under way.
        error: the exception that it ended with; None while it is under way, and after a success.
    """

    began: float = 0.0
    seconds: float | None = None
    error: BaseException | None = None


class Operation(Activity, eq=False):
    """One call of a client's method, or one iteration of a list.

    The time that the consumer of a list takes is part of ``seconds``. Leaving a loop early is a success.

    Attributes:
        name: the method's name.
        path: the API path below the base URL, with the SIDs in it.
        records: recordings or rooms delivered so far.
        bytes: bytes of media received so far.
        foreign_account_sid: SID of an account other than the credentials' that records belong to; None if there is
            none.
    """

    name: OperationName
    path: str
    records: int = 0
    bytes: int = 0
    foreign_account_sid: str | None = None

    @property
    def room_sid(self) -> str | None:
        """SID of the room that the operation is about, or None."""
        found = ROOM_SID.search(self.path)
        return found[0] if found else None

    @property
    def recording_sid(self) -> str | None:
        """SID of the recording that the operation is about, or None."""
        found = RECORDING_SID.search(self.path)
        return found[0] if found else None


class Request(Activity, eq=False):
    """One request with all its attempts, such as a page of a list or the download of media.

    The time spent waiting for the limiter and backing off is part of ``seconds``.

    Attributes:
        operation: the operation that it belongs to.
        method: ``GET`` or ``DELETE``.
        waited_in_vain: seconds that it waited for the limiter's permit when its deadline came, or could not be met any
            more; None if that is not how it ended.
    """

    operation: Operation
    method: str
    _url: URL
    waited_in_vain: float | None = None

    @property
    def url(self) -> URL:
        """URL without the query: page tokens are nobody's business, and signed media URLs are secrets."""
        return self._url.with_query(None)


class Attempt(Activity, eq=False):
    """One attempt of a request, from its permit until its response is read and decoded; for media, to the headers.

    Attributes:
        request: the request.
        number: 1 for the first attempt.
        waited: seconds spent waiting for the limiter's permit before it; None for media, which need none.
        status: HTTP status of the response; None if there was none.
    """

    request: Request
    number: int
    waited: float | None = None
    status: int | None = None
