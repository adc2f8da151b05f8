"""Starting and stopping a web application on a socket, in the running event loop or in a thread of its own."""

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

# What is still being answered when the server stops gets this long, in seconds, before it is cancelled.
_GRACE: Final = 0.05


class SocketServer(ABC):
    """A web application that runs inside ``async with``, or inside ``with`` in a thread of its own.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._base_url: str | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._stop_thread: Callable[[], None] | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:50123``; known while it runs.

        Raises:
            RuntimeError: it does not run.
        """
        if self._base_url is None:
            raise RuntimeError("not running: enter it with `with` or `async with` first")
        return self._base_url

    @abstractmethod
    def _application(self) -> web.Application:
        """The application to run."""

    @abstractmethod
    def _connected(self) -> None:
        """Called for every connection that is accepted."""

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    def __enter__(self) -> Self:
        started: Future[Callable[[], None]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="simulator", daemon=True)
        thread.start()
        try:
            ask_to_stop = started.result()
        except BaseException:
            thread.join()
            raise

        def stop() -> None:
            ask_to_stop()
            thread.join()

        self._stop_thread = stop
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stop, self._stop_thread = self._stop_thread, None
        if stop is not None:
            stop()

    async def _serve(self, started: Future[Callable[[], None]]) -> None:
        """Run until asked to stop; ``started`` gets what asks, callable from any thread, or the error."""
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            await self._start()
        except BaseException as error:  # noqa: BLE001  it goes to the thread that waits
            started.set_exception(error)
            return
        started.set_result(lambda: _call_soon(loop, stopping.set))
        try:
            await stopping.wait()
        finally:
            await self._stop()

    async def _start(self) -> None:
        if self._runner is not None:
            raise RuntimeError("running already")
        runner = self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE
        )
        try:
            await runner.setup()
            protocols = cast("web.Server", runner.server)

            def accept() -> asyncio.BaseProtocol:
                self._connected()
                return protocols()

            self._server = await asyncio.get_running_loop().create_server(accept, self._host, self._port)
        except BaseException:
            await self._stop()
            raise
        port = self._server.sockets[0].getsockname()[1]
        self._base_url = str(URL.build(scheme="http", host=self._host, port=port))

    async def _stop(self) -> None:
        server, self._server = self._server, None
        runner = self._runner
        if server is not None:
            server.close()
        if runner is not None:
            await runner.cleanup()
        self._runner = self._base_url = None


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    # A loop that has died on its own needs nobody to stop it.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
