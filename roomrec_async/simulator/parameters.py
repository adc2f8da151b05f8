"""The query parameters of the list operations, with the patterns and bounds of the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

import attrs
from multidict import MultiMapping

from .errors import bad_parameter

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1000
MAX_ACCOUNT_PAGE_SIZE: Final = 100
DEFAULT_TTL: Final = 600
MAX_TTL: Final = 3600
MEDIA_TYPES: Final = frozenset({"audio", "video", "data"})
DISPOSITIONS: Final = frozenset({"attachment", "inline"})
RECORDING_STATUSES: Final = frozenset({"processing", "completed", "deleted", "failed"})
ROOM_STATUSES: Final = frozenset({"in-progress", "completed", "failed"})

_SID = re.compile(r"[a-zA-Z]{2}[0-9a-fA-F]{32}")
_INTEGER = re.compile(r"[0-9]{1,19}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


@attrs.frozen(kw_only=True)
class PageParameters:
    """What every list takes: ``PageSize``, ``Page`` and ``PageToken``."""

    filters: tuple[tuple[str, str], ...]
    """The filters as they were given, in the order in which the API repeats them in its URLs."""
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
        """Read a query; parameters that the reference does not name are passed over.

        Raises:
            RefusedError: 400/20001, a value is not what the reference allows.
        """
        return cls(
            filters=_given(query, "Status", "DateCreatedBefore", "DateCreatedAfter", "SourceSid"),
            page_size=_page_size(query),
            page=_page(query),
            page_token=query.get("PageToken"),
            status=_one_of(RECORDING_STATUSES, query, "Status"),
            source_sid=_source_sid(query),
            created_from=_instant(query, "DateCreatedAfter"),
            created_before=_instant(query, "DateCreatedBefore"),
        )


@attrs.frozen(kw_only=True)
class RoomParameters(PageParameters):
    """The parameters of ``GET /v1/Rooms``. Its dates may also be without a time: the beginning of that day in UTC."""

    status: str
    unique_name: str | None
    created_from: datetime | None
    created_before: datetime | None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Read a query, as :meth:`RecordingParameters.parse` does."""
        return cls(
            filters=_given(query, "Status", "UniqueName", "DateCreatedAfter", "DateCreatedBefore"),
            page_size=_page_size(query),
            page=_page(query),
            page_token=query.get("PageToken"),
            status=_one_of(ROOM_STATUSES, query, "Status") or "in-progress",
            unique_name=query.get("UniqueName"),
            created_from=_instant_or_day(query, "DateCreatedAfter"),
            created_before=_instant_or_day(query, "DateCreatedBefore"),
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
        """Read a query, as :meth:`RecordingParameters.parse` does."""
        grouping_sids = tuple(query.getall("GroupingSid", ()))
        for sid in grouping_sids:
            _check_sid("GroupingSid", sid)
        grouped = tuple(("GroupingSid", sid) for sid in grouping_sids)
        others = _given(query, "Status", "DateCreatedBefore", "DateCreatedAfter", "SourceSid", "MediaType")
        return cls(
            filters=others + grouped,
            page_size=_page_size(query, MAX_ACCOUNT_PAGE_SIZE),
            page=_page(query),
            page_token=query.get("PageToken"),
            status=_one_of(RECORDING_STATUSES, query, "Status"),
            source_sid=_source_sid(query),
            grouping_sids=grouping_sids,
            created_from=_instant(query, "DateCreatedAfter"),
            created_before=_instant(query, "DateCreatedBefore"),
            media_type=_one_of(MEDIA_TYPES, query, "MediaType"),
        )


@attrs.frozen(kw_only=True)
class MediaParameters:
    """The parameters of a recording's ``Media``."""

    ttl: int
    disposition: str

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Read a query, as :meth:`RecordingParameters.parse` does."""
        ttl = _integer(query, "Ttl", DEFAULT_TTL)
        if not 1 <= ttl <= MAX_TTL:
            raise bad_parameter("Ttl", str(ttl))
        return cls(ttl=ttl, disposition=_one_of(DISPOSITIONS, query, "ContentDisposition") or "attachment")


def _given(query: Mapping[str, str], *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, query[name]) for name in names if name in query)


def _one_of(values: frozenset[str], query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if value is not None and value not in values:
        raise bad_parameter(name, value)
    return value


def _source_sid(query: Mapping[str, str]) -> str | None:
    value = query.get("SourceSid")
    if value is not None:
        _check_sid("SourceSid", value)
    return value


def _check_sid(name: str, value: str) -> None:
    if not _SID.fullmatch(value):
        raise bad_parameter(name, value)


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not _INTEGER.fullmatch(value):
        raise bad_parameter(name, value)
    return int(value)


def _page_size(query: Mapping[str, str], most: int = MAX_PAGE_SIZE) -> int:
    size = _integer(query, "PageSize", DEFAULT_PAGE_SIZE)
    if not 1 <= size <= most:
        raise bad_parameter("PageSize", str(size))
    return size


def _page(query: Mapping[str, str]) -> int:
    # The page index is the client's own note; only a token leads to another page than the first.
    page = _integer(query, "Page", 0)
    if page > 0 and "PageToken" not in query:
        raise bad_parameter("Page", str(page))
    return page


def _instant(query: Mapping[str, str], name: str) -> datetime | None:
    value = query.get(name)
    if value is None:
        return None
    if not _DATE_TIME.fullmatch(value):
        raise bad_parameter(name, value)
    return _parsed(name, value)


def _instant_or_day(query: Mapping[str, str], name: str) -> datetime | None:
    value = query.get(name)
    if value is not None and _DATE.fullmatch(value):
        return _parsed(name, f"{value}T00:00Z")
    return _instant(query, name)


def _parsed(name: str, value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise bad_parameter(name, value) from None
