"""Properties of the codec: any records and any bodies, decoded and encoded."""

from __future__ import annotations

import json
import pickle
from datetime import timedelta, timezone
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from roomrec_async import (
    Codec,
    ContainerFormat,
    DecodeError,
    MediaType,
    Recording,
    RecordingStatus,
    from_dict,
    to_dict,
    to_json_lines,
)
from roomrec_async._api.codec import DecodedPage, decode_recordings, deserialize_recordings, serialize_recordings
from roomrec_async._api.params import parse_query, query_string

from ..conftest import body, record

EXAMPLES = settings(deadline=None, max_examples=200)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INT64 = st.integers(-(2**63), 2**63 - 1)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATES = st.datetimes(timezones=OFFSETS).map(lambda date: date.replace(fold=0))
VALUES: dict[str, st.SearchStrategy[object]] = {
    **{field.name: TEXT for field in attrs.fields(Recording)},
    **dict.fromkeys(("size", "duration", "offset"), INT64),
    **dict.fromkeys(("date_created", "date_updated", "date_deleted"), DATES),
    **dict.fromkeys(("grouping_sids", "links"), st.dictionaries(TEXT, st.none() | TEXT | INT64, max_size=3)),
    "status": TEXT.map(RecordingStatus) | st.sampled_from(RecordingStatus),
    "type": TEXT.map(MediaType) | st.sampled_from(MediaType),
    "codec": TEXT.map(Codec) | st.sampled_from(Codec),
    "container_format": TEXT.map(ContainerFormat) | st.sampled_from(ContainerFormat),
}
RECORDINGS = st.fixed_dictionaries({name: st.none() | value for name, value in VALUES.items()}).map(
    lambda fields: Recording(**fields)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
# Only the lenient decoder makes these.
ODD_RECORDINGS = st.builds(
    Recording, size=st.integers(), track_name=st.text(), links=st.dictionaries(st.text(), JSON, max_size=3)
)
PAGE = body([record(number) for number in range(3)], following="PageToken=b")


@EXAMPLES
@given(RECORDINGS)
def test_a_recording_comes_back_from_its_dictionary(recording: Recording) -> None:
    assert from_dict(Recording, to_dict(recording)) == recording
    assert from_dict(Recording, json.loads(json.dumps(to_dict(recording)))) == recording


@EXAMPLES
@given(st.lists(RECORDINGS | ODD_RECORDINGS, max_size=4))
def test_recordings_are_the_same_after_serializing_them_for_another_process(recordings: list[Recording]) -> None:
    # Compared by their representations: a NaN is not equal to itself, and dates with different offsets can be equal.
    received = pickle.loads(pickle.dumps(serialize_recordings(recordings)))
    assert repr(deserialize_recordings(received)) == repr(recordings)


@EXAMPLES
@given(st.lists(RECORDINGS, max_size=4), st.booleans())
def test_a_page_gives_the_records_that_are_in_it(recordings: list[Recording], lenient: bool) -> None:
    records: list[Any] = [to_dict(recording) for recording in recordings]
    if lenient:  # a number as a string is what the strict decoder refuses
        records.append({"size": "1"})
        recordings = [*recordings, Recording(size=1)]
    decoded = decode_recordings(body(records))
    assert decoded.items == recordings
    assert decoded.error is None


@EXAMPLES
@given(st.data())
def test_a_damaged_body_gives_a_page_or_a_decode_error(data: st.DataObject) -> None:
    damaged = bytearray(PAGE)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged) - 1))
        damaged[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    only_documented_outcomes(bytes(damaged))


@EXAMPLES
@given(st.dictionaries(st.sampled_from(list(VALUES)), JSON), st.none() | JSON, st.none() | JSON)
def test_any_json_in_any_field_gives_a_page_or_a_decode_error(fields: Any, more: Any, meta: Any) -> None:
    page = {"recordings": [record(0), {**record(1), **fields}, more], "meta": meta or {"next_page_url": None}}
    only_documented_outcomes(json.dumps(page).encode())


@EXAMPLES
@given(st.dictionaries(st.from_regex(r"[A-Za-z]{1,20}", fullmatch=True), TEXT))
def test_parameters_come_back_from_their_query(parameters: dict[str, str]) -> None:
    query = query_string(parameters)
    assert query.isascii()
    assert not set(query) & set(" \t\r\n#?")
    assert parse_query(query) == {name: (value,) for name, value in parameters.items()}


def only_documented_outcomes(whole: bytes) -> None:
    try:
        decoded = decode_recordings(whole)
    except DecodeError as error:
        assert str(error)
    else:
        assert isinstance(decoded, DecodedPage)
        assert all(isinstance(item, Recording) for item in decoded.items)
        if decoded.error is not None:
            assert decoded.error.index == len(decoded.items)


@EXAMPLES
@given(st.lists(RECORDINGS, max_size=4))
def test_json_lines_come_back(recordings: list[Recording]) -> None:
    lines = to_json_lines(recordings).split(b"\n")[:-1]
    assert [from_dict(Recording, json.loads(line)) for line in lines] == recordings
