"""Films that ffmpeg makes, decoded again: what is heard and seen when."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError, MediaError, RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import mux, planned

from ..conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID
from .conftest import Room, beeps, colors, flashes, loudest, seconds_of

README = Path(__file__).parents[2] / "README.md"
SMALL = Size(320, 240)
WITHIN = 0.05
"""How far from its time anything may be heard or seen, in seconds."""


def run(command: str) -> None:
    """What somebody does who copies the command."""
    subprocess.run(["sh", "-c", command], check=True)


def children() -> list[str]:
    """The programs that this process has started, and that run."""
    found = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, check=False)
    return found.stdout.decode().split()


def near(*times: float) -> object:
    return pytest.approx(list(times), abs=WITHIN)


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
    assert (film.videos, film.audios, film.left_out) == (2, 2, 0)


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


async def test_what_cannot_be_shown_is_left_out_and_counted(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    room.add(0, type="data")
    room.add(None)
    room.add(0, status="failed")
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert (film.audios, film.left_out) == (1, 2)
    assert len(room.fetched) == 1


async def test_kept_media_are_not_downloaded_again(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    sid = room.add_audio(0, 1, who=1, beep=0.5)
    for _ in range(2):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", media=tmp_path / "media")
    assert room.fetched == [sid]
    assert [path.name for path in (tmp_path / "media").iterdir()] == [f"{sid}.mka"]


async def test_it_tells_how_far_it_is(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_video(0, 3, who=1, color="red")
    told: list[tuple[int, int]] = []
    await mux(client, ROOM_SID, tmp_path / "film.mkv", on_progress=lambda *progress: told.append(progress))
    assert told
    assert all(of == pytest.approx(3000, abs=50) for _, of in told)
    assert told == sorted(told)


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


async def test_a_file_that_is_no_film_is_told_and_leaves_what_was_there(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    sid = room.add_audio(0, 1, who=1, beep=0.5)
    room.file(sid).write_bytes(room.file(sid).stat().st_size * b"#EXTM3U\n"[:1])
    (tmp_path / "film.mkv").write_text("of yesterday")
    with pytest.raises(MediaError, match=f"the media of {sid} cannot be read"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert (tmp_path / "film.mkv").read_text() == "of yesterday"
    assert not (tmp_path / "film.mkv.part").exists()


async def test_a_room_with_nothing_to_show_is_told(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="nothing to put together"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv")


async def test_what_is_wrong_is_told_before_anything_is_sent(
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


class TestCommandLine:
    async def roomrec(self, base_url: str, *arguments: object) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roomrec_async.cli", "mux", *map(str, arguments)),
            env={
                **os.environ,
                "ROOMREC_BASE_URL": base_url,
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def test_it_makes_a_film_and_says_what_is_in_it(self, room: Room, base_url: str, tmp_path: Path) -> None:
        room.add_audio(0, 2, who=1, beep=1)
        room.add_video(0, 2, who=1, color="red")
        room.add(0, type="data")
        film = tmp_path / "film.mp4"
        code, out, err = await self.roomrec(base_url, ROOM_SID, "-o", film, "--size", "320x240")
        assert (code, out) == (0, "")
        assert err == f"{film}: 0:00:02 of 1 video and 1 audio track, 1 recording left out\n"
        assert beeps(film) == near(1)

    async def test_it_prints_a_command_that_works_and_runs_nothing(
        self, room: Room, base_url: str, client: RecordingsClient, tmp_path: Path
    ) -> None:
        room.add_audio(0, 2, who=1, beep=1)
        room.add_video(500, 1, who=2, color="red")
        media, film = tmp_path / "the media", tmp_path / "film.mkv"
        code, out, err = await self.roomrec(base_url, ROOM_SID, "-o", film, "--media", media, "--print")
        assert (code, err) == (0, "")
        assert room.fetched == []
        assert not film.exists()
        assert shlex.split(out) == await planned(client, ROOM_SID, film, media=media)
        async for recording in client.recordings(ROOM_SID):
            await client.download(recording, f"{media}/")
        run(out)
        assert beeps(film) == near(1)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nonsense", "-o", "film.mkv"], "a room SID must be"),
            ([ROOM_SID], "Missing option '-o'"),
            ([ROOM_SID, "-o", "film.avi"], "must end in .mkv or .mp4"),
            ([ROOM_SID, "-o", "film.mkv", "--size", "big"], "must be WIDTHxHEIGHT"),
            ([ROOM_SID, "-o", "film.mkv", "--size", "101x100"], "must be an even number"),
        ],
    )
    async def test_mistakes_are_one_line(self, base_url: str, arguments: list[str], told: str) -> None:
        code, out, err = await self.roomrec(base_url, *arguments)
        assert (code, out) == (2, "")
        assert told in err
        assert len(err.splitlines()) == 1
