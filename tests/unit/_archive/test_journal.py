"""A journal of a ledger makes another ledger the same."""

from __future__ import annotations

import gzip
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import Download, Recording
from roomrec_async._archive.journal import _TABLES
from roomrec_async._archive.ledger import Entry, Ledger, WrittenFile

TABLES = (*_TABLES, "counts")
COPY = Download("RT", "s3://there", 17, "f" * 64)


def recording(number: int, size: int = 1) -> Recording:
    return Recording(sid=f"RT{number:032x}", room_sid=f"RM{number % 7:032x}", size=size)


def rows(path: Path) -> dict[str, list[Any]]:
    """Return what is in a ledger that is closed. Sums of nothing are no rows."""
    with closing(sqlite3.connect(path)) as connection:
        found = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
    found["counts"] = [row for row in found["counts"] if row[1]]
    return found


async def change(ledger: Ledger, choices: random.Random) -> None:
    """Do what a run does."""
    match choices.choice(["add", "change", "list", "forget", "write", *["process"] * 5]):
        case "add":
            await ledger.add_recordings(recording(choices.randrange(60)) for _ in range(5))
        case "change":
            await ledger.add_recordings([recording(choices.randrange(60), size=choices.randrange(9))])
        case "list":
            await ledger.mark_room_listed(f"RM{choices.randrange(9):032x}")
        case "forget":
            await ledger.forget_listed_rooms()
        case "write":
            await ledger.mark_written("manifest.jsonl", WrittenFile(choices.randrange(9), "v"))
        case _:
            for entry in choices.sample(await ledger.next_entries(0), k=1):
                await process(ledger, entry, choices)


async def process(ledger: Ledger, entry: Entry, choices: random.Random) -> None:
    match choices.choice(["archive", "delete", "miss", "fail"]):
        case "archive":
            await ledger.mark_archived(entry, COPY, choices.choice([None, "no proof: \U0001f600"]))
        case "delete":
            await ledger.mark_deleted(entry)
        case "miss":
            await ledger.mark_missing(entry)
        case _:
            await ledger.mark_failed(entry, "HTTP 500")
            await ledger.mark_tried(entry, choices.choice([None, datetime(2026, 1, 1, 1, 2, 3, 456789, UTC)]))


def lines_of(parts: list[list[str]]) -> Iterator[bytes]:
    return (line.encode() for part in parts for line in part)


@pytest.mark.parametrize("seed", range(20))
async def test_a_ledger_is_the_same_when_replayed(tmp_path: Path, seed: int) -> None:
    choices = random.Random(seed)
    parts: list[list[str]] = []
    path = tmp_path / "0.sqlite3"
    for run in range(4):
        path = tmp_path / f"{run}.sqlite3"
        async with Ledger(path, ".") as ledger:
            await ledger.replay(partial(lines_of, parts))
            await ledger.watch_changes()
            await ledger.add_recordings([recording(0)])
            for _ in range(choices.randrange(40)):
                await change(ledger, choices)
                if choices.random() < 0.3:
                    parts.append(await ledger.take_changes())
            parts.append(await ledger.take_changes())
            assert await ledger.take_changes() == []
            if choices.random() < 0.3:
                # All in one, and some of it once more.
                await ledger.write_all(tmp_path / "all")
                parts = [[line.decode() for line in gunzip(tmp_path / "all")], *parts[-2:]]
    async with Ledger(tmp_path / "replayed.sqlite3", ".") as ledger:
        await ledger.replay(lambda: lines_of(parts))
    replayed = rows(tmp_path / "replayed.sqlite3")
    assert replayed == rows(path)


def gunzip(path: Path) -> list[bytes]:
    with gzip.open(path) as file:
        return file.readlines()


async def test_a_million_rooms_that_are_forgotten_are_one_line(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "ledger.sqlite3", ".") as ledger:
        await ledger.watch_changes()
        for number in range(50):
            await ledger.mark_room_listed(f"RM{number:032x}")
        assert len(await ledger.take_changes()) == 50
        await ledger.forget_listed_rooms()
        assert await ledger.take_changes() == ['["listed_rooms",null]\n']
        await ledger.forget_listed_rooms()
        assert await ledger.take_changes() == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'["about",{"version":1}]',
        b'["recordings"]',
        b'["recordings",{"number":1}]',
        b'["recordings",[1]]',
        b'["failures",{"number":1,"attempts":[],"retry_at":null}]',
        b'["failures",{"number":1,"attempts":null,"retry_at":null}]',
        b'["failures",{"number":99999999999999999999,"attempts":1,"retry_at":null}]',
        b'["parts",{"part":1}]',
        b'["parts",{"part":[],"revision":1}]',
        b"\xff",
    ],
)
async def test_what_is_no_line_of_a_journal(tmp_path: Path, line: bytes) -> None:
    async with Ledger(tmp_path / "ledger.sqlite3", ".") as ledger:
        with pytest.raises(ValueError, match=r"\S"):
            await ledger.replay(lambda: [line])
    assert rows(tmp_path / "ledger.sqlite3") == {table: [] for table in TABLES}
