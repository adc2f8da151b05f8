"""The account's quotas: how many requests the API admits per second."""

from __future__ import annotations

from collections import deque

# Seconds.
_WINDOW = 1.0


class SlidingWindow:
    """Counts the requests that were admitted within the last second. Rejected ones do not count."""

    def __init__(self) -> None:
        # When each request in the window was admitted, oldest first.
        self._admitted: deque[float] = deque()

    def try_acquire(self, now: float, rate: float | None) -> bool:
        """Admit a request and return True, or return False if the rate is exceeded.

        Args:
            now: seconds, on any clock that never goes back.
            rate: maximum number of requests per second; None for no limit.
        """
        while self._admitted and self._admitted[0] <= now - _WINDOW:
            self._admitted.popleft()
        if rate is not None and len(self._admitted) >= rate:
            return False
        self._admitted.append(now)
        return True
