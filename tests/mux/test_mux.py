"""``roomrec mux`` with a real ffmpeg."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError, RecordingsClient
from roomrec_async._views.film import Film
from roomrec_async._views.film_steps import Plan, Style
from roomrec_async.integrations.ffmpeg import make_script, mux

from ..cli.conftest import without_progress
from ..conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID
from .conftest import Room, beeps, near


def run(command: str) -> None:
    """Run a command as somebody would who pastes it into a shell."""
    subprocess.run(["sh", "-c", command], check=True)


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
        return process.returncode or 0, out.decode(), without_progress(err.decode())

    async def test_it_makes_a_film_and_says_what_is_in_it(self, room: Room, base_url: str, tmp_path: Path) -> None:
        room.add_audio(0, 2, who=1, beep=1)
        room.add_video(0, 2, who=1, color="red")
        room.add(0, type="data")
        film = tmp_path / "film.mp4"
        code, out, err = await self.roomrec(base_url, ROOM_SID, "-o", film, "--size", "320x240")
        assert (code, out) == (0, "")
        assert err == f"{film}: 0:00:02 of 1 video and 1 audio track, 1 data track ignored\n"
        assert beeps(film) == near(1)

    async def test_it_prints_a_script_that_works_and_runs_nothing(
        self, room: Room, base_url: str, client: RecordingsClient, tmp_path: Path
    ) -> None:
        room.add_audio(0, 2, who=1, beep=1)
        room.add_video(500, 1, who=2, color="red")
        media, film = tmp_path / "the media", tmp_path / "film.mkv"
        code, out, err = await self.roomrec(base_url, ROOM_SID, "-o", film, "--media", media, "--print")
        assert (code, err) == (0, "")
        assert room.fetched == []
        assert not film.exists()
        assert out == await make_script(client, ROOM_SID, film, media=media)
        async for recording in client.recordings(ROOM_SID):
            await client.download(recording, f"{media}/")
        run(out)
        assert beeps(film) == near(1)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["RM123", "-o", "film.mkv"], "must be 'RM' and 32 hexadecimal digits"),
            ([ROOM_SID], "Missing option '-o'"),
            ([ROOM_SID, "-o", "film.avi"], "must end in .mkv or .mp4"),
            ([ROOM_SID, "-o", "film.mkv", "--size", "big"], "must be WIDTHxHEIGHT"),
            ([ROOM_SID, "-o", "film.mkv", "--size", "101x100"], "must be an even number"),
        ],
    )
    async def test_mistakes_are_one_line(self, base_url: str, arguments: list[str], message: str) -> None:
        code, out, err = await self.roomrec(base_url, *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1


async def test_a_film_is_planned_beside_the_event_loop(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    threads: list[threading.Thread] = []
    plan = Plan.of

    def recorded(film: Film, style: Style) -> Plan:
        threads.append(threading.current_thread())
        return plan(film, style)

    monkeypatch.setattr(Plan, "of", recorded)
    await mux(client, ROOM_SID, tmp_path / "film.mkv", media=tmp_path / "media")
    await make_script(client, ROOM_SID, tmp_path / "film.mkv", media=tmp_path / "media")
    assert len(threads) == 2
    assert threading.current_thread() not in threads


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("missing/film.mkv", {}, "there is no directory .*missing for film.mkv: create it first"),
        ("missing/people", {"per": "participant"}, "there is no directory .*missing for people: create it first"),
        ("people", {"per": "participant"}, "people is a file: give a directory"),
    ],
)
async def test_messages_say_what_to_do(
    client: RecordingsClient, tmp_path: Path, output: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "people").touch()
    with pytest.raises(InvalidArgumentError, match=message):
        await mux(client, ROOM_SID, tmp_path / output, **options)
