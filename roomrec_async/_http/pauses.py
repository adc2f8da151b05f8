"""The pauses that the service asks for with ``Retry-After``."""

from __future__ import annotations

import asyncio
import math
from copy import copy
from typing import ClassVar
from weakref import WeakValueDictionary

from roomrec_async._observe import LOGGER
from roomrec_async.errors import RateLimitError
from roomrec_async.protocols import Limiter

from .request import Content, PendingRequest
from .timers import Deadline, TimeoutScope


class Pauses:
    """Holds back all requests of a client for as long as the service asked.

    A request that would have to wait past its deadline fails at once, and says why. A pause ends early when a request
    comes through that was sent after the one that was refused: then the service takes requests again.

    Attributes:
        cause: the refusal that asked for the last pause; None before the first one.
        waiting: the scopes of the requests that wait for a permit.
    """

    # What the service asks of one client holds for all that share a limiter. By its identity: it lives as long as its
    # pauses do.
    _by_limiter: ClassVar[WeakValueDictionary[int, Pauses]] = WeakValueDictionary()

    @classmethod
    def shared_by(cls, limiter: Limiter) -> Pauses:
        """Return the pauses that all clients of a limiter share."""
        return cls._by_limiter.setdefault(id(limiter), cls(limiter))

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        # When the pause ends, on the clock of the event loop.
        self._until = -math.inf
        self.cause: RateLimitError | None = None
        # When the refused request was sent.
        self._refused_sent_at = -math.inf
        self.waiting: set[TimeoutScope] = set()

    def start(self, cause: RateLimitError, seconds: float, sent_at: float) -> None:
        """Pause all requests, and fail those that wait and would be too late after it.

        Args:
            cause: the refusal that asked for the pause.
            seconds: how long the pause lasts.
            sent_at: when the refused request was sent.
        """
        LOGGER.info("rate limited: pausing all requests for %.1f s (Retry-After)", seconds)
        self._limiter.pause(seconds)
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)
        # A copy has no traceback, which would keep the variables of whoever caught the error as long as the limiter.
        self.cause = copy(cause)
        # Refusals may arrive in another order than their requests were sent.
        self._refused_sent_at = max(self._refused_sent_at, sent_at)
        # Not at once: a request that has just got its permit must be able to say so first.
        asyncio.get_running_loop().call_soon(self._fail_those_too_late)

    def _fail_those_too_late(self) -> None:
        """End the wait of the requests whose deadline lies before the end of the pause."""
        for scope in list(self.waiting):
            if scope.deadline < self._until:
                scope.expire()

    def came_through(self, sent_at: float) -> None:
        """End the pause, if it can, where the request that came through was sent after the one that was refused."""
        if sent_at > self._refused_sent_at and self._remaining() > 0:
            self._limiter.pause(0.0)
            # The pause of a limiter that other processes share goes on.
            if getattr(self._limiter, "paused_until", None) is None:
                LOGGER.info("the service takes requests again: the pause ends early")
                self._until = -math.inf

    def error_for(self, request: PendingRequest[Content], deadline: Deadline) -> RateLimitError | None:
        """Return the error for a request whose deadline lies before the end of the pause, or None."""
        if self.cause is None or self._until <= deadline.at:
            return None
        remaining = self._remaining()
        return request.paused_beyond_deadline(self.cause, remaining) if remaining > 0 else None

    def _remaining(self) -> float:
        return self._until - asyncio.get_running_loop().time()
