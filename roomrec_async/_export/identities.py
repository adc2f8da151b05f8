"""The identities of the participants whose recordings a unit writes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractContextManager, aclosing

import attrs

from roomrec_async._asyncio import map_concurrently
from roomrec_async._listing.identities import ListParticipants, list_identities
from roomrec_async._media.delete import is_unknown
from roomrec_async._validate import canonical_sid
from roomrec_async.errors import AuthenticationError, RoomRecError
from roomrec_async.models import Recording


class UnfinishedError(Exception):
    """Ends the writing of a part that would lack something of some rooms."""


@attrs.frozen
class Identities:
    """Looks up the identities of participants: each room once.

    Attributes:
        list_participants: lists the participants of a room.
        limit: returns how many rooms may be asked for at once.
        scope: returns a block that ends when the client is closed.
        failed: gets error messages by the SID of a room whose participants could not be listed.
    """

    list_participants: ListParticipants
    limit: Callable[[], int]
    scope: Callable[[], AbstractContextManager[object]]
    failed: dict[str, str]
    _by_participant: dict[str, str] = attrs.field(factory=dict)
    _rooms: set[str] = attrs.field(factory=set)

    async def find(self, recordings: Iterable[Recording]) -> dict[str, str]:
        """Return the identities of participants by SID, among them those of some recordings.

        Raises:
            UnfinishedError: the participants of a room could not be listed.
            AuthenticationError: the credentials were refused.
        """
        rooms = {canonical_sid(each.room_sid) for each in recordings if each.room_sid and each.participant_sid}
        new = sorted(rooms - self._rooms)
        self._rooms.update(new)

        async def source() -> AsyncGenerator[str, None]:
            for room_sid in new:
                yield room_sid

        async with aclosing(map_concurrently(source(), self._list, self.limit, self.scope())) as found:
            async for identities in found:
                self._by_participant.update(identities)
        if self.failed:
            raise UnfinishedError
        return self._by_participant

    async def _list(self, room_sid: str) -> AsyncGenerator[dict[str, str], None]:
        try:
            yield await list_identities(self.list_participants, room_sid)
        except AuthenticationError:
            raise
        except RoomRecError as error:
            # Nobody knows those of a room that the service does not know any more.
            if not is_unknown(error):
                self.failed[room_sid] = str(error)
