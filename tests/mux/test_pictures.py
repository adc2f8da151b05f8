"""Which picture of each track is seen in each frame of a film, told by numbers in the pictures themselves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from roomrec_async import ConfigurationError, RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import mux

from ..conftest import ROOM_SID
from .conftest import FRAMES, SOURCE_FRAMES, Room, colors, ffmpeg, make_numbered, numbers

SIZE = Size(640, 360)
# A picture is shown in the nearest frame of the film, and lasts for a while.
WITHIN_FRAMES = 2
LEFT, RIGHT = "300:100:10:130", "300:100:330:130"


def assert_in_time(film: Path, crop: str, first: float, last: float, *, starts: float) -> None:
    """Assert that a track is shown in step with the film, from one second to another."""
    shown = numbers(film, crop)
    for frame in range(round(first * FRAMES) + 2, round(last * FRAMES) - 2):
        expected = (frame / FRAMES - starts) * SOURCE_FRAMES
        assert shown[frame] == pytest.approx(expected, abs=WITHIN_FRAMES), f"frame {frame} of {crop}"


async def test_a_track_that_changes_its_size_moves_on_and_so_do_the_others(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    sizes = (("640x360", 3.0), ("320x180", 6.0), ("160x90", 7.0), ("640x360", 12.0))
    room.add_file(who=1, make=lambda path: make_numbered(path, *sizes, start=1.5), type="video")
    room.add_file(who=2, make=lambda path: make_numbered(path, ("320x180", 12.0), start=1.5), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    assert_in_time(film, LEFT, 0, 12, starts=0)
    assert_in_time(film, RIGHT, 0, 12, starts=0)


async def test_a_phone_that_is_turned_is_centered(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    sizes = (("320x180", 2.0), ("180x320", 4.0), ("320x180", 6.0))
    room.add_file(who=1, make=lambda path: make_numbered(path, *sizes), type="video")
    room.add_file(who=2, make=lambda path: make_numbered(path, ("320x180", 6.0)), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    assert_in_time(film, RIGHT, 0, 6, starts=0)
    assert_in_time(film, LEFT, 0, 2, starts=0)
    # 360 lines of a portrait are 202 wide, in the middle of 320.
    assert_in_time(film, "190:300:65:30", 2, 4, starts=0)
    assert colors(film, 3, (20, 180), (300, 180)) == ["black", "black"]
    assert_in_time(film, LEFT, 4, 6, starts=0)


@pytest.mark.parametrize(("size", "middle"), [("1000x2", "wide"), ("2x1000", "high"), ("2000x3", "wide")])
async def test_a_picture_of_any_shape_has_two_pixels_at_least(
    room: Room, client: RecordingsClient, tmp_path: Path, size: str, middle: str
) -> None:
    strip = room.add_video(0, 3, who=1, color="white", size=size)
    room.add_file(who=2, make=lambda path: make_numbered(path, ("320x180", 1.0), start=1.0), type="video")
    made = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)
    assert not made.left_out, strip
    ends = [(20, 180), (620, 180)] if middle == "wide" else [(320, 20), (320, 340)]
    # Alone, beside the other, and alone again: only a line of the cell is lit, from one end of it to the other.
    for at in (0.5, 2.5):
        assert lit(made.path, at, *ends) == [True, True]
        assert lit(made.path, at, (100, 100), (500, 300)) == [False, False]
    ends = [(20, 180), (300, 180)] if middle == "wide" else [(160, 20), (160, 340)]
    assert lit(made.path, 1.5, *ends) == [True, True]
    assert lit(made.path, 1.5, (50, 100), (250, 300)) == [False, False]
    assert_in_time(made.path, RIGHT, 1, 2, starts=1)


def lit(film: Path, at: float, *points: tuple[int, int]) -> list[bool]:
    """Return whether it is bright within two pixels of points."""
    found: list[bool] = []
    for x, y in points:
        crop = f"crop=4:4:{x - 2}:{y - 2},format=gray"
        picture = ffmpeg("-ss", at, "-i", film, "-frames:v", 1, "-vf", crop, "-f", "rawvideo", "-")
        found.append(max(picture) > 100)
    return found


async def test_cells_change_their_size_while_tracks_change_theirs(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    sizes = (("640x360", 5.0), ("320x180", 10.0))
    room.add_file(who=1, make=lambda path: make_numbered(path, *sizes), type="video")
    room.add_file(who=2, make=lambda path: make_numbered(path, ("320x180", 3.0), start=2.2), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    alone = "600:300:20:30"
    assert_in_time(film, alone, 0, 2.2, starts=0)
    assert_in_time(film, LEFT, 2.2, 5.2, starts=0)
    assert_in_time(film, RIGHT, 2.2, 5.2, starts=2.2)
    assert_in_time(film, alone, 5.2, 10, starts=0)


async def test_a_camera_that_is_off_gives_up_its_cell_and_comes_back_in_time(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    sizes = (("320x180", 6.0), ("320x180", 10.0))
    room.add_file(who=1, make=lambda path: make_numbered(path, *sizes, gap=(2, 5.97)), type="video")
    room.add_file(who=2, make=lambda path: make_numbered(path, ("320x180", 10.0)), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE, camera_off_after=1)).path
    assert_in_time(film, LEFT, 0, 2, starts=0)
    assert_in_time(film, RIGHT, 0, 3, starts=0)
    # The last face stays for a second, and the other track has the picture then.
    assert_in_time(film, "600:300:20:30", 3.1, 6, starts=0)
    assert_in_time(film, LEFT, 6, 10, starts=0)
    assert_in_time(film, RIGHT, 6, 10, starts=0)


async def test_several_recordings_of_one_camera_follow_each_other(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    for start in (0, 3.5, 8.02):
        room.add_file(who=1, make=lambda path, at=start: make_numbered(path, ("320x180", 2.0), start=at), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    for start in (0, 3.5, 8.02):
        assert_in_time(film, "600:300:20:30", start, start + 2, starts=start)
    assert colors(film, 2.75, (320, 180)) == colors(film, 7, (320, 180)) == ["black"]


async def test_a_camera_that_is_off_shows_an_initial_while_its_participant_is_heard(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    # A gap within a recording, and one between two of them; somebody else is seen all the time.
    room.add_audio(0, 12, who=1, beep=1)
    sizes = (("320x180", 6.0), ("320x180", 8.0))
    room.add_file(who=1, make=lambda path: make_numbered(path, *sizes, gap=(2, 5.97)), type="video")
    room.add_file(who=1, make=lambda path: make_numbered(path, ("320x180", 1.5), start=10.5), type="video")
    room.add_file(who=2, make=lambda path: make_numbered(path, ("320x180", 12.0)), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE, camera_off_after=1)).path
    # Nobody changes the cell.
    assert_in_time(film, RIGHT, 0, 12, starts=0)
    assert_in_time(film, LEFT, 0, 2, starts=0)
    assert_in_time(film, LEFT, 6, 8, starts=0)
    assert_in_time(film, LEFT, 10.5, 12, starts=10.5)
    for second in (4.5, 9.25):
        assert colors(film, second, (40, 40), (280, 40), (40, 320), (280, 320)) == 4 * ["black"]
        assert max(gray(film, second, "100:100:110:130")) > 100
    # With a name, it is the first letter of that.
    names = {f"PA{1:032x}": "ada"}
    (tmp_path / "named").mkdir()
    named = (await mux(client, ROOM_SID, tmp_path / "named/film.mkv", size=SIZE, camera_off_after=1, names=names)).path
    assert gray(named, 4.5, "100:100:110:130") != gray(film, 4.5, "100:100:110:130")
    assert max(gray(named, 4.5, "100:60:0:300")) > 200


async def test_without_a_font_a_camera_that_is_off_is_black(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    room.add_audio(0, 4, who=1, beep=1)
    room.add_video(0, 1, who=1, color="red")
    room.add_video(0, 4, who=2, color="blue")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    assert colors(film, 0.5, (160, 180), (480, 180)) == ["red", "blue"]
    assert max(gray(film, 3, "300:300:10:30")) < 40
    assert colors(film, 3, (480, 180)) == ["blue"]


async def test_many_short_scenes_that_are_made_at_once_are_in_time(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    # One moves on all the time; others come and go, several times a second, and change the cells of all.
    room.add_file(who=1, make=lambda path: make_numbered(path, ("320x180", 8.0)), type="video")
    for turn in range(12):
        color = ("red", "green", "blue")[turn % 3]
        room.add_video(600 * turn, 0.4, who=2 + turn, color=color, size="160x90")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    for turn in range(12):
        begin = 0.6 * turn
        color = ("red", "green", "blue")[turn % 3]
        assert_in_time(film, LEFT, begin, begin + 0.4, starts=0)
        assert colors(film, begin + 0.2, (480, 180)) == [color]
        assert_in_time(film, "600:300:20:30", begin + 0.4, begin + 0.6, starts=0)
    assert len(numbers(film, LEFT)) == 8 * FRAMES


async def test_long_scenes_are_joined_without_a_seam(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomrec_async._views.film._MAX_SCENE_FRAMES", 31)
    room.add_file(who=1, make=lambda path: make_numbered(path, ("320x180", 12.0)), type="video")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mp4", size=SIZE)).path
    assert_in_time(film, "600:300:20:30", 0, 12, starts=0)
    assert len(numbers(film, "600:300:20:30")) == 12 * FRAMES


async def test_many_tracks_are_put_into_the_picture_in_several_steps(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomrec_async._views.film_steps.MAX_INPUTS", 2)
    colors_of = ["red", "green", "blue", "yellow", "magenta"]
    for who, color in enumerate(colors_of):
        room.add_video(10 * who, 2, who=who, color=color, size="160x120")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE)).path
    assert colors(film, 1, (106, 90), (320, 90), (533, 90), (213, 270), (426, 270)) == colors_of


async def test_a_shared_screen_has_the_frame(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    for who, (name, color) in enumerate((("camera", "red"), ("my-Screen", "blue"), (None, "green"))):
        room.add_video(10 * who, 2, who=who, color=color, size="160x90")
        room.records[-1]["track_name"] = name
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE, layout="screen")).path
    assert colors(film, 1, (256, 180), (40, 180), (576, 140), (576, 220)) == ["blue", "blue", "red", "green"]


async def test_names_are_written_as_they_are(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    for who, color in enumerate(("red", "blue")):
        room.add_video(10 * who, 2, who=who, color=color, size="160x90")
    names = {f"PA{0:032x}": "%{gmtime} \\n 'x': [a];b\nEOF", f"PA{1:032x}": "Zoë 你好"}
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SIZE, names=names)).path
    (tmp_path / "plain").mkdir()
    plain = (await mux(client, ROOM_SID, tmp_path / "plain/film.mkv", size=SIZE)).path
    # A name is at the bottom left of its cell, and nowhere else.
    assert picture(film, 1, "160:60:0:300") != picture(plain, 1, "160:60:0:300")
    assert colors(film, 1, (160, 120), (480, 120)) == ["red", "blue"]


def picture(film: Path, second: float, crop: str) -> bytes:
    """Return a part of a picture."""
    arguments = ("-ss", second, "-i", film, "-frames:v", 1, "-vf", f"crop={crop}", "-f", "rawvideo", "-")
    return ffmpeg(*arguments)


def gray(film: Path, second: float, crop: str) -> bytes:
    """Return the brightness of the pixels of a part of a picture."""
    arguments = ("-ss", second, "-i", film, "-frames:v", 1, "-vf", f"crop={crop}", "-pix_fmt", "gray")
    return ffmpeg(*arguments, "-f", "rawvideo", "-")


async def test_names_without_a_font_are_an_error_before_anything_is_sent(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    room.add_video(0, 1, who=1, color="red")
    with pytest.raises(ConfigurationError, match="fonts-dejavu"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", names={f"PA{1:032x}": "Ada"})
    assert room.fetched == []


async def test_chapters_are_in_the_film(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_audio(0, 3, who=1, beep=0.5)
    room.add_audio(1_500, 1, who=2, beep=0.5)
    names = {f"PA{2:032x}": "Ada; #1=x"}
    for ending in ("mkv", "mp4"):
        film = (await mux(client, ROOM_SID, tmp_path / f"film.{ending}", names=names)).path
        command = ("ffprobe", "-v", "error", "-show_chapters", "-of", "json", film)
        output = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: ASYNC221  takes no time
        chapters = json.loads(output)["chapters"]
        told = [(round(float(each["start_time"]), 2), each["tags"]["title"]) for each in chapters]
        assert told == [(0, "Participant 1"), (1.5, "Ada; #1=x")]
