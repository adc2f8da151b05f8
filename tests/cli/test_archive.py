"""``roomrec archive`` against a simulator on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from roomrec_async import _lease as leases
from roomrec_async._archive.stored import open_state
from roomrec_async._format import format_size
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator, faults

from ..integration.conftest import serving
from .conftest import (
    UNKNOWN_ROOM,
    Command,
    Record,
    assert_harmless,
    completed,
    deletions,
    files_in,
    hostile,
    interrupt,
    is_plain,
    large_recording,
    media_files,
    names_in,
    plain_rooms,
    room_with,
    run_on_terminal,
    screen,
    start_process,
    without_store_credentials,
)


def not_plain(simulator: Simulator) -> list[Record]:
    return [record for record in completed(simulator) if not is_plain(record)]


def archive_files(simulator: Simulator, records: list[Record]) -> dict[str, bytes]:
    """Return the files that an archive of these recordings must have."""
    return {
        f"{record['room_sid']}/{name}": content
        for record in records
        for name, content in media_files(simulator, [record]).items()
    }


def archived(directory: Path) -> dict[str, bytes]:
    """Return the files in the rooms' folders of an archive."""
    return {name: content for name, content in files_in(directory).items() if name.startswith("RM")}


def manifest(directory: Path) -> list[Record]:
    return [json.loads(line) for line in (directory / "manifest.jsonl").read_text("utf-8").splitlines()]


class TestArchive:
    def test_of_rooms(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sids, count = plain_rooms(simulator), len(completed(simulator, *plain_rooms(simulator)))
        outcome = roomrec("archive", *room_sids, "-o", tmp_path)
        assert (outcome.code, outcome.out) == (0, "")
        (summary,) = outcome.errors
        assert summary.startswith(f"{count} recordings in the archive, ")
        assert summary.endswith(f"; listed in {tmp_path / 'manifest.jsonl'}")
        assert archived(tmp_path) == archive_files(simulator, completed(simulator, *room_sids))
        assert [row["state"] for row in manifest(tmp_path)] == ["archived"] * count

    def test_it_is_run_again(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        first = roomrec("archive", *plain_rooms(simulator)[:2], "-o", tmp_path)
        fetched, stored = simulator.store.stats.requests, archived(tmp_path)
        assert roomrec("archive", *plain_rooms(simulator)[:2], "-o", tmp_path) == first
        assert (simulator.store.stats.requests, archived(tmp_path)) == (fetched, stored)

    def test_of_a_window_of_the_account(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_bytes(simulator.private_key_pem)
        everything = sorted(record["date_created"] for record in completed(simulator))
        external = completed(simulator, room_with(simulator, "media_external_location"))
        after, before = everything[len(everything) // 4], max(record["date_created"] for record in external)
        window = ("--after", after, "--before", before, "--private-key", tmp_path / "key.pem", "--at-once", "2")
        outcome = roomrec("archive", *window, "-o", tmp_path / "archive")
        wanted = [record for record in completed(simulator) if after <= record["date_created"] < before]
        stored = [record for record in wanted if record["media_external_location"] is None]
        assert 0 < len(stored) < len(wanted) < len(everything)
        assert any(record["encryption_key"] for record in stored)
        assert outcome.code == 0
        assert archived(tmp_path / "archive") == archive_files(simulator, stored)
        assert sorted(row["sid"] for row in manifest(tmp_path / "archive")) == sorted(each["sid"] for each in wanted)
        assert f"; {len(wanted) - len(stored)} more in a bucket of your own; " in outcome.err

    def test_what_is_copied_is_deleted(self, fresh: Simulator, roomrec: Command, tmp_path: Path) -> None:
        expected, others = archive_files(fresh, [*filter(is_plain, completed(fresh))]), [*not_plain(fresh)]
        arguments = ("archive", *fresh.room_sids, "-o", tmp_path, "--delete", "--yes")
        outcome = roomrec(*arguments)
        encrypted = [record for record in others if record["encryption_key"]]
        # What failed is not deleted.
        assert outcome.code == 1
        *failures, last = outcome.errors
        assert sorted(line.partition(":")[0] for line in failures) == sorted(record["sid"] for record in encrypted)
        assert f"{len(expected)} of them deleted at the service" in last
        assert f"{len(encrypted)} failed: run the command again to retry them" in last
        assert archived(tmp_path) == expected
        assert completed(fresh) == others
        (tmp_path / "key.pem").write_bytes(fresh.private_key_pem)
        again = roomrec(*arguments, "--private-key", tmp_path / "key.pem")
        assert again.code == 0
        assert len(archived(tmp_path)) == len(expected) + len(encrypted)
        assert all(record["media_external_location"] for record in completed(fresh))
        assert len(deletions(fresh)) == len(expected) + len(encrypted)

    def test_what_keeps_failing_is_tried_again_later_or_when_asked_to(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        refused, *others = completed(simulator, plain_rooms(simulator)[0])
        gone = json.dumps({"code": 20404, "message": "no such media", "status": 404})
        arguments = ("archive", refused["room_sid"], "-o", tmp_path)

        def is_asked_for(*options: str) -> bool:
            """Run the command, and return True if it asked for the media that are refused."""
            simulator.inject(faults.Respond(404, gone.encode()), path_contains=f"{refused['sid']}/Media")
            before = simulator.stats.requests
            outcome = roomrec(*arguments, *options)
            simulator.clear_faults()
            assert outcome.code == 1
            assert outcome.errors[0].startswith(f"{refused['sid']}: ")
            assert "HTTP 404, code 20404" in outcome.errors[0]
            return simulator.stats.requests - before > 1

        assert is_asked_for()
        assert not is_asked_for()
        last = roomrec(*arguments).errors[-1]
        when = "1 of them not to be tried again before 20..-..-.. ..:.. UTC: --retry-failed tries all now"
        assert re.search(f"; 1 failed, {when}; ", last)
        outcome = roomrec(*arguments, "--json")
        report = json.loads(outcome.out)
        assert list(report["failures"]) == list(report["next_tries"]) == [refused["sid"]]
        assert (report["failed"], report["postponed"], report["archived"]) == (1, 1, len(others))
        assert report["manifest"] == [str(tmp_path / "manifest.jsonl")]
        assert datetime.fromisoformat(report["next_tries"][refused["sid"]]) > datetime.now(UTC)
        outcome = roomrec(*arguments, "--retry-failed", "--json")
        assert (outcome.code, json.loads(outcome.out)["failures"]) == (0, {})

    def test_without_yes_it_only_shows_what_it_would_do(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        everything, fetched = completed(simulator), simulator.store.stats.requests
        stored = [record for record in everything if record["media_external_location"] is None]
        size = format_size(sum(record["size"] for record in stored))
        external = len(everything) - len(stored)
        for source in (simulator.room_sids, ("--after", "2026-01-01T00Z")):
            outcome = roomrec("archive", *source, "-o", tmp_path / "archive", "--delete")
            assert outcome.code == 0
            assert sorted(line[:34] for line in outcome.lines) == sorted(record["sid"] for record in stored)
            assert outcome.err == (
                "not shown for lack of width: status, length, participant\n"
                f"nothing was copied or deleted: --yes would copy {len(stored)} recordings, {size}, and delete them at "
                f"the service; {external} more in a bucket of your own\n"
            )
        assert (deletions(simulator), simulator.store.stats.requests, names_in(tmp_path)) == ([], fetched, [])
        assert completed(simulator) == everything

    def test_a_room_that_fails_is_named_without_yes_too(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        outcome = roomrec("archive", UNKNOWN_ROOM, "-o", tmp_path / "archive", "--delete")
        assert outcome.code == 1
        assert outcome.errors[0].startswith(f"{UNKNOWN_ROOM}: HTTP 404")
        assert outcome.errors[1].endswith(", 1 failed")
        assert deletions(simulator) == names_in(tmp_path) == []

    def test_after_ctrl_c_it_resumes(self, fresh: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid, record = large_recording(fresh)
        expected = archive_files(fresh, completed(fresh, room_sid))
        fresh.store.inject(faults.StallBody(80_000, 20), path_contains=record["sid"])
        running = start_process("archive", room_sid, "-o", tmp_path, "--delete", "--yes")
        outcome = interrupt(running, lambda: len(deletions(fresh)) == len(expected) - 1)
        assert outcome == (130, "", "roomrec: interrupted\n")
        assert record in completed(fresh, room_sid)
        again = roomrec("archive", room_sid, "-o", tmp_path, "--delete", "--yes")
        assert again.code == 0
        assert archived(tmp_path) == expected
        assert completed(fresh, room_sid) == []

    def test_its_manifest_as_parquet(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("archive", room_sid, "-o", tmp_path, "--manifest", "parquet", "--manifest", "jsonl")
        assert outcome.code == 0
        assert f"listed in {tmp_path / 'manifest.parquet'} and {tmp_path / 'manifest.jsonl'}" in outcome.err
        sids = pq.read_table(tmp_path / "manifest.parquet")["sid"].to_pylist()
        assert sids == [row["sid"] for row in manifest(tmp_path)]
        assert sorted(sids) == sorted(record["sid"] for record in completed(simulator, room_sid))

    def test_what_is_no_ledger_stays_as_it_is(self, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("not a database " * 100, "utf-8")
        arguments = ("-o", tmp_path / "archive", "--ledger", tmp_path / "notes.txt")
        assert "notes.txt" in roomrec.fails("archive", UNKNOWN_ROOM, *arguments)
        assert (tmp_path / "notes.txt").read_text("utf-8") == "not a database " * 100

    def test_another_process_at_work_is_no_mistake(self, roomrec: Command, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger.sqlite3"
        assert roomrec("archive", UNKNOWN_ROOM, "-o", tmp_path).code == 1
        with closing(sqlite3.connect(ledger)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            line = roomrec.fails("archive", UNKNOWN_ROOM, "-o", tmp_path, code=1)
        assert line == f"roomrec: another process is archiving with {ledger}: wait for its end"

    def test_into_the_directory_of_a_file_url(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        assert roomrec("archive", room_sid, "-o", f"file://{tmp_path}/").code == 0
        assert "ledger.sqlite3" in names_in(tmp_path)
        assert archived(tmp_path) == archive_files(simulator, completed(simulator, room_sid))

    @pytest.mark.parametrize("where", ["file", "store"])
    def test_a_store_without_credentials(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        without_store_credentials(simulator, monkeypatch)
        ledger = ("--ledger", tmp_path / "ledger.sqlite3") if where == "file" else ()
        outcome = roomrec("archive", plain_rooms(simulator)[0], "-o", "s3://bucket/rooms", *ledger)
        assert outcome.code in {1, 2}
        (line,) = outcome.errors
        assert line.startswith("roomrec: s3://bucket")
        assert "credentials" in line

    def test_rooms_that_fail_do_not_stop_the_others(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = plain_rooms(simulator)[0]
        (tmp_path / "rooms.txt").write_text(f"nonsense\n{UNKNOWN_ROOM}\n{room_sid}\n", "utf-8")
        outcome = roomrec("archive", "--from-file", tmp_path / "rooms.txt", "-o", tmp_path / "archive")
        assert outcome.code == 1
        malformed, unknown, last = outcome.errors
        assert malformed.startswith(f"{tmp_path / 'rooms.txt'}:1: no room is named 'nonsense'")
        assert unknown.startswith(f"{UNKNOWN_ROOM}: ")
        assert "HTTP 404, code 20404" in unknown
        assert "1 failed" in last
        assert archived(tmp_path / "archive") == archive_files(simulator, completed(simulator, room_sid))

    def test_hostile_fields_and_messages(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        refused, *others = completed(simulator, plain_rooms(simulator)[0])
        message = json.dumps({"code": 20003, "message": "\x1b]0;owned\x07\nroomrec: all good", "status": 403})
        refusal = faults.Respond(403, message.encode(), content_type="application/json")
        for field in ("track_name", "container_format"):
            simulator.inject(hostile(field))
            simulator.inject(refusal, path_contains=f"{refused['sid']}/Media")
            outcome = roomrec("archive", refused["room_sid"], "-o", tmp_path / field)
            assert (outcome.code, len(outcome.errors)) == (1, 2)
            assert outcome.errors[0].startswith(f"{refused['sid']}: ")
            assert_harmless(outcome.err)
            names = {name.partition(".")[0] for name in archived(tmp_path / field)}
            assert names == {f"{record['room_sid']}/{record['sid']}" for record in others}

    @pytest.mark.parametrize("field", ["sid", "room_sid"])
    def test_hostile_sids_lead_nowhere(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, field: str
    ) -> None:
        before, after = f'"{field}":"'.encode(), f'"{field}":"../../\\u001b[2J'.encode()
        simulator.inject(faults.Replace(lambda body: body.replace(before, after)))
        outcome = roomrec("archive", plain_rooms(simulator)[0], "-o", tmp_path / "a" / "b" / "archive")
        assert outcome.code == 1
        assert_harmless(outcome.err)
        assert {name for name in files_in(tmp_path) if not name.startswith("a/b/archive/")} == set()
        assert not any("RT" in name for name in files_in(tmp_path))

    def test_wrong_credentials(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        for source in (plain_rooms(simulator), ["--after", "2026-01-01T00Z"]):
            line = roomrec.fails("archive", *source, "-o", tmp_path, code=3)
            assert "HTTP 401, code 20003" in line
            assert "secret" not in line

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "nothing to archive: give rooms, or --after TIME for the whole account"),
            (["--before", "2026-03-01T00Z"], "--before needs --after TIME"),
            ([UNKNOWN_ROOM, "--after", "2026-03-01T00Z"], "give either rooms, or --after and --before"),
            (["--after", "2026-03-02T00Z", "--before", "2026-03-01T00Z"], "2026-03-0"),
            (["--after", "2026-03-01T09:30"], "has no time zone"),
            ([UNKNOWN_ROOM, "--yes"], "--yes is for --delete"),
            ([UNKNOWN_ROOM, "--manifest", "xlsx"], "'xlsx' is not one of"),
            ([UNKNOWN_ROOM, "--at-once", "0"], "'--at-once': it must be 1 or more, not 0"),
            ([UNKNOWN_ROOM, "--ledger", "."], "is a directory"),
            ([UNKNOWN_ROOM, "-o", __file__], __file__),
            ([UNKNOWN_ROOM, "-o", f"{__file__}/archive"], __file__),
        ],
    )
    def test_mistakes(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        asked = simulator.stats.requests
        assert message in roomrec.fails("archive", "-o", tmp_path / "archive", *arguments)
        assert simulator.stats.requests == asked

    def test_an_archive_shows_how_far_it_is(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large_recording(simulator)
        count = len(completed(simulator, room_sid))
        simulator.store.inject(faults.SlowDrip(250_000), path_contains=record["sid"])
        shown = run_on_terminal("archive", room_sid, "-o", tmp_path)
        assert re.search(r"\d [kM]B/s", shown)
        assert f" of {count} copied" in shown
        (line,) = screen(shown)
        assert line.startswith(f"{count} recordings in the archive, ")


class TestStore:
    """An archive in a server that speaks the S3 protocol, without a ledger."""

    @pytest.fixture
    def url(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        with serving() as (s3, _):
            s3.bucket("bucket")
            monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
            monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                monkeypatch.setenv(name, "testing")
            yield "s3://bucket/rooms"

    def test_it_needs_no_file(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        room_sid = plain_rooms(simulator)[0]
        count = len(completed(simulator, room_sid))
        fetched = simulator.store.stats.requests
        for _ in range(2):
            outcome = roomrec("archive", room_sid, "-o", url)
            assert outcome.code == 0
            (line,) = outcome.errors
            assert line.startswith(f"{count} recordings in the archive, ")
            assert line.endswith(f"; listed in {url}/manifest.jsonl")
        assert simulator.store.stats.requests == fetched + count
        assert names_in(tmp_path) == []

    async def test_another_process_at_work_is_no_mistake(
        self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setattr(leases, "BEAT", 0.3)
        monkeypatch.setattr(leases, "BEATS_MISSED", 1000)
        store = ObjectStore.from_url(url)
        room_sid = plain_rooms(simulator)[0]
        async with open_state(store, simulator.credentials.account_sid):
            outcome = await asyncio.to_thread(roomrec, "archive", room_sid, "-o", url)
        waiting, told = outcome.errors
        assert "a process that was archiving to s3://bucket/rooms/ has not said that it ended" in waiting
        assert told == "roomrec: another process is archiving to s3://bucket/rooms/: wait for its end"
        assert outcome.code == 1

    def test_two_truths(self, simulator: Simulator, roomrec: Command, tmp_path: Path, url: str) -> None:
        room_sid, ledger = plain_rooms(simulator)[0], ("--ledger", tmp_path / "ledger.sqlite3")
        assert roomrec("archive", room_sid, "-o", f"{url}/a").code == 0
        assert "name no ledger (--ledger" in roomrec.fails("archive", room_sid, "-o", f"{url}/a", *ledger)
        assert roomrec("archive", room_sid, "-o", f"{url}/b", *ledger).code == 0
        assert "name it (--ledger FILE" in roomrec.fails("archive", room_sid, "-o", f"{url}/b")
