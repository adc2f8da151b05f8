"""The signed URL of media, and the stream of their bytes: expired URLs, broken connections, wrong ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from roomrec_async import (
    BadRequestError,
    ConnectionFailedError,
    Credentials,
    MediaError,
    NotFoundError,
    PermissionDeniedError,
    Recording,
    RecordingsClient,
    RequestTimeoutError,
    RetryPolicy,
    Timeout,
)
from roomrec_async._http.timers import Deadline
from roomrec_async._media.locate import Media, MediaStream, drop_bytes, is_encrypted, media_name, redirect_target
from roomrec_async.events import Operation
from roomrec_async.models import MediaType

from ...conftest import ACCOUNT_SID, AUTH_TOKEN, ROOM_SID
from .media_store import CONTENT, DIGEST, SECRET, SID, MediaStore, cut_after, files, refuse, respond


@pytest.mark.parametrize(
    ("media_type", "container_format", "expected"),
    [
        (MediaType.AUDIO, "mka", f"{SID}.mka"),
        (MediaType.VIDEO, "webm", f"{SID}.webm"),
        (MediaType.AUDIO, None, f"{SID}.mka"),
        (MediaType.VIDEO, None, f"{SID}.mkv"),
        (MediaType.VIDEO, "", f"{SID}.mkv"),
        (MediaType.VIDEO, "../mkv", SID),
        (MediaType.VIDEO, "MKV", SID),
        (MediaType.VIDEO, "mkvmkvmkv", SID),
    ],
)
def test_names_are_the_sid_and_a_plain_extension(
    recording: Recording, media_type: MediaType, container_format: str | None, expected: str
) -> None:
    assert media_name(attrs.evolve(recording, type=media_type, container_format=container_format)) == expected


def test_a_header_marks_encrypted_media() -> None:
    assert is_encrypted(CIMultiDict({"X-Amz-Meta-X-Amz-Key": "c2VjcmV0"}))
    assert not is_encrypted(CIMultiDict({"ETag": '"one"'}))


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [b"abcdef"]), (2, [b"cdef"]), (3, [b"def"]), (5, [b"f"]), (6, []), (9, [])]
)
def test_bytes_are_dropped_across_chunks(count: int, expected: list[bytes]) -> None:
    assert drop_bytes([b"abc", b"", b"def"], count) == expected


def media_of(client: RecordingsClient, recording: Recording) -> Media:
    return Media("download", client._transport, recording, 0.0, Timeout(), Timeout())


class TestStream:
    @pytest.mark.parametrize("offset", [1, 500_000, len(CONTENT)])
    async def test_resumes_at_an_offset(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, offset: int
    ) -> None:
        with closing(MediaStream(media_of(client, recording), Deadline.start(Timeout()))) as stream:
            await stream.open(offset, lambda etag: etag == '"one"')
            assert (stream.position, stream.total, stream.etag) == (offset, len(CONTENT), '"one"')
            received = b"".join([chunk async for batch in stream.batches() for chunk in batch])
        assert received == CONTENT[offset:]
        assert stream.position == len(CONTENT)
        # The byte before the offset is requested too; at 0 there is none, and the range is not needed.
        assert store.ranges == [f"bytes={offset - 1}-" if offset > 1 else None]

    async def test_starts_at_the_beginning_if_the_media_have_changed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording
    ) -> None:
        with closing(MediaStream(media_of(client, recording), Deadline.start(Timeout()))) as stream:
            await stream.open(500_000, lambda etag: etag == '"another"')
            assert stream.position == 0
            received = b"".join([chunk async for batch in stream.batches() for chunk in batch])
        assert received == CONTENT
        assert store.ranges == ["bytes=499999-", None]


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
async def test_the_url_is_read_from_every_form_of_redirect(
    client: RecordingsClient,
    store: MediaStore,
    recording: Recording,
    tmp_path: Path,
    locate: Callable[[MediaStore], web.Response],
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
        web.json_response({"redirect_to": "https://store.example/a\0b?" + SECRET}, status=302),
        web.json_response({"redirect_to": "https://store.ex\0ample/?" + SECRET}, status=302),
        web.json_response({"redirect_to": 7}, status=302),
        web.json_response({}, status=200),
        web.Response(status=302),
        web.Response(status=200, text="<html>"),
    ],
)
async def test_an_unusable_url_is_an_error(
    credentials: Credentials, recording: Recording, tmp_path: Path, answer: web.Response, service
) -> None:
    """Over https, as with the real service, where only https URLs are followed."""
    url = f"https://video.twilio.com/v1/Rooms/{ROOM_SID}/Recordings/{SID}/Media"
    headers = {"Location": answer.headers["Location"]} if "Location" in answer.headers else {}
    service.get(url, status=answer.status, body=answer.body or b"", headers=headers)
    async with RecordingsClient(credentials) as client:
        with pytest.raises(MediaError, match=SID) as caught:
            await client.download(recording, tmp_path)
    assert "do-not-show-me" not in str(caught.value) + repr(caught.value)
    assert files(tmp_path) == []


class TestWaiting:
    async def test_the_delay_doubles_up_to_ten_seconds(
        self, recording: Recording, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delays: list[float] = []

        async def sleep(seconds: float) -> None:
            delays.append(seconds)

        async def get_redirect(path: str, query: str, deadline: Deadline, operation: Operation) -> object:
            if len(delays) < 6:
                raise NotFoundError(status=404, message="not there", method="GET", url="https://service.example/")
            return SimpleNamespace(
                body=b"", headers={"Location": "https://store.example/media?x=1"}, url=URL("https://service.example/")
            )

        monkeypatch.setattr(asyncio, "sleep", sleep)
        transport = SimpleNamespace(get_redirect=get_redirect, base_url="https://service.example")
        media = Media("download", transport, recording, 3600.0, Timeout(), Timeout())
        assert str(await media.url({})) == "https://store.example/media?x=1"
        assert delays == [1, 2, 4, 8, 10, 10]

    async def test_external_media_are_not_waited_for(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.locate = lambda _: web.Response(status=404)
        external = attrs.evolve(recording, media_external_location="https://bucket.example/RT7")
        with pytest.raises(MediaError, match=r"account's own bucket: 'https://bucket\.example/RT7'"):
            await client.download(external, tmp_path, wait=60)
        assert store.located == 1

    async def test_media_that_are_not_there_yet_are_polled_for(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
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

    async def test_ends_when_the_time_to_wait_is_up(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.locate = lambda _: web.Response(status=404)
        with pytest.raises(NotFoundError):
            await client.download(recording, tmp_path, wait=0.05)
        # The second time at the end of the wait, unless the first answer took longer than that.
        assert store.located in (1, 2)


class TestBrokenConnections:
    async def test_a_broken_connection_is_resumed(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000), cut_after(300_000), cut_after(1)]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert store.located == 1
        assert store.ranges[0] is None
        starts = [int(value.removeprefix("bytes=").rstrip("-")) for value in store.ranges[1:] if value]
        assert starts == sorted(starts)
        assert 0 < starts[0] < 100_000

    async def test_the_store_may_ignore_the_range(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000), respond(200, CONTENT, ETag='"one"')]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST

    async def test_attempts_are_bounded(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(1)] * 50
        with pytest.raises(ConnectionFailedError) as caught:
            await client.download(recording, tmp_path)
        assert len(store.ranges) == 5
        assert "do-not-show-me" not in str(caught.value)

    async def test_an_attempt_is_one_request_where_connections_break_before_the_response(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        async def hang_up(request: web.Request, _: MediaStore) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        store.answers = [hang_up] * 50
        with pytest.raises(ConnectionFailedError):
            await client.download(recording, tmp_path)
        assert len(store.ranges) == 5

    async def test_attempts_with_progress_do_not_count(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(90_000)] * 11
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert len(store.ranges) == 12


class TestExpiry:
    async def test_an_expired_url_is_requested_again(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000), refuse(403)]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert store.located == 2

    async def test_a_fresh_url_that_is_refused_is_an_error(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [refuse(403)] * 3
        with pytest.raises(PermissionDeniedError, match="Request has expired") as caught:
            await client.download(recording, tmp_path)
        assert store.located == 1
        assert "do-not-show-me" not in str(caught.value) + repr(vars(caught.value))

    @pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired"])
    async def test_a_token_that_has_expired_is_answered_with_400(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, code: str
    ) -> None:
        body = f"<Error><Code>{code}</Code><Message>The provided token has expired.</Message></Error>"
        store.answers = [cut_after(100_000), refuse(400, body)]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert store.located == 2

    async def test_another_400_is_an_error(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [cut_after(100_000)] + [refuse(400, "<Error><Code>InvalidArgument</Code></Error>")] * 2
        with pytest.raises(BadRequestError, match="InvalidArgument"):
            await client.download(recording, tmp_path)
        assert (store.located, store.answers) == (2, [])


class TestStoreAnswers:
    """What a store may answer that a file is still to be had from."""

    @pytest.mark.parametrize("status", [307, 308])
    async def test_redirects_are_followed_without_credentials(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, status: int
    ) -> None:
        store.answers = [respond(status, b"", Location=f"/media?moved={hop}") for hop in range(5)]
        assert (await client.download(recording, tmp_path)).sha256 == DIGEST
        assert len(store.headers) == 6
        assert not any("Authorization" in headers or "Cookie" in headers for headers in store.headers)

    @pytest.mark.parametrize(
        ("locations", "message"),
        [
            ([f"/media?moved={hop}" for hop in range(6)], "redirected more than 5 times"),
            (["ftp://127.0.0.1/media"], "no usable https URL"),
            (["http://user:canary@127.0.0.1/media"], "no usable https URL"),
            ([""], "no usable https URL"),
        ],
    )
    async def test_redirects_that_are_not_followed(
        self,
        client: RecordingsClient,
        store: MediaStore,
        recording: Recording,
        tmp_path: Path,
        locations: list[str],
        message: str,
    ) -> None:
        store.answers = [respond(307, b"", Location=location) for location in locations]
        with pytest.raises(MediaError, match=message) as caught:
            await client.download(recording, tmp_path)
        assert "canary" not in str(caught.value)
        assert "do-not-show-me" not in str(caught.value)
        assert store.answers == []

    def test_a_redirect_from_https_stays_in_https(self) -> None:
        origin, base_url = URL("https://one.example/a?sign"), "http://127.0.0.1"
        with pytest.raises(MediaError, match="no usable https URL"):
            redirect_target(origin, "http://two.example/b?c=%2F", base_url, "GET x")
        target = redirect_target(origin, "https://two.example/b?c=%2F", base_url, "GET x")
        assert str(target) == "https://two.example/b?c=%2F"

    async def test_media_that_the_store_does_not_have_yet_are_waited_for(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        store.answers = [refuse(404, "<Error><Code>NoSuchKey</Code></Error>")]
        assert (await client.download(recording, tmp_path, wait=5)).sha256 == DIGEST
        assert store.located == 2
        store.answers = [refuse(404, "<Error><Code>NoSuchKey</Code></Error>")]
        with pytest.raises(NotFoundError):
            await client.download(recording, tmp_path / "other.mka")

    @pytest.mark.parametrize("size", [0, None])
    async def test_a_size_that_is_not_known_yet_blocks_nothing(
        self, client: RecordingsClient, store: MediaStore, recording: Recording, tmp_path: Path, size: int | None
    ) -> None:
        (tmp_path / f"{SID}.mka").touch()
        download = await client.download(attrs.evolve(recording, size=size), tmp_path)
        assert (download.sha256, download.already_there) == (DIGEST, False)


class TestTimeouts:
    async def test_a_stalled_connection_is_retried_and_then_an_error(
        self, store: MediaStore, recording: Recording, tmp_path: Path
    ) -> None:
        async def silent(request: web.Request, store: MediaStore) -> web.StreamResponse:
            response = web.StreamResponse(headers={"ETag": '"one"'})
            response.content_length = len(CONTENT)
            await response.prepare(request)
            await response.write(CONTENT[:1000])
            await asyncio.sleep(5)
            return response

        store.answers = [silent, silent]
        async with RecordingsClient(
            Credentials(ACCOUNT_SID, AUTH_TOKEN),
            base_url=store.base_url,
            retry=RetryPolicy(base_delay=0, max_attempts=2),
            timeout=Timeout(read=0.05),
        ) as client:
            with pytest.raises(RequestTimeoutError, match=r"nothing received for 0\.05 s"):
                await client.download(recording, tmp_path)
            store.answers = [silent]
            assert (await client.download(recording, tmp_path)).sha256 == DIGEST
