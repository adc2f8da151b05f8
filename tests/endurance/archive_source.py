"""A service and its object store for archives, which change, lose and hide recordings, and break connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import attrs
from aiohttp import web

ACCOUNT_SID = "AC" + "a" * 32
OTHER_ACCOUNT_SID = "AC" + "b" * 32
MATROSKA = b"\x1a\x45\xdf\xa3"
UNKNOWN = {"code": 20404, "message": "The requested resource was not found", "status": 404}


@attrs.define
class Item:
    """A recording at the service.

    Attributes:
        room_sid: the room that has it now.
        media: its bytes now.
        version: how often they changed.
        size: what the service announces.
        validator: what the store sends with the bytes: a strong or a weak ETag, a date, or nothing.
        account_sid: the account that it says it belongs to.
        external: True if its media are in the account's own bucket.
        gone: True once somebody else deleted it.
        deleted: its bytes when an archive deleted it.
        downloads: how many downloads were begun.
        deletions: how many deletions were asked for.
        questions: how often it was asked for by itself.
    """

    sid: str
    room_sid: str
    media: bytes
    size: int | None
    validator: str
    account_sid: str = ACCOUNT_SID
    version: int = 0
    external: bool = False
    gone: bool = False
    deleted: bytes | None = None
    downloads: int = 0
    deletions: int = 0
    questions: int = 0

    @property
    def is_there(self) -> bool:
        return not self.gone and self.deleted is None

    def headers(self) -> dict[str, str]:
        if self.validator == "date":
            modified = f"Thu, 01 Jan 2026 00:00:{self.version % 60:02} GMT"
            return {"Last-Modified": modified, "Date": "Fri, 02 Jan 2026 00:00:00 GMT"}
        # A weak one may be that of other bytes, too.
        etags = {"strong": f'"{self.version}"', "weak": 'W/"1"'}
        return {"ETag": etags[self.validator]} if self.validator in etags else {}

    def record(self) -> dict[str, object]:
        return {
            "sid": self.sid,
            "room_sid": self.room_sid,
            "account_sid": self.account_sid,
            "status": "completed",
            "type": "audio",
            "container_format": "mka",
            "size": self.size,
            "date_created": "2026-03-01T09:30:00Z",
            "media_external_location": "https://bucket.example/media" if self.external else None,
        }


def new_media(rng: random.Random, size: int) -> bytes:
    """Return bytes that begin as a recording does."""
    return (MATROSKA + rng.randbytes(max(0, size - len(MATROSKA))))[:size]


@attrs.define
class Source:
    """The service and the store.

    Attributes:
        seed: decides about faults, with a recording's SID and the number of requests for it.
        items: the recordings by their SIDs.
        on_delete: called when a recording is about to be deleted at the service.
        is_faulty: False to answer everything as it should be.
        url: where it listens.
        in_flight: number of requests that are being answered.
        requests: number of requests that have arrived.
        lists: number of lists that were asked for.
    """

    seed: int
    items: dict[str, Item]
    on_delete: Callable[[Item], Awaitable[None]]
    is_faulty: bool = True
    url: str = ""
    in_flight: int = 0
    requests: int = 0
    lists: int = 0

    @web.middleware
    async def count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.in_flight += 1
        self.requests += 1
        try:
            return await handler(request)
        finally:
            self.in_flight -= 1

    async def reach(self, requests: int) -> None:
        """Wait until so many requests have arrived."""
        while self.requests < requests:
            await asyncio.sleep(0.001)

    async def settle(self) -> None:
        """Wait until the last requests of a process that was killed have been answered."""
        await asyncio.sleep(0.02)
        while self.in_flight:
            await asyncio.sleep(0.005)

    def rng(self, *what: object) -> random.Random:
        return random.Random(f"{self.seed} {what}")

    def change(self, item: Item, rng: random.Random) -> None:
        """Replace the media of a recording. Where their size is another, the service may still announce the old one."""
        size = len(item.media) if rng.random() < 0.7 else rng.randrange(4, 200_000)
        if rng.random() < 0.8:
            item.size = size
        item.media = new_media(rng, size)
        item.version += 1

    async def list(self, request: web.Request) -> web.StreamResponse:
        self.lists += 1
        rng = self.rng("list", self.lists)
        if self.is_faulty and rng.random() < 0.15:
            return web.Response(status=rng.choice([500, 404, 200]), text="<html>")
        room_sid = request.match_info["room"]
        found = [item for item in self.items.values() if item.room_sid == room_sid and item.is_there]
        if self.is_faulty and rng.random() < 0.2:
            # A cache that mixes up two rooms.
            found.append(rng.choice([item for item in self.items.values() if item.is_there] or found))
        return web.json_response(
            {"recordings": [item.record() for item in found], "meta": {"key": "recordings", "next_page_url": None}}
        )

    async def recording(self, request: web.Request) -> web.StreamResponse:
        item = self.items[request.match_info["sid"]]
        item.questions += 1
        if self.is_faulty and self.rng("recording", item.sid, item.questions).random() < 0.3:
            return web.Response(status=404, text="<html>no such page</html>")
        return web.json_response(item.record()) if item.is_there else web.json_response(UNKNOWN, status=404)

    async def locate(self, request: web.Request) -> web.StreamResponse:
        item = self.items[request.match_info["sid"]]
        if not item.is_there or item.external or item.room_sid != request.match_info["room"]:
            return web.json_response(UNKNOWN, status=404)
        return web.json_response({"redirect_to": f"{self.url}/store/{item.sid}?signed"}, status=302)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        item = self.items[request.match_info["sid"]]
        item.deletions += 1
        fault = self.rng("delete", item.sid, item.deletions).random() if self.is_faulty else 1
        if fault < 0.15:
            return web.Response(status=404, text="<html>no such page</html>")
        if fault < 0.25:
            return web.json_response({"code": 20500, "message": "try again", "status": 500}, status=500)
        if not item.is_there or item.room_sid != request.match_info["room"]:
            return web.json_response(UNKNOWN, status=404)
        await self.on_delete(item)
        item.deleted = item.media
        if fault < 0.4:
            # It is done, and nobody hears of it.
            abort(request)
        return web.Response(status=204)

    async def media(self, request: web.Request) -> web.StreamResponse:
        with suppress(ConnectionError):
            return await self._send_media(request)
        # The archive was killed.
        return web.Response()

    async def _send_media(self, request: web.Request) -> web.StreamResponse:
        item = self.items[request.match_info["sid"]]
        if not item.is_there:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        item.downloads += 1
        rng = self.rng("media", item.sid, item.downloads)
        fault = rng.random() if self.is_faulty else 1
        if fault < 0.05:
            return web.Response(status=rng.choice([403, 500, 503]))
        if fault < 0.15:
            # A captive portal, whose page is as long as the recording or not.
            page = b"<html>log in</html>"
            return web.Response(body=page.ljust(rng.choice([len(page), len(item.media)])))
        if fault < 0.55:
            return await self._break_off(request, item, rng, changes=fault < 0.35)
        return await send(request, item, slowly=self.is_faulty and rng.random() < 0.8)

    async def _break_off(
        self, request: web.Request, item: Item, rng: random.Random, *, changes: bool
    ) -> web.StreamResponse:
        number = item.downloads
        response, body = start(request, item)
        await response.prepare(request)
        await response.write(body[: rng.randrange(max(1, len(body)))])
        await asyncio.sleep(0.005)
        abort(request)
        # Nobody has all of it, so that the next one who asks may get something else; unless that one has asked already.
        if changes and item.downloads == number:
            self.change(item, rng)
        return response


def start(request: web.Request, item: Item) -> tuple[web.StreamResponse, bytes]:
    """Return the response that is asked for, a range or the whole, and its body."""
    first = request.http_range.start or 0
    response = web.StreamResponse(headers=item.headers())
    if 0 < first < len(item.media):
        response.set_status(HTTPStatus.PARTIAL_CONTENT)
        response.headers["Content-Range"] = f"bytes {first}-{len(item.media) - 1}/{len(item.media)}"
    elif first:
        response.set_status(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        return response, b""
    body = item.media[first:]
    response.content_length = len(body)
    return response, body


async def send(request: web.Request, item: Item, *, slowly: bool) -> web.StreamResponse:
    response, body = start(request, item)
    await response.prepare(request)
    for offset in range(0, len(body), 20_000):
        await response.write(body[offset : offset + 20_000])
        if slowly:
            await asyncio.sleep(0.02)
    return response


def abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


@asynccontextmanager
async def serving(source: Source) -> AsyncIterator[None]:
    """Serve on a loopback socket."""
    app = web.Application(middlewares=[source.count])
    app.router.add_get("/v1/Rooms/{room}/Recordings", source.list)
    app.router.add_delete("/v1/Rooms/{room}/Recordings/{sid}", source.delete)
    app.router.add_get("/v1/Rooms/{room}/Recordings/{sid}/Media", source.locate)
    app.router.add_get("/v1/Recordings/{sid}", source.recording)
    app.router.add_get("/store/{sid}", source.media)
    # The victims are killed: their connections are not worth waiting for.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        source.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield
    finally:
        await runner.cleanup()
