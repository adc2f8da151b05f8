"""SIDs and filters, checked against the reference before anything is sent, and made into query strings."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeGuard
from urllib.parse import parse_qs, quote

from .errors import InvalidArgumentError, shown
from .models import MediaType, OpenEnum, Recording, RecordingStatus, RoomStatus

MAX_PAGE_SIZE: Final = 1000
"""The largest ``PageSize`` of a room's recordings, and of rooms. Quotas count requests, so it is also our default."""

MAX_ACCOUNT_PAGE_SIZE: Final = 100
"""The largest ``PageSize`` of the account's recordings."""

Parameters: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Query parameters by the API's names; one that is repeated has a tuple."""

PageKey: TypeAlias = frozenset[tuple[str, tuple[str, ...]]]
"""What the query of a page asks for."""

_SAFE_IN_QUERIES: Final = "%/?:@!$&'()*+,;=-._~"
_INT64: Final = 2**63 - 1
_ROOM_SID = re.compile(r"RM[0-9a-fA-F]{32}")
_RECORDING_SID = re.compile(r"RT[0-9a-fA-F]{32}")
_ANY_SID = re.compile(r"[a-zA-Z]{2}[0-9a-fA-F]{32}")
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
    if content_disposition not in (None, "attachment", "inline"):
        raise InvalidArgumentError(
            f"content_disposition must be 'attachment' or 'inline', not {shown(content_disposition)}"
        )
    return _given({"Ttl": _integer("ttl", ttl, 1, 3600), "ContentDisposition": content_disposition})


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
    return _given(
        {
            "Status": _known("status", status, RecordingStatus),
            **_window(date_created_after, date_created_before),
            "SourceSid": _sid("source_sid", source_sid),
            **_place(page_size, page, page_token, MAX_PAGE_SIZE),
        }
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
    return _given(
        {
            "Status": _known("status", status, RecordingStatus),
            **_window(date_created_after, date_created_before),
            "SourceSid": _sid("source_sid", source_sid),
            "GroupingSid": _sids("grouping_sids", grouping_sids) or None,
            "MediaType": _known("media_type", media_type, MediaType),
            **_place(page_size, page, page_token, MAX_ACCOUNT_PAGE_SIZE),
        }
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
    return _given(
        {
            "Status": _known("status", status, RoomStatus),
            "UniqueName": _matching("unique_name", unique_name, _UNIQUE_NAME, "a name"),
            **_window(date_created_after, date_created_before),
            **_place(page_size, page, page_token, MAX_PAGE_SIZE),
        }
    )


def limit_checked(limit: int | None) -> int | None:
    """How many records a list may give: None for all of them, or a number from 0.

    Raises:
        InvalidArgumentError: it is negative, or not an integer.
    """
    _check_integer("limit", limit, 0, _INT64)
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
    return "&".join(
        f"{name}={quote(value, safe='')}" for name, values in parameters.items() for value in each_value(values)
    )


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
    return frozenset({"Page": ("0",), **query_parameters(query)}.items())


def _given(parameters: Mapping[str, str | tuple[str, ...] | None]) -> Parameters:
    return {name: value for name, value in parameters.items() if value is not None}


def _window(after: datetime | None, before: datetime | None) -> dict[str, str | None]:
    _check_window(after, before)
    return {
        "DateCreatedBefore": _utc("date_created_before", before),
        "DateCreatedAfter": _utc("date_created_after", after),
    }


def _place(
    page_size: int | None, page: int | None, page_token: str | None, max_page_size: int
) -> dict[str, str | None]:
    return {
        "PageSize": _integer("page_size", page_size, 1, max_page_size),
        "Page": _integer("page", page, 0, _INT64),
        "PageToken": _matching("page_token", page_token, _PAGE_TOKEN, "what the API provided"),
    }


def _sid(name: str, value: str | None) -> str | None:
    return _matching(name, value, _ANY_SID, "two letters and 32 hexadecimal digits")


def _sids(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, not {shown(values)}")
    checked = tuple(_sid(name, value) for value in values)
    # What is missing would not narrow the list: it would be that of the whole account.
    if None in checked:
        raise InvalidArgumentError(f"{name} must be a list of SIDs, and one of them is None")
    return tuple(sid for sid in checked if sid is not None)


def _known(name: str, value: str | None, kind: type[OpenEnum]) -> str | None:
    if value is None:
        return None
    member = kind(value) if isinstance(value, str) else None
    if member is None or not member.is_known:
        known = ", ".join(each.value for each in kind)
        raise InvalidArgumentError(f"{name} must be one of {known}, not {shown(value)}")
    return member.value


def _matching(name: str, value: str | None, pattern: re.Pattern[str], meaning: str) -> str | None:
    if value is None or (isinstance(value, str) and pattern.fullmatch(value)):
        return value
    raise InvalidArgumentError(f"{name} must be {meaning}, not {shown(value)}")


def _integer(name: str, value: int | None, least: int, most: int) -> str | None:
    _check_integer(name, value, least, most)
    return None if value is None else str(value)


def _check_integer(name: str, value: int | None, least: int, most: int) -> None:
    right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    if value is not None and not right:
        bounds = f"from {least}" if most == _INT64 else f"from {least} to {most}"
        raise InvalidArgumentError(f"{name} must be an integer {bounds}, not {shown(value)}")


def _utc(name: str, value: datetime | None) -> str | None:
    if value is None:
        return None
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


def _check_window(after: datetime | None, before: datetime | None) -> None:
    # Naive ones are refused by name, further on; they cannot be compared with aware ones.
    if _is_aware(after) and _is_aware(before) and after > before:
        raise InvalidArgumentError(
            f"date_created_after ({after.isoformat()}) is later than date_created_before ({before.isoformat()})"
        )


def _is_aware(value: object) -> TypeGuard[datetime]:
    return isinstance(value, datetime) and value.utcoffset() is not None
