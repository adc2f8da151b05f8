"""Jobs: shards are submitted to a cluster as slots become free, and their results come back to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, suppress
from time import monotonic
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import dask.config
from distributed import Client, KilledWorker, Semaphore, get_worker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from roomrec_async._asyncio import is_cancelling, map_concurrently
from roomrec_async._files import BusyError
from roomrec_async._listing.fanout import RoomSids
from roomrec_async._version import __version__
from roomrec_async.client import RoomOptions
from roomrec_async.errors import ConfigurationError, RoomRecError

from .contexts import JobContext, Sealed, Unprepared, seal, send_context
from .local import fixed_workers
from .settings import ClusterSettings
from .shards import Result, Shard, ShardFunction
from .slots import LEASE_TIMEOUT, SlotPool, stop_refreshing
from .stopping import Stopper, end_job

if TYPE_CHECKING:
    from distributed import Future
    from distributed.client import VersionsDict


# Shards on the cluster beyond those that hold a slot: a slot that is released finds the next shard waiting.
_QUEUED_SHARDS: Final = 2
# Retries of a task after an error that is not the service's, such as a failed import or a lack of memory on a worker.
_TASK_RETRIES: Final = 2
# Maximum number of seconds to wait until cancelled shards have stopped: a worker may have become unreachable.
_STOP_TIMEOUT: Final = 30.0
# The same where nothing was cancelled: it only matters that the workers hold no secret for longer than they need it.
_FORGET_TIMEOUT: Final = 5.0
# Maximum number of workers that cannot be told what to do, before a shard counts as failed.
_MAX_UNANSWERED: Final = 20
# Seconds after which a shard is tried again that another process is at. One that was cut off from its scheduler, or
# whose caller was killed a moment ago, stops by itself; a dead one is found by its lease, within 30 seconds.
_BUSY_INTERVAL: Final = 5.0
# Seconds after which such a shard counts as failed.
_MAX_BUSY: Final = 120.0
_PACKAGE: Final = "roomrec-async"


class Job:
    """One job on a cluster, on the caller's side."""

    def __init__(self, cluster: Client, settings: ClusterSettings, name: str) -> None:
        self._cluster = cluster
        self._settings = settings
        # Unique, because the cluster would take two jobs with the same keys for one. The dashboard groups tasks by
        # what precedes the digits.
        self._prefix = f"roomrec-{name}-{uuid4().hex[:8]}"
        # Once a shard was cancelled on the cluster, it may still run there for a while.
        self._stop_timeout = _FORGET_TIMEOUT

    async def prepare(self) -> SlotPool:
        """Return the slots of the account, on a cluster that can run the job.

        Raises:
            ConfigurationError: the cluster has other versions, or another number of slots.
        """
        await _check_versions(self._cluster)
        return await self._slot_pool()

    async def run(
        self, pool: SlotPool, shards: AsyncGenerator[Shard, None], function: ShardFunction[Result]
    ) -> AsyncGenerator[tuple[Shard, Result | RoomRecError], None]:
        """Yield each shard with its result, as shards finish.

        It has an error instead if its workers kept dying, or if another process would not let go of it.

        Args:
            pool: the slots, as :meth:`prepare` returns them.
            shards: the shards, pulled as there are slots for them.
            function: called for each of them, on a worker.

        Raises:
            RoomRecError: the function raised it, or the cluster dropped a shard.
            OSError: the function raised it.
        """
        sealed = seal(JobContext(pool, function))

        async def process(shard: Shard) -> AsyncGenerator[tuple[Shard, Result | RoomRecError], None]:
            yield shard, await self._process(shard, sealed)

        try:
            async with aclosing(map_concurrently(shards, process, lambda: pool.size + _QUEUED_SHARDS)) as results:
                async for result in results:
                    yield result
        finally:
            await self._end()

    async def _slot_pool(self) -> SlotPool:
        """Return the slots of the account, and register their semaphore with the scheduler."""
        slots = self._settings.slot_count(fixed_workers(self._cluster))
        pool = SlotPool(self._settings, slots, dask.config.get(LEASE_TIMEOUT))
        semaphore = Semaphore(slots, pool.semaphore_name, self._cluster.scheduler, self._cluster.loop)
        try:
            await semaphore
        except ValueError as error:
            raise ConfigurationError(
                f"all jobs of one account must use the same number of slots, here {slots}; an earlier job on this "
                f"cluster has used another, which stays until the scheduler is started anew: {error}"
            ) from None
        finally:
            stop_refreshing(semaphore)
        return pool

    async def _process(self, shard: Shard, sealed: Sealed) -> Result | RoomRecError:
        """Return the result of a shard, or the error of its rooms. What ends the whole job is raised."""
        key = f"{self._prefix}-{shard.index:06d}"
        outcome = await self._submit(shard, key)
        attempts = 1
        unanswered = 0
        busy_until = None
        while isinstance(outcome, (Unprepared, BusyError)):
            if isinstance(outcome, BusyError):
                busy_until = busy_until or monotonic() + _MAX_BUSY
                if monotonic() >= busy_until:
                    return outcome
                await asyncio.sleep(_BUSY_INTERVAL)
            elif not await send_context(self._cluster, self._prefix, sealed, outcome.worker):
                unanswered += 1
                if unanswered > _MAX_UNANSWERED:
                    return RoomRecError(f"{outcome.worker} and others do not answer the scheduler: see its log")
            attempts += 1
            outcome = await self._submit(shard, f"{key}-{attempts}")
        return cast("Result | RoomRecError", outcome)

    async def _submit(self, shard: Shard, key: str) -> object:
        """Run a task, and return its result, or the error of a shard that another process is at.

        It may run on any worker. A task for a certain one would wait forever if that one left when it was the last:
        Dask does not give it to those that join later, not even with ``allow_other_workers``.
        """
        future = self._cluster.submit(
            _run_shard, self._prefix, shard, key, __version__, key=key, pure=False, retries=_TASK_RETRIES
        )
        try:
            result = await future
        except KilledWorker:
            return RoomRecError("workers kept dying while processing this room's shard: see the workers' logs")
        except FutureCancelledError as error:
            if is_cancelling():
                raise
            # It is a CancelledError, which would end this job silently and leave these rooms out.
            raise RoomRecError(
                f"the cluster has dropped {key} ({error.reason}): see the scheduler's log, and run the job again"
            ) from None
        finally:
            await self._release(future)

        if isinstance(result, (RoomRecError, OSError)) and not isinstance(result, BusyError):
            raise result
        return result

    async def _release(self, future: Future[Result]) -> None:
        """Let the cluster forget a shard, and cancel it if it is not finished."""
        if not future.done() and self._cluster.status == "running":
            self._stop_timeout = _STOP_TIMEOUT
            await self._cluster.cancel([future], reason="the job has ended")
        future.release()

    async def _end(self) -> None:
        """Let the workers forget the job, and wait until its cancelled shards have stopped there."""
        if self._cluster.status == "running":
            # A scheduler that is lost meanwhile has nothing left to end.
            with suppress(OSError):
                async with asyncio.timeout(self._stop_timeout):
                    await self._cluster.run(end_job, self._prefix, on_error="ignore")


async def _run_shard(job: str, shard: Shard, key: str, version: str) -> object:
    """Run the function of a job on a worker; this is the task. It holds no secret.

    Errors of the service are returned, not raised: Dask would retry the task, and the client has done that already.
    """
    worker = get_worker()
    # It may have joined when the job ran already.
    if version != __version__:
        return ConfigurationError(
            f"the worker {worker.address} has {_PACKAGE} {__version__}, and the caller has {_PACKAGE} {version}: "
            "install the same version everywhere"
        )
    stopper = await Stopper.of_worker(worker)
    context = stopper.contexts.get(job)
    if not isinstance(context, JobContext):
        return Unprepared(worker.address)
    with stopper.cancel_on_release(worker, key):
        try:
            async with context.pool.client() as client:
                return await context.function(client, shard)
        except CommClosedError:
            # Of this cluster, as it occurs on a worker that is about to end: Dask runs the shard again.
            raise
        except (RoomRecError, OSError) as error:
            # Its cause and context would be pickled too, and may lead back to it, which cannot be pickled.
            error.__cause__ = None
            error.__context__ = None
            return error.with_traceback(None)


def check_rooms(settings: ClusterSettings, room_sids: RoomSids, options: RoomOptions) -> None:
    """Raise here what every shard would raise for these arguments. This sends nothing.

    Raises:
        InvalidArgumentError: an argument is out of bounds.
    """
    settings.offline_client().as_completed(room_sids, **options)


def check_cluster(cluster: Client) -> None:
    """Raise for anything other than a Dask client of this event loop.

    Raises:
        ConfigurationError: it is not one.
    """
    if not isinstance(cluster, Client) or not cluster.asynchronous:
        raise ConfigurationError(
            "cluster must be a Dask client for this event loop: await distributed.Client(address, asynchronous=True)"
        )


async def _check_versions(cluster: Client) -> None:
    """Raise if the scheduler or a worker has another version of this package.

    Functions are pickled by name: another version would run its own function of that name.
    """
    found = await cast("Awaitable[VersionsDict]", cluster.get_versions(packages=[_PACKAGE]))
    here = _package_version(found["client"])
    others = {"the scheduler": found["scheduler"]}
    for address, versions in found["workers"].items():
        others[f"the worker {address}"] = versions

    for name, versions in others.items():
        there = _package_version(versions)
        if there != here:
            raise ConfigurationError(
                f"{name} has {there}, and this program has {here}: install the same version everywhere"
            )


def _package_version(versions: Mapping[str, Mapping[str, str | None]]) -> str:
    version = versions["packages"].get(_PACKAGE)
    return f"{_PACKAGE} {version}" if version else f"no {_PACKAGE}"
