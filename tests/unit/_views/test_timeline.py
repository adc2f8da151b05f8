"""Timelines: positions, lanes, rows, gaps and ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async import MediaType, Recording, RecordingStatus
from roomrec_async._views.timeline import MIN_TRACK_WIDTH, Band, Timeline, Track, TrackFile, scale, timeline

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE, BOB = "PA" + "a" * 32, "PA" + "b" * 32
EPOCH = 1_700_000_000_000
HOUR = 3_600_000


def recording(
    start: int | None = 0,
    duration: int | None = 10,
    *,
    media_type: str | None = "audio",
    status: str | None = "completed",
    participant: object = ALICE,
    **fields: Any,
) -> Recording:
    """Return a recording that starts this many seconds after the room's first one."""
    return Recording(
        offset=None if start is None else EPOCH + start * 1000,
        duration=duration,
        type=None if media_type is None else MediaType(media_type),
        status=None if status is None else RecordingStatus(status),
        grouping_sids=None if participant is None else {"participant_sid": participant},
        **fields,
    )


def tracks(drawn: Timeline) -> list[Track]:
    return [track for lane in drawn.lanes for band in lane.bands for row in band.rows for track in row]


def only_band(*recordings: Recording) -> Band:
    (lane,) = timeline(recordings).lanes
    (band,) = lane.bands
    return band


def names(band: Band) -> list[list[str]]:
    return [[track.name for track in row] for row in band.rows]


class TestPositions:
    def test_offsets_are_milliseconds_and_durations_seconds(self) -> None:
        drawn = timeline([Recording(offset=500, duration=10), Recording(offset=5_500, duration=15)])
        assert [(track.start, track.length, track.end) for track in tracks(drawn)] == [
            (0, 10_000, 10_000),
            (5_000, 15_000, 20_000),
        ]
        assert drawn.length == 20_000
        assert [(track.left, track.width) for track in tracks(drawn)] == [(0, 0.5), (0.25, 0.75)]
        assert drawn.recorded == 25_000

    def test_the_beginning_is_that_of_the_first_recording(self) -> None:
        first, second = recording(30, sid="late", date_created=NOON), recording(10, sid="early", date_created=NOON)
        drawn = timeline([first, second])
        assert {track.name: track.start for track in tracks(drawn)} == {"early": 0, "late": 20_000}

    def test_the_beginning_on_the_clock_is_that_of_the_recording_which_began_first(self) -> None:
        later = NOON + timedelta(seconds=20)
        drawn = timeline([recording(30, date_created=NOON + timedelta(seconds=40)), recording(10, date_created=later)])
        assert drawn.began == later
        assert timeline([recording(0)]).began is None

    def test_negative_offsets(self) -> None:
        drawn = timeline([Recording(offset=-1_000, duration=1), Recording(offset=1_000, duration=2)])
        assert [track.start for track in tracks(drawn)] == [0, 2_000]

    def test_without_an_offset_the_start_is_from_the_date(self) -> None:
        drawn = timeline(
            [
                recording(0, sid="a", date_created=NOON),
                recording(60, sid="b", date_created=NOON + timedelta(minutes=1)),
                recording(None, sid="c", date_created=NOON + timedelta(seconds=90)),
            ]
        )
        assert [(track.name, track.start, track.exact) for track in tracks(drawn)] == [
            ("a", 0, True),
            ("b", 60_000, True),
            ("c", 90_000, False),
        ]

    def test_without_any_offset_starts_are_from_dates_of_any_time_zone(self) -> None:
        east = timezone(timedelta(hours=2))
        drawn = timeline(
            [
                recording(None, date_created=NOON),
                recording(None, date_created=(NOON + timedelta(seconds=5)).astimezone(east)),
            ]
        )
        assert [track.start for track in tracks(drawn)] == [0, 5_000]

    def test_a_date_alone_and_an_offset_alone_are_both_about_the_start(self) -> None:
        drawn = timeline([recording(5, sid="a"), recording(None, sid="b", date_created=NOON)])
        assert {track.name: (track.start, track.exact) for track in tracks(drawn)} == {"a": (0, False), "b": (0, False)}

    def test_without_any_time_it_is_at_the_beginning_and_says_so(self) -> None:
        (track,) = tracks(timeline([recording(None)]))
        assert (track.start, track.end, track.left) == (None, None, 0)

    def test_without_a_duration_it_has_no_width(self) -> None:
        drawn = timeline([recording(0, 100), recording(50, None, status="failed", sid="x")])
        (track,) = (track for track in tracks(drawn) if track.name == "x")
        assert (track.length, track.end, track.is_open, track.left, track.width) == (None, None, False, 0.5, 0)

    def test_what_is_being_captured_reaches_to_an_end_after_everything_else(self) -> None:
        drawn = timeline([recording(0, 100), recording(50, None, status="processing", sid="x")])
        (track,) = (track for track in tracks(drawn) if track.name == "x")
        assert track.is_open
        assert drawn.length > 100_000
        assert track.left + track.width == pytest.approx(1)

    def test_a_room_in_which_capturing_has_just_begun(self) -> None:
        drawn = timeline([recording(0, None, status="processing")])
        assert drawn.length == 60_000
        assert [(track.left, track.width) for track in tracks(drawn)] == [(0, 1)]

    @pytest.mark.parametrize("value", [-1, 2**63, 10**400])
    def test_numbers_that_mean_nothing_are_as_none(self, value: int) -> None:
        (track,) = tracks(timeline([recording(0, value)]))
        assert track.length is None

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
    def test_offsets_that_mean_nothing_are_as_none(self, value: int) -> None:
        drawn = timeline([recording(0, sid="a"), Recording(sid="b", offset=value)])
        assert {track.name: track.start for track in tracks(drawn)} == {"a": 0, "b": None}

    def test_nothing(self) -> None:
        drawn = timeline([])
        assert (drawn.lanes, drawn.recordings, drawn.participants, drawn.began) == ((), 0, 0, None)


def shared_offset(number: int, created: float | None, **fields: Any) -> Recording:
    """Return a recording as the provider lists them: all of a room have the offset of the room."""
    date = None if created is None else NOON + timedelta(seconds=created)
    return recording(0, sid=f"RT{number}", date_created=date, **fields)


class TestFiles:
    def test_tracks_of_one_offset_start_about_at_their_dates(self) -> None:
        drawn = timeline([shared_offset(1, 0), shared_offset(2, 30), shared_offset(3, 3_600)])
        assert {track.name: (track.start, track.exact) for track in tracks(drawn)} == {
            "RT1": (0, False),
            "RT2": (30_000, False),
            "RT3": (3_600_000, False),
        }
        assert not drawn.exact

    def test_media_files_give_starts_and_lengths(self) -> None:
        files = {"RT1": TrackFile(Path("1"), 1_564, 11_980), "RT2": TrackFile(Path("2"), 6_000, 8_007)}
        drawn = timeline([shared_offset(1, 0), shared_offset(2, 5, participant=BOB)], files=files)
        assert [(track.start, track.length, track.exact) for track in tracks(drawn)] == [
            (0, 11_980, True),
            (4_436, 8_007, True),
        ]
        assert drawn.exact
        assert drawn.length == 12_443

    def test_a_track_without_a_file_is_placed_among_those_with_one(self) -> None:
        files = {"RT1": TrackFile(Path("1"), 10_000, 5_000), "RT2": TrackFile(Path("2"), 20_000, 5_000)}
        drawn = timeline([shared_offset(1, 10), shared_offset(2, 20), shared_offset(3, 65)], files=files)
        assert [(track.start, track.exact) for track in tracks(drawn)] == [
            (0, True),
            (10_000, True),
            (55_000, False),
        ]

    @pytest.mark.parametrize(
        ("status", "media_type", "start"),
        [("completed", "audio", 0), ("deleted", "audio", 30_000), ("completed", "data", 30_000)],
    )
    def test_a_film_starts_with_the_first_track_in_it(self, status: str, media_type: str, start: int) -> None:
        drawn = timeline([shared_offset(1, 0, status=status, media_type=media_type), shared_offset(2, 30)])
        assert drawn.film_start == start

    def test_a_film_starts_with_the_first_track_that_has_a_file(self) -> None:
        drawn = timeline(
            [shared_offset(1, 0), shared_offset(2, 30)], files={"RT2": TrackFile(Path("2"), 30_000, 5_000)}
        )
        assert drawn.film_start == 30_000

    def test_no_film(self) -> None:
        assert timeline([]).film_start == 0


class TestNames:
    def test_people_have_theirs(self) -> None:
        drawn = timeline(
            [recording(0, participant=ALICE), recording(1, participant=BOB), recording(2, participant=None)],
            names={ALICE: " Zoë\u202e ", BOB: "  ", "": "nobody"},
        )
        assert [lane.name for lane in drawn.lanes] == ["Zoë\ufffd", "Participant 2", "Unknown participant"]

    def test_long_ones_are_cut(self) -> None:
        (lane,) = timeline([recording(0)], names={ALICE: "x" * 1_000}).lanes
        assert lane.name == "x" * 199 + "…"


class TestJoined:
    def test_with_the_first_track_of_any_type(self) -> None:
        (first, second) = timeline(
            [recording(9, media_type="audio"), recording(4, media_type="video"), recording(0, participant=BOB)]
        ).lanes
        assert [lane.joined and lane.joined.start for lane in (first, second)] == [0, 4_000]

    def test_unknown(self) -> None:
        (lane,) = timeline([recording(0, participant=None)]).lanes
        assert lane.joined is None
        (lane,) = timeline([recording(None)]).lanes
        assert lane.joined is None


class TestLanes:
    def test_in_the_order_of_their_first_recordings(self) -> None:
        drawn = timeline([recording(9, participant=ALICE), recording(3, participant=BOB), recording(1)])
        assert [(lane.participant_sid, lane.name) for lane in drawn.lanes] == [
            (ALICE, "Participant 1"),
            (BOB, "Participant 2"),
        ]
        assert drawn.participants == 2

    @pytest.mark.parametrize("participant", [None, 17, ["PA"]])
    def test_what_does_not_say_whose_it_is_comes_last(self, participant: object) -> None:
        drawn = timeline([recording(0, participant=participant), recording(5), recording(1, participant=participant)])
        assert [(lane.participant_sid, lane.name, lane.tracks) for lane in drawn.lanes] == [
            (ALICE, "Participant 1", 1),
            (None, "Unknown participant", 2),
        ]
        assert drawn.participants == 1

    def test_types_are_apart_in_a_fixed_order(self) -> None:
        types = ["hologram", "data", None, "video", "AUDIO"]
        (lane,) = timeline([recording(at, media_type=each) for at, each in enumerate(types)]).lanes
        assert [band.media_type for band in lane.bands] == ["audio", "video", "data", "hologram", "unknown"]

    def test_all_statuses_are_in(self) -> None:
        statuses = ["completed", "failed", "deleted", "processing", "paused", None, "completed"]
        drawn = timeline([recording(status=status) for status in statuses])
        assert drawn.by_status == {
            "completed": 2,
            "failed": 1,
            "deleted": 1,
            "processing": 1,
            "paused": 1,
            "unknown": 1,
        }

    def test_numbers_follow_the_order_of_reading(self) -> None:
        drawn = timeline(
            [
                recording(0, participant=BOB, sid="e"),
                recording(2, sid="b"),
                recording(5, 3, sid="c"),
                recording(9, media_type="video", sid="d"),
                recording(-1, sid="a"),
            ]
        )
        assert [(track.number, track.name) for track in tracks(drawn)] == list(enumerate("abcde", 1))


class TestRows:
    def test_one_after_the_other_share_a_row(self) -> None:
        band = only_band(recording(0, 10, sid="a"), recording(10, 10, sid="b"), recording(25, 10, sid="c"))
        assert names(band) == [["a", "b", "c"]]

    def test_those_that_overlap_have_rows_of_their_own(self) -> None:
        band = only_band(
            recording(0, 30, sid="a"), recording(10, 10, sid="b"), recording(15, 40, sid="c"), recording(21, 5, sid="d")
        )
        assert names(band) == [["a"], ["b", "d"], ["c"]]

    def test_the_upper_rows_are_filled_first(self) -> None:
        band = only_band(
            recording(0, 20, sid="a"), recording(1, 10, sid="b"), recording(30, 5, sid="c"), recording(31, 5, sid="d")
        )
        assert names(band) == [["a", "c"], ["b", "d"]]

    def test_tracks_too_short_to_be_seen_have_room(self) -> None:
        band = only_band(recording(0, 1, sid="a"), recording(2, 1, sid="b"), recording(0, 3600, sid="c"))
        assert sorted(map(sorted, names(band))) == [["a"], ["b"], ["c"]]

    def test_what_has_no_known_start_hides_nothing(self) -> None:
        band = only_band(recording(0, 20, sid="a"), recording(None, 20, sid="b"))
        assert sorted(names(band)) == [["a"], ["b"]]

    @given(
        st.lists(
            st.tuples(
                st.none() | st.integers(0, 5_000),
                st.none() | st.integers(0, 3_000),
                st.sampled_from(["completed", "processing", "failed"]),
                st.sampled_from([ALICE, BOB, None]),
            ),
            max_size=40,
        )
    )
    def test_nothing_is_lost_and_no_two_overlap(self, given_: list[tuple[int | None, int | None, str, str]]) -> None:
        recordings = [
            recording(start, duration, status=status, participant=participant)
            for start, duration, status, participant in given_
        ]
        drawn = timeline(recordings)
        assert [track.number for track in tracks(drawn)] == list(range(1, len(recordings) + 1))
        assert sum(lane.tracks for lane in drawn.lanes) == len(recordings)
        for row in (row for lane in drawn.lanes for band in lane.bands for row in band.rows):
            for one, following in pairwise(row):
                assert one.left + max(one.width, MIN_TRACK_WIDTH) <= following.left + 1e-9
            assert all(0 <= track.left <= track.left + max(track.width, MIN_TRACK_WIDTH) <= 1 + 1e-9 for track in row)

    def test_a_room_with_many_recordings_at_once(self) -> None:
        band = only_band(*(recording(at, 10_000) for at in range(5_000)))
        assert len(band.rows) == 5_000


class TestGaps:
    @pytest.mark.parametrize(
        ("recordings", "gaps"),
        [
            ([(0, 10), (30, 10)], [(10, 20)]),
            ([(0, 10), (10, 10)], []),
            ([(0, 100), (10, 10), (150, 10)], [(100, 50)]),
            ([(0, 10), (20, 10), (40, 10)], [(10, 10), (30, 10)]),
            ([(0, None), (20, 10)], []),
            ([(0, 10), (20, None), (40, 10)], [(10, 10)]),
            ([(None, 10), (20, 10), (40, 10)], []),
            ([(0, 10), (11, 10)], [(10, 1)]),
        ],
    )
    def test_where_nothing_was_recorded(
        self, recordings: list[tuple[int | None, int | None]], gaps: list[tuple[int, int]]
    ) -> None:
        band = only_band(*(recording(start, duration) for start, duration in recordings))
        assert [(gap.start, gap.length) for gap in band.gaps] == [(at * 1000, length * 1000) for at, length in gaps]

    def test_less_than_the_second_that_durations_are_rounded_to_is_none(self) -> None:
        assert not only_band(attributed(0), attributed(10_999)).gaps
        assert only_band(attributed(0), attributed(11_000)).gaps

    def test_positions(self) -> None:
        (gap,) = only_band(recording(0, 10), recording(30, 10)).gaps
        assert (gap.left, gap.width) == (0.25, 0.5)

    def test_each_is_in_the_row_of_the_track_before_it(self) -> None:
        band = only_band(recording(0, 10, sid="a"), recording(5, 20, sid="b"), recording(60, 10, sid="c"))
        assert names(band) == [["a", "c"], ["b"]]
        assert [[gap.start for gap in band.gaps_of(row)] for row in (0, 1)] == [[], [25_000]]

    def test_another_type_does_not_fill_them(self) -> None:
        drawn = timeline([recording(0, 10), recording(30, 10), recording(0, 40, media_type="video")])
        assert [len(band.gaps) for band in drawn.lanes[0].bands] == [1, 0]
        assert drawn.gaps == 1

    def test_strangers_have_none(self) -> None:
        assert not only_band(recording(0, 10, participant=None), recording(30, 10, participant=None)).gaps


def attributed(offset: int) -> Recording:
    return Recording(offset=offset, duration=10, grouping_sids={"participant_sid": ALICE})


class TestAxis:
    @pytest.mark.parametrize(
        ("length", "labels"),
        [
            (1_000, ["0:00", "0:01"]),
            (8_000, ["0:00", "0:01", "0:02", "0:03", "0:04", "0:05", "0:06", "0:07", "0:08"]),
            (9_000, ["0:00", "0:02", "0:04", "0:06", "0:08"]),
            (30 * 60_000, ["0:00", "5:00", "10:00", "15:00", "20:00", "25:00", "30:00"]),
            (2 * HOUR, ["0:00", "15:00", "30:00", "45:00", "1:00:00", "1:15:00", "1:30:00", "1:45:00", "2:00:00"]),
            (30 * HOUR, ["0:00", "6:00:00", "12:00:00", "18:00:00", "1d 00:00", "1d 06:00"]),
            (30 * 24 * HOUR, ["0:00", "5d 00:00", "10d 00:00", "15d 00:00", "20d 00:00", "25d 00:00", "30d 00:00"]),
        ],
    )
    def test_steps_are_readable(self, length: int, labels: list[str]) -> None:
        assert [tick.label for tick in scale(length).ticks] == labels

    @given(st.integers(1_000, 2**64), st.sampled_from([1, 2, 4, 8, 16, 32]))
    def test_some_marks_but_not_too_many(self, length: int, zoom: int) -> None:
        marks = scale(length, zoom).ticks
        assert 2 <= len(marks) <= 8 * zoom + 1 or length < 2_000
        assert marks[0].at == 0
        assert all(0 <= mark.left <= 1 and mark.left == mark.at / length for mark in marks)
        assert len({following.at - mark.at for mark, following in pairwise(marks)}) <= 1

    @pytest.mark.parametrize(
        ("seconds", "zooms"), [(10, [1]), (20, [1, 2]), (60, [1, 2, 4]), (86_400, [1, 2, 4, 8, 16, 32])]
    )
    def test_it_can_be_enlarged_until_ten_seconds_fill_the_view(self, seconds: int, zooms: list[int]) -> None:
        assert [each.zoom for each in timeline([recording(0, seconds)]).scales] == zooms


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("camera", "camera"),
            ("<b>&\"'", "<b>&\"'"),
            ("a\x00b\x1bc\nd", "a\ufffdb\ufffdc\ufffdd"),
            ("\u202egnp.exe\u202c", "\ufffdgnp.exe\ufffd"),
            ("\ud800", "\ufffd"),
            ("\ufffe\U0001ffff", "\ufffd\ufffd"),
            ("مكبر", "مكبر"),
            ("👩\u200d🔧", "👩\u200d🔧"),
            ("x" * 200, "x" * 200),
            ("x" * 201, "x" * 199 + "…"),
        ],
    )
    def test_a_name_is_safe_to_show(self, text: str, shown: str) -> None:
        (track,) = tracks(timeline([Recording(track_name=text)]))
        assert track.name == shown

    def test_a_track_without_a_name_has_the_name_of_its_source_or_its_own_sid(self) -> None:
        unnamed = [Recording(source_sid="MT1", sid="RT1"), Recording(track_name=" ", sid="RT2"), Recording(sid="")]
        assert sorted(track.name for track in tracks(timeline(unnamed))) == ["MT1", "RT2", "unknown"]
