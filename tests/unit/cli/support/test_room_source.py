"""The room that a command is given: a room of the account, or what was kept of one."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from roomrec_async.cli.support.room_source import RoomSource

ROOM_SID = "RM" + "1f" * 16


def test_a_room_sid_is_a_room_of_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Even where there is a directory of this name, such as an archive's: that is ./RM...
    (tmp_path / ROOM_SID).mkdir()
    assert RoomSource.parse(ROOM_SID, None) == RoomSource(None, ROOM_SID)
    assert RoomSource.parse(f"./{ROOM_SID}", None) == RoomSource(f"./{ROOM_SID}", None)


@pytest.mark.parametrize("room", [None, ROOM_SID])
@pytest.mark.parametrize("source", ["DIRECTORY", "s3://bucket/archive", "file:///somewhere/manifest.jsonl"])
def test_anything_else_is_what_was_kept(tmp_path: Path, source: str, room: str | None) -> None:
    source = source.replace("DIRECTORY", str(tmp_path))
    assert RoomSource.parse(source, room) == RoomSource(source, room)


@pytest.mark.parametrize("source", ["RM1", "nowhere/at/all", "", ROOM_SID + "0", "rm" + ROOM_SID[2:]])
def test_what_is_neither_is_refused(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.BadParameter, match="32 hexadecimal digits"):
        RoomSource.parse(source, None)


@pytest.mark.parametrize("room", ["RM1", "", "x"])
def test_the_room_behind_a_source_is_a_room_sid(tmp_path: Path, room: str) -> None:
    with pytest.raises(click.BadParameter, match="32 hexadecimal digits"):
        RoomSource.parse(str(tmp_path), room)
