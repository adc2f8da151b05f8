"""The object store with the media: an origin of its own, which accepts pre-signed URLs and no other credentials."""

from __future__ import annotations

import hmac
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Final, TypeAlias, cast
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from .account import Account, RoomData
from .http_server import Handler, HttpServer
from .media_content import EncryptedMediaContent, EncryptionMissingError, MediaContent

StoredContent: TypeAlias = MediaContent | EncryptedMediaContent

# The first segment of every path.
_BUCKET: Final = "twilio-video-media"
# A single range. Its numbers are bounded, because int() refuses texts of thousands of digits.
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_CONTENT_TYPES: Final = {"mka": "audio/x-matroska", "mkv": "video/x-matroska"}
# Bytes. Larger bodies are streamed.
_MAX_BUFFERED_BODY: Final = 2**22


class _StoreError(Exception):
    """An error response of the store: HTTP status, code and message, and further headers."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class MediaStore(HttpServer):
    """The object store of an account. It is started and stopped by the simulator.

    Args:
        account: the account.
        host: the address to listen on, at a port of its own.
    """

    def __init__(self, account: Account, host: str) -> None:
        super().__init__(host, 0)
        self._account = account
        # How often the media of a recording were replaced, by its SID.
        self._versions: dict[str, int] = {}
        # Encrypted media by SID and version, so that an object keeps its headers: wrapping a key is random.
        self._encrypted: dict[tuple[str, int], EncryptedMediaContent] = {}
        # Number of URLs that were signed so far; each URL has its number in it.
        self._signed_count = 0
        # URLs with lower numbers have expired, whatever their time.
        self._first_valid = 0

    def signed_url(self, room: RoomData, index: int, ttl: int, disposition: str) -> str:
        """Return a signed URL of a recording's media.

        Args:
            room: the room.
            index: the index of the recording in the room.
            ttl: seconds until the URL expires.
            disposition: the ``Content-Disposition`` of the download, without its file name.
        """
        self._signed_count += 1
        sid = room.recording_sid(index)
        path = f"/{_BUCKET}/{self._account.account_sid}/{room.sid}/{sid}"
        query = urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": "SIMULATED/20260101/us-east-1/s3/aws4_request",
                "X-Amz-Date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
                "X-Amz-Expires": ttl,
                "X-Amz-Security-Token": f"{self._signed_count:016x}",
                "X-Amz-SignedHeaders": "host",
                "response-content-disposition": f"{disposition};filename={sid}.{room.container_format(index)}",
            }
        )
        return f"{self.base_url}{path}?{query}&X-Amz-Signature={self._signature(path, query)}"

    def expire_urls(self) -> None:
        """Expire all URLs that were signed so far."""
        self._first_valid = self._signed_count + 1

    def replace(self, recording_sid: str) -> None:
        """Replace the media of a recording by others of the same size."""
        self._versions[recording_sid] = self._versions.get(recording_sid, 0) + 1

    def content(self, room: RoomData, index: int) -> MediaContent:
        """Return the media of a recording, not encrypted."""
        sid = room.recording_sid(index)
        return MediaContent(
            self._account.secret,
            sid,
            self._versions.get(sid, 0),
            room.media_size(index),
            room.recorded_track(index),
            is_truncated=room.is_truncated(index),
        )

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._handle_request])
        app.router.add_get(f"/{_BUCKET}/{{account_sid}}/{{room_sid}}/{{sid}}", self._get)
        return app

    async def _respond(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:  # noqa: ARG002
        try:
            self._check_access(request)
            return cast("web.Response", await handler(request))
        except _StoreError as error:
            return _error_response(error)
        except web.HTTPMethodNotAllowed as error:
            message = "The specified method is not allowed against this resource."
            headers = {"Allow": error.headers["Allow"]}
            return _error_response(_StoreError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, headers))
        except EncryptionMissingError:
            message = "encrypted media need: pip install 'roomrec-async[crypto]'"
            return web.Response(status=HTTPStatus.NOT_IMPLEMENTED, text=message)

    def _check_access(self, request: web.Request) -> None:
        if "Authorization" in request.headers:
            raise _StoreError(HTTPStatus.BAD_REQUEST, "InvalidArgument", "Only one auth mechanism allowed")

        query, _, signature = request.rel_url.raw_query_string.rpartition("&X-Amz-Signature=")
        if not hmac.compare_digest(self._signature(request.path, query).encode(), signature.encode()):
            message = "The request signature does not match"
            raise _StoreError(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", message)

        # The query has the right signature, so it is as signed_url() made it.
        parameters = request.query
        signed_at = datetime.strptime(parameters["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        expires_at = signed_at + timedelta(seconds=int(parameters["X-Amz-Expires"]))
        number = int(parameters["X-Amz-Security-Token"], 16)
        if datetime.now(UTC) >= expires_at or number < self._first_valid:
            raise _StoreError(HTTPStatus.FORBIDDEN, "AccessDenied", "Request has expired")

    async def _get(self, request: web.Request) -> web.Response:
        room, index = self._find_recording(request)
        stored = self._stored_content(room, index)
        headers = {
            "ETag": stored.etag,
            "Accept-Ranges": "bytes",
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "Content-Disposition": request.query["response-content-disposition"],
            "Content-Type": _CONTENT_TYPES[room.container_format(index)],
        }
        if isinstance(stored, EncryptedMediaContent):
            # The container format is not visible from outside.
            headers |= stored.headers
            headers["Content-Type"] = "application/octet-stream"
        if request.headers.get("If-Match", "*") not in {"*", stored.etag}:
            message = "At least one of the pre-conditions did not hold"
            raise _StoreError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed", message)

        part = _requested_range(request, stored)
        if part is None:
            return _media_response(stored, range(stored.size), HTTPStatus.OK, headers)
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{stored.size}"
        return _media_response(stored, part, HTTPStatus.PARTIAL_CONTENT, headers)

    def _find_recording(self, request: web.Request) -> tuple[RoomData, int]:
        found = self._account.find_recording(request.match_info["sid"])
        if found is not None:
            room, index = found
            # The path is signed, so its SIDs are spelled as they were sent.
            if room.sid == request.match_info["room_sid"] and room.has_media(index):
                return room, index
        raise _StoreError(HTTPStatus.NOT_FOUND, "NoSuchKey", "The specified key does not exist.")

    def _stored_content(self, room: RoomData, index: int) -> StoredContent:
        plain = self.content(room, index)
        if room.encryption_key is None:
            return plain
        key = plain.sid, plain.version
        if key not in self._encrypted:
            self._encrypted[key] = EncryptedMediaContent(plain)
        return self._encrypted[key]

    def _signature(self, path: str, query: str) -> str:
        # Of the decoded query: clients may send the same query with other escapes.
        decoded = urlencode(parse_qsl(query, keep_blank_values=True))
        return hmac.new(self._account.secret, f"{path}?{decoded}".encode(), sha256).hexdigest()


def _requested_range(request: web.Request, stored: StoredContent) -> range | None:
    """Return the one range that is requested, or None for the whole, as with a header that is not a single range."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[0] == "bytes=-" or request.headers.get("If-Range", stored.etag) != stored.etag:
        return None

    first, last = match.groups()
    # Without a first byte, the last number counts bytes from the end.
    start = int(first) if first else max(0, stored.size - int(last))
    stop = stored.size
    if first and last:
        stop = min(stored.size, int(last) + 1)
    if start >= stop:
        headers = {"Content-Range": f"bytes */{stored.size}"}
        message = "The requested range is not satisfiable"
        raise _StoreError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange", message, headers)
    return range(start, stop)


def _error_response(error: _StoreError) -> web.Response:
    body = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
    return web.Response(
        status=error.status,
        text=f'<?xml version="1.0" encoding="UTF-8"?>\n{body}',
        content_type="application/xml",
        headers=error.headers,
    )


def _media_response(stored: StoredContent, part: range, status: int, headers: dict[str, str]) -> web.Response:
    if len(part) <= _MAX_BUFFERED_BODY:
        return web.Response(status=status, body=b"".join(stored.pieces(part.start, part.stop)), headers=headers)

    async def pieces() -> AsyncGenerator[bytes, None]:
        for piece in stored.pieces(part.start, part.stop):
            yield piece

    return web.Response(status=status, body=pieces(), headers=headers | {"Content-Length": str(len(part))})
