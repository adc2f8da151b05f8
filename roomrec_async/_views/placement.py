"""Where the tracks of a room lie in time: the one rule by which films and timelines place them.

The ``offset`` of a recording is the start of its *room*, which all tracks of a room usually share, whenever their
participants joined. When a track began within the room is known only to its media file: the container's start time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median_low
from typing import Final

import attrs

from roomrec_async.models import Recording

from .fields import valid_offset

_MILLISECONDS: Final = 1_000


@attrs.frozen
class Placement:
    """A recording with its start.

    Attributes:
        recording: the recording.
        start: milliseconds from the start of the room; None if nothing tells. Without offsets, from the first track.
        exact: False if the start is derived from a date, which is in whole seconds, or is only that of the room.
    """

    recording: Recording
    start: int | None
    exact: bool


def place(recordings: Iterable[Recording], media_starts: Mapping[str, int] | None = None) -> list[Placement]:
    """Return the start of each recording of a room, in the same order.

    Where the media are at hand, a track starts at its ``offset``, less the least offset of the room, plus the start
    time of its file. Where they are not, the offsets place the tracks only if they differ. Otherwise, and where there
    is no offset, a track starts about at its ``date_created``.

    Args:
        recordings: recordings of one room; any of their fields may be None.
        media_starts: start times of the media files that are at hand, in milliseconds, by the SIDs of recordings.
    """
    room = list(recordings)
    known = exact_starts(room, media_starts or {})
    room_date = date_of_room_start(room, known)
    offsets = relative_offsets(room)

    placements: list[Placement] = []
    for recording, start, offset in zip(room, known, offsets, strict=True):
        about = start_by_date(recording, room_date)
        if about is None:
            about = offset
        placements.append(Placement(recording, about if start is None else start, exact=start is not None))
    return placements


def start_by_date(recording: Recording, room_date: int | None) -> int | None:
    """Return the milliseconds from the room's start to a recording's ``date_created``, or None if either is unknown."""
    date = date_milliseconds(recording)
    if date is None or room_date is None:
        return None
    return date - room_date


def relative_offsets(recordings: Sequence[Recording]) -> list[int | None]:
    """Return the offset of each recording from the least one of the room; None where there is none."""
    offsets = [valid_offset(recording) for recording in recordings]
    least = min((offset for offset in offsets if offset is not None), default=0)
    return [None if offset is None else offset - least for offset in offsets]


def exact_starts(recordings: Sequence[Recording], media_starts: Mapping[str, int]) -> list[int | None]:
    """Return the start of each recording whose media, or else whose offset, gives it to the millisecond."""
    offsets = relative_offsets(recordings)
    # Offsets that are all equal say nothing about tracks, but a single one has nothing to be compared with.
    differ = len({offset for offset in offsets if offset is not None}) > 1 or len(recordings) == 1

    starts: list[int | None] = []
    for recording, offset in zip(recordings, offsets, strict=True):
        media_start = media_starts.get(recording.sid or "")
        if offset is not None and media_start is not None:
            starts.append(offset + media_start)
        elif not media_starts and differ:
            starts.append(offset)
        else:
            starts.append(None)
    return starts


def date_of_room_start(recordings: Sequence[Recording], starts: Sequence[int | None]) -> int | None:
    """Return the Unix time of the room's start in milliseconds, or None if nothing tells.

    It is found by comparison with the recordings that have both a start and a date. If none has a start, the first
    date counts as the start of the room.
    """
    dates = [date_milliseconds(recording) for recording in recordings]
    if all(start is None for start in starts):
        return min((date for date in dates if date is not None), default=None)

    differences = [
        date - start for date, start in zip(dates, starts, strict=True) if date is not None and start is not None
    ]
    # The median, because dates only have whole seconds, and are those of the resource rather than of the media.
    return median_low(differences) if differences else None


def date_milliseconds(recording: Recording) -> int | None:
    """Return the Unix time of a recording's ``date_created`` in milliseconds, or None if there is none."""
    return None if recording.date_created is None else unix_milliseconds(recording.date_created)


def unix_milliseconds(instant: datetime) -> int:
    """Return a date's Unix time in milliseconds."""
    return round(instant.timestamp() * _MILLISECONDS)
