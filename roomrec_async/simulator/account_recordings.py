"""The recordings of the account-wide list: newest room first, and in each room the newest recording first."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import attrs

from .account import Account
from .parameters import AccountRecordingParameters, is_status_listed
from .sids import join_number, lower_digits, split_number


@attrs.frozen
class AccountCandidates:
    """The recordings that match the filters by room, date and source, as their numbers in the account.

    These filters are found without looking at every recording; :meth:`matches` checks the others.

    Args:
        account: the account.
        parameters: the filters.
    """

    account: Account
    parameters: AccountRecordingParameters
    # Indices of the rooms that may have such recordings.
    _rooms: range = attrs.field(init=False)

    @_rooms.default
    def _find_rooms(self) -> range:
        filters = self.parameters
        rooms = self.account.rooms_recorded_between(filters.created_from, filters.created_before)
        if filters.source_sid is not None:
            rooms = _only_room(rooms, self._room_of_track(filters.source_sid))
        for sid in filters.grouping_sids:
            rooms = _only_room(rooms, self._room_of_group(sid))
        return rooms

    def forward(self, start: int | None) -> Iterator[int]:
        """Yield the numbers in the order of the list, from ``start`` on or from the first one."""
        if start is None:
            # Above the number of every recording.
            start = join_number(self._rooms.stop, 0)
        start_room, start_index = split_number(start)
        for room in reversed(self._rooms[: max(0, start_room + 1 - self._rooms.start)]):
            indices = self._recordings_of_room(room)
            if room == start_room:
                indices = indices[: bisect_right(indices, start_index)]
            yield from (join_number(room, index) for index in reversed(indices))

    def backward(self, end: int) -> Iterator[int]:
        """Yield the numbers before ``end`` in the order of the list, the nearest first."""
        end_room, end_index = split_number(end)
        for room in self._rooms[max(0, end_room - self._rooms.start) :]:
            indices = self._recordings_of_room(room)
            if room == end_room:
                indices = indices[bisect_left(indices, end_index + 1) :]
            yield from (join_number(room, index) for index in indices)

    def matches(self, number: int) -> bool:
        """Return True if a recording matches the filters by status, type, room and participant, too."""
        room_index, index = split_number(number)
        room = self.account.room(room_index)
        filters = self.parameters
        return (
            is_status_listed(room.recording_status(index), filters.status)
            and filters.media_type in (None, room.recording_type(index))
            and all(lower_digits(sid) in (room.sid, room.participant_sid(index)) for sid in filters.grouping_sids)
        )

    def _recordings_of_room(self, room_index: int) -> range:
        filters = self.parameters
        return self.account.room(room_index).filter_recordings(
            created_from=filters.created_from, created_before=filters.created_before, source_sid=filters.source_sid
        )

    def _room_of_track(self, source_sid: str) -> int | None:
        number = self.account.track_sids.number(source_sid)
        return None if number is None else split_number(number)[0]

    def _room_of_group(self, grouping_sid: str) -> int | None:
        """Return the index of the room that a grouping SID names, or that its participant was in."""
        room = self.account.find_room(grouping_sid)
        if room is not None:
            return room.index
        number = self.account.participant_sids.number(grouping_sid)
        return None if number is None else split_number(number)[0]


def _only_room(rooms: range, index: int | None) -> range:
    if index is None or index not in rooms:
        return range(0)
    return range(index, index + 1)
