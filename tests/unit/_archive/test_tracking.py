"""What a run reads of a ledger: it is as right as a look at all recordings, and costs as much as what is new."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from roomrec_async import ConfigurationError, Download, Recording
from roomrec_async._archive import ledger as ledger_module
from roomrec_async._archive.ledger import KEPT_AFTER, Count, Entry, Ledger, State, WrittenFile
from roomrec_async._archive.tracking import PART_SIZE, TRACKING

# A ledger of the first version that recorded rooms and dates, as the program of that time has written it.
EARLIER = Path(__file__).with_name("ledger_2.sql").read_text()
ACCOUNT_SID = "AC" + "1" * 32


def recording(number: int, size: int | None = 100) -> Recording:
    return Recording(sid=f"RT{number:032x}", room_sid=f"RM{number % 7:032x}", size=size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(path, ".") as ledger:
        yield ledger


def write_earlier(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


class TestEarlierLedgers:
    async def test_are_used_as_they_are(self, path: Path) -> None:
        write_earlier(path)
        recordings = rows(path, "SELECT * FROM recordings")
        for _ in range(2):
            async with Ledger(path, ".", account_sid=ACCOUNT_SID) as ledger:
                assert await ledger.counts() == {
                    State.FOUND: Count(1, 0),
                    State.ARCHIVED: Count(2, 100 + 102),
                    State.DELETED: Count(1, 101),
                    State.EXTERNAL: Count(1, 0),
                    State.FAILED: Count(1, 0),
                }
                # Nothing is queued of what the last run had queued.
                assert await ledger.next_queued(0) == ([], 0)
                assert await ledger.count_left_alone() == 2
                assert list(await ledger.part_revisions()) == [0]
                assert await ledger.queue_room(f"RM{1:032x}") == Count(3, 103)
                [failed], _ = await ledger.next_queued(0)
                assert (failed.state, failed.error, failed.attempts, failed.retry_at) == ("failed", "no key", 0, None)
        assert rows(path, "SELECT * FROM recordings") == recordings
        # The version is the same: the program of that time can go on with it.
        assert rows(path, "SELECT version FROM about") == [(2,)]

    async def test_get_all_of_it_or_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_earlier(path)
        before = rows(path, "SELECT name FROM sqlite_master ORDER BY name")
        # As if the process ended just before the end.
        monkeypatch.setattr(ledger_module, "TRACKING", TRACKING.replace("COMMIT;", "SELECT * FROM killed;"))
        with pytest.raises(ConfigurationError, match="no such table: killed"):
            async with Ledger(path, "."):
                pass
        assert rows(path, "SELECT name FROM sqlite_master ORDER BY name") == before
        monkeypatch.undo()
        async with Ledger(path, ".") as ledger:
            assert (await ledger.counts())[State.ARCHIVED] == Count(2, 202)


@pytest.mark.parametrize("seed", range(2))
async def test_sums_and_parts_are_those_of_all_recordings(
    path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Parts are a tenth as large as they are, so that there are several.
    monkeypatch.setattr(ledger_module, "TRACKING", TRACKING.replace("1000", "100"))
    async with Ledger(path, ".") as ledger:
        await check_tracking(ledger, random.Random(seed))


async def check_tracking(ledger: Ledger, rng: random.Random) -> None:
    known = 0
    before: dict[int, tuple[int, list[object]]] = {}
    for turn in range(48):
        # One thing at a time: what is changed back is not changed.
        if turn % 6 == 0:
            await ledger.add_recordings(map(recording, range(known, known + 35)))
            known += 35
        elif turn % 6 == 1:
            await ledger.add_recordings([recording(rng.randrange(known), rng.choice([100, None, 7]))])
        else:
            [entry, *_] = await ledger.next_entries(rng.randrange(known))
            await change(rng, ledger, entry)
        after = await snapshot(ledger)
        # A part has another revision if, and only if, one of its rows is another one.
        for part, (revision, content) in after.items():
            old_revision, old_content = before.get(part, (0, []))
            assert (revision > old_revision) == (content != old_content)
        sums = {row["state"]: Count(row["n"], int(row["bytes"])) for row in await ledger._read(_SUMS, ())}
        assert await ledger.counts() == {state: sums.get(state, Count(0, 0)) for state in State}
        before = after
    assert len(before) == 3


_SUMS = "SELECT state, count(*) AS n, total(bytes) AS bytes FROM recordings GROUP BY state"


async def snapshot(ledger: Ledger) -> dict[int, tuple[int, list[object]]]:
    """Return the revision and the rows of each part."""
    query = "SELECT * FROM recordings WHERE number > ? AND number <= ?"
    return {
        part: (revision, [tuple(row) for row in await ledger._read(query, (part * 100, part * 100 + 100))])
        for part, revision in (await ledger.part_revisions()).items()
    }


async def change(rng: random.Random, ledger: Ledger, entry: Entry) -> None:
    copy = Download("RT1", "x", rng.randrange(3), "digest")
    changes: list[Callable[[], Awaitable[None]]] = [
        partial(ledger.mark_archived, entry, copy),
        partial(ledger.mark_failed, entry, rng.choice(["a", "b"])),
        partial(ledger.mark_missing, entry),
        partial(ledger.mark_tried, entry, None),
        partial(ledger.mark_room_listed, "RM1"),
    ]
    await rng.choice(changes)()


async def test_a_part_has_a_thousand_numbers(ledger: Ledger) -> None:
    await ledger.add_recordings(map(recording, range(2 * PART_SIZE + 1)))
    numbers = {
        part: [entry.number async for batch in ledger.entries(part) for entry in batch]
        for part in await ledger.part_revisions()
    }
    assert {part: (found[0], found[-1], len(found)) for part, found in numbers.items()} == {
        0: (1, 1_000, 1_000),
        1: (1_001, 2_000, 1_000),
        2: (2_001, 2_001, 1),
    }


async def test_a_run_that_finds_nothing_new_reads_no_list_of_recordings_and_writes_nothing(
    ledger: Ledger, path: Path
) -> None:
    await ledger.add_recordings(map(recording, range(1_100)))
    await ledger.begin_run()
    asked: list[str] = []
    await ledger._call(partial(ledger._connection.set_trace_callback, asked.append))
    changes = ledger._connection.total_changes
    assert await ledger.queue_window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)) == Count(0, 0)
    assert await ledger.next_queued(0, KEPT_AFTER) == ([], 0)
    await ledger.forget_listed_rooms()
    await ledger.counts()
    await ledger.count_left_alone()
    await ledger.part_revisions()
    await ledger.written_files()
    assert ledger._connection.total_changes == changes
    await ledger._call(partial(ledger._connection.set_trace_callback, None))
    statements = [each for each in asked if each.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")]
    assert len(statements) >= 8
    for statement in statements:
        for row in await ledger._read(f"EXPLAIN QUERY PLAN {statement}", ()):
            assert not row["detail"].startswith("SCAN recordings"), statement


async def test_a_record_that_is_listed_again_unchanged_is_not_written(ledger: Ledger) -> None:
    await ledger.add_recordings(map(recording, range(100)))
    before, revisions = ledger._connection.total_changes, await ledger.part_revisions()
    await ledger.add_recordings(map(recording, range(100)))
    assert ledger._connection.total_changes == before
    assert await ledger.part_revisions() == revisions
    await ledger.add_recordings([recording(3, 7)])
    assert (await ledger.next_entries(3))[0].recording.size == 7


class TestQueue:
    async def test_what_has_a_copy_comes_behind_all_that_has_none(self, ledger: Ledger) -> None:
        await ledger.add_recordings(map(recording, range(4)))
        for entry in (await ledger.next_entries(0))[:2]:
            await ledger.mark_archived(entry, Download(entry.sid, "x", 1, "digest"))
        await ledger.begin_run()
        await ledger.add_recordings(map(recording, range(3)))
        kept, kept_position = await ledger.next_queued(KEPT_AFTER, limit=1)
        new, position = await ledger.next_queued(0, KEPT_AFTER)
        assert ([entry.number for entry in kept], [entry.number for entry in new]) == ([1], [3])
        # What is found meanwhile has its place, too.
        await ledger.add_recordings([recording(9), recording(3)])
        assert [entry.number for entry in (await ledger.next_queued(position, KEPT_AFTER))[0]] == [5, 4]
        assert [entry.number for entry in (await ledger.next_queued(kept_position))[0]] == [2]

    async def test_it_is_gone_with_its_run(self, path: Path) -> None:
        async with Ledger(path, ".") as ledger:
            await ledger.add_recordings([recording(1)])
        async with Ledger(path, ".") as ledger:
            assert await ledger.next_queued(0) == ([], 0)


class TestFailures:
    async def queued(self, ledger: Ledger, size: int = 100) -> tuple[int, datetime | None]:
        await ledger.begin_run()
        await ledger.add_recordings([recording(1, size)])
        [entry], _ = await ledger.next_queued(0)
        return entry.attempts, entry.retry_at

    async def test_they_are_counted_over_runs(self, path: Path) -> None:
        later = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
        for attempts in range(4):
            async with Ledger(path, ".") as ledger:
                expected = later + timedelta(days=attempts - 1) if attempts else None
                assert await self.queued(ledger) == (attempts, expected)
                [entry], _ = await ledger.next_queued(0)
                await ledger.mark_failed(entry, "broken")
                await ledger.mark_tried(entry, later + timedelta(days=attempts))

    async def test_they_begin_anew_after_success_or_a_change_at_the_source(self, ledger: Ledger) -> None:
        async def fail() -> None:
            await self.queued(ledger)
            [entry], _ = await ledger.next_queued(0)
            await ledger.mark_tried(entry, datetime.now(UTC))

        await fail()
        assert (await self.queued(ledger))[0] == 1
        assert (await self.queued(ledger, size=7)) == (0, None)
        await fail()
        [entry], _ = await ledger.next_queued(0)
        await ledger.mark_archived(entry, Download(entry.sid, "x", 1, "digest"), "no proof")
        assert (await self.queued(ledger))[0] == 1
        await ledger.mark_archived(entry, Download(entry.sid, "x", 1, "digest"))
        assert (await self.queued(ledger)) == (0, None)


async def test_what_was_written_of_the_manifest_is_remembered(path: Path) -> None:
    for file in (WrittenFile(3, "a"), WrittenFile(4, "b")):
        async with Ledger(path, ".") as ledger:
            await ledger.mark_written("manifest.jsonl", file)
        async with Ledger(path, ".") as ledger:
            assert await ledger.written_files() == {"manifest.jsonl": file}
