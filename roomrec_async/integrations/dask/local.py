"""A cluster of processes on this machine."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from distributed import Client, LocalCluster, WorkerPlugin

from roomrec_async._validate import check_integer

if TYPE_CHECKING:
    from distributed import Worker


_LOOPBACK: Final = "127.0.0.1"


@asynccontextmanager
async def local_cluster(workers: int | None = None) -> AsyncGenerator[Client, None]:
    """Start a cluster on this machine for the time of an ``async with`` block: processes of one thread each.

    It listens on the loopback interface only, with its dashboard (``client.dashboard_link``, if bokeh is installed) on
    a free port. All processes are gone when the block ends. They are spawned and import the main module again, so a
    script that uses it does its work under ``if __name__ == "__main__":``.

    Args:
        workers: number of processes; by default one for each CPU.

    Raises:
        InvalidArgumentError: the number is not positive.
    """
    if workers is None:
        workers = os.cpu_count() or 1
    check_integer("workers", workers, minimum=1)
    async with (
        _FixedCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=_LOOPBACK,
            dashboard_address=f"{_LOOPBACK}:0",
            asynchronous=True,
        ) as cluster,
        Client(cluster, asynchronous=True, direct_to_workers=True) as client,
    ):
        await client.register_plugin(_LocalWorkerPlugin())
        yield client


class _FixedCluster(LocalCluster):
    """A cluster whose number of workers does not change: it is nobody else's."""


def fixed_workers(cluster: Client) -> int | None:
    """Return the number of workers of a cluster that :func:`local_cluster` started; None of any other cluster."""
    if isinstance(cluster.cluster, _FixedCluster):
        return len(cluster.cluster.worker_spec)
    return None


class _LocalWorkerPlugin(WorkerPlugin):
    """Lets nothing but the ``async with`` block stop the workers of a local cluster, and stops them quietly."""

    def setup(self, worker: Worker) -> None:  # noqa: ARG002  the plugin's signature
        """Ignore Ctrl-C: a terminal sends it to all processes, and the caller's process stops the workers."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002  the plugin's signature
        """Silence the log: a worker that closes its connections would log a heartbeat under way as an error."""
        logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
