"""Every exception that a caller of the library can see.

    RoomRecError
    ├── APIError                  the service answered, and the answer was no
    │   ├── BadRequestError           400: a parameter was refused
    │   ├── AuthenticationError       401: wrong credentials, or the wrong region for them
    │   ├── PermissionDeniedError     403: the account may not do this
    │   ├── NotFoundError             404, 410: no such room or recording, or no longer
    │   ├── RateLimitError            429: the quota or the concurrency limit was exceeded
    │   └── ServerError               5xx: the service failed
    ├── TransportError            no answer that could be read arrived
    │   ├── ConnectionFailedError     refused, reset, or cut off in the middle
    │   └── RequestTimeoutError       nothing, or not enough, within the time allowed (also a TimeoutError)
    ├── DecodeError               an answer arrived that is not what the reference describes
    ├── BoundsExceededError       more was sent than the client's bounds allow
    ├── PaginationError           the pages of a list do not lead to an end
    ├── MediaError                a recording's media could not be had whole
    │   ├── VerificationError         what arrived is not what was announced
    │   └── DecryptionError           no key, the wrong key, or damaged media
    ├── RoomsFailedError          some of many rooms failed, after all others were delivered
    ├── SignatureError            a callback that does not come from the service
    ├── InvalidArgumentError      refused before anything was sent (also a ValueError)
    ├── ConfigurationError        settings or credentials that cannot work
    └── ClientClosedError         the client was used after it was closed (also a RuntimeError)

There is one class for each thing that a caller would do differently. All of them can be pickled, and none of
them carries a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

_MAX_LISTED = 3


class RoomRecError(Exception):
    """The base of every error that this library raises.

    Attributes:
        resume_token: where an interrupted list goes on, for ``client.recordings(room_sid, resume=...)``. It counts
            the records that were already delivered. None where no list was under way.
    """

    resume_token: str | None = None


class APIError(RoomRecError):
    """The service answered with an error.

    Attributes:
        status: the HTTP status of the response.
        code: the provider's error code, such as 20404; None where the body had none.
        message: the provider's message, or the HTTP status in words where the body had none.
        more_info: the provider's page about the error, or None.
        request_id: the response's ``Twilio-Request-Id``, which the provider's support asks for, or None.
        method: the HTTP method of the request.
        url: the URL of the request.
        retry_after: the seconds that the response's ``Retry-After`` asked to wait, or None.
        attempts: how many times the request was sent.
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
        self.message = message
        self.more_info = more_info
        self.request_id = request_id
        self.method = method
        self.url = url
        self.retry_after = retry_after
        self.attempts = attempts

    hint: ClassVar[str] = ""
    """What a person would try next, at the end of the message."""

    def __str__(self) -> str:
        code = f", code {self.code}" if self.code is not None else ""
        details = [
            f"{self.method} {self.url} answered HTTP {self.status}{code}: {self.message}",
            f"after {self.attempts} attempts" if self.attempts > 1 else "",
            f"request id {self.request_id}" if self.request_id else "",
            f"see {self.more_info}" if self.more_info else "",
            self.hint,
        ]
        return "; ".join(part for part in details if part)

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.args, self.__dict__.copy()))


class BadRequestError(APIError):
    """HTTP 400: the service refused a parameter, usually with code 20001."""


class AuthenticationError(APIError):
    """HTTP 401: the credentials are wrong, or belong to another region; usually with code 20003."""

    hint = "check the account SID, the token or API key, and that they belong to the region of the base URL"


class PermissionDeniedError(APIError):
    """HTTP 403: the account may not do this, for instance because it is suspended (code 20403)."""


class NotFoundError(APIError):
    """HTTP 404 or 410: no such room or recording (code 20404), or it is gone.

    A 404 can also follow briefly after a room has ended.
    """


class RateLimitError(APIError):
    """HTTP 429: too many requests (code 20429), even after the waits and attempts that the settings allow."""

    hint = "other programs that use this account share its quota"


class ServerError(APIError):
    """HTTP 5xx: the service failed, even after the attempts that the settings allow."""


class TransportError(RoomRecError):
    """No complete response arrived.

    Attributes:
        method: the HTTP method of the request.
        url: the URL of the request.
        attempts: how many times the request was sent.
        transient: whether another try could have ended better; False for a certificate that was refused.
    """

    def __init__(self, message: str, *, method: str, url: str, attempts: int = 1, transient: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.method = method
        self.url = url
        self.attempts = attempts
        self.transient = transient

    def __str__(self) -> str:
        tries = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{self.method} {self.url}: {self.message}{tries}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.args, self.__dict__.copy()))


class ConnectionFailedError(TransportError):
    """The connection was refused, reset, or cut off before the response was complete."""


class RequestTimeoutError(TransportError, TimeoutError):
    """The operation did not finish within its time."""


class DecodeError(RoomRecError):
    """A response is not what the reference describes, and could not be repaired.

    Attributes:
        url: the URL that was asked.
        index: the position of the record in its page, from 0; None where the page as a whole is wrong.
        field: the name of the field; None where the record or the page as a whole is wrong.
    """

    def __init__(
        self, message: str, *, url: str | None = None, index: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        self.index = index
        self.field = field

    def __str__(self) -> str:
        where = [
            f"record {self.index}" if self.index is not None else "",
            f"field {self.field!r}" if self.field is not None else "",
        ]
        parts = (self.url, ", ".join(part for part in where if part), self.message)
        return ": ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.args, self.__dict__.copy()))


class BoundsExceededError(RoomRecError):
    """A response, or a list, is larger than the client's :class:`~roomrec_async.Bounds`."""


class PaginationError(RoomRecError):
    """The next page of a list is one that was already read, so that the list would never end."""


class MediaError(RoomRecError):
    """The media of a recording could not be had whole, though the service and the network did their part."""


class VerificationError(MediaError):
    """What arrived is not what was announced: another size, or other media than those that were begun."""


class DecryptionError(MediaError):
    """Encrypted media could not be decrypted: there is no key, it is the wrong one, or the media are damaged."""


class RoomsFailedError(RoomRecError):
    """Some of many rooms could not be listed; everything else was delivered before this was raised.

    Attributes:
        errors: the error of each room that failed, by its SID, in the order in which they failed. Their
            ``resume_token`` goes on after the records of the room that were delivered.
    """

    def __init__(self, errors: Mapping[str, RoomRecError]) -> None:
        self.errors = dict(errors)
        super().__init__(self.errors)

    def __str__(self) -> str:
        count = len(self.errors)
        parts = [f"{room_sid}: {error}" for room_sid, error in list(self.errors.items())[:_MAX_LISTED]]
        if count > _MAX_LISTED:
            parts.append(f"and {count - _MAX_LISTED} more")
        noun = "room" if count == 1 else "rooms"
        return f"{count} {noun} could not be listed: {' | '.join(parts)}"


class SignatureError(RoomRecError):
    """A request that claims to be a callback of the service is not signed by it, or was altered on the way."""


class InvalidArgumentError(RoomRecError, ValueError):
    """An argument was refused before anything was sent."""


class ConfigurationError(RoomRecError):
    """Settings or credentials are missing or cannot work together."""


class ClientClosedError(RoomRecError, RuntimeError):
    """The client, or the session that was lent to it, is closed."""


_BY_STATUS: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    410: NotFoundError,
    429: RateLimitError,
}


def api_error_class(status: int) -> type[APIError]:
    """The class of the error tree for an HTTP status."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError
    return _BY_STATUS.get(status, APIError)


def _restore(cls: type[RoomRecError], args: tuple[object, ...], attributes: dict[str, object]) -> RoomRecError:
    """Rebuild a pickled error whose constructor takes keywords."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
