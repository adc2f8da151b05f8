"""SIDs and filters, checked against the reference before anything is sent, and made into query strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias, TypeGuard, cast
from urllib.parse import parse_qs, quote, unquote_plus

from roomrec_async._text import safe_repr
from roomrec_async._validate import (
    ANY_SID,
    INT64_MAX,
    check_aware,
    check_choice,
    check_integer,
    check_match,
    check_recording_sid,
    check_room_sid,
)
from roomrec_async.errors import InvalidArgumentError
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
_Argument: TypeAlias = tuple[str, object, _Check]

_FIRST_PAGE: Final = {"Page=0"}
_SAFE_IN_QUERIES: Final = "%/?:@!$&'()*+,;=-._~"
_SID_FORMAT: Final = "two letters and 32 hexadecimal digits"
_UNIQUE_NAME = re.compile(r".+", re.DOTALL)
_PAGE_TOKEN = re.compile(r"[!-~]+")


ROOMS_PATH: Final = "/v1/Rooms"
ACCOUNT_RECORDINGS_PATH: Final = "/v1/Recordings"


def recordings_path(room_sid: str) -> str:
    """The path of a room's recordings, below the base URL."""
    return f"{ROOMS_PATH}/{check_room_sid(room_sid)}/Recordings"


def recording_path(room_sid: str, sid: str) -> str:
    """The path of one recording, below the base URL."""
    return f"{recordings_path(room_sid)}/{check_recording_sid(sid)}"


def media_path(recording: Recording) -> str:
    """The path that leads to a recording's media, below the base URL: by its SIDs, never by the links it came with."""
    if not isinstance(recording, Recording):
        raise InvalidArgumentError(f"recording must be a Recording, not {safe_repr(recording)}")
    room_sid, sid = recording.room_sid, check_recording_sid(recording.sid or "")
    path = f"{ACCOUNT_RECORDINGS_PATH}/{sid}" if room_sid is None else recording_path(room_sid, sid)
    return f"{path}/Media"


def media_parameters(*, ttl: int | None, content_disposition: str | None) -> Parameters:
    """The query parameters of a recording's ``Media``, by the API's names.

    Raises:
        InvalidArgumentError: a value is outside the documented bounds.
    """
    return _parameters(
        ("Ttl", ttl, _check_ttl),
        ("ContentDisposition", content_disposition, _check_content_disposition),
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
    return _parameters(
        ("Status", status, _check_recording_status),
        *_window_arguments(date_created_after, date_created_before),
        ("SourceSid", source_sid, _check_source_sid),
        *_page_arguments(page_size, page, page_token, _check_page_size),
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
    sids = _check_grouping_sids(grouping_sids)
    return _parameters(
        ("Status", status, _check_recording_status),
        *_window_arguments(date_created_after, date_created_before),
        ("SourceSid", source_sid, _check_source_sid),
        ("GroupingSid", sids or None, _check_grouping_sids),
        ("MediaType", media_type, _check_media_type),
        *_page_arguments(page_size, page, page_token, _check_account_page_size),
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
    return _parameters(
        ("Status", status, _check_room_status),
        ("UniqueName", unique_name, _check_unique_name),
        *_window_arguments(date_created_after, date_created_before),
        *_page_arguments(page_size, page, page_token, _check_page_size),
    )


def check_limit(limit: int | None) -> int | None:
    """How many records a list may give: None for all of them, or a number from 0.

    Raises:
        InvalidArgumentError: it is negative, or not an integer.
    """
    if limit is not None:
        check_integer("limit", limit, minimum=0)
    return limit


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


def _parameters(*arguments: _Argument) -> Parameters:
    """What is not None, by the API's names, each as its check returns it."""
    return {name: check(value) for name, value, check in arguments if value is not None}


def _window_arguments(after: datetime | None, before: datetime | None) -> tuple[_Argument, _Argument]:
    _check_window(after, before)
    return ("DateCreatedBefore", before, _check_date_created_before), (
        "DateCreatedAfter",
        after,
        _check_date_created_after,
    )


def _page_arguments(
    page_size: int | None, page: int | None, page_token: str | None, check_size: _Check
) -> tuple[_Argument, _Argument, _Argument]:
    return (
        ("PageSize", page_size, check_size),
        ("Page", page, _check_page),
        ("PageToken", page_token, _check_page_token),
    )


def _check_member(name: str, enum: type[OpenEnum], value: object) -> str:
    member = enum(value) if isinstance(value, str) else None
    if member is None or not member.is_known:
        known = ", ".join(each.value for each in enum)
        raise InvalidArgumentError(f"{name} must be one of {known}, not {safe_repr(value)}")
    return member.value


def _check_integer(name: str, minimum: int, maximum: int, value: object) -> str:
    return str(check_integer(name, value, minimum=minimum, maximum=maximum))


def _check_sids(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, not {safe_repr(values)}")
    # A missing SID would not narrow the list: it would be that of the whole account.
    if any(value is None for value in values):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, and one of them is None")
    return tuple(check_match(name, value, ANY_SID, _SID_FORMAT) for value in values)


def _check_date(name: str, value: object) -> str:
    date = check_aware(name, value)
    try:
        return date.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        raise InvalidArgumentError(f"{name} lies outside the years 1 to 9999 in UTC: {date!r}") from None


def _check_window(after: datetime | None, before: datetime | None) -> None:
    # Naive ones are refused by name, further on; they cannot be compared with aware ones.
    if _is_aware(after) and _is_aware(before) and after > before:
        raise InvalidArgumentError(
            f"date_created_after ({after.isoformat()}) is later than date_created_before ({before.isoformat()})"
        )


def _is_aware(value: object) -> TypeGuard[datetime]:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _check_match(name: str, pattern: re.Pattern[str], expected: str, value: object) -> str:
    return check_match(name, value, pattern, expected)


def _check_content_disposition(value: object) -> str:
    return check_choice("content_disposition", cast("str", value), ("attachment", "inline"))


_check_recording_status: Final = partial(_check_member, "status", RecordingStatus)
_check_room_status: Final = partial(_check_member, "status", RoomStatus)
_check_media_type: Final = partial(_check_member, "media_type", MediaType)
_check_source_sid: Final = partial(_check_match, "source_sid", ANY_SID, _SID_FORMAT)
_check_grouping_sids: Final = partial(_check_sids, "grouping_sids")
_check_unique_name: Final = partial(_check_match, "unique_name", _UNIQUE_NAME, "a name")
_check_date_created_before: Final = partial(_check_date, "date_created_before")
_check_date_created_after: Final = partial(_check_date, "date_created_after")
_check_page_size: Final = partial(_check_integer, "page_size", 1, MAX_PAGE_SIZE)
_check_account_page_size: Final = partial(_check_integer, "page_size", 1, MAX_ACCOUNT_PAGE_SIZE)
_check_page: Final = partial(_check_integer, "page", 0, INT64_MAX)
_check_page_token: Final = partial(_check_match, "page_token", _PAGE_TOKEN, "what the API provided")
_check_ttl: Final = partial(_check_integer, "ttl", 1, 3600)
