"""The properties of rooms and recordings as pure functions."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async.simulator.derivation import (
    EPOCH,
    MAX_DRAWN_ROOM_DURATION,
    draw_duration,
    draw_retention,
    draw_room_traits,
    draw_size,
    draw_status,
    format_instant,
    size_and_duration_json,
    slice_by_date,
    spread_evenly,
    track_format,
    track_name_json,
)


@given(st.integers(0, 365 * 86_400 - 1))
def test_instants_are_formatted_in_iso_8601(instant):
    assert format_instant(instant) == (EPOCH + timedelta(seconds=instant)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_epoch_is_the_start_of_a_year():
    assert datetime(2026, 1, 1, tzinfo=UTC) == EPOCH
    assert format_instant(0) == "2026-01-01T00:00:00Z"
    assert format_instant(86_399) == "2026-01-01T23:59:59Z"
    assert format_instant(58 * 86_400) == "2026-02-28T00:00:00Z"
    assert format_instant(59 * 86_400 + 3_661) == "2026-03-01T01:01:01Z"


@given(count=st.integers(1, 300), length=st.integers(0, 100_000))
def test_items_are_spread_over_the_time_in_their_order(count, length):
    begins = [spread_evenly(index, count, length) for index in range(count)]
    assert begins == sorted(begins)
    assert all(index * length // count <= begin <= length for index, begin in enumerate(begins))


BOUNDS = st.none() | st.integers(-5_000, 45_000).map(lambda milliseconds: EPOCH + timedelta(milliseconds=milliseconds))


@given(
    instants=st.lists(st.integers(0, 40), max_size=20).map(sorted),
    step=st.integers(1, 3),
    created_from=BOUNDS,
    created_before=BOUNDS,
)
def test_a_slice_by_date_has_what_was_created_between_the_bounds(instants, step, created_from, created_before):
    indices = range(0, len(instants), step)
    found = slice_by_date(indices, instants.__getitem__, created_from, created_before)
    assert list(found) == [
        index
        for index in indices
        if (created_from is None or EPOCH + timedelta(seconds=instants[index]) >= created_from)
        and (created_before is None or EPOCH + timedelta(seconds=instants[index]) < created_before)
    ]


def test_a_participants_tracks_are_audio_and_then_video_or_rarely_data():
    words = range(2**12)

    def formats(*tracks, may_be_data=True):
        return Counter(track_format(track, word, may_be_data=may_be_data) for track in tracks for word in words)

    assert {each.media_type for each in formats(0, 2, 40)} == {"audio"}
    second = Counter(each[::2] for each in formats(1, 3, 41).elements())
    assert second == {("video", "mkv"): 3 * 15 * 2**8, ("data", "mka"): 3 * 2**8}
    assert {each.media_type for each in formats(1, 3, 41, may_be_data=False)} == {"video"}
    assert {each.codec for each in formats(0)} == {"OPUS", "opus", "PCMU"}
    assert {each.codec for each in formats(1)} == {"VP8", "H264", "OPUS"}


@given(word=st.integers(0, 2**64 - 1), media_type=st.sampled_from(["audio", "video", "data"]))
def test_half_of_the_tracks_have_their_sid_for_a_name(word, media_type):
    name = json.loads(track_name_json("MT1", media_type, word))
    assert (name == "MT1") == (word & 2**16 == 0)


def test_most_recordings_are_completed_and_some_are_not():
    statuses = Counter(draw_status(number) for number in range(6_400))
    assert set(statuses) == {"completed", "processing", "failed"}
    assert 5_400 < statuses["completed"] < 6_200
    assert statuses["processing"] > statuses["failed"] > 50


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("processing", ("null", "null")),
        ("failed", ("0", "0")),
        ("completed", ("7", "3")),
        ("deleted", ("7", "3")),
    ],
)
def test_only_finished_recordings_have_a_size_and_a_duration(status, expected):
    assert size_and_duration_json(status, 7, 3) == expected


@given(word=st.integers(0, 2**64 - 1))
def test_a_room_lasts_between_ten_minutes_and_the_maximum(word):
    assert 600 <= draw_room_traits(word).duration <= MAX_DRAWN_ROOM_DURATION == 600 + 4 * 3_600


def test_traits_are_as_frequent_as_they_should_be():
    shares = {"has_name": 1 / 2, "has_pauses": 1 / 4, "is_encrypted": 1 / 16, "has_bucket": 1 / 16, "has_muted": 1 / 16}
    # All values of the bits from which something is drawn.
    words = [low | high << 24 for low in range(2**16) for high in range(0, 2**7, 8)]
    found = Counter()
    for word in words:
        traits = draw_room_traits(word)
        found.update(trait for trait in shares if getattr(traits, trait))
    assert {trait: count / len(words) for trait, count in found.items()} == shares


@given(remaining=st.integers(-10, 10**6), word=st.integers(0, 2**64 - 1))
def test_a_recording_takes_a_second_at_least_and_ends_with_its_room(remaining, word):
    assert 1 <= draw_duration(remaining, word) <= max(1, min(remaining, 4 * 3_600))


@given(word=st.integers(0, 2**64 - 1), smallest=st.integers(0, 10**12), spread=st.integers(0, 10**12))
def test_a_size_lies_between_its_bounds(word, smallest, spread):
    assert smallest <= draw_size((smallest, smallest + spread), "VP8", 9, word) <= smallest + spread


@given(duration=st.integers(1, 14_400), word=st.integers(0, 2**64 - 1))
@pytest.mark.parametrize(
    ("codec", "rate"), [("VP8", 125_000), ("H264", 125_000), ("OPUS", 4_000), ("opus", 4_000), ("PCMU", 9_000)]
)
def test_without_bounds_a_size_follows_from_the_duration_and_the_codec(codec, rate, duration, word):
    assert duration <= draw_size(None, codec, duration, word) / rate < duration + 1


@given(word=st.integers(0, 2**64 - 1))
def test_recordings_are_kept_for_ten_days_at_most(word):
    assert 0 <= draw_retention(word) < 10 * 86_400
