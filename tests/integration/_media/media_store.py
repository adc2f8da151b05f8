"""A service and an object store whose next responses a test chooses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

CONTENT = bytes(range(256)) * 4099  # 1,049,344 bytes: more than one batch
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SID = f"RT{7:032x}"
SECRET = "X-Amz-Signature=do-not-show-me"

Answer = Callable[[web.Request, "MediaStore"], Awaitable[web.StreamResponse]]


class MediaStore:
    """Two servers: the service, which redirects to the media, and the object store, which has them.

    ``answers`` are the next responses of the object store; after them, it serves ``content``.
    """

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
        service = web.Application()
        service.router.add_get("/v1/{tail:.*}/Media", self._located)
        store = web.Application()
        store.router.add_get("/media", self._media)
        self.service_server = TestServer(service)
        self.store_server = TestServer(store)

    @property
    def base_url(self) -> str:
        return str(self.service_server.make_url("/"))

    def url(self) -> str:
        return f"{self.store_server.make_url('/media')}?n={self.located}&{SECRET}"

    async def _located(self, request: web.Request) -> web.Response:
        self.located += 1
        return self.locate(request)

    async def _media(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers.get("Range"))
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if self.answers else serve
        return await answer(request, self)


async def serve(request: web.Request, store: MediaStore) -> web.StreamResponse:
    wanted = request.http_range
    headers = {"ETag": store.etag, "Accept-Ranges": "bytes"}
    if wanted.start is None:
        return web.Response(body=store.content, headers=headers)
    headers["Content-Range"] = f"bytes {wanted.start}-{len(store.content) - 1}/{len(store.content)}"
    return web.Response(status=206, body=store.content[wanted.start :], headers=headers)


def cut_after(count: int, *, etag: str | None = None) -> Answer:
    """Break the connection after so many bytes."""

    async def answer(request: web.Request, store: MediaStore) -> web.StreamResponse:
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
    async def answer(request: web.Request, store: MediaStore) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type="application/xml")

    return answer


def respond(status: int, body: bytes, **headers: str) -> Answer:
    async def answer(request: web.Request, store: MediaStore) -> web.StreamResponse:
        return web.Response(
            status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return answer


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
