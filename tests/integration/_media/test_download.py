"""Downloads: complete and verified, resumed, or an error that leaves nothing wrong behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import aiohttp
import attrs
import pytest
from aiohttp import web
from obstore.store import LocalStore

from roomrec_async import (
    ConnectionFailedError,
    Credentials,
    DecryptionError,
    InvalidArgumentError,
    MediaError,
    NotFoundError,
    Recording,
    RecordingsClient,
    RequestTimeoutError,
    VerificationError,
    from_dict,
)
from roomrec_async._files import PartFile
from roomrec_async._media import download as download_module
from roomrec_async._media.download import Digest, _Pipeline, _SerialExecutor
from roomrec_async.integrations.stores import ObjectStore

from ...conftest import ACCOUNT_SID, AUTH_TOKEN, record
from .media_store import CONTENT, DIGEST, SID, Answer, MediaStore, cut_after, files, refuse, respond


async def test_a_file_is_complete_and_verified(
    client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
) -> None:
    arrived: list[int] = []
    download = await client.download(recording, tmp_path, on_bytes=arrived.append)
    assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
    assert (download.location, download.size, download.sha256) == (str(tmp_path / f"{SID}.mka"), len(CONTENT), DIGEST)
    assert (download.etag, download.resumed_at, download.already_there) == ('"one"', 0, False)
    assert sum(arrived) == len(CONTENT)
    assert files(tmp_path) == [f"{SID}.mka"]


async def test_credentials_cookies_and_session_headers_stay_with_the_service(
    client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession(
        headers={"Authorization": "Basic canary", "X-Api-Key": "canary"}, cookies={"session": "canary"}
    ) as session:
        lent = RecordingsClient(Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=store.base_url, session=session)
        async with lent:
            await lent.download(recording, tmp_path / "lent.mka")
        assert not session.closed
    await client.download(recording, tmp_path / "own.mka")
    assert len(store.headers) == 2
    for headers in store.headers:
        assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
        assert headers["Accept-Encoding"] == "identity"


async def leave_part(client: RecordingsClient, store: MediaStore, recording: Recording, path: Path) -> bytes:
    """Let a download fail in the middle, and return the bytes of the part that it leaves."""
    name = path / f"{SID}.mka.part" if path.is_dir() else path.with_name(f"{path.name}.part")
    # On a busy machine, the end of a connection overtakes the bytes that were not taken yet.
    while not name.exists():
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, path)
    store.answers = []
    left = name.read_bytes()
    assert CONTENT.startswith(left)
    assert len(left) > 0
    return left


class TestResume:
    async def test_the_next_download_resumes_the_part(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        left = await leave_part(client, store, recording, tmp_path)
        assert files(tmp_path) == [f"{SID}.mka.part", f"{SID}.mka.part.jsonl"]
        store.ranges = []
        download = await client.download(recording, tmp_path)
        assert (download.sha256, download.resumed_at) == (DIGEST, len(left))
        assert store.ranges == [f"bytes={len(left) - 1}-"]
        assert files(tmp_path) == [f"{SID}.mka"]
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    @pytest.mark.parametrize(
        ("damage", "resumed"),
        [
            (lambda left: left + b"written after the last checkpoint", True),
            (lambda left: bytes(len(left)), False),
            (lambda left: left[:-1] + bytes([left[-1] ^ 1]), False),
            (lambda left: left[1:], False),
            (lambda left: CONTENT[::-1], False),
            (lambda left: b"", False),
        ],
        ids=["more", "zeros", "one bit", "short", "of another program", "empty"],
    )
    async def test_a_part_is_resumed_only_if_its_bytes_are_those_that_arrived(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        damage: Callable[[bytes], bytes],
        resumed: bool,
    ) -> None:
        left = await leave_part(client, store, recording, tmp_path)
        part = tmp_path / f"{SID}.mka.part"
        part.write_bytes(damage(left))
        download = await client.download(recording, tmp_path)
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
        assert (download.sha256, download.resumed_at) == (DIGEST, len(left) if resumed else 0)
        assert files(tmp_path) == [f"{SID}.mka"]

    @pytest.mark.parametrize("lines", [b"", b"\xff", b"[]", b'{"version": "x"}', b'{"size": 5', b'{"sha256": 1}\n{}'])
    async def test_a_part_with_damaged_checkpoints_is_not_resumed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, lines: bytes
    ) -> None:
        await leave_part(client, store, recording, tmp_path)
        (tmp_path / f"{SID}.mka.part.jsonl").write_bytes(lines)
        assert (await client.download(recording, tmp_path)).resumed_at == 0
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    @pytest.mark.parametrize("change", [{"sid": f"RT{8:032x}"}, {"size": None}])
    async def test_a_part_of_another_recording_with_the_same_etag_is_not_resumed(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        change: dict[str, object],
    ) -> None:
        await leave_part(client, store, recording, tmp_path / "named")
        store.content = CONTENT[::-1]
        download = await client.download(attrs.evolve(recording, **change), tmp_path / "named")
        assert download.resumed_at == 0
        assert (tmp_path / "named").read_bytes() == CONTENT[::-1]

    async def test_a_store_that_says_more_than_there_is_to_resume(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        await leave_part(client, store, recording, tmp_path)
        store.answers = [refuse(416)]
        assert (await client.download(recording, tmp_path)).resumed_at == 0
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    async def test_a_checkpoint_that_cannot_be_saved_hides_no_error(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(part: PartFile, sha256: str) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(PartFile, "save_checkpoint", fail)
        await leave_part(client, store, recording, tmp_path)
        assert (await client.download(recording, tmp_path)).resumed_at == 0

    async def test_a_process_that_is_killed_leaves_its_last_checkpoint(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(download_module, "_CHECKPOINT_DISTANCE", 100_000)
        save, saved = PartFile.save_checkpoint, []

        def save_while_it_lives(part: PartFile, sha256: str) -> None:
            # Once it is killed, nothing is saved at the end of an attempt.
            if part.unsaved >= 100_000:
                saved.append(part.size)
                save(part, sha256)

        monkeypatch.setattr(PartFile, "save_checkpoint", save_while_it_lives)
        left = await leave_part(client, store, recording, tmp_path)
        last = saved[-1]
        assert 0 < last <= len(left)
        assert (await client.download(recording, tmp_path)).resumed_at == last
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    async def test_a_part_of_another_version_is_not_resumed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.answers, store.content, store.etag = [], CONTENT[::-1], '"two"'
        download = await client.download(recording, tmp_path)
        assert (download.resumed_at, download.etag) == (0, '"two"')
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT[::-1]
        assert files(tmp_path) == [f"{SID}.mka"]

    async def test_a_part_with_a_weak_etag_is_not_resumed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.etag = 'W/"weak"'
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.answers = []
        assert (await client.download(recording, tmp_path)).resumed_at == 0
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
        assert files(tmp_path) == [f"{SID}.mka"]


async def break_connection(request: web.Request) -> None:
    """Break the connection once what was written is on its way."""
    await asyncio.sleep(0.01)
    assert request.transport is not None
    request.transport.abort()


def unmarked(cut: int | None = None, **headers: str) -> Answer:
    """Serve the content with these headers only, ranges included; break the connection after so many bytes."""

    async def answer(request: web.Request, store: MediaStore) -> web.StreamResponse:
        start = request.http_range.start or 0
        size = len(store.content)
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        response.content_length = size - start
        await response.prepare(request)
        await response.write(store.content[start : None if cut is None else start + cut])
        if cut is not None:
            await break_connection(request)
        return response

    return answer


def chunked(cut: int | None = None) -> Answer:
    """Serve the content without its size; break the connection after so many bytes."""

    async def answer(request: web.Request, store: MediaStore) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"one"'})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(store.content[:cut])
        if cut is not None:
            await break_connection(request)
        return response

    return answer


OLD = "Thu, 01 Jan 2026 00:00:00 GMT"
OLD_SEEN = "Thu, 01 Jan 2026 00:01:00 GMT"
FRESH_SEEN = "Thu, 01 Jan 2026 00:00:59 GMT"


class TestVersions:
    """A file never has bytes of two versions."""

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"ETag": 'W/"weak"'},
            {"ETag": "unquoted"},
            {"ETag": '""'},
            {"Last_Modified": OLD, "Date": FRESH_SEEN},
            {"Last_Modified": OLD, "Date": "yesterday"},
            {"Last_Modified": "yesterday"},
            {"Last_Modified": "Thu, 01 Jan 2026 00:00:00", "Date": OLD_SEEN},
        ],
    )
    @pytest.mark.parametrize("in_memory", [False, True])
    async def test_media_that_nothing_identifies_start_again(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        headers: dict[str, str],
        in_memory: bool,
    ) -> None:
        async def replaced(request: web.Request, store: MediaStore) -> web.StreamResponse:
            store.content = CONTENT[::-1]
            return await unmarked(**headers)(request, store)

        store.answers = [unmarked(600_000, **headers), replaced]
        target = ObjectStore(LocalStore(tmp_path)) if in_memory else tmp_path
        download = await client.download(recording, target)
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT[::-1]
        assert download.sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()
        assert store.ranges == [None, None]
        assert files(tmp_path) == [f"{SID}.mka"]

    @pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
    async def test_a_version_that_is_given_twice_is_none(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, name: str
    ) -> None:
        """One of the two is that of a gateway, and stays the same when the media change."""
        first = {"ETag": '"gateway"', "Last-Modified": OLD}[name]

        async def answer(request: web.Request, store: MediaStore) -> web.StreamResponse:
            is_first = len(store.ranges) == 1
            store.content = CONTENT if is_first else CONTENT[::-1]
            start = request.http_range.start or 0
            response = web.StreamResponse(status=206 if start else 200)
            response.headers.extend([("Date", OLD_SEEN), (name, first), (name, f'"{is_first}"')])
            response.headers["Content-Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            response.content_length = len(CONTENT) - start
            await response.prepare(request)
            await response.write(store.content[start : 600_000 if is_first else None])
            if is_first:
                await break_connection(request)
            return response

        store.answers = [answer, answer]
        await client.download(recording, tmp_path)
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT[::-1]
        assert store.ranges == [None, None]

    async def test_that_is_bounded_whatever_arrived(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [unmarked(600_000)] * 50
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        assert len(store.ranges) == 5

    async def test_that_is_bounded_too_where_ranges_have_no_total(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        async def without_total(request: web.Request, store: MediaStore) -> web.StreamResponse:
            if request.http_range.start is None:
                return await cut_after(300_000)(request, store)
            headers = {"ETag": store.etag, "Content-Range": f"bytes {request.http_range.start}-7/*"}
            return web.Response(status=206, body=b"", headers=headers)

        store.answers = [without_total] * 100
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        assert len(store.ranges) < 12

    async def test_a_part_on_disk_that_nothing_identifies_is_not_resumed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        # More than there are attempts: one that comes further than those before it is progress, and counts anew.
        store.answers = [unmarked(600_000)] * 20
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.content, store.answers = CONTENT[::-1], [unmarked()]
        assert (await client.download(recording, tmp_path)).resumed_at == 0
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT[::-1]

    async def test_a_date_of_long_ago_identifies_them(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        dates = {"Last_Modified": OLD, "Date": OLD_SEEN}
        store.answers = [unmarked(300_000, **dates)] + [unmarked(0, **dates)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.answers = [unmarked(300_000, **dates), unmarked(**dates)]
        download = await client.download(recording, tmp_path)
        assert download.resumed_at > 0
        assert download.sha256 == DIGEST
        assert None not in store.ranges[1:]

    async def test_another_date_is_another_version(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        changed = {"Last_Modified": "Thu, 01 Jan 2026 00:00:01 GMT", "Date": "Thu, 01 Jan 2026 10:00:00 GMT"}
        store.answers = [unmarked(300_000, Last_Modified=OLD, Date=OLD_SEEN), unmarked(**changed)]
        with pytest.raises(VerificationError, match="changed"):
            await client.download(recording, tmp_path)
        assert files(tmp_path) == []

    async def test_a_range_without_the_total_is_not_resumed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        async def without_total(request: web.Request, store: MediaStore) -> web.StreamResponse:
            start = request.http_range.start
            assert start
            value = f"bytes {start}-{len(CONTENT) - 1}/*"
            return web.Response(status=206, body=CONTENT[start:], headers={"ETag": store.etag, "Content-Range": value})

        store.answers = [cut_after(300_000), without_total]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        (tmp_path / f"{SID}.mka").unlink()

        store.answers = [cut_after(300_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.answers = [without_total]
        assert (await client.download(recording, tmp_path)).resumed_at == 0

    async def test_a_range_of_very_many_digits_is_an_error(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        digits = "9" * 5000
        store.answers = [cut_after(300_000), unmarked(ETag='"one"', Content_Range=f"bytes 5-7/{digits}")]
        with pytest.raises(VerificationError, match="another range"):
            await client.download(recording, tmp_path)


class TestEncryption:
    @pytest.mark.parametrize("in_memory", [False, True])
    async def test_encrypted_media_without_their_key_are_refused(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, in_memory: bool
    ) -> None:
        encrypted = attrs.evolve(recording, encryption_key="CR" + "0" * 32)
        target = ObjectStore(LocalStore(tmp_path)) if in_memory else tmp_path
        with pytest.raises(DecryptionError, match="sent no key for them"):
            await client.download(encrypted, target)
        assert files(tmp_path) == []


class TestVerification:
    @pytest.mark.parametrize(
        ("answers", "error"),
        [
            ([respond(200, CONTENT[:-1], ETag='"one"')], VerificationError),
            ([respond(200, CONTENT + b"x", ETag='"one"')], VerificationError),
            ([respond(200, b"", ETag='"one"')], VerificationError),
            ([cut_after(100_000), respond(200, CONTENT, ETag='"two"')], VerificationError),
            (
                [cut_after(100_000), respond(206, b"xyz", ETag='"one"', Content_Range="bytes 5-7/1049344")],
                VerificationError,
            ),
            ([cut_after(100_000), respond(206, b"xyz", ETag='"one"', Content_Range="nonsense")], VerificationError),
            ([cut_after(100_000), respond(206, b"xyz", ETag='"one"')], VerificationError),
            ([refuse(404, "")], NotFoundError),
        ],
        ids=["short", "long", "empty", "changed", "other range", "unreadable range", "no range", "gone"],
    )
    async def test_wrong_bytes_are_an_error_and_leave_nothing_behind(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        answers: list[Answer],
        error: type[Exception],
    ) -> None:
        store.answers = answers
        with pytest.raises(error):
            await client.download(recording, tmp_path)
        assert files(tmp_path) == []

    async def test_a_size_that_only_the_service_knows_is_checked(
        self, client: RecordingsClient, store: MediaStore, tmp_path: Path
    ) -> None:
        store.answers = [chunked(), chunked()]
        with pytest.raises(VerificationError, match="1049344 bytes arrived, and 5 were announced"):
            await client.download(from_dict(Recording, record(7, size=5)), tmp_path)
        assert files(tmp_path) == []
        unknown = from_dict(Recording, record(7, size=None))
        assert (await client.download(unknown, tmp_path)).sha256 == DIGEST

    async def test_a_total_that_comes_only_when_the_media_are_resumed_is_checked(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [chunked(100_000), respond(200, CONTENT[:-1], ETag='"one"')]
        with pytest.raises(VerificationError, match="the store has 1049343 bytes, the service says 1049344"):
            await client.download(recording, tmp_path)
        assert files(tmp_path) == []


class TestExistingFiles:
    async def test_a_file_of_the_right_size_is_not_downloaded_again(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        await client.download(recording, tmp_path)
        again = await client.download(recording, tmp_path)
        assert (again.already_there, again.sha256, again.size) == (True, None, len(CONTENT))
        assert store.located == 1

    async def test_a_file_of_another_size_is_replaced(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        (tmp_path / f"{SID}.mka").write_bytes(b"half of it")
        assert not (await client.download(recording, tmp_path)).already_there
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    async def test_a_failure_leaves_the_file_that_was_there(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        (tmp_path / f"{SID}.mka").write_bytes(b"of old")
        store.answers = [respond(200, CONTENT[:-1])]
        with pytest.raises(VerificationError):
            await client.download(recording, tmp_path)
        assert (tmp_path / f"{SID}.mka").read_bytes() == b"of old"

    async def test_two_downloads_of_one_file_never_mix(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        results = await asyncio.gather(
            *(client.download(recording, tmp_path) for _ in range(4)), return_exceptions=True
        )
        done = [result for result in results if not isinstance(result, BaseException)]
        refused = [result for result in results if isinstance(result, BaseException)]
        assert done
        assert all(isinstance(error, MediaError) and "already" in str(error) for error in refused)
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
        assert files(tmp_path) == [f"{SID}.mka"]


async def test_a_large_part_is_synced_while_it_arrives(
    client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = PartFile.sync

    def record_sync(part: PartFile) -> None:
        synced.append(part.unsynced)
        sync(part)

    monkeypatch.setattr(PartFile, "sync", record_sync)

    async def pause_halfway(request: web.Request, store: MediaStore) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"one"'})
        response.content_length = len(CONTENT)
        await response.prepare(request)
        await response.write(CONTENT[:500_000])
        await asyncio.sleep(0.05)
        await response.write(CONTENT[500_000:])
        return response

    store.answers = [pause_halfway]
    monkeypatch.setattr(download_module, "_SYNC_THRESHOLD", 200_000)
    assert (await client.download(recording, tmp_path)).sha256 == DIGEST
    assert synced
    assert all(200_000 <= unsynced <= len(CONTENT) for unsynced in synced)


async def test_bytes_are_hashed_while_they_are_written(
    client: RecordingsClient, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each waits for the other: one after the other, neither would ever go on.
    both = threading.Barrier(2, timeout=60)
    write, hash_chunks = PartFile.write, _Pipeline.hash

    def write_beside(part: PartFile, chunks: list[bytes]) -> None:
        # The last call is that with the bytes that a decryption held back.
        if chunks != [b""]:
            both.wait()
        write(part, chunks)

    def hash_beside(pipeline: _Pipeline, chunks: list[bytes]) -> None:
        both.wait()
        hash_chunks(pipeline, chunks)

    monkeypatch.setattr(PartFile, "write", write_beside)
    monkeypatch.setattr(_Pipeline, "hash", hash_beside)
    assert (await client.download(recording, tmp_path)).sha256 == DIGEST
    assert hashing_threads() == []


async def test_a_failed_write_waits_for_the_hash_and_saves_no_checkpoint(
    client: RecordingsClient, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    hash_chunks = _Pipeline.hash

    def fail(_: PartFile, chunks: list[bytes]) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def hash_after_the_failure(pipeline: _Pipeline, chunks: list[bytes]) -> None:
        failed.wait()
        hash_chunks(pipeline, chunks)

    monkeypatch.setattr(PartFile, "write", fail)
    monkeypatch.setattr(_Pipeline, "hash", hash_after_the_failure)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        await client.download(recording, tmp_path)
    assert hashing_threads() == []
    assert list(tmp_path.iterdir()) == []


def hashing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("roomrec-hash")]


class TestPipeline:
    def test_hashes_and_counts_what_comes_out(self) -> None:
        pipeline = _Pipeline(None, Digest())
        assert pipeline.process([b"ab", b"c"]) == [b"ab", b"c"]
        assert pipeline.finish() == b""
        assert (pipeline.size, pipeline.announced_size) == (3, None)
        # FIPS 180-2, appendix B.1.
        assert pipeline.digest.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def test_decrypts_first(self) -> None:
        class Lowercase:
            size = 3

            def update(self, chunk: bytes) -> bytes:
                return chunk.lower()

            def finalize(self) -> bytes:
                return b"c"

        pipeline = _Pipeline(Lowercase(), Digest())
        assert pipeline.process([b"A", b"B"]) == [b"a", b"b"]
        assert (pipeline.size, pipeline.announced_size) == (2, 3)
        assert pipeline.finish() == b"c"
        assert pipeline.size == 3
        assert pipeline.digest.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class TestSerialExecutor:
    async def test_runs_one_function_after_another_and_waits_for_the_last(self) -> None:
        events: list[str] = []

        def work(name: str) -> None:
            events.append(f"{name} started")
            time.sleep(0.02)
            events.append(f"{name} ended")

        async with _SerialExecutor() as executor:
            assert executor.is_idle
            for name in ("first", "second"):
                await executor.submit(partial(work, name))
                assert not executor.is_idle
        assert events == ["first started", "first ended", "second started", "second ended"]
        assert executor.is_idle

    async def test_an_exception_is_raised_by_the_next_submit_or_at_the_end(self) -> None:
        def fail() -> None:
            raise ValueError("it failed")

        with pytest.raises(ValueError, match="it failed"):
            async with _SerialExecutor() as executor:
                await executor.submit(fail)
        with pytest.raises(ValueError, match="it failed"):
            async with _SerialExecutor() as executor:
                await executor.submit(fail)
                await executor.submit(lambda: pytest.fail("it ran after a failure"))

    async def test_an_exception_of_the_block_is_the_one_raised(self) -> None:
        def fail() -> None:
            raise ValueError("it failed")

        with pytest.raises(KeyError):
            async with _SerialExecutor() as executor:
                await executor.submit(fail)
                raise KeyError


class TestCancellation:
    @pytest.mark.parametrize("times", [1, 2])
    async def test_leaves_no_thread_that_writes(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        times: int,
    ) -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        write, writing = PartFile.write, threading.Event()

        def write_slowly(part: PartFile, chunks: Iterable[bytes]) -> None:
            writing.set()
            time.sleep(0.05)
            write(part, chunks)
            writing.clear()

        monkeypatch.setattr(PartFile, "write", write_slowly)
        for turns in range(12):
            task = asyncio.create_task(client.download(recording, tmp_path))
            while not writing.is_set():
                await asyncio.sleep(0)
            for _ in range(times):
                await asyncio.sleep(turns / 1000)
                task.cancel()
            await asyncio.wait([task])
            assert not writing.is_set()
            assert hashing_threads() == []
        monkeypatch.undo()
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        gc.collect()
        assert reported == []


class TestPaths:
    async def test_a_file_in_a_new_directory_and_a_new_directory_itself(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        named = await client.download(recording, tmp_path / "deep" / "named.mka")
        assert named.location == str(tmp_path / "deep" / "named.mka")
        new = await client.download(recording, f"{tmp_path}/new/")
        assert new.location == str(tmp_path / "new" / f"{SID}.mka")
        assert all(Path(download.location).read_bytes() == CONTENT for download in (named, new))

    async def test_names_never_come_from_participants(
        self, client: RecordingsClient, store: MediaStore, tmp_path: Path
    ) -> None:
        hostile = record(7, size=len(CONTENT), track_name="../../evil", container_format="../../evil")
        download = await client.download(from_dict(Recording, hostile), tmp_path)
        assert download.location == str(tmp_path / SID)

    async def test_a_recording_without_a_usable_sid_is_refused(
        self, client: RecordingsClient, store: MediaStore, tmp_path: Path
    ) -> None:
        for fields in ({"sid": None}, {"sid": "../../etc/passwd"}, {"room_sid": "RM/../x"}):
            with pytest.raises(InvalidArgumentError):
                await client.download(from_dict(Recording, {**record(7), **fields}), tmp_path)
        with pytest.raises(InvalidArgumentError, match="destination"):
            await client.download(from_dict(Recording, record(7)), 7)
        with pytest.raises(InvalidArgumentError, match="wait"):
            await client.download(from_dict(Recording, record(7)), tmp_path, wait=-1)
        assert store.located == 0


class TestDeadline:
    async def test_a_timeout_in_seconds_bounds_the_whole_download(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        async def drip(request: web.Request, store: MediaStore) -> web.StreamResponse:
            response = web.StreamResponse(headers={"ETag": '"one"'})
            response.content_length = len(CONTENT)
            await response.prepare(request)
            for _ in range(1000):
                await response.write(b"x")
                await asyncio.sleep(0.01)
            return response

        store.answers = [drip]
        with pytest.raises(RequestTimeoutError, match=r"within 0\.1 s") as caught:
            await client.download(recording, tmp_path, timeout=0.1)
        assert SID in str(caught.value)
