"""Who the participants of rooms are: the identities that the application gave them."""

from __future__ import annotations

from typing import Protocol

from roomrec_async.models import Participant, ParticipantStatus

from .pager import Pager


class ListParticipants(Protocol):
    """Lists the participants of a room, as :meth:`roomrec_async.RecordingsClient.participants` does."""

    def __call__(self, room_sid: str, /, *, status: ParticipantStatus | None = None) -> Pager[Participant]: ...


async def list_identities(list_participants: ListParticipants, room_sid: str) -> dict[str, str]:
    """Return the identities of a room's participants by their SIDs.

    Args:
        list_participants: lists them.
        room_sid: the room.

    Raises:
        RoomRecError: they could not be listed.
    """
    participants = await list_participants(room_sid).to_list()
    # Of a room in progress, the list has only those who are connected.
    if not participants or any(each.status != ParticipantStatus.DISCONNECTED for each in participants):
        participants += await list_participants(room_sid, status=ParticipantStatus.DISCONNECTED).to_list()
    return {each.sid: each.identity for each in participants if each.sid and each.identity}
