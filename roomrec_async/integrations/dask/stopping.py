"""Stop shards that the cluster no longer wants, and keep what each worker has to know of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from distributed import WorkerPlugin

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Worker


_PLUGIN_NAME: Final = "roomrec-stopper"
# Contexts that a worker keeps. Callers that were killed leave theirs behind; one that is missed is sent again.
_MAX_CONTEXTS: Final = 32


class Stopper(WorkerPlugin):
    """Cancels shards when the cluster releases them.

    Dask itself only forgets a task that is released while it runs: its coroutine would go on, and send requests, to
    the end of the shard.
    """

    def __init__(self) -> None:
        # The running shards of this worker, by the keys of their tasks.
        self._running: dict[Key, asyncio.Task[object]] = {}
        # What the shards of each job have in common, by the prefix of their keys.
        self.contexts: dict[str, object] = {}

    @classmethod
    async def of_worker(cls, worker: Worker) -> Stopper:
        """Return the worker's stopper; the first call installs it."""
        if _PLUGIN_NAME not in worker.plugins:
            await worker.plugin_add(plugin=cls(), name=_PLUGIN_NAME)
        return cast("Stopper", worker.plugins[_PLUGIN_NAME])

    def transition(self, key: Key, start: str, finish: str, **_: object) -> None:
        """Cancel a shard that is released while it runs. Dask calls this for each change of a task's state."""
        if start == "executing" and finish == "released" and key in self._running:
            self._running[key].cancel()

    @contextmanager
    def cancel_on_release(self, worker: Worker, key: str) -> Iterator[None]:
        """Cancel the asyncio task that runs this block when the cluster releases the key.

        Raises:
            CancelledError: the cluster has released the key already.
        """
        running = asyncio.current_task()
        state = worker.state.tasks.get(key)
        if running is None or state is None or state.state != "executing":
            raise asyncio.CancelledError
        self._running[key] = running
        try:
            yield
        finally:
            del self._running[key]

    def keep_context(self, job: str, context: object) -> None:
        """Keep the context of a job, and forget the oldest ones if there are too many."""
        self.contexts[job] = context
        while len(self.contexts) > _MAX_CONTEXTS:
            del self.contexts[next(iter(self.contexts))]

    async def wait_stopped(self, prefix: str) -> None:
        """Wait until no shard runs whose key has this prefix."""
        running = [task for key, task in self._running.items() if str(key).startswith(prefix)]
        if running:
            await asyncio.wait(running)


async def end_job(prefix: str, dask_worker: Worker) -> None:
    """Forget a job, once nothing of it runs on this worker any more; Dask passes ``dask_worker`` by its name."""
    stopper = await Stopper.of_worker(dask_worker)
    stopper.contexts.pop(prefix, None)
    await stopper.wait_stopped(prefix)
