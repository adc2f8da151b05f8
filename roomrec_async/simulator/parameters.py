"""The query parameters of the list operations, with the patterns and bounds of the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

import attrs
from multidict import MultiMapping

from .errors import bad_parameter

# Defaults, bounds and choices of the reference. TTLs are in seconds.
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1000
MAX_ACCOUNT_PAGE_SIZE: Final = 100
DEFAULT_TTL: Final = 600
MAX_TTL: Final = 3600
MEDIA_TYPES: Final = frozenset({"audio", "video", "data"})
DISPOSITIONS: Final = frozenset({"attachment", "inline"})
RECORDING_STATUSES: Final = frozenset({"processing", "completed", "deleted", "failed"})
ROOM_STATUSES: Final = frozenset({"in-progress", "completed", "failed"})
PARTICIPANT_STATUSES: Final = frozenset({"connected", "disconnected", "reconnecting"})

# Not imported from the client on purpose: the simulator is an independent reading of the reference. Shared patterns
# would hide a mistake in the client's reading from every test.
_SID = re.compile(r"[a-zA-Z]{2}[0-9a-fA-F]{32}")
# ASCII digits only, which \d is not; no more of them than 64 bits need.
_INTEGER = re.compile(r"[0-9]{1,19}")
# ISO 8601 in the forms that the reference allows, without fractions of a second; datetime.fromisoformat() takes many
# more.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})")


@attrs.frozen(kw_only=True)
class PageParameters:
    """The parameters of every list.

    Attributes:
        filters: the filters as they were given, in the order in which the API repeats them in its URLs.
        page_size: ``PageSize``.
        page: ``Page``, counted from 0.
        page_token: ``PageToken``, not checked yet; None for the first page.
    """

    filters: tuple[tuple[str, str], ...]
    page_size: int
    page: int
    page_token: str | None


@attrs.frozen(kw_only=True)
class RecordingParameters(PageParameters):
    """The parameters of ``GET /v1/Rooms/{RoomSid}/Recordings``."""

    status: str | None
    source_sid: str | None
    created_from: datetime | None
    created_before: datetime | None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Parse a query; parameters that the reference does not name are ignored.

        Raises:
            ServiceError: 400/20001, a value is not what the reference allows.
        """
        return cls(
            filters=_select(query, "Status", "DateCreatedBefore", "DateCreatedAfter", "SourceSid"),
            page_size=_parse_page_size(query),
            page=_parse_page(query),
            page_token=query.get("PageToken"),
            status=_parse_choice(RECORDING_STATUSES, query, "Status"),
            source_sid=_parse_source_sid(query),
            created_from=_parse_datetime(query, "DateCreatedAfter"),
            created_before=_parse_datetime(query, "DateCreatedBefore"),
        )


@attrs.frozen(kw_only=True)
class RoomParameters(PageParameters):
    """The parameters of ``GET /v1/Rooms``. Its dates may have no time, which means the start of that day in UTC."""

    status: str
    unique_name: str | None
    created_from: datetime | None
    created_before: datetime | None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Parse a query, as :meth:`RecordingParameters.parse` does."""
        return cls(
            filters=_select(query, "Status", "UniqueName", "DateCreatedAfter", "DateCreatedBefore"),
            page_size=_parse_page_size(query),
            page=_parse_page(query),
            page_token=query.get("PageToken"),
            status=_parse_choice(ROOM_STATUSES, query, "Status") or "in-progress",
            unique_name=query.get("UniqueName"),
            created_from=_parse_datetime_or_date(query, "DateCreatedAfter"),
            created_before=_parse_datetime_or_date(query, "DateCreatedBefore"),
        )


@attrs.frozen(kw_only=True)
class ParticipantParameters(PageParameters):
    """The parameters of ``GET /v1/Rooms/{RoomSid}/Participants``."""

    status: str | None
    identity: str | None
    created_from: datetime | None
    created_before: datetime | None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Parse a query, as :meth:`RecordingParameters.parse` does."""
        return cls(
            filters=_select(query, "Status", "Identity", "DateCreatedAfter", "DateCreatedBefore"),
            page_size=_parse_page_size(query),
            page=_parse_page(query),
            page_token=query.get("PageToken"),
            status=_parse_choice(PARTICIPANT_STATUSES, query, "Status"),
            identity=query.get("Identity"),
            created_from=_parse_datetime(query, "DateCreatedAfter"),
            created_before=_parse_datetime(query, "DateCreatedBefore"),
        )


@attrs.frozen(kw_only=True)
class AccountRecordingParameters(PageParameters):
    """The parameters of ``GET /v1/Recordings``."""

    status: str | None
    source_sid: str | None
    grouping_sids: tuple[str, ...]
    created_from: datetime | None
    created_before: datetime | None
    media_type: str | None

    @classmethod
    def parse(cls, query: MultiMapping[str]) -> Self:
        """Parse a query, as :meth:`RecordingParameters.parse` does."""
        grouping_sids = tuple(query.getall("GroupingSid", ()))
        for sid in grouping_sids:
            _check_sid("GroupingSid", sid)

        grouping_filters = tuple(("GroupingSid", sid) for sid in grouping_sids)
        other_filters = _select(query, "Status", "DateCreatedBefore", "DateCreatedAfter", "SourceSid", "MediaType")
        return cls(
            filters=other_filters + grouping_filters,
            page_size=_parse_page_size(query, MAX_ACCOUNT_PAGE_SIZE),
            page=_parse_page(query),
            page_token=query.get("PageToken"),
            status=_parse_choice(RECORDING_STATUSES, query, "Status"),
            source_sid=_parse_source_sid(query),
            grouping_sids=grouping_sids,
            created_from=_parse_datetime(query, "DateCreatedAfter"),
            created_before=_parse_datetime(query, "DateCreatedBefore"),
            media_type=_parse_choice(MEDIA_TYPES, query, "MediaType"),
        )


@attrs.frozen(kw_only=True)
class MediaParameters:
    """The parameters of ``GET .../Recordings/{Sid}/Media``."""

    ttl: int
    disposition: str

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Parse a query, as :meth:`RecordingParameters.parse` does."""
        ttl = _parse_integer(query, "Ttl", DEFAULT_TTL)
        if not 1 <= ttl <= MAX_TTL:
            raise bad_parameter("Ttl", str(ttl))
        return cls(ttl=ttl, disposition=_parse_choice(DISPOSITIONS, query, "ContentDisposition") or "attachment")


def is_status_listed(status: str, wanted: str | None) -> bool:
    """Return True if a list shows recordings with this status.

    Args:
        status: the status of a recording.
        wanted: the ``Status`` that the list was asked for; None for all but deleted recordings.
    """
    if wanted is None:
        return status != "deleted"
    return status == wanted


def _select(query: Mapping[str, str], *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, query[name]) for name in names if name in query)


def _parse_choice(values: frozenset[str], query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if value is not None and value not in values:
        raise bad_parameter(name, value)
    return value


def _parse_source_sid(query: Mapping[str, str]) -> str | None:
    value = query.get("SourceSid")
    if value is not None:
        _check_sid("SourceSid", value)
    return value


def _check_sid(name: str, value: str) -> None:
    if not _SID.fullmatch(value):
        raise bad_parameter(name, value)


def _parse_integer(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not _INTEGER.fullmatch(value):
        raise bad_parameter(name, value)
    return int(value)


def _parse_page_size(query: Mapping[str, str], maximum: int = MAX_PAGE_SIZE) -> int:
    size = _parse_integer(query, "PageSize", DEFAULT_PAGE_SIZE)
    if not 1 <= size <= maximum:
        raise bad_parameter("PageSize", str(size))
    return size


def _parse_page(query: Mapping[str, str]) -> int:
    # The API does not use the index of a page: only a token leads to another page than the first one.
    page = _parse_integer(query, "Page", 0)
    if page > 0 and "PageToken" not in query:
        raise bad_parameter("Page", str(page))
    return page


def _parse_datetime(query: Mapping[str, str], name: str) -> datetime | None:
    value = query.get(name)
    if value is None:
        return None
    if not _DATE_TIME.fullmatch(value):
        raise bad_parameter(name, value)
    return _parse_iso(name, value)


def _parse_datetime_or_date(query: Mapping[str, str], name: str) -> datetime | None:
    value = query.get(name)
    if value is not None and _DATE.fullmatch(value):
        # A date is the start of its day in UTC.
        return _parse_iso(name, f"{value}T00:00:00Z")
    return _parse_datetime(query, name)


def _parse_iso(name: str, value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        # Of the right form, but there is no such date or time.
        raise bad_parameter(name, value) from None
