"""Rooms and recordings as callers name them: by their SIDs or as models. Anything else gets a sentence that helps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from roomrec_async._validate import ANY_SID, RECORDING_SID, ROOM_SID, check_recording_sid, check_room_sid, refusal
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.models import Participant, Recording, Room, RoomResult

# What the SIDs with these prefixes name.
_KINDS: Final = {
    "AC": "an account",
    "MT": "a track",
    "PA": "a participant",
    "RM": "a room",
    "RT": "a recording",
    "SK": "an API key",
}


def room_sid_of(room: object) -> str:
    """Return the SID of a room that is given as a :class:`Room` or by its SID.

    Raises:
        InvalidArgumentError: it is neither, or the SID is missing or malformed.
    """
    sid = room if isinstance(room, str) else named_room_sid(room)
    if ROOM_SID.fullmatch(sid):
        return sid
    return _check_with_hint(check_room_sid, sid, ROOM_SID, "client.rooms(unique_name=...) finds a room by its name")


def named_room_sid(room: object) -> str:
    """Return the SID of a room like :func:`room_sid_of`, but a text as it is.

    Raises:
        InvalidArgumentError: it is neither a text nor a room with a SID.
    """
    if isinstance(room, str):
        return room
    if isinstance(room, Room):
        if room.sid is None:
            raise InvalidArgumentError("the Room has no sid: name the room by its SID")
        return room.sid
    raise InvalidArgumentError(f"{refusal('room_sid', 'the SID of a room or a Room', room)}{_room_hint(room)}")


def recording_sids(recording: object, sid: object) -> tuple[str | None, str]:
    """Return the SIDs of the room and of a recording that is given as a :class:`Recording`, or by both SIDs.

    Args:
        recording: the recording; or its room, as for :func:`room_sid_of`.
        sid: the recording's SID where its room is given; None with a recording.

    Returns:
        Both SIDs. That of the room is None for a recording that does not say in which room it is.

    Raises:
        InvalidArgumentError: it is neither, or a SID is missing or malformed.
    """
    if isinstance(recording, Recording):
        return _sids_of(recording, sid)
    if isinstance(sid, Recording):
        raise InvalidArgumentError("a Recording says in which room it is: give it alone, without the room")
    if sid is None:
        expected = "a Recording, or a room followed by the recording's sid"
        raise InvalidArgumentError(f"{refusal('recording', expected, recording)}{_recording_hint(recording)}")
    return room_sid_of(recording), _check_with_hint(check_recording_sid, sid, RECORDING_SID)


def split_download_arguments(recording: object, where: Sequence[object], destination: object) -> tuple[object, object]:
    """Return the recording's SID, which is None with a :class:`Recording`, and the destination.

    Args:
        recording: the recording, or its room.
        where: what follows it.
        destination: the destination, where it is named.

    Raises:
        TypeError: there are too many arguments, or too few.
        InvalidArgumentError: the SID is missing.
    """
    following: list[object] = [*where] if destination is None else [*where, destination]
    if isinstance(recording, Recording):
        following.insert(0, None)
    elif len(following) == 1:
        # The SID is missing, and this says so.
        recording_sids(recording, None)
    try:
        sid, destination = following
    except ValueError:
        expected = "a Recording and a destination, or a room, the recording's sid and a destination"
        raise TypeError(f"download() takes {expected}") from None
    return sid, destination


def _sids_of(recording: Recording, sid: object) -> tuple[str | None, str]:
    if sid is not None:
        raise InvalidArgumentError("a Recording has its own SID: give no other with it")
    if recording.sid is None:
        raise InvalidArgumentError("the Recording has no sid: name it by the SIDs of its room and its own")
    own = check_recording_sid(recording.sid)
    return None if recording.room_sid is None else check_room_sid(recording.room_sid), own


def _check_with_hint(check: Callable[[object], str], sid: object, pattern: re.Pattern[str], otherwise: str = "") -> str:
    """Return what a check returns; where it refuses the SID, add to its message what is wrong, or ``otherwise``."""
    try:
        return check(sid)
    except InvalidArgumentError as error:
        hint = _sid_hint(sid, pattern) or otherwise
        raise InvalidArgumentError(f"{error}: {hint}" if hint else str(error)) from None


def _sid_hint(sid: object, pattern: re.Pattern[str]) -> str:
    """Return what is wrong with a SID; empty where that is not clear."""
    if not sid:
        return "a variable or a field that holds it is empty"
    if not isinstance(sid, str):
        return ""
    if pattern.fullmatch(sid.strip()):
        return "there is white space around it, which .strip() removes"
    if pattern.fullmatch(sid[:2].upper() + sid[2:]):
        return f"its first two letters are capitals: {sid[:2].upper()}"
    if ANY_SID.fullmatch(sid) and sid[:2].upper() in _KINDS:
        return f"that is the SID of {_KINDS[sid[:2].upper()]}"
    return ""


def check_recording(recording: object) -> Recording:
    """Return a recording that can only be given as a :class:`Recording`.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(recording, Recording):
        hint = _recording_hint(recording)
        if isinstance(recording, str):
            hint = ": fetch it with client.recording(room_sid, sid), or list it"
        raise InvalidArgumentError(f"{refusal('recording', 'a Recording', recording)}{hint}")
    return recording


def _room_hint(value: object) -> str:
    """Return what a caller meant who gave something else than a room, after a colon; empty where that is not clear."""
    if value is None:
        return ": a variable or a field that names the room is empty"
    if isinstance(value, (Recording, Participant, RoomResult)):
        return ": give its room_sid"
    if isinstance(value, Mapping):
        return ": give its 'sid', or make a Room of it with from_dict(Room, ...)"
    if isinstance(value, (Iterable, AsyncIterable)) and not isinstance(value, (bytes, bytearray)):
        return ": many rooms are for client.gather(), client.as_completed() or client.stream()"
    return _value_hint(value)


def _recording_hint(value: object) -> str:
    if value is None:
        return ": a variable or a field that names the recording is empty"
    if isinstance(value, Room):
        return ": a room has many recordings, and each has its own sid"
    if isinstance(value, Mapping):
        return ": make a Recording of it with from_dict(Recording, ...)"
    if isinstance(value, AsyncIterable):
        return ": one recording at a time, in an 'async for' loop over it"
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray)):
        return ": one recording at a time, in a loop"
    return _value_hint(value)


def _value_hint(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return ": decode the bytes to text"
    if isinstance(value, Awaitable):
        return ": await it first"
    if callable(value):
        return ": call it, and give what it returns"
    return ""
