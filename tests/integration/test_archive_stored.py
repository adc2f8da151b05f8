"""Archives whose state is in a store, against a server that speaks the S3 protocol: killed, divided and resumed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import urllib.error
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import attrs
import obstore
import pytest
from aiohttp import web
from obstore.store import MemoryStore

from roomrec_async import (
    ConfigurationError,
    DateWindow,
    Download,
    MediaError,
    RateLimiter,
    Recording,
    RecordingsClient,
    RecordingStatus,
    RetryPolicy,
)
from roomrec_async import _lease as leases
from roomrec_async._archive import stored as stored_module
from roomrec_async._archive.stored import open_state
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator
from roomrec_async.simulator.http_exchange import Exchange

from .conftest import S3Server

# Each makes whole archives in a server, and some start processes.
pytestmark = pytest.mark.slow

BEFORE_ALL = DateWindow(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
SINGLE: dict[str, Any] = {"manifest": ("jsonl",)}


def simulated(rooms: int, **options: Any) -> Simulator:
    unlimited = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}
    return Simulator(rooms, (0, 5), 6, **{"media_size": (100, 20_000)} | unlimited | options)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with simulated(16) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    async with sim.client(limiter=RateLimiter(None, None, None), retry=RetryPolicy(base_delay=0)) as client:
        yield client


@pytest.fixture
def key(sim: Simulator) -> PrivateKey:
    return PrivateKey.from_pem(sim.private_key_pem)


@attrs.define
class Bucket:
    """What is in a bucket, read without this package."""

    server: S3Server
    name: str
    _parts: dict[str, list[Any]] = attrs.field(factory=dict)

    def create(self) -> ObjectStore:
        return ObjectStore(self.server.bucket(self.name), "rooms")

    def open(self) -> ObjectStore:
        return ObjectStore(self.server.store(self.name), "rooms")

    def names(self) -> list[str]:
        return [name.removeprefix("rooms/") for name in self.server.objects(self.name)]

    def read(self, name: str) -> bytes:
        return self.server.content(self.name, f"rooms/{name}")

    def index(self) -> dict[str, Any]:
        return json.loads(self.read("_roomrec/archive.json"))

    def state(self) -> dict[str, dict[str, Any]]:
        """Return the last row of each recording that the state has, by its SID."""
        while True:
            index = self.index()
            try:
                return self.rows_of(index)
            except urllib.error.HTTPError:
                # Parts that have become one file meanwhile are deleted.
                if self.index() == index:
                    raise

    def rows_of(self, index: dict[str, Any]) -> dict[str, dict[str, Any]]:
        names = [file["name"] for file in index["files"]]
        for journal in index["journals"]:
            names += [f"{journal['folder']}{number:06d}.jsonl.gz" for number in range(1, journal["parts"] + 1)]
        names += sorted(name for name in self.names() if name.startswith(index["folder"]))
        rows = {}
        for name in names:
            # They are written once.
            if name not in self._parts:
                self._parts[name] = [json.loads(line) for line in gzip.decompress(self.read(name)).splitlines()]
            rows |= {change["sid"]: change for table, change in self._parts[name] if table == "recordings"}
        return rows

    def manifest(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read("manifest.jsonl").splitlines()]


def completed(sim: Simulator) -> list[dict[str, Any]]:
    records = [record for sid in sim.room_sids for record in sim.recordings(sid, "completed")]
    return [record for record in records if record["media_external_location"] is None]


def paths_of(sim: Simulator) -> dict[str, str]:
    """Return the name of the copy of each recording that has media."""
    return {
        record["sid"]: f"{record['room_sid']}/{record['sid']}.{record['container_format']}"
        for record in completed(sim)
        if record["duration"]
    }


class DeletionsSeen:
    """Looks at the copy and at the state at each instant at which something is deleted at the source."""

    def __init__(self, sim: Simulator, bucket: Bucket) -> None:
        self.paths = paths_of(sim)
        self.contents = {sid: b"".join(sim.media(sid)) for sid in self.paths}
        self.bucket = bucket
        self.deleted: list[str] = []
        self.unsafe: list[str] = []
        sim.inject(self, times=None)

    async def handle(self, exchange: Exchange, /) -> web.Response:
        if exchange.request.method == "DELETE":
            sid = exchange.request.match_info["sid"]
            self.deleted.append(sid)
            if not await asyncio.to_thread(self.is_safe, sid):
                self.unsafe.append(sid)
        return await exchange.get_response()

    def is_safe(self, sid: str) -> bool:
        row = self.bucket.state().get(sid, {})
        content = self.contents[sid]
        digest = hashlib.sha256(content).hexdigest()
        is_recorded = (row.get("state"), row.get("bytes"), row.get("sha256")) == ("archived", len(content), digest)
        return is_recorded and self.bucket.read(self.paths[sid]) == content


def check_complete(sim: Simulator, bucket: Bucket, seen: DeletionsSeen, *, deleted: bool) -> None:
    """Check that everything is in the archive once, as it was at the source, and that the state says so."""
    assert seen.unsafe == []
    state = "deleted" if deleted else "archived"
    counts = Counter(row["sid"] for row in bucket.manifest())
    assert {sid: counts[sid] for sid in seen.paths} == dict.fromkeys(seen.paths, 1)
    assert max(counts.values()) == 1
    rows = bucket.state()
    listed = {row["sid"]: row for row in bucket.manifest()}
    for sid, path in seen.paths.items():
        digest = hashlib.sha256(seen.contents[sid]).hexdigest()
        assert bucket.read(path) == seen.contents[sid]
        assert (rows[sid]["state"], rows[sid]["sha256"]) == (state, digest)
        assert (listed[sid]["state"], listed[sid]["sha256"]) == (state, digest)
    assert set(seen.deleted) == (set(seen.paths) if deleted else set())
    assert (set(paths_of(sim)) == set()) is deleted


_VICTIM = """
import asyncio, os, signal, sys
import aiohttp, obstore
from obstore.store import S3Store
from roomrec_async import _lease, RateLimiter, RecordingsClient
from roomrec_async._archive import stored, run
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore

endpoint, bucket, directory, delete, small = sys.argv[1:]
# The tests need not wait long to see that a process is dead.
_lease.BEAT = 0.02
if small == "small":
    stored._MAX_PARTS, stored._GROUP_SIZE = 5, 3
left, when, number = 0, "", 0

def counted(function):
    async def request(*arguments, **options):
        global left
        left -= 1
        is_last = left == 0
        if is_last and when == "before":
            os.kill(os.getpid(), number)
        sent = asyncio.ensure_future(function(*arguments, **options))
        if is_last and when == "meanwhile":
            for _ in range(5):
                await asyncio.sleep(0)
            os.kill(os.getpid(), number)
        try:
            return await sent
        finally:
            if is_last and when == "after":
                os.kill(os.getpid(), number)
    return request

for name in ("put_async", "get_async", "head_async", "delete_async"):
    setattr(obstore, name, counted(getattr(obstore, name)))
aiohttp.ClientSession._request = counted(aiohttp.ClientSession._request)

async def archive():
    config = {"access_key_id": "testing", "secret_access_key": "canary", "region": "us-east-1"}
    store = S3Store(bucket, config=config, endpoint=endpoint, client_options={"allow_http": True})
    rooms = open(directory + "/rooms.txt").read().split()
    key = PrivateKey.from_file(directory + "/key.pem")
    async with RecordingsClient.from_env(limiter=RateLimiter(None, None, None)) as client:
        await client.archive(
            rooms, ObjectStore(store, "rooms"), delete=delete == "delete", decryption=key, manifest=("jsonl",)
        )

for line in sys.stdin:
    left, number, when = int(line.split()[0]), int(line.split()[1]), line.split()[2]
    child = os.fork()
    if not child:
        try:
            asyncio.run(archive())
        except _lease.LeaseLostError:
            os._exit(1)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            os._exit(2)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Victims:
    """A process that forks archives, each of which sends itself a signal at a request to the service or the store."""

    def __init__(self, sim: Simulator, bucket: Bucket, directory: Path, *, delete: bool, small: bool) -> None:
        (directory / "key.pem").write_bytes(sim.private_key_pem)
        (directory / "rooms.txt").write_text("\n".join(sim.room_sids))
        credentials = {
            "TWILIO_ACCOUNT_SID": sim.credentials.account_sid,
            "TWILIO_AUTH_TOKEN": sim.credentials.password,
            "ROOMREC_BASE_URL": sim.base_url,
            "TMPDIR": str(directory),
        }
        arguments = [bucket.server.endpoint, bucket.name, str(directory)]
        arguments += ["delete" if delete else "keep", "small" if small else "large"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **credentials},
        )

    async def start(self, request: int, when: str, number: int = signal.SIGKILL) -> int:
        """Start an archive that has this signal at this request, and return the ID of its process."""
        assert self.process.stdin
        self.process.stdin.write(f"{request} {int(number)} {when}\n")
        self.process.stdin.flush()
        return await self.read_number()

    async def run(self, request: int = 0, when: str = "never") -> int:
        """Run an archive, which is killed at this request, and return the status of its process."""
        await self.start(request, when)
        return await self.read_number()

    async def read_number(self) -> int:
        assert self.process.stdout
        return int(await asyncio.to_thread(self.process.stdout.readline))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("delete", "seed", "kills"),
    [
        (True, 1, 4),
        *(pytest.param(delete, seed, 40, marks=pytest.mark.slow) for delete in (False, True) for seed in (2, 3, 4, 5)),
    ],
)
async def test_killed_at_any_request(s3: S3Server, tmp_path: Path, delete: bool, seed: int, kills: int) -> None:
    bucket = Bucket(s3, f"killed-{seed}-{delete}".lower())
    bucket.create()
    choices = random.Random(seed)
    killed = 0
    with simulated(10 if kills < 10 else 40) as account:
        seen = DeletionsSeen(account, bucket)
        with Victims(account, bucket, tmp_path, delete=delete, small=seed % 2 == 1) as victims:
            for _ in range(kills):
                # A run that resumes has fewer requests; one that is done is not killed by any.
                request = choices.randrange(1, 60 if delete else 120)
                status = await victims.run(request, choices.choice(["before", "meanwhile", "after"]))
                assert status in (0, signal.SIGKILL)
                killed += status == signal.SIGKILL
            assert await victims.run() == 0
        assert killed > 0
        check_complete(account, bucket, seen, deleted=delete)


async def has_stopped(process_id: int) -> None:
    """Return once a process has stopped itself."""
    while Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        await asyncio.sleep(0.005)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc to see that a process has stopped")
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("request_number", [10, 15, 25, 33, 40, 57])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_that_is_stopped_until_another_is_done_writes_and_deletes_no_more(
    s3: S3Server, tmp_path: Path, request_number: int, when: str
) -> None:
    bucket = Bucket(s3, f"stopped-{request_number}-{when}")
    bucket.create()
    places = [tmp_path / name for name in ("stopped", "heir")]
    for place in places:
        place.mkdir()
    with (
        simulated(20) as account,
        Victims(account, bucket, places[0], delete=True, small=True) as victims,
        Victims(account, bucket, places[1], delete=True, small=True) as heirs,
    ):
        seen = DeletionsSeen(account, bucket)
        process_id = await victims.start(request_number, when, signal.SIGSTOP)
        await has_stopped(process_id)
        assert await heirs.run() == 0
        before = {name: bucket.read(name) for name in bucket.names() if not name.endswith(".lease")}
        os.kill(process_id, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(await victims.read_number()) == 1
        # Only what was on its way when it stopped may have arrived: a copy as it is there, or a part of no account.
        after = {name: bucket.read(name) for name in bucket.names() if not name.endswith(".lease")}
        assert {name: after[name] for name in before} == before
        assert all(name.startswith("_roomrec/archive/") for name in after.keys() - before.keys())
        check_complete(account, bucket, seen, deleted=True)


class TestOneAtATime:
    async def test_a_second_archive_is_told(
        self, sim: Simulator, client: RecordingsClient, s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "BEAT", 0.3)
        monkeypatch.setattr(leases, "BEATS_MISSED", 1000)
        bucket = Bucket(s3, "second")
        store = bucket.create()
        async with open_state(store, sim.credentials.account_sid):
            with pytest.raises(MediaError, match="another process is archiving to s3://second/rooms/: wait"):
                await client.archive(sim.room_sids, bucket.open(), **SINGLE)
        assert sim.stats.requests == 0
        await client.archive([], bucket.open(), **SINGLE)

    async def test_who_loses_the_lease_deletes_nothing_more(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "BEAT", 0.001)
        bucket = Bucket(s3, "robbed")
        store = bucket.create()
        deleted: list[str] = []

        class Rob:
            async def handle(self, exchange: Exchange, /) -> web.Response:
                if exchange.request.method == "DELETE":
                    deleted.append(exchange.request.match_info["sid"])
                    found = await obstore.get_async(store._store, "rooms/_roomrec/archive.lease")
                    assert found.meta["size"] > 0
                    await obstore.put_async(store._store, "rooms/_roomrec/archive.lease", b'{"holder": "heir"}')
                return await exchange.get_response()

        sim.inject(Rob(), times=None)
        with pytest.raises(MediaError, match="another process has taken over and is archiving to"):
            await client.archive(sim.room_sids, store, delete=True, decryption=key, downloads=1, **SINGLE)
        assert len(deleted) == 1
        written = bucket.names()
        assert bucket.state()[deleted[0]]["state"] == "archived"
        assert "manifest.jsonl" not in written

    async def test_a_state_that_cannot_be_written_ends_the_run(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Bucket(s3, "readonly").create()
        create = ObjectStore.create

        async def refuse(self: ObjectStore, name: str, data: bytes) -> bool:
            if not name.endswith("000001.jsonl.gz"):
                raise MediaError(f"{self.location(name)}: 507 Insufficient Storage")
            return await create(self, name, data)

        seen = DeletionsSeen(sim, Bucket(s3, "readonly"))
        monkeypatch.setattr(ObjectStore, "create", refuse)
        options: dict[str, Any] = {"delete": True, "decryption": key, "downloads": 1, **SINGLE}
        with pytest.raises(MediaError, match=r"the state of the archive cannot be written: s3://.*: 507"):
            await client.archive(sim.room_sids, store, **options)
        # That was found out when the second was to be deleted.
        assert len(seen.deleted) == 1
        monkeypatch.undo()
        await client.archive(sim.room_sids, store, **options)
        check_complete(sim, seen.bucket, seen, deleted=True)


class TestRefused:
    async def test_a_ledger_besides(self, client: RecordingsClient, s3: S3Server, tmp_path: Path) -> None:
        store = Bucket(s3, "besides").create()
        await client.archive([], store, **SINGLE)
        with pytest.raises(ConfigurationError, match=r"s3://besides/rooms/_roomrec/archive\.json is the state of this"):
            await client.archive([], store, ledger=tmp_path / "ledger", **SINGLE)
        assert not (tmp_path / "ledger").exists()

    async def test_an_archive_whose_ledger_is_elsewhere(
        self, client: RecordingsClient, s3: S3Server, tmp_path: Path
    ) -> None:
        bucket = Bucket(s3, "elsewhere")
        await client.archive([], bucket.create(), ledger=tmp_path / "ledger", **SINGLE)
        with pytest.raises(ConfigurationError, match=r"manifest\.jsonl is the manifest of an archive whose ledger is"):
            await client.archive([], bucket.open(), **SINGLE)
        assert bucket.names() == ["manifest.jsonl"]

    async def test_another_account(self, client: RecordingsClient, s3: S3Server) -> None:
        store = Bucket(s3, "account").create()
        await client.archive([], store, **SINGLE)
        client._transport.account_sid = "AC" + "f" * 32
        with pytest.raises(ConfigurationError, match=r"has the archive of account AC[0-9a-f]+, not of ACf+: "):
            await client.archive([], store, **SINGLE)

    async def test_a_store_without_versions(self, sim: Simulator, client: RecordingsClient, tmp_path: Path) -> None:
        class Plain:
            """A destination as programs may have one of their own."""

            def __init__(self) -> None:
                self.objects: dict[str, bytes] = {}

            def location(self, name: str) -> str:
                return f"plain://{name}"

            async def size(self, name: str) -> int | None:
                return len(self.objects[name]) if name in self.objects else None

            async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
                self.objects[name] = b"".join([chunk async for chunk in chunks])

        store = Plain()
        with pytest.raises(ConfigurationError, match=r"an archive in plain:// needs a ledger, .* \(--ledger FILE on"):
            await client.archive(sim.room_sids, store, **SINGLE)
        assert (sim.stats.requests, store.objects) == (0, {})
        await client.archive(sim.room_sids, store, ledger=tmp_path / "ledger", **SINGLE)
        assert "manifest.jsonl" in store.objects

    @pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
    async def test_a_store_that_ignores_conditions(
        self, client: RecordingsClient, monkeypatch: pytest.MonkeyPatch, ignored: str
    ) -> None:
        exchange = ObjectStore.exchange

        async def obey(self: ObjectStore, name: str, data: bytes, version: Any) -> Any:
            if (version is None) is (ignored == "If-None-Match"):
                result = await obstore.put_async(self._store, name, data)
                return result["e_tag"], result["version"]
            return await exchange(self, name, data, version)

        monkeypatch.setattr(ObjectStore, "exchange", obey)
        store = ObjectStore(MemoryStore())
        with pytest.raises(ConfigurationError, match=r"ignores conditional requests .*--ledger FILE"):
            await client.archive([], store, **SINGLE)

    @pytest.mark.parametrize("how", ["part missing", "part cut", "part of something else", "index", "version"])
    async def test_a_damaged_state(
        self, sim: Simulator, client: RecordingsClient, key: PrivateKey, s3: S3Server, how: str
    ) -> None:
        bucket = Bucket(s3, f"damaged-{how.replace(' ', '-')}")
        store = bucket.create()
        for rooms in (sim.room_sids[:8], sim.room_sids):
            await client.archive(rooms, store, decryption=key, **SINGLE)
        requests = sim.stats.requests
        first = f"rooms/{bucket.index()['journals'][0]['folder']}000001.jsonl.gz"
        match how:
            case "part missing":
                await obstore.delete_async(store._store, first)
            case "part cut":
                content = bucket.read(first.removeprefix("rooms/"))
                await obstore.put_async(store._store, first, content[: len(content) // 2])
            case "part of something else":
                await obstore.put_async(store._store, first, gzip.compress(b'["about", {}]\n'))
            case "index":
                await obstore.put_async(store._store, "rooms/_roomrec/archive.json", b'{"version": 1}')
            case "version":
                await obstore.put_async(store._store, "rooms/_roomrec/archive.json", b'{"version": 2}')
        with pytest.raises(ConfigurationError, match=r"the state of the archive in s3://.* is damaged: .* Restore"):
            await client.archive(sim.room_sids, store, delete=True, **SINGLE)
        assert sim.stats.requests == requests


@attrs.define
class Traffic:
    """Counts the requests to a store, and the bytes that come and go."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("put_async", "get_async", "head_async", "delete_async", "list"):
            monkeypatch.setattr(obstore, name, self.counting(getattr(obstore, name)))
        read, read_version = ObjectStore.read, ObjectStore.read_version

        async def counted_read(store: ObjectStore, name: str) -> AsyncIterator[bytes]:
            async for chunk in read(store, name):
                self.read += len(chunk)
                yield chunk

        async def counted_read_version(store: ObjectStore, name: str) -> Any:
            found = await read_version(store, name)
            self.read += len(found[0]) if found else 0
            return found

        monkeypatch.setattr(ObjectStore, "read", counted_read)
        monkeypatch.setattr(ObjectStore, "read_version", counted_read_version)

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(store: object, *arguments: Any, **options: Any) -> Any:
            self.requests += 1
            self.written += sum(len(each) for each in arguments if isinstance(each, bytes))
            return function(store, *arguments, **options)

        return count


async def filled(store: ObjectStore, account_sid: str, count: int) -> None:
    """Fill the state of an archive with recordings that have copies."""
    copy = Download("RT", "s3://there", 1000, "0" * 64)
    async with open_state(store, account_sid) as state:
        for start in range(0, count, 250):
            batch = [
                Recording(
                    sid=f"RT{hashlib.md5(str(number).encode()).hexdigest()}",
                    room_sid=f"RM{number // 10:032x}",
                    status=RecordingStatus.COMPLETED,
                    date_created=datetime(2025, 1, 1, tzinfo=UTC),
                    size=1000,
                    track_name=f"track of {number}",
                )
                for number in range(start, start + 250)
            ]
            await state.ledger.add_recordings(batch)
            for entry in await state.ledger.next_entries(start):
                await state.ledger.mark_archived(entry, copy)
            await state.sync()
            await state.finish()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [1_000, pytest.param(16_000, marks=pytest.mark.slow)])
async def test_an_empty_run_costs_a_few_requests_and_the_bytes_of_the_state(
    sim: Simulator, client: RecordingsClient, s3: S3Server, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    bucket = Bucket(s3, f"empty-{count}")
    store = bucket.create()
    await filled(store, sim.credentials.account_sid, count)
    # It writes the manifest.
    await client.archive(BEFORE_ALL, store, **SINGLE)
    names = [name for name in bucket.names() if name.startswith("_roomrec/archive/")]
    state_bytes = sum(len(bucket.read(name)) for name in names)
    traffic = Traffic()
    traffic.watch(monkeypatch)
    report = await client.archive(BEFORE_ALL, store, **SINGLE)
    assert (report.archived, report.left_alone) == (count, count)
    assert names == [name for name in bucket.names() if name.startswith("_roomrec/archive/")]
    assert traffic.requests <= 20 + len(names) <= 20 + 64 + 8
    assert traffic.read <= state_bytes + 4096
    assert traffic.written <= 8192


async def test_copies_are_noted_in_groups(
    sim: Simulator, client: RecordingsClient, key: PrivateKey, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_module, "_GROUP_SECONDS", 1e6)
    bucket = Bucket(s3, "groups")
    report = await client.archive(sim.room_sids, bucket.create(), decryption=key, **SINGLE)
    parts = [name for name in bucket.names() if name.startswith(bucket.index()["folder"])]
    # Each room and each recording is a step. The last two are for the end of the run, and for its manifest.
    steps = len(sim.room_sids) + report.archived + report.failed
    assert len(parts) <= steps // 64 + 2
    assert len(bucket.state()) >= report.archived
