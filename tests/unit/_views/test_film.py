"""Layout of films: tracks, scenes, cells."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from roomrec_async import InvalidArgumentError, MediaError, MediaType, Recording, RecordingStatus
from roomrec_async._views.film import Absence, Cell, Cut, Film, Size, Source, Track, grid, with_gutters, with_screen

AUDIO, VIDEO, DATA = MediaType.AUDIO, MediaType.VIDEO, MediaType.DATA


def recording(number: int, kind: MediaType, offset: int | None, who: int | None = 1, **fields: object) -> Recording:
    grouping = {} if who is None else {"participant_sid": f"PA{who:032x}"}
    known = {"status": RecordingStatus.COMPLETED, "grouping_sids": grouping, **fields}
    return Recording(sid=f"RT{number:032x}", type=kind, offset=offset, **known)


def source(number: int, kind: MediaType, offset: int, length: int, who: int | None = 1) -> Source:
    path = Path(f"/media/{number}")
    return Source(recording=recording(number, kind, offset, who), path=path, start=offset, length=length)


def numbers(film: Film) -> list[int]:
    return [int(track.source.path.name) for track in film.tracks]


def scenes(film: Film) -> list[tuple[int, int, list[int]]]:
    """Return the first frame, the number of frames and the visible sources of each scene; 0 if a camera is off."""

    def number(shown: Track | Absence) -> int:
        return int(shown.source.path.name) if isinstance(shown, Track) else 0

    return [(scene.first, scene.frames, [number(each) for each in scene.shown]) for scene in film.scenes()]


class TestFilm:
    def test_it_begins_with_the_first_track_and_ends_with_the_last(self) -> None:
        film = Film.from_sources([source(1, AUDIO, 5_000, 2_000), source(2, VIDEO, 3_500, 1_000)])
        assert {track.source.path.name: (track.start, track.end) for track in film.tracks} == {
            "1": (1_500, 3_500),
            "2": (0, 1_000),
        }
        assert film.length == 3_500

    def test_participants_come_in_the_order_of_joining_with_their_tracks_together(self) -> None:
        film = Film.from_sources(
            [
                source(1, VIDEO, 900, 100, who=1),
                source(2, VIDEO, 500, 100, who=2),
                source(3, AUDIO, 100, 100, who=1),
                source(4, VIDEO, 50, 100, who=None),
            ]
        )
        assert numbers(film) == [4, 3, 1, 2]

    def test_nothing_is_no_film(self) -> None:
        with pytest.raises(MediaError, match="nothing to combine"):
            Film.from_sources([])


class TestScenes:
    def test_a_scene_begins_whenever_a_track_appears_or_goes(self) -> None:
        film = Film.from_sources(
            [
                source(1, VIDEO, 0, 4_000, who=1),
                source(2, VIDEO, 1_000, 2_000, who=2),
                source(3, AUDIO, 0, 6_000, who=3),
                source(4, VIDEO, 5_000, 1_000, who=4),
            ]
        )
        assert scenes(film) == [
            (0, 30, [1]), (30, 60, [1, 2]), (90, 30, [1]), (120, 30, []), (150, 30, [4]),
        ]  # fmt: skip

    def test_times_are_rounded_to_the_nearest_frame(self) -> None:
        film = Film.from_sources([source(1, VIDEO, 0, 1_000), source(2, VIDEO, 484, 516, who=2)])
        assert scenes(film) == [(0, 15, [1]), (15, 15, [1, 2])]

    def test_a_track_that_is_shorter_than_a_frame_is_no_scene(self) -> None:
        film = Film.from_sources([source(1, VIDEO, 0, 1_000), source(2, VIDEO, 500, 10, who=2)])
        assert scenes(film) == [(0, 30, [1])]

    def test_a_film_of_sound_is_one_black_scene(self) -> None:
        assert scenes(Film.from_sources([source(1, AUDIO, 0, 2_000)])) == [(0, 60, [])]

    def test_a_camera_without_frames_is_no_longer_seen_until_it_comes_back(self) -> None:
        pauses = ((1_000, 2_500), (4_000, 9_000))
        camera = attrs.evolve(source(1, VIDEO, 0, 10_000), pauses=pauses)
        other = source(2, AUDIO, 0, 10_000, who=2)
        assert scenes(Film.from_sources([camera, other])) == [(0, 180, [1]), (180, 90, []), (270, 30, [1])]
        off_soon = Film.from_sources([camera, other], Cut(off_after=500))
        assert scenes(off_soon)[:3] == [(0, 45, [1]), (45, 30, []), (75, 60, [1])]

    def test_a_participant_who_is_heard_keeps_the_cell_of_a_camera_that_is_off(self) -> None:
        turned_off = attrs.evolve(source(1, VIDEO, 2_000, 10_000), pauses=((3_000, 8_000),))
        other = source(4, VIDEO, 0, 15_000, who=2)
        room = [source(2, AUDIO, 0, 15_000), turned_off, source(3, VIDEO, 14_000, 1_000), other]
        assert scenes(Film.from_sources(room)) == [
            (0, 60, [0, 4]), (60, 150, [1, 4]), (210, 90, [0, 4]),
            (300, 60, [1, 4]), (360, 60, [0, 4]), (420, 30, [3, 4]),
        ]  # fmt: skip

    def test_a_participant_without_a_camera_or_a_microphone_has_no_cell(self) -> None:
        screen = attrs.evolve(source(1, VIDEO, 0, 1_000), recording=recording(1, VIDEO, 0, track_name="My Screen"))
        room = [screen, source(2, AUDIO, 0, 3_000), source(3, AUDIO, 0, 3_000, 2), source(4, VIDEO, 2_000, 1_000, 3)]
        assert scenes(Film.from_sources(room)) == [(0, 30, [1]), (30, 30, []), (60, 30, [4])]

    def test_nobody_is_absent_for_a_moment(self) -> None:
        room = [source(1, AUDIO, 0, 4_000), source(2, VIDEO, 900, 1_000), source(3, VIDEO, 2_500, 1_000)]
        assert scenes(Film.from_sources(room)) == [
            (0, 27, []), (27, 30, [2]), (57, 18, []), (75, 30, [3]), (105, 15, []),
        ]  # fmt: skip

    def test_a_camera_is_seen_from_the_first_picture_that_can_be_decoded(self) -> None:
        camera = attrs.evolve(source(1, VIDEO, 0, 2_000), first_picture=1_000)
        assert scenes(Film.from_sources([camera])) == [(0, 30, []), (30, 30, [1])]

    def test_a_long_scene_is_made_in_parts(self) -> None:
        film = Film.from_sources([source(1, VIDEO, 0, 300_000)])
        assert scenes(film) == [(0, 3_600, [1]), (3_600, 3_600, [1]), (7_200, 1_800, [1])]

    def test_a_part_of_the_room_has_only_what_is_in_it(self) -> None:
        room = [source(1, VIDEO, 0, 4_000), source(2, VIDEO, 3_000, 4_000, who=2), source(3, VIDEO, 9_000, 1_000)]
        film = Film.from_sources(room, Cut(start=2_000, end=5_000))
        assert film.length == 3_000
        assert scenes(film) == [(0, 30, [1]), (30, 30, [1, 2]), (60, 30, [2])]
        with pytest.raises(MediaError, match="nothing to combine in that part"):
            Film.from_sources(room, Cut(start=20_000))

    @pytest.mark.parametrize("part", [{"start": -1}, {"end": 0}, {"start": 5, "end": 5}, {"off_after": -1}])
    def test_a_part_that_cannot_be_is_refused(self, part: dict[str, int]) -> None:
        with pytest.raises(InvalidArgumentError):
            Cut(**part)


class TestScreenLayout:
    def test_a_screen_has_the_frame_and_cameras_a_strip(self) -> None:
        cells = with_screen([False, True, False], Size())
        assert cells == [Cell(1_024, 216, 256, 144), Cell(0, 0, 1_024, 720), Cell(1_024, 360, 256, 144)]

    @pytest.mark.parametrize("is_screen", [[False, False], [True, True], [True]])
    def test_without_a_screen_or_without_cameras_it_is_a_grid(self, is_screen: list[bool]) -> None:
        assert with_screen(is_screen, Size()) == grid(len(is_screen), Size())

    @pytest.mark.parametrize("cameras", range(1, 61))
    def test_cells_are_even_lie_in_the_picture_and_never_on_each_other(self, cameras: int) -> None:
        size = Size()
        cells = with_gutters(with_screen([True, *cameras * [False]], size), size)
        for cell in cells:
            assert not any(side % 2 for side in (cell.left, cell.top, cell.width, cell.height))
            assert 0 <= cell.left < cell.left + cell.width <= size.width
            assert 0 <= cell.top < cell.top + cell.height <= size.height
        for number, one in enumerate(cells):
            for other in cells[:number]:
                beside = one.left >= other.left + other.width or other.left >= one.left + one.width
                below = one.top >= other.top + other.height or other.top >= one.top + one.height
                assert beside or below


class TestGrid:
    @pytest.mark.parametrize(
        ("count", "rows"),
        [
            (0, []),
            (1, [1]),
            (2, [2]),
            (3, [2, 1]),
            (4, [2, 2]),
            (5, [3, 2]),
            (9, [3, 3, 3]),
            (10, [4, 4, 2]),
            (50, 6 * [8] + [2]),
        ],
    )
    def test_rows_are_filled_from_the_top(self, count: int, rows: list[int]) -> None:
        cells = grid(count, Size())
        tops = sorted({cell.top for cell in cells})
        assert [sum(cell.top == top for cell in cells) for top in tops] == rows

    def test_the_last_row_is_in_the_middle(self) -> None:
        assert grid(3, Size(640, 480)) == [Cell(0, 0, 320, 240), Cell(320, 0, 320, 240), Cell(160, 240, 320, 240)]

    @pytest.mark.parametrize("count", range(1, 51))
    @pytest.mark.parametrize("size", [Size(), Size(320, 240), Size(720, 1280)])
    def test_cells_are_even_lie_in_the_picture_and_never_on_each_other(self, count: int, size: Size) -> None:
        cells = grid(count, size)
        assert len(cells) == count
        for cell in cells:
            assert not any(side % 2 for side in (cell.left, cell.top, cell.width, cell.height))
            assert 0 <= cell.left <= cell.left + cell.width <= size.width
            assert 0 <= cell.top <= cell.top + cell.height <= size.height
        assert len({(cell.left // cell.width, cell.top) for cell in cells}) == count

    @pytest.mark.parametrize(("width", "height"), [(101, 100), (100, 101), (0, 0), (14, 100), (100, 7_682)])
    def test_a_size_that_no_codec_takes_is_refused(self, width: int, height: int) -> None:
        with pytest.raises(InvalidArgumentError, match="even number from 16 to 7680"):
            Size(width, height)
