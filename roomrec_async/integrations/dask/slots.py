"""Slots: equal fractions of an account's quota. A shard holds one while it runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

import attrs
import dask.config
from distributed import Semaphore

from roomrec_async._asyncio import wait_finished
from roomrec_async.client import RecordingsClient
from roomrec_async.events import Activity, Attempt

from .settings import ClusterSettings

# Seconds after its last request for which a slot is kept. Quotas are counted per second; the rest is a margin for
# requests that take longer to arrive than the next holder's.
_COOLDOWN: Final = 1.1
# Seconds that one call waits for a slot. A call cannot be withdrawn, so this also bounds how long it takes to cancel a
# shard that waits for a slot.
_ACQUIRE_TIMEOUT: Final = 2.0
# Dask's setting for how long a lease lasts that its holder does not refresh.
LEASE_TIMEOUT: Final = "distributed.scheduler.locks.lease-timeout"


@attrs.frozen
class SlotPool:
    """The slots of an account, which all its jobs on a cluster share: a semaphore of the scheduler.

    Attributes:
        settings: the caller's settings, with the quota.
        size: the number of slots.
        lease_timeout: the caller's lease timeout, such as ``30s``. It travels with the shards, so that all workers
            refresh their leases in time, whatever their own setting.
    """

    settings: ClusterSettings
    size: int
    lease_timeout: str

    @property
    def semaphore_name(self) -> str:
        """Name of the account's semaphore."""
        return f"roomrec-{self.settings.credentials.account_sid}"

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[RecordingsClient, None]:
        """Wait for a slot, and yield a client that keeps to its fraction of the quota."""
        async with self._slot() as last_request, self.settings.open_client(self.size, last_request) as client:
            yield client

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[LastRequest, None]:
        """Hold a slot, until a second after the last request that the observer of the block has seen."""
        # Semaphores read the timeout when they are made.
        with dask.config.set({LEASE_TIMEOUT: self.lease_timeout}):
            semaphore = Semaphore(self.size, self.semaphore_name)
        last_request = LastRequest()

        try:
            await _acquire(semaphore)
            try:
                yield last_request
            finally:
                # After a cancellation too: the next holder may send a whole second's requests at once.
                try:
                    await asyncio.sleep(last_request.remaining_cooldown())
                finally:
                    await semaphore.release()
        finally:
            stop_refreshing(semaphore)


def stop_refreshing(semaphore: Semaphore) -> None:
    """Stop the timer that refreshes a semaphore's leases; it keeps the semaphore alive for as long as the loop runs."""
    # Without a lease timeout ("inf") there is no timer.
    if hasattr(semaphore, "refresh_callback"):
        # Its start waits in the same queue, and may not have had its turn.
        semaphore.loop.add_callback(semaphore.refresh_callback.stop)


async def _acquire(semaphore: Semaphore) -> None:
    """Wait for a slot. A slot that is granted to a caller who is cancelled meanwhile is released."""
    acquired = False
    while not acquired:
        acquiring = asyncio.ensure_future(semaphore.acquire(timeout=_ACQUIRE_TIMEOUT))
        try:
            await wait_finished(acquiring)
        except asyncio.CancelledError:
            if not acquiring.cancelled() and acquiring.exception() is None and acquiring.result():
                await semaphore.release()
            raise
        acquired = acquiring.result()


class LastRequest:
    """An observer that notes when the last request was sent."""

    def __init__(self) -> None:
        # On the clock of time.monotonic().
        self._sent_at = -math.inf

    def started(self, activity: Activity) -> None:
        """Note the time of an attempt."""
        if isinstance(activity, Attempt):
            self._sent_at = monotonic()

    def ended(self, activity: Activity) -> None:
        """Do nothing: quotas count requests when they are sent."""

    def remaining_cooldown(self) -> float:
        """Return the seconds until the next holder of the slot may send requests."""
        return max(0.0, self._sent_at + _COOLDOWN - monotonic())
