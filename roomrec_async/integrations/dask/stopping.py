"""The end of shards that the cluster no longer wants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from distributed import WorkerPlugin

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Worker


_STOPPER: Final = "roomrec-stopper"


class Stopper(WorkerPlugin):
    """Stops shards that the cluster wants no longer: a coroutine that runs on a worker is not stopped otherwise."""

    def __init__(self) -> None:
        self._running: dict[Key, asyncio.Task[object]] = {}

    @classmethod
    async def of(cls, worker: Worker) -> Stopper:
        """The one of this worker."""
        if _STOPPER not in worker.plugins:
            await worker.plugin_add(plugin=cls(), name=_STOPPER)
        return cast("Stopper", worker.plugins[_STOPPER])

    def transition(self, key: Key, start: str, finish: str, **_: object) -> None:
        """A task on this worker goes from a state to another one."""
        if start == "executing" and finish == "released" and key in self._running:
            self._running[key].cancel()

    @contextmanager
    def over(self, worker: Worker, key: str) -> Iterator[None]:
        """Whoever runs this ``with`` block is cancelled when the cluster no longer wants this key."""
        running, known = asyncio.current_task(), worker.state.tasks.get(key)
        if running is None or known is None or known.state != "executing":
            raise asyncio.CancelledError
        self._running[key] = running
        try:
            yield
        finally:
            del self._running[key]

    async def ended(self, prefix: str) -> None:
        """Wait for the end of all whose keys begin so."""
        running = [task for key, task in self._running.items() if str(key).startswith(prefix)]
        if running:
            await asyncio.wait(running)


async def ended(prefix: str, dask_worker: Worker) -> None:
    """Wait until nothing of a job that was cancelled runs on this worker; Dask knows the second argument's name."""
    await (await Stopper.of(dask_worker)).ended(prefix)
