"""The limits that were given on the command line, for a client or for a cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypedDict, cast

import click

from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ConfigurationError
from roomrec_async.limits import RateLimiter

from .dates import print_dates
from .options import LIMITS_KEY

if TYPE_CHECKING:
    from roomrec_async.integrations.dask import ClusterSettings
    from roomrec_async.integrations.redis import RedisRateLimiter
    from roomrec_async.protocols import Limiter


class Limits(TypedDict, total=False):
    """What was given of ``--reads-per-second`` and ``--max-concurrency``."""

    reads_per_second: float
    max_concurrency: int | Literal["auto"]


class SharingClient(RecordingsClient):
    """A client that closes the limiter, which it shares with other programs, after itself."""

    limiter_to_close: RedisRateLimiter | None = None

    async def aclose(self) -> None:
        """Close the client, and then its limiter."""
        try:
            await super().aclose()
        finally:
            if self.limiter_to_close is not None:
                await self.limiter_to_close.aclose()


def given_limits() -> tuple[str | None, Limits]:
    """Return the URL of Redis, or None, and the limits that were given to the command that runs."""
    context = click.get_current_context(silent=True)
    given = {} if context is None else dict(context.meta.get(LIMITS_KEY, {}))
    url: str | None = given.pop("redis", None)
    given.pop("timeout", None)
    return url, cast("Limits", given)


def given_timeout() -> float | None:
    """Return the timeout that was given to the command that runs, in seconds, or None."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None
    timeout: float | None = context.meta.get(LIMITS_KEY, {}).get("timeout")
    return timeout


def make_limited_client(credentials: Credentials, base_url: str, proxy: str | None) -> RecordingsClient:
    """Return a client with the limits and the timeout that were given.

    Raises:
        InvalidArgumentError: one of them is out of bounds, or the URL is not a Redis URL.
        ConfigurationError: the base URL cannot be used, or the extra for Redis is missing.
    """
    url, limits = given_limits()
    limiter: Limiter
    shared = None
    if url is None:
        limiter = RateLimiter(**limits)
    else:
        from roomrec_async.integrations.redis import RedisRateLimiter  # noqa: PLC0415  an extra of its own

        # What other programs have found, or were given, holds here too.
        limits.setdefault("max_concurrency", "auto")
        limiter = shared = RedisRateLimiter(url, name=credentials.account_sid, **limits)
    client = SharingClient(
        credentials, base_url=base_url, limiter=limiter, timeout=given_timeout(), proxy=proxy, trust_env=True
    )
    client.limiter_to_close = shared
    print_dates()
    return client


def account_sid_from_env() -> str:
    """Return the account whose credentials the workers of a cluster have.

    Raises:
        ConfigurationError: the environment does not name it.
    """
    account_sid = os.environ.get("TWILIO_ACCOUNT_SID", "").strip()
    if not account_sid:
        raise ConfigurationError("--worker-credentials needs the account: set TWILIO_ACCOUNT_SID in the environment")
    return account_sid


def make_cluster_settings(base_url: str) -> ClusterSettings:
    """Return the settings of a cluster, with the credentials of the environment and the limits that were given."""
    from roomrec_async.integrations.dask import ClusterSettings, WorkerCredentials  # noqa: PLC0415  an extra of its own

    url, limits = given_limits()
    given = click.get_current_context().find_root().params
    credentials: Credentials | WorkerCredentials
    credentials = WorkerCredentials(account_sid_from_env()) if given["worker_credentials"] else Credentials.from_env()
    print_dates()
    return ClusterSettings(credentials=credentials, base_url=base_url, slots=given["slots"], redis=url, **limits)
