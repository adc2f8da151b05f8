"""A cluster of processes on this machine."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from distributed import Client, LocalCluster, WorkerPlugin

from roomrec_async._text import safe_repr
from roomrec_async.errors import ConfigurationError

if TYPE_CHECKING:
    from distributed import Worker


_LOCAL: Final = "127.0.0.1"


@asynccontextmanager
async def local_cluster(workers: int | None = None) -> AsyncGenerator[Client, None]:
    """A cluster on this machine for the time of an ``async with`` block: processes of one thread each.

    It listens on the loopback interface only, its dashboard (``client.dashboard_link``, with bokeh installed) on a free
    port, and it is gone at the end. As with all that starts processes anew, a script that uses it does its work under
    ``if __name__ == "__main__":``.

    Args:
        workers: how many processes; by default one for each CPU.

    Raises:
        ConfigurationError: the number is not positive.
    """
    count = (os.cpu_count() or 1) if workers is None else workers
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigurationError(f"workers must be an integer from 1, not {safe_repr(workers)}")
    async with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host=_LOCAL,
            dashboard_address=f"{_LOCAL}:0",
            asynchronous=True,
        ) as cluster,
        Client(cluster, asynchronous=True, direct_to_workers=True) as client,
    ):
        await client.register_plugin(_Undisturbed())
        yield client


class _Undisturbed(WorkerPlugin):
    """The processes of a local cluster begin and end with the block that they are for, and with nothing else."""

    def setup(self, worker: Worker) -> None:  # noqa: ARG002  the plugin's signature
        """A worker begins. Ctrl-C in a terminal reaches all processes: these leave it to the one that ends them."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002  the plugin's signature
        """A worker ends. It drops its connections, and would report a heartbeat that was on one of them as an error."""
        logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
