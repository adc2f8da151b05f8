"""Who calls, and how the account's quota is divided among shards."""

from __future__ import annotations

import math
from typing import Literal

import attrs

from roomrec_async._api.urls import DEFAULT_BASE_URL
from roomrec_async._text import safe_repr
from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ConfigurationError
from roomrec_async.limits import RateLimiter
from roomrec_async.protocols import Observer


@attrs.frozen(kw_only=True)
class ClusterSettings:
    """Who calls, and how an account's quota is divided among the shards of its jobs on a cluster.

    Attributes:
        credentials: who is calling.
        base_url: another endpoint, such as a gateway, as the workers reach it.
        rooms_per_shard: how many rooms a task has.
        slots: into how many parts the quota is divided: so many shards run at once. All jobs of an account on one
            cluster must name the same number. By default one for each thread that the cluster has when the first
            job starts, as far as the quota can be divided.
        reads_per_second: the account's quota; 80 is the published one.
        writes_per_second: the account's quota for deletions; 20 is the published one.
        max_concurrency: requests in flight of all shards together; None for no bound; with "auto" each shard follows
            the service's own bound, by what is refused.

    Raises:
        ConfigurationError: a number is out of range, or the quota is too small for so many slots.
    """

    credentials: Credentials
    base_url: str = DEFAULT_BASE_URL
    rooms_per_shard: int = 1_000
    slots: int | None = None
    reads_per_second: float = 80
    writes_per_second: float = 20
    max_concurrency: int | Literal["auto"] | None = "auto"

    def __attrs_post_init__(self) -> None:
        RateLimiter(self.max_concurrency, self.reads_per_second, self.writes_per_second)
        for name, number in (("rooms_per_shard", self.rooms_per_shard), ("slots", self.slots)):
            if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
                raise ConfigurationError(f"{name} must be an integer from 1, not {safe_repr(number)}")
        if not 1 <= (self.slots or 1) <= self.most_slots:
            raise ConfigurationError(
                f"slots must be at most {self.most_slots}: a slot's part of reads_per_second, writes_per_second and "
                "max_concurrency must be 1 at the least"
            )
        self.client(1)

    @property
    def most_slots(self) -> int:
        """Into how many parts the quota can be divided: each must have a whole request of everything."""
        bounds = [self.reads_per_second, self.writes_per_second]
        if isinstance(self.max_concurrency, int):
            bounds.append(self.max_concurrency)
        return math.floor(min(bounds))

    def client(self, slots: int, *observers: Observer) -> RecordingsClient:
        """A client that keeps to one of so many parts of the quota.

        Raises:
            ConfigurationError: the base URL cannot be used.
        """
        concurrency = self.max_concurrency
        limiter = RateLimiter(
            concurrency // slots if isinstance(concurrency, int) else concurrency,
            self.reads_per_second // slots,
            self.writes_per_second // slots,
        )
        return RecordingsClient(self.credentials, base_url=self.base_url, limiter=limiter, observers=observers)
