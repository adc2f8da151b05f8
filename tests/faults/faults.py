"""What can go wrong on the way, as faults of the simulator: one name each, as the matrix prints it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import attrs
from aiohttp import web

from roomrec_async.simulator.faults import (
    CloseConnection,
    Fault,
    Replace,
    Reset,
    ResetMidBody,
    Respond,
    SlowDrip,
    StallBody,
    StallHeaders,
    Truncate,
)
from roomrec_async.simulator.http_exchange import Exchange

ELSEWHERE = "https://elsewhere.example/other/path"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
JSON = "application/json"


@attrs.frozen
class WrongLength:
    """A Content-Length that is not that of the body, and an end of the connection."""

    difference: int

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse | None:
        response = await exchange.produce()
        body = response.body if isinstance(response.body, bytes) else b""
        transport = exchange.request.transport
        assert transport is not None
        length = max(0, len(body) + self.difference)
        head = f"HTTP/1.1 {response.status} OK\r\nContent-Type: {JSON}\r\nContent-Length: {length}\r\n"
        head += "".join(
            f"{name}: {response.headers[name]}\r\n" for name in ("ETag", "Location") if name in response.headers
        )
        transport.write(head.encode() + b"\r\n" + body)
        await exchange.flush()
        transport.close()
        return None


@attrs.frozen
class ChunkedCutShort:
    """A chunked body without its last chunk."""

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse | None:
        response = await exchange.produce()
        body = response.body if isinstance(response.body, bytes) else b"x"
        transport = exchange.request.transport
        assert transport is not None
        transport.write(f"HTTP/1.1 {response.status} OK\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        transport.write(b"%x\r\n%b\r\n" % (len(body) or 1, body or b"x"))
        await exchange.flush()
        transport.close()
        return None


@attrs.frozen
class Endless:
    """A body of several gigabytes, in a length that is announced or not."""

    announced: bool

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON})
        if self.announced:
            response.content_length = 5 * 2**30
        await response.prepare(exchange.request)
        for _ in range(5 * 2**12):
            await response.write(b" " * 2**18)
        return response


@attrs.frozen
class GzipBomb:
    """A gigabyte that is a megabyte on the wire."""

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Encoding": "gzip"})
        await response.prepare(exchange.request)
        async for piece in _bomb():
            await response.write(piece)
        return response


async def _bomb() -> AsyncGenerator[bytes, None]:
    deflating = zlib.compressobj(wbits=31)
    for _ in range(2**10):
        if piece := deflating.compress(b" " * 2**20):
            yield piece
            await asyncio.sleep(0)


def replaced(change: Callable[[dict[str, Any]], object]) -> Replace:
    """Another JSON body."""

    def function(body: bytes) -> bytes:
        try:
            fields = json.loads(body)
        except ValueError:
            return body
        changed = change(fields)
        return json.dumps(fields if changed is None else changed).encode()

    return Replace(function)


def next_page(url: str) -> Replace:
    """A next page that is somewhere else, with the query that it should have."""

    def change(fields: dict[str, Any]) -> None:
        meta = fields.get("meta")
        if isinstance(meta, dict) and meta.get("next_page_url"):
            meta["next_page_url"] = f"{url}?{meta['next_page_url'].partition('?')[2]}"

    return replaced(change)


def repeat(fields: dict[str, Any]) -> None:
    if "meta" in fields:
        fields["meta"]["next_page_url"] = fields["meta"]["url"]


@attrs.define
class NeverEnding:
    """A next page after each page, always with another token."""

    pages: int = 0

    async def answer(self, exchange: Exchange, /) -> web.Response:
        self.pages += 1

        def change(fields: dict[str, Any]) -> None:
            if "meta" in fields:
                fields["meta"]["next_page_url"] = f"{fields['meta']['url']}&Never={self.pages}"

        return await replaced(change).answer(exchange)


def _huge_numbers(body: bytes) -> bytes:
    return body.replace(b'"size":', b'"size":' + b"9" * 5000 + b',"x":', 1)


def _nan(body: bytes) -> bytes:
    return body.replace(b'"offset":', b'"offset":NaN,"x":', 1)


@attrs.frozen
class RedirectElsewhere:
    """A redirect; but not of media, which are elsewhere in good order."""

    async def answer(self, exchange: Exchange, /) -> web.Response:
        if exchange.request.path.endswith("/Media"):
            return await exchange.produce()
        return web.Response(status=301, headers={"Location": ELSEWHERE})


@attrs.define
class DoubledRecords:
    """Each page begins with the last records of the one before, as if the list had grown meanwhile."""

    last: dict[str, list[object]] = attrs.field(factory=dict)

    async def answer(self, exchange: Exchange, /) -> web.Response:
        def change(fields: dict[str, Any]) -> None:
            key = fields.get("meta", {}).get("key")
            if key is not None:
                records = fields[key]
                # One list of many that are read side by side: its first page has the same URL on each of its pages.
                listed = fields["meta"]["first_page_url"]
                moved = self.last.get(listed, []) if fields["meta"]["page"] else []
                fields[key], self.last[listed] = moved + records, records[-2:]

        return await replaced(change).answer(exchange)


FAULTS: dict[str, Fault] = {
    "reset before headers": Reset(),
    "reset mid-body": ResetMidBody(after=20),
    "truncated body": Truncate(after=20),
    "stalled headers": StallHeaders(5),
    "stalled body": StallBody(after=20, seconds=5),
    "slow drip": SlowDrip(bytes_per_second=50),
    "Content-Length too large": WrongLength(7),
    "Content-Length too small": WrongLength(-7),
    "chunked body cut short": ChunkedCutShort(),
    "429": Respond(429),
    "429, Retry-After 0": Respond(429, headers={"Retry-After": "0"}),
    "429, Retry-After a past date": Respond(429, headers={"Retry-After": "Thu, 01 Jan 2015 00:00:00 GMT"}),
    "429, Retry-After 1e300": Respond(429, headers={"Retry-After": "1e300"}),
    "429, Retry-After nonsense": Respond(429, headers={"Retry-After": "in a while, nan, -inf"}),
    "500": Respond(500, b'{"code": 20500, "message": "oops", "status": 500}', content_type=JSON),
    "502, a page of HTML": Respond(502, HTML),
    "503": Respond(503),
    "504": Respond(504),
    "400, a page of HTML": Respond(400, HTML),
    "200, a page of HTML": Respond(200, HTML),
    "200, empty": Respond(200, b"", content_type=JSON),
    "invalid JSON": Replace(lambda body: body[:-1]),
    "JSON of another shape": Respond(200, b'[{"recordings": 7}]', content_type=JSON),
    "records of another shape": replaced(lambda fields: {**fields, "recordings": {}, "rooms": {}, "sid": []}),
    "NaN": Replace(_nan),
    "huge numbers": Replace(_huge_numbers),
    "deep nesting": Respond(200, b'{"recordings":' + b"[" * 100_000 + b"]" * 100_000 + b"}", content_type=JSON),
    "5 GiB, announced": Endless(announced=True),
    "5 GiB, chunked": Endless(announced=False),
    "gzip bomb": GzipBomb(),
    "broken gzip": Respond(200, gzip.compress(b"{}")[:-4], {"Content-Encoding": "gzip"}, JSON),
    "byte order mark": Replace(lambda body: b"\xef\xbb\xbf" + body),
    "redirect to another host": RedirectElsewhere(),
    "records that come twice": DoubledRecords(),
    "next page on another host": next_page(ELSEWHERE),
    "next page on another scheme": next_page("ftp://127.0.0.1/v1"),
    "next page on another path": next_page("/v1/Accounts"),
    "a next page that repeats": replaced(repeat),
    "a next page that never ends": NeverEnding(),
    "connection closed after each answer": CloseConnection(),
}

# Media have no deadline: however slowly they come, they come to their end. This is soon enough for a test.
FAULTS_OF_THE_STORE: dict[str, Fault] = {**FAULTS, "slow drip": SlowDrip(bytes_per_second=1500)}
