"""Records of the API as typed values: every field of the reference, and those that only its example has.

Nothing here knows how a response is decoded; see :mod:`roomrec_async._api.codec`.
"""

import sys
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

import attrs
import msgspec

from ._struct import field, frozen_struct
from .errors import RoomRecError

# A plain datetime for type checkers. The marker makes the strict decoder refuse naive ones.
AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]


class OpenEnum(StrEnum):
    """String enum that ignores case and accepts unknown values.

    An unknown value becomes a member that is equal to its string, but not listed in the class. A value that the
    service adds later breaks no list.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        for member in cls:
            if member.value.casefold() == value.casefold():
                return member

        # Not entered into the class, where values that a service makes up without end would fill the memory.
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = value
        return unknown

    if not TYPE_CHECKING:
        # Only pydantic calls these, and needs what they import.

        @classmethod
        def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
            from ._pydantic import enum_schema  # noqa: PLC0415

            return enum_schema(cls)

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> object:
            from ._pydantic import enum_json_schema  # noqa: PLC0415

            return enum_json_schema(cls)

    def __repr__(self) -> str:
        # The name of an unknown value is text from the service, which may have line breaks: only its repr is shown.
        name = f".{self._name_}: " if self.is_known else ": "
        return f"<{type(self).__name__}{name}{self.value!r}>"

    @property
    def is_known(self) -> bool:
        """True if this value is one of those that the reference lists."""
        return type(self).__members__.get(self._name_) is self


class RecordingStatus(OpenEnum):
    """Status of a recording, as the reference lists it."""

    PROCESSING = "processing"
    """Recording that is still being captured."""
    COMPLETED = "completed"
    """Recording that is available for download."""
    DELETED = "deleted"
    """Recording whose media were deleted; its metadata stay for 30 days."""
    FAILED = "failed"


class MediaType(OpenEnum):
    """Media type of a recording: ``type`` in the reference."""

    AUDIO = "audio"
    VIDEO = "video"
    DATA = "data"


class ContainerFormat(OpenEnum):
    """Container of the media: Matroska audio or Matroska video."""

    MKA = "mka"
    MKV = "mkv"


class Codec(OpenEnum):
    """Codec of the media. The reference's own example says ``opus``, which is ``Codec.OPUS`` here."""

    VP8 = "VP8"
    H264 = "H264"
    OPUS = "OPUS"
    PCMU = "PCMU"


class RoomStatus(OpenEnum):
    """Status of a room, as the published description lists it."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    FAILED = "failed"


class RoomType(OpenEnum):
    """Type of a room, as the published description lists it."""

    GO = "go"
    PEER_TO_PEER = "peer-to-peer"
    GROUP = "group"
    GROUP_SMALL = "group-small"


class ParticipantStatus(OpenEnum):
    """Status of a participant, as the published description lists it."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    RECONNECTING = "reconnecting"


def _add_case_variants(enum: type[OpenEnum]) -> None:
    """Add other spellings of its values to an enum's value map.

    A value in that map is decoded in about 25 ns, one that needs ``_missing_`` in microseconds: with the ``opus`` of
    the reference's example, that would double the cost of a record.
    """
    for member in list(enum):
        for variant in {member.value.lower(), member.value.upper(), member.value.capitalize()} - {member.value}:
            if sys.version_info >= (3, 13):
                member._add_value_alias_(variant)
            else:
                # What _add_value_alias_ does, for Pythons that do not have it yet.
                enum._value2member_map_[variant] = member


for _enum in (RecordingStatus, MediaType, ContainerFormat, Codec, RoomStatus, RoomType, ParticipantStatus):
    _add_case_variants(_enum)


@frozen_struct(kw_only=True)
class Recording:
    """One recording of a single track (reference: "List room recording", response attributes).

    Every field is None where the service sent null or nothing. Dates are aware. The values of the two maps are as the
    service sent them; the reference does not type them.
    """

    # In the order of the reference's example: the strict decoder looks for each field behind the one before.

    sid: str | None = None
    """SID of the recording, ``RT`` and 32 hexadecimal digits."""
    url: str | None = None
    """Absolute URL of this resource."""
    size: int | None = None
    """Size of the recorded track in bytes."""
    type: MediaType | None = None
    codec: Codec | None = None
    links: Mapping[str, object] | None = field(default=None, hash=False)
    """URLs of related resources: ``media``."""
    offset: int | None = None
    """Milliseconds from an instant that all group rooms share to the start of the room. Synchronizes recordings."""
    status: RecordingStatus | None = None
    duration: int | None = None
    """Duration in whole seconds; 1 for anything shorter."""
    room_sid: str | None = None
    """SID of the room, ``RM`` and 32 hexadecimal digits."""
    source_sid: str | None = None
    """SID of the track that was recorded, ``MT`` and 32 hexadecimal digits."""
    track_name: str | None = None
    """Name that the participant's program gave the track; the source SID if it gave none. Untrusted text."""
    account_sid: str | None = None
    date_created: AwareDatetime | None = None
    date_deleted: AwareDatetime | None = None
    date_updated: AwareDatetime | None = None
    grouping_sids: Mapping[str, object] | None = field(default=None, hash=False)
    """SIDs of what this recording belongs to: ``room_sid`` and ``participant_sid``."""
    encryption_key: str | None = None
    """Name of the public key that the media were encrypted with."""
    container_format: ContainerFormat | None = None
    media_external_location: str | None = None
    """URL of the media, if the account stores them in a bucket of its own."""

    @property
    def participant_sid(self) -> str | None:
        """SID of the participant whose track this is, from :attr:`grouping_sids`."""
        return _string_value(self.grouping_sids, "participant_sid")

    @property
    def media_url(self) -> str | None:
        """URL that leads to the media: the ``media`` link, or else the one below :attr:`url`."""
        link = _string_value(self.links, "media")
        if link:
            return link
        if self.url:
            return f"{self.url}/Media"
        return None


@frozen_struct(kw_only=True)
class Room:
    """One room (published description, ``video.v1.room``).

    Every field is None where the service sent null or nothing. Dates are aware.
    """

    sid: str | None = None
    account_sid: str | None = None
    unique_name: str | None = None
    """Name that the application gave the room; unique among the rooms in progress. Untrusted text."""
    status: RoomStatus | None = None
    type: RoomType | None = None
    date_created: AwareDatetime | None = None
    date_updated: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    duration: int | None = None
    """Duration in seconds."""
    max_participants: int | None = None
    """Maximum number of participants at the same time."""
    max_participant_duration: int | None = None
    """Maximum number of seconds that a participant can be connected."""
    max_concurrent_published_tracks: int | None = None
    """Maximum number of tracks that all participants together can publish at the same time; 0 for no limit."""
    empty_room_timeout: int | None = None
    """Minutes that the room stays active after the last participant has left."""
    unused_room_timeout: int | None = None
    """Minutes that the room stays active if nobody joins."""
    record_participants_on_connect: bool | None = None
    """True if participants are recorded from the moment that they connect."""
    audio_only: bool | None = None
    """True if participants can publish no video."""
    large_room: bool | None = None
    enable_turn: bool | None = None
    """True always; deprecated by the provider."""
    video_codecs: tuple[Codec, ...] | None = None
    media_region: str | None = None
    """Region of the room's media server."""
    status_callback: str | None = None
    """URL that the service calls on every event of the room."""
    status_callback_method: str | None = None
    """HTTP method of these calls: ``POST`` or ``GET``."""
    url: str | None = None
    """Absolute URL of this resource."""
    links: Mapping[str, object] | None = field(default=None, hash=False)
    """URLs of related resources."""


@frozen_struct(kw_only=True)
class Participant:
    """One participant of a room (published description, ``video.v1.room.room_participant``).

    Every field is None where the service sent null or nothing. Dates are aware.
    """

    account_sid: str | None = None
    room_sid: str | None = None
    """SID of the room, ``RM`` and 32 hexadecimal digits."""
    date_created: AwareDatetime | None = None
    date_updated: AwareDatetime | None = None
    start_time: AwareDatetime | None = None
    """Date at which the participant connected."""
    end_time: AwareDatetime | None = None
    """Date at which the participant disconnected; None for one who is connected."""
    sid: str | None = None
    """SID of the participant, ``PA`` and 32 hexadecimal digits: the ``participant_sid`` of their recordings."""
    identity: str | None = None
    """Name that the application gave the participant in the access token. Untrusted text."""
    status: ParticipantStatus | None = None
    url: str | None = None
    """Absolute URL of this resource."""
    duration: int | None = None
    """Seconds for which the participant was connected; None for one who still is."""
    links: Mapping[str, object] | None = field(default=None, hash=False)
    """URLs of related resources."""


@frozen_struct(kw_only=True)
class PageMeta:
    """Metadata of a page: its ``meta`` block."""

    key: str | None = None
    """Name of the list in the body: ``recordings``, ``rooms`` or ``participants``."""
    page: int | None = None
    """Index of the page, from 0."""
    page_size: int | None = None
    url: str | None = None
    first_page_url: str | None = None
    previous_page_url: str | None = None
    next_page_url: str | None = None
    """URL of the next page; None on the last page only. A page in the middle of a list may be empty."""


Model = TypeVar("Model", Recording, Room, Participant)
"""Record of a list."""


@attrs.frozen
class RoomResult:
    """Result of listing one room of many.

    Attributes:
        room_sid: SID of the room.
        recordings: recordings of the room; if there is an error, those before it.
        error: error that ended the list early, or None. Its ``resume_token`` resumes it after :attr:`recordings`.
    """

    room_sid: str
    recordings: list[Recording]
    error: RoomRecError | None = None


def _string_value(mapping: Mapping[str, object] | None, key: str) -> str | None:
    """Return a value of an untyped map if it is a string, else None."""
    if not mapping:
        return None
    value = mapping.get(key)
    if not isinstance(value, str):
        return None
    return value
