"""Films that ffmpeg makes, decoded again to check what is seen and heard when."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError, MediaError, RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import mux

from ..conftest import ROOM_SID
from .conftest import WITHIN, Room, beeps, colors, flashes, loudest, near, seconds_of

README = Path(__file__).parents[2] / "README.md"
SMALL = Size(320, 240)


def children() -> list[str]:
    """Return the names of this process's running child processes."""
    found = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, check=False)
    return found.stdout.decode().split()


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
async def test_everything_is_heard_and_seen_at_its_time(
    room: Room, client: RecordingsClient, tmp_path: Path, ending: str
) -> None:
    room.add_audio(10_000, 4, who=1, beep=1)
    room.add_video(10_200, 3.8, who=1, color="black", flash=0.8)
    room.add_audio(13_330, 3, who=2, beep=2)
    room.add_video(15_000, 1.7, who=2, color="black", flash=1)
    film = await mux(client, ROOM_SID, tmp_path / f"film.{ending}", size=SMALL)
    assert beeps(film.path) == near(1, 5.33)
    assert flashes(film.path) == near(1, 6)
    assert film.seconds == pytest.approx(6.7, abs=WITHIN)
    assert seconds_of(film.path) == pytest.approx(film.seconds, abs=WITHIN)
    assert (film.videos, film.audios, film.left_out) == (2, 2, ())


async def test_the_grid_changes_as_participants_come_and_go(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_audio(0, 6, who=1, beep=1)
    room.add_video(1_000, 5, who=1, color="red")
    room.add_video(2_000, 2, who=2, color="green")
    room.add_video(2_000, 3, who=3, color="blue")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)).path
    corners = [(80, 60), (240, 60), (160, 180), (80, 180)]
    assert colors(film, 0.5, *corners) == 4 * ["black"]
    assert colors(film, 1.5, *corners) == 4 * ["red"]
    assert colors(film, 3, *corners) == ["red", "green", "blue", "blue"]
    assert colors(film, 4.5, (80, 120), (240, 120)) == ["red", "blue"]
    assert colors(film, 5.5, *corners) == 4 * ["red"]


async def test_tracks_of_a_participant_are_side_by_side(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_video(0, 2, who=1, color="red")
    room.add_video(100, 2, who=2, color="green")
    room.add_video(300, 2, who=1, color="blue")
    room.add_audio(50, 2, who=3, beep=1)
    room.add_video(400, 2, who=3, color="yellow")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)).path
    assert colors(film, 1.5, (80, 60), (240, 60), (80, 180), (240, 180)) == ["red", "blue", "yellow", "green"]


async def test_nine_participants_have_a_cell_each(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    names = ["red", "green", "blue", "yellow", "magenta", "cyan", "white", "red", "green"]
    for number, color in enumerate(names):
        room.add_video(10 * number, 1, who=number, color=color, size="160x120")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)).path
    centres = [(53 + 106 * column, 40 + 80 * row) for row in range(3) for column in range(3)]
    assert colors(film, 0.5, *centres) == names


async def test_pictures_keep_their_shape(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_video(0, 1, who=1, color="red", size="120x240")
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)).path
    assert colors(film, 0.5, (60, 120), (160, 5), (160, 235), (260, 120)) == ["black", "red", "red", "black"]


async def test_what_was_not_recorded_is_silent_and_the_rest_stays_in_time(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_audio(0, 5, who=1, beep=4, gap=(1, 3))
    room.add_audio(2_000, 2, who=2, beep=0.5)
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert beeps(film.path) == near(2.5, 4)
    assert loudest(film.path, 0, 2.4) < 100
    assert film.videos == 0


async def test_those_who_speak_together_are_as_loud_as_alone(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    for who in range(4):
        room.add_audio(0, 3, who=who, beep=who * 0.6)
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv")).path
    alone = [loudest(film, who * 0.6, who * 0.6 + 0.2) for who in range(4)]
    assert beeps(film) == near(0, 0.6, 1.2, 1.8)
    assert all(3_000 < each < 6_000 for each in alone)  # ffmpeg's sine has an eighth of the full scale: 4096


async def test_a_room_without_audio_is_a_silent_film(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_video(7, 1, who=1, color="black", flash=0.5)
    film = await mux(client, ROOM_SID, tmp_path / "film.mp4", size=SMALL)
    assert flashes(film.path) == near(0.5)
    assert (film.videos, film.audios) == (1, 0)


async def test_kept_media_are_not_downloaded_again(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    sid = room.add_audio(0, 1, who=1, beep=0.5)
    for _ in range(2):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", media=tmp_path / "media")
    assert room.fetched == [sid]
    assert sorted(path.name for path in (tmp_path / "media").iterdir()) == [f"{sid}.json", f"{sid}.mka"]


async def test_progress_is_reported_in_milliseconds_of_the_film(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_video(0, 3, who=1, color="red")
    reported: list[tuple[int, int]] = []
    await mux(client, ROOM_SID, tmp_path / "film.mkv", on_progress=lambda *progress: reported.append(progress))
    assert reported
    assert all(total == pytest.approx(3000, abs=50) for _, total in reported)
    assert reported == sorted(reported)


async def test_cancelled_it_leaves_neither_a_process_nor_a_file(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_video(0, 8, who=1, color="red", size="1280x720")
    working = asyncio.Event()
    task = asyncio.create_task(
        mux(client, ROOM_SID, tmp_path / "film.mkv", size=Size(1920, 1080), on_progress=lambda *_: working.set())
    )
    await working.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path.name for path in tmp_path.iterdir()] == [room.directory.name]
    assert "ffmpeg" not in children()


async def test_media_that_are_no_matroska_are_an_error_and_an_existing_film_stays(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    sid = room.add_audio(0, 1, who=1, beep=0.5)
    room.file(sid).write_bytes(room.file(sid).stat().st_size * b"#EXTM3U\n"[:1])
    (tmp_path / "film.mkv").write_text("of yesterday")
    with pytest.raises(MediaError, match=f"the media of {sid} cannot be read"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert (tmp_path / "film.mkv").read_text() == "of yesterday"
    assert not (tmp_path / "film.mkv.part").exists()


async def test_a_room_without_media_is_an_error(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="nothing to combine"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv")


async def test_mistakes_are_errors_before_any_request(
    client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for output in ("film.avi", "film", "missing/film.mkv"):
        with pytest.raises(InvalidArgumentError):
            await mux(client, "RM" + 32 * "9", tmp_path / output)
    with pytest.raises(InvalidArgumentError, match="even number"):
        Size(101, 100)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="apt-get install ffmpeg"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv")


async def test_the_readme(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n([^`]*ffmpeg.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, README.name, "exec"), names)
    film = await names["hear"](client, ROOM_SID, tmp_path / "film.mkv")
    assert beeps(film.path) == near(0.5)
