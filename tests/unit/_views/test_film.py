"""Layout of films: tracks, scenes, grids, and the ffmpeg command."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from roomrec_async import InvalidArgumentError, MediaError, MediaType, Recording, RecordingStatus
from roomrec_async._views.film import Cell, Film, Size, Source, command, grid, usable

AUDIO, VIDEO, DATA = MediaType.AUDIO, MediaType.VIDEO, MediaType.DATA


def recording(number: int, kind: MediaType, offset: int | None, who: int | None = 1, **fields: object) -> Recording:
    grouping = {} if who is None else {"participant_sid": f"PA{who:032x}"}
    known = {"status": RecordingStatus.COMPLETED, "grouping_sids": grouping, **fields}
    return Recording(sid=f"RT{number:032x}", type=kind, offset=offset, **known)


def source(number: int, kind: MediaType, offset: int, length: int, who: int | None = 1) -> Source:
    return Source(recording(number, kind, offset, who), Path(f"/media/{number}"), length)


def numbers(film: Film) -> list[int]:
    return [int(track.source.path.name) for track in film.tracks]


def scenes(film: Film) -> list[tuple[int, int, list[int]]]:
    """Return the first frame, the number of frames and the visible sources of each scene."""
    return [
        (scene.first, scene.frames, [int(track.source.path.name) for track in scene.videos]) for scene in film.scenes()
    ]


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
        assert scenes(film) == [(0, 15, [1]), (15, 15, [1])]

    def test_a_film_of_sound_is_one_black_scene(self) -> None:
        assert scenes(Film.from_sources([source(1, AUDIO, 0, 2_000)])) == [(0, 60, [])]


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


def test_what_can_be_heard_or_seen() -> None:
    good = [recording(1, AUDIO, 0), recording(2, VIDEO, 5)]
    others = [
        recording(3, DATA, 0),
        recording(4, AUDIO, None),
        recording(5, VIDEO, 0, status=RecordingStatus.PROCESSING),
        recording(6, VIDEO, 0, status=None),
    ]
    assert usable([*others, *good]) == good


class TestCommand:
    def test_nothing_that_a_participant_typed_is_in_it(self) -> None:
        named = Source(recording(1, VIDEO, 0, track_name="$(reboot)"), Path("/media/1"), 1_000)
        assert not any(
            "reboot" in part for part in command(Film.from_sources([named]), Path("film.mkv"), "mkv", Size())
        )

    def test_files_are_never_taken_for_options_or_addresses(self) -> None:
        film = Film.from_sources(
            [Source(recording(1, AUDIO, 0), Path("-y"), 1_000), Source(recording(2, AUDIO, 0), Path("a:b"), 1)]
        )
        parts = command(film, Path("-film.mkv"), "mkv", Size())
        assert [after for before, after in pairwise(parts) if before == "-i"] == [
            "file:-y",
            "file:a:b",
        ]
        assert parts[-1] == "file:-film.mkv"
        assert parts.count("matroska") == 3

    @pytest.mark.parametrize(("kind", "absent"), [(AUDIO, ("[video]", "libx264")), (VIDEO, ("[audio]", "libopus"))])
    def test_a_kind_that_is_not_there_is_not_mapped(self, kind: MediaType, absent: tuple[str, ...]) -> None:
        parts = command(Film.from_sources([source(1, kind, 0, 1_000)]), Path("film.mkv"), "mkv", Size())
        assert not set(absent) & set(parts)
