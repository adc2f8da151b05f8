"""Recordings and rooms as typed values: every field of the reference, and the extra ones of its example.

Nothing here knows how a response is decoded; see :mod:`roomrec_async._api.codec`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self, TypeVar

import attrs
import msgspec

from .errors import RoomRecError

# To a type checker a plain datetime. The marker says that a naive one does not count as one.
AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]


class OpenEnum(StrEnum):
    """A string enum that ignores case and keeps a value that it does not know.

    An unknown value becomes a member of its own kind, equal to its string, that is not listed in the class: a value
    that the service adds tomorrow does not break a list today.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        for member in cls:
            if member.value.casefold() == value.casefold():
                return member
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = value
        return unknown

    def __repr__(self) -> str:
        # The name of an unknown value is what the service sent, line breaks and all.
        name = f".{self._name_}: " if self.is_known else ": "
        return f"<{type(self).__name__}{name}{self.value!r}>"

    @property
    def is_known(self) -> bool:
        """Whether this value is one of those that the reference lists."""
        return type(self).__members__.get(self._name_) is self


class RecordingStatus(OpenEnum):
    """The reference's ``status`` of a recording."""

    PROCESSING = "processing"
    """Still being captured."""
    COMPLETED = "completed"
    """Captured, and available for download."""
    DELETED = "deleted"
    """The media are gone; the metadata stay for 30 days."""
    FAILED = "failed"


class MediaType(OpenEnum):
    """The reference's ``type`` of a recording."""

    AUDIO = "audio"
    VIDEO = "video"
    DATA = "data"


class ContainerFormat(OpenEnum):
    """The reference's ``container_format``: Matroska audio or Matroska video."""

    MKA = "mka"
    MKV = "mkv"


class Codec(OpenEnum):
    """The reference's ``codec``. Its own example writes ``opus``, which is :attr:`OPUS` here."""

    VP8 = "VP8"
    H264 = "H264"
    OPUS = "OPUS"
    PCMU = "PCMU"


class RoomStatus(OpenEnum):
    """The published description's ``status`` of a room."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    FAILED = "failed"


class RoomType(OpenEnum):
    """The published description's ``type`` of a room."""

    GO = "go"
    PEER_TO_PEER = "peer-to-peer"
    GROUP = "group"
    GROUP_SMALL = "group-small"


def _enter_case_variants(enum: type[OpenEnum]) -> None:
    """Enter other spellings into the enum's own value map.

    A value found there is decoded in about 25 ns, one that needs ``_missing_`` in microseconds: with the ``opus`` of
    the reference's example, that doubles the cost of a record.
    """
    for member in list(enum):
        for variant in {member.value.lower(), member.value.upper(), member.value.capitalize()} - {member.value}:
            if sys.version_info >= (3, 13):
                member._add_value_alias_(variant)
            else:
                enum._value2member_map_[variant] = member


for _enum in (RecordingStatus, MediaType, ContainerFormat, Codec, RoomStatus, RoomType):
    _enter_case_variants(_enum)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Recording:
    """One recording of a single track (reference: "List room recording", response attributes).

    Every field is None where the service sent null or nothing. Dates are aware. The values of the two maps are what
    the service sent; the reference does not type them.

    The fields are in the order of the reference's example: the decoder looks for each one behind the one before.
    """

    sid: str | None = None
    """The recording's own SID, ``RT`` and 32 hexadecimal digits."""
    url: str | None = None
    """The absolute URL of this resource."""
    size: int | None = None
    """Bytes."""
    type: MediaType | None = None
    codec: Codec | None = None
    links: Mapping[str, object] | None = attrs.field(default=None, hash=False)
    """The URLs of related resources: ``media``."""
    offset: int | None = None
    """Milliseconds from an instant common to all rooms to the start of this track: what puts tracks in sync."""
    status: RecordingStatus | None = None
    duration: int | None = None
    """Whole seconds; 1 for anything shorter."""
    room_sid: str | None = None
    source_sid: str | None = None
    """The SID of the track that was recorded, ``MT`` and 32 hexadecimal digits."""
    track_name: str | None = None
    """What the participant's program named the track; the source SID where it named nothing. Untrusted text."""
    account_sid: str | None = None
    date_created: AwareDatetime | None = None
    date_deleted: AwareDatetime | None = None
    date_updated: AwareDatetime | None = None
    grouping_sids: Mapping[str, object] | None = attrs.field(default=None, hash=False)
    """The SIDs that this recording belongs to: ``room_sid`` and ``participant_sid``."""
    encryption_key: str | None = None
    """The name of the public key that the media were encrypted with."""
    container_format: ContainerFormat | None = None
    media_external_location: str | None = None
    """Where the media are, when the account stores them in a bucket of its own."""

    @property
    def participant_sid(self) -> str | None:
        """The participant whose track this is, from :attr:`grouping_sids`."""
        return _text(self.grouping_sids, "participant_sid")

    @property
    def media_url(self) -> str | None:
        """The URL that leads to the media: the link of that name, else the one below :attr:`url`."""
        below = f"{self.url}/Media" if self.url else None
        return _text(self.links, "media") or below


@attrs.frozen(kw_only=True, weakref_slot=False)
class Room:
    """One room (published description, ``video.v1.room``).

    Every field is None where the service sent null or nothing. Dates are aware.
    """

    sid: str | None = None
    account_sid: str | None = None
    unique_name: str | None = None
    """What the application named the room; unique among the rooms in progress. Untrusted text."""
    status: RoomStatus | None = None
    type: RoomType | None = None
    date_created: AwareDatetime | None = None
    date_updated: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    duration: int | None = None
    """Seconds."""
    max_participants: int | None = None
    max_participant_duration: int | None = None
    """Seconds."""
    max_concurrent_published_tracks: int | None = None
    """0 means unbounded."""
    empty_room_timeout: int | None = None
    """Minutes."""
    unused_room_timeout: int | None = None
    """Minutes."""
    record_participants_on_connect: bool | None = None
    audio_only: bool | None = None
    large_room: bool | None = None
    enable_turn: bool | None = None
    video_codecs: tuple[Codec, ...] | None = None
    media_region: str | None = None
    status_callback: str | None = None
    status_callback_method: str | None = None
    url: str | None = None
    links: Mapping[str, object] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True, weakref_slot=False)
class PageMeta:
    """The ``meta`` block of a page."""

    key: str | None = None
    """The name of the list in the body: ``recordings`` or ``rooms``."""
    page: int | None = None
    """The position of the page, from 0."""
    page_size: int | None = None
    url: str | None = None
    first_page_url: str | None = None
    previous_page_url: str | None = None
    next_page_url: str | None = None
    """Null on the last page, and nowhere else: an empty page may come in the middle of a list."""


Model = TypeVar("Model", Recording, Room)
"""A record of a list."""


@attrs.frozen
class RoomResult:
    """What listing one room of many gave.

    Attributes:
        room_sid: the room.
        recordings: its recordings; where there is an error, those that came before it.
        error: None, or why the list is not complete. Its ``resume_token`` goes on after :attr:`recordings`.
    """

    room_sid: str
    recordings: list[Recording]
    error: RoomRecError | None = None


def _text(mapping: Mapping[str, object] | None, key: str) -> str | None:
    value = mapping.get(key) if mapping else None
    return value if isinstance(value, str) else None
