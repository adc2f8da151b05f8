"""The filters that all calls for one export have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from roomrec_async import InvalidArgumentError, RecordingStatus
from roomrec_async._export.filters import describe_filters

SOURCE = "MT" + "0" * 32


def test_what_changes_no_record_is_no_filter() -> None:
    assert describe_filters(page_size=7, timeout=3.0) == {}


def test_the_same_filters_are_the_same_texts() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    described = describe_filters(status="completed", source_sid=SOURCE, date_created_after=noon, limit=0)
    assert described == describe_filters(
        limit=0,
        date_created_after=noon.astimezone(timezone(timedelta(hours=2))),
        source_sid=SOURCE,
        status=RecordingStatus.COMPLETED,
    )
    assert described == {
        "Status": "completed",
        "DateCreatedAfter": "2026-03-01T12:00:00Z",
        "SourceSid": SOURCE,
        "Limit": "0",
    }


def test_a_filter_that_is_out_of_its_bounds() -> None:
    with pytest.raises(InvalidArgumentError, match="source_sid"):
        describe_filters(source_sid="RM1")
