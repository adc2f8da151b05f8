"""One request and the ways to answer it, in good order or not."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable

import attrs
from aiohttp import web
from aiohttp.payload import Payload

_COMPRESSED_FROM = 1_000


@attrs.frozen
class Exchange:
    """A request that waits for its answer.

    Args:
        request: the request.
        produce: gives the normal answer, not sent yet and not compressed. Authentication, quotas and latency happen
            inside.
    """

    request: web.Request
    produce: Callable[[], Awaitable[web.Response]]

    async def send(self, response: web.StreamResponse) -> None:
        """Send a response, or the end of one that was begun; compressed if the client takes that."""
        if isinstance(response, web.Response) and not response.prepared:
            self._compress(response)
        await response.prepare(self.request)
        await response.write_eof()

    async def begin(self) -> tuple[web.StreamResponse, bytes]:
        """Send the headers of the normal answer, and hand back the body that is to follow them."""
        response = await self.produce()
        self._compress(response)
        body = await body_of(response)
        stream = web.StreamResponse(status=response.status, headers=response.headers)
        stream.content_length = len(body)
        await stream.prepare(self.request)
        return stream, body

    async def flush(self) -> None:
        """Wait until everything written is with the kernel."""
        transport = self.request.transport
        while transport is not None and transport.get_write_buffer_size():  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.001)

    def reset(self) -> None:
        """Reset the connection: the client meets an RST."""
        if self.request.transport is None:
            return
        connection = self.request.transport.get_extra_info("socket")
        # Lingering for no time is what makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.transport.abort()

    def close(self) -> None:
        """Close the connection in good order, after what was written."""
        if self.request.transport is not None:
            self.request.transport.close()

    def _compress(self, response: web.Response) -> None:
        body = response.body if isinstance(response.body, bytes) else b""
        text = response.content_type.startswith(("text/", "application/json"))
        if not text or len(body) < _COMPRESSED_FROM or not _takes_gzip(self.request.headers.get("Accept-Encoding", "")):
            return
        response.body = gzip.compress(body, compresslevel=1, mtime=0)
        response.headers["Content-Encoding"] = "gzip"


async def body_of(response: web.Response) -> bytes:
    """The whole body of a response that is not sent yet, also of one that would be sent piece by piece."""
    if isinstance(response.body, Payload):
        return await response.body.as_bytes()
    return response.body if isinstance(response.body, bytes) else b""


def _takes_gzip(accept_encoding: str) -> bool:
    for choice in accept_encoding.lower().split(","):
        name, _, weight = choice.replace(" ", "").partition(";")
        if name in ("gzip", "*"):
            return weight.rstrip("0.") != "q="
    return False
