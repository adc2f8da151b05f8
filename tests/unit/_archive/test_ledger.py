"""The ledger of an archive: its states and counts, its file, and who may open it."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from roomrec_async import ConfigurationError, Download, MediaError, Recording, _files
from roomrec_async._archive import ledger as ledger_module
from roomrec_async._archive.ledger import Count, Entry, Ledger, State

DIGEST = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def recording(number: int, size: int | None = 100, *, external: bool = False) -> Recording:
    location = "https://bucket.example/x" if external else None
    return Recording(sid=f"RT{number:032x}", room_sid="RM1", size=size, media_external_location=location)


def copy_of(entry: Entry, size: int = 3) -> Download:
    return Download(entry.sid, f"/archive/{entry.sid}", size, DIGEST, '"etag"')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ledger.sqlite3"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(path, "/archive") as ledger:
        yield ledger


async def add(ledger: Ledger, *recordings: Recording) -> list[Entry]:
    await ledger.add_recordings(recordings)
    return await ledger.next_entries(0)


async def only(ledger: Ledger) -> Entry:
    [entry] = await ledger.next_entries(0)
    return entry


class TestAdding:
    async def test_new_recordings_are_counted_and_known_ones_keep_their_state(self, ledger: Ledger) -> None:
        assert await ledger.add_recordings([recording(1, 10), recording(2, None)]) == Count(2, 10)
        [first, _] = await ledger.next_entries(0)
        await ledger.mark_archived(first, copy_of(first))
        assert await ledger.add_recordings([recording(1, 99), recording(3, 5), recording(3, 5)]) == Count(1, 5)
        await ledger.begin_run()
        # The size of the first one is not to be copied any more.
        assert await ledger.add_recordings([recording(1, 99), recording(3, 5), recording(3, 5)]) == Count(2, 5)
        entries = await ledger.next_entries(0)
        assert [(entry.number, entry.sid, entry.state) for entry in entries] == [
            (1, f"RT{1:032x}", State.ARCHIVED),
            (2, f"RT{2:032x}", State.FOUND),
            (3, f"RT{3:032x}", State.FOUND),
        ]
        assert entries[0].recording == recording(1, 99)

    async def test_a_deleted_recording_keeps_its_fields(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1, 10))
        await ledger.mark_archived(entry, copy_of(entry))
        await ledger.mark_deleted(entry)
        await ledger.add_recordings([recording(1, None)])
        assert (await only(ledger)).recording == recording(1, 10)

    async def test_recordings_in_the_accounts_own_bucket_are_external(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1, external=True))
        assert entry.state is State.EXTERNAL

    async def test_a_recording_survives_with_all_its_fields(self, ledger: Ledger) -> None:
        original = Recording(
            sid=f"RT{1:032x}",
            track_name="Ångström, Ph.D. \N{GRINNING FACE}",
            date_created=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
            links={"media": "https://x.example/Media"},
        )
        [entry] = await add(ledger, original)
        assert entry.recording == original


class TestStates:
    async def test_an_archived_recording_has_its_copy(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1))
        before = datetime.now(UTC)
        await ledger.mark_archived(entry, copy_of(entry))
        entry = await only(ledger)
        assert entry.state is State.ARCHIVED
        assert (entry.location, entry.bytes, entry.sha256, entry.etag) == (
            f"/archive/{entry.sid}", 3, DIGEST, '"etag"',
        )  # fmt: skip
        assert entry.archived_at is not None
        assert before <= entry.archived_at <= datetime.now(UTC)
        assert (entry.deleted_at, entry.error) == (None, None)

    async def test_a_deleted_recording_keeps_its_copy(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1))
        await ledger.mark_archived(entry, copy_of(entry))
        await ledger.mark_deleted(entry)
        entry = await only(ledger)
        assert (entry.state, entry.sha256) == (State.DELETED, DIGEST)
        assert entry.archived_at is not None
        assert entry.deleted_at is not None
        assert entry.archived_at <= entry.deleted_at

    async def test_a_failure_before_there_is_a_copy_is_retried(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1))
        await ledger.mark_failed(entry, "no key")
        entry = await only(ledger)
        assert (entry.state, entry.error) == (State.FAILED, "no key")
        [queued], _ = await ledger.next_queued(0)
        assert queued == entry
        await ledger.mark_archived(entry, copy_of(entry))
        assert (await only(ledger)).error is None

    async def test_a_deletion_that_fails_leaves_the_recording_archived(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1))
        await ledger.mark_archived(entry, copy_of(entry))
        await ledger.mark_failed(entry, "refused")
        entry = await only(ledger)
        assert (entry.state, entry.error) == (State.ARCHIVED, "refused")
        await ledger.mark_deleted(entry)
        assert (await only(ledger)).error is None

    async def test_a_missing_copy_is_to_be_copied_again(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1))
        await ledger.mark_archived(entry, copy_of(entry))
        await ledger.mark_missing(entry)
        entry = await only(ledger)
        assert (entry.state, entry.archived_at) == (State.FOUND, None)

    async def test_each_change_is_of_one_recording(self, ledger: Ledger) -> None:
        [first, second, third] = await add(ledger, recording(1), recording(2), recording(3))
        await ledger.mark_archived(first, copy_of(first))
        await ledger.mark_archived(second, copy_of(second))
        await ledger.mark_deleted(second)
        await ledger.mark_failed(third, "broken")
        states = [entry.state for entry in await ledger.next_entries(0)]
        assert states == [State.ARCHIVED, State.DELETED, State.FAILED]

    async def test_counts_are_of_copies(self, ledger: Ledger) -> None:
        [first, second, third, *_] = await add(ledger, *map(recording, range(5)), recording(5, external=True))
        for entry, size in ((first, 10), (second, 20), (third, 5)):
            await ledger.mark_archived(entry, copy_of(entry, size))
        await ledger.mark_deleted(third)
        assert await ledger.counts() == {
            State.FOUND: Count(2, 0),
            State.ARCHIVED: Count(2, 30),
            State.DELETED: Count(1, 5),
            State.EXTERNAL: Count(1, 0),
            State.FAILED: Count(0, 0),
        }


class TestReading:
    async def test_all_entries_come_in_order_and_in_batches(self, ledger: Ledger) -> None:
        await ledger.add_recordings(map(recording, range(1_201)))
        batches = [batch async for batch in ledger.entries()]
        assert [len(batch) for batch in batches] == [500, 500, 201]
        assert [entry.sid for batch in batches for entry in batch] == [f"RT{number:032x}" for number in range(1_201)]

    async def test_next_entries_are_those_after_a_number(self, ledger: Ledger) -> None:
        await add(ledger, *map(recording, range(4)))
        assert [entry.number for entry in await ledger.next_entries(2)] == [3, 4]
        assert await ledger.next_entries(4) == []

    async def test_what_is_queued_is_found_without_going_through_the_ledger(self, ledger: Ledger) -> None:
        asked: list[str] = []
        await ledger._call(partial(ledger._connection.set_trace_callback, asked.append))
        await ledger.next_queued(0)
        rows = await ledger._read(f"EXPLAIN QUERY PLAN {asked[-1]}", ())
        plan = [row["detail"] for row in rows]
        assert len(plan) == 2
        assert plan[0].startswith("SEARCH queue")
        assert plan[1].startswith("SEARCH recordings USING INTEGER PRIMARY KEY")


async def test_listed_rooms_are_remembered_until_they_are_forgotten(path: Path) -> None:
    async with Ledger(path, "/archive") as ledger:
        assert not await ledger.is_room_listed("RM1")
        await ledger.mark_room_listed("RM1")
        await ledger.mark_room_listed("RM1")
    async with Ledger(path, "/archive") as ledger:
        assert await ledger.is_room_listed("RM1")
        assert not await ledger.is_room_listed("RM2")
        await ledger.forget_listed_rooms()
        assert not await ledger.is_room_listed("RM1")


async def test_a_process_that_is_killed_leaves_what_it_has_recorded(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _RECORD_AND_DIE, str(path))
    assert await process.wait() == -signal.SIGKILL
    async with Ledger(path, "/archive") as ledger:
        [first, second] = await ledger.next_entries(0)
    assert (first.state, first.sha256) == (State.ARCHIVED, "digest")
    assert second.state is State.FOUND


_RECORD_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from roomrec_async import Download, Recording
from roomrec_async._archive.ledger import Ledger, State

async def main():
    async with Ledger(Path(sys.argv[1]), "/archive") as ledger:
        await ledger.add_recordings([Recording(sid="RT1"), Recording(sid="RT2")])
        [first, _] = await ledger.next_entries(0)
        await ledger.mark_archived(first, Download("RT1", "/archive/RT1", 3, "digest"))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class TestFile:
    """The schema is kept, or migrated: ledgers of earlier versions are read."""

    async def test_a_row_has_the_recording_and_its_state(self, path: Path) -> None:
        async with Ledger(path, "/archive") as ledger:
            await ledger.add_recordings([recording(1, 10)])
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("SELECT version, destination FROM about").fetchall() == [(2, "/archive")]
            [(number, sid, text, state)] = connection.execute("SELECT number, sid, recording, state FROM recordings")
        finally:
            connection.close()
        assert (number, sid, state) == (1, f"RT{1:032x}", "found")
        assert json.loads(text)["size"] == 10

    async def test_a_row_written_by_hand_is_read(self, path: Path) -> None:
        async with Ledger(path, "/archive"):
            pass
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(
                """
                INSERT INTO recordings VALUES (
                    7, 'RT1', '{"sid": "RT1", "size": 10}', 'deleted', '/archive/RT1', 10, 'digest', NULL,
                    '2026-03-01T09:30:00+00:00', '2026-03-01T09:31:00+00:00', NULL, NULL, NULL, NULL, NULL
                )
                """
            )
        connection.close()
        async with Ledger(path, "/archive") as ledger:
            entry = await only(ledger)
        assert entry == Entry(
            number=7,
            recording=Recording(sid="RT1", size=10),
            state=State.DELETED,
            location="/archive/RT1",
            bytes=10,
            sha256="digest",
            archived_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
            deleted_at=datetime(2026, 3, 1, 9, 31, tzinfo=UTC),
        )

    async def test_a_ledger_of_version_1_is_migrated(self, path: Path) -> None:
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        first = {"sid": "RT1", "room_sid": "RMAB", "size": 10, "date_created": "2026-03-01T09:30:00+01:00"}
        with connection:
            connection.executescript(_SCHEMA_1)
            connection.execute("INSERT INTO about VALUES (1, '/archive')")
            insert = "INSERT INTO recordings (sid, recording, state, sha256) VALUES (?, ?, 'archived', 'digest')"
            connection.execute(insert, ("RT1", json.dumps(first)))
            connection.execute(insert, ("RT2", '{"sid": "RT2"}'))
            connection.execute(insert, ("RT3", "{"))
            connection.execute("INSERT INTO listed_rooms VALUES ('RMAB')")
        connection.close()

        for _ in range(2):
            async with Ledger(path, "/archive") as ledger:
                await ledger.begin_run()
                assert await ledger.count_left_alone() == 3
                assert await ledger.queue_room("RMAB") == Count(1, 0)
                [entry], _ = await ledger.next_queued(0)
                assert (entry.sid, entry.sha256, entry.unproven) == ("RT1", "digest", None)
                assert await ledger.queue_window(datetime(2026, 3, 1, 8, 30, tzinfo=UTC), None) == Count(0, 0)
                assert await ledger.add_recordings([Recording(sid="RT2")]) == Count(1, 0)
                assert await ledger.count_left_alone() == 1

    @pytest.mark.parametrize(
        ("column", "value", "reason"),
        [
            ("recording", "{", "row 1 cannot be read"),
            ("recording", b"\xff", "row 1 cannot be read"),
            ("recording", "[]", "row 1 cannot be read"),
            ("recording", '{"sid": "RT2"}', "it is that of '" + f"RT{1:032x}" + "', with the fields of 'RT2'"),
            ("room_sid", "RM2", "its room_sid is 'RM2', and that of its recording 'RM1'"),
            ("created", 1.5, "its created is 1.5, and that of its recording None"),
            ("size", 11, "its size is 11, and that of its recording 10"),
            ("size", "much", "its size is 'much'"),
            ("state", "lost", "'lost' is not a valid State"),
            ("archived_at", "yesterday", "row 1 cannot be read"),
            ("deleted_at", 7, "row 1 cannot be read"),
        ],
    )
    async def test_a_damaged_row_is_an_error_that_names_it(
        self, path: Path, column: str, value: object, reason: str
    ) -> None:
        async with Ledger(path, "/archive") as ledger:
            await ledger.add_recordings([recording(1, 10)])
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(f"UPDATE recordings SET {column} = ?", (value,))
        connection.close()
        async with Ledger(path, "/archive") as ledger:
            with pytest.raises(ConfigurationError, match=r"ledger\.sqlite3 is damaged: row 1.*Restore") as caught:
                await ledger.next_entries(0)
        assert reason in str(caught.value)


_SCHEMA_1 = """
CREATE TABLE about (version INTEGER NOT NULL, destination TEXT NOT NULL);
CREATE TABLE recordings (
    number INTEGER PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    recording TEXT NOT NULL,
    state TEXT NOT NULL,
    location TEXT,
    bytes INTEGER,
    sha256 TEXT,
    etag TEXT,
    archived_at TEXT,
    deleted_at TEXT,
    error TEXT
);
CREATE INDEX recordings_by_state ON recordings (state, number);
CREATE TABLE listed_rooms (room_sid TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class TestQueue:
    """What the source of a run names, in the order in which it was found."""

    async def test_it_has_what_was_named_since_the_run_began(self, ledger: Ledger) -> None:
        await ledger.add_recordings(map(recording, range(3)))
        await ledger.begin_run()
        assert await ledger.next_queued(0) == ([], 0)
        await ledger.add_recordings([recording(2), recording(5), recording(0), recording(2)])
        entries, position = await ledger.next_queued(0)
        assert [entry.number for entry in entries] == [3, 4, 1]
        assert await ledger.next_queued(position) == ([], position)
        # A recording that is known for long comes after those seen already.
        await ledger.add_recordings([recording(1)])
        entries, _ = await ledger.next_queued(position)
        assert [entry.number for entry in entries] == [2]

    async def test_it_skips_what_needs_nothing(self, ledger: Ledger) -> None:
        [archived, deleted, failed, *_] = await add(ledger, *map(recording, range(4)), recording(4, external=True))
        await ledger.mark_archived(archived, copy_of(archived))
        await ledger.mark_archived(deleted, copy_of(deleted))
        await ledger.mark_deleted(deleted)
        await ledger.mark_failed(failed, "broken")
        entries, _ = await ledger.next_queued(0)
        assert [entry.number for entry in entries] == [1, 3, 4]

    async def test_rooms_have_one_spelling(self, ledger: Ledger) -> None:
        await ledger.add_recordings([Recording(sid="RT1", room_sid="RMab", size=7), Recording(sid="RT2", size=1)])
        await ledger.begin_run()
        assert await ledger.queue_room("rmAB") == Count(1, 7)
        assert await ledger.queue_room("RMab") == Count(0, 0)

    async def test_a_window_includes_its_first_instant_only(self, ledger: Ledger) -> None:
        dates = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (8, 9, 10)]
        await ledger.add_recordings(
            [Recording(sid=f"RT{number}", date_created=date) for number, date in enumerate(dates)]
            + [Recording(sid="RT9")]
        )
        await ledger.begin_run()
        assert await ledger.queue_window(dates[1], dates[2]) == Count(1, 0)
        [entry], _ = await ledger.next_queued(0)
        assert entry.recording.date_created == dates[1]
        assert await ledger.queue_window(dates[0], None) == Count(2, 0)

    async def test_copies_that_are_not_in_it_are_left_alone(self, ledger: Ledger) -> None:
        [first, second, third] = await add(ledger, *map(recording, range(3)))
        for entry in (first, second):
            await ledger.mark_archived(entry, copy_of(entry))
        await ledger.mark_failed(third, "broken")
        assert await ledger.count_left_alone() == 0
        await ledger.begin_run()
        assert await ledger.count_left_alone() == 2
        await ledger.add_recordings([recording(1)])
        assert await ledger.count_left_alone() == 1

    async def test_a_size_beyond_all_disks_is_not_summed_up(self, ledger: Ledger) -> None:
        assert await ledger.add_recordings([recording(1, 10**30)]) == Count(1, 0)


class TestUnfinished:
    """A ledger whose first run was killed between its tables and what they belong to."""

    @pytest.mark.parametrize("tables", [1, 2, 3, 4])
    async def test_of_version_1(self, path: Path, tables: int) -> None:
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.executescript(";".join(_SCHEMA_1.split(";")[:tables]))
        connection.close()
        await self.is_usable(path)

    async def test_of_the_present_version(self, path: Path) -> None:
        async with Ledger(path, "/archive"):
            pass
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("DELETE FROM about")
        connection.close()
        await self.is_usable(path)

    async def test_one_with_recordings_is_damaged(self, path: Path) -> None:
        async with Ledger(path, "/archive") as ledger:
            await ledger.add_recordings([recording(1)])
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("DELETE FROM about")
        connection.close()
        with pytest.raises(ConfigurationError, match="is damaged: it does not say of which archive"):
            async with Ledger(path, "/archive"):
                pass
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT count(*) FROM recordings").fetchall() == [(1,)]
        connection.close()

    async def test_the_database_of_another_program_stays_as_it_is(self, path: Path) -> None:
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE recordings (name TEXT)")
        with pytest.raises(ConfigurationError, match=r"is not a ledger: it has other tables \(recordings\)"):
            async with Ledger(path, "/archive"):
                pass
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recordings",)]
        connection.close()

    async def is_usable(self, path: Path) -> None:
        for _ in range(2):
            async with Ledger(path, "/archive") as ledger:
                await ledger.begin_run()
                await ledger.add_recordings([recording(1, 10)])
                assert (await only(ledger)).recording == recording(1, 10)


class TestRefused:
    @pytest.mark.parametrize(
        ("kind", "other"), [("store", {"store": "https://b.example"}), ("account", {"account_sid": "AC2"})]
    )
    async def test_the_ledger_of_another_store_or_account(self, path: Path, kind: str, other: dict[str, str]) -> None:
        # A ledger of an earlier version has neither.
        async with Ledger(path, "s3://bucket/"):
            pass
        first = {"store": "https://a.example", "account_sid": "AC1"}
        for _ in range(2):
            async with Ledger(path, "s3://bucket/", **first):
                pass
        async with Ledger(path, "s3://bucket/"):
            pass
        with pytest.raises(
            ConfigurationError, match=f"is the ledger of {kind} .*, not of {next(iter(other.values()))}"
        ):
            async with Ledger(path, "s3://bucket/", **first | other):
                pass

    async def test_two_spellings_of_an_account_are_one(self, path: Path) -> None:
        for account_sid in ("ACab", "acAB"):
            async with Ledger(path, "/archive", account_sid=account_sid):
                pass

    async def test_the_ledger_of_another_destination(self, path: Path) -> None:
        async with Ledger(path, "/archive"):
            pass
        with pytest.raises(
            ConfigurationError, match=r"ledger\.sqlite3 is the ledger of /archive \(version 2\), not of /other"
        ):
            async with Ledger(path, "/other"):
                pass

    async def test_a_ledger_of_another_version(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Ledger(path, "/archive"):
            pass
        monkeypatch.setattr(ledger_module, "_VERSION", 3)
        with pytest.raises(ConfigurationError, match=r"of /archive \(version 2\)"):
            async with Ledger(path, "/archive"):
                pass

    async def test_a_file_that_is_not_a_database(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no database " * 100)
        with pytest.raises(ConfigurationError, match="text is not a ledger: file is not a database"):
            async with Ledger(tmp_path / "text", "/archive"):
                pass
        assert (tmp_path / "text").read_text() == "no database " * 100

    async def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="cannot be opened"):
            async with Ledger(tmp_path, "/archive"):
                pass

    async def test_a_ledger_that_is_in_use(self, path: Path) -> None:
        async with Ledger(path, "/archive") as first:
            with pytest.raises(MediaError, match=f"another process is archiving with {path}: wait for its end"):
                async with Ledger(path, "/archive"):
                    pass
            await first.add_recordings([recording(1)])
        async with Ledger(path, "/archive") as second:
            assert (await only(second)).recording == recording(1)


class TestDisk:
    @pytest.mark.parametrize("how", ["removed", "directory", "replaced"])
    async def test_a_ledger_that_vanishes_is_an_error_that_names_it(self, path: Path, how: str) -> None:
        async with Ledger(path, "/archive") as ledger:
            [entry] = await add(ledger, recording(1))
            if how == "directory":
                path.parent.rename(path.parent.with_name("elsewhere"))
            else:
                path.rename(path.with_name("elsewhere"))
            if how == "replaced":
                path.touch()
            with pytest.raises(FileNotFoundError) as caught:
                await ledger.mark_archived(entry, copy_of(entry))
            assert caught.value.filename == str(path)

    async def test_a_new_one_survives_a_power_loss(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[Path] = []
        monkeypatch.setattr(_files, "sync_directory", synced.append)
        monkeypatch.setattr(ledger_module, "sync_directory", synced.append)
        async with Ledger(path, "/archive"):
            assert synced == [path.parent.parent, path.parent]

    async def test_a_full_one_is_an_error_that_names_the_ledger(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger_module, "_SCHEMA", f"{ledger_module._SCHEMA} PRAGMA max_page_count = 30;")
        async with Ledger(path, "/archive") as ledger:
            with pytest.raises(OSError, match=r"No space left on device: .*ledger\.sqlite3") as caught:
                await ledger.add_recordings(map(recording, range(1_000)))
            assert caught.value.errno == errno.ENOSPC
            # All or nothing.
            assert await ledger.next_entries(0) == []

    async def test_another_failure_is_an_error_that_names_the_ledger(self, ledger: Ledger, path: Path) -> None:
        with pytest.raises(OSError, match="no such table") as caught:
            await ledger._write("DELETE FROM missing", [()])
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
