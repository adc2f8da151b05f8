"""A server on a raw socket that does to each request what a test says, for what no HTTP server would do."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs

from roomrec_async import Credentials

ACCOUNT_SID = "AC" + "a" * 32
ROOM_SID = "RM" + "1" * 32
CREDENTIALS = Credentials(ACCOUNT_SID, "canary-token")


@attrs.define
class Connection:
    """One connection of a client.

    Attributes:
        number: 1 for the first connection of the server.
        requests: how many requests came over it, the present one included.
    """

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: int = 0

    def reset(self) -> None:
        """End the connection as a middlebox does that has forgotten it."""
        raw_socket = self.writer.get_extra_info("socket")
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@attrs.define
class Request:
    method: str
    target: str
    headers: dict[str, str]
    connection: Connection


@attrs.define
class RawServer:
    url: str
    requests: list[Request] = attrs.field(factory=list)


Handler = Callable[[Request], Awaitable[bytes | None]]
"""Returns the bytes to send, or None to close the connection."""


def response(body: bytes = b"", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """An HTTP response; ``length`` is announced instead of the body's own."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    if not any(header.lower().startswith(("content-length:", "transfer-encoding:")) for header in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def page(count: int = 1, next_page_url: str | None = None) -> bytes:
    """A page of recordings."""
    recordings = [{"sid": f"RT{number:032x}", "room_sid": ROOM_SID, "status": "completed"} for number in range(count)]
    return json.dumps(
        {"recordings": recordings, "meta": {"key": "recordings", "next_page_url": next_page_url}}
    ).encode()


@asynccontextmanager
async def raw_server(handle: Handler) -> AsyncIterator[RawServer]:
    connections = 0
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(Connection(connections, reader, writer))
        writer.close()

    async def serve(connection: Connection) -> None:
        while True:
            head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ", 2)
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
            connection.requests += 1
            request = Request(method, target, headers, connection)
            running.requests.append(request)
            answer = await handle(request)
            if answer is None:
                return
            connection.writer.write(answer)
            await connection.writer.drain()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    running = RawServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
