"""Totals of recordings: in any order they are those of a plain count."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async._views.totals import FailedRecording, Overview, Period, PersonTotals, RoomTotals, Totals, add_up
from roomrec_async.errors import DecodeError
from roomrec_async.models import MediaType, Recording, RecordingStatus, RoomResult

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = "RM" + "1" * 32

amounts = st.none() | st.integers(0, 10**12)
recordings = st.builds(
    Recording,
    sid=st.uuids().map(lambda number: f"RT{number.hex}"),
    room_sid=st.none() | st.sampled_from([f"RM{number:032x}" for number in range(15)]),
    type=st.none() | st.sampled_from([*MediaType, MediaType("hologram"), MediaType("other")]),
    status=st.none() | st.sampled_from([*RecordingStatus, RecordingStatus("paused")]),
    date_created=st.none()
    | st.datetimes(
        datetime.fromisoformat("2025-12-20T00:00:00"),
        datetime.fromisoformat("2026-01-20T00:00:00"),
        timezones=st.just(UTC),
    ),
    size=amounts,
    duration=st.none() | st.integers(0, 10**5),
)


def overview_of(*given: Recording, covers: tuple[date, date] | None = None) -> Overview:
    overview = Overview(covers)
    for recording in given:
        overview.add(recording)
    return overview


def recording(day: int = 0, **fields: Any) -> Recording:
    values: dict[str, Any] = {
        "sid": "RT" + "0" * 32,
        "room_sid": ROOM,
        "type": MediaType.AUDIO,
        "status": RecordingStatus.COMPLETED,
        "date_created": NEW_YEAR + timedelta(days=day),
        "size": 1_000,
        "duration": 60,
    }
    return Recording(**values | fields)


def counted_plainly(given: list[Recording]) -> Totals:
    return Totals(len(given), sum(each.size or 0 for each in given), sum(each.duration or 0 for each in given))


class TestSums:
    @given(st.lists(recordings, max_size=40), st.randoms())
    def test_are_those_of_a_plain_count(self, given: list[Recording], random: Random) -> None:
        overview = overview_of(*given)
        assert overview.all == counted_plainly(given)
        cells = [cell for by_status in overview.by_type_and_status.values() for cell in by_status.values()]
        assert add_up(cells) == overview.all
        for parts in (overview.by_type, overview.by_status):
            assert add_up(parts.values()) == overview.all
        by_day = {day: add_up(own.values()) for day, own in overview.by_day.items()}
        assert add_up([*by_day.values(), overview.undated]) == overview.all
        assert by_day == {
            day: counted_plainly([each for each in given if each.date_created and each.date_created.date() == day])
            for day in {each.date_created.date() for each in given if each.date_created}
        }
        assert add_up(period.all for period in overview.periods().each) == add_up(by_day.values())
        in_rooms = [each for each in given if each.room_sid]
        assert add_up(room.sum for room in overview.largest(15)) == counted_plainly(in_rooms)
        assert overview.rooms == len({each.room_sid for each in in_rooms})
        assert overview.failed == len([each for each in given if each.status == "failed"])

    @given(st.lists(recordings, max_size=40, unique_by=lambda each: each.sid), st.randoms())
    def test_are_the_same_in_any_order(self, given: list[Recording], random: Random) -> None:
        shuffled = random.sample(given, len(given))
        assert overview_of(*shuffled).to_dict() == overview_of(*given).to_dict()

    def test_of_nothing(self) -> None:
        overview = Overview()
        assert (overview.all, overview.rooms, overview.failed, overview.bounds) == (Totals(), 0, 0, None)
        assert (overview.by_type, overview.by_status, overview.by_day, overview.largest()) == ({}, {}, {}, [])
        assert (overview.periods().unit, overview.periods().each) == ("day", ())

    @pytest.mark.parametrize("size", [None, -1, 2**63])
    @pytest.mark.parametrize("duration", [None, -1, 2**31])
    def test_what_is_not_known_adds_nothing(self, size: int | None, duration: int | None) -> None:
        processing = recording(status=RecordingStatus.PROCESSING, size=size, duration=duration)
        overview = overview_of(processing, recording())
        assert overview.all == Totals(2, 1_000, 60)
        assert overview.by_status["processing"] == Totals(1)

    def test_types_and_statuses_are_in_the_order_of_the_reference(self) -> None:
        overview = overview_of(
            recording(type=None, status=None),
            recording(type=MediaType("hologram"), status=RecordingStatus("paused")),
            recording(type=MediaType("smell"), status=RecordingStatus("lost")),
            *(recording(type=kind) for kind in reversed(MediaType)),
            *(recording(status=status) for status in reversed(RecordingStatus)),
        )
        assert {kind: own.recordings for kind, own in overview.by_type.items()} == {
            "audio": 5, "video": 1, "data": 1, "other": 2, "unknown": 1,
        }  # fmt: skip
        assert [*overview.by_type] == ["audio", "video", "data", "other", "unknown"]
        assert {status: own.recordings for status, own in overview.by_status.items()} == {
            "processing": 1, "completed": 4, "deleted": 1, "failed": 1, "other": 2, "unknown": 1,
        }  # fmt: skip
        assert [*overview.by_status] == ["processing", "completed", "deleted", "failed", "other", "unknown"]

    def test_of_each_type_and_status(self) -> None:
        overview = overview_of(
            recording(type=MediaType.VIDEO, status=RecordingStatus.FAILED, size=None),
            recording(),
            recording(status=RecordingStatus.FAILED),
            recording(),
        )
        assert overview.by_type_and_status == {
            "audio": {"completed": Totals(2, 2_000, 120), "failed": Totals(1, 1_000, 60)},
            "video": {"failed": Totals(1, 0, 60)},
        }
        assert [*overview.by_type_and_status["audio"]] == ["completed", "failed"]


class TestRooms:
    def test_are_added_with_their_recordings(self) -> None:
        overview = Overview()
        # The account's list may leave the room out of a recording; the result says which one it is.
        added = overview.add_room(RoomResult(ROOM, [recording(), recording(room_sid=None)]))
        assert added == RoomTotals(ROOM, Totals(2, 2_000, 120))
        assert added.to_dict() == {"room_sid": ROOM, "recordings": 2, "size": 2_000, "duration": 120}
        assert overview.largest() == [added]
        assert overview.all == added.sum

    def test_count_without_recordings_too(self) -> None:
        overview = Overview()
        assert overview.add_room(RoomResult(ROOM, [])) == RoomTotals(ROOM, Totals())
        assert (overview.rooms, overview.failed_rooms, overview.all) == (1, 0, Totals())

    def test_with_an_error_are_counted_as_failed_with_the_recordings_before_it(self) -> None:
        overview = Overview()
        overview.add_room(RoomResult(ROOM, [recording()], DecodeError("broken")))
        overview.add_room(RoomResult("RM" + "2" * 32, [recording(status=RecordingStatus.FAILED)]))
        assert (overview.rooms, overview.failed_rooms, overview.failed) == (2, 1, 1)
        assert overview.all.recordings == 2


class TestDays:
    @pytest.mark.parametrize(
        ("created", "day"),
        [
            (datetime(2026, 3, 1, tzinfo=UTC), date(2026, 3, 1)),
            (datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC), date(2026, 2, 28)),
            (datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), date(2026, 2, 28)),
            (datetime(2026, 2, 28, 20, tzinfo=timezone(-timedelta(hours=5))), date(2026, 3, 1)),
        ],
    )
    def test_are_those_of_utc(self, created: datetime, day: date) -> None:
        assert overview_of(recording(date_created=created)).by_day == {day: {"audio": Totals(1, 1_000, 60)}}

    @pytest.mark.parametrize(
        "created",
        [
            None,
            datetime.min.replace(tzinfo=timezone(timedelta(hours=2))),
            datetime.max.replace(tzinfo=timezone(-timedelta(hours=2))),
        ],
    )
    def test_what_has_none_is_counted_all_the_same(self, created: datetime | None) -> None:
        overview = overview_of(recording(date_created=created), recording())
        assert (overview.undated, overview.all.recordings) == (Totals(1, 1_000, 60), 2)
        assert [*overview.by_day] == [date(2026, 1, 1)]


class TestPeriods:
    def test_have_no_gaps(self) -> None:
        periods = overview_of(recording(3), recording(0), recording(0, type=MediaType.VIDEO)).periods()
        assert periods.unit == "day"
        assert periods.each == (
            Period(date(2026, 1, 1), {"audio": Totals(1, 1_000, 60), "video": Totals(1, 1_000, 60)}),
            Period(date(2026, 1, 2), {}),
            Period(date(2026, 1, 3), {}),
            Period(date(2026, 1, 4), {"audio": Totals(1, 1_000, 60)}),
        )

    @pytest.mark.parametrize(
        ("last", "unit", "count", "first", "second"),
        [
            (0, "day", 1, "2026-01-01", None),
            (91, "day", 92, "2026-01-01", "2026-01-02"),
            (92, "week", 14, "2025-12-29", "2026-01-05"),
            (365, "week", 53, "2025-12-29", "2026-01-05"),
            (3 * 365, "month", 36, "2026-01-01", "2026-02-01"),
            (20 * 365, "year", 20, "2026-01-01", "2027-01-01"),
            (300 * 365, "century", 4, "2000-01-01", "2100-01-01"),
        ],
    )
    def test_are_so_few_that_they_can_be_seen(
        self, last: int, unit: str, count: int, first: str, second: str | None
    ) -> None:
        periods = overview_of(recording(0), recording(last)).periods()
        assert (periods.unit, len(periods.each)) == (unit, count)
        assert [period.start.isoformat() for period in periods.each[:2]] == [each for each in (first, second) if each]

    @given(st.lists(st.dates(), min_size=1, max_size=20))
    def test_each_day_is_in_one(self, days: list[date]) -> None:
        created = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days]
        periods = overview_of(*(recording(date_created=each) for each in created)).periods()
        starts = [period.start for period in periods.each]
        assert len(starts) <= 100
        assert starts == sorted(set(starts))
        assert starts[0] <= min(days)
        assert [period.all.recordings for period in periods.each] == [
            len([day for day in days if start <= day and (after is None or day < after)])
            for start, after in zip(starts, [*starts[1:], None], strict=True)
        ]

    def test_cover_what_was_asked_for(self) -> None:
        covers = (date(2025, 12, 30), date(2026, 1, 5))
        overview = overview_of(recording(0), covers=covers)
        assert overview.bounds == covers
        assert [period.all.recordings for period in overview.periods().each] == [0, 0, 1, 0, 0, 0, 0]
        assert len(Overview(covers).periods().each) == 7


class TestLargest:
    def test_is_by_bytes(self) -> None:
        sizes = {1: 10, 2: 30, 3: 20}
        overview = overview_of(
            *(recording(room_sid=f"RM{room}", size=size) for room, size in sizes.items()),
            recording(room_sid="RM1", size=15),
            recording(room_sid=None, size=1_000),
        )
        assert overview.largest(2) == [RoomTotals("RM2", Totals(1, 30, 60)), RoomTotals("RM1", Totals(2, 25, 120))]

    def test_is_by_recordings_if_asked_for(self) -> None:
        sizes = {1: [10], 2: [5, 5, 5], 3: [30], 4: [1, 1, 1]}
        overview = overview_of(
            *(recording(room_sid=f"RM{room}", size=size) for room, many in sizes.items() for size in many)
        )
        assert [room.room_sid for room in overview.largest(3, by="recordings")] == ["RM2", "RM4", "RM3"]

    def test_recordings_decide_between_equal_sizes(self) -> None:
        overview = overview_of(
            *(recording(room_sid=room, size=size) for room, size in (("RM9", 4), ("RM1", 2), ("RM1", 2)))
        )
        assert [room.room_sid for room in overview.largest()] == ["RM1", "RM9"]

    def test_are_ten(self) -> None:
        overview = overview_of(*(recording(room_sid=f"RM{room:02}", size=room) for room in range(30)))
        assert [room.room_sid for room in overview.largest()] == [f"RM{room:02}" for room in range(29, 19, -1)]


class TestFailures:
    def test_say_which(self) -> None:
        failed = recording(status=RecordingStatus.FAILED, size=None, duration=None, track_name="camera")
        assert overview_of(recording(), failed).failures == [
            FailedRecording(failed.sid, ROOM, "audio", "camera", NEW_YEAR)
        ]

    def test_the_latest_are_kept_and_all_are_counted(self) -> None:
        numbers = Random(1).sample(range(1_000), 1_000)
        overview = overview_of(
            *(recording(number, status=RecordingStatus.FAILED, sid=f"RT{number:03}") for number in numbers)
        )
        assert overview.failed == 1_000
        assert [failed.sid for failed in overview.failures] == [f"RT{number:03}" for number in range(999, 899, -1)]

    def test_without_anything_that_tells_them_apart(self) -> None:
        nothing = Recording(status=RecordingStatus.FAILED)
        overview = overview_of(*(200 * [nothing]))
        assert (overview.failed, len(overview.failures)) == (200, 100)
        assert overview.failures[0] == FailedRecording(None, None, "unknown", None, None)


def test_the_numbers_as_json() -> None:
    failed = recording(1, sid="RT1", room_sid="RM2", status=RecordingStatus.FAILED, size=None, track_name="x")
    undated = recording(date_created=None, type=None, size=5, duration=1)
    one = {"recordings": 1, "size": 1_000, "duration": 60}
    assert json.loads(json.dumps(overview_of(recording(), failed, undated).to_dict())) == {
        "recordings": 3,
        "size": 1_005,
        "duration": 121,
        "rooms": 2,
        "by_type": {
            "audio": {"recordings": 2, "size": 1_000, "duration": 120},
            "unknown": {"recordings": 1, "size": 5, "duration": 1},
        },
        "by_status": {
            "completed": {"recordings": 2, "size": 1_005, "duration": 61},
            "failed": {"recordings": 1, "size": 0, "duration": 60},
        },
        "by_day": [
            {"day": "2026-01-01", **one, "by_type": {"audio": one}},
            {"day": "2026-01-02", **one, "size": 0, "by_type": {"audio": one | {"size": 0}}},
        ],
        "undated": {"recordings": 1, "size": 5, "duration": 1},
        "largest_rooms": [
            {"room_sid": ROOM, "recordings": 2, "size": 1_005, "duration": 61},
            {"room_sid": "RM2", "recordings": 1, "size": 0, "duration": 60},
        ],
        "failed": 1,
        "latest_failures": [
            {"sid": "RT1", "room_sid": "RM2", "type": "audio", "track_name": "x",
             "date_created": "2026-01-02T00:00:00+00:00"},
        ],
    }  # fmt: skip


class TestPeople:
    def test_are_summed_up_over_their_rooms_and_devices(self) -> None:
        overview = Overview(participants=True)
        tracks = (("RM1", "PA1"), ("RM1", "PA1"), ("RM1", "PA2"), ("RM2", "PA3"), ("RM2", "PA4"))
        for room_sid, participant_sid in tracks:
            overview.add(recording(room_sid=room_sid, grouping_sids={"participant_sid": participant_sid}))
        overview.add(recording(room_sid="RM3", grouping_sids=None))
        assert overview.unidentified_rooms == ["RM1", "RM2"]
        overview.add_identities("RM1", {"PA1": "ada", "PA2": "ada"})
        overview.add_identities("RM2", {"PA3": "ada", "PA5": "nobody here"})
        overview.add_identities("RM9", {"PA1": "ada"})
        assert overview.unidentified_rooms == []
        assert overview.people() == [PersonTotals("ada", 2, Totals(4, 4_000, 240))]
        assert overview.to_dict()["people"] == [
            {"identity": "ada", "rooms": 2, "recordings": 4, "size": 4_000, "duration": 240}
        ]

    def test_come_with_the_most_recorded_time_first(self) -> None:
        overview = Overview(participants=True)
        for number in range(30):
            sids = {"room_sid": f"RM{number}", "grouping_sids": {"participant_sid": "PA1"}}
            overview.add(recording(duration=number, **sids))
            overview.add_identities(f"RM{number}", {"PA1": f"person {number}"})
        assert [person.identity for person in overview.people(3)] == ["person 29", "person 28", "person 27"]
        assert len(overview.people()) == 25

    def test_are_not_counted_unless_asked_for(self) -> None:
        overview = overview_of(recording(grouping_sids={"participant_sid": "PA1"}))
        assert overview.unidentified_rooms == []
        assert "people" not in overview.to_dict()


def test_the_memory_grows_with_rooms_only() -> None:
    def held(count: int, rooms: int) -> int:
        tracemalloc.start()
        overview = overview_of(
            *(
                recording(number % 300, sid=f"RT{number:032x}", room_sid=f"RM{number % rooms:032x}",
                          status=RecordingStatus.FAILED)
                for number in range(count)
            )
        )  # fmt: skip
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert overview.all.recordings == count
        return size

    few = held(2_000, 100)
    assert held(10_000, 100) < 1.2 * few
    assert (held(10_000, 5_100) - few) / 5_000 < 400
