"""The participants of a simulated room: who the tracks of its recordings belong to."""

from __future__ import annotations

from typing import Final

import attrs

from .account import RoomData
from .derivation import format_instant
from .sids import join_number

# Applications name people as they like: other scripts, spaces, an address, and what a page must not take for markup.
_IDENTITIES: Final = (
    "alice",
    "Zoë Müller",
    "bob@example.com",
    "Анна",
    "李雷",
    "ليلى",
    "<b>Dr. O'Neil & Sons</b>",
    "user_8f14e45f",
)
# A participant has two tracks, which begin together.
_TRACKS: Final = 2


@attrs.frozen
class ParticipantData:
    """One participant of a room.

    Attributes:
        room: the room.
        index: index among the room's participants, in the order in which they connected.
    """

    room: RoomData
    index: int

    @property
    def identity(self) -> str:
        """Name that the application gave the participant; unique within the room."""
        turn, name = divmod(self.index, len(_IDENTITIES))
        return f"{_IDENTITIES[name]} {turn + 1}" if turn else _IDENTITIES[name]

    @property
    def connected(self) -> int:
        """Instant at which the participant connected: when their first recording began."""
        return self.room.recording_created(_TRACKS * self.index)

    @property
    def status(self) -> str:
        """Status of the participant: everyone stays until the room ends."""
        return "connected" if self.room.ended is None else "disconnected"

    def to_dict(self, base_url: str) -> dict[str, object]:
        """Return the participant as the API has it, with URLs below ``base_url``."""
        account = self.room.account
        sid = account.participant_sids.sid(join_number(self.room.index, self.index))
        url = f"{base_url}/v1/Rooms/{self.room.sid}/Participants/{sid}"
        started = format_instant(self.connected)
        ended = None if self.room.ended is None else format_instant(self.room.ended)
        return {
            "account_sid": account.account_sid,
            "room_sid": self.room.sid,
            "date_created": started,
            "date_updated": ended or started,
            "start_time": started,
            "end_time": ended,
            "sid": sid,
            "identity": self.identity,
            "status": self.status,
            "url": url,
            "duration": None if self.room.ended is None else self.room.ended - self.connected,
            "links": {
                "published_tracks": f"{url}/PublishedTracks",
                "subscribed_tracks": f"{url}/SubscribedTracks",
                "subscribe_rules": f"{url}/SubscribeRules",
                "anonymize": f"{url}/Anonymize",
            },
        }


def participant_count(room: RoomData) -> int:
    """Return the number of a room's participants; nobody came to a room without recordings."""
    if not room.total_count:
        return 0
    return (room.track_count + 1) // _TRACKS
