"""What one process uses of the quota while it cannot reach Redis."""

from __future__ import annotations

import math
import random
from typing import Final, Literal

import attrs

from .settings import Limits

# Fraction of a process's part of the rates that it uses. Processes that do not hear of each other cannot compensate for
# each other's delays.
PART_USED: Final = 0.9
# Starts are this much farther apart where each process keeps its own pace: a second of theirs may be shorter.
_MARGIN: Final = 1.02
# Seconds of a turn in which a process may have a request in flight whose part is less than one; it may start one in the
# first half, so that most requests end within the turn.
_TURN_SECONDS: Final = 2.0
# How many turns to look ahead for one that suits both the rate and the requests in flight.
_MAX_TURNS: Final = 100
# Seconds; more than the rounding errors of a clock, and less than matters.
_ROUNDING: Final = 1e-6
# Seconds by which a start may be late in its turn: timers fire late.
_MAX_LATE: Final = 0.05


@attrs.frozen
class Place:
    """A process among those that share the quota.

    Attributes:
        index: its index, from 0; None if no reply of Redis has had it yet.
        processes: number of processes.
    """

    index: int | None
    processes: int


class Turns:
    """The instants at which a process may start a request of one kind.

    Those of all processes are evenly spaced, on a clock that all of them know. A process without an index keeps to
    whole requests in a second where its part is at least one; otherwise it has to choose a turn by chance.
    """

    def __init__(self, rate: float | None, place: Place) -> None:
        self._period = 0.0
        self._phase = 0.0
        self._last_turn = -math.inf
        if rate is None:
            return
        part = rate * PART_USED / place.processes
        if place.index is not None:
            self._period = 1 / part
            self._phase = self._period * (place.index % place.processes) / place.processes
            return
        self._period = _MARGIN / (math.floor(part) if part >= 1 else part)
        self._phase = self._period * random.random()

    def next(self, now: float) -> float:
        """Return the next instant at which a request may start: now, or later."""
        if not self._period:
            return now
        turn = math.floor((now - self._phase) / self._period)
        began = self._phase + turn * self._period
        if turn > self._last_turn and now - began <= min(self._period / 2, _MAX_LATE):
            return now
        return self._phase + (max(turn, self._last_turn) + 1) * self._period

    def started(self, now: float) -> None:
        """Take note of a start."""
        if self._period:
            self._last_turn = math.floor((now + _ROUNDING - self._phase) / self._period)


class Part:
    """One process's part of the quota.

    Attributes:
        max_concurrency: maximum number of its requests in flight, or None. Where its part is less than one, it may
            have one in flight in its turns.
    """

    def __init__(self, limits: Limits, permits: int | None, place: Place) -> None:
        self.max_concurrency: int | None = None if permits is None else max(1, permits // place.processes)
        self._turns: dict[Literal["read", "write"], Turns] = {
            "read": Turns(limits.reads_per_second, place),
            "write": Turns(limits.writes_per_second, place),
        }
        # Number of groups that have requests in flight in turn, and the one of this process.
        self._groups = 1 if permits is None else math.ceil(place.processes / permits)
        index = random.randrange(place.processes) if place.index is None else place.index
        self._group = index % self._groups

    def next_start(self, kind: Literal["read", "write"], now: float) -> float:
        """Return the next instant at which a request of a kind may start: now, or later."""
        start = self._turns[kind].next(now)
        for _ in range(_MAX_TURNS):
            in_turn = self._in_turn(start)
            start = self._turns[kind].next(in_turn)
            if start == in_turn:
                return start
        # The two kinds of turns never meet. The rate is what the service refuses requests for.
        return start

    def started(self, kind: Literal["read", "write"], now: float) -> None:
        """Take note of a start."""
        self._turns[kind].started(now)

    def _in_turn(self, now: float) -> float:
        """Return the next instant, from now on, in a turn of this process's group."""
        if self._groups == 1:
            return now
        cycle = _TURN_SECONDS * self._groups
        offset = (now - self._group * _TURN_SECONDS) % cycle
        return now if offset < _TURN_SECONDS / 2 else now + cycle - offset + _ROUNDING
