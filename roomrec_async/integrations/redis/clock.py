"""The clock of Redis, as this process knows it."""

from __future__ import annotations

import math
from typing import Final

# A round trip tells the clock to within its duration. Later ones are compared with earlier ones only for this many
# seconds, in which two clocks drift apart by less than a millisecond.
_MEMORY_SECONDS: Final = 10.0
# Fraction of the shortest round trip that the answer may take, and the margin for a busy process, in seconds.
_ANSWER_FRACTION: Final = 0.6
_ANSWER_MARGIN: Final = 0.003
# Seconds by which a start may be later for being uncertain. More of it would cost more of the quota than it protects.
_MAX_CAUTION: Final = 0.005
# Seconds; a start is never scheduled further ahead for the sake of a slow connection.
_MAX_LEAD: Final = 0.3


class RedisClock:
    """Compares the clock of Redis with that of the event loop.

    Redis reads its clock at some moment between a command and its reply. What several round trips have in common tells
    when; in the middle of it is the best estimate.
    """

    def __init__(self) -> None:
        # The bounds of (clock of Redis - clock of the loop), and when they were last reset.
        self._low = -math.inf
        self._high = math.inf
        self._since = -math.inf
        # The shortest round trip of the last seconds.
        self._round_trip = 0.0

    @property
    def is_known(self) -> bool:
        """True once Redis has answered."""
        return self._high < math.inf

    @property
    def lead(self) -> float:
        """Seconds that a start must lie ahead when Redis schedules it, so that its answer is here by then."""
        return min(_MAX_LEAD, _ANSWER_FRACTION * self._round_trip + _ANSWER_MARGIN)

    @property
    def uncertainty(self) -> float:
        """Seconds by which an instant of one clock may be earlier or later on the other one."""
        return (self._high - self._low) / 2

    def observe(self, sent: float, received: float, redis_time: float) -> None:
        """Take note of a round trip.

        Args:
            sent: when the command was sent, on the clock of the loop.
            received: when the reply was received, on the clock of the loop.
            redis_time: the clock of Redis in between, in seconds.
        """
        low, high = redis_time - received, redis_time - sent
        is_old = received - self._since > _MEMORY_SECONDS
        # Where nothing is in common, one of the clocks was set, or another server answers.
        if is_old or low > self._high or high < self._low:
            self._low, self._high, self._since = low, high, received
            self._round_trip = received - sent
            return
        self._low = max(self._low, low)
        self._high = min(self._high, high)
        self._round_trip = min(self._round_trip, received - sent)

    def to_loop(self, redis_time: float) -> float:
        """Return an instant of the clock of Redis on the clock of the loop: if it is uncertain, rather later."""
        return redis_time - (self._low + self._high) / 2 + min(self.uncertainty, _MAX_CAUTION)

    def to_redis(self, loop_time: float) -> float:
        """Return an instant of the clock of the loop on the clock of Redis."""
        return loop_time + (self._low + self._high) / 2
