"""What a run adds up to: counts, bytes and hours by type and status, and the largest rooms."""

from __future__ import annotations

from collections import Counter
from heapq import heappush, heappushpop
from typing import Final

import attrs

from roomrec_async.models import Recording, RoomResult

_LARGEST: Final = 5
UNKNOWN: Final = "unknown"


@attrs.define
class Sum:
    """A number of recordings, and what they add up to.

    Attributes:
        recordings: how many.
        size: bytes.
        duration: seconds of media.
        by_status: how many with each status.
    """

    recordings: int = 0
    size: int = 0
    duration: int = 0
    by_status: Counter[str] = attrs.field(factory=Counter)

    def add(self, recording: Recording) -> None:
        """Count one more. A recording that is still being processed has no size and no duration yet."""
        self.recordings += 1
        self.size += recording.size or 0
        self.duration += recording.duration or 0
        self.by_status[recording.status or UNKNOWN] += 1


@attrs.frozen(order=True)
class RoomSum:
    """One room: what orders rooms by size comes first."""

    recordings: int
    size: int
    duration: int
    room_sid: str


@attrs.define
class Totals:
    """The sums over many rooms, in memory that does not grow with them."""

    rooms: int = 0
    failed: int = 0
    all: Sum = attrs.field(factory=Sum)
    by_type: dict[str, Sum] = attrs.field(factory=dict)
    _largest: list[RoomSum] = attrs.field(factory=list)

    @property
    def largest(self) -> list[RoomSum]:
        """The rooms with the most recordings, largest first."""
        return sorted(self._largest, reverse=True)

    def add(self, result: RoomResult) -> RoomSum:
        """Count a room and its recordings. The result is the room's own sum."""
        own = Sum()
        for recording in result.recordings:
            for each in (own, self.all, self.by_type.setdefault(recording.type or UNKNOWN, Sum())):
                each.add(recording)
        room = RoomSum(own.recordings, own.size, own.duration, result.room_sid)
        self.rooms += 1
        self.failed += result.error is not None
        if len(self._largest) < _LARGEST:
            heappush(self._largest, room)
        else:
            heappushpop(self._largest, room)
        return room
