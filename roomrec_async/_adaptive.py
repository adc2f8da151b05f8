"""How many requests may be in flight: a number, or one that is found. Plain state, no event loop."""

from __future__ import annotations

from typing import Final, Protocol

_MOST: Final = 500
_BEGIN: Final = 8
_REACHED: Final = 0.9
_CUT: Final = 0.95
_CUT_AGAIN: Final = 0.8
_STEEPNESS: Final = 0.005


class Concurrency(Protocol):
    """What decides how many requests may be in flight."""

    @property
    def limit(self) -> int | None:
        """So many; None for no bound."""

    def succeeded(self, in_flight: int) -> None:
        """A request came back that was not refused, while so many were in flight, itself included."""

    def refused(self, number: int) -> None:
        """A request was refused that was the n-th in flight when it started."""


class FixedConcurrency:
    """A bound that was given."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit

    @property
    def limit(self) -> int | None:
        """The bound."""
        return self._limit

    def succeeded(self, in_flight: int) -> None:
        """Nothing follows from it."""

    def refused(self, number: int) -> None:
        """Nothing follows from it."""


class AdaptiveConcurrency:
    """A bound that follows the service's own, which it does not publish and may change.

    Increase little by little, decrease by a factor, shaped as in TCP CUBIC: a refusal cuts the bound a little, once
    for all requests that were in flight at the time; then it grows back fast to near where it was refused, lingers
    there, and goes on faster and faster. Before the first refusal it doubles with each round of requests (as many as
    the bound). It grows only while it is, or nearly is, what holds requests back.

    Processes that share an account meet in about equal shares, because refusals fall on each by its share. What the
    service says in ``Twilio-Concurrent-Requests`` is not needed for it: cuts by one's share of that number came out no
    fairer.
    """

    def __init__(self) -> None:
        self._bound = float(_BEGIN)
        self._refused_at: float | None = None
        self._rounds = 0.0
        self._plateau = 0.0

    @property
    def limit(self) -> int:
        """The bound at present."""
        return int(self._bound)

    def succeeded(self, in_flight: int) -> None:
        """Grow, if the bound was reached, or nearly: whoever has a permit needs moments between two requests."""
        if in_flight < _REACHED * self.limit:
            return
        self._rounds += 1 / self._bound
        self._bound = min(_MOST, max(self._bound, self._grown()))

    def refused(self, number: int) -> None:
        """Shrink, unless the request started under a bound that was given up since."""
        if number > self._bound:
            return
        # Refused again before a whole round came through: the service's bound has fallen by more than a little.
        again = self._refused_at is not None and self._rounds < 1
        self._refused_at = max(1.0, number - 1)
        self._bound = max(1.0, self._refused_at * (_CUT_AGAIN if again else _CUT))
        self._plateau = ((self._refused_at - self._bound) / _STEEPNESS) ** (1 / 3)
        self._rounds = 0.0

    def _grown(self) -> float:
        if self._refused_at is None:
            return self._bound + 1
        return self._refused_at + _STEEPNESS * (self._rounds - self._plateau) ** 3
