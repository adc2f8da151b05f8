"""The parts of a film that belong to one participant each, and the names of their files."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from .film import Film, Source, Track

# In lower case only: two SIDs that differ in case must not share a file where file systems ignore it.
_SID: Final = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
# Whatever is not a letter or a digit of any script, or one of these, is replaced in the name of a file.
_UNSAFE: Final = re.compile(r"[^\w.-]+")
# Characters of a name in the name of a file, which has 255 bytes at most.
_MAX_NAME_LENGTH: Final = 40


@attrs.frozen
class Part:
    """What a film has of one participant, or of one track whose participant is not known.

    Attributes:
        participant_sid: SID of the participant, if known.
        stem: name of a file for it, without the extension; no two parts have the same, even if case is ignored.
        film: a film of the same length, with only these tracks; none if the participant has none.
    """

    participant_sid: str | None
    stem: str
    film: Film


def split(film: Film, participants: Iterable[str], names: Mapping[str, str]) -> list[Part]:
    """Return the parts of a film, in the order of joining.

    Args:
        film: the film.
        participants: SIDs of participants who may have no track in it.
        names: names by the SIDs of participants, to begin the names of their files with.
    """
    tracks: dict[str, list[Track]] = {}
    unknown: list[Track] = []
    for track in film.tracks:
        if track.participant_sid is None:
            unknown.append(track)
        else:
            tracks.setdefault(track.participant_sid, []).append(track)
    for participant_sid in participants:
        tracks.setdefault(participant_sid, [])

    # Tracks without a participant may be of different people: each is by itself.
    return [
        *(Part(sid, participant_stem(sid, names.get(sid, "")), film.only(each)) for sid, each in tracks.items()),
        *(Part(None, track_stem(track.source), film.only([track])) for track in unknown),
    ]


def participant_stem(participant_sid: str, name: str) -> str:
    """Return the name of a participant's file without its extension: the SID, which makes it unique, after a name."""
    sid = participant_sid if _SID.fullmatch(participant_sid) else f"participant-{digest(participant_sid)}"
    readable = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip("._-")[:_MAX_NAME_LENGTH]
    return f"{readable}-{sid}" if readable else sid


def track_stem(source: Source) -> str:
    """Return the name of a track's file without its extension."""
    sid = source.recording.sid or ""
    return sid if _SID.fullmatch(sid) else f"track-{digest(f'{sid} {source.path}')}"


def digest(text: str) -> str:
    """Return a short text that differs for different texts."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
