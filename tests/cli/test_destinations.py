"""Outputs named by URLs: a text with a scheme is never a local path, whichever command and function gets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roomrec_async.simulator import Simulator

from .conftest import UNKNOWN_ROOM, UNLIMITED, Command, parse_lines

AFTER = ("--after", "2026-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(rooms=2, recordings_per_room=2, **UNLIMITED) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "ftp"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("list", UNKNOWN_ROOM, "-o", "URL/x.jsonl"),
        ("list", UNKNOWN_ROOM, "-o", "URL/x.parquet"),
        ("report", *AFTER, "-o", "URL/x.html"),
        ("report", *AFTER, "-o", "URL/x.json"),
        ("timeline", UNKNOWN_ROOM, "-o", "URL/x.svg"),
        ("mux", UNKNOWN_ROOM, "-o", "URL/x.mkv"),
        ("mux", UNKNOWN_ROOM, "-o", "x.mkv", "--media", "URL/media"),
        ("mux", UNKNOWN_ROOM, "-o", "x.mkv", "--media", "URL/media", "--print"),
        ("archive", UNKNOWN_ROOM, "-o", "x", "--ledger", "URL/ledger.sqlite3"),
        ("simulate", "--write-rooms", "URL/rooms.txt", "--", "true"),
    ],
)
def test_what_must_be_local_is_no_url(
    simulator: Simulator, roomrec: Command, tmp_path: Path, arguments: tuple[str, ...], scheme: str
) -> None:
    requests = simulator.stats.requests
    line = roomrec.fails(*(each.replace("URL", f"{scheme}://bucket") for each in arguments))
    assert (
        f"must be a local path, which {scheme}:// is not: write to one, and copy it to {scheme}:// afterwards" in line
    )
    assert (simulator.stats.requests, list(tmp_path.iterdir())) == (requests, [])


@pytest.mark.parametrize("command", ["download", "archive"])
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ftp://user:secret@host/x", "give a directory, or an object store as s3://, gs:// or az://"),
        ("memory:///", "give a directory, or an object store"),
        ("s3:/bucket/x", "write s3:// for a URL"),
        ("s3:bucket", "write s3:// for a URL"),
        ("file://host/x", "file:/// and an absolute path"),
    ],
)
def test_a_destination_that_is_neither_a_path_nor_a_store(
    simulator: Simulator, roomrec: Command, tmp_path: Path, command: str, output: str, message: str
) -> None:
    requests = simulator.stats.requests
    line = roomrec.fails(command, UNKNOWN_ROOM, "-o", output)
    assert message in line
    assert "secret" not in line
    assert (simulator.stats.requests, list(tmp_path.iterdir())) == (requests, [])


def test_a_file_url_is_written_to(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    outcome = roomrec("list", simulator.room_sids[0], "-o", f"file://{tmp_path}/out%20put.jsonl")
    assert outcome.code == 0
    assert len(parse_lines((tmp_path / "out put.jsonl").read_text())) == 2
