"""Lists of records as data frames of pandas and polars."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest

from roomrec_async import Codec, MediaType, Participant, Recording, Records, Room

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
RECORDINGS = Records(
    [
        Recording(sid="RT1", size=5, type=MediaType.AUDIO, date_created=NOON, links={"media": "https://x/1"}),
        Recording(sid="RT2", type=MediaType("hologram")),
    ]
)
LISTS = [
    RECORDINGS,
    Records([Room(sid="RM1", video_codecs=(Codec.VP8,), end_time=NOON)]),
    Records([Participant(sid="PA1")]),
]


@pytest.mark.parametrize("records", LISTS, ids=lambda records: type(records[0]).__name__)
def test_there_is_a_column_for_each_field(records: Records[Recording]) -> None:
    names = [field.name for field in dataclasses.fields(records[0])]
    assert list(pd.DataFrame(records).columns) == names
    assert pl.DataFrame(records).columns == names
    assert len(pd.DataFrame(records)) == len(pl.DataFrame(records)) == len(records)


def test_the_values_in_pandas() -> None:
    frame = pd.DataFrame(RECORDINGS)
    assert list(frame["sid"]) == ["RT1", "RT2"]
    assert list(frame["type"]) == ["audio", "hologram"]
    assert frame["date_created"][0] == NOON
    assert frame["links"][0] == {"media": "https://x/1"}
    assert list(frame[frame["type"] == "audio"]["size"]) == [5]


def test_the_values_in_polars() -> None:
    frame = pl.DataFrame(RECORDINGS)
    assert frame["sid"].to_list() == ["RT1", "RT2"]
    assert frame["type"].to_list() == ["audio", "hologram"]
    # Dates are in UTC; polars takes the zone from the values of to_rows() only.
    assert frame["date_created"].to_list() == [NOON.replace(tzinfo=None), None]
    rows = pl.DataFrame(RECORDINGS.to_rows(), infer_schema_length=None)
    assert rows["date_created"].to_list() == [NOON, None]
    assert frame["size"].to_list() == [5, None]
