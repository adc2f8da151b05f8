"""Where the tracks of a room lie in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from roomrec_async import Recording
from roomrec_async._views.placement import place

ROOM = 155_137_307_765
BEGAN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def recording(number: int, offset: int | None = ROOM, *, at: float | None = 0) -> Recording:
    created = None if at is None else BEGAN + timedelta(seconds=at)
    return Recording(sid=f"RT{number:032x}", offset=offset, date_created=created)


def starts(recordings: list[Recording], media: dict[int, int] | None = None) -> list[tuple[int | None, bool]]:
    by_sid = {f"RT{number:032x}": start for number, start in (media or {}).items()}
    return [(placement.start, placement.exact) for placement in place(recordings, by_sid)]


class TestWithMedia:
    def test_a_track_starts_at_its_offset_from_the_least_plus_the_start_of_its_file(self) -> None:
        room = [recording(1), recording(2), recording(3, ROOM + 10_000)]
        assert starts(room, {1: 1_564, 2: 6_100, 3: 20}) == [(1_564, True), (6_100, True), (10_020, True)]

    def test_files_may_start_before_zero_or_hours_later(self) -> None:
        assert starts([recording(1), recording(2)], {1: -250, 2: 7_200_000}) == [(-250, True), (7_200_000, True)]

    def test_without_an_offset_the_date_places_a_track_beside_those_that_have_one(self) -> None:
        room = [recording(1, at=2), recording(2, at=2), recording(3, None, at=9)]
        assert starts(room, {1: 1_500, 2: 1_500, 3: 77}) == [(1_500, True), (1_500, True), (8_500, False)]

    def test_a_track_whose_file_is_missing_is_placed_about_by_its_date(self) -> None:
        room = [recording(1, at=1), recording(2, at=31)]
        assert starts(room, {1: 1_000}) == [(1_000, True), (31_000, False)]

    def test_a_date_that_is_off_by_hours_moves_no_other_track(self) -> None:
        room = [recording(1, at=1), recording(2, at=1), recording(3, at=7_200), recording(4, None, at=5)]
        assert starts(room, {1: 1_000, 2: 1_000, 3: 3_000, 4: 0})[3] == (5_000, False)


class TestFromTheListAlone:
    def test_offsets_that_differ_place_the_tracks(self) -> None:
        assert starts([recording(1, 500), recording(2, 1_750, at=None)]) == [(0, True), (1_250, True)]

    def test_equal_offsets_say_nothing_so_the_dates_do(self) -> None:
        assert starts([recording(1, at=0), recording(2, at=0), recording(3, at=6)]) == [
            (0, False), (0, False), (6_000, False),
        ]  # fmt: skip

    def test_equal_offsets_without_dates_are_the_start_of_the_room(self) -> None:
        assert starts([recording(1, at=None), recording(2, at=None)]) == [(0, False), (0, False)]

    def test_without_offsets_the_first_date_is_the_start(self) -> None:
        assert starts([recording(1, None, at=3), recording(2, None, at=8)]) == [(0, False), (5_000, False)]

    def test_a_single_track_starts_the_room(self) -> None:
        assert starts([recording(1)]) == [(0, True)]

    def test_what_nothing_tells_is_unknown(self) -> None:
        room = [recording(1, 0, at=None), recording(2, 5, at=None), recording(3, None), recording(4, None, at=None)]
        assert starts(room)[2:] == [(None, False), (None, False)]

    def test_a_number_out_of_range_is_no_offset(self) -> None:
        room = [recording(1, 0), recording(2, 7, at=None), recording(3, 2**63, at=4)]
        assert starts(room) == [(0, True), (7, True), (4_000, False)]
