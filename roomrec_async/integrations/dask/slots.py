"""Slots: the parts of an account's quota that shards wait for."""

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

# Quotas are counted by the second. The rest is for requests that took longer to arrive than the ones after them.
_SLOT_COOLS: Final = 1.1
_ASK_FOR_SLOT: Final = 2.0
LEASE_TIMEOUT: Final = "distributed.scheduler.locks.lease-timeout"


@attrs.frozen
class Slot:
    """A part of the account's quota, from the side of a shard that waits for it.

    Attributes:
        settings: what is divided.
        slots: into how many parts.
        lease_timeout: after how long the scheduler takes a slot back from a worker that is silent. It is the
            caller's, so that no worker has another opinion on how often to speak.
    """

    settings: ClusterSettings
    slots: int
    lease_timeout: str

    @property
    def name(self) -> str:
        """The name of the semaphore."""
        return f"roomrec-{self.settings.credentials.account_sid}"

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[RecordingsClient, None]:
        """A client, as soon as there is a slot for it."""
        with dask.config.set({LEASE_TIMEOUT: self.lease_timeout}):
            semaphore = Semaphore(self.slots, self.name)
        last = LastRequest()
        await _acquire(semaphore)
        try:
            async with self.settings.client(self.slots, last) as client:
                yield client
        finally:
            # Cancelled or not: whoever has the slot next may use a whole second's part at once.
            try:
                await asyncio.sleep(last.seconds_to_cool())
            finally:
                await semaphore.release()


async def _acquire(semaphore: Semaphore) -> None:
    """Wait for a slot. Whoever is cancelled meanwhile leaves none behind that nobody has."""
    acquired = False
    while not acquired:
        asking = asyncio.ensure_future(semaphore.acquire(timeout=_ASK_FOR_SLOT))
        try:
            await wait_finished(asking)
        except asyncio.CancelledError:
            if not asking.cancelled() and asking.exception() is None and asking.result():
                await semaphore.release()
            raise
        acquired = asking.result()


class LastRequest:
    """An observer that knows when the last request was sent."""

    def __init__(self) -> None:
        self._sent_at = -math.inf

    def started(self, activity: Activity) -> None:
        """Something begins."""
        if isinstance(activity, Attempt):
            self._sent_at = monotonic()

    def ended(self, activity: Activity) -> None:
        """Something is over."""

    def seconds_to_cool(self) -> float:
        """How long until it no longer counts."""
        return max(0.0, self._sent_at + _SLOT_COOLS - monotonic())
