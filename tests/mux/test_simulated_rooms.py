"""The media that the simulator serves, as ffprobe and ffmpeg read them, and the README's commands for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from roomrec_async.simulator import Simulator
from roomrec_async.simulator.account import RoomData

README = Path(__file__).parents[2] / "README.md"
# Milliseconds by which the announced duration may differ: a clip of four seconds is not cut.
WHOLE_SECONDS = 1_000


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def stored(simulator: Simulator) -> list[tuple[RoomData, int]]:
    """Return the room and index of each recording with media that are not encrypted."""
    account = simulator.account
    rooms = [account.room(index) for index in range(account.room_count)]
    return [
        (room, index)
        for room in rooms
        if room.encryption_key is None
        for index in range(room.total_count)
        if room.has_media(index)
    ]


@pytest.mark.parametrize("media_size", [None, 200_000, 20_000])
def test_every_file_is_decoded_without_an_error_but_for_the_truncated_ones(
    tmp_path: Path, media_size: int | None
) -> None:
    # By default, only the first rooms are short.
    rooms = 3 if media_size is None else 24
    with Simulator(rooms, (2, 4), seed=5, media_size=media_size) as simulator:
        outcomes: dict[bool, list[str]] = {True: [], False: []}
        for room, index in stored(simulator):
            path = tmp_path / "media"
            path.write_bytes(b"".join(simulator.media(room.recording_sid(index))))
            assert path.stat().st_size == room.media_size(index)
            done = run("ffmpeg", "-nostdin", "-v", "error", "-f", "matroska", "-i", path, "-f", "null", "-")
            outcomes[room.is_truncated(index)].append(done.stderr)
    assert len(outcomes[False]) > 10
    assert set(outcomes[False]) == {""}
    assert all(outcomes[True])
    assert outcomes[True] or media_size is None


def test_a_file_starts_lasts_and_looks_as_its_record_says(tmp_path: Path) -> None:
    with Simulator(3) as simulator:
        starts: dict[str, list[float]] = {}
        for room, index in stored(simulator):
            (record,) = (each for each in simulator.recordings(room.sid) if each["sid"] == room.recording_sid(index))
            path = tmp_path / "media"
            path.write_bytes(b"".join(simulator.media(str(record["sid"]))))
            entries = "format=start_time,duration:stream=codec_type,codec_name,width,height"
            probed = json.loads(run("ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", path).stdout)
            (stream,) = probed["streams"]
            assert stream["codec_type"] == record["type"]
            assert stream["codec_name"].upper() in (record["codec"].upper(), "PCM_MULAW")
            start, end = float(probed["format"]["start_time"]), float(probed["format"]["duration"])
            assert 1000 * (end - start) == pytest.approx(1000 * record["duration"], abs=WHOLE_SECONDS)
            starts.setdefault(record["grouping_sids"]["participant_sid"], []).append(start)
    # Each participant came at a time of their own, and their camera some 20 ms after their microphone.
    pairs = [pair for pair in starts.values() if len(pair) == 2]
    assert len(pairs) > 3
    assert all(0.01 < abs(one - other) < 0.03 for one, other in pairs)
    assert len({round(one) for one, _ in pairs}) > 3


def test_the_size_of_a_picture_changes_in_midstream(tmp_path: Path) -> None:
    with Simulator(2) as simulator:
        room, index = next(each for each in stored(simulator) if each[0].index == 1 and each[1] % 2)
        assert room.recording_type(index) == "video"
        path = tmp_path / "media"
        path.write_bytes(b"".join(simulator.media(room.recording_sid(index))))
    frames = run("ffprobe", "-v", "error", "-show_entries", "frame=width,height", "-of", "csv=p=0", path).stdout.split()
    sizes = [size for number, size in enumerate(frames) if not number or size != frames[number - 1]]
    assert sizes == ["640,360", "320,180", "640,360"]


def test_the_readme(tmp_path: Path) -> None:
    (commands,) = re.findall(r"^```sh\n(roomrec simulate .*?mux.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "room.mp4: " in done.stderr
    entries = ("-show_entries", "stream=codec_type", "-of", "csv=p=0")
    # The chapters are a stream of their own.
    assert set(run("ffprobe", "-v", "error", *entries, tmp_path / "room.mp4").stdout.split()) >= {"audio", "video"}
    assert 'src="room.mp4"' in (tmp_path / "room.html").read_text()
