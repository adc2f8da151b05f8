"""Rooms in which some tracks are missing, broken or not there yet: the others make the film, and each is named."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import attrs
import pytest

from roomrec_async import InvalidArgumentError, MediaError, RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import mux, mux_files

from ..conftest import ROOM_SID
from .conftest import (
    Room,
    beeps,
    ffmpeg,
    flashes,
    loudest,
    make_audio,
    make_undecodable,
    make_video,
    near,
    roomrec,
)

SMALL = Size(320, 240)


def write_header_only(path: Path) -> None:
    """Write a file that has streams, but no frame."""
    make_video(path, seconds=1, color="red")
    path.write_bytes(path.read_bytes()[:600])


def write_truncated(path: Path, *, video: bool) -> None:
    """Write a file that breaks off after a part."""
    if video:
        make_video(path, seconds=10, color="black", flash=1)
    else:
        make_audio(path, seconds=10, beep=0.5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])


def add_bad_tracks(room: Room) -> dict[str, str]:
    """Add tracks that cannot be used, and return a part of the reason for each."""
    reasons = {
        room.add_file(who=2, make=Path.touch, type="video"): "is empty",
        room.add_file(who=3, make=lambda path: path.write_bytes(os.urandom(5_000))): "cannot be read",
        room.add_file(who=4, make=write_header_only, type="video"): "no frames",
        room.add_file(who=5, make=lambda path: make_audio(path, seconds=1, beep=0), type="video"): "no picture",
        room.add_missing(duration=5): "no media",
        room.add_missing(media_external_location="https://bucket.s3.amazonaws.com/x.mka"): "own bucket",
        room.add_missing(status="failed"): "failed",
        room.add_missing(status="processing"): "processing",
    }
    lost = {"offset": None, "date_created": None}
    reasons[room.add_file(who=6, make=lambda path: make_audio(path, seconds=1, beep=0), **lost)] = "neither"
    return reasons


async def test_bad_tracks_are_left_out_and_named(
    room: Room, client: RecordingsClient, base_url: str, tmp_path: Path
) -> None:
    room.add_audio(0, 3, who=1, beep=1)
    room.add_video(0, 3, who=1, color="black", flash=2)
    room.add_missing(type="data")
    reasons = add_bad_tracks(room)
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL, media=tmp_path / "media")
    assert beeps(film.path) == near(1)
    assert flashes(film.path) == near(2)
    told = {str(each.recording.sid): each.reason for each in film.left_out}
    assert told.keys() == reasons.keys()
    for sid, part in reasons.items():
        assert sid in told[sid]
        assert part in told[sid]
    assert film.data_tracks == 1
    kept = {path.stem for path in (tmp_path / "media").iterdir()}
    assert kept == {sid for sid in {record["sid"] for record in room.records} if room.file(str(sid)).exists()}

    # The command line says the same, and that it is not everything.
    arguments = ("-o", tmp_path / "again.mkv", "--media", tmp_path / "media", "--size", "320x240", "--json")
    code, out, err = await roomrec(base_url, "mux", ROOM_SID, *arguments)
    assert code == 1
    printed = json.loads(out)
    assert {each["sid"]: each["reason"] for each in printed["left_out"]}.keys() == reasons.keys()
    assert all(reason in err for reason in told.values())
    assert err.splitlines()[-1].endswith("1 video and 1 audio track, 9 recordings left out, 1 data track ignored")


async def test_strict_makes_no_film_of_a_part(
    room: Room, client: RecordingsClient, base_url: str, tmp_path: Path
) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    sid = room.add_missing(status="failed")
    with pytest.raises(MediaError, match=f"strict.*{sid} is failed"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", strict=True, media=tmp_path / "media")
    assert not (tmp_path / "film.mkv").exists()
    code, _, err = await roomrec(base_url, "mux", ROOM_SID, "-o", tmp_path / "film.mkv", "--strict")
    assert (code, "strict" in err) == (1, True)


async def test_strict_takes_no_truncated_file(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    sid = room.add_file(who=1, make=lambda path: write_truncated(path, video=True), type="video")
    with pytest.raises(MediaError, match=f"the media of {sid} are truncated"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", strict=True)


async def test_truncated_files_are_used_as_far_as_they_go(
    room: Room, client: RecordingsClient, base_url: str, tmp_path: Path
) -> None:
    room.add_file(who=1, make=lambda path: write_truncated(path, video=True), type="video")
    room.add_file(who=1, make=lambda path: write_truncated(path, video=False))
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)
    assert beeps(film.path) == near(0.5)
    assert flashes(film.path) == near(1)
    assert 3 < film.seconds < 9.5
    assert [recording.sid for recording in film.truncated] == [record["sid"] for record in room.records]
    assert film.left_out == ()
    code, _, err = await roomrec(base_url, "mux", ROOM_SID, "-o", tmp_path / "film.mkv", "--size", "320x240")
    assert (code, err.count("truncated: the media of RT")) == (0, 2)


async def test_nothing_but_bad_tracks_is_an_error_that_names_them(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    add_bad_tracks(room)
    with pytest.raises(MediaError, match=r"nothing to combine: .*own bucket.*is failed.*is processing"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv")


async def test_it_waits_until_nothing_is_being_processed(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    room.add_audio(0, 2, who=2, beep=1.5)
    room.records[1]["status"] = "processing"
    task = asyncio.create_task(mux(client, ROOM_SID, tmp_path / "film.mkv", wait=60))
    await asyncio.sleep(0.5)
    room.records[1]["status"] = "completed"
    film = await task
    assert beeps(film.path) == near(0.5, 1.5)
    assert film.left_out == ()


async def test_it_waits_no_longer_than_asked(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    sid = room.add_missing(status="processing")
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", wait=0.1)
    assert [each.recording.sid for each in film.left_out] == [sid]


async def test_a_playlist_in_disguise_opens_nothing_else(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mkv"
    make_video(secret, seconds=2, color="red")
    for who, text in enumerate((f"#EXTM3U\n#EXTINF:2,\n{secret}\n", f"ffconcat version 1.0\nfile '{secret}'\n")):
        room.add_file(who=who, make=lambda path, text=text: path.write_text(text), type="video")
    room.add_audio(0, 1, who=9, beep=0.5)
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert (film.videos, len(film.left_out)) == (0, 2)


async def test_names_of_directories_are_never_options_or_addresses(
    room: Room, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    room.add_audio(0, 1, who=1, beep=0.5)
    room.add_video(0, 1, who=1, color="black", flash=0.5)
    for media in ("-i", "a:b 'c' %d", "concat:x|y"):
        film = await mux(client, ROOM_SID, "-film.mkv", size=SMALL, media=f"./{media}")
        assert beeps(film.path) == near(0.5)
        assert flashes(film.path) == near(0.5)


async def test_the_option_to_wait_has_no_value_that_could_be_the_room(
    room: Room, base_url: str, tmp_path: Path
) -> None:
    sid = room.add_audio(0, 1, who=1, beep=0.5)
    room.records[-1]["status"] = "processing"

    async def complete() -> None:
        await asyncio.sleep(2)
        room.records[-1]["status"] = "completed"

    completing = asyncio.create_task(complete())
    code, out, err = await roomrec(base_url, "mux", "--wait", ROOM_SID, "-o", tmp_path / "film.mkv", "--json")
    await completing
    assert code == 0, err
    assert (json.loads(out)["audios"], json.loads(out)["left_out"], room.fetched) == (1, [], [sid])


async def test_media_that_cannot_be_decoded_are_left_out_and_named(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    sid = room.add_file(who=1, make=lambda path: make_undecodable(path, seconds=2), type="video")
    room.add_audio(0, 1, who=1, beep=0.5)
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)
    assert (film.videos, beeps(film.path)) == (0, near(0.5))
    assert [str(each.recording.sid) for each in film.left_out] == [sid]
    assert "cannot be decoded" in film.left_out[0].reason


async def test_a_video_is_shown_from_its_first_key_frame_on(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    def make(path: Path) -> None:
        whole = path.with_name("whole.mkv")
        flash = "drawbox=t=fill:c=white:enable='between(t,4,4.2)'"
        source = ("-f", "lavfi", "-i", f"color=c=black:s=320x240:r=25:d=6,{flash}")
        ffmpeg(*source, "-c:v", "libvpx", "-deadline", "realtime", "-g", 50, "-f", "matroska", whole)
        # Without the first key frame, most of what is before the second cannot be decoded.
        ffmpeg("-i", whole, "-c", "copy", "-bsf", "noise=drop='lt(n\\,2)'", "-f", "matroska", path)

    room.add_file(who=1, make=make, type="video")
    room.add_audio(0, 6, who=1, beep=4.08)
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", size=SMALL)
    assert film.left_out == ()
    assert flashes(film.path) == near(4)
    assert beeps(film.path) == near(4.08)


async def test_a_recording_that_is_listed_twice_is_heard_once(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    room.add_audio(0, 1, who=1, beep=0.5)
    room.records.append(room.records[0])
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv")
    assert (film.audios, beeps(film.path)) == (1, near(0.5))
    assert loudest(film.path, 0.5, 0.7) < 6_000


async def test_files_of_one_recording_are_refused(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    sid = room.add_audio(0, 1, who=1, beep=0.5)
    recording = await client.recordings(ROOM_SID).first()
    assert recording is not None
    for pairs in ([(recording, room.file(sid))] * 2, [(attrs.evolve(recording, sid=None), room.file(sid))]):
        with pytest.raises(InvalidArgumentError):
            await mux_files(pairs, tmp_path / "film.mkv")
