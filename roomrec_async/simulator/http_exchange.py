"""One request and the means to respond to it: in good order, or as networks and servers fail."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable

import attrs
from aiohttp import web
from aiohttp.payload import Payload

# Bytes. Compressing a smaller body would gain nothing.
_MIN_COMPRESSED_SIZE = 1_000
# Seconds between two looks at the send buffer.
_FLUSH_INTERVAL = 0.001


@attrs.frozen
class Exchange:
    """A request that was received, and the response to it.

    Args:
        request: the request.
        get_response: returns the normal response, not sent and not compressed yet. It checks credentials and quotas,
            and takes the simulated latency.
    """

    request: web.Request
    get_response: Callable[[], Awaitable[web.Response]]

    async def send(self, response: web.StreamResponse) -> None:
        """Send a response, or the end of one that was started; compressed if the client accepts that."""
        if isinstance(response, web.Response) and not response.prepared:
            self._compress(response)
        await response.prepare(self.request)
        await response.write_eof()

    async def start_response(self) -> tuple[web.StreamResponse, bytes]:
        """Send the headers of the normal response; return the response, to write to, and the body for it."""
        response = await self.get_response()
        self._compress(response)
        body = await read_body(response)
        started = web.StreamResponse(status=response.status, headers=response.headers)
        started.content_length = len(body)
        await started.prepare(self.request)
        return started, body

    async def flush(self) -> None:
        """Wait until the operating system has taken all that was written."""
        transport = self.request.transport
        while transport is not None and transport.get_write_buffer_size():  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(_FLUSH_INTERVAL)

    def reset(self) -> None:
        """Reset the connection: the client receives an RST."""
        if self.request.transport is None:
            return
        connection = self.request.transport.get_extra_info("socket")
        # Lingering for 0 seconds is what makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.transport.abort()

    def close(self) -> None:
        """Close the connection in good order, after all that was written."""
        if self.request.transport is not None:
            self.request.transport.close()

    def _compress(self, response: web.Response) -> None:
        body = response.body if isinstance(response.body, bytes) else b""
        is_text = response.content_type.startswith(("text/", "application/json"))
        accept_encoding = self.request.headers.get("Accept-Encoding", "")
        if is_text and len(body) >= _MIN_COMPRESSED_SIZE and _accepts_gzip(accept_encoding):
            response.body = gzip.compress(body, compresslevel=1, mtime=0)
            response.headers["Content-Encoding"] = "gzip"


async def read_body(response: web.Response) -> bytes:
    """Return the whole body of a response that is not sent yet, also of one that would be streamed."""
    if isinstance(response.body, Payload):
        return await response.body.as_bytes()
    return response.body if isinstance(response.body, bytes) else b""


def _accepts_gzip(accept_encoding: str) -> bool:
    for choice in accept_encoding.lower().split(","):
        name, _, weight = choice.replace(" ", "").partition(";")
        if name in ("gzip", "*"):
            # A weight of 0, with any number of decimals, means "not acceptable" (RFC 9110, 12.5.3).
            return weight.rstrip("0.") != "q="
    return False
