"""Media files in the provider's shapes and in bad ones, measured by a real ffprobe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roomrec_async import MediaError
from roomrec_async.integrations.ffmpeg.probing import Pause, probe

from .conftest import ffmpeg, make_audio, make_video

# Opus has up to 14 ms before its first audible sample, and a packet has 20 ms.
PACKET = 21


async def test_times_are_those_of_the_container(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", seconds=2, color="red", start=1.584)
    video = await probe(tmp_path / "v.mkv")
    assert (video.start, video.end, video.first_key) == (1_584, 3_584, 1_584)
    assert (video.width, video.height, video.frames) == (320, 240, 50)
    assert not video.truncated

    make_audio(tmp_path / "a.mka", seconds=2, beep=1, start=7_200)
    audio = await probe(tmp_path / "a.mka")
    assert audio.start == pytest.approx(7_200_000, abs=PACKET)
    assert audio.length == pytest.approx(2_000, abs=PACKET)
    assert audio.width is None
    assert audio.has_frames


async def test_times_without_frames_are_pauses(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", seconds=9, color="red", gap=(2, 6))
    video = await probe(tmp_path / "v.mkv")
    assert video.pauses == (Pause(2_000, 6_040),)
    assert video.end == 9_000


async def test_a_file_that_breaks_off_is_truncated_and_ends_where_it_does(tmp_path: Path) -> None:
    for name, make in (("v.mkv", make_video), ("a.mka", make_audio)):
        whole = tmp_path / name
        make(whole, seconds=10, **({"color": "red"} if name == "v.mkv" else {"beep": 1}))
        data = whole.read_bytes()
        whole.write_bytes(data[: len(data) * 6 // 10])
        measured = await probe(whole)
        assert measured.truncated
        assert 1_000 < measured.end < 9_000


async def test_a_file_without_duration_or_cues_is_whole(tmp_path: Path) -> None:
    make_video(tmp_path / "whole.mkv", seconds=3, color="red")
    (tmp_path / "live.mkv").write_bytes(ffmpeg("-i", tmp_path / "whole.mkv", "-c", "copy", "-f", "matroska", "pipe:1"))
    measured = await probe(tmp_path / "live.mkv")
    assert (measured.length, measured.truncated) == (3_000, False)


async def test_a_header_alone_has_no_frames(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", seconds=1, color="red")
    (tmp_path / "header.mkv").write_bytes((tmp_path / "v.mkv").read_bytes()[:600])
    assert not (await probe(tmp_path / "header.mkv")).has_frames


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (os.urandom(5_000), "cannot be read"), (b"#EXTM3U\nother.mkv\n", "cannot be read")],
)
async def test_what_is_no_matroska_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "junk.mkv").write_bytes(content)
    with pytest.raises(MediaError, match=message):
        await probe(tmp_path / "junk.mkv")


async def test_a_name_is_never_taken_for_an_option_or_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_audio(tmp_path / "plain", seconds=1, beep=0.5)
    for name in ("-i", "http:x", "a|b", "concat:plain"):
        (tmp_path / name).write_bytes((tmp_path / "plain").read_bytes())
        assert (await probe(name)).has_frames
