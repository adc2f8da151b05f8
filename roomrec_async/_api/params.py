"""SIDs and filters, checked against the reference before anything is sent, and made into query strings."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias, TypeGuard
from urllib.parse import parse_qs, quote, unquote_plus

from roomrec_async.errors import InvalidArgumentError, shown
from roomrec_async.models import MediaType, OpenEnum, Recording, RecordingStatus, RoomStatus

MAX_PAGE_SIZE: Final = 1000
"""The largest ``PageSize`` of a room's recordings, and of rooms. Quotas count requests, so it is also our default."""

MAX_ACCOUNT_PAGE_SIZE: Final = 100
"""The largest ``PageSize`` of the account's recordings."""

Parameters: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Query parameters by the API's names; one that is repeated has a tuple."""

PageKey: TypeAlias = frozenset[str]
"""What the query of a page asks for."""

_Check: TypeAlias = Callable[[object], str | tuple[str, ...]]
# A parameter by the API's name, its value and what checks it.
_Given: TypeAlias = tuple[str, object, _Check]

_FIRST_PAGE: Final = {"Page=0"}
_SAFE_IN_QUERIES: Final = "%/?:@!$&'()*+,;=-._~"
_INT64: Final = 2**63 - 1
_ROOM_SID = re.compile(r"RM[0-9a-fA-F]{32}")
_RECORDING_SID = re.compile(r"RT[0-9a-fA-F]{32}")
_ANY_SID = re.compile(r"[a-zA-Z]{2}[0-9a-fA-F]{32}")
_MEANING_OF_SIDS: Final = "two letters and 32 hexadecimal digits"
_UNIQUE_NAME = re.compile(r".+", re.DOTALL)
_PAGE_TOKEN = re.compile(r"[!-~]+")


def room_sid_checked(value: str) -> str:
    """The SID of a room, if it is one.

    Raises:
        InvalidArgumentError: it is not ``RM`` and 32 hexadecimal digits.
    """
    if not isinstance(value, str) or not _ROOM_SID.fullmatch(value):
        raise InvalidArgumentError(f"room_sid must be 'RM' and 32 hexadecimal digits, not {shown(value)}")
    return value


def recording_sid_checked(value: str) -> str:
    """The SID of a recording, if it is one.

    Raises:
        InvalidArgumentError: it is not ``RT`` and 32 hexadecimal digits.
    """
    if not isinstance(value, str) or not _RECORDING_SID.fullmatch(value):
        raise InvalidArgumentError(f"a recording's sid must be 'RT' and 32 hexadecimal digits, not {shown(value)}")
    return value


ROOMS_PATH: Final = "/v1/Rooms"
ACCOUNT_RECORDINGS_PATH: Final = "/v1/Recordings"


def recordings_path(room_sid: str) -> str:
    """The path of a room's recordings, below the base URL."""
    return f"{ROOMS_PATH}/{room_sid_checked(room_sid)}/Recordings"


def recording_path(room_sid: str, sid: str) -> str:
    """The path of one recording, below the base URL."""
    return f"{recordings_path(room_sid)}/{recording_sid_checked(sid)}"


def media_path(recording: Recording) -> str:
    """The path that leads to a recording's media, below the base URL: by its SIDs, never by the links it came with."""
    if not isinstance(recording, Recording):
        raise InvalidArgumentError(f"recording must be a Recording, not {shown(recording)}")
    room_sid, sid = recording.room_sid, recording_sid_checked(recording.sid or "")
    path = f"{ACCOUNT_RECORDINGS_PATH}/{sid}" if room_sid is None else recording_path(room_sid, sid)
    return f"{path}/Media"


def media_parameters(*, ttl: int | None, content_disposition: str | None) -> Parameters:
    """The query parameters of a recording's ``Media``, by the API's names.

    Raises:
        InvalidArgumentError: a value is outside the documented bounds.
    """
    return _checked(
        ("Ttl", ttl, _ttl),
        ("ContentDisposition", content_disposition, _content_disposition),
    )


def recordings_parameters(
    *,
    status: RecordingStatus | str | None = None,
    source_sid: str | None = None,
    date_created_after: datetime | None = None,
    date_created_before: datetime | None = None,
    page_size: int | None = None,
    page: int | None = None,
    page_token: str | None = None,
) -> Parameters:
    """The query parameters of "List room recording", by the API's names; what is None is left out.

    Raises:
        InvalidArgumentError: a value is outside the reference's patterns and bounds.
    """
    return _checked(
        ("Status", status, _recording_status),
        *_window(date_created_after, date_created_before),
        ("SourceSid", source_sid, _source_sid),
        *_place(page_size, page, page_token, _page_size),
    )


def account_recordings_parameters(
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
) -> Parameters:
    """The query parameters of ``GET /v1/Recordings``, by the API's names; what is None is left out.

    Raises:
        InvalidArgumentError: a value is outside the patterns and bounds of the published description.
    """
    # None is refused here, and not left out: the list would be that of the whole account.
    sids = _grouping_sids(grouping_sids)
    return _checked(
        ("Status", status, _recording_status),
        *_window(date_created_after, date_created_before),
        ("SourceSid", source_sid, _source_sid),
        ("GroupingSid", sids or None, _grouping_sids),
        ("MediaType", media_type, _media_type),
        *_place(page_size, page, page_token, _account_page_size),
    )


def rooms_parameters(
    *,
    status: RoomStatus | str | None = None,
    unique_name: str | None = None,
    date_created_after: datetime | None = None,
    date_created_before: datetime | None = None,
    page_size: int | None = None,
    page: int | None = None,
    page_token: str | None = None,
) -> Parameters:
    """The query parameters of ``GET /v1/Rooms``, by the API's names; what is None is left out.

    Raises:
        InvalidArgumentError: a value is outside the patterns and bounds of the published description.
    """
    return _checked(
        ("Status", status, _room_status),
        ("UniqueName", unique_name, _unique_name),
        *_window(date_created_after, date_created_before),
        *_place(page_size, page, page_token, _page_size),
    )


def limit_checked(limit: int | None) -> int | None:
    """How many records a list may give: None for all of them, or a number from 0.

    Raises:
        InvalidArgumentError: it is negative, or not an integer.
    """
    if limit is not None:
        _limit(limit)
    return limit


def seconds_checked(name: str, value: float) -> float:
    """A number of seconds from 0.

    Raises:
        InvalidArgumentError: it is negative, or not a finite number.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= sys.float_info.max:
        raise InvalidArgumentError(f"{name} must be a number of seconds from 0, not {shown(value)}")
    return value


def query_string(parameters: Parameters) -> str:
    """The parameters as the query of a URL, encoded as the API's own URLs are."""
    return "&".join([f"{name}={_quoted(value)}" for name, values in parameters.items() for value in each_value(values)])


def _quoted(value: str) -> str:
    # Most values are numbers and SIDs, where quote() would find nothing to do.
    return value if value.isascii() and value.isalnum() else quote(value, safe="")


def each_value(values: str | tuple[str, ...]) -> tuple[str, ...]:
    """The values of a parameter, which is repeated or not."""
    return (values,) if isinstance(values, str) else values


def requoted(query: str) -> str:
    """A query that somebody else wrote, with nothing in it that could end the request line. Escapes stay."""
    return quote(query, safe=_SAFE_IN_QUERIES)


def query_parameters(query: str) -> dict[str, tuple[str, ...]]:
    """The parameters of a URL's query, each with all its values."""
    return {name: tuple(values) for name, values in parse_qs(query, keep_blank_values=True).items()}


def page_key(query: str) -> PageKey:
    """What a query asks for, however it is written: in any order, and without an index for the first page."""
    return frozenset(unquote_plus(parameter) for parameter in query.split("&")) - _FIRST_PAGE


def _checked(*given: _Given) -> Parameters:
    """What is not None, by the API's names, each as its check returns it."""
    return {name: check(value) for name, value, check in given if value is not None}


def _window(after: datetime | None, before: datetime | None) -> tuple[_Given, _Given]:
    _check_window(after, before)
    return ("DateCreatedBefore", before, _date_created_before), ("DateCreatedAfter", after, _date_created_after)


def _place(
    page_size: int | None, page: int | None, page_token: str | None, size_checked: _Check
) -> tuple[_Given, _Given, _Given]:
    return ("PageSize", page_size, size_checked), ("Page", page, _page), ("PageToken", page_token, _page_token)


def _known(name: str, kind: type[OpenEnum], value: object) -> str:
    member = kind(value) if isinstance(value, str) else None
    if member is None or not member.is_known:
        known = ", ".join(each.value for each in kind)
        raise InvalidArgumentError(f"{name} must be one of {known}, not {shown(value)}")
    return member.value


def _matching(name: str, pattern: re.Pattern[str], meaning: str, value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidArgumentError(f"{name} must be {meaning}, not {shown(value)}")
    return value


def _integer(name: str, least: int, most: int, value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        bounds = f"from {least}" if most == _INT64 else f"from {least} to {most}"
        raise InvalidArgumentError(f"{name} must be an integer {bounds}, not {shown(value)}")
    return str(value)


def _sids(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, not {shown(values)}")
    # What is missing would not narrow the list: it would be that of the whole account.
    if any(value is None for value in values):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, and one of them is None")
    return tuple(_matching(name, _ANY_SID, _MEANING_OF_SIDS, value) for value in values)


def _utc(name: str, value: object) -> str:
    if not isinstance(value, datetime):
        raise InvalidArgumentError(f"{name} must be a datetime, not {shown(value)}")
    if value.utcoffset() is None:
        raise InvalidArgumentError(
            f"{name} must have a time zone: {value!r} is naive. For UTC, use .replace(tzinfo=datetime.UTC)"
        )
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        raise InvalidArgumentError(f"{name} lies outside the years 1 to 9999 in UTC: {value!r}") from None


def _content_disposition(value: object) -> str:
    if not isinstance(value, str) or value not in {"attachment", "inline"}:
        raise InvalidArgumentError(f"content_disposition must be 'attachment' or 'inline', not {shown(value)}")
    return value


def _check_window(after: datetime | None, before: datetime | None) -> None:
    # Naive ones are refused by name, further on; they cannot be compared with aware ones.
    if _is_aware(after) and _is_aware(before) and after > before:
        raise InvalidArgumentError(
            f"date_created_after ({after.isoformat()}) is later than date_created_before ({before.isoformat()})"
        )


def _is_aware(value: object) -> TypeGuard[datetime]:
    return isinstance(value, datetime) and value.utcoffset() is not None


_recording_status: Final = partial(_known, "status", RecordingStatus)
_room_status: Final = partial(_known, "status", RoomStatus)
_media_type: Final = partial(_known, "media_type", MediaType)
_source_sid: Final = partial(_matching, "source_sid", _ANY_SID, _MEANING_OF_SIDS)
_grouping_sids: Final = partial(_sids, "grouping_sids")
_unique_name: Final = partial(_matching, "unique_name", _UNIQUE_NAME, "a name")
_date_created_before: Final = partial(_utc, "date_created_before")
_date_created_after: Final = partial(_utc, "date_created_after")
_page_size: Final = partial(_integer, "page_size", 1, MAX_PAGE_SIZE)
_account_page_size: Final = partial(_integer, "page_size", 1, MAX_ACCOUNT_PAGE_SIZE)
_page: Final = partial(_integer, "page", 0, _INT64)
_page_token: Final = partial(_matching, "page_token", _PAGE_TOKEN, "what the API provided")
_ttl: Final = partial(_integer, "ttl", 1, 3600)
_limit: Final = partial(_integer, "limit", 0, _INT64)
