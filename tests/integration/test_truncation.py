"""Responses that are damaged: what another attempt can mend, and what it cannot."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from roomrec_async import APIError, ConnectionFailedError, RateLimiter, Recording, RecordingsClient, RetryPolicy

from .raw_server import CREDENTIALS, ROOM_SID, Request, page, raw_server, response

COMPRESSED = gzip.compress(page(50))
WHOLE = page(50)


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(response(b""), id="an empty 200"),
        pytest.param(response(b"   \n"), id="white space"),
        pytest.param(response(COMPRESSED[:-20], "200 OK", "Content-Encoding: gzip"), id="gzip that was cut"),
        pytest.param(response(WHOLE[:2000]), id="JSON that was cut"),
        pytest.param(response(WHOLE[: WHOLE.index(b"}, {") + 1]), id="JSON that was cut behind a record"),
        pytest.param(response(WHOLE[:2000], length=len(WHOLE)), id="a Content-Length that is not reached"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + WHOLE[:2000], id="delimited by the end"
        ),
        pytest.param(response(b"xyz", "200 OK", "Content-Encoding: gzip"), id="no gzip at all"),
    ],
)
async def test_a_body_that_was_cut_off_is_requested_again(damaged: bytes) -> None:
    async def handle(request: Request) -> bytes | None:
        if len(server.requests) == 1:
            request.connection.writer.write(damaged)
            await request.connection.writer.drain()
            return None
        return response(WHOLE)

    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, retry=RetryPolicy(base_delay=0)) as client,
    ):
        assert len(await client.recordings(ROOM_SID).to_list()) == 50
        assert len(server.requests) == 2


SECRET = "signature-that-nobody-may-see"


@pytest.mark.parametrize(
    ("hopeless", "reason"),
    [
        pytest.param(response(b"abc", "200 OK", "Content-Encoding: br"), "(?i)brotli", id="an unknown encoding"),
        pytest.param(
            response(b"abc", "200 OK", "Content-Length: 3", "Content-Length: 4"), "Content-Length", id="two lengths"
        ),
        pytest.param(
            response(b"", "302 Found", f"Location: https://store.example/?{SECRET}{'x' * 9000}"),
            "8190 bytes",
            id="a header that is too long",
        ),
        pytest.param(f"SSH-2.0-{SECRET}\r\n\r\n".encode(), "cannot be read", id="another protocol"),
    ],
)
async def test_what_cannot_get_better_is_sent_once_and_named(hopeless: bytes, reason: str) -> None:
    async def handle(_: Request) -> bytes:
        return hopeless

    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, retry=RetryPolicy(base_delay=0)) as client,
    ):
        with pytest.raises(ConnectionFailedError, match=reason) as caught:
            await client.recordings(ROOM_SID).to_list()
        assert len(server.requests) == 1
    assert SECRET not in str(caught.value)
    assert not caught.value.transient


@pytest.mark.parametrize(("status", "times"), [("407 Proxy Authentication Required", 1), ("502 Bad Gateway", 2)])
async def test_a_proxy_that_wants_a_password_is_asked_once(status: str, times: int) -> None:
    async def handle(_: Request) -> bytes:
        return response(b"no", status, 'Proxy-Authenticate: Basic realm="x"')

    retry = RetryPolicy(base_delay=0, max_attempts=2)
    async with raw_server(handle) as proxy:
        url = proxy.url.replace("http://", "http://user:s3cr3t@")
        async with RecordingsClient(CREDENTIALS, proxy=url, retry=retry) as client:
            with pytest.raises(ConnectionFailedError, match="proxy") as caught:
                await client.recordings(ROOM_SID).to_list()
        assert len(proxy.requests) == times
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["\x1b]0;pwned\x07", "\x9b31m", "a\u202eb".encode().decode("latin-1"), "\xff\xfe", "x" * 5000]
)
@pytest.mark.parametrize("header", ["Twilio-Request-Id", "Location"])
async def test_headers_are_cleaned_and_cut_before_they_are_shown(header: str, value: str) -> None:
    async def handle(_: Request) -> bytes:
        return response(b'{"message": "no", "code": 1}', "404 Not Found", f"{header}: {value}")

    async with (
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, limiter=RateLimiter(None, None, None)) as client,
    ):
        with pytest.raises(Exception, match="404") as caught:
            await client.recordings(ROOM_SID).to_list()
    text = str(caught.value)
    text.encode("utf-8")
    assert text.isprintable()
    assert len(text) < 600


@pytest.mark.parametrize("etag", ["\xff", "a\x7f", "a b"])
async def test_an_etag_that_is_no_text_identifies_nothing(etag: str, tmp_path: Path) -> None:
    media = b"\x1a\x45\xdf\xa3" + bytes(1000)

    async def handle(request: Request) -> bytes:
        if request.target.endswith("/Media"):
            location = f"http://{request.headers['host']}/store"
            return response(json.dumps({"redirect_to": location}).encode(), "302 Found")
        return response(media, "200 OK", f'ETag: "{etag}"')

    recording = Recording(sid="RT" + "1" * 32, room_sid=ROOM_SID, size=len(media), container_format="mka")
    async with raw_server(handle) as server, RecordingsClient(CREDENTIALS, base_url=server.url) as client:
        download = await client.download(recording, tmp_path / "media.mka")
    assert download.etag is None
    assert (tmp_path / "media.mka").read_bytes() == media


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted"])
async def test_a_deletion_with_an_empty_success_is_not_taken_for_a_body_that_was_cut_off(status: str) -> None:
    async def handle(_: Request) -> bytes:
        return response(b"", status)

    async with raw_server(handle) as server, RecordingsClient(CREDENTIALS, base_url=server.url) as client:
        with pytest.raises(APIError, match=status[:3]):
            await client.delete(ROOM_SID, "RT" + "1" * 32)
        assert len(server.requests) == 1
