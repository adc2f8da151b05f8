"""The account-wide list: which recordings of which rooms it has, newest room first."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import attrs

from .account import RoomData, World
from .parameters import AccountRecordingParameters

_32_BITS = 2**32 - 1


@attrs.frozen
class AccountCandidates:
    """The recordings that the filters leave, by their number, newest room and newest recording first.

    Args:
        world: the account.
        parameters: the filters. Status, type and participants are not looked at; :meth:`wanted` does that.
    """

    world: World
    parameters: AccountRecordingParameters
    _rooms: range = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_rooms", self._possible_rooms())

    def onwards(self, number: int | None) -> Iterator[int]:
        """From this one on, or from the first."""
        newest = self._rooms.stop - 1 if number is None else number >> 32
        for index in reversed(self._rooms[: max(0, newest + 1 - self._rooms.start)]):
            found = self._of_room(index)
            if number is not None and index == number >> 32:
                found = found[: bisect_right(found, number & _32_BITS)]
            yield from (index << 32 | recording for recording in reversed(found))

    def backwards(self, number: int) -> Iterator[int]:
        """Those before this one, the nearest first."""
        for index in self._rooms[max(0, (number >> 32) - self._rooms.start) :]:
            found = self._of_room(index)
            if index == number >> 32:
                found = found[bisect_left(found, (number & _32_BITS) + 1) :]
            yield from (index << 32 | recording for recording in found)

    def wanted(self, number: int) -> bool:
        """Whether the other filters leave it, too."""
        room, index, asked = self.world.room(number >> 32), number & _32_BITS, self.parameters
        status = room.recording_status(index)
        return (
            (status != "deleted" if asked.status is None else status == asked.status)
            and asked.media_type in (None, room.recording_type(index))
            and all(sid in (room.sid, room.participant_sid(index)) for sid in asked.grouping_sids)
        )

    def _possible_rooms(self) -> range:
        asked = self.parameters
        rooms = self.world.rooms_under_way(asked.created_from, asked.created_before)
        if asked.source_sid is not None:
            track = self.world.track_sids.number(asked.source_sid)
            rooms = _narrowed(rooms, None if track is None else track >> 32)
        for sid in asked.grouping_sids:
            rooms = _narrowed(rooms, self._room_of(sid))
        return rooms

    def _room_of(self, grouping_sid: str) -> int | None:
        """The room that a room's or a participant's SID belongs to."""
        room = self.world.find_room(grouping_sid)
        number = self.world.participant_sids.number(grouping_sid)
        return room.index if room else None if number is None else number >> 32

    def _of_room(self, index: int) -> range:
        room: RoomData = self.world.room(index)
        asked = self.parameters
        return room.candidates(
            created_from=asked.created_from, created_before=asked.created_before, source_sid=asked.source_sid
        )


def _narrowed(rooms: range, index: int | None) -> range:
    return range(index, index + 1) if index is not None and index in rooms else range(0)
