"""Recordings that were kept, read without an account: from archives in directories and stores, and from downloads."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import InvalidArgumentError, MediaError, Recording, VerificationError
from roomrec_async._archive.kept import KeptRoom, open_kept
from roomrec_async._media.record_file import write_record
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator

from .conftest import S3Server

FORMATS = ("jsonl", "parquet")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=3, recordings_per_room=(3, 6), seed=3, media_size=5000, reads_per_second=None, writes_per_second=None
    ) as simulator:
        yield simulator


def completed(sim: Simulator, room_sid: str) -> list[dict[str, Any]]:
    return [record for record in sim.recordings(room_sid, "completed") if not record["media_external_location"]]


def truth_of(sim: Simulator, room_sid: str) -> dict[str, tuple[object, object, bytes]]:
    """Return each completed recording's participant, offset and media."""
    return {
        record["sid"]: (
            record["grouping_sids"]["participant_sid"],
            record["offset"],
            b"".join(sim.media(record["sid"])),
        )
        for record in completed(sim, room_sid)
    }


async def assert_kept(room: KeptRoom, truth: dict[str, tuple[object, object, bytes]], directory: Path) -> None:
    """Assert that these are all completed recordings of a room, with their media."""
    kept: dict[str | None, tuple[object, object, bytes]] = {}
    for each in room.recordings:
        media = (await room.fetch(each, directory)).read_bytes()
        kept[each.recording.sid] = (each.recording.participant_sid, each.recording.offset, media)
    assert kept == truth
    assert len(kept) > 1


async def test_an_archive_in_a_directory(sim: Simulator, tmp_path: Path) -> None:
    room_sid = sim.room_sids[1]
    truth = truth_of(sim, room_sid)
    async with sim.client() as client:
        await client.archive(sim.room_sids, tmp_path / "before", delete=True, manifest=FORMATS)
    # Archives are moved, and the paths in a manifest are not.
    archive = (tmp_path / "before").rename(tmp_path / "archive")
    for source, named in (
        (archive, room_sid),
        (archive / room_sid, None),
        (archive / "manifest.jsonl", room_sid.upper()),
        (archive / "manifest.parquet", room_sid),
        (f"file://{archive}/manifest.jsonl", room_sid),
    ):
        await assert_kept(await open_kept(source, named), truth, tmp_path)


@pytest.mark.parametrize("form", ["", "/manifest.jsonl", "/ROOM"])
async def test_an_archive_in_a_store(
    sim: Simulator, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    room_sid = sim.room_sids[2]
    bucket = f"kept{len(form)}"
    store = ObjectStore(s3.bucket(bucket), "some/where")
    async with sim.client() as client:
        await client.archive(sim.room_sids, store, ledger=tmp_path / "ledger.sqlite3", manifest=FORMATS)
    for name, value in {
        "AWS_ENDPOINT": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{bucket}/some/where{form}".replace("ROOM", room_sid)
    room = await open_kept(url, None if "ROOM" in form else room_sid)
    await assert_kept(room, truth_of(sim, room_sid), tmp_path)

    # An object that was replaced is not what was archived.
    (tmp_path / "again").mkdir()
    kept = room.recordings[0]
    await store.write(kept.name, chunks(b"\x1a\x45\xdf\xa3" + bytes(4996)))
    with pytest.raises(VerificationError, match="digest") as caught:
        await room.fetch(kept, tmp_path / "again")
    assert kept.name in str(caught.value)
    assert list((tmp_path / "again").iterdir()) == []

    with pytest.raises(InvalidArgumentError, match="no manifest"):
        await open_kept(f"s3://{bucket}/elsewhere", room_sid)


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_a_folder_of_downloads(sim: Simulator, tmp_path: Path) -> None:
    room_sid = sim.room_sids[0]
    (tmp_path / "media").mkdir()
    async with sim.client() as client:
        async for recording in client.recordings(room_sid, status="completed"):
            if recording.media_external_location is None:
                await client.download(recording, tmp_path / "media")
                await write_record(recording, tmp_path / "media")
    await assert_kept(await open_kept(tmp_path / "media"), truth_of(sim, room_sid), tmp_path)
    await assert_kept(await open_kept(tmp_path / "media", room_sid), truth_of(sim, room_sid), tmp_path)

    room = await open_kept(tmp_path / "media")
    (tmp_path / "media" / room.recordings[0].name).unlink()
    with pytest.raises(MediaError, match=str(room.recordings[0].recording.sid)):
        await room.fetch(room.recordings[0], tmp_path)


async def test_several_rooms_and_no_room(sim: Simulator, tmp_path: Path) -> None:
    for number in (1, 2):
        await write_record(Recording(sid=f"RT{number:032x}", room_sid=f"RM{number:032x}"), tmp_path)
    with pytest.raises(InvalidArgumentError, match=f"RM{1:032x} and RM{2:032x}: name one"):
        await open_kept(tmp_path)
    with pytest.raises(InvalidArgumentError, match=f"no recordings of RM{3:032x}"):
        await open_kept(tmp_path, f"RM{3:032x}")
    assert [each.recording.sid for each in (await open_kept(tmp_path, f"RM{2:032x}")).recordings] == [f"RT{2:032x}"]


async def test_what_was_not_archived_has_a_reason(sim: Simulator, tmp_path: Path) -> None:
    room_sid = sim.room_sids[0]
    row = await archived_row(sim, room_sid, tmp_path)
    row |= {"state": "failed", "error": "it was gone", "sha256": None}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    (kept,) = (await open_kept(tmp_path / "manifest.jsonl")).recordings
    assert kept.problem == "it was not archived: it was gone"
    with pytest.raises(MediaError, match="it was gone"):
        await (await open_kept(tmp_path)).fetch(kept, tmp_path)


async def archived_row(sim: Simulator, room_sid: str, tmp_path: Path) -> dict[str, Any]:
    """Archive a room, and return the first row of the manifest."""
    async with sim.client() as client:
        await client.archive([room_sid], tmp_path / "archive", manifest=("jsonl",))
    row: dict[str, Any] = json.loads((tmp_path / "archive" / "manifest.jsonl").read_text().splitlines()[0])
    shutil.rmtree(tmp_path / "archive")
    return row


@pytest.mark.parametrize(
    "wrong",
    [
        {"sid": "../../etc/passwd"},
        {"sid": None},
        {"room_sid": "RM/../.."},
        {"room_sid": None},
        {"offset": []},
    ],
    ids=str,
)
async def test_a_manifest_cannot_name_other_files(sim: Simulator, tmp_path: Path, wrong: dict[str, Any]) -> None:
    row = await archived_row(sim, sim.room_sids[0], tmp_path) | wrong
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InvalidArgumentError, match=r"manifest\.jsonl, line 1: "):
        await open_kept(tmp_path / "manifest.jsonl")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere", "there is no file or directory"),
        ("empty", "has no records: give an archive"),
        ("text.txt", "must end in .jsonl or .parquet"),
        ("list.jsonl", "line 1: it has no .*state"),
        ("none.jsonl", "no recordings of any room"),
    ],
)
async def test_what_is_no_source_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("RM1\n")
    (tmp_path / "list.jsonl").write_text(json.dumps({"sid": "RT1"}) + "\n")
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(InvalidArgumentError, match=complaint):
        await open_kept(tmp_path / name)
    for malformed in ("RM1", "", "../x"):
        with pytest.raises(InvalidArgumentError, match="room_sid"):
            await open_kept(tmp_path / name, malformed)
    with pytest.raises(InvalidArgumentError, match="ftp"):
        await open_kept("ftp://host/manifest.jsonl")
