"""RedisRateLimiter: one rate limiter for all processes and machines that share an account's quota.

Needs the extra ``redis``: ``pip install 'roomrec-async[redis]'``.
"""

from __future__ import annotations

from roomrec_async.errors import ConfigurationError

try:
    from .limiter import RedisRateLimiter
except ModuleNotFoundError as _error:
    if _error.name is None or _error.name.partition(".")[0] != "redis":
        raise
    raise ConfigurationError("a shared rate limiter needs redis: pip install 'roomrec-async[redis]'") from _error

__all__ = ["RedisRateLimiter"]
