"""A web application on a socket, in the running event loop or in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, cast

from aiohttp import web
from yarl import URL

# Seconds that requests under way get to finish when the server stops, before they are cancelled.
_SHUTDOWN_TIMEOUT: Final = 0.05
# Turns of the event loop from an accepted socket to the connection_made() of its protocol: three, and one to spare.
_TURNS_TO_CONNECT: Final = 4


class SocketServer(ABC):
    """A web application that runs inside ``async with``, or inside ``with`` in a thread of its own.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        # Each is None unless the server runs.
        self._base_url: str | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        # Stops the thread of its own and waits for its end; None where there is no such thread.
        self._stop_thread: Callable[[], None] | None = None

    @property
    def base_url(self) -> str:
        """URL that the server listens at, such as ``http://127.0.0.1:50123``; known while it runs.

        Raises:
            RuntimeError: it does not run.
        """
        if self._base_url is None:
            raise RuntimeError("not running: enter it with `with` or `async with` first")
        return self._base_url

    @abstractmethod
    def _application(self) -> web.Application:
        """Return the application to run."""

    @abstractmethod
    def _connection_accepted(self) -> None:
        """Note that a connection was accepted."""

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    def __enter__(self) -> Self:
        started: Future[Callable[[], None]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="simulator", daemon=True)
        thread.start()
        try:
            request_stop = started.result()
        except Exception:
            thread.join()
            raise

        def stop_thread() -> None:
            request_stop()
            thread.join()

        self._stop_thread = stop_thread
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stop_thread = self._stop_thread
        self._stop_thread = None
        if stop_thread is not None:
            stop_thread()

    async def _serve(self, started: Future[Callable[[], None]]) -> None:
        """Run until a stop is requested.

        Args:
            started: gets the function that requests it, to be called from any thread, or the error of the start.
        """
        stop_requested = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            await self._start()
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits for the start
            started.set_exception(error)
            return

        started.set_result(lambda: _call_soon(loop, stop_requested.set))
        try:
            await stop_requested.wait()
        finally:
            await self._stop()

    async def _start(self) -> None:
        if self._runner is not None:
            raise RuntimeError("running already")
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_TIMEOUT
        )
        try:
            self._server = await self._listen(self._runner)
        except BaseException:
            await self._stop()
            raise
        port = self._server.sockets[0].getsockname()[1]
        self._base_url = str(URL.build(scheme="http", host=self._host, port=port))

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server:
        await runner.setup()
        protocol_factory = cast("web.Server", runner.server)

        def accept() -> asyncio.BaseProtocol:
            self._connection_accepted()
            return protocol_factory()

        # Not by web.TCPSite, which does not report the connections that it accepts.
        return await asyncio.get_running_loop().create_server(accept, self._host, self._port)

    async def _stop(self) -> None:
        server = self._server
        self._server = None
        if server is not None:
            await _stop_accepting(server)
            server.close()
        runner = self._runner
        if runner is not None:
            await runner.cleanup()
        self._runner = None
        self._base_url = None


async def _stop_accepting(server: asyncio.Server) -> None:
    """Accept no more connections, and wait until those that were accepted are known to the application.

    A server that is closed in between leaves their sockets open.
    """
    loop = asyncio.get_running_loop()
    # Event loops that do not watch for readable sockets, as on Windows, cannot do this.
    with suppress(NotImplementedError):
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
    for _ in range(_TURNS_TO_CONNECT):
        await asyncio.sleep(0)


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    # A loop that is closed already needs no stopping.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
