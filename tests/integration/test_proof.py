"""What an archive takes for a proof of a copy, before it deletes a recording at the source."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from roomrec_async import (
    ArchiveReport,
    ClientClosedError,
    Decryption,
    RateLimiter,
    RecordingsClient,
    RetryPolicy,
    Timeout,
)
from roomrec_async._archive.proof import StoredCopy, read_back
from roomrec_async.integrations.decryption import PrivateKey
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.protocols import Destination
from roomrec_async.simulator import Simulator

from .conftest import S3Server
from .raw_server import CREDENTIALS, ROOM_SID, Request, raw_server, response

SID = f"RT{1:032x}"
MATROSKA = b"\x1a\x45\xdf\xa3"
GOOD = MATROSKA + b"a recording" * 30
PORTAL = b"<html>log in</html>"
CLOSED_EARLY = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ANNOUNCED_NOTHING = "the service announced no size"
NOT_MATROSKA = "does not begin as a Matroska file"


@attrs.define
class Source:
    """A service with one recording, as it lists and serves it.

    Attributes:
        fields: what its record has beside the SIDs.
        media: the response of the object store.
        deleted: SIDs for which a DELETE came.
    """

    fields: dict[str, object]
    media: bytes
    url: str = ""
    deleted: list[str] = attrs.field(factory=list)

    async def handle(self, request: Request) -> bytes | None:
        if request.method == "DELETE":
            self.deleted.append(request.target.rpartition("/")[2])
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        if request.target.startswith("/store"):
            if b"Connection: close" not in self.media:
                return self.media
            request.connection.writer.write(self.media)
            return None
        if request.target.split("?")[0].endswith("/Media"):
            return response(json.dumps({"redirect_to": f"{self.url}/store?signed"}).encode(), "302 Found")
        record = {"sid": SID, "room_sid": ROOM_SID, "status": "completed", "type": "audio", "container_format": "mka"}
        return response(json.dumps({"recordings": [record | self.fields], "meta": {"next_page_url": None}}).encode())


@asynccontextmanager
async def serving(source: Source) -> AsyncIterator[RecordingsClient]:
    async with raw_server(source.handle) as server:
        source.url = server.url
        async with RecordingsClient(
            CREDENTIALS,
            base_url=server.url,
            retry=RetryPolicy(max_attempts=2, base_delay=0.01),
            timeout=Timeout(total=3, read=1),
        ) as client:
            yield client


async def archive(
    source: Source, destination: Path | Destination, ledger: Path | None = None, **options: Any
) -> ArchiveReport:
    async with serving(source) as client:
        return await client.archive([ROOM_SID], destination, ledger=ledger, manifest=(), **options)


def media(body: bytes, *headers: str) -> bytes:
    return response(body, "200 OK", *headers)


async def test_a_recording_that_is_proven_is_deleted(tmp_path: Path) -> None:
    source = Source({"size": len(GOOD)}, media(GOOD))
    report = await archive(source, tmp_path, delete=True)
    assert (source.deleted, report.deleted, report.failures) == ([SID], 1, {})


@pytest.mark.parametrize(
    ("size", "body", "reason"),
    [
        (None, media(PORTAL), ANNOUNCED_NOTHING),
        (None, media(b""), ANNOUNCED_NOTHING),
        (None, CHUNKED, ANNOUNCED_NOTHING),
        (None, CLOSED_EARLY, ANNOUNCED_NOTHING),
        (None, media(GOOD), ANNOUNCED_NOTHING),
        (0, media(b""), NOT_MATROSKA),
        (0, media(GOOD), f"it has {len(GOOD)} bytes, and the service announced 0"),
        (len(PORTAL), media(PORTAL), NOT_MATROSKA),
        (3, media(MATROSKA[:3]), NOT_MATROSKA),
        (5, CLOSED_EARLY, "3 bytes arrived, and 5 were announced"),
        (5, media(PORTAL), "the store has 19 bytes, the service says 5"),
    ],
)
async def test_what_is_not_proven_stays_at_the_source_and_is_named(
    size: int | None, body: bytes, reason: str, tmp_path: Path
) -> None:
    source = Source({"size": size}, body)
    for _ in range(2):
        report = await archive(source, tmp_path, delete=True)
        assert source.deleted == []
        assert (report.deleted, report.failed) == (0, 1)
        assert reason in report.failures[SID]
        assert SID in report.failures[SID]


async def test_without_deletion_it_is_copied_and_marked(tmp_path: Path) -> None:
    source = Source({"size": None}, media(PORTAL))
    async with serving(source) as client:
        report = await client.archive([ROOM_SID], tmp_path, manifest=("jsonl",))
    assert (report.archived, report.failed) == (1, 0)
    [row] = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert (row["state"], row["unproven"]) == ("archived", ANNOUNCED_NOTHING)
    assert row["sha256"] == hashlib.sha256(PORTAL).hexdigest()
    report = await archive(source, tmp_path, delete=True)
    assert (source.deleted, report.deleted, report.archived) == ([], 0, 1)
    assert ANNOUNCED_NOTHING in report.failures[SID]


@pytest.mark.parametrize("delete", [False, True])
async def test_a_doubtful_copy_is_made_again_once_the_service_announces_a_size(tmp_path: Path, delete: bool) -> None:
    await archive(Source({"size": None}, media(PORTAL)), tmp_path)
    source = Source({"size": len(GOOD)}, media(GOOD))
    report = await archive(source, tmp_path, delete=delete)
    assert (report.failures, source.deleted) == ({}, [SID] if delete else [])
    assert (tmp_path / ROOM_SID / f"{SID}.mka").read_bytes() == GOOD


async def test_a_good_copy_stays_if_the_service_announces_another_size_later(tmp_path: Path) -> None:
    await archive(Source({"size": len(GOOD)}, media(GOOD)), tmp_path)
    source = Source({"size": len(PORTAL)}, media(PORTAL))
    report = await archive(source, tmp_path, delete=True)
    assert f"it has {len(GOOD)} bytes, and the service announced {len(PORTAL)}" in report.failures[SID]
    assert source.deleted == []
    assert (tmp_path / ROOM_SID / f"{SID}.mka").read_bytes() == GOOD


async def test_a_recording_without_a_usable_sid_is_named_and_the_others_archived(tmp_path: Path) -> None:
    for sid, shown in ((None, ROOM_SID), ("", ROOM_SID), ("RT\ud800", "RT\ufffd"), ("../../x", "../../x")):
        source = Source({"size": len(GOOD), "sid": sid}, media(GOOD))
        report = await archive(source, tmp_path, delete=True)
        assert (report.failed, report.archived, report.deleted) == (1, 0, 0)
        [name] = report.failures
        assert shown in name


class Shelf:
    """A destination that keeps objects in a dictionary, and cannot read them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def location(self, name: str) -> str:
        return f"shelf://{name}"

    async def size(self, name: str) -> int | None:
        return len(self.objects[name]) if name in self.objects else None

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        self.objects[name] = b"".join([chunk async for chunk in chunks])


class ReadableShelf(Shelf):
    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self.objects[name]), 3):
            yield self.objects[name][start : start + 3]


class LossyShelf(ReadableShelf):
    """Has the right size of everything, and other bytes."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        await super().write(name, chunks)
        self.objects[name] = self.objects[name][:-1] + b"\0"


async def test_a_store_that_cannot_be_read_proves_nothing(tmp_path: Path) -> None:
    source, shelf = Source({"size": len(GOOD)}, media(GOOD)), Shelf()
    for _ in range(2):
        report = await archive(source, shelf, tmp_path / "ledger", delete=True)
        assert "cannot be read back: Shelf has no method read()" in report.failures[SID]
        assert (source.deleted, list(shelf.objects.values())) == ([], [GOOD])
    readable = ReadableShelf()
    readable.objects = shelf.objects
    report = await archive(source, readable, tmp_path / "ledger", delete=True)
    assert (source.deleted, report.deleted, report.failures) == ([SID], 1, {})


async def test_a_store_that_alters_what_it_is_given_proves_nothing(tmp_path: Path) -> None:
    source = Source({"size": len(GOOD)}, media(GOOD))
    report = await archive(source, LossyShelf(), tmp_path / "ledger", delete=True)
    assert "its bytes are not those that were written" in report.failures[SID]
    assert source.deleted == []


async def test_an_object_that_was_overwritten_by_zeros_of_the_same_size(s3: S3Server, tmp_path: Path) -> None:
    store = ObjectStore(s3.bucket("proof"), "rooms")
    await archive(Source({"size": len(GOOD)}, media(GOOD)), store, tmp_path / "ledger")
    name = f"{ROOM_SID}/{SID}.mka"

    async def zeros() -> AsyncIterator[bytes]:
        yield bytes(len(GOOD))

    await store.write(name, zeros())
    # It can be copied no more.
    source = Source({"size": len(GOOD)}, response(b"", "404 Not Found"))
    report = await archive(source, store, tmp_path / "ledger", delete=True)
    assert (source.deleted, report.deleted, report.failed) == ([], 0, 1)
    # It can.
    source = Source({"size": len(GOOD)}, media(GOOD))
    report = await archive(source, store, tmp_path / "ledger", delete=True)
    assert (source.deleted, report.deleted, report.failures) == ([SID], 1, {})
    assert s3.content("proof", f"rooms/{name}") == GOOD


async def test_objects_are_read_back_from_the_store(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("readback"))
    content = MATROSKA + bytes(range(256)) * 50_000

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await store.write("large", chunks())
    digest = hashlib.sha256(content).hexdigest()
    assert await read_back(store, "large") == StoredCopy(len(content), digest, is_matroska=True)
    assert await read_back(store, "missing") is None


async def test_files_are_read_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert await read_back(tmp_path, "file") == StoredCopy(3, digest, is_matroska=False)
    assert await read_back(str(tmp_path), "missing") is None


@pytest.mark.parametrize(
    ("key_sid", "headers"),
    [
        ("CR" + "0" * 32, ()),
        ("CR" + "0" * 32, ("x-amz-meta-x-amz-iv: AAAAAAAAAAAAAAAAAAAAAA==",)),
        # The record does not say so, but the store does.
        (None, ("X-Amz-Meta-X-Amz-IV: AAAAAAAAAAAAAAAAAAAAAA==",)),
    ],
)
async def test_ciphertext_without_its_key_is_not_archived_as_plain(
    key_sid: str | None, headers: tuple[str, ...], tmp_path: Path
) -> None:
    source = Source({"size": len(GOOD), "encryption_key": key_sid}, media(GOOD, *headers))
    report = await archive(source, tmp_path, delete=True)
    assert "the store sent no key for them" in report.failures[SID]
    assert (source.deleted, report.archived) == ([], 0)
    assert list(tmp_path.rglob("RT*")) == []


@pytest.mark.parametrize("status", ["processing", "failed", "deleted", "of the future", "\ud800"])
async def test_a_recording_that_is_not_completed_stays_at_the_source(status: str, tmp_path: Path) -> None:
    # Its list was asked for completed ones, and something on the way dropped the filter.
    source = Source({"size": len(GOOD), "status": status}, media(GOOD))
    report = await archive(source, tmp_path, delete=True)
    assert "stays at the source: it is not completed, but" in report.failures[SID]
    assert (source.deleted, report.deleted, report.archived) == ([], 0, 1)


@pytest.mark.slow
async def test_encrypted_recordings_are_proven_by_what_they_decrypt_to(tmp_path: Path) -> None:
    async with Simulator(
        16, (0, 5), seed=8, media_size=(4, 50_000), reads_per_second=None, writes_per_second=None
    ) as sim:
        key: Decryption = PrivateKey.from_pem(sim.private_key_pem)
        encrypted = [
            record
            for room in sim.room_sids
            for record in sim.recordings(room, "completed")
            if record["encryption_key"] and record["media_external_location"] is None
        ]
        assert encrypted
        async with sim.client(limiter=RateLimiter(None, None, None)) as client:
            report = await client.archive(sim.room_sids, tmp_path, delete=True, decryption=key, manifest=())
        assert report.failures == {}
        assert report.deleted == report.archived > len(encrypted)


async def test_the_end_of_the_client_ends_the_run(tmp_path: Path) -> None:
    source = Source({"size": len(GOOD)}, media(GOOD))
    reading = asyncio.Event()

    class SlowShelf(ReadableShelf):
        async def read(self, name: str) -> AsyncGenerator[bytes, None]:
            reading.set()
            await asyncio.sleep(30)
            yield b""

    async with serving(source) as client:
        run = asyncio.create_task(
            client.archive([ROOM_SID], SlowShelf(), ledger=tmp_path / "l", delete=True, manifest=())
        )
        await reading.wait()
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(run, 5)
    assert source.deleted == []
