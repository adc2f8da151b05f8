"""The operations of the API: from a path and a query to the body of a 200, or to an error. No HTTP here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Final

import attrs
from multidict import MultiMapping

from .account import Account, RoomData
from .account_recordings import AccountCandidates
from .derivation import EPOCH, slice_by_date
from .errors import not_found
from .pages import PageTokens, RangeCandidates, find_page, list_body
from .parameters import (
    AccountRecordingParameters,
    ParticipantParameters,
    RecordingParameters,
    RoomParameters,
    is_status_listed,
)
from .participants import ParticipantData, participant_count
from .sids import lower_digits, split_number

EXAMPLE_ROOM_SID: Final = "RM" + "a" * 32
"""The room whose list is the reference's example with one recording, byte for byte."""
EMPTY_EXAMPLE_ROOM_SID: Final = "RM" + "b" * 32
"""The room whose list is the reference's example without recordings, byte for byte."""

# Read once: the bodies of the two example rooms by SID.
_EXAMPLES: Final = {
    sid: (files(__package__) / "examples" / name).read_bytes()
    for sid, name in ((EXAMPLE_ROOM_SID, "one_recording.json"), (EMPTY_EXAMPLE_ROOM_SID, "empty.json"))
}


@attrs.frozen
class Api:
    """The operations on one account.

    Every method raises :class:`~.errors.ServiceError` where the API responds with an error.

    Args:
        account: the account.
        base_url: the URL that those in the responses start with.
    """

    account: Account
    base_url: str

    def list_recordings(self, room_sid: str, query: Mapping[str, str]) -> bytes:
        """Respond to ``GET /v1/Rooms/{RoomSid}/Recordings``."""
        # Two spellings of a SID are one list: the page tokens of one are valid for the other.
        room_sid = lower_digits(room_sid)
        path = f"/v1/Rooms/{room_sid}/Recordings"
        if room_sid in _EXAMPLES:
            return self._list_example(room_sid, path, query)
        room = self._find_room(room_sid, path)
        parameters = RecordingParameters.parse(query)

        def matches(index: int) -> bool:
            return is_status_listed(room.recording_status(index), parameters.status)

        indices = room.filter_recordings(
            created_from=parameters.created_from,
            created_before=parameters.created_before,
            source_sid=parameters.source_sid,
        )
        page = find_page(RangeCandidates(indices), matches, PageTokens(self.account.secret, path, parameters))
        records = room.recordings_json(page.numbers, self.base_url)
        return list_body("recordings", self.base_url + path, page, parameters, records)

    def fetch_recording(self, room_sid: str, sid: str) -> bytes:
        """Respond to ``GET /v1/Rooms/{RoomSid}/Recordings/{Sid}``."""
        room, index = self.find_recording(room_sid, sid, f"/v1/Rooms/{room_sid}/Recordings/{sid}")
        return room.recordings_json([index], self.base_url)[0].encode()

    def list_account_recordings(self, query: MultiMapping[str]) -> bytes:
        """Respond to ``GET /v1/Recordings``."""
        path = "/v1/Recordings"
        parameters = AccountRecordingParameters.parse(query)
        candidates = AccountCandidates(self.account, parameters)
        page = find_page(candidates, candidates.matches, PageTokens(self.account.secret, path, parameters))

        records: list[str] = []
        for number in page.numbers:
            room_index, index = split_number(number)
            records += self.account.room(room_index).recordings_json([index], self.base_url, of_account=True)
        return list_body("recordings", self.base_url + path, page, parameters, records)

    def fetch_account_recording(self, sid: str) -> bytes:
        """Respond to ``GET /v1/Recordings/{Sid}``."""
        room, index = self.find_recording(None, sid, f"/v1/Recordings/{sid}")
        return room.recordings_json([index], self.base_url, of_account=True)[0].encode()

    def delete_recording(self, room_sid: str | None, sid: str, path: str, *, second_delete: int) -> None:
        """Respond to ``DELETE /v1/Rooms/{RoomSid}/Recordings/{Sid}`` or ``DELETE /v1/Recordings/{Sid}``.

        Args:
            room_sid: the room; None where it is not in the path.
            sid: the recording.
            path: the path of the request.
            second_delete: the status for a recording that is deleted already.
        """
        room, index = self.find_recording(room_sid, sid, path)
        if room.recording_status(index) == "deleted":
            if second_delete == HTTPStatus.NOT_FOUND:
                raise not_found(path)
            return
        room.delete(index, int((datetime.now(UTC) - EPOCH).total_seconds()))

    def find_media(self, room_sid: str | None, sid: str, path: str) -> tuple[RoomData, int]:
        """Return, for ``GET .../Recordings/{Sid}/Media``, a recording's room and its index there, if it has media."""
        room, index = self.find_recording(room_sid, sid, path)
        if not room.has_media(index):
            raise not_found(path)
        return room, index

    def find_recording(self, room_sid: str | None, sid: str, path: str) -> tuple[RoomData, int]:
        """Return a recording's room and its index there; with a ``room_sid``, only if it belongs to that room."""
        found = self.account.find_recording(sid)
        if found is None or (room_sid is not None and lower_digits(room_sid) != found[0].sid):
            raise not_found(path)
        return found

    def list_rooms(self, query: Mapping[str, str]) -> bytes:
        """Respond to ``GET /v1/Rooms``."""
        path = "/v1/Rooms"
        parameters = RoomParameters.parse(query)

        def matches(index: int) -> bool:
            return self.account.room(index).status == parameters.status

        indices = self.account.filter_rooms(
            created_from=parameters.created_from,
            created_before=parameters.created_before,
            unique_name=parameters.unique_name,
        )
        page = find_page(RangeCandidates(indices), matches, PageTokens(self.account.secret, path, parameters))
        rooms = [_compact_json(self.account.room(index).to_dict(self.base_url)) for index in page.numbers]
        return list_body("rooms", self.base_url + path, page, parameters, rooms)

    def list_participants(self, room_sid: str, query: Mapping[str, str]) -> bytes:
        """Respond to ``GET /v1/Rooms/{RoomSid}/Participants``."""
        room_sid = lower_digits(room_sid)
        path = f"/v1/Rooms/{room_sid}/Participants"
        room = self._find_room(room_sid, path)
        parameters = ParticipantParameters.parse(query)
        # Of a room in progress, only those who are connected are listed unless another status is asked for.
        status = parameters.status or ("connected" if room.ended is None else "disconnected")

        def matches(index: int) -> bool:
            participant = ParticipantData(room, index)
            return participant.status == status and parameters.identity in (None, participant.identity)

        indices = slice_by_date(
            range(participant_count(room)),
            lambda index: ParticipantData(room, index).connected,
            parameters.created_from,
            parameters.created_before,
        )
        page = find_page(RangeCandidates(indices), matches, PageTokens(self.account.secret, path, parameters))
        participants = [_compact_json(ParticipantData(room, index).to_dict(self.base_url)) for index in page.numbers]
        return list_body("participants", self.base_url + path, page, parameters, participants)

    def fetch_room(self, sid: str) -> bytes:
        """Respond to ``GET /v1/Rooms/{Sid}``."""
        return _compact_json(self._find_room(sid, f"/v1/Rooms/{sid}").to_dict(self.base_url)).encode()

    def recordings(self, room_sid: str, status: str | None) -> Iterator[dict[str, object]]:
        """Return the records that all pages of a room's list show together, oldest first.

        Raises:
            ServiceError: 404/20404, there is no such room.
        """
        if room_sid in _EXAMPLES:
            return iter(json.loads(_EXAMPLES[room_sid])["recordings"])
        room = self._find_room(room_sid, f"/v1/Rooms/{room_sid}")
        return self._recordings(room, status)

    def _recordings(self, room: RoomData, status: str | None) -> Iterator[dict[str, object]]:
        for index in range(room.total_count):
            if is_status_listed(room.recording_status(index), status):
                yield json.loads(room.recordings_json([index], self.base_url)[0])

    def _find_room(self, sid: str, path: str) -> RoomData:
        room = self.account.find_room(sid)
        if room is None:
            raise not_found(path)
        return room

    def _list_example(self, room_sid: str, path: str, query: Mapping[str, str]) -> bytes:
        # Examples are served whatever the filters, but bad parameters are errors as elsewhere.
        parameters = RecordingParameters.parse(query)
        if parameters.page_token is not None:
            PageTokens(self.account.secret, path, parameters).read(parameters.page_token)
        return _EXAMPLES[room_sid]


def _compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
