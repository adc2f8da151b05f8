"""Recordings of video rooms, from asyncio.

>>> async with RecordingsClient.from_env() as client:
...     async for recording in client.recordings("RM..."):
...         print(recording.sid)
"""

from ._api.codec import from_dict, to_dict
from ._http.retries import RetryPolicy
from ._listing.pager import Page, Pager
from ._listing.records import Records
from ._listing.scan import DateWindow
from ._media.download import Download
from ._version import __version__
from .bounds import Bounds
from .client import RecordingsClient
from .config import Timeout
from .credentials import Credentials
from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BoundsExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectionFailedError,
    DecodeError,
    DecryptionError,
    InvalidArgumentError,
    MediaError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    RoomRecError,
    RoomsFailedError,
    ServerError,
    SignatureError,
    TransportError,
    VerificationError,
)
from .events import Activity, Attempt, Observer, Operation, Request
from .limits import Limiter, RateLimiter
from .models import (
    Codec,
    ContainerFormat,
    MediaType,
    PageMeta,
    Recording,
    RecordingStatus,
    Room,
    RoomResult,
    RoomStatus,
    RoomType,
)

__all__ = [
    "APIError",
    "Activity",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "Bounds",
    "BoundsExceededError",
    "ClientClosedError",
    "Codec",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContainerFormat",
    "Credentials",
    "DateWindow",
    "DecodeError",
    "DecryptionError",
    "Download",
    "InvalidArgumentError",
    "Limiter",
    "MediaError",
    "MediaType",
    "NotFoundError",
    "Observer",
    "Operation",
    "Page",
    "PageMeta",
    "Pager",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "RateLimiter",
    "Recording",
    "RecordingStatus",
    "RecordingsClient",
    "Records",
    "Request",
    "RequestTimeoutError",
    "RetryPolicy",
    "Room",
    "RoomRecError",
    "RoomResult",
    "RoomStatus",
    "RoomType",
    "RoomsFailedError",
    "ServerError",
    "SignatureError",
    "Timeout",
    "TransportError",
    "VerificationError",
    "__version__",
    "from_dict",
    "to_dict",
]
