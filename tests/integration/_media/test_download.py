"""Downloads from an object store that does everything wrong that one can do."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async import (
    ConnectionFailedError,
    Credentials,
    InvalidArgumentError,
    MediaError,
    NotFoundError,
    PermissionDeniedError,
    Recording,
    RecordingsClient,
    RequestTimeoutError,
    RetryPolicy,
    Timeout,
    VerificationError,
    from_dict,
)
from roomrec_async._files import PartFile

from ...conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID, record

CONTENT = bytes(range(256)) * 4099  # 1,049,344 bytes: more than one batch
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SID = f"RT{7:032x}"
SECRET = "X-Amz-Signature=do-not-show-me"

Answer = Callable[[web.Request, "Store"], Awaitable[web.StreamResponse]]


class Store:
    """Two origins: the service, and a store. The next answers of the store are in a list; then it behaves."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.located = 0
        self.ranges: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.etag = '"one"'
        self.content = CONTENT
        self.locate: Callable[[web.Request], web.Response] = lambda _: web.json_response(
            {"redirect_to": self.url()}, status=302
        )
        service, store = web.Application(), web.Application()
        service.router.add_get("/v1/{tail:.*}/Media", self._located)
        store.router.add_get("/media", self._media)
        self.service, self.store = TestServer(service), TestServer(store)

    def url(self) -> str:
        return f"{self.store.make_url('/media')}?n={self.located}&{SECRET}"

    async def _located(self, request: web.Request) -> web.Response:
        self.located += 1
        return self.locate(request)

    async def _media(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers.get("Range"))
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if self.answers else whole
        return await answer(request, self)


async def whole(request: web.Request, store: Store) -> web.StreamResponse:
    wanted = request.http_range
    headers = {"ETag": store.etag, "Accept-Ranges": "bytes"}
    if wanted.start is None:
        return web.Response(body=store.content, headers=headers)
    headers["Content-Range"] = f"bytes {wanted.start}-{len(store.content) - 1}/{len(store.content)}"
    return web.Response(status=206, body=store.content[wanted.start :], headers=headers)


def cut_after(count: int, *, etag: str | None = None) -> Answer:
    """Break off after so many bytes."""

    async def answer(request: web.Request, store: Store) -> web.StreamResponse:
        start = request.http_range.start or 0
        size = len(store.content)
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": etag or store.etag})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        response.content_length = size - start
        await response.prepare(request)
        await response.write(store.content[start : start + count])
        await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.abort()
        return response

    return answer


def refuse(status: int, body: str = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"):
    async def answer(request: web.Request, store: Store) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type="application/xml")

    return answer


def respond(status: int, body: bytes, **headers: str) -> Answer:
    async def answer(request: web.Request, store: Store) -> web.StreamResponse:
        return web.Response(
            status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return answer


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store()
    async with store.service, store.store:
        yield store


@pytest.fixture
async def client(store: Store) -> AsyncIterator[RecordingsClient]:
    async with RecordingsClient(
        Credentials(ACCOUNT_SID, AUTH_TOKEN),
        base_url=str(store.service.make_url("/")),
        retry=RetryPolicy(base_delay=0),
        timeout=Timeout(total=5, connect=1, read=1),
    ) as client:
        yield client


@pytest.fixture
def recording() -> Recording:
    return from_dict(Recording, record(7, size=len(CONTENT)))


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_a_file_is_whole_and_verified(
    client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
) -> None:
    arrived: list[int] = []
    download = await client.download(recording, tmp_path, on_bytes=arrived.append)
    assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
    assert (download.location, download.size, download.sha256) == (str(tmp_path / f"{SID}.mka"), len(CONTENT), DIGEST)
    assert (download.etag, download.resumed_at, download.already_there) == ('"one"', 0, False)
    assert sum(arrived) == len(CONTENT)
    assert files(tmp_path) == [f"{SID}.mka"]


async def test_credentials_cookies_and_session_headers_stay_with_the_service(
    client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession(
        headers={"Authorization": "Basic canary", "X-Api-Key": "canary"}, cookies={"session": "canary"}
    ) as session:
        lent = RecordingsClient(
            Credentials(ACCOUNT_SID, AUTH_TOKEN), base_url=str(store.service.make_url("/")), session=session
        )
        async with lent:
            await lent.download(recording, tmp_path / "lent.mka")
        assert not session.closed
    await client.download(recording, tmp_path / "own.mka")
    assert len(store.headers) == 2
    for headers in store.headers:
        assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
        assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "locate",
    [
        lambda store: web.json_response({"redirect_to": store.url()}, status=302),
        lambda store: web.Response(status=302, headers={"Location": store.url()}),
        lambda store: web.Response(status=307, headers={"Location": store.url()}),
        lambda store: web.json_response({"redirect_to": store.url()}),
    ],
    ids=["302 with JSON", "302 with Location", "307 with Location", "200 with JSON"],
)
async def test_every_form_in_which_the_service_says_where_media_are(
    client: RecordingsClient,
    store: Store,
    recording: Recording,
    tmp_path: Path,
    locate: Callable[[Store], web.Response],
) -> None:
    store.locate = lambda _: locate(store)
    assert (await client.download(recording, tmp_path)).sha256 == DIGEST
    assert await client.signed_media_url(recording) == store.url()


@pytest.mark.parametrize(
    "answer",
    [
        web.json_response({"redirect_to": "http://store.example/media?" + SECRET}, status=302),
        web.json_response({"redirect_to": "ftp://store.example/media?" + SECRET}, status=302),
        web.json_response({"redirect_to": "https://user:pass@store.example/media?" + SECRET}, status=302),
        web.json_response({"redirect_to": "//media?" + SECRET}, status=302),
        web.json_response({"redirect_to": "https://store.example/a b?" + SECRET}, status=302),
        web.json_response({"redirect_to": 7}, status=302),
        web.json_response({}, status=200),
        web.Response(status=302),
        web.Response(status=200, text="<html>"),
    ],
)
async def test_a_service_that_names_no_usable_url(
    credentials: Credentials, recording: Recording, tmp_path: Path, answer: web.Response, service
) -> None:
    """As with the real service: over https, where nothing else is followed."""
    url = f"https://video.twilio.com/v1/Rooms/{ROOM_SID}/Recordings/{SID}/Media"
    headers = {"Location": answer.headers["Location"]} if "Location" in answer.headers else {}
    service.get(url, status=answer.status, body=answer.body or b"", headers=headers)
    async with RecordingsClient(credentials) as client:
        with pytest.raises(MediaError, match=SID) as caught:
            await client.download(recording, tmp_path)
    assert "do-not-show-me" not in str(caught.value) + repr(caught.value)
    assert files(tmp_path) == []


class TestBrokenConnections:
    async def test_it_goes_on_where_it_broke_off(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000), cut_after(300_000), cut_after(1)]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert store.located == 1
        assert store.ranges[0] is None
        starts = [int(each.removeprefix("bytes=").rstrip("-")) for each in store.ranges[1:] if each]
        assert starts == sorted(starts)
        assert 0 < starts[0] < 100_000

    async def test_the_store_may_ignore_the_range(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000), respond(200, CONTENT, ETag='"one"')]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST

    async def test_attempts_are_bounded(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(1)] * 50
        with pytest.raises(ConnectionFailedError) as caught:
            await client.download(recording, tmp_path)
        assert len(store.ranges) == 5
        assert "do-not-show-me" not in str(caught.value)

    async def test_a_try_is_one_request_where_connections_break_before_anything_comes(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        async def hang_up(request: web.Request, _: Store) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        store.answers = [hang_up] * 50
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        assert len(store.ranges) == 5

    async def test_tries_that_bring_something_do_not_count(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(90_000)] * 11
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert len(store.ranges) == 12

    async def test_the_part_is_resumed_by_the_next_download(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        assert files(tmp_path) == [f"{SID}.mka.part", f"{SID}.mka.part.etag"]
        left = (tmp_path / f"{SID}.mka.part").read_bytes()
        assert CONTENT.startswith(left)
        assert len(left) > 0
        store.answers, store.ranges = [], []
        download = await client.download(recording, tmp_path)
        assert (download.sha256, download.resumed_at) == (DIGEST, len(left))
        assert store.ranges == [f"bytes={len(left) - 1}-"]
        assert files(tmp_path) == [f"{SID}.mka"]
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    @pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"], ids=["whole", "too long"])
    async def test_a_part_that_ends_at_the_end_or_after_it(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path, left: bytes
    ) -> None:
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        (tmp_path / f"{SID}.mka.part").write_bytes(left)
        store.answers = [] if left == CONTENT else [refuse(416)]
        download = await client.download(recording, tmp_path)
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
        assert download.resumed_at == (len(CONTENT) if left == CONTENT else 0)
        assert files(tmp_path) == [f"{SID}.mka"]

    async def test_a_part_of_another_version_is_not_resumed(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.answers, store.content, store.etag = [], CONTENT[::-1], '"two"'
        download = await client.download(recording, tmp_path)
        assert (download.resumed_at, download.etag) == (0, '"two"')
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT[::-1]
        assert files(tmp_path) == [f"{SID}.mka"]

    async def test_a_store_without_versions_is_never_resumed_from(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.etag = 'W/"weak"'
        store.answers = [cut_after(500_000)] + [cut_after(0)] * 5
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        store.answers = []
        assert (await client.download(recording, tmp_path)).resumed_at == 0
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT
        assert files(tmp_path) == [f"{SID}.mka"]


class TestExpiry:
    async def test_an_expired_url_is_asked_for_anew(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000), refuse(403)]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert store.located == 2

    async def test_a_fresh_url_that_is_refused_is_an_error(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [refuse(403)] * 3
        with pytest.raises(PermissionDeniedError, match="Request has expired") as caught:
            await client.download(recording, tmp_path)
        assert store.located == 1
        assert "do-not-show-me" not in str(caught.value) + repr(vars(caught.value))


class TestWhatIsNotWhatWasAnnounced:
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
        ids=["short", "long", "empty", "replaced", "other part", "unreadable range", "no range", "gone"],
    )
    async def test_is_an_error_and_leaves_nothing_behind(
        self,
        client: RecordingsClient,
        store: Store,
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
        self, client: RecordingsClient, store: Store, tmp_path: Path
    ) -> None:
        async def chunked(request: web.Request, store: Store) -> web.StreamResponse:
            response = web.StreamResponse(headers={"ETag": '"one"'})
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write(CONTENT)
            return response

        store.answers = [chunked, chunked]
        with pytest.raises(VerificationError, match="1049344 bytes arrived, and 5 were announced"):
            await client.download(from_dict(Recording, record(7, size=5)), tmp_path)
        assert files(tmp_path) == []
        unknown = from_dict(Recording, record(7, size=None))
        assert (await client.download(unknown, tmp_path)).sha256 == DIGEST


class TestFilesThatAreThere:
    async def test_a_whole_file_is_told_by_its_size(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        await client.download(recording, tmp_path)
        again = await client.download(recording, tmp_path)
        assert (again.already_there, again.sha256, again.size) == (True, None, len(CONTENT))
        assert store.located == 1

    async def test_a_file_of_another_size_is_replaced(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        (tmp_path / f"{SID}.mka").write_bytes(b"half of it")
        assert not (await client.download(recording, tmp_path)).already_there
        assert (tmp_path / f"{SID}.mka").read_bytes() == CONTENT

    async def test_a_failure_leaves_the_file_that_was_there(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        (tmp_path / f"{SID}.mka").write_bytes(b"of old")
        store.answers = [respond(200, CONTENT[:-1])]
        with pytest.raises(VerificationError):
            await client.download(recording, tmp_path)
        assert (tmp_path / f"{SID}.mka").read_bytes() == b"of old"

    async def test_two_downloads_of_one_file_never_mix(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
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


class TestSlowDisks:
    @pytest.mark.parametrize("times", [1, 2])
    async def test_who_cancels_leaves_no_thread_that_writes(
        self,
        client: RecordingsClient,
        store: Store,
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
        monkeypatch.undo()
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        gc.collect()
        assert reported == []


class TestPlaces:
    async def test_a_file_a_new_directory_and_an_old_one(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        named = await client.download(recording, tmp_path / "deep" / "named.mka")
        assert named.location == str(tmp_path / "deep" / "named.mka")
        new = await client.download(recording, f"{tmp_path}/new/")
        assert new.location == str(tmp_path / "new" / f"{SID}.mka")
        assert all(Path(each.location).read_bytes() == CONTENT for each in (named, new))

    async def test_names_never_come_from_participants(
        self, client: RecordingsClient, store: Store, tmp_path: Path
    ) -> None:
        hostile = record(7, size=len(CONTENT), track_name="../../evil", container_format="../../evil")
        download = await client.download(from_dict(Recording, hostile), tmp_path)
        assert download.location == str(tmp_path / SID)

    async def test_a_recording_without_a_usable_sid_is_refused(
        self, client: RecordingsClient, store: Store, tmp_path: Path
    ) -> None:
        for fields in ({"sid": None}, {"sid": "../../etc/passwd"}, {"room_sid": "RM/../x"}):
            with pytest.raises(InvalidArgumentError):
                await client.download(from_dict(Recording, {**record(7), **fields}), tmp_path)
        with pytest.raises(InvalidArgumentError, match="destination"):
            await client.download(from_dict(Recording, record(7)), 7)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="wait"):
            await client.download(from_dict(Recording, record(7)), tmp_path, wait=-1)
        assert store.located == 0


class TestWaiting:
    async def test_media_that_come_late_are_waited_for(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        def late(request: web.Request) -> web.Response:
            if store.located < 2:
                return web.json_response({"code": 20404, "message": "not there", "status": 404}, status=404)
            return web.json_response({"redirect_to": store.url()}, status=302)

        store.locate = late
        with pytest.raises(NotFoundError, match="not there"):
            await client.download(recording, tmp_path)
        store.located = 0
        assert (await client.download(recording, tmp_path, wait=5)).sha256 == DIGEST
        assert store.located >= 2

    async def test_no_longer_than_the_caller_wants(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        store.locate = lambda _: web.Response(status=404)
        with pytest.raises(NotFoundError):
            await client.download(recording, tmp_path, wait=0.05)
        assert store.located == 2


class TestTime:
    async def test_silence_is_tried_again_and_then_an_error(
        self, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        async def silent(request: web.Request, store: Store) -> web.StreamResponse:
            response = web.StreamResponse(headers={"ETag": '"one"'})
            response.content_length = len(CONTENT)
            await response.prepare(request)
            await response.write(CONTENT[:1000])
            await asyncio.sleep(5)
            return response

        store.answers = [silent, silent]
        async with RecordingsClient(
            Credentials(ACCOUNT_SID, AUTH_TOKEN),
            base_url=str(store.service.make_url("/")),
            retry=RetryPolicy(base_delay=0, max_attempts=2),
            timeout=Timeout(read=0.05),
        ) as client:
            with pytest.raises(RequestTimeoutError, match=r"nothing received for 0\.05 s"):
                await client.download(recording, tmp_path)
            store.answers = [silent]
            assert (await client.download(recording, tmp_path)).sha256 == DIGEST

    async def test_the_whole_has_a_deadline_if_the_caller_gives_one(
        self, client: RecordingsClient, store: Store, recording: Recording, tmp_path: Path
    ) -> None:
        async def drip(request: web.Request, store: Store) -> web.StreamResponse:
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
