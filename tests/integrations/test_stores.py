"""Object stores as destinations, with a real S3-speaking server."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.store import HTTPStore, LocalStore, MemoryStore

from roomrec_async import ConfigurationError, ConnectionFailedError, InvalidArgumentError, MediaError
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator, faults

from .conftest import S3Server

PART = 5 * 2**20


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [1], [1] * 50, [PART - 1], [PART], [PART, 1], [PART - 1, 2], [20 * 2**20], [2**18] * 50],
    ids=["none", "empty", "a byte", "bytes", "nearly a part", "a part", "more", "across", "large", "chunks"],
)
async def test_what_is_written_is_there(s3: S3Server, sizes: list[int]) -> None:
    bucket = f"written-{abs(hash(tuple(sizes))) % 10**8}"
    store = ObjectStore(s3.bucket(bucket), "some/where/")
    data = pattern(sum(sizes))
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    assert await store.size("name.mka") is None
    await store.write("name.mka", chunks(*parts))
    assert s3.content(bucket, "some/where/name.mka") == data
    assert await store.size("name.mka") == len(data)
    assert s3.unfinished_uploads(bucket) == 0
    assert store.location("name.mka") == f"s3://{bucket}/some/where/name.mka"


@pytest.mark.parametrize("good", [0, 1, 2 * PART + 5, 8 * PART])
async def test_an_error_in_the_chunks_comes_out_as_it_is_and_leaves_nothing(s3: S3Server, good: int) -> None:
    bucket = f"broken-{good}"
    store = ObjectStore(s3.bucket(bucket))
    error = ConnectionFailedError("reset", method="GET", url="https://store.example")

    async def broken() -> AsyncIterator[bytes]:
        yield pattern(good)
        raise error

    with pytest.raises(ConnectionFailedError) as caught:
        await store.write("name.mka", broken())
    assert caught.value is error
    assert s3.objects(bucket) == []
    assert s3.unfinished_uploads(bucket) == 0


@pytest.mark.parametrize("good", [1, 3 * PART])
async def test_a_cancelled_upload_leaves_nothing(s3: S3Server, good: int) -> None:
    bucket = f"cancelled-{good}"
    store = ObjectStore(s3.bucket(bucket))
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield pattern(good)
        waiting.set()
        await asyncio.sleep(60)

    before = asyncio.all_tasks()
    task = asyncio.create_task(store.write("name.mka", endless()))
    await waiting.wait()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert s3.objects(bucket) == []
    assert s3.unfinished_uploads(bucket) == 0


async def test_an_object_is_replaced_only_as_a_whole(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("replaced"))
    await store.write("name", chunks(b"of old"))

    async def broken() -> AsyncIterator[bytes]:
        yield pattern(2 * PART)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await store.write("name", broken())
    assert s3.content("replaced", "name") == b"of old"


async def test_a_store_that_refuses_or_is_gone(s3: S3Server) -> None:
    missing = ObjectStore(s3.store("no-such-bucket"))
    for size in (10, 3 * PART):
        with pytest.raises(MediaError, match="s3://no-such-bucket/name") as caught:
            await missing.write("name", chunks(pattern(size)))
        assert "canary" not in str(caught.value)
        assert len(str(caught.value)) < 300
    gone = ObjectStore(S3Server("http://127.0.0.1:1").store("bucket"))
    for size in (10, 3 * PART):
        with pytest.raises(MediaError, match="s3://bucket/name"):
            await gone.write("name", chunks(pattern(size)))
    with pytest.raises(MediaError, match="s3://bucket/name"):
        await gone.size("name")


async def test_local_and_memory_stores(tmp_path: Path) -> None:
    local = ObjectStore(LocalStore(tmp_path), "deep")
    await local.write("name", chunks(pattern(3 * PART)))
    assert (tmp_path / "deep" / "name").read_bytes() == pattern(3 * PART)
    assert local.location("name") == f"{tmp_path}/deep/name"
    memory = ObjectStore(MemoryStore())
    await memory.write("name", chunks(b"abc"))
    assert await memory.size("name") == 3
    assert memory.location("name") == "memory:///name"


class TestUrls:
    def test_a_bucket_and_a_prefix(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary-id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        store = ObjectStore.from_url("s3://bucket/rooms/2026")
        assert store.location("x.mka") == "s3://bucket/rooms/2026/x.mka"
        assert "canary" not in repr(store)

    @pytest.mark.parametrize(
        "url",
        ["https://example.com/x", "nonsense://bucket", "s3://id:canary@bucket", "s3://bucket?secret=canary", "s3:"],
    )
    def test_what_is_none(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            ObjectStore.from_url(url)
        assert "canary" not in str(caught.value)

    def test_a_store_of_another_kind(self) -> None:
        with pytest.raises(InvalidArgumentError):
            ObjectStore(HTTPStore.from_url("https://example.com"))  # type: ignore[arg-type]


async def test_a_download_into_a_bucket(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("downloads"), "rooms")
    async with (
        Simulator(
            rooms=8, recordings_per_room=4, media_size=(6_000_000, 7_000_000), reads_per_second=None
        ) as simulator,
        simulator.client() as client,
    ):
        recording = await stored(client, simulator)
        simulator.store.inject(faults.ResetMidBody(after=1_000_000), times=1)
        download = await client.download(recording, store)
        truth = b"".join(simulator.media(recording.sid))
        assert s3.content("downloads", f"rooms/{recording.sid}.{recording.container_format}") == truth
        assert (download.size, download.sha256) == (len(truth), hashlib.sha256(truth).hexdigest())
        assert download.location == f"s3://downloads/rooms/{recording.sid}.{recording.container_format}"
        assert (await client.download(recording, store)).already_there


async def stored(client, simulator):
    async for recording in client.stream(simulator.room_sids, status="completed"):
        if recording.media_external_location is None and recording.encryption_key is None:
            return recording
    raise AssertionError("no recording with media")


def test_memory_stays_flat(s3: S3Server) -> None:
    s3.bucket("flat")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _UPLOAD, s3.endpoint], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 30, "MiB more at the peak than at the beginning"
    assert s3.objects("flat") == ["large"]


_UPLOAD = """
import asyncio, resource, sys
from obstore.store import S3Store
from roomrec_async.integrations.stores import ObjectStore

async def chunks():
    for _ in range(800):
        yield bytes(2**18)

async def main():
    store = ObjectStore(S3Store("flat", config={"access_key_id": "t", "secret_access_key": "t", "region": "us-east-1"},
        endpoint=sys.argv[1], client_options={"allow_http": True}))
    await store.write("small", chunks_of(bytes(2**20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await store.write("large", chunks())
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    import obstore
    await obstore.delete_async(store._store, "small")

async def chunks_of(data):
    yield data

asyncio.run(main())
"""
