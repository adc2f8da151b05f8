"""Films that are interrupted: by signals, by a kill, by a second mux, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roomrec_async import MediaError, RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import mux
from roomrec_async.integrations.ffmpeg.rendering import Renderer

from ..conftest import ROOM_SID
from .conftest import Room, flashes, near, start_roomrec

SMALL = Size(320, 240)
LARGE = "1920x1080"


def ffmpeg_of(directory: Path) -> list[int]:
    """Return the processes of ffmpeg that work in a directory, or below it."""
    found: list[int] = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_ffmpeg = process.name.isdecimal() and (process / "comm").read_text().strip() == "ffmpeg"
            if is_ffmpeg and (process / "cwd").readlink().is_relative_to(directory):
                found.append(int(process.name))
    return found


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never became true"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
async def test_a_signal_ends_ffmpeg_and_leaves_nothing(
    room: Room, base_url: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    room.add_video(0, 8, who=1, color="red")
    output = tmp_path / "films"
    output.mkdir()
    process = await start_roomrec(base_url, "mux", ROOM_SID, "-o", output / "film.mkv", "--size", LARGE)
    await until(lambda: ffmpeg_of(output))
    process.send_signal(number)
    await process.communicate()
    assert process.returncode == code
    assert ffmpeg_of(output) == []
    assert list(output.iterdir()) == []


async def test_a_kill_leaves_no_ffmpeg_running(room: Room, base_url: str, tmp_path: Path) -> None:
    room.add_video(0, 8, who=1, color="red")
    process = await start_roomrec(base_url, "mux", ROOM_SID, "-o", tmp_path / "film.mkv", "--size", LARGE)
    await until(lambda: ffmpeg_of(tmp_path))
    process.kill()
    await process.communicate()
    await until(lambda: not ffmpeg_of(tmp_path), 5)


@pytest.mark.parametrize("with_media", [True, False])
async def test_what_was_finished_before_a_kill_is_not_made_again(
    room: Room, client: RecordingsClient, base_url: str, tmp_path: Path, with_media: bool
) -> None:
    # Long enough for a scene each.
    for turn in range(4):
        room.add_video(10_000 * turn, 10, who=turn, color="black", flash=1, size="160x120")
    output = tmp_path / "film.mkv"
    media = tmp_path / "media" if with_media else None
    kept = ("--media", media) if media else ()
    process = await start_roomrec(base_url, "mux", ROOM_SID, "-o", output, "--size", "320x240", *kept)
    await until(lambda: list(tmp_path.rglob("scene-*.mp4")), 40)
    process.kill()
    await process.communicate()
    assert not output.exists()

    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-*.m*") if path.suffix in (".mkv", ".mp4")}
    assert len(finished) > 4
    fetched = list(room.fetched)
    changed: set[Path] = set()

    def on_progress(*_: int) -> None:
        changed.update(path for path, made in finished.items() if not path.exists() or path.stat().st_mtime_ns != made)

    await mux(client, ROOM_SID, output, size=SMALL, media=media, on_progress=on_progress)
    assert changed == set()
    assert room.fetched == fetched
    assert flashes(output) == near(1, 11, 21, 31)
    left = {path.name for path in tmp_path.iterdir()} - {room.directory.name, "film.mkv"}
    assert left == ({"media"} if with_media else set())
    assert not media or {path.suffix for path in media.iterdir()} == {".json", ".mkv"}


async def test_a_step_is_made_again_if_the_media_or_the_settings_have_changed(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tmp_path / "media"
    sid = room.add_video(0, 2, who=1, color="black", flash=0.5)
    with monkeypatch.context() as patch:

        async def fail(*_: object) -> None:
            raise MediaError("the disk is on fire")

        patch.setattr(Renderer, "_finish", fail)
        with pytest.raises(MediaError) as failure:
            await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL, media=media)
    assert "run the same again" in failure.value.__notes__[0]
    (media / f"{sid}.mkv").unlink()
    room.records.clear()
    assert room.add_video(0, 2, who=1, color="black", flash=1.5) == sid
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL, media=media)
    assert flashes(film.path) == near(1.5)


async def test_a_full_disk_is_no_fault_of_the_tracks(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film without them would replace one that has them."""
    for who, color in ((1, "black"), (2, "red")):
        room.add_video(0, 1, who=who, color=color)
    room.add_audio(0, 1, who=1, beep=0.5)
    film = tmp_path / "film.mkv"
    film.write_text("of yesterday")
    full = tmp_path / "bin" / "ffmpeg"
    full.parent.mkdir()
    full.write_text(
        f"""#!/bin/sh
case "$*" in
    */video-*.part) echo "writing: No space left on device" >&2; echo "Conversion failed" >&2; exit 1;;
esac
exec {shutil.which("ffmpeg")} "$@"
"""
    )
    full.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(full.parent), prepend=os.pathsep)
        with pytest.raises(OSError, match=r"No space left on device: .*/video-") as failure:
            await mux(client, ROOM_SID, film, size=SMALL)
    assert failure.value.errno == errno.ENOSPC
    assert "run the same again" in failure.value.__notes__[0]
    assert film.read_text() == "of yesterday"
    made = await mux(client, ROOM_SID, film, size=SMALL)
    assert (made.videos, made.audios, made.left_out) == (2, 1, ())
    assert {path.name for path in tmp_path.iterdir()} == {room.directory.name, "bin", film.name}


async def test_a_second_mux_of_the_same_film_is_told_at_once(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_video(0, 5, who=1, color="black", flash=1)
    working = asyncio.Event()
    first = asyncio.create_task(
        mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL, on_progress=lambda *_: working.set())
    )
    await working.wait()
    fetched = list(room.fetched)
    with pytest.raises(MediaError, match=r"film\.mkv is being made already"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)
    assert room.fetched == fetched
    other = await mux(client, ROOM_SID, tmp_path / "other.mkv", size=SMALL)
    assert flashes((await first).path) == flashes(other.path) == near(1)
    assert {path.name for path in tmp_path.iterdir()} == {room.directory.name, "film.mkv", "other.mkv"}


async def test_nothing_is_left_of_a_process_that_was_cancelled_while_it_started(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_video(0, 30, who=1, color="red")
    for delay in (0, 0.02, 0.1, 0.3, 0.5):
        # Long and large: no machine is to finish it before it is cancelled.
        task = asyncio.create_task(mux(client, ROOM_SID, tmp_path / "film.mkv", size=Size(1920, 1080)))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [path.name for path in tmp_path.iterdir()] == [room.directory.name]
        assert not [pid for pid in ffmpeg_of(tmp_path) if os.getpgid(pid) == os.getpgid(0)]


class TestWhatIsNotFromAFilm:
    """Something of somebody else's has a name that is needed for making the film."""

    async def refused(self, client: RecordingsClient, directory: Path, name: str) -> None:
        with pytest.raises(MediaError, match=f"{re.escape(name)} is needed for making the film, and is from something"):
            await mux(client, ROOM_SID, directory / "film.mkv", size=SMALL)
        assert not (directory / "film.mkv").exists()

    async def test_a_directory_stays(self, room: Room, client: RecordingsClient, tmp_path: Path) -> None:
        room.add_video(0, 1, who=1, color="red")
        kept = tmp_path / ".film.mkv.mux" / "kept" / "notes.txt"
        kept.parent.mkdir(parents=True)
        kept.write_text("mine")
        for _ in range(2):
            await self.refused(client, tmp_path, ".film.mkv.mux")
        assert kept.read_text() == "mine"

    async def test_a_link_is_not_followed(self, room: Room, client: RecordingsClient, tmp_path: Path) -> None:
        room.add_video(0, 1, who=1, color="red")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (tmp_path / ".film.mkv.mux").symlink_to(elsewhere)
        await self.refused(client, tmp_path, ".film.mkv.mux")
        assert list(elsewhere.iterdir()) == []

    async def test_a_file_stays(self, room: Room, client: RecordingsClient, tmp_path: Path) -> None:
        room.add_video(0, 1, who=1, color="red")
        for name in (".film.mkv.lock", ".film.mkv.mux"):
            kept = tmp_path / name
            kept.write_text("mine")
            await self.refused(client, tmp_path, name)
            assert kept.read_text() == "mine"
            kept.unlink()

    async def test_an_empty_directory_is_used(self, room: Room, client: RecordingsClient, tmp_path: Path) -> None:
        # As a process leaves it that is killed at once.
        room.add_video(0, 1, who=1, color="red")
        (tmp_path / ".film.mkv.mux").mkdir()
        await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)
        assert (tmp_path / "film.mkv").is_file()
        assert list(tmp_path.glob(".film*")) == []
