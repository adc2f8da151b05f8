"""The caller's credentials, and the division of the account's quota among shards."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Literal

import attrs
from distributed import get_worker

from roomrec_async._api.urls import DEFAULT_BASE_URL
from roomrec_async._validate import check_account_sid, check_integer
from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ConfigurationError, InvalidArgumentError
from roomrec_async.limits import RateLimiter
from roomrec_async.protocols import Limiter, Observer

# More than any cluster has threads.
_MAX_SLOTS: Final = 100_000
# Fixed, because workers come and go. Each slot has enough of the published quotas: 20 reads and 5 writes per second.
_DEFAULT_SLOTS: Final = 4
# In place of a secret that only the workers have.
_PLACEHOLDER: Final = "-"


@attrs.frozen
class WorkerCredentials:
    """Credentials that each worker takes from its own environment; the caller neither needs nor sends any.

    The variables are those of :meth:`roomrec_async.Credentials.from_env`.

    Args:
        account_sid: the SID of the account whose credentials they are.

    Raises:
        InvalidArgumentError: the SID is malformed.
    """

    account_sid: str

    def __attrs_post_init__(self) -> None:
        check_account_sid(self.account_sid)

    def load(self) -> Credentials:
        """Return the credentials in the environment of this worker.

        Raises:
            ConfigurationError: it has none, or those of another account.
        """
        address = get_worker().address
        try:
            credentials = Credentials.from_env()
        except (ConfigurationError, InvalidArgumentError) as error:
            message = f"the worker {address} has no credentials that it can use: {error}"
        else:
            if credentials.account_sid == self.account_sid:
                return credentials
            message = f"the worker {address} has credentials of {credentials.account_sid}, not of {self.account_sid}"
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True)
class ClusterSettings:
    """The caller's credentials, and the division of an account's quota among the shards of its jobs on a cluster.

    Attributes:
        credentials: the caller's credentials, which are sent to the workers; or
            :class:`~roomrec_async.integrations.dask.WorkerCredentials` where the workers have them in their own
            environment.
        base_url: another endpoint, such as a gateway, as the workers reach it.
        rooms_per_shard: number of rooms of a task.
        slots: number of slots that the quota is divided into, which is how many shards run at once, however many
            workers there are: they may join and leave while a job runs. All jobs of an account on one cluster must use
            the same number, for as long as its scheduler lives. By default 4, or on a cluster of
            :func:`~roomrec_async.integrations.dask.local_cluster` one for each of its workers; or fewer, if the quota
            cannot be divided by so many.
        reads_per_second: the account's quota; 80 is the published one.
        writes_per_second: the account's quota for deletions; 20 is the published one.
        max_concurrency: maximum number of requests in flight of all shards together, or None for no limit; with
            "auto", each shard adapts to the service's own limit, by the requests that are rate limited.
        redis: URL of a Redis, as the workers reach it, through which the shards share the account's limits with other
            programs, by :class:`~roomrec_async.integrations.redis.RedisRateLimiter` with the name of the account.
            Without it, each slot has a fixed part of them.

    Raises:
        InvalidArgumentError: a number is out of bounds.
        ConfigurationError: the quota is too small for the number of slots, or the base URL cannot be used.
    """

    credentials: Credentials | WorkerCredentials
    base_url: str = DEFAULT_BASE_URL
    rooms_per_shard: int = 1_000
    slots: int | None = None
    reads_per_second: float = 80
    writes_per_second: float = 20
    max_concurrency: int | Literal["auto"] | None = "auto"
    # It can hold a password.
    redis: str | None = attrs.field(default=None, repr=False)

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
        self.offline_client()

    def slot_count(self, workers: int | None = None) -> int:
        """Return the number of slots that were asked for, or the default.

        Args:
            workers: the number of the cluster's workers, if it is fixed; None where they join and leave.
        """
        return self.slots or min(workers or _DEFAULT_SLOTS, self.max_slots)

    @property
    def max_slots(self) -> int:
        """Maximum number of slots: each needs at least one request per second, of each kind, and one in flight.

        Where they share the limits through Redis, they take turns.
        """
        if self.redis is not None:
            return _MAX_SLOTS
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
            ConfigurationError: the base URL cannot be used, or the worker has no credentials.
        """
        credentials = self.credentials
        if isinstance(credentials, WorkerCredentials):
            credentials = credentials.load()
        return RecordingsClient(credentials, base_url=self.base_url, limiter=self._limiter(slots), observers=observers)

    def offline_client(self) -> RecordingsClient:
        """Return a client that checks arguments, and is not used otherwise: it opens nothing.

        Raises:
            ConfigurationError: the base URL cannot be used.
        """
        credentials = self.credentials
        if isinstance(credentials, WorkerCredentials):
            credentials = Credentials(credentials.account_sid, _PLACEHOLDER)
        return RecordingsClient(credentials, base_url=self.base_url, limiter=self._limiter(1))

    @asynccontextmanager
    async def open_client(self, slots: int, *observers: Observer) -> AsyncGenerator[RecordingsClient, None]:
        """Yield a client as :meth:`client` returns it; close it, and then its limiter if that is connected to Redis."""
        async with AsyncExitStack() as stack:
            client = self.client(slots, *observers)
            if isinstance(client.limiter, AbstractAsyncContextManager):
                await stack.enter_async_context(client.limiter)
            yield await stack.enter_async_context(client)

    def _limiter(self, slots: int) -> Limiter:
        if self.redis is not None:
            from roomrec_async.integrations.redis import RedisRateLimiter  # noqa: PLC0415  an extra of its own

            return RedisRateLimiter(
                self.redis,
                name=self.credentials.account_sid,
                max_concurrency=self.max_concurrency,
                reads_per_second=self.reads_per_second,
                writes_per_second=self.writes_per_second,
                processes=slots,
            )
        # Rounded down, so that all slots together stay within the quota.
        concurrency = self.max_concurrency
        if isinstance(concurrency, int):
            concurrency //= slots
        return RateLimiter(concurrency, self.reads_per_second // slots, self.writes_per_second // slots)
