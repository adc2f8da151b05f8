"""How many requests may be in flight: a fixed number, or one that adapts. Plain state, no event loop."""

from __future__ import annotations

from typing import Final, Protocol

# The names and the shape are those of TCP CUBIC (RFC 9438).
MAX_LIMIT: Final = 500
INITIAL_LIMIT: Final = 8
# The limit is multiplied by the first after a refusal, by the second if the next one comes within a round.
BETA: Final = 0.95
BETA_FAST: Final = 0.8
# How steeply the limit grows away from the plateau, in requests per round cubed.
CUBIC_C: Final = 0.005
# The limit grows only while this share of it is in use: whoever has a permit needs moments between two requests.
UTILIZATION: Final = 0.9


class Concurrency(Protocol):
    """Decides how many requests may be in flight."""

    @property
    def limit(self) -> int | None:
        """Maximum number of requests in flight, or None for no limit."""

    def accepted(self, in_flight: int) -> None:
        """Adapt to a request that the service took on, with so many in flight, itself included."""

    def rate_limited(self, number: int) -> None:
        """Adapt to a request that was refused with 429, the n-th in flight when it started."""


class FixedConcurrency:
    """A fixed limit.

    Attributes:
        limit: maximum number of requests in flight, or None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    def accepted(self, in_flight: int) -> None:
        """No-op: a fixed limit does not adapt."""

    def rate_limited(self, number: int) -> None:
        """No-op: a fixed limit does not adapt."""


class AdaptiveConcurrency:
    """A limit that follows the service's own, which it does not publish and may change.

    Additive increase, multiplicative decrease, shaped as in TCP CUBIC: a refusal cuts the limit a little, once for all
    requests that were in flight at the time; then it grows back fast to near where it was refused, lingers there, and
    grows faster and faster beyond. Before the first refusal it doubles with each round of requests (as many as the
    limit). It grows only while it is, or nearly is, what holds requests back.

    Processes that share an account converge to about equal shares, because refusals fall on each by its share. What the
    service says in ``Twilio-Concurrent-Requests`` is not needed for it: cuts by one's share of that number came out no
    fairer.

    Attributes:
        limit: maximum number of requests in flight at present.
    """

    def __init__(self) -> None:
        self.limit = INITIAL_LIMIT
        # A fraction of a request accumulates between two whole ones.
        self._exact_limit = float(INITIAL_LIMIT)
        # The highest number of requests in flight that the service accepted before it last refused one.
        self._last_max: float | None = None
        # Rounds of requests since the last refusal; a round is as many requests as the limit.
        self._rounds = 0.0
        # Rounds from a refusal to the plateau, where the limit is back at the last maximum (CUBIC's K).
        self._plateau = 0.0

    def accepted(self, in_flight: int) -> None:
        """Raise the limit if it was reached, or nearly."""
        if in_flight < UTILIZATION * self.limit:
            return
        self._rounds += 1 / self._exact_limit
        self._set_limit(min(MAX_LIMIT, max(self._exact_limit, self._target())))

    def rate_limited(self, number: int) -> None:
        """Lower the limit, unless the request started under a limit that was given up since."""
        if number > self._exact_limit:
            return

        # Refused again before a whole round came through: the service's limit has fallen by more than a little.
        beta = BETA
        if self._last_max is not None and self._rounds < 1:
            beta = BETA_FAST

        self._last_max = max(1.0, number - 1)
        self._set_limit(max(1.0, self._last_max * beta))
        self._plateau = ((self._last_max - self._exact_limit) / CUBIC_C) ** (1 / 3)
        self._rounds = 0.0

    def _set_limit(self, exact_limit: float) -> None:
        self._exact_limit = exact_limit
        self.limit = int(exact_limit)

    def _target(self) -> float:
        if self._last_max is None:
            return self._exact_limit + 1
        return self._last_max + CUBIC_C * (self._rounds - self._plateau) ** 3
