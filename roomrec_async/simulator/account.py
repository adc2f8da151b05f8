"""The simulated account: rooms and recordings computed from a seed, so that a million of them take no memory.

Nothing is stored but what was deleted. A record is computed when it is asked for, from the hash of its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

import attrs

from roomrec_async._validate import INT64_MAX, check_integer, refusal
from roomrec_async.credentials import Credentials
from roomrec_async.errors import InvalidArgumentError

from .clips import LOOK_COUNT
from .derivation import (
    DAY,
    EPOCH,
    HOUR,
    MAX_DRAWN_ROOM_DURATION,
    MediaTraits,
    TrackFormat,
    draw_duration,
    draw_media_traits,
    draw_ordinary_room_traits,
    draw_retention,
    draw_room_traits,
    draw_size,
    draw_start,
    draw_status,
    format_instant,
    size_and_duration_json,
    slice_by_date,
    spread_evenly,
    track_format,
    track_name_json,
)
from .recorded_track import RecordedTrack
from .sids import LazyRoomSids, SidFamily, join_number, split_number

# Seconds. The last room is created early enough to end, and its recordings to be deleted, within the year.
_LAST_ROOM_CREATED: Final = 320 * DAY
_MAX_ROOM_DURATION: Final = 30 * DAY

# Number of rooms at the beginning in which nothing is out of the ordinary, for whoever tries the simulator; and the
# maximum number of recordings in such a room. With more, it has some of every status as other rooms have.
_ORDINARY_ROOMS: Final = 3
_MAX_ORDINARY_RECORDINGS: Final = 8

# Maximum number of rooms, and of recordings that a room shows.
_MAX_COUNT: Final = 2**31
# Rooms with fewer recordings than that have one recording of each track.
_MIN_RECORDINGS_FOR_PAUSES: Final = 4
# Number of keys that an account encrypts with.
_ENCRYPTION_KEYS: Final = 7
# The account's own bucket, for media that are not stored by the provider.
_BUCKET: Final = "https://example-recordings.s3.amazonaws.com/twilio"
_SALT_MASK: Final = 2**32 - 1

# The provider's defaults. The duration is in seconds, the timeouts are in minutes.
_ROOM_LIMITS: Final = {
    "max_participants": 50,
    "max_participant_duration": 4 * HOUR,
    "max_concurrent_published_tracks": 170,
}
_ROOM_TIMEOUTS: Final = {"empty_room_timeout": 5, "unused_room_timeout": 5}
# The name of half of the rooms: their index is in it, so that a room is found by its name without a search.
_GENERATED_ROOM_NAME = re.compile(r"daily-standup-([0-9]{1,12})")

# Filled in twice: once for all recordings of a room, then for each recording. Much faster than json.dumps.
_RECORDING_TEMPLATE = (
    '{"sid":"%%(sid)s","url":"%(list_url)s/%%(sid)s","size":%%(size)s,"type":"%%(type)s","codec":"%%(codec)s",'
    '"links":{"media":"%(list_url)s/%%(sid)s/Media"},"offset":%%(offset)d,"status":"%%(status)s",'
    '"duration":%%(duration)s,%(own_room)s"source_sid":"%%(source_sid)s","track_name":%%(track_name)s,'
    '"account_sid":"%(account_sid)s","date_created":"%%(date_created)s","date_deleted":%%(date_deleted)s,'
    '"date_updated":"%%(date_updated)s",'
    '"grouping_sids":{"room_sid":"%(room_sid)s","participant_sid":"%%(participant_sid)s"},'
    '"encryption_key":%(encryption_key)s,"container_format":"%%(container)s",'
    '"media_external_location":%%(external_location)s}'
)


@attrs.frozen(kw_only=True)
class RoomData:
    """A room and its recordings, which are numbered from 0 in the order of their creation.

    Instants are whole seconds from :data:`~.derivation.EPOCH`.

    Attributes:
        account: the account of the room.
        index: index of the room in :attr:`Account.room_sids`.
        sid: SID of the room.
        unique_name: name of the room; the SID of a room that was not named.
        status: status of the room.
        type: type of the room.
        media_region: region of the room's media servers.
        created: instant at which the room was created.
        duration: seconds from then to the end of the room; drawn for a room in progress, too, which has not ended.
        visible_count: number of recordings that a list without a filter shows.
        total_count: the same with the deleted ones.
        track_count: number of tracks that were recorded: fewer than recordings where recording was paused and resumed.
        salt: random number that makes the statuses of recordings differ between rooms.
        encryption_key: SID of the key that the media are encrypted with; None if they are not.
        bucket: URL of the account's own bucket with the media; None if the provider stores them.
        has_muted: True if somebody in it was muted throughout.
    """

    account: Account
    index: int
    sid: str
    unique_name: str
    status: str
    type: str
    media_region: str
    created: int
    duration: int
    visible_count: int
    total_count: int
    track_count: int
    salt: int
    encryption_key: str | None
    bucket: str | None
    has_muted: bool

    @property
    def is_ordinary(self) -> bool:
        """True for a room in which everything is as it should be: all recordings are complete, and have media."""
        return self.index < _ORDINARY_ROOMS and self.total_count <= _MAX_ORDINARY_RECORDINGS

    @property
    def ended(self) -> int | None:
        """Instant at which the room ended; None while it is in progress."""
        if self.status == "in-progress":
            return None
        return self.created + self.duration

    def recording_created(self, index: int) -> int:
        """Return the instant at which a recording began: never before the recording with a lower index."""
        # The two tracks of a participant begin together.
        pair = index // 2
        pair_count = (self.total_count + 1) // 2
        # In an ordinary room, everybody has joined before half of the time is over.
        length = self.duration // 2 if self.is_ordinary else self.duration
        return self.created + spread_evenly(pair, pair_count, length)

    def recording_status(self, index: int) -> str:
        """Return the ``status`` of a recording, without computing the rest of the record."""
        # As in Bresenham's line algorithm: true for exactly deleted_count indices, which are spread evenly.
        deleted_count = self.total_count - self.visible_count
        is_deleted = (index * deleted_count + self.salt) % self.total_count < deleted_count
        if is_deleted or join_number(self.index, index) in self.account.deletions:
            return "deleted"
        if self.is_ordinary:
            return "completed"
        return draw_status(index + self.salt)

    def filter_recordings(
        self, *, created_from: datetime | None, created_before: datetime | None, source_sid: str | None
    ) -> range:
        """Return the indices of the recordings that match these filters, oldest first, whatever their status."""
        indices = range(self.total_count)
        if source_sid is not None:
            indices = self._recordings_of_track(source_sid)
        return slice_by_date(indices, self.recording_created, created_from, created_before)

    def recording_sid(self, index: int) -> str:
        """Return the SID of a recording."""
        return self.account.recording_sids.sid(join_number(self.index, index))

    def recording_type(self, index: int) -> str:
        """Return the ``type`` of a recording."""
        return self._track_format(index).media_type

    def container_format(self, index: int) -> str:
        """Return the ``container_format`` of a recording."""
        return self._track_format(index).container

    def participant_sid(self, index: int) -> str:
        """Return the SID of the participant whose track was recorded."""
        participant = self._track(index) // 2
        return self.account.participant_sids.sid(join_number(self.index, participant))

    def has_media(self, index: int) -> bool:
        """Return True if the provider stores media of a recording."""
        is_stored = self.recording_status(index) == "completed" and self.bucket is None
        return is_stored and not self._is_muted(index)

    def media_size(self, index: int) -> int:
        """Return the number of bytes of a completed recording's media."""
        _, duration_word, size_word, _ = self.account.recording_sids.hash_words(join_number(self.index, index))
        duration = self._recording_duration(index, duration_word)
        return draw_size(self.account.media_size, self._track_format(index).codec, duration, size_word)

    def recorded_track(self, index: int) -> RecordedTrack:
        """Return what a recording's media are of."""
        _, duration_word, _, traits_word = self.account.recording_sids.hash_words(join_number(self.index, index))
        traits = self._media_traits(traits_word)
        return RecordedTrack(
            codec=self._track_format(index).codec.upper(),
            look=(self.index + self._track(index) // 2) % LOOK_COUNT,
            start=self._container_start(index),
            duration=self._recording_duration(index, duration_word) * 1_000,
            changes_size=traits.changes_size,
            has_gaps=traits.has_gaps,
        )

    def is_truncated(self, index: int) -> bool:
        """Return True if the file with a recording's media ends early."""
        _, _, _, traits_word = self.account.recording_sids.hash_words(join_number(self.index, index))
        return self._media_traits(traits_word).is_truncated

    def delete(self, index: int, now: int) -> None:
        """Delete a recording's media, at this instant or when the recording ends, whichever is later."""
        number = join_number(self.index, index)
        _, duration_word, _, _ = self.account.recording_sids.hash_words(number)
        ended = self.recording_created(index) + self._recording_duration(index, duration_word)
        self.account.deletions[number] = max(now, ended)

    def recordings_json(self, indices: Sequence[int], base_url: str, *, of_account: bool = False) -> list[str]:
        """Return recordings as compact JSON.

        Args:
            indices: the indices of the recordings.
            base_url: the URL that those in the records start with.
            of_account: True for records as the account lists them, False for records as the room lists them.
        """
        path = f"/v1/Rooms/{self.sid}/Recordings"
        own_room = f'"room_sid":"{self.sid}",'
        if of_account:
            path = "/v1/Recordings"
            own_room = ""
        template = _RECORDING_TEMPLATE % {
            "list_url": f"{base_url}{path}".replace("%", "%%"),
            "own_room": own_room,
            "room_sid": self.sid,
            "account_sid": self.account.account_sid,
            "encryption_key": json.dumps(self.encryption_key),
        }
        return [template % self._recording_fields(index) for index in indices]

    def to_dict(self, base_url: str) -> dict[str, object]:
        """Return the room as ``GET /v1/Rooms/{Sid}`` has it, with URLs below ``base_url``."""
        url = f"{base_url}/v1/Rooms/{self.sid}"
        date_created = format_instant(self.created)
        fields: dict[str, object] = {
            "sid": self.sid,
            "status": self.status,
            "date_created": date_created,
            "date_updated": date_created,
            "account_sid": self.account.account_sid,
            "type": self.type,
            "enable_turn": True,
            "unique_name": self.unique_name,
            "status_callback": None,
            "status_callback_method": "POST",
            "end_time": None,
            "duration": None,
            **_ROOM_LIMITS,
            "record_participants_on_connect": True,
            "video_codecs": ["VP8", "H264"],
            "media_region": self.media_region,
            "audio_only": False,
            **_ROOM_TIMEOUTS,
            "large_room": False,
            "url": url,
            "links": {
                "participants": f"{url}/Participants",
                "recordings": f"{url}/Recordings",
                "transcriptions": f"{url}/Transcriptions",
                "recording_rules": f"{url}/RecordingRules",
            },
        }
        if self.ended is not None:
            end_time = format_instant(self.ended)
            fields |= {"date_updated": end_time, "end_time": end_time, "duration": self.duration}
        return fields

    def _track(self, index: int) -> int:
        """Return the index of the track that a recording is of: where tracks are paused, they are recorded in turns."""
        return index % self.track_count

    def _track_format(self, index: int) -> TrackFormat:
        track = self._track(index)
        word = self.account.track_sids.hash_words(join_number(self.index, track))[1]
        return track_format(track, word, may_be_data=not self.is_ordinary)

    def _media_traits(self, word: int) -> MediaTraits:
        traits = draw_media_traits(word)
        if self.is_ordinary:
            # The first room is as plain as can be; in the others, this happens to everybody.
            traits = MediaTraits(changes_size=self.index > 0, has_gaps=self.index > 0, is_truncated=False)
        return traits

    def _is_muted(self, index: int) -> bool:
        """Return True for the audio of the one participant who was muted throughout, if there is one."""
        pair_count = (self.total_count + 1) // 2
        return self.has_muted and index == self.salt % pair_count * 2

    @property
    def _offset(self) -> int:
        """Milliseconds from the epoch to the start of the room, which is not at a whole second."""
        return self.created * 1_000 + self.salt % 400

    def _container_start(self, index: int) -> int:
        """Return the milliseconds from the start of the room to that of a recording's media."""
        # The same word for both tracks of a participant.
        word = self.account.recording_sids.hash_words(join_number(self.index, index // 2 * 2))[3]
        milliseconds = draw_start(word)[index % 2]
        return (self.recording_created(index) - self.created) * 1_000 + milliseconds

    def _recordings_of_track(self, source_sid: str) -> range:
        number = self.account.track_sids.number(source_sid)
        if number is None:
            return range(0)
        room_index, track = split_number(number)
        if room_index != self.index or track >= self.track_count:
            return range(0)
        return range(track, self.total_count, self.track_count)

    def _recording_duration(self, index: int, word: int) -> int:
        """Return the seconds that a recording takes: at most until the room ends, or the track is recorded again."""
        created = self.recording_created(index)
        remaining = self.created + self.duration - created
        if index + self.track_count < self.total_count:
            remaining = min(remaining, self.recording_created(index + self.track_count) - created)
        if not self.is_ordinary:
            return draw_duration(remaining, word)
        # Nearly everybody stays until the end, with both tracks.
        pair_word = self.account.recording_sids.hash_words(join_number(self.index, index // 2 * 2))[1]
        return max(1, remaining - pair_word % (remaining // 4 + 1))

    def _recording_fields(self, index: int) -> dict[str, object]:
        """Return the values of :data:`_RECORDING_TEMPLATE` that differ between the recordings of a room."""
        number = join_number(self.index, index)
        first_word, duration_word, size_word, _ = self.account.recording_sids.hash_words(number)
        sid = self.account.recording_sids.sid_from(number, first_word)
        track_fields = self._track_fields(self._track(index))

        created = self.recording_created(index)
        duration = self._recording_duration(index, duration_word)
        status = self.recording_status(index)
        size = draw_size(self.account.media_size, track_fields["codec"], duration, size_word)
        size_json, duration_json = size_and_duration_json(status, size, duration)
        if self._is_muted(index):
            size_json, duration_json = size_and_duration_json(status, 0, 0)

        updated = created + duration
        date_deleted = "null"
        if status == "deleted":
            # Either deleted through the API, or drawn as deleted some time after the end.
            updated = self.account.deletions.get(number, updated + draw_retention(size_word))
            date_deleted = f'"{format_instant(updated)}"'

        external_location = "null"
        if self.bucket is not None:
            external_location = f'"{self.bucket}/{sid}.{track_fields["container"]}"'
        return {
            **track_fields,
            "sid": sid,
            "size": size_json,
            "duration": duration_json,
            "offset": self._offset,
            "status": status,
            "date_created": format_instant(created),
            "date_deleted": date_deleted,
            "date_updated": format_instant(updated),
            "participant_sid": self.participant_sid(index),
            "external_location": external_location,
        }

    def _track_fields(self, track: int) -> dict[str, str]:
        number = join_number(self.index, track)
        first_word, format_word, _, _ = self.account.track_sids.hash_words(number)
        source_sid = self.account.track_sids.sid_from(number, first_word)
        media_type, codec, container = track_format(track, format_word, may_be_data=not self.is_ordinary)
        return {
            "source_sid": source_sid,
            "track_name": track_name_json(source_sid, media_type, format_word),
            "type": media_type,
            "codec": codec,
            "container": container,
        }


class Account:
    """One account: its rooms, their recordings and its credentials, all of them functions of the seed.

    Args:
        seed: the same seed gives the same account, to the byte.
        rooms: number of rooms.
        recordings_per_room: number of recordings that a list without a filter shows for each room, or the smallest
            and the largest number. About one in nine comes on top, deleted.
        media_size: number of bytes of each recording's media, or the smallest and the largest number. By default as
            many as tracks of their length have, up to gigabytes.

    Attributes:
        room_count: number of rooms.
        media_size: smallest and largest number of bytes of a recording's media; None for realistic sizes.
        deletions: the recordings that were deleted through the API: the number of each, and the instant.
        secret: 32 bytes that everything else is derived from.
        account_sid: SID of the account.
        credentials: the account's SID and auth token.
        api_key_credentials: an API key of the account.
        recording_sids: SIDs of recordings.
        track_sids: SIDs of tracks.
        participant_sids: SIDs of participants.

    Raises:
        InvalidArgumentError: a number is negative or above 2**31, or the larger of two bounds comes first.
    """

    def __init__(
        self,
        seed: int = 0,
        rooms: int = 20,
        recordings_per_room: int | tuple[int, int] = (0, 120),
        media_size: int | tuple[int, int] | None = None,
    ) -> None:
        self._min_recordings, self._max_recordings = _check_bounds("recordings_per_room", recordings_per_room)
        self.room_count: int = check_integer("rooms", rooms, minimum=0, maximum=_MAX_COUNT)
        self.media_size: tuple[int, int] | None = None
        if media_size is not None:
            self.media_size = _check_bounds("media_size", media_size, maximum=INT64_MAX)
        self.deletions: dict[int, int] = {}
        self.secret: bytes = blake2b(str(seed).encode(), digest_size=32, person=b"roomrec").digest()
        self.account_sid: str = f"AC{self._derive_hex('account')}"
        self.credentials: Credentials = Credentials(self.account_sid, self._derive_hex("token"))
        self.api_key_credentials: Credentials = Credentials.api_key(
            self.account_sid, f"SK{self._derive_hex('key')}", self._derive_hex("key secret")
        )
        self._room_sids = SidFamily("RM", self.secret)
        self.recording_sids: SidFamily = SidFamily("RT", self.secret)
        self.track_sids: SidFamily = SidFamily("MT", self.secret)
        self.participant_sids: SidFamily = SidFamily("PA", self.secret)

    @property
    def room_sids(self) -> LazyRoomSids:
        """SIDs of all rooms, oldest first."""
        return LazyRoomSids(self._room_sids, range(self.room_count))

    def find_room(self, sid: str) -> RoomData | None:
        """Return the room with this SID, or None."""
        index = self._room_sids.number(sid)
        if index is None or index >= self.room_count:
            return None
        return self.room(index)

    def find_recording(self, sid: str) -> tuple[RoomData, int] | None:
        """Return the room of the recording with this SID, and the recording's index in it, or None."""
        number = self.recording_sids.number(sid)
        if number is None:
            return None
        room_index, index = split_number(number)
        if room_index >= self.room_count:
            return None
        room = self.room(room_index)
        if index >= room.total_count:
            return None
        return room, index

    def room(self, index: int) -> RoomData:
        """Return the room at this index in :attr:`room_sids`."""
        first_word, count_word, traits_word, salt = self._room_sids.hash_words(index)
        sid = self._room_sids.sid_from(index, first_word)
        traits = draw_room_traits(traits_word)
        visible_count = self._min_recordings + count_word % (self._max_recordings - self._min_recordings + 1)
        if index < _ORDINARY_ROOMS:
            traits = draw_ordinary_room_traits(traits_word)
            visible_count = self._ordinary_count(count_word)
        total_count = visible_count
        if index >= _ORDINARY_ROOMS or visible_count > _MAX_ORDINARY_RECORDINGS:
            total_count += (visible_count + count_word % 9) // 9
        return RoomData(
            account=self,
            index=index,
            sid=sid,
            unique_name=f"daily-standup-{index}" if traits.has_name else sid,
            status=traits.status,
            type=traits.type,
            media_region=traits.media_region,
            created=self.room_created(index),
            # At least two seconds for each recording, so that most of them differ in their dates.
            duration=min(max(traits.duration, 2 * total_count), _MAX_ROOM_DURATION),
            visible_count=visible_count,
            total_count=total_count,
            track_count=_track_count(total_count, has_pauses=traits.has_pauses),
            salt=salt & _SALT_MASK,
            encryption_key=self._encryption_key(index) if traits.is_encrypted else None,
            bucket=_BUCKET if traits.has_bucket else None,
            has_muted=traits.has_muted,
        )

    def room_created(self, index: int) -> int:
        """Return the instant at which a room was created: never before the room with a lower index."""
        return spread_evenly(index, self.room_count, _LAST_ROOM_CREATED)

    def filter_rooms(
        self, *, created_from: datetime | None, created_before: datetime | None, unique_name: str | None
    ) -> range:
        """Return the indices of the rooms that match these filters, oldest first, whatever their status."""
        indices = range(self.room_count)
        if unique_name is not None:
            indices = self._rooms_with_name(unique_name)
        return slice_by_date(indices, self.room_created, created_from, created_before)

    def rooms_recorded_between(self, start: datetime | None, end: datetime | None) -> range:
        """Return the indices of all rooms that may have recordings from ``start`` to before ``end``, and of few others.

        None is no bound.
        """
        # No room lasts longer: it has less than 2 * (visible + 1) recordings, and two seconds for each.
        longest = min(max(MAX_DRAWN_ROOM_DURATION, 4 * (self._max_recordings + 1)), _MAX_ROOM_DURATION)
        created_from = None
        if start is not None:
            created_from = max(start, EPOCH) - timedelta(seconds=longest)

        # In an account without recordings, a million rooms need not be searched.
        indices = range(self.room_count) if self._max_recordings else range(0)
        return slice_by_date(indices, self.room_created, created_from, end)

    def _ordinary_count(self, word: int) -> int:
        """Return the number of recordings of an ordinary room: two each of three or four people, within the bounds."""
        return min(max(6 + word % 2 * 2, self._min_recordings), self._max_recordings)

    def _encryption_key(self, room_index: int) -> str:
        return f"CR{self._derive_hex(f'encryption {room_index % _ENCRYPTION_KEYS}')}"

    def _rooms_with_name(self, unique_name: str) -> range:
        match = _GENERATED_ROOM_NAME.fullmatch(unique_name)
        # A room that was not named has its SID for a name.
        index = int(match[1]) if match else self._room_sids.number(unique_name)
        if index is None or index >= self.room_count or self.room(index).unique_name != unique_name:
            return range(0)
        return range(index, index + 1)

    def _derive_hex(self, purpose: str) -> str:
        return blake2b(purpose.encode(), key=self.secret, digest_size=16).hexdigest()


def _track_count(total_count: int, *, has_pauses: bool) -> int:
    if has_pauses and total_count >= _MIN_RECORDINGS_FOR_PAUSES:
        # An even number, so that the two tracks of a participant stay together.
        return (total_count // 3 + 1) & ~1
    return max(total_count, 1)


def _check_bounds(name: str, value: int | tuple[int, int], maximum: int = _MAX_COUNT) -> tuple[int, int]:
    """Return the smallest and the largest number: a number is both.

    Raises:
        InvalidArgumentError: it is something else, a number is out of bounds, or the larger one comes first.
    """
    if not isinstance(value, (tuple, list)):
        number = check_integer(name, value, minimum=0, maximum=maximum, alternative="or two of them")
        return number, number
    for number in value:
        check_integer(name, number, minimum=0, maximum=maximum)
    match value:
        case [smallest, largest] if smallest <= largest:
            return smallest, largest
    raise InvalidArgumentError(refusal(name, "a number, or the smallest and the largest", value))
