"""Archives that run again and again: a run costs what is new, and what keeps failing is tried ever more rarely."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from roomrec_async import ArchiveProgress, DateWindow, MediaError, RateLimiter, Recording, RecordingsClient, RetryPolicy
from roomrec_async._archive import ledger as ledger_module
from roomrec_async._archive import manifest as manifest_module
from roomrec_async._archive import run as run_module
from roomrec_async._archive.kept import open_kept
from roomrec_async._archive.ledger import Ledger
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

from .conftest import S3Server

# Each starts processes, or makes whole archives.
pytestmark = pytest.mark.slow

EVERYTHING = DateWindow(datetime(2025, 12, 1, tzinfo=UTC))
BEFORE_ALL = DateWindow(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
SINGLE: dict[str, Any] = {"manifest": ("jsonl",)}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """An account with recordings that are encrypted, and with some that have no media."""
    async with Simulator(
        rooms=16, recordings_per_room=(0, 5), seed=13, media_size=(100, 6_000),
        reads_per_second=None, writes_per_second=None, concurrency_limit=None,
    ) as simulator:  # fmt: skip
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    limiter, retry = RateLimiter(None, None, None), RetryPolicy(max_attempts=1)
    async with sim.client(limiter=limiter, retry=retry) as client:
        yield client


@pytest.fixture
def key(sim: Simulator) -> PrivateKey:
    return PrivateKey.from_pem(sim.private_key_pem)


def completed(sim: Simulator) -> list[dict[str, Any]]:
    records = [record for sid in sim.room_sids for record in sim.recordings(sid, "completed")]
    return [record for record in records if record["media_external_location"] is None]


def encrypted(sim: Simulator) -> set[str]:
    return {record["sid"] for record in completed(sim) if record["encryption_key"] and record["duration"]}


def muted(sim: Simulator) -> set[str]:
    """Recordings of tracks without any sound: the service has no media of them."""
    return {record["sid"] for record in completed(sim) if record["duration"] == 0}


def plain(sim: Simulator) -> set[str]:
    return {record["sid"] for record in completed(sim)} - encrypted(sim) - muted(sim)


class Requests:
    """Counts the requests for media, by recording, and breaks some of them."""

    def __init__(self, sim: Simulator, *broken: str) -> None:
        self.media: list[str] = []
        self.broken = set(broken)
        sim.inject(self, times=None, path_contains="/Media")

    async def handle(self, exchange: Exchange, /) -> web.Response:
        self.media.append(exchange.request.path.split("/")[-2])
        if self.media[-1] in self.broken:
            return web.Response(status=500)
        return await exchange.get_response()


def let_pass(ledger: Path, delay: timedelta) -> None:
    """Let time pass for what has failed."""
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE failures SET retry_at = retry_at - ?", (delay.total_seconds(),))


@pytest.mark.parametrize("by_window", [False, True])
async def test_a_run_that_finds_nothing_new_sends_only_the_requests_of_its_lists(
    sim: Simulator, client: RecordingsClient, tmp_path: Path, by_window: bool
) -> None:
    source = EVERYTHING if by_window else sim.room_sids
    first = await client.archive(source, tmp_path, **SINGLE)
    assert set(first.failures) == encrypted(sim) | muted(sim)
    assert min(len(encrypted(sim)), len(muted(sim)), first.archived) > 0

    before = sim.stats.requests
    lists = client.scan(EVERYTHING, status="completed") if by_window else client.stream(sim.room_sids)
    assert [each async for each in lists]
    expected, fetched = sim.stats.requests - before, sim.store.stats.requests
    manifest = (tmp_path / "manifest.jsonl").stat()
    for _ in range(3):
        before = sim.stats.requests
        report = await client.archive(source, tmp_path, **SINGLE)
        assert sim.stats.requests - before == expected
        # All that failed is still named, with the reason.
        assert (report.failures, report.failed, report.postponed) == (first.failures, first.failed, first.failed)
        assert set(report.next_tries) == muted(sim)
    assert sim.store.stats.requests == fetched
    assert (tmp_path / "manifest.jsonl").stat() == manifest


async def test_what_the_source_does_not_name_is_not_looked_at(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived = (await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)).archived

    def look(*_: object) -> None:
        raise AssertionError("a copy was looked at")

    monkeypatch.setattr(run_module, "file_size", look)
    monkeypatch.setattr(run_module, "read_back", look)
    before = sim.stats.requests
    for delete in (False, True):
        report = await client.archive(BEFORE_ALL, tmp_path, delete=delete, **SINGLE)
        assert (report.left_alone, report.archived, report.failed) == (archived, archived, 0)
    assert sim.stats.requests - before == 2


class TestBackoff:
    async def test_of_what_keeps_failing(self, sim: Simulator, client: RecordingsClient, tmp_path: Path) -> None:
        broken = min(plain(sim))
        requests = Requests(sim, broken)
        tries = []
        for _ in range(6):
            report = await client.archive(sim.room_sids, tmp_path, **SINGLE)
            assert "HTTP 500" in report.failures[broken]
            tries.append(requests.media.count(broken))
        assert tries == [1, 2, 3, 3, 3, 3]
        assert report.next_tries[broken] > datetime.now(UTC) + timedelta(hours=11)
        assert report.archived == len(plain(sim)) - 1
        # Two days later it is tried once, and then not for a day.
        let_pass(tmp_path / "ledger.sqlite3", timedelta(days=2))
        for _ in range(2):
            report = await client.archive(sim.room_sids, tmp_path, **SINGLE)
        assert requests.media.count(broken) == 4
        assert report.next_tries[broken] > datetime.now(UTC) + timedelta(hours=23)

    async def test_it_can_be_overridden_and_ends_with_success(
        self, sim: Simulator, client: RecordingsClient, tmp_path: Path
    ) -> None:
        broken = min(plain(sim))
        requests = Requests(sim, broken)
        for _ in range(4):
            await client.archive(sim.room_sids, tmp_path, **SINGLE)
        report = await client.archive(sim.room_sids, tmp_path, retry_failed=True, **SINGLE)
        assert requests.media.count(broken) == 4
        assert report.postponed == 0
        requests.broken.clear()
        report = await client.archive(sim.room_sids, tmp_path, **SINGLE)
        assert broken in report.failures
        report = await client.archive(sim.room_sids, tmp_path, retry_failed=True, **SINGLE)
        assert set(report.failures) == encrypted(sim) | muted(sim)
        assert requests.media.count(broken) == 5
        # From then on it is looked after as any other.
        (tmp_path / path_of(sim, broken)).unlink()
        await client.archive(sim.room_sids, tmp_path, **SINGLE)
        assert requests.media.count(broken) == 6
        assert (tmp_path / path_of(sim, broken)).is_file()

    async def test_it_ends_when_the_service_changes_the_record(
        self, sim: Simulator, client: RecordingsClient, tmp_path: Path
    ) -> None:
        record = next(r for r in completed(sim) if r["sid"] in muted(sim))
        requests = Requests(sim)
        for codec, expected in (("a", 1), ("a", 1), ("b", 2)):
            changed = record | {"codec": codec}
            sim.inject(list_of(changed), path_contains="/Recordings?")
            await client.archive([record["room_sid"]], tmp_path, **SINGLE)
            assert requests.media.count(record["sid"]) == expected

    async def test_what_lacks_a_key_is_tried_as_soon_as_there_is_one(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        requests = Requests(sim)
        for _ in range(5):
            report = await client.archive(sim.room_sids, tmp_path, delete=True, **SINGLE)
        assert encrypted(sim) <= set(report.failures)
        assert all("private key" in report.failures[sid] for sid in encrypted(sim))
        assert {requests.media.count(sid) for sid in encrypted(sim)} == {1}
        report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, **SINGLE)
        assert set(report.failures) == muted(sim)
        assert encrypted(sim) == set()

    async def test_of_a_deletion_keeps_the_copy_and_looks_after_it(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path
    ) -> None:
        refused: list[str] = []

        class Refuse:
            async def handle(self, exchange: Exchange, /) -> web.Response:
                if exchange.request.method != "DELETE":
                    return await exchange.get_response()
                refused.append(exchange.request.match_info["sid"])
                return web.json_response({"code": 20403, "message": "suspended", "status": 403}, status=403)

        sim.inject(Refuse(), times=None)
        options: dict[str, Any] = {"delete": True, "decryption": key, **SINGLE}
        for _ in range(5):
            report = await client.archive(sim.room_sids, tmp_path, **options)
        count = len(completed(sim)) - len(muted(sim))
        assert (report.archived, report.deleted, report.postponed, len(refused)) == (
            count, 0, count + len(muted(sim)), 3 * count,
        )  # fmt: skip
        assert report.failed == report.postponed
        # A copy that is lost meanwhile is made again, whatever waits.
        lost = tmp_path / path_of(sim, refused[0])
        content = lost.read_bytes()
        lost.unlink()
        await client.archive(sim.room_sids, tmp_path, **options)
        assert lost.read_bytes() == content
        sim.clear_faults()
        report = await client.archive(sim.room_sids, tmp_path, retry_failed=True, **options)
        assert (report.deleted, set(report.failures)) == (count, muted(sim))


def path_of(sim: Simulator, sid: str) -> str:
    record = next(record for record in completed(sim) if record["sid"] == sid)
    return f"{record['room_sid']}/{sid}.{record['container_format']}"


def list_of(record: dict[str, Any]) -> faults.Respond:
    """Return a list of one recording, as a response."""
    url = "https://video.twilio.com/v1/Recordings?PageSize=100&Page=0"
    meta = {"page": 0, "page_size": 100, "first_page_url": url, "previous_page_url": None, "url": url}
    body = {"recordings": [record], "meta": meta | {"next_page_url": None, "key": "recordings"}}
    return faults.Respond(200, json.dumps(body).encode())


async def test_what_is_new_is_copied_before_earlier_copies_are_looked_at(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rooms whose copies are there come first.
    await client.archive(sim.room_sids[:8], tmp_path, decryption=key, **SINGLE)
    progress = ArchiveProgress()
    read: list[str] = []
    map_concurrently, read_back = run_module.map_concurrently, run_module.read_back

    async def after_listing(*arguments: Any) -> AsyncIterator[Any]:
        while progress.listing:
            await asyncio.sleep(0.001)
        async for each in map_concurrently(*arguments):
            yield each

    async def note(destination: Any, name: str) -> Any:
        read.append(name.partition("/")[0])
        return await read_back(destination, name)

    monkeypatch.setattr(run_module, "map_concurrently", after_listing)
    monkeypatch.setattr(run_module, "read_back", note)
    options: dict[str, Any] = {"decryption": key, "downloads": 1, "progress": progress, **SINGLE}
    await client.archive(sim.room_sids, tmp_path, delete=True, **options)
    are_new = [room_sid in sim.room_sids[8:] for room_sid in read]
    assert are_new == sorted(are_new, reverse=True)
    assert len(set(are_new)) == 2


async def test_a_resumed_run_goes_to_what_is_new_before_earlier_copies_are_looked_at(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = sim.room_sids[:8]
    await client.archive(known, tmp_path, decryption=key, **SINGLE)
    async with Ledger(tmp_path / "ledger.sqlite3", ".") as ledger:
        for room_sid in known:
            await ledger.mark_room_listed(room_sid)
    asked: list[str] = []
    asked_before_look: list[int] = []
    is_room_listed, file_size = Ledger.is_room_listed, run_module.file_size

    async def note_room(self: Ledger, room_sid: str) -> bool:
        asked.append(room_sid)
        return await is_room_listed(self, room_sid)

    def note_look(path: Path) -> int | None:
        asked_before_look.append(len(asked))
        return file_size(path)

    monkeypatch.setattr(Ledger, "is_room_listed", note_room)
    monkeypatch.setattr(run_module, "file_size", note_look)
    report = await client.archive(sim.room_sids, tmp_path, decryption=key, **SINGLE)
    assert report.archived == len(completed(sim)) - len(muted(sim))
    assert min(asked_before_look) > len(known)
    # A source that ends with rooms that are known ends, too.
    async with Ledger(tmp_path / "ledger.sqlite3", ".") as ledger:
        for room_sid in known:
            await ledger.mark_room_listed(room_sid)
    asked_before_look.clear()
    again = await client.archive(known, tmp_path, decryption=key, **SINGLE)
    assert (again.archived, again.failed) == (report.archived, len(muted(sim) & sids_of(sim, known)))
    assert len(asked_before_look) > 0


def sids_of(sim: Simulator, room_sids: list[str]) -> set[str]:
    return {record["sid"] for room_sid in room_sids for record in sim.recordings(room_sid)}


async def refuse(store: ObjectStore, name: str) -> None:
    raise MediaError(f"{store.location(name)}: 403 Forbidden")


class TestStore:
    """A manifest in parts, in an S3 server. They are a tenth as large as they are."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ledger_module, "TRACKING", ledger_module.TRACKING.replace("1000", "100"))
        for module in (ledger_module, manifest_module):
            monkeypatch.setattr(module, "PART_SIZE", 100)

    async def test_only_parts_that_have_changed_are_sent(
        self,
        sim: Simulator,
        client: RecordingsClient,
        key: PrivateKey,
        s3: S3Server,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        store, ledger = ObjectStore(s3.bucket("nightly"), "rooms"), tmp_path / "ledger.sqlite3"
        options: dict[str, Any] = {"ledger": ledger, "decryption": key, **SINGLE}
        half, others = sim.room_sids[:8], sim.room_sids[8:]
        await client.archive(half, store, **options)
        assert "rooms/manifest.jsonl" in s3.objects("nightly")
        async with Ledger(ledger, store.location("")) as opened:
            await opened.add_recordings(
                Recording(sid=f"RT{number:032x}", room_sid=f"RM{number:032x}") for number in range(150)
            )
        await client.archive([], store, **options)
        parts = [f"rooms/manifest.jsonl/part-00000{number}.jsonl" for number in (0, 1)]
        assert [name for name in s3.objects("nightly") if "manifest" in name] == parts

        sent: list[str] = []
        write = ObjectStore.write

        async def note(self: ObjectStore, name: str, chunks: AsyncIterator[bytes]) -> None:
            sent.append(name)
            await write(self, name, chunks)

        monkeypatch.setattr(ObjectStore, "write", note)
        await client.archive(half, store, **options)
        assert sent == []
        await client.archive(others, store, **options)
        assert [name for name in sent if "manifest" in name] == ["manifest.jsonl/part-000001.jsonl"]
        s3.send("DELETE", "/nightly/rooms/manifest.jsonl/part-000000.jsonl")
        s3.send("PUT", "/nightly/rooms/manifest.jsonl/part-000009.jsonl")
        sent.clear()
        await client.archive([], store, **options)
        assert sent == ["manifest.jsonl/part-000000.jsonl"]
        assert [name for name in s3.objects("nightly") if "manifest" in name] == parts
        lines = b"".join(s3.content("nightly", name) for name in parts).splitlines()
        assert {json.loads(line)["sid"] for line in lines} >= {record["sid"] for record in completed(sim)}

    @pytest.mark.parametrize("form", ["", "/manifest.jsonl", "/ROOM"])
    async def test_it_is_read(
        self,
        sim: Simulator,
        client: RecordingsClient,
        key: PrivateKey,
        s3: S3Server,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        form: str,
    ) -> None:
        bucket = f"parts{len(form)}"
        store, ledger = ObjectStore(s3.bucket(bucket)), tmp_path / "ledger.sqlite3"
        # A store that lets nothing be deleted keeps what was one object, and that is empty from now on.
        is_kept = form == "/manifest.jsonl"
        if is_kept:
            monkeypatch.setattr(ObjectStore, "delete", refuse)
            await client.archive(sim.room_sids[:8], store, ledger=ledger, decryption=key, **SINGLE)
        async with Ledger(ledger, store.location("")) as opened:
            await opened.add_recordings(
                Recording(sid=f"RT{number:032x}", room_sid=f"RM{number:032x}") for number in range(110)
            )
        for _ in range(2):
            await client.archive(sim.room_sids, store, ledger=ledger, decryption=key, **SINGLE)
        assert ("manifest.jsonl" in s3.objects(bucket)) is is_kept
        if is_kept:
            assert s3.content(bucket, "manifest.jsonl") == b""
        for name, value in {
            "AWS_ENDPOINT": s3.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        record = next(each for each in completed(sim) if each["sid"] not in muted(sim))
        url = f"s3://{bucket}{form}".replace("ROOM", record["room_sid"])
        room = await open_kept(url, record["room_sid"])
        kept = next(each for each in room.recordings if each.recording.sid == record["sid"])
        assert (await room.fetch(kept, tmp_path)).read_bytes() == b"".join(sim.media(record["sid"]))
