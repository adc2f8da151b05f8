"""Paths and query parameters: SIDs and filters are checked against the reference before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeAlias, TypedDict, cast
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
    is_before,
    refusal,
)
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.models import MediaType, OpenEnum, ParticipantStatus, Recording, RecordingStatus, RoomStatus

from .arguments import check_recording, recording_sids, room_sid_of

MAX_PAGE_SIZE: Final = 1000
"""Largest ``PageSize`` of a room's lists, and of rooms. Quotas count requests, so it is also our default."""

MAX_ACCOUNT_PAGE_SIZE: Final = 100
"""Largest ``PageSize`` of the account's recordings."""


class ScanFilters(TypedDict, total=False):
    """The filters of a list that has its window from elsewhere; see :meth:`RecordingsClient.scan`."""

    status: RecordingStatus | str | None
    source_sid: str | None
    page_size: int | None


class RoomFilters(ScanFilters, total=False):
    """The filters of the lists of many rooms; see :meth:`RecordingsClient.recordings`."""

    date_created_after: datetime | None
    date_created_before: datetime | None


Parameters: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Query parameters by the API's names; one that is repeated has a tuple."""

# The same, while they are collected.
_Collected: TypeAlias = dict[str, str | tuple[str, ...]]

PageKey: TypeAlias = frozenset[str]
"""Decoded parameters of a page's query, by which a page is recognised."""

# The service's own URLs name the index of the first page, ours do not.
_FIRST_PAGE: Final = {"Page=0"}
# The characters of a query (RFC 3986, 3.4) that quote() would escape, and "%" for escapes that are there already.
_SAFE_IN_QUERIES: Final = "%/?:@!$&'()*+,;=-._~"
_SID_FORMAT: Final = "two letters and 32 hexadecimal digits"
# Printable ASCII without spaces: tokens are opaque, but must not break the request line.
_PAGE_TOKEN: Final = re.compile(r"[!-~]+")
_LAST_SECOND: Final = datetime.max.replace(microsecond=0, tzinfo=UTC)
# Seconds that a signed media URL can be valid for.
_MAX_TTL: Final = 3600

ROOMS_PATH: Final = "/v1/Rooms"
ACCOUNT_RECORDINGS_PATH: Final = "/v1/Recordings"


def room_path(room_sid: str) -> str:
    """Return the path of a room, below the base URL.

    Raises:
        InvalidArgumentError: the SID is malformed.
    """
    return f"{ROOMS_PATH}/{check_room_sid(room_sid)}"


def recordings_path(room: object) -> str:
    """Return the path of a room's recordings, below the base URL; the room is as for :func:`room_sid_of`.

    Raises:
        InvalidArgumentError: it is no room, or its SID is malformed.
    """
    return f"{ROOMS_PATH}/{room_sid_of(room)}/Recordings"


def participants_path(room: object) -> str:
    """Return the path of a room's participants, below the base URL, as :func:`recordings_path` does."""
    return f"{ROOMS_PATH}/{room_sid_of(room)}/Participants"


def recording_path(room_sid: str, sid: str) -> str:
    """Return the path of one recording, below the base URL.

    Raises:
        InvalidArgumentError: a SID is malformed.
    """
    return f"{recordings_path(room_sid)}/{check_recording_sid(sid)}"


def account_recording_path(sid: str) -> str:
    """Return the path of one recording, in whatever room it is, below the base URL.

    Raises:
        InvalidArgumentError: the SID is malformed.
    """
    return f"{ACCOUNT_RECORDINGS_PATH}/{check_recording_sid(sid)}"


def media_path(recording: Recording) -> str:
    """Return the path of a recording's ``Media``, below the base URL: made of its SIDs, never of the links it has.

    Raises:
        InvalidArgumentError: it is not a recording, or a SID is missing or malformed.
    """
    return f"{any_recording_path(*recording_sids(check_recording(recording), None))}/Media"


def any_recording_path(room_sid: str | None, sid: str) -> str:
    """Return the path of one recording, below the base URL; without a room, that in whatever room it is.

    Raises:
        InvalidArgumentError: a SID is malformed.
    """
    if room_sid is None:
        return account_recording_path(sid)
    return recording_path(room_sid, sid)


def media_parameters(*, ttl: int | None, content_disposition: str | None) -> Parameters:
    """Return the query parameters of a recording's ``Media``, by the API's names. Arguments that are None are left out.

    Raises:
        InvalidArgumentError: a value is outside the documented bounds.
    """
    parameters: _Collected = {}
    if ttl is not None:
        parameters["Ttl"] = check_ttl(ttl)
    if content_disposition is not None:
        parameters["ContentDisposition"] = check_content_disposition(content_disposition)
    return parameters


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
    """Return the query parameters of "List room recording", by the API's names. Arguments that are None are left out.

    Raises:
        InvalidArgumentError: a value is outside the reference's patterns and bounds.
    """
    parameters: _Collected = {}
    if status is not None:
        parameters["Status"] = check_recording_status(status)
    add_window(parameters, date_created_after, date_created_before)
    if source_sid is not None:
        parameters["SourceSid"] = check_source_sid(source_sid)
    add_page(parameters, page_size, page, page_token)
    return parameters


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
    """Return the query parameters of ``GET /v1/Recordings``, by the API's names. Arguments that are None are left out.

    Raises:
        InvalidArgumentError: a value is outside the patterns and bounds of the published description.
    """
    # None is refused here, and not left out: the list would be that of the whole account.
    sids = check_grouping_sids(grouping_sids)
    parameters: _Collected = {}
    if status is not None:
        parameters["Status"] = check_recording_status(status)
    add_window(parameters, date_created_after, date_created_before)
    if source_sid is not None:
        parameters["SourceSid"] = check_source_sid(source_sid)
    if sids:
        parameters["GroupingSid"] = sids
    if media_type is not None:
        parameters["MediaType"] = check_media_type(media_type)
    add_page(parameters, page_size, page, page_token, maximum=MAX_ACCOUNT_PAGE_SIZE)
    return parameters


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
    """Return the query parameters of ``GET /v1/Rooms``, by the API's names. Arguments that are None are left out.

    Raises:
        InvalidArgumentError: a value is outside the patterns and bounds of the published description.
    """
    parameters: _Collected = {}
    if status is not None:
        parameters["Status"] = check_room_status(status)
    if unique_name is not None:
        parameters["UniqueName"] = check_unique_name(unique_name)
    add_window(parameters, date_created_after, date_created_before)
    add_page(parameters, page_size, page, page_token)
    return parameters


def participants_parameters(
    *,
    status: ParticipantStatus | str | None = None,
    identity: str | None = None,
    date_created_after: datetime | None = None,
    date_created_before: datetime | None = None,
    page_size: int | None = None,
    page: int | None = None,
    page_token: str | None = None,
) -> Parameters:
    """Return the query parameters of a room's participants, by the API's names. Arguments that are None are left out.

    Raises:
        InvalidArgumentError: a value is outside the patterns and bounds of the published description.
    """
    parameters: _Collected = {}
    if status is not None:
        parameters["Status"] = check_participant_status(status)
    if identity is not None:
        parameters["Identity"] = check_identity(identity)
    add_window(parameters, date_created_after, date_created_before)
    add_page(parameters, page_size, page, page_token)
    return parameters


def check_limit(limit: int | None) -> int | None:
    """Return the maximum number of records of a list: an integer from 0, or None for all of them.

    Raises:
        InvalidArgumentError: it is negative, or not an integer.
    """
    if limit is not None:
        check_integer("limit", limit, minimum=0)
    return limit


# Queries


def query_string(parameters: Parameters) -> str:
    """Return parameters as the query of a URL, encoded as the API's own URLs are."""
    pairs: list[str] = []
    for name, values in parameters.items():
        if isinstance(values, str):
            pairs.append(f"{name}={quote_value(values)}")
        else:
            pairs += [f"{name}={quote_value(value)}" for value in values]
    return "&".join(pairs)


def quote_value(value: str) -> str:
    """Return the value of a parameter, percent-encoded."""
    # Most values are numbers and SIDs, where quote() would find nothing to do.
    if value.isascii() and value.isalnum():
        return value
    return quote(value, safe="")


def parameter_values(values: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return all values of a parameter, be it repeated or not."""
    if isinstance(values, str):
        return (values,)
    return values


def requote_query(query: str) -> str:
    """Return a query from outside with every character escaped that could end the request line. Escapes stay."""
    return quote(query, safe=_SAFE_IN_QUERIES)


def parse_query(query: str) -> dict[str, tuple[str, ...]]:
    """Return the parameters of a URL's query, each with all its values."""
    return {name: tuple(values) for name, values in parse_qs(query, keep_blank_values=True).items()}


def page_key(query: str) -> PageKey:
    """Return the key of a page: the same for two queries that ask for the same page.

    The order of the parameters, their escapes and the index of the first page make no difference.
    """
    return frozenset(unquote_plus(parameter) for parameter in query.split("&")) - _FIRST_PAGE


# From arguments to parameters


def add_window(parameters: _Collected, after: datetime | None, before: datetime | None) -> None:
    """Add the two filters by date, those of them that are given.

    Raises:
        InvalidArgumentError: a date cannot be used, or the window ends before it begins.
    """
    if after is None and before is None:
        return
    check_order(after, before)
    if before is not None:
        parameters["DateCreatedBefore"] = check_date("date_created_before", before)
    if after is not None:
        parameters["DateCreatedAfter"] = check_date("date_created_after", after)


def add_page(
    parameters: _Collected,
    page_size: int | None,
    page: int | None,
    page_token: str | None,
    *,
    maximum: int = MAX_PAGE_SIZE,
) -> None:
    """Add the parameters that select a page, those of them that are given.

    Raises:
        InvalidArgumentError: one of them is out of bounds; ``maximum`` is the largest page of the list.
    """
    if page_size is not None:
        parameters["PageSize"] = str(check_integer("page_size", page_size, minimum=1, maximum=maximum))
    if page is not None:
        parameters["Page"] = str(check_integer("page", page, minimum=0))
    if page_token is not None:
        parameters["PageToken"] = check_page_token(page_token)


def check_order(after: datetime | None, before: datetime | None) -> None:
    """Raise InvalidArgumentError if the bounds of a window are in the wrong order."""
    if after is None or before is None:
        return
    # Naive datetimes cannot be compared with aware ones.
    if is_before(check_aware("date_created_before", before), check_aware("date_created_after", after)):
        raise InvalidArgumentError(
            f"date_created_after ({after.isoformat()}) is later than date_created_before ({before.isoformat()})"
        )


def check_member(name: str, value: object, *, enum: type[OpenEnum]) -> str:
    """Return the value of an enum's member in the API's spelling; the argument may be in any case.

    Raises:
        InvalidArgumentError: it is not a string, or none of those that the enum lists.
    """
    member = None
    if isinstance(value, str):
        member = enum(value)
    if member is None or not member.is_known:
        known = ", ".join(each.value for each in enum)
        raise InvalidArgumentError(f"{name} must be one of {known}, not {safe_repr(value)}")
    return member.value


def check_number(name: str, value: object, *, minimum: int, maximum: int = INT64_MAX) -> str:
    """Return an integer as text.

    Raises:
        InvalidArgumentError: it is not an integer, or out of bounds.
    """
    return str(check_integer(name, value, minimum=minimum, maximum=maximum))


def check_sids(name: str, values: object) -> tuple[str, ...]:
    """Return a sequence of SIDs of any kind as a tuple.

    Raises:
        InvalidArgumentError: it is not a sequence, or one of its values is missing or malformed.
    """
    # A string is a sequence, too: of characters.
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, not {safe_repr(values)}")
    # A missing SID would not narrow the list: it would be that of the whole account.
    if any(value is None for value in values):
        raise InvalidArgumentError(f"{name} must be a list of SIDs, and one of them is None")
    return tuple(check_match(name, value, ANY_SID, _SID_FORMAT) for value in values)


def check_name(name: str, value: object) -> str:
    """Return the name of a room or of a participant: applications name them freely.

    Raises:
        InvalidArgumentError: it is not a string, is empty, or has half a surrogate pair, which UTF-8 cannot encode.
    """
    if isinstance(value, str) and value and not any("\ud800" <= character <= "\udfff" for character in value):
        return value
    raise InvalidArgumentError(refusal(name, "a name of Unicode characters", value))


def check_date(name: str, value: object) -> str:
    """Return a datetime in ISO 8601 and UTC, rounded up to a whole second, the only form that the service documents.

    The service's dates are whole seconds: for the bounds of a window, before which it ends and from which it begins,
    the next whole second asks for exactly the same records.

    Raises:
        InvalidArgumentError: it is not a datetime, has no time zone, or is outside the calendar in UTC.
    """
    date = check_aware(name, value)
    try:
        utc = date.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidArgumentError(f"{name} is outside the years 1 to 9999 in UTC: {date!r}") from None

    # Not with replace(): subclasses, such as pandas', may have nanoseconds.
    second = datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, tzinfo=UTC)
    # The last second of the calendar has none after it.
    if utc > second and second < _LAST_SECOND:
        second += timedelta(seconds=1)
    return f"{second.replace(tzinfo=None).isoformat()}Z"


def check_content_disposition(value: object) -> str:
    """Return a ``ContentDisposition``.

    Raises:
        InvalidArgumentError: it is not "attachment" or "inline".
    """
    return check_choice("content_disposition", cast("str", value), ("attachment", "inline"))


check_recording_status: Final = partial(check_member, "status", enum=RecordingStatus)
check_room_status: Final = partial(check_member, "status", enum=RoomStatus)
check_participant_status: Final = partial(check_member, "status", enum=ParticipantStatus)
check_media_type: Final = partial(check_member, "media_type", enum=MediaType)
check_source_sid: Final = partial(check_match, "source_sid", pattern=ANY_SID, expected=_SID_FORMAT)
check_grouping_sids: Final = partial(check_sids, "grouping_sids")
check_unique_name: Final = partial(check_name, "unique_name")
check_identity: Final = partial(check_name, "identity")
check_page_token: Final = partial(
    check_match, "page_token", pattern=_PAGE_TOKEN, expected="a token that the API provided"
)
check_ttl: Final = partial(check_number, "ttl", minimum=1, maximum=_MAX_TTL)
