"""The account's quotas: how many requests the API takes within one second."""

from __future__ import annotations

from collections import deque

_WINDOW = 1.0


class SlidingWindow:
    """Counts what was admitted within the last second. What was refused does not count."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()

    def admits(self, now: float, rate: float | None) -> bool:
        """Whether one more request at ``now`` (seconds, of any clock that only rises) is within ``rate`` a second.

        None admits everything. A request that is admitted is counted.
        """
        while self._admitted and self._admitted[0] <= now - _WINDOW:
            self._admitted.popleft()
        if rate is not None and len(self._admitted) >= rate:
            return False
        self._admitted.append(now)
        return True
