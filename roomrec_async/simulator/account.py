"""The account's data: rooms and recordings computed from a seed, so that a million of them cost no memory.

Nothing is stored. A SID is a keyed hash of a number together with that number, masked: it looks random, leads back to
its number without a table, and one that was not made here is recognised. The rest of a record is drawn from its hash.
"""

from __future__ import annotations

import json
import math
import re
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final, overload

import attrs

from roomrec_async.credentials import Credentials
from roomrec_async.errors import InvalidArgumentError

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The beginning of the account's one year. Instants in this module are whole seconds from here."""

_SECOND = timedelta(seconds=1)
_HOUR, _DAY = 3_600, 86_400
_LAST_START = 320 * _DAY
_LONGEST_ROOM = 30 * _DAY
_LONGEST_RECORDING = 4 * _HOUR
_RETENTION = 10 * _DAY
_REPEATED_FROM = 4

_64_BITS = 2**64 - 1
_32_BITS = 2**32 - 1
# Odd numbers near 2**64 and 2**32 divided by the golden ratio: multiples of them are spread evenly.
_SPREAD_64 = 0x9E3779B97F4A7C15
_SPREAD_32 = 0x9E3779B1

_WORDS = struct.Struct(">4Q")
_SID_DIGITS = re.compile(r"[0-9a-f]{32}")

_ROOM_STATUSES = ("completed",) * 27 + ("in-progress",) * 4 + ("failed",)
_STATUSES = ("completed",) * 58 + ("processing",) * 4 + ("failed",) * 2
_AUDIO_CODECS = ("OPUS",) * 5 + ("opus", "opus", "PCMU")
_VIDEO_CODECS = ("VP8",) * 6 + ("H264",) * 2
_TRACK_NAMES = tuple(
    json.dumps(name)
    for name in (
        "microphone",
        "camera",
        "screen",
        "A name",
        "Kamera Zoë",
        "микрофон",
        "麦克风",
        "🎤 main stage",
        'the "quiet" one',
        "slash/back\\slash",
        "مكبر الصوت",
        "track-0",
    )
)
_ROOM_TYPES = ("group",) * 6 + ("group-small", "go")
_REGIONS = ("us1", "us1", "ie1", "de1", "sg1", "jp1", "au1", "br1")
_NAMED_ROOM = re.compile(r"daily-standup-([0-9]{1,12})")

_RECORDING = (
    '{"sid":"%%s","url":"%(list)s/%%s","size":%%s,"type":"%%s","codec":"%%s",'
    '"links":{"media":"%(list)s/%%s/Media"},"offset":%%d,"status":"%%s","duration":%%s,'
    '%(own_room)s"source_sid":"%%s","track_name":%%s,"account_sid":"%(account_sid)s",'
    '"date_created":"%%s","date_deleted":%%s,"date_updated":"%%s",'
    '"grouping_sids":{"room_sid":"%(room_sid)s","participant_sid":"%%s"},"encryption_key":%(encryption_key)s,'
    '"container_format":"%%s","media_external_location":%%s}'
)


class SidFamily:
    """The SIDs of one kind, such as ``RT``: each stands for a number below 2**64.

    Args:
        prefix: the two letters.
        key: up to 64 bytes; other bytes, other SIDs.
    """

    def __init__(self, prefix: str, key: bytes) -> None:
        self.prefix = prefix
        self._hash = blake2b(prefix.encode(), key=key, digest_size=_WORDS.size)

    def words(self, number: int) -> tuple[int, int, int, int]:
        """Four numbers of 64 bits drawn for ``number``. The first is in its SID, the others are free to use."""
        keyed = self._hash.copy()
        keyed.update(number.to_bytes(8, "big"))
        return _WORDS.unpack(keyed.digest())

    def sid(self, number: int) -> str:
        """The SID of a number."""
        return self.sid_from(number, self.words(number)[0])

    def sid_from(self, number: int, first_word: int) -> str:
        """The SID of a number whose :meth:`words` are at hand."""
        return f"{self.prefix}{first_word:016x}{number ^ _mask(first_word):016x}"

    def number(self, sid: str) -> int | None:
        """The number of a SID; None if it is malformed or not one of these."""
        if not sid.startswith(self.prefix) or not _SID_DIGITS.fullmatch(sid, len(self.prefix)):
            return None
        first_word = int(sid[-32:-16], 16)
        number = int(sid[-16:], 16) ^ _mask(first_word)
        return number if self.words(number)[0] == first_word else None


@attrs.frozen(kw_only=True)
class RoomData:
    """One room: what is drawn for the room itself, and its recordings by their index in it."""

    world: World
    index: int
    sid: str
    unique_name: str
    status: str
    type: str
    media_region: str
    started: int
    lasted: int
    shown: int
    """How many recordings a list without a filter shows."""
    total: int
    """The same with the deleted ones."""
    tracks: int
    """How many tracks were recorded; fewer than the recordings where recording was paused and taken up again."""
    salt: int
    encryption_key: str | None
    bucket: str | None

    @property
    def ended(self) -> int | None:
        """When the room ended; None while it is in progress."""
        return None if self.status == "in-progress" else self.started + self.lasted

    def created(self, index: int) -> int:
        """When a recording began. Never earlier than the one before it: the two tracks of a pair begin together."""
        pair, pairs = index // 2, (self.total + 1) // 2
        jitter = pair * _SPREAD_32 % (self.lasted // pairs + 1)
        return self.started + pair * self.lasted // pairs + jitter

    def recording_status(self, index: int) -> str:
        """The ``status`` of a recording, without computing the rest of it."""
        deleted = (index * (self.total - self.shown) + self.salt) % self.total < self.total - self.shown
        if deleted or self.index << 32 | index in self.world.deletions:
            return "deleted"
        return _STATUSES[((index + self.salt) * _SPREAD_32 >> 16) % len(_STATUSES)]

    def candidates(
        self, *, created_from: datetime | None, created_before: datetime | None, source_sid: str | None
    ) -> range:
        """The indices of the recordings that these filters leave, oldest first; a status is not looked at."""
        found = range(self.total) if source_sid is None else self._of_track(source_sid)
        return _between(found, self.created, created_from, created_before)

    def recording_index(self, sid: str) -> int | None:
        """The index of a recording of this room; None for any other SID."""
        number = self.world.recording_sids.number(sid)
        if number is None or number >> 32 != self.index or number & _32_BITS >= self.total:
            return None
        return number & _32_BITS

    def recording_sid(self, index: int) -> str:
        """The SID of a recording."""
        return self.world.recording_sids.sid(self.index << 32 | index)

    def recording_type(self, index: int) -> str:
        """The ``type`` of a recording."""
        return self._kind(index)[0]

    def container(self, index: int) -> str:
        """The ``container_format`` of a recording."""
        return self._kind(index)[2]

    def participant_sid(self, index: int) -> str:
        """The participant whose track was recorded."""
        return self.world.participant_sids.sid(self.index << 32 | index % self.tracks // 2)

    def has_media(self, index: int) -> bool:
        """Whether the provider stores the media of a recording."""
        return self.recording_status(index) == "completed" and self.bucket is None

    def media_size(self, index: int) -> int:
        """How many bytes the media of a completed recording have."""
        _, draw, small, _ = self.world.recording_sids.words(self.index << 32 | index)
        return self._size(self.recording_type(index), self._lasted(index, draw), small)

    def delete(self, index: int, now: int) -> None:
        """Delete a recording's media, at this instant or at its end, whichever is later."""
        _, draw, _, _ = self.world.recording_sids.words(self.index << 32 | index)
        ended = self.created(index) + self._lasted(index, draw)
        self.world.deletions[self.index << 32 | index] = max(now, ended)

    def recordings_json(self, indices: Sequence[int], base_url: str, *, of_account: bool = False) -> list[str]:
        """Recordings as compact JSON, with URLs below ``base_url``: as the room lists them, or as the account does."""
        path = "/v1/Recordings" if of_account else f"/v1/Rooms/{self.sid}/Recordings"
        template = _RECORDING % {
            "list": f"{base_url}{path}".replace("%", "%%"),
            "own_room": "" if of_account else f'"room_sid":"{self.sid}",',
            "room_sid": self.sid,
            "account_sid": self.world.account_sid,
            "encryption_key": json.dumps(self.encryption_key),
        }
        return [template % self._fields(index) for index in indices]

    def to_dict(self, base_url: str) -> dict[str, object]:
        """The room itself, as ``GET /v1/Rooms/{Sid}`` answers."""
        url = f"{base_url}/v1/Rooms/{self.sid}"
        ended = self.ended
        return {
            "sid": self.sid,
            "status": self.status,
            "date_created": _iso(self.started),
            "date_updated": _iso(self.started if ended is None else ended),
            "account_sid": self.world.account_sid,
            "type": self.type,
            "enable_turn": True,
            "unique_name": self.unique_name,
            "status_callback": None,
            "status_callback_method": "POST",
            "end_time": None if ended is None else _iso(ended),
            "duration": None if ended is None else self.lasted,
            "max_participants": 50,
            "max_participant_duration": 4 * _HOUR,
            "max_concurrent_published_tracks": 170,
            "record_participants_on_connect": True,
            "video_codecs": ["VP8", "H264"],
            "media_region": self.media_region,
            "audio_only": False,
            "empty_room_timeout": 5,
            "unused_room_timeout": 5,
            "large_room": False,
            "url": url,
            "links": {
                "participants": f"{url}/Participants",
                "recordings": f"{url}/Recordings",
                "transcriptions": f"{url}/Transcriptions",
                "recording_rules": f"{url}/RecordingRules",
            },
        }

    def _kind(self, index: int) -> tuple[str, str, str]:
        track = index % self.tracks
        return _kind(track, self.world.track_sids.words(self.index << 32 | track)[1])

    def _lasted(self, index: int, draw: int) -> int:
        return 1 + draw % max(1, min(self.started + self.lasted - self.created(index), _LONGEST_RECORDING))

    def _size(self, kind: str, lasted: int, draw: int) -> int:
        bounds = self.world.media_size
        if bounds is not None:
            return bounds[0] + draw % (bounds[1] - bounds[0] + 1)
        bytes_per_second = 125_000 if kind == "video" else 4_000
        return lasted * bytes_per_second + draw % bytes_per_second

    def _deleted(self, number: int, drawn: int) -> int:
        return self.world.deletions.get(number, drawn)

    def _of_track(self, source_sid: str) -> range:
        number = self.world.track_sids.number(source_sid)
        if number is None or number >> 32 != self.index or number & _32_BITS >= self.tracks:
            return range(0)
        return range(number & _32_BITS, self.total, self.tracks)

    def _fields(self, index: int) -> tuple[object, ...]:
        """What :data:`_RECORDING` leaves open, in its order."""
        room = self.index << 32
        number, track = room | index, index % self.tracks
        first, draw, small, _ = self.world.recording_sids.words(number)
        sid = self.world.recording_sids.sid_from(number, first)
        track_first, track_draw, _, _ = self.world.track_sids.words(room | track)
        source_sid = self.world.track_sids.sid_from(room | track, track_first)
        kind, codec, container = _kind(track, track_draw)
        status, created = self.recording_status(index), self.created(index)
        lasted = self._lasted(index, draw)
        deleted = self._deleted(number, created + lasted + small % _RETENTION) if status == "deleted" else None
        size, duration = _extent(status, self._size(kind, lasted, small), lasted)
        named = track_draw >> 16 & 1
        return (
            sid,
            sid,
            size,
            kind,
            codec,
            sid,
            created * 1_000 + small % 1_000,
            status,
            duration,
            source_sid,
            _TRACK_NAMES[(track_draw >> 20) % len(_TRACK_NAMES)] if named else f'"{source_sid}"',
            _iso(created),
            "null" if deleted is None else f'"{_iso(deleted)}"',
            _iso(created + lasted if deleted is None else deleted),
            self.world.participant_sids.sid(room | track // 2),
            container,
            "null" if self.bucket is None else f'"{self.bucket}/{sid}.{container}"',
        )


class World:
    """One account: its rooms, their recordings and its credentials, all of them functions of the seed.

    Args:
        seed: the same seed gives the same account, to the byte.
        rooms: how many rooms the account has.
        recordings_per_room: how many recordings a list without a filter shows for each room: a number, or the
            smallest and the largest number. The deleted ones come on top, about one in nine.
        media_size: how many bytes the media of each recording have: a number, or the smallest and the largest number.
            By default as many as tracks of their length have, up to gigabytes.

    Attributes:
        deletions: what was deleted through the API: the number of each recording, and when.

    Raises:
        InvalidArgumentError: a number is negative or beyond 2**31, or the bounds are the wrong way round.
    """

    def __init__(
        self,
        seed: int = 0,
        rooms: int = 20,
        recordings_per_room: int | tuple[int, int] = (0, 120),
        media_size: int | tuple[int, int] | None = None,
    ) -> None:
        low, high = _bounds(recordings_per_room)
        if not 0 <= rooms <= 2**31:
            raise InvalidArgumentError(f"rooms must lie between 0 and 2**31, not {rooms}")
        if not 0 <= low <= high <= 2**31:
            raise InvalidArgumentError(
                f"recordings_per_room must lie between 0 and 2**31, or be two such bounds, not {recordings_per_room!r}"
            )
        if media_size is not None and not 0 <= _bounds(media_size)[0] <= _bounds(media_size)[1]:
            raise InvalidArgumentError(f"media_size must be a number of bytes, or two such bounds, not {media_size!r}")
        self.rooms = rooms
        self.media_size = None if media_size is None else _bounds(media_size)
        self.deletions: dict[int, int] = {}
        self._low, self._choices = low, high - low + 1
        self.secret = blake2b(str(seed).encode(), digest_size=32, person=b"roomrec").digest()
        self.account_sid = f"AC{self._secret_text('account')}"
        self.credentials = Credentials(self.account_sid, self._secret_text("token"))
        self.api_key_credentials = Credentials.api_key(
            self.account_sid, f"SK{self._secret_text('key')}", self._secret_text("key secret")
        )
        self._room_sids = SidFamily("RM", self.secret)
        self.recording_sids = SidFamily("RT", self.secret)
        self.track_sids = SidFamily("MT", self.secret)
        self.participant_sids = SidFamily("PA", self.secret)

    @property
    def room_sids(self) -> LazyRoomSids:
        """The SIDs of all rooms, oldest first."""
        return LazyRoomSids(self._room_sids, range(self.rooms))

    def find_room(self, sid: str) -> RoomData | None:
        """The room with this SID; None if there is none."""
        index = self._room_sids.number(sid)
        return None if index is None or index >= self.rooms else self.room(index)

    def find_recording(self, sid: str) -> tuple[RoomData, int] | None:
        """The room of this recording and its index there; None if there is none."""
        number = self.recording_sids.number(sid)
        if number is None or number >> 32 >= self.rooms:
            return None
        room = self.room(number >> 32)
        return (room, number & _32_BITS) if number & _32_BITS < room.total else None

    def room(self, index: int) -> RoomData:
        """The room at this index in :attr:`room_sids`."""
        first, draw, traits, salt = self._room_sids.words(index)
        sid = self._room_sids.sid_from(index, first)
        shown = self._low + draw % self._choices
        total = shown + (shown + draw % 9) // 9
        repeated = total >= _REPEATED_FROM and traits & 3 == 0
        return RoomData(
            world=self,
            index=index,
            sid=sid,
            unique_name=f"daily-standup-{index}" if traits >> 2 & 1 else sid,
            status=_ROOM_STATUSES[(traits >> 8) % len(_ROOM_STATUSES)],
            type=_ROOM_TYPES[(traits >> 16) % len(_ROOM_TYPES)],
            media_region=_REGIONS[(traits >> 24) % len(_REGIONS)],
            started=self.room_started(index),
            lasted=min(max(600 + (traits >> 32) % (4 * _HOUR), 2 * total), _LONGEST_ROOM),
            shown=shown,
            total=total,
            # An even number, so that the two tracks of a pair stay together.
            tracks=(total // 3 + 1) & ~1 if repeated else max(total, 1),
            salt=salt & _32_BITS,
            encryption_key=f"CR{self._secret_text(f'encryption {index % 7}')}" if traits >> 4 & 15 == 0 else None,
            bucket="https://example-recordings.s3.amazonaws.com/twilio" if traits >> 12 & 15 == 0 else None,
        )

    def room_started(self, index: int) -> int:
        """When a room was created; never earlier than the one before it."""
        jitter = index * _SPREAD_32 % (_LAST_START // self.rooms + 1)
        return index * _LAST_START // self.rooms + jitter

    def room_candidates(
        self, *, created_from: datetime | None, created_before: datetime | None, unique_name: str | None
    ) -> range:
        """The indices of the rooms that these filters leave, oldest first; a status is not looked at."""
        found = range(self.rooms) if unique_name is None else self._named(unique_name)
        return _between(found, self.room_started, created_from, created_before)

    def rooms_under_way(self, start: datetime | None, end: datetime | None) -> range:
        """The indices of the rooms that may have recordings from ``start`` to before ``end``, and of few others."""
        longest = min(max(600 + 4 * _HOUR, 4 * (self._low + self._choices)), _LONGEST_ROOM)
        earliest = None if start is None else max(start, EPOCH) - timedelta(seconds=longest)
        # Of a million rooms without recordings, none is looked at.
        recorded = range(self.rooms if self._low + self._choices > 1 else 0)
        return _between(recorded, self.room_started, earliest, end)

    def _named(self, unique_name: str) -> range:
        match = _NAMED_ROOM.fullmatch(unique_name)
        index = int(match[1]) if match else self._room_sids.number(unique_name)
        if index is None or index >= self.rooms or self.room(index).unique_name != unique_name:
            return range(0)
        return range(index, index + 1)

    def _secret_text(self, purpose: str) -> str:
        return blake2b(purpose.encode(), key=self.secret, digest_size=16).hexdigest()


class LazyRoomSids(Sequence[str]):
    """The SIDs of an account's rooms, each made when it is asked for: a million of them take no room in memory."""

    def __init__(self, family: SidFamily, numbers: range) -> None:
        self._family = family
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> LazyRoomSids: ...
    def __getitem__(self, index: int | slice) -> str | LazyRoomSids:
        if isinstance(index, slice):
            return LazyRoomSids(self._family, self._numbers[index])
        return self._family.sid(self._numbers[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._family.sid, self._numbers)

    def __contains__(self, sid: object) -> bool:
        return isinstance(sid, str) and self._family.number(sid) in self._numbers

    def index(self, sid: object, start: int = 0, stop: int | None = None) -> int:
        """The position of a SID, found without looking at the others.

        Raises:
            ValueError: it is not there, or not between ``start`` and ``stop``.
        """
        number = self._family.number(sid) if isinstance(sid, str) else None
        if number is None or number not in self._numbers[start:stop]:
            raise ValueError(f"{sid!r} is not here")
        return self._numbers.index(number)

    def __repr__(self) -> str:
        return f"<{len(self)} room SIDs>"


def _bounds(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _mask(first_word: int) -> int:
    return (first_word * _SPREAD_64 >> 32) & _64_BITS


def _between(indices: range, created: Callable[[int], int], start: datetime | None, end: datetime | None) -> range:
    # Instants are whole seconds, so that both bounds are rounded up: what begins at a bound is in after the first
    # one and out after the second.
    low = 0 if start is None else bisect_left(indices, math.ceil((start - EPOCH) / _SECOND), key=created)
    high = len(indices) if end is None else bisect_left(indices, math.ceil((end - EPOCH) / _SECOND), key=created)
    return indices[low:high]


def _kind(track: int, draw: int) -> tuple[str, str, str]:
    """Type, codec and container of a track. A participant's first track is audio, the second video or, rarely, data."""
    if track % 2 == 0:
        return "audio", _AUDIO_CODECS[draw % len(_AUDIO_CODECS)], "mka"
    if draw >> 8 & 15 == 0:
        return "data", "OPUS", "mka"
    return "video", _VIDEO_CODECS[draw % len(_VIDEO_CODECS)], "mkv"


def _extent(status: str, size: int, lasted: int) -> tuple[str, str]:
    """Size and duration, as JSON."""
    if status == "processing":
        return "null", "null"
    if status == "failed":
        return "0", "0"
    return str(size), str(lasted)


@lru_cache(maxsize=366)
def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()


def _iso(instant: int) -> str:
    day, rest = divmod(instant, _DAY)
    return f"{_date(day)}T{rest // _HOUR:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"
