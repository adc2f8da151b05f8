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
from pathlib import Path

import pytest

from roomrec_async import ConfigurationError, Download, Recording
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
    return await ledger.next_entries(State, 0)


async def only(ledger: Ledger) -> Entry:
    [entry] = await ledger.next_entries(State, 0)
    return entry


class TestAdding:
    async def test_new_recordings_are_counted_and_known_ones_left_alone(self, ledger: Ledger) -> None:
        assert await ledger.add_recordings([recording(1, 10), recording(2, None)]) == Count(2, 10)
        [first, _] = await ledger.next_entries(State, 0)
        await ledger.mark_archived(first, copy_of(first))
        assert await ledger.add_recordings([recording(1, 99), recording(3, 5), recording(3, 5)]) == Count(1, 5)
        entries = await ledger.next_entries(State, 0)
        assert [(entry.number, entry.sid, entry.state) for entry in entries] == [
            (1, f"RT{1:032x}", State.ARCHIVED),
            (2, f"RT{2:032x}", State.FOUND),
            (3, f"RT{3:032x}", State.FOUND),
        ]
        assert entries[0].recording == recording(1, 10)

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
        await ledger.retry_failed()
        entry = await only(ledger)
        assert entry.state is State.FOUND
        await ledger.mark_archived(entry, copy_of(entry))
        assert (await only(ledger)).error is None

    async def test_a_deletion_that_fails_leaves_the_recording_archived(self, ledger: Ledger) -> None:
        [entry] = await add(ledger, recording(1))
        await ledger.mark_archived(entry, copy_of(entry))
        await ledger.mark_failed(entry, "refused")
        entry = await only(ledger)
        assert (entry.state, entry.error) == (State.ARCHIVED, "refused")
        await ledger.retry_failed()
        assert (await only(ledger)).state is State.ARCHIVED
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
        states = [entry.state for entry in await ledger.next_entries(State, 0)]
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

    async def test_next_entries_are_those_after_a_number_in_some_states(self, ledger: Ledger) -> None:
        [first, second, *_] = await add(ledger, *map(recording, range(4)))
        await ledger.mark_archived(first, copy_of(first))
        await ledger.mark_failed(second, "broken")
        numbers = [entry.number for entry in await ledger.next_entries((State.FOUND, State.ARCHIVED), 0)]
        assert numbers == [1, 3, 4]
        assert [entry.number for entry in await ledger.next_entries([State.FOUND], 3)] == [4]
        assert await ledger.next_entries(State, 4) == []


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
        [first, second] = await ledger.next_entries(State, 0)
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
        [first, _] = await ledger.next_entries(State, 0)
        await ledger.mark_archived(first, Download("RT1", "/archive/RT1", 3, "digest"))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class TestFile:
    """The schema is kept: ledgers of earlier versions are read."""

    async def test_a_row_has_the_recording_and_its_state(self, path: Path) -> None:
        async with Ledger(path, "/archive") as ledger:
            await ledger.add_recordings([recording(1, 10)])
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("SELECT version, destination FROM about").fetchall() == [(1, "/archive")]
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
                    '2026-03-01T09:30:00+00:00', '2026-03-01T09:31:00+00:00', NULL
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


class TestRefused:
    async def test_the_ledger_of_another_destination(self, path: Path) -> None:
        async with Ledger(path, "/archive"):
            pass
        with pytest.raises(
            ConfigurationError, match=r"ledger\.sqlite3 is the ledger of /archive \(version 1\), not of /other"
        ):
            async with Ledger(path, "/other"):
                pass

    async def test_a_ledger_of_another_version(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Ledger(path, "/archive"):
            pass
        monkeypatch.setattr(ledger_module, "_VERSION", 2)
        with pytest.raises(ConfigurationError, match=r"of /archive \(version 1\)"):
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
            with pytest.raises(ConfigurationError, match="another archive may be using it already: database is locked"):
                async with Ledger(path, "/archive"):
                    pass
            await first.add_recordings([recording(1)])
        async with Ledger(path, "/archive") as second:
            assert (await only(second)).recording == recording(1)


class TestDisk:
    async def test_a_full_one_is_an_error_that_names_the_ledger(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger_module, "_SCHEMA", f"{ledger_module._SCHEMA} PRAGMA max_page_count = 30;")
        async with Ledger(path, "/archive") as ledger:
            with pytest.raises(OSError, match=r"No space left on device: .*ledger\.sqlite3") as caught:
                await ledger.add_recordings(map(recording, range(1_000)))
            assert caught.value.errno == errno.ENOSPC
            # All or nothing.
            assert await ledger.next_entries(State, 0) == []

    async def test_another_failure_is_an_error_that_names_the_ledger(self, ledger: Ledger, path: Path) -> None:
        with pytest.raises(OSError, match="no such table") as caught:
            await ledger._write("DELETE FROM missing", [()])
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
