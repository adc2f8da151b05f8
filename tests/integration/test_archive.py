"""Runs of an archive: everything once, nothing deleted without a verified copy, whatever happens in between."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from roomrec_async import (
    ArchiveProgress,
    AuthenticationError,
    ConfigurationError,
    Credentials,
    DateWindow,
    InvalidArgumentError,
    MediaError,
    RateLimiter,
    RecordingsClient,
    RetryPolicy,
    RoomRecError,
    ServerError,
)
from roomrec_async._archive.ledger import Ledger
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.protocols import Decryptor
from roomrec_async.simulator import Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

from .conftest import S3Server

KILLS = 50
EVERYTHING = DateWindow(datetime(2025, 12, 1, tzinfo=UTC))
SINGLE = {"manifest": ("jsonl",)}


def simulated(**options: Any) -> Simulator:
    unlimited = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}
    return Simulator(
        **{"rooms": 16, "recordings_per_room": (0, 5), "seed": 6, "media_size": (100, 60_000)} | unlimited | options
    )


def unlimited(sim: Simulator) -> RecordingsClient:
    return sim.client(limiter=RateLimiter(None, None, None), retry=RetryPolicy(base_delay=0))


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with simulated() as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    async with unlimited(sim) as client:
        yield client


@pytest.fixture
def key(sim: Simulator) -> PrivateKey:
    return PrivateKey.from_pem(sim.private_key_pem)


def completed(sim: Simulator) -> list[dict[str, Any]]:
    return [record for sid in sim.room_sids for record in sim.recordings(sid, "completed")]


def is_muted(record: dict[str, Any]) -> bool:
    """A track without any sound: its recording is complete, and has no media."""
    return record["status"] == "completed" and record["duration"] == 0


def muted_throughout(sim: Simulator) -> list[dict[str, Any]]:
    """The recordings that the provider has no media of, though they are in no bucket of the account's own."""
    return [each for each in completed(sim) if is_muted(each) and each["media_external_location"] is None]


def stored(sim: Simulator) -> dict[str, str]:
    """The path in the archive of each recording whose media the provider has."""
    return {
        record["sid"]: f"{record['room_sid']}/{record['sid']}.{record['container_format']}"
        for record in completed(sim)
        if record["media_external_location"] is None and not is_muted(record)
    }


def truth(sim: Simulator, sid: str) -> bytes:
    return b"".join(sim.media(sid))


def manifest(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "manifest.jsonl").read_text().splitlines()]


def copied_record(sim: Simulator) -> dict[str, Any]:
    """A recording whose media the provider has."""
    return next(record for record in completed(sim) if record["sid"] in stored(sim))


def rooms_with_copies(sim: Simulator) -> list[str]:
    return sorted({path.split("/")[0] for path in stored(sim).values()})


def page_of(records: Sequence[dict[str, Any]], next_page_url: str | None = None) -> bytes:
    """The body of a page of these records, by default the only one of its list."""
    url = "https://video.twilio.com/v1/Recordings?PageSize=100&Page=0"
    meta = {"page": 0, "page_size": 100, "first_page_url": url, "previous_page_url": None, "url": url}
    return json.dumps(
        {"recordings": list(records), "meta": meta | {"next_page_url": next_page_url, "key": "recordings"}}
    ).encode()


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


class DeletionsSeen:
    """Looks at the archive at each instant at which something is deleted at the source."""

    def __init__(self, sim: Simulator, directory: Path) -> None:
        self.paths = stored(sim)
        self.contents = {sid: truth(sim, sid) for sid in self.paths}
        self.directory = directory
        self.deleted: list[str] = []
        self.unsafe: list[str] = []

    async def handle(self, exchange: Exchange, /) -> web.Response:
        if exchange.request.method == "DELETE":
            sid = exchange.request.match_info["sid"]
            self.deleted.append(sid)
            copy = self.directory / self.paths[sid]
            if not copy.exists() or copy.read_bytes() != self.contents[sid]:
                self.unsafe.append(sid)
        return await exchange.get_response()


async def test_everything_is_copied_verified_and_listed(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    progress = ArchiveProgress()
    report = await client.archive(sim.room_sids, tmp_path, decryption=key, progress=progress)
    paths = stored(sim)
    sizes = [len(truth(sim, sid)) for sid in paths]
    external = len(completed(sim)) - len(paths)
    assert external > 0
    assert any(record["encryption_key"] for record in completed(sim) if record["sid"] in paths)
    assert (report.archived, report.bytes, report.deleted) == (len(paths), sum(sizes), 0)
    assert (report.external, report.failed, report.failures) == (external, 0, {})
    assert (progress.found, progress.archived, progress.deleted, progress.failed, progress.listing) == (
        len(completed(sim)), len(paths), 0, 0, False,
    )  # fmt: skip
    assert files(tmp_path) == {*paths.values(), "manifest.jsonl", "manifest.parquet", "ledger.sqlite3"}
    for sid, path in paths.items():
        assert (tmp_path / path).read_bytes() == truth(sim, sid)
    rows = {row["sid"]: row for row in manifest(tmp_path)}
    assert set(rows) == {record["sid"] for record in completed(sim)}
    assert len(rows) == len(manifest(tmp_path))
    for sid, path in paths.items():
        assert rows[sid]["sha256"] == hashlib.sha256(truth(sim, sid)).hexdigest()
        assert (rows[sid]["state"], rows[sid]["location"]) == ("archived", str(tmp_path / path))
    assert {rows[sid]["state"] for sid in set(rows) - set(paths)} == {"external"}
    assert pq.read_table(tmp_path / "manifest.parquet")["sid"].to_pylist() == [row["sid"] for row in manifest(tmp_path)]


async def test_the_same_from_a_window_of_the_account(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    report = await client.archive(EVERYTHING, tmp_path, decryption=key, **SINGLE)
    assert files(tmp_path) == {*stored(sim).values(), "manifest.jsonl", "ledger.sqlite3"}
    assert report.archived == len(stored(sim))


async def test_deletion_comes_after_verification(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    paths = stored(sim)
    seen = DeletionsSeen(sim, tmp_path)
    sim.inject(seen, times=None)
    report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
    assert seen.unsafe == []
    assert sorted(seen.deleted) == sorted(paths)
    assert (report.archived, report.deleted) == (len(paths), len(paths))
    assert stored(sim) == {}
    assert {row["state"] for row in manifest(tmp_path)} == {"deleted", "external"}
    assert all(row["deleted_at"] >= row["archived_at"] for row in manifest(tmp_path) if row["state"] == "deleted")


async def test_a_second_run_copies_only_what_is_new(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    half = sim.room_sids[:8]
    await client.archive(half, tmp_path, decryption=key, **SINGLE)
    before = sim.store.stats.requests
    progress = ArchiveProgress()
    report = await client.archive(sim.room_sids, tmp_path, decryption=key, progress=progress, **SINGLE)
    assert report.archived == len(stored(sim))
    assert sim.store.stats.requests - before == progress.archived < len(stored(sim))
    again = await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
    assert again == report
    assert sim.store.stats.requests - before == progress.archived


async def test_copies_of_an_earlier_run_are_verified_before_deletion(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
    lost, tampered, *_ = sorted(path for sid, path in stored(sim).items() if truth(sim, sid))
    (tmp_path / lost).unlink()
    content = bytearray((tmp_path / tampered).read_bytes())
    content[-1] ^= 1
    (tmp_path / tampered).write_bytes(content)
    before, seen = sim.store.stats.requests, DeletionsSeen(sim, tmp_path)
    sim.inject(seen, times=None)
    report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
    assert seen.unsafe == []
    assert len(seen.deleted) == report.deleted == report.archived
    assert sim.store.stats.requests - before == 2


class TestScope:
    """A run deletes what its own source names, whatever else the ledger contains."""

    @pytest.mark.parametrize(
        "source", [[], DateWindow(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))]
    )
    async def test_a_source_that_names_nothing_deletes_nothing(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, source: list[str] | DateWindow
    ) -> None:
        await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
        expected = len(stored(sim))
        report = await client.archive(source, tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.failed, report.left_alone) == (0, 0, expected)
        assert len(stored(sim)) == expected == report.archived

    async def test_recordings_of_another_account_are_copied_and_stay_at_the_source(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        # As with the API key of a parent account and the SID of a subaccount.
        client._transport.account_sid = "AC" + "f" * 32
        report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
        assert report.deleted == 0
        assert report.archived == len(stored(sim)) > 0
        assert sim.credentials.account_sid in next(iter(report.failures.values()))
        assert all("stays at the source" in reason for reason in report.failures.values())

    async def test_recordings_of_another_account_that_was_named(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        client._transport.account_sid = "AC" + "f" * 32
        expected = len(stored(sim))
        report = await client.archive(
            sim.room_sids, tmp_path, delete=True, account_sid=sim.credentials.account_sid, decryption=key, **SINGLE
        )
        assert (report.deleted, report.failures) == (expected, {})

    async def test_a_recording_that_its_room_no_longer_has_and_the_account_has(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        class Moved:
            """Denies all recordings of rooms, as a service where they are in other rooms now."""

            async def handle(self, exchange: Exchange, /) -> web.Response:
                if exchange.request.method == "DELETE":
                    return web.json_response({"code": 20404, "message": "not found", "status": 404}, status=404)
                return await exchange.get_response()

        sim.inject(Moved(), times=None)
        expected = set(stored(sim))
        report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, set(report.failures)) == (0, expected)
        assert all("does not have it, but the account does" in reason for reason in report.failures.values())

    @pytest.mark.parametrize(("status", "code"), [(404, None), (410, 1), (500, None)])
    async def test_a_gateway_that_says_whether_a_recording_is_gone(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, status: int, code: int | None
    ) -> None:
        await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
        for record in completed(sim):
            await client.delete(record["room_sid"], record["sid"])
        body = b"<html>" if code is None else json.dumps({"code": code, "status": status}).encode()
        sim.inject(faults.Respond(status, body), times=None, path_contains="/v1/Recordings/")
        report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.failed) == (0, report.archived)

    async def test_recordings_of_another_room_in_the_list_of_a_room(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        named, other = rooms_with_copies(sim)[:2]
        # As a cache that mixes up two rooms would answer.
        records = list(sim.recordings(other, "completed"))
        sim.inject(faults.Respond(200, page_of(records)))
        report = await client.archive([named], tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.archived, report.failed) == (0, 0, len(records))
        assert all(named in reason and other in reason for reason in report.failures.values())
        assert files(tmp_path) == {"manifest.jsonl", "ledger.sqlite3"}

    @pytest.mark.parametrize(("starts", "ends"), [(-86_400, 0), (1, None)])
    async def test_a_recording_at_the_edge_of_a_window(
        self,
        sim: Simulator,
        client: RecordingsClient,
        key: PrivateKey,
        tmp_path: Path,
        starts: int,
        ends: int | None,
    ) -> None:
        record = copied_record(sim)
        created = datetime.fromisoformat(record["date_created"])
        window = DateWindow(created + timedelta(seconds=starts), None if ends is None else created)
        # A service whose filters include their ends.
        sim.inject(faults.Respond(200, page_of([record])))
        report = await client.archive(window, tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.archived, report.failed) == (0, 0, 0)

    async def test_a_recording_without_a_date_in_a_window(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        record = copied_record(sim)
        window = DateWindow(datetime(2030, 1, 1, tzinfo=UTC))
        sim.inject(faults.Respond(200, page_of([record | {"date_created": None}])))
        report = await client.archive(window, tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, list(report.failures)) == (0, [record["sid"]])
        assert "no date" in report.failures[record["sid"]]

    async def test_media_that_moved_to_the_own_bucket_of_the_account(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        record = copied_record(sim)
        await client.archive([record["room_sid"]], tmp_path, decryption=key, **SINGLE)
        moved = record | {"media_external_location": "https://bucket.example.com/media"}
        sim.inject(faults.Respond(200, page_of([moved])))
        report = await client.archive([record["room_sid"]], tmp_path, delete=True, decryption=key, **SINGLE)
        assert "own bucket" in report.failures[record["sid"]]
        assert record["sid"] in stored(sim)

    async def test_progress_of_an_earlier_run(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        progress = ArchiveProgress(listing=False)
        report = await client.archive(sim.room_sids, tmp_path, decryption=key, progress=progress, **SINGLE)
        assert report.archived == len(stored(sim))

    async def test_a_malformed_sid_is_a_failure_of_that_room(self, client: RecordingsClient, tmp_path: Path) -> None:
        report = await client.archive(["RM\udcff", "room"], tmp_path, **SINGLE)
        assert (report.failed, len(report.failures)) == (2, 2)

    async def test_a_room_in_the_folder_of_an_earlier_archive(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
        by_room = {room: [path for path in stored(sim).values() if path.startswith(room)] for room in sim.room_sids}
        room = max(by_room, key=lambda room: len(by_room[room]))
        others = len(stored(sim)) - len(by_room[room])
        report = await client.archive([room], tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.left_alone) == (len(by_room[room]), others)
        assert len(stored(sim)) == others
        assert not any(path.startswith(room) for path in stored(sim).values())

    async def test_a_window_of_the_time_of_an_earlier_archive(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
        dates = sorted(record["date_created"] for record in completed(sim) if record["sid"] in stored(sim))
        middle = datetime.fromisoformat(dates[len(dates) // 2])
        inside = sum(datetime.fromisoformat(date) >= middle for date in dates)
        report = await client.archive(DateWindow(middle), tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.left_alone) == (inside, len(dates) - inside)

    async def test_a_copy_that_was_lost_is_copied_again_only_if_the_source_names_it(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
        path = next(iter(stored(sim).values()))
        (tmp_path / path).unlink()
        await client.archive([], tmp_path, decryption=key, **SINGLE)
        assert not (tmp_path / path).exists()

    @pytest.mark.parametrize("by_window", [False, True])
    async def test_a_deletion_that_could_not_be_recorded_is_recorded_by_the_next_run(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, by_window: bool
    ) -> None:
        await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
        sids = list(stored(sim))
        # A run that was killed between the deletion and its record in the ledger.
        for record in completed(sim):
            await client.delete(record["room_sid"], record["sid"])
        source = EVERYTHING if by_window else sim.room_sids
        report = await client.archive(source, tmp_path, delete=True, decryption=key, **SINGLE)
        assert (report.deleted, report.failed, report.left_alone) == (len(sids), 0, 0)

    async def test_rooms_that_an_interrupted_run_listed_are_named_by_the_next_one(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        expected, listed = len(stored(sim)), sim.room_sids[:8]
        in_them = sum(path.split("/")[0] in listed for path in stored(sim).values())
        await client.archive(listed, tmp_path, decryption=key, **SINGLE)
        async with Ledger(tmp_path / "ledger.sqlite3", ".") as ledger:
            for room in listed:
                await ledger.mark_room_listed(room)
        report = await client.archive(sim.room_sids[4:], tmp_path, delete=True, decryption=key, **SINGLE)
        named = [path for path in stored(sim).values() if path.split("/")[0] not in sim.room_sids[:4]]
        assert named == []
        assert report.left_alone == len(stored(sim)) == expected - report.deleted
        assert report.left_alone < in_them


async def test_a_lost_copy_is_copied_again_without_being_asked_to_delete(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
    sid, path = next(iter(stored(sim).items()))
    (tmp_path / path).unlink()
    await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
    assert (tmp_path / path).read_bytes() == truth(sim, sid)


class TestReplaced:
    """A copy is replaced by another one only when that is there."""

    async def test_a_doubtful_copy_that_cannot_be_made_again_stays_in_the_archive(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        record = copied_record(sim)
        sim.inject(faults.Respond(200, page_of([record | {"size": None}])))
        await client.archive([record["room_sid"]], tmp_path, decryption=key, **SINGLE)
        sim.store.inject(faults.Respond(500), times=None)
        for delete in (False, True):
            sim.inject(faults.Respond(200, page_of([record])))
            report = await client.archive([record["room_sid"]], tmp_path, delete=delete, decryption=key, **SINGLE)
            assert (list(report.failures), report.archived, report.deleted) == ([record["sid"]], 1, 0)
            [row] = manifest(tmp_path)
            assert (row["state"], row["unproven"]) == ("archived", "the service announced no size")
            assert hashlib.sha256((tmp_path / stored(sim)[record["sid"]]).read_bytes()).hexdigest() == row["sha256"]

    @pytest.mark.parametrize("delete", [False, True])
    async def test_a_copy_that_is_lost_and_cannot_be_made_again_is_not_in_the_archive(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, delete: bool
    ) -> None:
        record = copied_record(sim)
        sim.inject(faults.Respond(200, page_of([record])))
        await client.archive([record["room_sid"]], tmp_path, decryption=key, **SINGLE)
        (tmp_path / stored(sim)[record["sid"]]).unlink()
        sim.inject(faults.Respond(200, page_of([record])))
        sim.store.inject(faults.Respond(500), times=None)
        report = await client.archive([record["room_sid"]], tmp_path, delete=delete, decryption=key, **SINGLE)
        assert (list(report.failures), report.archived, report.deleted) == ([record["sid"]], 0, 0)
        assert [row["state"] for row in manifest(tmp_path)] == ["failed"]

    @pytest.mark.parametrize("kind", ["pipe", "directory", "link"])
    async def test_what_is_no_file_is_not_replaced_and_proves_nothing(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, kind: str
    ) -> None:
        record = copied_record(sim)
        await client.archive([record["room_sid"]], tmp_path, decryption=key, **SINGLE)
        path = tmp_path / stored(sim)[record["sid"]]
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(tmp_path)
        before = path.lstat()
        for delete in (False, True):
            report = await client.archive([record["room_sid"]], tmp_path, delete=delete, decryption=key, **SINGLE)
            assert "is no regular file" in report.failures[record["sid"]]
        assert record["sid"] in stored(sim)
        assert path.lstat().st_ino == before.st_ino

    async def test_an_object_that_was_lost_is_copied_again(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, s3: S3Server, tmp_path: Path
    ) -> None:
        options: dict[str, Any] = {"ledger": tmp_path / "ledger", "decryption": key, **SINGLE}
        store = ObjectStore(s3.bucket("lost"))
        await client.archive(sim.room_sids, store, **options)
        sid, lost = next(iter(stored(sim).items()))
        s3.send("DELETE", f"/lost/{lost}")
        before = sim.store.stats.requests
        await client.archive(sim.room_sids, store, **options)
        assert sim.store.stats.requests == before + 1
        assert s3.content("lost", lost) == truth(sim, sid)


@pytest.mark.parametrize("gone", ["removed", "renamed"])
async def test_a_directory_that_vanishes_ends_the_run(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, gone: str
) -> None:
    directory = tmp_path / "archive"

    class Vanish:
        """Lets the directory vanish when the first recording is deleted, and counts the other deletions."""

        deletions = 0

        async def handle(self, exchange: Exchange, /) -> web.Response:
            if exchange.request.method == "DELETE":
                if not self.deletions:
                    directory.rename(tmp_path / "elsewhere")
                if gone == "removed":
                    shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
                self.deletions += 1
            return await exchange.get_response()

    vanish = Vanish()
    sim.inject(vanish, times=None)
    with pytest.raises(FileNotFoundError, match=r"ledger\.sqlite3"):
        await client.archive(sim.room_sids, directory, delete=True, decryption=key, downloads=1, **SINGLE)
    assert vanish.deletions == 1
    assert not (directory / "manifest.jsonl").exists()


async def test_a_failure_stays_at_the_source_and_is_retried(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    encrypted = {record["sid"] for record in completed(sim) if record["encryption_key"]} & set(stored(sim))
    all_of_them = stored(sim)
    report = await client.archive(sim.room_sids, tmp_path, delete=True, **SINGLE)
    assert set(report.failures) == encrypted
    assert all("private key" in reason for reason in report.failures.values())
    assert (report.failed, report.deleted) == (len(encrypted), len(all_of_them) - len(encrypted))
    assert set(stored(sim)) == encrypted
    assert {row["sid"] for row in manifest(tmp_path) if row["error"]} == encrypted
    report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
    assert (report.failed, report.deleted) == (0, len(all_of_them))
    assert not any(row["error"] for row in manifest(tmp_path))


async def test_rooms_that_fail_are_reported_and_the_others_archived(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    unknown = "RM" + "0" * 32
    report = await client.archive([unknown, *sim.room_sids, "nonsense"], tmp_path, decryption=key, **SINGLE)
    assert set(report.failures) == {unknown, "nonsense"}
    assert report.archived == len(stored(sim))


async def test_a_deletion_that_fails_is_retried(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    class Refuse:
        async def handle(self, exchange: Exchange, /) -> web.Response:
            if exchange.request.method == "DELETE":
                return web.json_response({"code": 20403, "message": "suspended", "status": 403}, status=403)
            return await exchange.get_response()

    sim.inject(Refuse(), times=None)
    report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
    assert (report.archived, report.deleted, report.failed) == (len(stored(sim)), 0, len(stored(sim)))
    sim.clear_faults()
    before, expected = sim.store.stats.requests, len(stored(sim))
    report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
    assert (report.deleted, report.failed) == (expected, 0)
    assert sim.store.stats.requests == before


async def test_refused_credentials_end_the_run_at_once(sim: Simulator, tmp_path: Path) -> None:
    wrong = Credentials(sim.credentials.account_sid, "wrong")
    for source in (sim.room_sids, EVERYTHING):
        async with RecordingsClient(wrong, base_url=sim.base_url) as client:
            with pytest.raises(AuthenticationError):
                await client.archive(source, tmp_path, **SINGLE)
    assert sim.stats.requests < len(sim.room_sids)


async def test_a_window_that_cannot_be_listed_is_an_error_after_what_was_found(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    records = [record for record in completed(sim) if record["sid"] in stored(sim)]
    # The first page is there, and the one that it leads to never comes.
    sim.inject(faults.Respond(200, page_of(records, next_page_url=f"{sim.base_url}/v1/Recordings?Page=1")))
    sim.inject(faults.Respond(500), times=None, path_contains="/v1/Recordings?")
    with pytest.raises(ServerError):
        await client.archive(EVERYTHING, tmp_path, decryption=key, **SINGLE)
    assert files(tmp_path) == {*stored(sim).values(), "ledger.sqlite3"}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """To a program, a disk that is full behaves like this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("media_size", "named"), [(1_000, "ledger.sqlite3"), (400_000, ".part")])
async def test_a_full_disk_names_the_file_and_the_next_run_resumes(media_size: int, named: str, tmp_path: Path) -> None:
    async with simulated(rooms=60, recordings_per_room=5, media_size=media_size) as sim, unlimited(sim) as client:
        options: dict[str, Any] = {"decryption": PrivateKey.from_pem(sim.private_key_pem), **SINGLE}
        with files_of_at_most(200_000), pytest.raises(OSError, match=named) as caught:
            await client.archive(sim.room_sids, tmp_path, **options)
        assert str(caught.value.filename).startswith(str(tmp_path))
        report = await client.archive(sim.room_sids, tmp_path, **options)
        assert (report.archived, report.failed) == (len(stored(sim)), len(list(filter(is_muted, completed(sim)))))
        assert {*stored(sim).values()} <= files(tmp_path)


class TestRefused:
    async def test_before_anything_is_sent(self, sim: Simulator, client: RecordingsClient, tmp_path: Path) -> None:
        for wrong in (
            {"downloads": 0},
            {"downloads": True},
            {"manifest": ["xml"]},
            {"account_sid": "parent"},
        ):
            with pytest.raises(InvalidArgumentError):
                await client.archive(sim.room_sids, tmp_path, **wrong)
        with pytest.raises(InvalidArgumentError):
            await client.archive(sim.room_sids, 7)
        with pytest.raises(InvalidArgumentError):
            await client.archive(sim.room_sids[0], tmp_path)
        with pytest.raises(InvalidArgumentError, match="no UTF-8"):
            await client.archive(sim.room_sids, tmp_path / os.fsdecode(b"a\xff"))
        assert sim.stats.requests == 0
        assert list(tmp_path.iterdir()) == []

    async def test_a_folder_that_leads_to_bytes_that_are_no_text(
        self, sim: Simulator, client: RecordingsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / os.fsdecode(b"a\xff")
        folder.mkdir()
        (tmp_path / "link").symlink_to(folder)
        monkeypatch.chdir(folder)
        for destination in ("archive", tmp_path / "link", f"file://{tmp_path}/a%FF/archive"):
            with pytest.raises(InvalidArgumentError, match="no UTF-8"):
                await client.archive(sim.room_sids, destination, ledger=tmp_path / "ledger", **SINGLE)
        assert sim.stats.requests == 0
        assert sorted(path.name for path in tmp_path.rglob("*")) == [folder.name, "link"]

    async def test_a_manifest_that_would_replace_a_pipe(
        self, sim: Simulator, client: RecordingsClient, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "manifest.jsonl")
        with pytest.raises(InvalidArgumentError, match=r"manifest\.jsonl is no regular file"):
            await client.archive(sim.room_sids, tmp_path, delete=True, **SINGLE)
        assert sim.stats.requests == 0
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.jsonl"]

    async def test_a_manifest_that_would_replace_the_ledger(
        self, sim: Simulator, client: RecordingsClient, tmp_path: Path
    ) -> None:
        (tmp_path / "archive").mkdir()
        (tmp_path / "link").symlink_to("archive")
        for ledger in ("archive/manifest.jsonl", "link/manifest.jsonl", "archive/../link/manifest.jsonl"):
            with pytest.raises(InvalidArgumentError, match="the manifest would replace the ledger"):
                await client.archive(sim.room_sids, tmp_path / "archive", ledger=tmp_path / ledger, **SINGLE)
        assert sim.stats.requests == 0
        assert list((tmp_path / "archive").iterdir()) == []

    async def test_the_ledger_of_another_account_or_store(
        self, client: RecordingsClient, tmp_path: Path, s3: S3Server
    ) -> None:
        options: dict[str, Any] = {"ledger": tmp_path / "ledger", **SINGLE}
        await client.archive([], ObjectStore(s3.bucket("mine")), **options)
        elsewhere = S3Server(s3.endpoint.replace("127.0.0.1", "localhost"))
        with pytest.raises(
            ConfigurationError, match=f"is the ledger of store {s3.endpoint}, not of {elsewhere.endpoint}"
        ):
            await client.archive([], ObjectStore(elsewhere.store("mine")), **options)
        client._transport.account_sid = "AC" + "f" * 32
        with pytest.raises(ConfigurationError, match="is the ledger of account AC"):
            await client.archive([], ObjectStore(s3.store("mine")), **options)

    async def test_a_ledger_of_another_archive(self, client: RecordingsClient, tmp_path: Path) -> None:
        ledger = tmp_path / "mine.sqlite3"
        await client.archive([], tmp_path / "one", ledger=ledger, **SINGLE)
        with pytest.raises(ConfigurationError, match="one"):
            await client.archive([], tmp_path / "two", ledger=ledger, **SINGLE)
        (tmp_path / "text").write_text("no database " * 100)
        with pytest.raises(ConfigurationError, match="text"):
            await client.archive([], tmp_path / "two", ledger=tmp_path / "text", **SINGLE)

    @pytest.mark.parametrize("lost", [False, True])
    async def test_a_manifest_of_another_ledger(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, lost: bool
    ) -> None:
        """It may be all that is known of what was deleted."""
        archive, other = tmp_path / "archive", tmp_path / "other.sqlite3"
        assert (await client.archive(sim.room_sids, archive, delete=True, decryption=key, **SINGLE)).deleted
        before, requests = manifest(archive), sim.stats.requests
        if lost:
            other = archive / "ledger.sqlite3"
            other.unlink()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"manifest\.jsonl is the manifest of an archive whose ledger"):
                await client.archive(sim.room_sids[:1], archive, ledger=None if lost else other, **SINGLE)
        assert manifest(archive) == before
        assert sim.stats.requests == requests
        assert not other.exists()

    async def test_a_manifest_in_parts_of_another_ledger(
        self, sim: Simulator, client: RecordingsClient, tmp_path: Path
    ) -> None:
        part = tmp_path / "manifest.jsonl" / "part-000000.jsonl"
        part.parent.mkdir()
        part.write_text("{}\n")
        with pytest.raises(ConfigurationError, match=r"manifest\.jsonl is the manifest of an archive whose ledger"):
            await client.archive(sim.room_sids, tmp_path, **SINGLE)
        assert part.read_text() == "{}\n"

    async def test_a_manifest_of_another_ledger_in_a_store(
        self, client: RecordingsClient, tmp_path: Path, s3: S3Server
    ) -> None:
        store = ObjectStore(s3.bucket("ledgers"))
        for _ in range(2):
            await client.archive([], store, ledger=tmp_path / "ledger", **SINGLE)
        with pytest.raises(ConfigurationError, match=r"manifest\.jsonl is the manifest of an archive whose ledger"):
            await client.archive([], store, ledger=tmp_path / "other", **SINGLE)

    async def test_a_ledger_that_is_in_use(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        sim.store.inject(faults.StallHeaders(0.5), times=None)
        first = asyncio.create_task(client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE))
        while not (tmp_path / "ledger.sqlite3").exists() or sim.store.stats.requests == 0:
            await asyncio.sleep(0.01)
        with pytest.raises(MediaError, match="another process is archiving"):
            await client.archive(sim.room_sids, tmp_path, **SINGLE)
        sim.store.clear_faults()
        assert (await first).failed == 0

    async def test_a_moved_archive_keeps_its_ledger(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        await client.archive(sim.room_sids, tmp_path / "old", decryption=key, **SINGLE)
        (tmp_path / "old").rename(tmp_path / "new")
        before = sim.store.stats.requests
        await client.archive(sim.room_sids, tmp_path / "new", decryption=key, **SINGLE)
        assert sim.store.stats.requests == before


async def test_a_cancelled_run_leaves_no_task_and_no_permit_and_can_be_resumed(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    before = asyncio.all_tasks()
    sim.store.inject(faults.SlowDrip(400_000), times=None)
    for _ in range(3):
        archiving = asyncio.create_task(client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE))
        await asyncio.sleep(0.15)
        archiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await archiving
        left = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}
        assert not left
        assert client.limiter.in_flight == client.limiter.waiting == 0
    sim.store.clear_faults()
    await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
    assert files(tmp_path) == {*stored(sim).values(), "manifest.jsonl", "ledger.sqlite3"}


async def test_media_are_copied_side_by_side_but_not_more_than_asked_for(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    sim.store.inject(faults.StallHeaders(0.02), times=None)
    await client.archive(sim.room_sids, tmp_path, decryption=key, downloads=3, **SINGLE)
    assert sim.store.stats.peak_in_flight == 3


class Victims:
    """A process that forks an archive on command, so that each kill does not cost a start of Python."""

    def __init__(self, sim: Simulator, directory: Path) -> None:
        environ = {
            **os.environ,
            "TWILIO_ACCOUNT_SID": sim.credentials.account_sid,
            "TWILIO_AUTH_TOKEN": sim.credentials.password,
            "ROOMREC_BASE_URL": sim.base_url,
        }
        (directory / "key.pem").write_bytes(sim.private_key_pem)
        (directory / "rooms.txt").write_text("\n".join(sim.room_sids))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(directory), str(len(muted_throughout(sim)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def start(self) -> int:
        """The process ID of a new archive."""
        assert self.process.stdin
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        return int(self.read_line())

    def read_line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


_VICTIM = """
import asyncio, os, sys
from pathlib import Path
from roomrec_async import RateLimiter, RecordingsClient
from roomrec_async._archive.run import ArchiveOperation
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore

directory = Path(sys.argv[1])

async def archive():
    rooms = (directory / "rooms.txt").read_text().split()
    key = PrivateKey.from_file(directory / "key.pem")
    async with RecordingsClient.from_env(limiter=RateLimiter(None, None, None)) as client:
        report = await client.archive(rooms, directory / "archive", delete=True, decryption=key, manifest=("jsonl",))
    # Those who were muted throughout have no media.
    return 0 if report.failed == int(sys.argv[2]) else 1

for _ in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(asyncio.run(archive()))
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture
def account() -> Iterator[Simulator]:
    with simulated(rooms=150, recordings_per_room=(0, 8), latency=(0.0, 0.004), media_size=(100, 400_000)) as simulator:
        yield simulator


@pytest.mark.slow
async def test_runs_killed_at_any_instant_end_with_everything_once(account: Simulator, tmp_path: Path) -> None:
    paths = stored(account)
    contents = {sid: truth(account, sid) for sid in paths}
    seen = DeletionsSeen(account, tmp_path / "archive")
    account.inject(seen, times=None)
    victims, chance = Victims(account, tmp_path), random.Random(7)
    killed, status = 0, signal.SIGKILL
    try:
        while killed < KILLS or status:
            child = victims.start()
            if killed < KILLS:
                await asyncio.sleep(chance.uniform(0.0, 0.12))
                os.kill(child, signal.SIGKILL)
            status = int(await asyncio.to_thread(victims.read_line))
            killed += status == signal.SIGKILL
            assert status in (0, signal.SIGKILL)
            if not status and killed < KILLS:
                pytest.fail(f"the archive was done after {killed} kills: give it more to do")
    finally:
        victims.process.kill()
        victims.process.communicate()
    assert seen.unsafe == []
    assert set(seen.deleted) == set(paths)
    assert stored(account) == {}
    kept = files(tmp_path / "archive")
    assert kept == {*paths.values(), "manifest.jsonl", "ledger.sqlite3"}
    for sid, path in paths.items():
        assert (tmp_path / "archive" / path).read_bytes() == contents[sid]
    left_out = {record["sid"] for record in muted_throughout(account)}
    rows = [row for row in manifest(tmp_path / "archive") if row["state"] != "external" and row["sid"] not in left_out]
    assert sorted(row["sid"] for row in rows) == sorted(paths)
    assert {row["state"] for row in rows} == {"deleted"}
    assert all(row["sha256"] == hashlib.sha256(contents[row["sid"]]).hexdigest() for row in rows)


class Unsized:
    """Decrypts like a key, for a store that does not say how many bytes will come out."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def decryptor(self, headers: Mapping[str, str]) -> Unsized.Decryptor:
        return self.Decryptor(self._key.decryptor(headers))

    class Decryptor:
        size = None

        def __init__(self, decryptor: Decryptor) -> None:
            self.update, self.finalize = decryptor.update, decryptor.finalize


async def test_encrypted_media_of_unknown_size_are_archived(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    encrypted = [record for record in completed(sim) if record["encryption_key"] and record["sid"] in stored(sim)]
    assert encrypted
    report = await client.archive(sim.room_sids, tmp_path, decryption=Unsized(key), **SINGLE)
    assert (report.archived, report.failures) == (len(stored(sim)), {})
    for record in encrypted:
        assert (tmp_path / stored(sim)[record["sid"]]).read_bytes() == truth(sim, record["sid"])


class CancelledDestination:
    """Ends one of its methods as somebody does who awaits a task that was cancelled."""

    def __init__(self, cancelled: str) -> None:
        self._cancelled = cancelled
        self._objects: dict[str, bytes] = {}

    async def _call(self, method: str) -> None:
        if method == self._cancelled:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task

    def location(self, name: str) -> str:
        return f"nowhere/{name}"

    async def size(self, name: str) -> int | None:
        await self._call("size")
        return len(self._objects[name]) if name in self._objects else None

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        await self._call("write")
        self._objects[name] = b"".join([chunk async for chunk in chunks])

    async def read(self, name: str) -> AsyncIterator[bytes]:
        await self._call("read")
        yield self._objects[name]


async def test_a_copy_whose_reading_ends_cancelled_is_a_failure_of_the_recording(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    destination = CancelledDestination("read")
    report = await client.archive(
        sim.room_sids, destination, delete=True, ledger=tmp_path / "ledger", decryption=key, **SINGLE
    )
    assert (report.deleted, report.failed, report.archived) == (0, len(stored(sim)), len(stored(sim)))
    assert all("though nobody cancelled" in reason for reason in report.failures.values())


async def test_a_copy_is_not_read_back_where_the_recording_stays_anyway(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
) -> None:
    # Of another account. The destination could not read the copies.
    client._transport.account_sid = "AC" + "f" * 32
    destination = CancelledDestination("read")
    report = await client.archive(
        sim.room_sids, destination, delete=True, ledger=tmp_path / "ledger", decryption=key, **SINGLE
    )
    assert (report.deleted, report.archived, report.failed) == (0, len(stored(sim)), len(stored(sim)))
    assert all("stays at the source: it belongs to account" in reason for reason in report.failures.values())


@pytest.mark.parametrize("method", ["size", "write"])
async def test_a_download_whose_destination_ends_cancelled_is_an_error(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, method: str
) -> None:
    record = copied_record(sim)
    recording = await client.recording(record["room_sid"], record["sid"])
    with pytest.raises(RoomRecError, match="though nobody cancelled the operation"):
        await client.download(recording, CancelledDestination(method), decryption=key)


@pytest.mark.parametrize("method", ["size", "write"])
async def test_a_cancellation_that_nobody_asked_for_is_an_error(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, method: str
) -> None:
    progress = ArchiveProgress()
    with pytest.raises(RoomRecError, match="though nobody cancelled the operation"):
        await client.archive(
            sim.room_sids,
            CancelledDestination(method),
            ledger=tmp_path / "ledger",
            decryption=key,
            progress=progress,
            **SINGLE,
        )
    assert progress.archived == 0
    copied = sum(record["media_external_location"] is None for record in completed(sim))
    # A destination that does not even tell a size ends the run before anything is listed.
    assert progress.failed == (0 if method == "size" else copied)
