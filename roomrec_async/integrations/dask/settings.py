"""The caller's credentials, and the division of the account's quota among shards."""

from __future__ import annotations

import math
from typing import Literal

import attrs

from roomrec_async._api.urls import DEFAULT_BASE_URL
from roomrec_async._validate import check_integer
from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ConfigurationError
from roomrec_async.limits import RateLimiter
from roomrec_async.protocols import Observer


@attrs.frozen(kw_only=True)
class ClusterSettings:
    """The caller's credentials, and the division of an account's quota among the shards of its jobs on a cluster.

    Attributes:
        credentials: the caller's credentials.
        base_url: another endpoint, such as a gateway, as the workers reach it.
        rooms_per_shard: number of rooms of a task.
        slots: number of slots that the quota is divided into, which is how many shards run at once. All jobs of an
            account on one cluster must use the same number. By default one for each thread that the cluster has when
            the first job starts, as far as the quota can be divided.
        reads_per_second: the account's quota; 80 is the published one.
        writes_per_second: the account's quota for deletions; 20 is the published one.
        max_concurrency: maximum number of requests in flight of all shards together, or None for no limit; with
            "auto", each shard adapts to the service's own limit, by the requests that are rate limited.

    Raises:
        InvalidArgumentError: a number is out of bounds.
        ConfigurationError: the quota is too small for the number of slots, or the base URL cannot be used.
    """

    credentials: Credentials
    base_url: str = DEFAULT_BASE_URL
    rooms_per_shard: int = 1_000
    slots: int | None = None
    reads_per_second: float = 80
    writes_per_second: float = 20
    max_concurrency: int | Literal["auto"] | None = "auto"

    def __attrs_post_init__(self) -> None:
        # The limiter checks its limits, and the client below its base URL: mistakes show here, not on each worker.
        RateLimiter(self.max_concurrency, self.reads_per_second, self.writes_per_second)
        check_integer("rooms_per_shard", self.rooms_per_shard, minimum=1)
        if self.slots is not None:
            check_integer("slots", self.slots, minimum=1, alternative="or None")

        if (self.slots or 1) > self.max_slots:
            raise ConfigurationError(
                f"slots must be at most {self.max_slots}: each needs at least 1 of reads_per_second, of "
                "writes_per_second and of max_concurrency"
            )
        self.client(1)

    @property
    def max_slots(self) -> int:
        """Maximum number of slots: each needs at least one request per second, of each kind, and one in flight."""
        quotas = [self.reads_per_second, self.writes_per_second]
        if isinstance(self.max_concurrency, int):
            quotas.append(self.max_concurrency)
        return math.floor(min(quotas))

    def client(self, slots: int, *observers: Observer) -> RecordingsClient:
        """Return a client that keeps to one slot's fraction of the quota.

        Args:
            slots: number of slots that the quota is divided into.
            observers: the client's observers.

        Raises:
            ConfigurationError: the base URL cannot be used.
        """
        # Rounded down, so that all slots together stay within the quota.
        concurrency = self.max_concurrency
        if isinstance(concurrency, int):
            concurrency //= slots
        limiter = RateLimiter(concurrency, self.reads_per_second // slots, self.writes_per_second // slots)
        return RecordingsClient(self.credentials, base_url=self.base_url, limiter=limiter, observers=observers)
