"""Every exception that a caller of the library can see.

    RoomRecError
    ├── APIError                  the service answered with an error
    │   ├── BadRequestError           400: a parameter was refused
    │   ├── AuthenticationError       401: wrong credentials, or the wrong region for them
    │   ├── PermissionDeniedError     403: the account may not do this
    │   ├── NotFoundError             404, 410: no such room or recording, or it is gone
    │   ├── RateLimitError            429: the quota or the concurrency limit was exceeded
    │   └── ServerError               5xx: the service failed
    ├── TransportError            no complete response arrived
    │   ├── ConnectionFailedError     the connection was refused, reset, or cut off
    │   └── RequestTimeoutError       the operation did not finish in time (also a TimeoutError)
    ├── DecodeError               a response is not what the reference describes
    ├── BoundsExceededError       a response or a list is larger than the client's bounds
    ├── PaginationError           the pages of a list repeat, or the URL of the next one is unusable
    ├── MediaError                a recording's media could not be located, stored or used
    │   ├── VerificationError         the media are not those that were announced
    │   └── DecryptionError           no key, the wrong key, or damaged media
    ├── RoomsFailedError          some of many rooms could not be listed
    ├── RecordingsNotReadyError   recordings were still being processed when time was up (also a TimeoutError)
    ├── SignatureError            a callback was not signed by the service
    ├── InvalidArgumentError      an argument was refused before anything was sent (also a ValueError)
    ├── ConfigurationError        settings or credentials are missing, or cannot work
    └── ClientClosedError         the client was used after it was closed (also a RuntimeError)

There is one class for each thing that a caller would do differently. All of them can be pickled, and none of them
holds a credential. Each has two texts: ``error.message`` is for people, and ``str(error)`` for logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .models import Recording

# Rooms whose errors are quoted in the message of RoomsFailedError.
_MAX_LISTED = 3
_BUDGET_EXHAUSTED = "not retried: too many requests failed, and the client's retry budget is used up"
# What was not found, by patterns of the path that was asked for.
_NOT_FOUND: Final = (
    (r"/Media$", "There are no media of this recording, or not yet"),
    (r"/Recordings/[^/]+$", "There is no such recording"),
    (r"/Rooms/[^/]+", "There is no such room"),
)


class RoomRecError(Exception):
    """Base class of every error that this library raises.

    :attr:`message` is fit for a chat or a page; ``str(error)`` is for logs, with the method, the URL and the request
    ID where there are any.

    Attributes:
        resume_token: token to resume an interrupted list after the records that were already delivered:
            ``client.recordings(room_sid, resume=...)``. None where no list was under way.
        retry_budget_exhausted: True if the request was not retried because the client's retry budget was used up.
    """

    resume_token: str | None = None
    retry_budget_exhausted: bool = False
    _message: ClassVar[str] = "Something went wrong"

    @property
    def message(self) -> str:
        """Short text for people who know nothing of the API: no URL, no request ID, nothing that the service wrote."""
        return self._message

    def __reduce__(self) -> tuple[object, ...]:
        # Without this, pickle would call the constructor with positional arguments.
        return (_restore, (type(self), self.args, self.__dict__.copy()))


class APIError(RoomRecError):
    """The service answered with an error.

    Attributes:
        status: HTTP status of the response.
        code: the provider's error code, such as 20404, or None if the body had none.
        detail: the provider's own message, or the HTTP status in words if the body had none. For logs: it may name
            paths of the API.
        more_info: URL of the provider's page about the error, or None.
        request_id: ``Twilio-Request-Id`` of the response, which the provider's support asks for, or None.
        method: HTTP method of the request.
        url: URL of the request.
        retry_after: seconds to wait that the response's ``Retry-After`` asked for, or None.
        attempts: number of times that the request was sent.
    """

    def __init__(
        self,
        *,
        status: int,
        message: str,
        method: str,
        url: str,
        code: int | None = None,
        more_info: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.detail = message
        self.more_info = more_info
        self.request_id = request_id
        self.method = method
        self.url = url
        self.retry_after = retry_after
        self.attempts = attempts

    _message = ""
    hint: ClassVar[str] = ""
    """Advice for people at the end of the message."""

    @property
    def message(self) -> str:
        """As for :class:`RoomRecError`."""
        return self._message or f"The service answered with an error (HTTP {self.status})"

    def __str__(self) -> str:
        code = f", code {self.code}" if self.code is not None else ""
        parts = [f"{self.method} {self.url} answered HTTP {self.status}{code}: {self.detail}"]
        if self.attempts > 1:
            parts.append(f"after {self.attempts} attempts")
        if self.retry_budget_exhausted:
            parts.append(_BUDGET_EXHAUSTED)
        if self.request_id:
            parts.append(f"request id {self.request_id}")
        if self.more_info:
            parts.append(f"see {self.more_info}")
        if self.hint:
            parts.append(self.hint)
        return "; ".join(parts)


class BadRequestError(APIError):
    """HTTP 400: the service refused a parameter, usually with code 20001."""

    _message = "The service does not accept this request"


class AuthenticationError(APIError):
    """HTTP 401: the credentials are wrong, or belong to another region; usually with code 20003."""

    _message = "The service does not accept this program's credentials"
    hint = "check the account SID, the token or API key, and that they belong to the region of the base URL"


class PermissionDeniedError(APIError):
    """HTTP 403: the account may not do this, for instance because it is suspended (code 20403)."""

    _message = "The account is not allowed to do this"


class NotFoundError(APIError):
    """HTTP 404 or 410: no such room or recording (code 20404), or it is gone.

    A 404 is also possible for a moment after a room has ended.
    """

    @property
    def message(self) -> str:
        """As for :class:`RoomRecError`: it says whether a room, a recording or its media were not found."""
        path = urlsplit(self.url).path
        return next((text for pattern, text in _NOT_FOUND if re.search(pattern, path)), "Nothing was found")


class RateLimitError(APIError):
    """HTTP 429: too many requests (code 20429), even after all retries that the settings allow."""

    _message = "The service has too many requests at the moment: try again later"
    hint = "other programs that use this account share its quota"


class ServerError(APIError):
    """HTTP 5xx: the service failed, even after all retries that the settings allow."""

    _message = "The service does not work at the moment: try again later"


class TransportError(RoomRecError):
    """No complete response arrived.

    Attributes:
        detail: what happened, in the terms of the network; for logs.
        method: HTTP method of the request.
        url: URL of the request.
        attempts: number of times that the request was sent.
        transient: True if another attempt may succeed; False for a certificate that was refused, a proxy that wants a
            password, and a response that is not valid HTTP.
    """

    _message = "The service cannot be reached: try again later"

    def __init__(self, message: str, *, method: str, url: str, attempts: int = 1, transient: bool = True) -> None:
        super().__init__(message)
        self.detail = message
        self.method = method
        self.url = url
        self.attempts = attempts
        self.transient = transient

    def __str__(self) -> str:
        message = f"{self.method} {self.url}: {self.detail}"
        if self.attempts > 1:
            message += f" (after {self.attempts} attempts)"
        if self.retry_budget_exhausted:
            message += f"; {_BUDGET_EXHAUSTED}"
        return message


class ConnectionFailedError(TransportError):
    """The connection was refused, reset, or cut off before the response was complete.

    Attributes:
        out_of_descriptors: True if this process had no file descriptor left for the connection.
    """

    out_of_descriptors: bool = False


class RequestTimeoutError(TransportError, TimeoutError):
    """The operation did not finish within its time."""

    _message = "The service did not answer in time: try again later"


class DecodeError(RoomRecError):
    """A response is not what the reference describes, and could not be repaired.

    Attributes:
        detail: what is wrong with the response; for logs.
        url: URL of the request, or None.
        index: index of the record in its page, from 0; None if the page as a whole is wrong.
        field: name of the field; None if the record or the page as a whole is wrong.
        skip_token: token to resume a list after the record that cannot be read: ``client.recordings(room_sid,
            resume=error.skip_token)``. The ``resume_token`` leads to that record again. None where no single record
            is wrong.
    """

    _message = "The service sent something that cannot be read"
    skip_token: str | None = None

    def __init__(
        self, message: str, *, url: str | None = None, index: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.detail = message
        self.url = url
        self.index = index
        self.field = field

    def __str__(self) -> str:
        location = []
        if self.index is not None:
            location.append(f"record {self.index}")
        if self.field is not None:
            location.append(f"field {self.field!r}")
        parts = (self.url, ", ".join(location), self.detail)
        return ": ".join(part for part in parts if part)


class BoundsExceededError(RoomRecError):
    """A response or a list is larger than the client's :class:`~roomrec_async.Bounds`."""

    _message = "The service sent more than this program accepts"


class PaginationError(RoomRecError):
    """The next page of a list was already read, so that the list would never end, or its URL is unusable."""

    _message = "The service's list cannot be read to its end"


class MediaError(RoomRecError):
    """The media of a recording could not be located, stored or used, though the service answered without an error."""

    _message = "The media of this recording are not available"


class VerificationError(MediaError):
    """The media are not those that were announced: their size differs, or they were replaced during the download."""

    _message = "The media of this recording arrived incomplete or changed"


class DecryptionError(MediaError):
    """Encrypted media could not be decrypted: there is no key, it is the wrong one, or the media are damaged."""

    _message = "The media of this recording cannot be decrypted"


class RoomsFailedError(RoomRecError):
    """Some of many rooms could not be listed. Raised after everything else was delivered.

    Attributes:
        errors: errors of the rooms that failed, by room SID, in the order in which they failed. The ``resume_token``
            of each resumes the list of its room after the records that were delivered.
    """

    def __init__(self, errors: Mapping[str, RoomRecError]) -> None:
        self.errors: dict[str, RoomRecError] = dict(errors)
        super().__init__(self.errors)

    @property
    def message(self) -> str:
        """As for :class:`RoomRecError`: how many rooms."""
        count = len(self.errors)
        noun = "room" if count == 1 else "rooms"
        return f"{count} {noun} could not be listed"

    def __str__(self) -> str:
        count = len(self.errors)
        parts = [f"{room_sid}: {error}" for room_sid, error in list(self.errors.items())[:_MAX_LISTED]]
        if count > _MAX_LISTED:
            parts.append(f"and {count - _MAX_LISTED} more")
        return f"{self.message}: {' | '.join(parts)}"


class RecordingsNotReadyError(RoomRecError, TimeoutError):
    """Recordings of a room were still being processed when the time to wait for them was up.

    Attributes:
        room_sid: SID of the room.
        recordings: all recordings of the room as they were listed last, those that are completed among them.
    """

    def __init__(self, room_sid: str, recordings: Sequence[Recording], seconds: float) -> None:
        super().__init__(room_sid, seconds)
        self.room_sid = room_sid
        self.recordings: list[Recording] = list(recordings)
        self._seconds = seconds

    @property
    def message(self) -> str:
        """As for :class:`RoomRecError`: how many recordings, of how many."""
        processing = sum(recording.status == "processing" for recording in self.recordings)
        return f"{processing} of {len(self.recordings)} recordings are still being processed"

    def __str__(self) -> str:
        return f"room {self.room_sid}: {self.message} after {self._seconds:g} s; error.recordings has what there is"


class SignatureError(RoomRecError):
    """A callback was not signed by the service, or was altered on its way."""

    _message = "The callback does not come from the service"


class InvalidArgumentError(RoomRecError, ValueError):
    """An argument was refused before anything was sent."""

    @property
    def message(self) -> str:
        """As for :class:`RoomRecError`: which argument was refused, and what it has to be."""
        return str(self)


class ConfigurationError(RoomRecError):
    """Settings or credentials are missing or cannot work together."""

    _message = "This program is not set up correctly"


class ClientClosedError(RoomRecError, RuntimeError):
    """The client is closed, or the caller's session that it uses."""

    _message = "The connection to the service is closed"


_BY_STATUS: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    410: NotFoundError,
    429: RateLimitError,
}


def api_error_class(status: int) -> type[APIError]:
    """Return the class of error for an HTTP status that is not a success."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError
    return _BY_STATUS.get(status, APIError)


def _restore(cls: type[RoomRecError], args: tuple[object, ...], attributes: dict[str, object]) -> RoomRecError:
    """Return an unpickled error, without calling its constructor, which takes keywords."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
