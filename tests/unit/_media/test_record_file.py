"""Records beside the media: written once, and read back as they were."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from roomrec_async import MediaError, MediaType, Recording
from roomrec_async._media.record_file import read_record, write_record

SID = "RT" + "1" * 32
RECORDING = Recording(
    sid=SID,
    room_sid="RM" + "2" * 32,
    type=MediaType.AUDIO,
    size=10**12,
    track_name="línea\n\N{GRINNING FACE}",
    date_created=datetime(2026, 3, 1, tzinfo=UTC),
    grouping_sids={"participant_sid": "PA1"},
)


async def test_a_record_comes_back(tmp_path: Path) -> None:
    await write_record(RECORDING, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{SID}.json"]
    assert read_record(tmp_path / f"{SID}.json") == RECORDING


async def test_one_that_is_the_same_is_left_alone_and_another_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / f"{SID}.json"
    await write_record(RECORDING, tmp_path)
    inode = path.stat().st_ino
    await write_record(RECORDING, str(tmp_path))
    assert path.stat().st_ino == inode
    await write_record(attrs.evolve(RECORDING, size=10**12 + 1), tmp_path)
    assert read_record(path).size == 10**12 + 1


async def test_into_a_store() -> None:
    stored: dict[str, bytes] = {}

    class Store:
        def location(self, name: str) -> str:
            return f"store://{name}"

        async def size(self, name: str) -> int | None:
            return None

        async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
            stored[name] = b"".join([chunk async for chunk in chunks])

    await write_record(RECORDING, Store())
    assert list(stored) == [f"{SID}.json"]
    assert b'"track_name"' in stored[f"{SID}.json"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not the record"),
        (b"[]", "not the record"),
        (b"{" * 100_000, "not the record"),
        (b'{"size": []}', "not the record"),
        (b"\xff\xfe{", "not the record"),
        (b'{"sid": "RT22222222222222222222222222222222"}', "another recording"),
        (b"{}", "another recording"),
        (f'{{"sid": "{SID}", "room_sid": "../../x"}}'.encode(), "room_sid must be"),
        (f'{{"sid": "{SID}", "room_sid": "\\ud800"}}'.encode(), "room_sid must be"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / f"{SID}.json"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=complaint) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "directory", "link that leads nowhere"])
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{SID}.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to("nowhere")
    with pytest.raises(MediaError, match="it is no file"):
        read_record(path)
