"""Object stores as destinations, with a server that speaks the S3 protocol."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from obstore.store import AzureStore, HTTPStore, LocalStore, MemoryStore, S3Store

from roomrec_async import ConfigurationError, ConnectionFailedError, InvalidArgumentError, MediaError
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.simulator import Simulator, faults

from .conftest import S3Server, serving

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
async def test_written_objects_are_in_the_store(s3: S3Server, sizes: list[int]) -> None:
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


@pytest.mark.parametrize("after", [0, 1, 19, 20, 21, 40, 79])
async def test_a_cancellation_at_any_moment_leaves_nothing(
    s3: S3Server, after: int, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = f"moment-{after}"
    store = ObjectStore(s3.bucket(bucket))

    async def cancelling() -> AsyncIterator[bytes]:
        # Where tasks start eagerly, this one has no name before its first wait.
        await asyncio.sleep(0)
        for number in range(80):
            if number == after:
                task.cancel()
            yield pattern(2**18)
            await asyncio.sleep(0)

    before = asyncio.all_tasks()
    task = asyncio.create_task(store.write("name.mka", cancelling()))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() - {task} == before
    assert s3.objects(bucket) == []
    assert s3.unfinished_uploads(bucket) == 0
    gc.collect()
    assert caplog.records == [], "no exception was left unretrieved"


async def test_repeated_cancellation_leaves_nothing(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("impatient"))
    waiting = asyncio.Event()
    task = asyncio.create_task(store.write("name.mka", then_silent(4 * PART, waiting)))
    await waiting.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    assert s3.objects("impatient") == []
    assert s3.unfinished_uploads("impatient") == 0


async def test_the_end_of_the_event_loop_leaves_nothing(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("loop-ended"))

    async def main() -> None:
        waiting = asyncio.Event()
        task = asyncio.create_task(store.write("name.mka", then_silent(4 * PART, waiting)))
        await waiting.wait()
        assert not task.done()

    # The end of asyncio.run cancels all tasks there are.
    await asyncio.to_thread(asyncio.run, main())
    assert s3.objects("loop-ended") == []
    assert s3.unfinished_uploads("loop-ended") == 0


async def then_silent(size: int, waiting: asyncio.Event) -> AsyncIterator[bytes]:
    for _ in range(size // 2**18):
        yield bytes(2**18)
    waiting.set()
    await asyncio.sleep(60)


async def test_many_uploads_at_once(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("many"))
    sizes = [number * PART // 3 for number in range(8)]
    async with asyncio.TaskGroup() as group:
        for size in sizes:
            group.create_task(store.write(f"of-{size}", chunks(pattern(size))))
    assert [await store.size(f"of-{size}") for size in sizes] == sizes
    assert s3.unfinished_uploads("many") == 0


@pytest.mark.parametrize("refused", ["uploads", "partNumber=1", "partNumber=2", "partNumber=4", "completion"])
async def test_a_refused_request_leaves_nothing(s3: S3Server, refused: str) -> None:
    bucket = f"refused-{refused.lower().replace('=', '-')}"
    s3.bucket(bucket)

    def is_refused(request: web.Request) -> bool:
        query = request.rel_url.query_string
        return refused in query or (refused == "completion" and request.method == "POST" and "uploadId" in query)

    async with refusing(s3, is_refused) as endpoint:
        store = ObjectStore(S3Server(endpoint).store(bucket))
        with pytest.raises(
            MediaError, match=rf"^s3://{bucket}/name: .*403 Forbidden \(SignatureDoesNotMatch\)$"
        ) as caught:
            await store.write("name", chunks(*[pattern(2**19)] * 36))
    assert "canary" not in str(caught.value)
    assert "?" not in str(caught.value)
    assert s3.objects(bucket) == []
    assert s3.unfinished_uploads(bucket) == 0


async def test_wrong_credentials(s3: S3Server) -> None:
    async with refusing(s3, lambda request: True) as endpoint:
        store = ObjectStore(S3Server(endpoint).store("bucket"))
        for size in (10, 3 * PART):
            with pytest.raises(MediaError, match="SignatureDoesNotMatch") as caught:
                await store.write("name", chunks(pattern(size)))
            assert "canary" not in str(caught.value)
        with pytest.raises(MediaError, match="403 Forbidden"):
            await store.size("name")


# What S3 answers where the secret key is not the one.
DENIED = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match.</Message>
<AWSAccessKeyId>canary-key-id</AWSAccessKeyId><StringToSign>canary-string</StringToSign>
<SignatureProvided>canary-signature</SignatureProvided></Error>"""
PASSED_ON = {"authorization", "content-type", "x-amz-content-sha256", "x-amz-date"}


@asynccontextmanager
async def refusing(s3: S3Server, is_refused: Callable[[web.Request], bool]) -> AsyncIterator[str]:
    """Yield the endpoint of a proxy of the server that refuses some requests."""
    async with ClientSession() as session:

        async def handle(request: web.Request) -> web.Response:
            body = await request.read()
            if is_refused(request):
                return web.Response(status=403, text=DENIED, content_type="application/xml")
            headers = {name: value for name, value in request.headers.items() if name.lower() in PASSED_ON}
            async with session.request(
                request.method, s3.endpoint + request.raw_path, data=BytesIO(body), headers=headers
            ) as answer:
                kept = {name: answer.headers[name] for name in ("ETag", "Content-Type") if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        app = web.Application(client_max_size=2**25)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_an_object_is_replaced_only_as_a_whole(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("replaced"))
    await store.write("name", chunks(b"of old"))

    async def broken() -> AsyncIterator[bytes]:
        yield pattern(2 * PART)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await store.write("name", broken())
    assert s3.content("replaced", "name") == b"of old"


async def test_objects_are_listed_and_deleted(s3: S3Server) -> None:
    store = ObjectStore(s3.bucket("listed"), "some/where")
    for number in range(9):
        await store.write(f"table/{number}", chunks(bytes(number)))
    # Others whose names begin alike.
    await store.write("table2/0000", chunks(b"x"))
    await store.write("table", chunks(b"x"))
    found = {name: size async for name, size in store.sizes("table/")}
    assert found == {f"table/{number}": number for number in range(9)}
    assert [each async for each in store.sizes("nothing/")] == []
    for _ in range(2):
        await store.delete("table/3")
    assert len([each async for each in store.sizes("table/")]) == 8
    assert await store.size("table") == 1


async def test_a_list_or_a_deletion_that_is_refused(s3: S3Server) -> None:
    async with refusing(s3, lambda _: True) as endpoint:
        store = ObjectStore(S3Server(endpoint).store("bucket"), "rooms")
        with pytest.raises(MediaError, match=r"^s3://bucket/rooms/table/: .*403 Forbidden") as caught:
            assert [each async for each in store.sizes("table/")]
        assert "canary" not in str(caught.value)
        with pytest.raises(MediaError, match=r"^s3://bucket/rooms/name: .*403 Forbidden") as caught:
            await store.delete("name")
        assert "canary" not in str(caught.value)


async def test_a_missing_bucket_is_named(s3: S3Server) -> None:
    missing = ObjectStore(s3.store("no-such-bucket"))
    for write in (
        lambda: missing.write("name", chunks(pattern(10))),
        lambda: missing.write("name", chunks(pattern(3 * PART))),
        lambda: missing.create("name", b"data"),
        lambda: missing.exchange("name", b"data", None),
    ):
        with pytest.raises(
            MediaError, match=r"^s3://no-such-bucket/name: there is no such bucket: create it"
        ) as caught:
            await write()
        assert "canary" not in str(caught.value)


async def test_a_missing_bucket_is_not_taken_for_another_process(s3: S3Server, tmp_path: Path) -> None:
    missing = ObjectStore(s3.store("no-such-bucket"))
    async with Simulator(1, 1) as sim, sim.client() as client:
        for write in (
            lambda: client.export(sim.room_sids, missing, format="jsonl"),
            lambda: client.export(None, missing, since_last=True),
            lambda: client.archive(sim.room_sids, missing),
            lambda: client.archive(sim.room_sids, missing, ledger=tmp_path / "ledger"),
        ):
            with pytest.raises(MediaError, match=r"^s3://no-such-bucket/.*there is no such bucket"):
                await write()


async def test_an_unreachable_store(s3: S3Server) -> None:
    gone = ObjectStore(S3Server("http://127.0.0.1:1").store("bucket"))
    for size in (10, 3 * PART):
        with pytest.raises(MediaError, match="s3://bucket/name"):
            await gone.write("name", chunks(pattern(size)))
    with pytest.raises(MediaError, match="s3://bucket/name"):
        await gone.size("name")


async def test_a_store_that_goes_away_in_the_middle() -> None:
    with serving() as (server, process):
        store = ObjectStore(server.bucket("going"))

        async def until_gone() -> AsyncIterator[bytes]:
            yield pattern(2 * PART)
            while server.unfinished_uploads("going") == 0:
                await asyncio.sleep(0.01)
            process.kill()
            process.wait()
            yield pattern(2 * PART)

        with pytest.raises(MediaError, match="s3://going/name"):
            await store.write("name", until_gone())


async def test_no_error_shows_credentials_in_the_endpoint() -> None:
    store = ObjectStore(
        S3Store(
            "bucket",
            config={"access_key_id": "canary-id", "secret_access_key": "canary-secret", "region": "us-east-1"},
            endpoint="http://canary-user:canary-password@127.0.0.1:1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
    )
    with pytest.raises(MediaError, match=r"http://127\.0\.0\.1:1/bucket/name") as caught:
        await store.size("name")
    assert "canary" not in str(caught.value) + repr(caught.value) + repr(store)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


async def test_local_store(tmp_path: Path) -> None:
    local = ObjectStore(LocalStore(tmp_path), "deep")
    await local.write("name", chunks(pattern(3 * PART)))
    assert (tmp_path / "deep" / "name").read_bytes() == pattern(3 * PART)
    assert local.location("name") == f"{tmp_path}/deep/name"


async def test_a_directory_holds_nothing_of_a_failed_upload(tmp_path: Path) -> None:
    local = ObjectStore(LocalStore(tmp_path))

    async def broken() -> AsyncIterator[bytes]:
        yield pattern(3 * PART)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await local.write("name", broken())
    assert list(tmp_path.iterdir()) == []


async def test_memory_store() -> None:
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
        ("url", "location"),
        [
            ("https://s3.eu-central-1.amazonaws.com/bucket/rooms", "s3://bucket/rooms/x.mka"),
            ("https://bucket.s3.eu-central-1.amazonaws.com/rooms", "s3://bucket/rooms/x.mka"),
            ("https://account.blob.core.windows.net/container/rooms", "az://container/rooms/x.mka"),
            ("gs://bucket", "gs://bucket/x.mka"),
            ("s3://bucket/with%20space/", "s3://bucket/with space/x.mka"),
        ],
    )
    def test_other_spellings(self, url: str, location: str) -> None:
        assert ObjectStore.from_url(url).location("x.mka") == location

    @pytest.mark.parametrize(
        "url",
        ["https://example.com/x", "nonsense://bucket", "s3://id:canary@bucket", "s3://bucket?secret=canary", "s3:"],
    )
    def test_urls_that_are_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            ObjectStore.from_url(url)
        assert "canary" not in str(caught.value)

    def test_a_store_of_another_kind(self) -> None:
        with pytest.raises(InvalidArgumentError):
            ObjectStore(HTTPStore.from_url("https://example.com"))


class TestEndpoint:
    """What tells two buckets of one name apart."""

    def test_a_service_of_another_provider_without_its_secrets(self) -> None:
        store = S3Store("bucket", endpoint="https://user:canary@minio.example:9000/", region="us-east-1")
        assert ObjectStore(store).endpoint == "https://minio.example:9000"

    def test_amazon_has_one_for_all_regions(self) -> None:
        assert ObjectStore(S3Store("bucket", region="eu-central-1")).endpoint == "s3.amazonaws.com"

    @pytest.mark.parametrize("endpoint", ["https://s3.eu-central-1.amazonaws.com", "https://s3.amazonaws.com/"])
    def test_also_where_its_host_is_given(self, endpoint: str) -> None:
        assert ObjectStore(S3Store("bucket", endpoint=endpoint, region="eu-central-1")).endpoint == "s3.amazonaws.com"

    @pytest.mark.parametrize("host", ["https://amazonaws.com.example", "https://s3.notamazonaws.com"])
    def test_what_only_looks_like_amazon(self, host: str) -> None:
        assert ObjectStore(S3Store("bucket", endpoint=host, region="us-east-1")).endpoint == host

    def test_an_account_of_azure(self) -> None:
        stores = [AzureStore("container", account_name=name, account_key="Zm9v") for name in ("one", "two")]
        assert [ObjectStore(store).endpoint for store in stores] == ["one", "two"]

    @pytest.mark.parametrize(
        ("variable", "value", "url"),
        [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000", "s3://bucket"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000", "s3://bucket"),
            ("AWS_ENDPOINT", "http://127.0.0.1:9000", "s3://bucket"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "one", "az://container"),
        ],
    )
    def test_those_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, url: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        assert ObjectStore.from_url(url).endpoint == value

    def test_others_have_none(self, tmp_path: Path) -> None:
        assert ObjectStore(MemoryStore()).endpoint == ObjectStore(LocalStore(tmp_path)).endpoint == ""


@pytest.mark.parametrize("prefix", ["a//b", "../a", "a/./b", "a\x00b", "a\nb", "a\x7f", "\udcff"])
def test_a_prefix_that_no_store_can_use(prefix: str) -> None:
    with pytest.raises(InvalidArgumentError, match="prefix"):
        ObjectStore(MemoryStore(), prefix)


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    script = "import sys; sys.modules['obstore'] = None; import roomrec_async.integrations.stores"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ConfigurationError: object stores need obstore: pip install 'roomrec-async[stores]'" in done.stderr


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


@pytest.mark.slow
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
