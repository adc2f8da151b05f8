"""Films of what was kept of a room, without an account: of downloads, and of archives in directories and stores."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomrec_async import InvalidArgumentError, RecordingsClient
from roomrec_async.integrations.ffmpeg import make_script, mux, mux_kept

from ..cli.conftest import without_progress
from ..conftest import ROOM_SID
from ..integration.conftest import S3Server, serving
from .conftest import Room, beeps, near


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with serving() as (server, _):
        yield server


@pytest.fixture
def two_people(room: Room) -> Room:
    """The second one comes a second after the first, and has a camera; a third was muted throughout."""
    room.add_audio(0, 3, who=1, beep=0.5, start=1.5)
    room.add_audio(0, 2, who=2, beep=1, start=2.5)
    room.add_video(0, 2, who=2, color="red", start=2.5)
    return room


async def roomrec(*arguments: object, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomrec_async.cli", *map(str, arguments)),
        env={**{name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), without_progress(err.decode())


async def test_of_an_archive_that_was_moved(two_people: Room, client: RecordingsClient, tmp_path: Path) -> None:
    await client.archive([ROOM_SID], tmp_path / "before", manifest=("jsonl",))
    archive = (tmp_path / "before").rename(tmp_path / "archive")
    fetched = len(two_people.fetched)
    for number, source in enumerate([(archive / ROOM_SID,), (archive / "manifest.jsonl", ROOM_SID), (archive,)]):
        film = tmp_path / f"film{number}.mkv"
        code, out, err = await roomrec("mux", *source, "-o", film, "--size", "320x240")
        assert (code, out, err) == (0, "", f"{film}: 0:00:03 of 1 video and 2 audio tracks\n")
        assert beeps(film) == near(0.5, 2)
    assert len(two_people.fetched) == fetched


async def test_of_a_folder_of_downloads(two_people: Room, base_url: str, tmp_path: Path) -> None:
    account = {"ROOMREC_BASE_URL": base_url, "TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "token"}
    media, film = tmp_path / "media", tmp_path / "film.mp4"
    code, _, err = await roomrec("download", ROOM_SID, "-o", media, **account)
    assert code == 0, err
    code, out, err = await roomrec("mux", media, "-o", film, "--size", "320x240", "--json")
    assert code == 0, err
    assert json.loads(out)["audios"] == 2
    assert beeps(film) == near(0.5, 2)

    # The media directory of a film is such a folder, too.
    code, _, err = await roomrec("mux", ROOM_SID, "-o", film, "--media", tmp_path / "kept", **account)
    assert code == 0, err
    made = await mux_kept(tmp_path / "kept", tmp_path / "again.mkv")
    assert (made.videos, made.audios, made.left_out) == (1, 2, ())


class TestMediaAreNotReplaced:
    """What was kept may be all that there is of a recording."""

    @pytest.fixture
    async def media(self, two_people: Room, client: RecordingsClient, tmp_path: Path) -> Path:
        # The participant of the video is not known: its file is named after the recording.
        del two_people.records[2]["grouping_sids"]["participant_sid"]
        await mux(client, ROOM_SID, tmp_path / "film.mkv", media=tmp_path / "media")
        return tmp_path / "media"

    @pytest.mark.parametrize("link", [False, True])
    async def test_by_a_film(self, media: Path, client: RecordingsClient, tmp_path: Path, link: bool) -> None:
        [video] = media.glob("*.mkv")
        content = video.read_bytes()
        output = video
        if link:
            (tmp_path / "link").symlink_to(media)
            output = tmp_path / "link" / video.name
        with pytest.raises(InvalidArgumentError, match="has the media of a recording of this room"):
            await mux_kept(media, output)
        for make in (mux, make_script):
            with pytest.raises(InvalidArgumentError, match="has the media of a recording of this room"):
                await make(client, ROOM_SID, output, media=media)
        assert video.read_bytes() == content

    async def test_by_a_film_in_the_place_that_a_link_leads_to(self, media: Path, tmp_path: Path) -> None:
        [video] = media.glob("*.mkv")
        moved = video.rename(tmp_path / video.name)
        video.symlink_to(moved)
        content = moved.read_bytes()
        with pytest.raises(InvalidArgumentError, match="has the media of a recording of this room"):
            await mux_kept(media, moved)
        assert moved.read_bytes() == content

    async def test_by_the_files_of_participants(self, media: Path) -> None:
        [video] = media.glob("*.mkv")
        content = video.read_bytes()
        with pytest.raises(InvalidArgumentError, match="has the media of a recording of this room"):
            await mux_kept(media, media, per="participant", format="mkv")
        assert video.read_bytes() == content
        made = await mux_kept(media, media, per="participant", format="mp4")
        assert [file.path.is_file() for file in made.files] == [True, True, True]

    async def test_a_link_to_them_is_replaced_itself(self, media: Path, tmp_path: Path) -> None:
        [video] = media.glob("*.mkv")
        content = video.read_bytes()
        (tmp_path / "again.mkv").symlink_to(video)
        await mux_kept(media, tmp_path / "again.mkv")
        assert video.read_bytes() == content
        assert not (tmp_path / "again.mkv").is_symlink()


async def test_of_an_archive_in_a_store(
    two_people: Room, client: RecordingsClient, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.bucket("bucket")
    store = {
        "AWS_ENDPOINT": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    await client.archive([ROOM_SID], "s3://bucket/a/b", ledger=tmp_path / "ledger.sqlite3", manifest=("jsonl",))
    film = tmp_path / "film.mkv"
    code, _, err = await roomrec("mux", "s3://bucket/a/b/manifest.jsonl", ROOM_SID, "-o", film)
    assert code == 0, err
    assert beeps(film) == near(0.5, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at the store", "film.mkv", "ledger.sqlite3"]


async def test_what_is_not_there_is_left_out_and_named(
    two_people: Room, client: RecordingsClient, tmp_path: Path
) -> None:
    muted = two_people.add_missing()
    await client.archive([ROOM_SID], tmp_path / "archive", manifest=("jsonl",))
    gone = next((tmp_path / "archive" / ROOM_SID).glob("*.mkv"))
    gone.unlink()
    film = await mux_kept(tmp_path / "archive" / ROOM_SID, tmp_path / "film.mkv")
    reasons = {str(each.recording.sid): each.reason for each in film.left_out}
    assert reasons.keys() == {gone.stem, muted}
    assert "no file" in reasons[gone.stem]
    assert "was not archived" in reasons[muted]


@pytest.mark.parametrize("option", ["--print", "--wait", "--identities", "--private-key=KEY"])
async def test_options_that_need_an_account_are_refused(tmp_path: Path, option: str) -> None:
    (tmp_path / "KEY").write_text("")
    given = option.replace("KEY", str(tmp_path / "KEY"))
    code, _, err = await roomrec("mux", tmp_path, "-o", tmp_path / "film.mkv", given)
    assert code == 2
    assert f"{option.partition('=')[0]} is for a room of the account" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["RM123"], "'RM' and 32 hexadecimal digits"),
        # That may be the name of a room.
        (["nowhere"], "no credentials"),
        ([ROOM_SID, ROOM_SID], "give one room"),
        (["nowhere", "RM1"], "'RM' and 32 hexadecimal digits"),
    ],
)
async def test_mistakes_are_refused_before_anything_is_done(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    code, out, err = await roomrec("mux", *arguments, "-o", tmp_path / "film.mkv")
    assert (code, out) == (2, "")
    assert complaint in err
    assert list(tmp_path.iterdir()) == []


async def test_several_rooms_need_a_name(tmp_path: Path) -> None:
    for number in (1, 2):
        record = {"sid": f"RT{number:032x}", "room_sid": f"RM{number:032x}"}
        (tmp_path / f"RT{number:032x}.json").write_text(json.dumps(record))
    with pytest.raises(InvalidArgumentError, match="name one of them"):
        await mux_kept(tmp_path, tmp_path / "film.mkv")
