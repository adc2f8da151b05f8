"""The object store where the media are: another origin, which takes pre-signed URLs and no other credentials."""

from __future__ import annotations

import hmac
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeAlias, cast
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from .account import RoomData, World
from .http_server import Handler, ReceivingServer
from .media_content import Content, EncryptedContent, EncryptionMissingError

Stored: TypeAlias = Content | EncryptedContent

_BUCKET: Final = "twilio-video-media"
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_TYPES: Final = {"mka": "audio/x-matroska", "mkv": "video/x-matroska"}
# More than that is sent as it is computed.
_AT_ONCE: Final = 2**22


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


class MediaStore(ReceivingServer):
    """The object store of an account. It runs with the simulator.

    Args:
        world: the account.
        host: the address to listen on, on a port of its own.
    """

    def __init__(self, world: World, host: str) -> None:
        super().__init__(host, 0)
        self._world = world
        self._versions: dict[str, int] = {}
        self._encrypted: dict[tuple[str, int], EncryptedContent] = {}
        self._serial = 0
        self._valid_from = 0

    def signed_url(self, room: RoomData, index: int, ttl: int, disposition: str) -> str:
        """A URL that is good for ``ttl`` seconds."""
        sid, container = room.recording_sid(index), room.container(index)
        self._serial += 1
        path = f"/{_BUCKET}/{self._world.account_sid}/{room.sid}/{sid}"
        query = urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": "SIMULATED/20260101/us-east-1/s3/aws4_request",
                "X-Amz-Date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
                "X-Amz-Expires": ttl,
                "X-Amz-Security-Token": f"{self._serial:016x}",
                "X-Amz-SignedHeaders": "host",
                "response-content-disposition": f"{disposition};filename={sid}.{container}",
            }
        )
        return f"{self.base_url}{path}?{query}&X-Amz-Signature={self._signature(path, query)}"

    def expire_urls(self) -> None:
        """Let all URLs that were handed out so far be expired."""
        self._valid_from = self._serial + 1

    def replace(self, recording_sid: str) -> None:
        """Give a recording other media of the same size."""
        self._versions[recording_sid] = self._versions.get(recording_sid, 0) + 1

    def content(self, room: RoomData, index: int) -> Content:
        """A recording's media, decrypted."""
        sid = room.recording_sid(index)
        return Content(self._world.secret, sid, self._versions.get(sid, 0), room.media_size(index))

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._receive])
        app.router.add_get(f"/{_BUCKET}/{{account_sid}}/{{room_sid}}/{{sid}}", self._get)
        return app

    async def _normal_answer(self, request: web.Request, handler: Handler, arrived_at: float) -> web.Response:  # noqa: ARG002
        try:
            self._check_access(request)
            return cast("web.Response", await handler(request))
        except _RefusedError as refusal:
            return _refused(refusal)
        except web.HTTPMethodNotAllowed as error:
            told = "The specified method is not allowed against this resource."
            return _refused(_RefusedError(405, "MethodNotAllowed", told, {"Allow": error.headers["Allow"]}))
        except EncryptionMissingError:
            told = "encrypted media need: pip install 'roomrec-async[crypto]'"
            return web.Response(status=501, text=told)

    def _check_access(self, request: web.Request) -> None:
        if "Authorization" in request.headers:
            raise _RefusedError(400, "InvalidArgument", "Only one auth mechanism allowed")
        query, _, signature = request.rel_url.raw_query_string.rpartition("&X-Amz-Signature=")
        if not hmac.compare_digest(self._signature(request.path, query).encode(), signature.encode()):
            raise _RefusedError(403, "SignatureDoesNotMatch", "The request signature does not match")
        signed = request.query
        until = datetime.strptime(signed["X-Amz-Date"], "%Y%m%dT%H%M%S%z") + timedelta(
            seconds=int(signed["X-Amz-Expires"])
        )
        if datetime.now(UTC) >= until or int(signed["X-Amz-Security-Token"], 16) < self._valid_from:
            raise _RefusedError(403, "AccessDenied", "Request has expired")

    async def _get(self, request: web.Request) -> web.Response:
        room = self._world.find_room(request.match_info["room_sid"])
        index = room.recording_index(request.match_info["sid"]) if room else None
        if room is None or index is None or not room.has_media(index):
            raise _RefusedError(404, "NoSuchKey", "The specified key does not exist.")
        stored = self._stored(room, index)
        headers = {
            "ETag": stored.etag,
            "Accept-Ranges": "bytes",
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "Content-Disposition": request.query["response-content-disposition"],
            "Content-Type": _TYPES[room.container(index)],
        }
        if isinstance(stored, EncryptedContent):
            headers |= {**stored.headers, "Content-Type": "application/octet-stream"}
        if request.headers.get("If-Match", "*") not in {"*", stored.etag}:
            raise _RefusedError(412, "PreconditionFailed", "At least one of the pre-conditions did not hold")
        part = _part(request, stored)
        if part is None:
            return _response(stored, range(stored.size), 200, headers)
        return _response(
            stored, part, 206, headers | {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{stored.size}"}
        )

    def _stored(self, room: RoomData, index: int) -> Stored:
        plain = self.content(room, index)
        if room.encryption_key is None:
            return plain
        # Once: the wrapping is random, and an object has one set of headers.
        known = self._encrypted.get((plain.sid, plain.version))
        if known is None:
            known = self._encrypted[plain.sid, plain.version] = EncryptedContent(plain)
        return known

    def _signature(self, path: str, query: str) -> str:
        # Decoded: clients may write the same query with other escapes.
        signed = urlencode(parse_qsl(query, keep_blank_values=True))
        return hmac.new(self._world.secret, f"{path}?{signed}".encode(), sha256).hexdigest()


def _part(request: web.Request, stored: Stored) -> range | None:
    """The one range that is asked for; None for the whole, which is also the answer to what is no range."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[0] == "bytes=-" or request.headers.get("If-Range", stored.etag) != stored.etag:
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, stored.size - int(last))
    stop = min(stored.size, int(last) + 1) if first and last else stored.size
    if start >= stop:
        raise _RefusedError(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            {"Content-Range": f"bytes */{stored.size}"},
        )
    return range(start, stop)


def _refused(refusal: _RefusedError) -> web.Response:
    body = f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
    return web.Response(
        status=refusal.status,
        text=f'<?xml version="1.0" encoding="UTF-8"?>\n{body}',
        content_type="application/xml",
        headers=refusal.headers,
    )


def _response(stored: Stored, part: range, status: int, headers: dict[str, str]) -> web.Response:
    if len(part) <= _AT_ONCE:
        return web.Response(status=status, body=b"".join(stored.pieces(part.start, part.stop)), headers=headers)

    async def pieces() -> AsyncGenerator[bytes, None]:
        for piece in stored.pieces(part.start, part.stop):
            yield piece

    return web.Response(status=status, body=pieces(), headers=headers | {"Content-Length": str(len(part))})
