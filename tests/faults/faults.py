"""The faults of the matrix, under the names that it prints."""

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
    """Send a wrong Content-Length, then close the connection."""

    difference: int

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse | None:
        response = await exchange.get_response()
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
    """Close the connection before the last chunk of a chunked body."""

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse | None:
        response = await exchange.get_response()
        body = response.body if isinstance(response.body, bytes) else b"x"
        transport = exchange.request.transport
        assert transport is not None
        transport.write(f"HTTP/1.1 {response.status} OK\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        transport.write(b"%x\r\n%b\r\n" % (len(body) or 1, body or b"x"))
        await exchange.flush()
        transport.close()
        return None


@attrs.frozen
class HugeBody:
    """Send a body of 5 GiB, with a Content-Length or without one."""

    announced: bool

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON})
        if self.announced:
            response.content_length = 5 * 2**30
        await response.prepare(exchange.request)
        for _ in range(5 * 2**12):
            await response.write(b" " * 2**18)
        return response


@attrs.frozen
class GzipBomb:
    """Send a gigabyte that is a megabyte on the wire."""

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Encoding": "gzip"})
        await response.prepare(exchange.request)
        async for piece in gzip_bomb():
            await response.write(piece)
        return response


async def gzip_bomb() -> AsyncGenerator[bytes, None]:
    compressor = zlib.compressobj(wbits=31)
    for _ in range(2**10):
        if piece := compressor.compress(b" " * 2**20):
            yield piece
            await asyncio.sleep(0)


def change_json(change: Callable[[dict[str, Any]], object]) -> Replace:
    """Return a fault that changes the JSON of a body: in place, or into what the function returns."""

    def function(body: bytes) -> bytes:
        try:
            fields = json.loads(body)
        except ValueError:
            return body
        changed = change(fields)
        return json.dumps(fields if changed is None else changed).encode()

    return Replace(function)


def move_next_page(url: str) -> Replace:
    """Return a fault that moves the next page to another URL, with the query that it should have."""

    def change(fields: dict[str, Any]) -> None:
        meta = fields.get("meta")
        if isinstance(meta, dict) and meta.get("next_page_url"):
            meta["next_page_url"] = f"{url}?{meta['next_page_url'].partition('?')[2]}"

    return change_json(change)


def repeat_page(fields: dict[str, Any]) -> None:
    if "meta" in fields:
        fields["meta"]["next_page_url"] = fields["meta"]["url"]


@attrs.define
class NeverEnding:
    """Announce a next page on every page, each with another query."""

    pages: int = 0

    async def handle(self, exchange: Exchange, /) -> web.Response:
        self.pages += 1

        def change(fields: dict[str, Any]) -> None:
            if "meta" in fields:
                fields["meta"]["next_page_url"] = f"{fields['meta']['url']}&Never={self.pages}"

        return await change_json(change).handle(exchange)


def add_huge_numbers(body: bytes) -> bytes:
    return body.replace(b'"size":', b'"size":' + b"9" * 5000 + b',"x":', 1)


def add_nan(body: bytes) -> bytes:
    return body.replace(b'"offset":', b'"offset":NaN,"x":', 1)


@attrs.frozen
class RedirectElsewhere:
    """Redirect all requests but those for media, which are redirected without a fault."""

    async def handle(self, exchange: Exchange, /) -> web.Response:
        if exchange.request.path.endswith("/Media"):
            return await exchange.get_response()
        return web.Response(status=301, headers={"Location": ELSEWHERE})


@attrs.define
class DoubledRecords:
    """Start each page with the last records of the one before, as if the list had grown meanwhile."""

    # The last records of the latest page of each list, by the URL of its first page.
    last_records: dict[str, list[object]] = attrs.field(factory=dict)

    async def handle(self, exchange: Exchange, /) -> web.Response:
        def change(fields: dict[str, Any]) -> None:
            key = fields.get("meta", {}).get("key")
            if key is not None:
                records = fields[key]
                # Several lists are read at once: the URL of the first page is the same on all pages of a list.
                list_url = fields["meta"]["first_page_url"]
                repeated = self.last_records.get(list_url, []) if fields["meta"]["page"] else []
                fields[key] = repeated + records
                self.last_records[list_url] = records[-2:]

        return await change_json(change).handle(exchange)


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
    "records of another shape": change_json(lambda fields: {**fields, "recordings": {}, "rooms": {}, "sid": []}),
    "NaN": Replace(add_nan),
    "huge numbers": Replace(add_huge_numbers),
    "deep nesting": Respond(200, b'{"recordings":' + b"[" * 100_000 + b"]" * 100_000 + b"}", content_type=JSON),
    "5 GiB, announced": HugeBody(announced=True),
    "5 GiB, chunked": HugeBody(announced=False),
    "gzip bomb": GzipBomb(),
    "broken gzip": Respond(200, gzip.compress(b"{}")[:-4], {"Content-Encoding": "gzip"}, JSON),
    "byte order mark": Replace(lambda body: b"\xef\xbb\xbf" + body),
    "redirect to another host": RedirectElsewhere(),
    "records that come twice": DoubledRecords(),
    "next page on another host": move_next_page(ELSEWHERE),
    "next page on another scheme": move_next_page("ftp://127.0.0.1/v1"),
    "next page on another path": move_next_page("/v1/Accounts"),
    "a next page that repeats": change_json(repeat_page),
    "a next page that never ends": NeverEnding(),
    "connection closed after each answer": CloseConnection(),
}

# Downloads have no total timeout: they finish however slow they are. This is fast enough for a test.
FAULTS_OF_THE_STORE: dict[str, Fault] = {**FAULTS, "slow drip": SlowDrip(bytes_per_second=1500)}
