"""Properties of rooms and recordings as pure functions of hash words and indices.

Instants are whole seconds from :data:`EPOCH`.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Start of the year in which all rooms of an account take place."""

HOUR: Final = 3_600
DAY: Final = 86_400

_ONE_SECOND = timedelta(seconds=1)
# An odd number near 2**32 divided by the golden ratio: multiples of it are spread evenly (Fibonacci hashing).
_SPREAD_32 = 0x9E3779B1

MAX_DRAWN_ROOM_DURATION: Final = 600 + 4 * HOUR
"""Maximum number of seconds that a room lasts, if its recordings do not need more."""
_MIN_ROOM_DURATION: Final = 600
_MAX_RECORDING_DURATION: Final = 4 * HOUR
_MAX_RETENTION: Final = 10 * DAY

# An ordinary room lasts this long, or twice as long: so that a film of it is made while somebody waits.
_MIN_ORDINARY_DURATION: Final = 30

# Typical bit rates, in bytes per second. PCMU has 8,000 samples of one byte, in packets.
_BYTE_RATES: Final = {"VP8": 125_000, "H264": 125_000, "OPUS": 4_000, "PCMU": 9_000}

# Each value is as frequent as it is listed.
_ROOM_STATUSES = ("completed",) * 27 + ("in-progress",) * 4 + ("failed",)
_ROOM_TYPES = ("group",) * 6 + ("group-small", "go")
_REGIONS = ("us1", "us1", "ie1", "de1", "sg1", "jp1", "au1", "br1")
_RECORDING_STATUSES = ("completed",) * 58 + ("processing",) * 4 + ("failed",) * 2
# As JSON. Users choose these names: other scripts, an emoji, and characters that JSON escapes.
_AUDIO_NAMES = tuple(
    json.dumps(name)
    for name in (
        "microphone",
        "A name",
        "микрофон",
        "麦克风",
        "🎤 main stage",
        "مكبر الصوت",
        'the "quiet" one',
        "track-0",
    )
)
_OTHER_NAMES = tuple(
    json.dumps(name) for name in ("camera", "screen", "Kamera Zoë", "камера", "摄像头", "slash/back\\slash", "track-1")
)


class RoomTraits(NamedTuple):
    """The properties of a room that do not depend on its recordings.

    Attributes:
        status: status of the room.
        type: type of the room.
        media_region: region of its media servers.
        duration: seconds that it lasts, unless its recordings need more.
        has_name: True if it has a name other than its SID.
        has_pauses: True if recording is paused and resumed in it.
        is_encrypted: True if its media are encrypted.
        has_bucket: True if its media are in the account's own bucket.
        has_muted: True if somebody was muted throughout.
    """

    status: str
    type: str
    media_region: str
    duration: int
    has_name: bool
    has_pauses: bool
    is_encrypted: bool
    has_bucket: bool
    has_muted: bool


def draw_room_traits(word: int) -> RoomTraits:
    """Return the properties of a room. Each is drawn from other bits of the hash word."""
    return RoomTraits(
        status=_ROOM_STATUSES[(word >> 8) % len(_ROOM_STATUSES)],
        type=_ROOM_TYPES[(word >> 16) % len(_ROOM_TYPES)],
        media_region=_REGIONS[(word >> 24) % len(_REGIONS)],
        duration=_MIN_ROOM_DURATION + (word >> 32) % (MAX_DRAWN_ROOM_DURATION - _MIN_ROOM_DURATION),
        has_name=word >> 2 & 1 == 1,
        has_pauses=word & 3 == 0,
        is_encrypted=word >> 4 & 15 == 0,
        has_bucket=word >> 12 & 15 == 0,
        has_muted=word >> 27 & 15 == 0,
    )


def draw_ordinary_room_traits(word: int) -> RoomTraits:
    """Return the properties of a room in which nothing is out of the ordinary, and which is short."""
    return draw_room_traits(word)._replace(
        status="completed",
        duration=_MIN_ORDINARY_DURATION + (word >> 32) % (_MIN_ORDINARY_DURATION + 1),
        has_pauses=False,
        is_encrypted=False,
        has_bucket=False,
        has_muted=False,
    )


class MediaTraits(NamedTuple):
    """What happened while a recording was made.

    Attributes:
        changes_size: True if the picture changes its size.
        has_gaps: True if the camera is switched off for a time, or silence is not sent.
        is_truncated: True if the file ends early.
    """

    changes_size: bool
    has_gaps: bool
    is_truncated: bool


def draw_media_traits(word: int) -> MediaTraits:
    """Return what happened while a recording was made. Each is drawn from other bits of the hash word."""
    return MediaTraits(changes_size=word >> 8 & 1 == 0, has_gaps=word >> 12 & 3 == 0, is_truncated=word >> 16 & 31 == 0)


class TrackFormat(NamedTuple):
    """The format of a track and of its recordings."""

    media_type: str
    codec: str
    container: str


# The API documents upper-case names of codecs; its own example has "opus".
_AUDIO_FORMATS = tuple(TrackFormat("audio", codec, "mka") for codec in (*("OPUS",) * 5, "opus", "opus", "PCMU"))
_VIDEO_FORMATS = tuple(TrackFormat("video", codec, "mkv") for codec in (*("VP8",) * 6, "H264", "H264"))
_DATA_FORMAT = TrackFormat("data", "OPUS", "mka")


def track_format(track: int, word: int, *, may_be_data: bool) -> TrackFormat:
    """Return the format of a track.

    A participant publishes two tracks: the first one is audio, the second one video or, rarely, data.

    Args:
        track: the index of the track in its room.
        word: a hash word of the track.
        may_be_data: False if the second one is always video.
    """
    if track % 2 == 0:
        return _AUDIO_FORMATS[word % len(_AUDIO_FORMATS)]
    # One in 16; other bits than those that choose the codec.
    if may_be_data and word >> 8 & 15 == 0:
        return _DATA_FORMAT
    return _VIDEO_FORMATS[word % len(_VIDEO_FORMATS)]


def track_name_json(source_sid: str, media_type: str, word: int) -> str:
    """Return the name of a track as JSON; half of the tracks were not named, and have their SID for a name."""
    is_named = word >> 16 & 1
    if is_named:
        names = _AUDIO_NAMES if media_type == "audio" else _OTHER_NAMES
        return names[(word >> 20) % len(names)]
    return f'"{source_sid}"'


def draw_status(number: int) -> str:
    """Return the status of a recording that is not deleted."""
    return _RECORDING_STATUSES[(number * _SPREAD_32 >> 16) % len(_RECORDING_STATUSES)]


def draw_duration(remaining: int, word: int) -> int:
    """Return the seconds that a recording takes: at least one, and at most those that remain of the room."""
    return 1 + word % max(1, min(remaining, _MAX_RECORDING_DURATION))


def draw_size(bounds: tuple[int, int] | None, codec: str, duration: int, word: int) -> int:
    """Return the number of bytes of a recording's media.

    Args:
        bounds: the smallest and the largest number; None for as many as a track of this codec and length has.
        codec: the ``codec`` of the recording.
        duration: the seconds that it takes.
        word: a hash word of the recording.
    """
    if bounds is not None:
        smallest, largest = bounds
        return smallest + word % (largest - smallest + 1)
    byte_rate = _BYTE_RATES[codec.upper()]
    return duration * byte_rate + word % byte_rate


def draw_start(word: int) -> tuple[int, int]:
    """Return when the audio and the video of a participant begin, in milliseconds after the second that is recorded.

    The video begins some 20 ms later, and both before the second is over.
    """
    audio = word % 500
    return audio, audio + 16 + (word >> 16) % 9


def draw_retention(word: int) -> int:
    """Return the seconds between the end and the deletion of a recording that was deleted before the simulation."""
    return word % _MAX_RETENTION


def size_and_duration_json(status: str, size: int, duration: int) -> tuple[str, str]:
    """Return the size and the duration of a recording with this status, as JSON."""
    if status == "processing":
        return "null", "null"
    if status == "failed":
        return "0", "0"
    return str(size), str(duration)


def spread_evenly(index: int, count: int, length: int) -> int:
    """Return where in ``length`` seconds the item with this index of ``count`` items begins.

    Each item has an equal share of the time and begins somewhere in it, so that a later one never begins earlier.
    """
    jitter = index * _SPREAD_32 % (length // count + 1)
    return index * length // count + jitter


def slice_by_date(
    indices: range, created: Callable[[int], int], created_from: datetime | None, created_before: datetime | None
) -> range:
    """Return the indices of what was created from one instant to before another.

    Args:
        indices: indices in the order of creation.
        created: returns the instant at which the item with an index was created.
        created_from: the first instant; None for no bound.
        created_before: the instant after the last one; None for no bound.
    """
    # Items are created at whole seconds, so both bounds are rounded up: an item created at a bound is included by the
    # first one and excluded by the second one.
    start = 0
    if created_from is not None:
        start = bisect_left(indices, math.ceil((created_from - EPOCH) / _ONE_SECOND), key=created)
    stop = len(indices)
    if created_before is not None:
        stop = bisect_left(indices, math.ceil((created_before - EPOCH) / _ONE_SECOND), key=created)
    return indices[start:stop]


def format_instant(instant: int) -> str:
    """Return an instant in ISO 8601, as the API has it."""
    day, seconds = divmod(instant, DAY)
    return f"{_format_date(day)}T{seconds // HOUR:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


@lru_cache(maxsize=366)
def _format_date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()
