"""Response bodies: a page read as a whole, media read piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp

from roomrec_async.config import Timeout
from roomrec_async.errors import ConnectionFailedError, RoomRecError

from .request import FAILURES, PendingRequest
from .timers import SharedTimer, TimeoutScope

# Bytes handled at once, which fit into a processor's cache, and the seconds after which fewer are.
_BATCH_SIZE: Final = 2**18
_BATCH_SECONDS: Final = 0.5


class ResponseStream:
    """A response whose body is read piece by piece, from a request without credentials.

    Attributes:
        status: 200, or 206 for a part.
        headers: the response's headers.
    """

    def __init__(
        self, request: PendingRequest[None], timeout: Timeout, response: aiohttp.ClientResponse, timer: SharedTimer
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._request: PendingRequest[None] = request
        self._timeout = timeout
        self._response = response
        self._timer = timer

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the bytes as they arrive: as many chunks at once as are cheap to handle, or those of half a second.

        Raises:
            TransportError: no more bytes arrived in time, or the connection broke. What came before is yielded first.
        """
        loop = asyncio.get_running_loop()
        batch: list[bytes] = []
        size = 0
        since = loop.time()
        while isinstance(chunk := await self._read(), bytes) and chunk:
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH_SIZE or loop.time() - since >= _BATCH_SECONDS:
                yield batch
                batch = []
                size = 0
                since = loop.time()

        if batch:
            yield batch
        if not isinstance(chunk, bytes):
            raise chunk

    async def _read(self) -> bytes | RoomRecError:
        scope = self._timer.scope_for(self._timeout.read)
        try:
            with scope:
                return await self._response.content.readany()
        except FAILURES as error:
            return self._request.failed(error, self._timeout, scope)

    def truncated(self, message: str) -> ConnectionFailedError:
        """Return the error for a body with fewer bytes than announced."""
        return self._request.connection_failed(message)

    def close(self) -> None:
        """Release the connection: back to the pool if the body was read to its end, else closed."""
        self._response.close()


async def read_body(
    response: aiohttp.ClientResponse, max_bytes: int, timeout: Timeout, scope: TimeoutScope
) -> bytes | None:
    """Return the decompressed body, or None if it has more than ``max_bytes``. No more than that is ever read.

    Args:
        response: the response.
        max_bytes: the bound.
        timeout: bounds the wait for each piece.
        scope: the scope around this call, rescheduled whenever bytes arrive.
    """
    content = response.content
    pieces: list[bytes] = []
    size = 0
    try:
        while size <= max_bytes:
            if not content.is_eof():
                scope.reschedule(timeout.read)
            piece = await content.readany()
            pieces.append(piece)
            size += len(piece)
            if content.at_eof() and size <= max_bytes:
                # Most pages of a list arrive in one piece, which is not copied.
                return b"".join(pieces)
    except BaseException:
        response.close()
        raise

    response.close()
    return None
