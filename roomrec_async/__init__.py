"""Recordings of video rooms, from asyncio.

>>> async with RecordingsClient.from_env() as client:
...     async for recording in client.recordings("RM..."):
...         print(recording.sid)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ._api.codec import from_dict, to_dict, to_json_lines
from ._listing.fanout import OnError, RoomSids
from ._listing.pager import Page, Pager
from ._listing.records import Records
from ._listing.scan import DateWindow
from ._version import __version__
from .client import RecordingsClient, RoomOptions, Via
from .config import Bounds, RetryPolicy, Timeout
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
    RecordingsNotReadyError,
    RequestTimeoutError,
    RoomRecError,
    RoomsFailedError,
    ServerError,
    SignatureError,
    TransportError,
    VerificationError,
)
from .limits import RateLimiter
from .models import (
    Codec,
    ContainerFormat,
    MediaType,
    OpenEnum,
    PageMeta,
    Participant,
    ParticipantStatus,
    Recording,
    RecordingStatus,
    Room,
    RoomResult,
    RoomStatus,
    RoomType,
)
from .protocols import Decryption, Destination, Limiter, Observer, Permit

if TYPE_CHECKING:
    from ._archive.report import ArchiveProgress, ArchiveReport
    from ._export.report import ExportProgress, ExportReport
    from ._media.download import Download, OnBytes
    from ._tables import TableFormat
    from ._views.film import Size
    from ._views.totals import FailedRecording, Overview, Period, Periods, PersonTotals, RoomTotals, Totals

__all__ = [
    "APIError",
    "ArchiveProgress",
    "ArchiveReport",
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
    "Decryption",
    "DecryptionError",
    "Destination",
    "Download",
    "ExportProgress",
    "ExportReport",
    "FailedRecording",
    "InvalidArgumentError",
    "Limiter",
    "MediaError",
    "MediaType",
    "NotFoundError",
    "Observer",
    "OnBytes",
    "OnError",
    "OpenEnum",
    "Overview",
    "Page",
    "PageMeta",
    "Pager",
    "PaginationError",
    "Participant",
    "ParticipantStatus",
    "Period",
    "Periods",
    "PermissionDeniedError",
    "Permit",
    "PersonTotals",
    "RateLimitError",
    "RateLimiter",
    "Recording",
    "RecordingStatus",
    "RecordingsClient",
    "RecordingsNotReadyError",
    "Records",
    "RequestTimeoutError",
    "RetryPolicy",
    "Room",
    "RoomOptions",
    "RoomRecError",
    "RoomResult",
    "RoomSids",
    "RoomStatus",
    "RoomTotals",
    "RoomType",
    "RoomsFailedError",
    "ServerError",
    "SignatureError",
    "Size",
    "TableFormat",
    "Timeout",
    "Totals",
    "TransportError",
    "VerificationError",
    "Via",
    "__version__",
    "from_dict",
    "to_dict",
    "to_json_lines",
]

# Few programs need these. Imported on first use, they cost nothing to the others.
_IMPORTED_ON_USE: Final = {
    "ArchiveProgress": "._archive.report",
    "ArchiveReport": "._archive.report",
    "Download": "._media.download",
    "ExportProgress": "._export.report",
    "ExportReport": "._export.report",
    "FailedRecording": "._views.totals",
    "OnBytes": "._media.download",
    "Overview": "._views.totals",
    "Period": "._views.totals",
    "Periods": "._views.totals",
    "PersonTotals": "._views.totals",
    "RoomTotals": "._views.totals",
    "Size": "._views.film",
    "TableFormat": "._tables",
    "Totals": "._views.totals",
}


def __getattr__(name: str) -> object:
    module = _IMPORTED_ON_USE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module, __name__), name)
