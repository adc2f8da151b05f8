"""Levels of mixed audio, as they are decoded."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from roomrec_async import RecordingsClient
from roomrec_async.integrations.ffmpeg import mux

from ..conftest import ROOM_SID
from .conftest import RATE, Room, beeps, ffmpeg, loudest, make_audio, near


def true_peak(path: Path) -> float:
    """Return the peak between samples, too, in decibels of full scale."""
    command = ("ffmpeg", "-nostdin", "-i", path, "-map", "0:a", "-af", "ebur128=peak=true", "-f", "null", "-")
    output = subprocess.run(command, check=True, capture_output=True).stderr.decode()
    return float(re.findall(r"Peak:\s+(-?[\d.]+) dBFS", output)[-1])


def make_noise(path: Path, seed: int) -> None:
    """Write loud noise."""
    noise = f"anoisesrc=d=4:c=pink:a=1:r={RATE}:seed={seed}"
    ffmpeg("-f", "lavfi", "-i", noise, "-c:a", "libopus", "-b:a", "32k", "-f", "matroska", path)


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
async def test_twenty_noisy_microphones_do_not_clip(
    room: Room, client: RecordingsClient, tmp_path: Path, ending: str
) -> None:
    for who in range(20):
        room.add_file(who=who, make=lambda path, seed=who: make_noise(path, seed))
    film = (await mux(client, ROOM_SID, tmp_path / f"film.{ending}")).path
    assert -6 < true_peak(film) <= 0


async def test_tracks_that_are_mixed_in_groups_are_as_loud_and_in_time_as_others(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three levels.
    monkeypatch.setattr("roomrec_async._views.film_steps.MAX_INPUTS", 2)
    for who in range(7):
        room.add_file(who=who, make=lambda path, at=who: make_audio(path, seconds=2, beep=0.3, start=at))
    film = (await mux(client, ROOM_SID, tmp_path / "film.mkv")).path
    assert beeps(film) == near(*(who + 0.3 for who in range(7)))
    # ffmpeg's sine has an eighth of the full scale: 4096
    for who in range(7):
        assert 3_000 < loudest(film, who + 0.3, who + 0.5) < 6_000
