"""Films and WAV files of one participant each: all of them begin and end with the room."""

from __future__ import annotations

import asyncio
import json
import os
import wave
from functools import partial
from pathlib import Path

import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError, MediaError, RecordingsClient
from roomrec_async._views.film import Size
from roomrec_async.integrations.ffmpeg import make_script, mux, mux_files, mux_kept

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
    seconds_of,
)

SMALL = Size(320, 240)
SHARED = 155_137_307_765
RATE = 16_000
SAMPLE_BYTES = 2


def sid(who: int) -> str:
    """Return the SID of a participant."""
    return f"PA{who:032x}"


def add_audio(room: Room, who: int, **made: object) -> str:
    """Add audio whose recording has the offset that the whole room shares."""
    return room.add_file(who=who, make=lambda path: make_audio(path, **made), offset=SHARED)


def add_video(room: Room, who: int, **made: object) -> str:
    """Add video whose recording has the offset that the whole room shares."""
    return room.add_file(
        who=who, make=lambda path: make_video(path, **{"color": "black", **made}), offset=SHARED, type="video"
    )


def add_ordinary_room(room: Room) -> dict[str, list[float]]:
    """Add a room that lasts from 1.5 s to 12.5 s, and return when the beeps of each file are, from its start on."""
    add_audio(room, 1, seconds=4, beep=1, start=1.5)
    add_video(room, 1, seconds=6, flash=2, start=1.52)
    # A microphone that was unplugged, and came back.
    add_audio(room, 2, seconds=2, beep=0.5, start=4.25)
    add_audio(room, 2, seconds=3, beep=1.75, start=9.5)
    # Seen, but not heard.
    add_video(room, 3, seconds=2, flash=1, start=3)
    # Neither.
    room.add_missing(grouping_sids={"room_sid": ROOM_SID, "participant_sid": sid(4)}, status="failed")
    # Of whom nobody knows: two people, perhaps.
    unknown = [add_audio(room, 0, seconds=2, beep=1, start=start) for start in (2, 6.5)]
    for record in room.records[-2:]:
        record["grouping_sids"] = {"room_sid": ROOM_SID}
    # Earlier and later than all others, if these were tracks.
    room.add_file(who=5, make=lambda path: path.write_bytes(os.urandom(5_000)), offset=SHARED - 9_000)
    room.add_file(who=6, make=lambda path: make_undecodable(path, seconds=30), offset=SHARED - 9_000, type="video")
    return {
        sid(1): [1],
        sid(2): [3.25, 9.75],
        **{sid(who): [] for who in (3, 4, 5, 6)},
        unknown[0]: [1.5],
        unknown[1]: [6],
    }


async def test_every_wav_is_as_long_as_the_room_and_in_step_with_it(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    expected = add_ordinary_room(room)
    media = tmp_path / "media"
    made = await mux(client, ROOM_SID, tmp_path / "voices", per="participant", format="wav", media=media)
    assert {path.name for path in (tmp_path / "voices").iterdir()} == {f"{stem}.wav" for stem in expected}
    assert {file.path for file in made.files} == set((tmp_path / "voices").iterdir())
    for stem, times in expected.items():
        path = tmp_path / "voices" / f"{stem}.wav"
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, SAMPLE_BYTES, RATE)
            assert file.getnframes() == round(made.seconds * RATE)
        assert beeps(path) == near(*times), stem
    # A packet of Opus may be longer than what is in it.
    assert made.seconds == pytest.approx(11, abs=0.05)
    assert {file.path.stem for file in made.files if not file.audios} == {sid(who) for who in (3, 4, 5, 6)}
    assert len(made.left_out) == 3

    # The film of the whole room begins and ends at the same times.
    film = await mux(client, ROOM_SID, tmp_path / "film.mkv", media=media, size=SMALL)
    assert film.seconds == made.seconds
    assert beeps(film.path) == near(*sorted(time for times in expected.values() for time in times))


async def test_every_film_is_as_long_as_the_room_and_in_step_with_it(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    expected = add_ordinary_room(room)
    made = await mux(client, ROOM_SID, tmp_path / "people/", per="participant", size=SMALL)
    # There is nothing to be seen or heard of the others.
    stems = expected.keys() - {sid(who) for who in (4, 5, 6)}
    assert {path.name for path in (tmp_path / "people").iterdir()} == {f"{stem}.mp4" for stem in stems}
    seen = {sid(1): [2.02], sid(3): [2.5]}
    for file in made.files:
        assert seconds_of(file.path) == pytest.approx(11, abs=0.05)
        assert (file.audios, file.videos) == (len(expected[file.path.stem]), int(file.path.stem in seen))
        if file.audios:
            assert beeps(file.path) == near(*expected[file.path.stem])
        if file.videos:
            assert flashes(file.path) == near(*seen[file.path.stem])
    assert [file.participant_sid for file in made.files] == [sid(1), sid(3), sid(2), None, None]


async def test_voices_are_as_loud_as_they_were_and_many_of_one_do_not_clip(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    add_audio(room, 1, seconds=2, beep=1)

    def make_stereo(path: Path) -> None:
        tone = "sine=f=1000:r=48000:d=2,volume=7,pan=stereo|FL=c0|FR=c0"
        ffmpeg("-f", "lavfi", "-i", tone, "-c:a", "libopus", "-b:a", "96k", "-f", "matroska", path)

    for _ in range(3):
        room.add_file(who=2, make=make_stereo, offset=SHARED)
    await mux(client, ROOM_SID, tmp_path / "voices", per="participant", format="wav")
    assert 3_000 < loudest(tmp_path / f"voices/{sid(1)}.wav", 1, 1.2) < 6_000
    assert 30_000 < loudest(tmp_path / f"voices/{sid(2)}.wav", 0, 2) < 32_767


async def test_a_part_of_the_room_is_a_part_of_every_file(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    add_audio(room, 1, seconds=6, beep=4, start=1)
    add_audio(room, 2, seconds=1, beep=0.5, start=9)
    await mux(client, ROOM_SID, tmp_path / "voices", per="participant", format="wav", start=3.25, end=5)
    assert beeps(tmp_path / f"voices/{sid(1)}.wav") == near(0.75)
    assert beeps(tmp_path / f"voices/{sid(2)}.wav") == []
    for path in (tmp_path / "voices").iterdir():
        with wave.open(str(path)) as file:
            assert file.getnframes() == 1.75 * RATE


async def test_other_files_in_the_directory_stay(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    add_audio(room, 1, seconds=1, beep=0.5)
    directory = tmp_path / "voices"
    directory.mkdir()
    others = {"notes.txt", f"{sid(2)}.wav", f"{sid(1)}.mp4", f"{sid(1)}.wav.part", f".{sid(1)}.wav"}
    for name in others | {f"{sid(1)}.wav"}:
        (directory / name).write_text("of yesterday")
    await mux(client, ROOM_SID, directory, per="participant", format="wav")
    assert {path.name for path in directory.iterdir()} == others | {f"{sid(1)}.wav"}
    assert {path.read_bytes() for path in directory.iterdir() if path.name in others} == {b"of yesterday"}
    assert beeps(directory / f"{sid(1)}.wav") == near(0.5)


async def test_what_is_no_file_is_not_replaced(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    for who in (1, 2):
        add_audio(room, who, seconds=1, beep=0.5)
    (tmp_path / "voices" / f"{sid(2)}.wav").mkdir(parents=True)
    with pytest.raises(InvalidArgumentError, match="no regular file"):
        await mux(client, ROOM_SID, tmp_path / "voices", per="participant", format="wav", media=tmp_path / "media")
    assert [path.name for path in (tmp_path / "voices").iterdir()] == [f"{sid(2)}.wav"]


async def test_names_are_made_safe_and_never_collide(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    names = ["../../etc/passwd", "Ada", "ADA", "ada", "", "-y", "CON", "Zoë 你好", "x" * 500, ".", 'a/b\\c:d*?"<>|\n\0']
    for who, _ in enumerate(names, 1):
        add_audio(room, who, seconds=0.1, beep=0)
    room.records[-1]["grouping_sids"] = {"participant_sid": "../Pa/../" + "x" * 300}
    by_sid = {sid(who): name for who, name in enumerate(names, 1)}
    made = await mux(client, ROOM_SID, tmp_path / "voices", per="participant", format="wav", names=by_sid)
    found = {path.name for path in (tmp_path / "voices").iterdir()}
    assert found == {file.path.name for file in made.files}
    assert len({name.casefold() for name in found}) == len(names)
    assert all(name[0].isalnum() and len(name.encode()) < 200 for name in found)
    assert f"Ada-{sid(2)}.wav" in found
    assert f"Zoë_你好-{sid(8)}.wav" in found
    assert {path.name for path in tmp_path.iterdir()} == {room.directory.name, "voices"}


async def test_files_and_what_was_kept_are_split_as_well(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    for who in (1, 2):
        add_audio(room, who, seconds=2, beep=who / 2)
    media = tmp_path / "media"
    # A folder of downloads has the record beside each file.
    await mux(client, ROOM_SID, tmp_path / "film.mkv", media=media)
    pairs = [(recording, media / f"{recording.sid}.mka") async for recording in client.recordings(ROOM_SID)]
    of_files = await mux_files(pairs, tmp_path / "of files", per="participant", format="mkv")
    of_folder = await mux_kept(media, tmp_path / "of a folder", per="participant", format="mkv")
    for made in (of_files, of_folder):
        assert [beeps(file.path) for file in made.files] == [near(0.5), near(1)]


async def test_mistakes_are_errors_before_any_request(client: RecordingsClient, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in ("file", "missing/voices"):
        with pytest.raises(InvalidArgumentError):
            await mux(client, ROOM_SID, tmp_path / output, per="participant")
    for wrong in ({"format": "ogg"}, {"per": "people"}):
        with pytest.raises(InvalidArgumentError):
            await mux(client, ROOM_SID, tmp_path / "voices", **{"per": "participant", **wrong})
    with pytest.raises(ConfigurationError, match="extension"):
        await mux(client, ROOM_SID, tmp_path / "film.mkv", format="mp4")
    with pytest.raises(ConfigurationError, match="one film"):
        await make_script(client, ROOM_SID, tmp_path / "voices", media=tmp_path, per="participant")
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "at the store"}


async def test_strict_makes_no_file_of_a_part(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    add_audio(room, 1, seconds=1, beep=0.5)
    room.add_missing(status="failed")
    with pytest.raises(MediaError, match="strict"):
        await mux(client, ROOM_SID, tmp_path / "voices", per="participant", strict=True, media=tmp_path / "media")
    assert list((tmp_path / "voices").iterdir()) == []


async def test_cancelled_it_leaves_nothing(room: Room, client: RecordingsClient, tmp_path: Path) -> None:
    for who in (1, 2):
        add_video(room, who, seconds=8, flash=1, size="1280x720")
    working = asyncio.Event()
    task = asyncio.create_task(
        mux(client, ROOM_SID, tmp_path / "people", per="participant", on_progress=lambda *_: working.set())
    )
    await working.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((tmp_path / "people").iterdir()) == []


async def test_a_second_run_into_the_same_directory_is_told_at_once(
    room: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    add_audio(room, 1, seconds=5, beep=1)
    working = asyncio.Event()
    to_voices = partial(mux, client, ROOM_SID, tmp_path / "voices", per="participant", format="wav")
    first = asyncio.create_task(to_voices(on_progress=lambda *_: working.set()))
    await working.wait()
    with pytest.raises(MediaError, match="is being made already"):
        await to_voices()
    assert [beeps(file.path) for file in (await first).files] == [near(1)]


async def test_the_command_names_each_file(room: Room, base_url: str, tmp_path: Path) -> None:
    add_audio(room, 1, seconds=2, beep=1)
    add_video(room, 2, seconds=1, flash=0.5)
    voices = f"{tmp_path}/voices/"
    arguments = ("--per", "participant", "--format", "wav", "-o", voices, "--json")
    code, out, err = await roomrec(base_url, "mux", ROOM_SID, *arguments)
    assert (code, err.splitlines()) == (
        0,
        [
            f"{voices}{sid(1)}.wav: 1 audio track",
            f"{voices}{sid(2)}.wav: silent, because no audio of this participant can be used",
            f"{voices[:-1]}: 0:00:02 of 1 audio track in 2 files",
        ],
    )
    printed = json.loads(out)
    assert [(file["participant_sid"], file["audios"]) for file in printed["files"]] == [(sid(1), 1), (sid(2), 0)]
    assert beeps(Path(printed["files"][0]["path"])) == near(1)
