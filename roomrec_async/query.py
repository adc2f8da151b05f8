"""SIDs and filters, checked against the reference before anything is sent, and made into query strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeGuard
from urllib.parse import parse_qsl, quote

from .errors import InvalidArgumentError, shown
from .models import RecordingStatus

MAX_PAGE_SIZE: Final = 1000
"""The largest ``PageSize`` of a room's recordings. Quotas count requests, so it is also our default."""

_SAFE_IN_QUERIES: Final = "%/?:@!$&'()*+,;=-._~"
_INT64: Final = 2**63 - 1
_ROOM_SID = re.compile(r"RM[0-9a-fA-F]{32}")
_SOURCE_SID = re.compile(r"[a-zA-Z]{2}[0-9a-fA-F]{32}")
_PAGE_TOKEN = re.compile(r"[!-~]+")


def room_sid_checked(value: str) -> str:
    """The SID of a room, if it is one.

    Raises:
        InvalidArgumentError: it is not ``RM`` and 32 hexadecimal digits.
    """
    if not isinstance(value, str) or not _ROOM_SID.fullmatch(value):
        raise InvalidArgumentError(f"room_sid must be 'RM' and 32 hexadecimal digits, not {shown(value)}")
    return value


def recordings_path(room_sid: str) -> str:
    """The path of a room's recordings, below the base URL."""
    return f"/v1/Rooms/{room_sid_checked(room_sid)}/Recordings"


def recordings_parameters(
    *,
    status: RecordingStatus | str | None = None,
    source_sid: str | None = None,
    date_created_after: datetime | None = None,
    date_created_before: datetime | None = None,
    page_size: int | None = None,
    page: int | None = None,
    page_token: str | None = None,
) -> dict[str, str]:
    """The query parameters of "List room recording", by the API's names; what is None is left out.

    Raises:
        InvalidArgumentError: a value is outside the reference's patterns and bounds.
    """
    _check_window(date_created_after, date_created_before)
    parameters = {
        "Status": None if status is None else _status(status),
        "DateCreatedBefore": _utc("date_created_before", date_created_before),
        "DateCreatedAfter": _utc("date_created_after", date_created_after),
        "SourceSid": _matching("source_sid", source_sid, _SOURCE_SID, "two letters and 32 hexadecimal digits"),
        "PageSize": _integer("page_size", page_size, 1, MAX_PAGE_SIZE),
        "Page": _integer("page", page, 0, _INT64),
        "PageToken": _matching("page_token", page_token, _PAGE_TOKEN, "what the API provided"),
    }
    return {name: value for name, value in parameters.items() if value is not None}


def limit_checked(limit: int | None) -> int | None:
    """How many records a list may give: None for all of them, or a number from 0.

    Raises:
        InvalidArgumentError: it is negative, or not an integer.
    """
    _check_integer("limit", limit, 0, _INT64)
    return limit


def query_string(parameters: Mapping[str, str]) -> str:
    """The parameters as the query of a URL, encoded as the API's own URLs are."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())


def requoted(query: str) -> str:
    """A query that somebody else wrote, with nothing in it that could end the request line. Escapes stay."""
    return quote(query, safe=_SAFE_IN_QUERIES)


def query_parameters(query: str) -> dict[str, str]:
    """The parameters of a URL's query."""
    return dict(parse_qsl(query, keep_blank_values=True))


def _status(value: RecordingStatus | str) -> str:
    known = [status.value for status in RecordingStatus]
    status = RecordingStatus(value) if isinstance(value, str) else None
    if status is None or not status.is_known:
        raise InvalidArgumentError(f"status must be one of {', '.join(known)}, not {shown(value)}")
    return status.value


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
