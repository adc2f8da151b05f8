"""One job on a cluster: shards go there as there are slots for them, and their results come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import dask.config
from distributed import Client, KilledWorker, Semaphore, get_worker
from distributed.client import FutureCancelledError

from roomrec_async._asyncio import map_concurrently
from roomrec_async._listing.fanout import RoomSids
from roomrec_async.client import RoomOptions
from roomrec_async.errors import ConfigurationError, RoomRecError

from .settings import ClusterSettings
from .shards import Result, Shard, Work, in_shards
from .slots import LEASE_TIMEOUT, Slot
from .stopping import Stopper, ended

if TYPE_CHECKING:
    from distributed import Future
    from distributed.client import VersionsDict


# Shards that are on the cluster beyond those that have a slot: a slot that is given back finds the next one waiting.
_AHEAD: Final = 2
# What goes wrong in a shard and is no answer of the service: a worker that cannot import, or has no memory left.
_RETRIES: Final = 2
# A worker that does not answer by then is not waited for.
_ENDS_WITHIN: Final = 30.0
_PACKAGE: Final = "roomrec-async"


class Job:
    """One job on the cluster, from the caller's side."""

    def __init__(self, cluster: Client, settings: ClusterSettings, name: str) -> None:
        self._cluster = cluster
        self._settings = settings
        # Two jobs with the same keys would be one to the cluster. The dashboard groups by what is before the digits.
        self._prefix = f"roomrec-{name}-{uuid4().hex[:8]}"
        self._cancelled = False

    async def run(
        self, room_sids: RoomSids, work: Work[Result]
    ) -> AsyncGenerator[tuple[Shard, Result | RoomRecError], None]:
        """The shards with what they gave, as they finish; an error where the workers died over one of them."""
        await _check_versions(self._cluster)
        slot = await self._slot()

        async def produce(shard: Shard) -> AsyncGenerator[tuple[Shard, Result | RoomRecError], None]:
            yield shard, await self._outcome(slot, work, shard)

        shards = in_shards(room_sids, self._settings.rooms_per_shard)
        try:
            async with aclosing(map_concurrently(shards, produce, lambda: slot.slots + _AHEAD)) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        finally:
            if self._cancelled and self._cluster.status == "running":
                # The scheduler forgets at once what it cancels. The workers are still at it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ENDS_WITHIN):
                        await self._cluster.run(ended, self._prefix, on_error="ignore")

    async def _slot(self) -> Slot:
        """The semaphore that all jobs of the account share, made known to the cluster."""
        slots = self._settings.slots or await self._threads()
        slot = Slot(self._settings, slots, dask.config.get(LEASE_TIMEOUT))
        semaphore = Semaphore(slots, slot.name, self._cluster.scheduler, self._cluster.loop)
        try:
            await semaphore
        except ValueError as error:
            raise ConfigurationError(
                f"jobs of one account must name the same number of slots, here {slots}; a job on this cluster, which "
                f"may be over, has named another: {error}"
            ) from None
        return slot

    async def _threads(self) -> int:
        threads = sum(cast("dict[str, int]", await self._cluster.nthreads()).values())
        if not threads:
            raise ConfigurationError("the cluster has no workers yet: wait for them, or name the number of slots")
        return min(threads, self._settings.most_slots)

    async def _outcome(self, slot: Slot, work: Work[Result], shard: Shard) -> Result | RoomRecError:
        key = f"{self._prefix}-{shard.number:06d}"
        future = self._cluster.submit(_run_shard, slot, work, shard, key, key=key, pure=False, retries=_RETRIES)
        try:
            outcome = await future
        except KilledWorker:
            return RoomRecError("worker after worker died over this room's shard: look into the logs of the workers")
        except FutureCancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # A CancelledError would end this job quietly, without these rooms.
            raise RoomRecError(f"the cluster has dropped {key}: {error.reason}") from None
        finally:
            await self._let_go(future)
        if isinstance(outcome, (RoomRecError, OSError)):
            raise outcome
        return cast("Result", outcome)

    async def _let_go(self, future: Future[Result]) -> None:
        if not future.done() and self._cluster.status == "running":
            self._cancelled = True
            await self._cluster.cancel([future], reason="the job is over")
        future.release()


async def _run_shard(slot: Slot, work: Work[Result], shard: Shard, key: str) -> Result | RoomRecError | OSError:
    """The task: what the work gives, or why it cannot be done, which is no reason to try it again."""
    worker = get_worker()
    stopper = await Stopper.of(worker)
    with stopper.over(worker, key):
        try:
            async with slot.client() as client:
                return await work(client, shard)
        except (RoomRecError, OSError) as error:
            # What it was raised from would travel with it, and may lead back to it, which nothing can pickle.
            error.__cause__ = error.__context__ = None
            return error.with_traceback(None)


def check_rooms(settings: ClusterSettings, room_sids: RoomSids, options: RoomOptions) -> None:
    """Refuse here what every shard would refuse. This sends nothing."""
    settings.client(1).as_completed(room_sids, **options)


def check_cluster(cluster: Client) -> None:
    """Refuse what is no client of a cluster for this event loop."""
    if not isinstance(cluster, Client) or not cluster.asynchronous:
        raise ConfigurationError(
            "cluster must be a Dask client for this event loop: await distributed.Client(address, asynchronous=True)"
        )


async def _check_versions(cluster: Client) -> None:
    """Functions travel to the workers by their names."""
    found = await cast("Awaitable[VersionsDict]", cluster.get_versions(packages=[_PACKAGE]))
    here, there = _version(found["client"]), {"the scheduler": found["scheduler"]}
    there |= {f"the worker {address}": versions for address, versions in found["workers"].items()}
    for where, versions in there.items():
        if _version(versions) != here:
            raise ConfigurationError(
                f"{where} has {_version(versions)}, and this program has {here}: install the same version everywhere"
            )


def _version(versions: Mapping[str, Mapping[str, str | None]]) -> str:
    version = versions["packages"].get(_PACKAGE)
    return f"{_PACKAGE} {version}" if version else f"no {_PACKAGE}"
