"""The operations of the API: a path and a query in, the body of a 200 out, or a refusal. No HTTP here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Final

import attrs
from multidict import MultiMapping

from .account import EPOCH, RoomData, World
from .account_recordings import AccountCandidates
from .errors import not_found
from .pages import Ascending, PageTokens, body, cut
from .parameters import AccountRecordingParameters, RecordingParameters, RoomParameters

_32_BITS: Final = 2**32 - 1

EXAMPLE_ROOM_SID: Final = "RM" + "a" * 32
"""The room whose list is the reference's example with one recording, byte for byte."""
EMPTY_EXAMPLE_ROOM_SID: Final = "RM" + "b" * 32
"""The room whose list is the reference's example without recordings, byte for byte."""

_EXAMPLES: Final = {
    sid: (files(__package__) / "examples" / name).read_bytes()
    for sid, name in ((EXAMPLE_ROOM_SID, "one_recording.json"), (EMPTY_EXAMPLE_ROOM_SID, "empty.json"))
}


@attrs.frozen
class Api:
    """The operations on one account's data.

    Every method raises :class:`~.refusals.RefusedError` where the API would refuse.

    Args:
        world: the data.
        base_url: what the URLs in the answers begin with.
    """

    world: World
    base_url: str

    def list_recordings(self, room_sid: str, query: Mapping[str, str]) -> bytes:
        """``GET /v1/Rooms/{RoomSid}/Recordings``."""
        path = f"/v1/Rooms/{room_sid}/Recordings"
        if room_sid in _EXAMPLES:
            return self._example(room_sid, path, query)
        room = self._room(room_sid, path)
        parameters = RecordingParameters.parse(query)

        def wanted(index: int) -> bool:
            status = room.recording_status(index)
            return status != "deleted" if parameters.status is None else status == parameters.status

        candidates = room.candidates(
            created_from=parameters.created_from,
            created_before=parameters.created_before,
            source_sid=parameters.source_sid,
        )
        page = cut(Ascending(candidates), wanted, PageTokens(self.world.secret, path, parameters))
        records = room.recordings_json(page.indices, self.base_url)
        return body("recordings", self.base_url + path, page, parameters, records)

    def fetch_recording(self, room_sid: str, sid: str) -> bytes:
        """``GET /v1/Rooms/{RoomSid}/Recordings/{Sid}``."""
        path = f"/v1/Rooms/{room_sid}/Recordings/{sid}"
        room, index = self.find_recording(room_sid, sid, path)
        return room.recordings_json([index], self.base_url)[0].encode()

    def list_account_recordings(self, query: MultiMapping[str]) -> bytes:
        """``GET /v1/Recordings``."""
        path = "/v1/Recordings"
        parameters = AccountRecordingParameters.parse(query)
        candidates = AccountCandidates(self.world, parameters)
        page = cut(candidates, candidates.wanted, PageTokens(self.world.secret, path, parameters))
        records = [
            self.world.room(number >> 32).recordings_json([number & _32_BITS], self.base_url, of_account=True)[0]
            for number in page.indices
        ]
        return body("recordings", self.base_url + path, page, parameters, records)

    def fetch_account_recording(self, sid: str) -> bytes:
        """``GET /v1/Recordings/{Sid}``."""
        room, index = self.find_recording(None, sid, f"/v1/Recordings/{sid}")
        return room.recordings_json([index], self.base_url, of_account=True)[0].encode()

    def delete_recording(self, room_sid: str | None, sid: str, path: str, *, again: int) -> None:
        """``DELETE /v1/Rooms/{RoomSid}/Recordings/{Sid}`` and ``DELETE /v1/Recordings/{Sid}``.

        Args:
            room_sid: the room; None where it is not in the path.
            sid: the recording.
            path: what was asked for.
            again: the status of a second deletion.
        """
        room, index = self.find_recording(room_sid, sid, path)
        if room.recording_status(index) == "deleted":
            if again == HTTPStatus.NOT_FOUND:
                raise not_found(path)
            return
        room.delete(index, int((datetime.now(UTC) - EPOCH).total_seconds()))

    def find_media(self, room_sid: str | None, sid: str, path: str) -> tuple[RoomData, int]:
        """``GET .../Recordings/{Sid}/Media``: the room of the recording whose media are to be had, and its index."""
        room, index = self.find_recording(room_sid, sid, path)
        if not room.has_media(index):
            raise not_found(path)
        return room, index

    def find_recording(self, room_sid: str | None, sid: str, path: str) -> tuple[RoomData, int]:
        """A recording's room, and its index there."""
        found = self.world.find_recording(sid)
        if found is None or room_sid not in (None, found[0].sid):
            raise not_found(path)
        return found

    def list_rooms(self, query: Mapping[str, str]) -> bytes:
        """``GET /v1/Rooms``."""
        path = "/v1/Rooms"
        parameters = RoomParameters.parse(query)

        def wanted(index: int) -> bool:
            return self.world.room(index).status == parameters.status

        candidates = self.world.room_candidates(
            created_from=parameters.created_from,
            created_before=parameters.created_before,
            unique_name=parameters.unique_name,
        )
        page = cut(Ascending(candidates), wanted, PageTokens(self.world.secret, path, parameters))
        rooms = [_json(self.world.room(index).to_dict(self.base_url)) for index in page.indices]
        return body("rooms", self.base_url + path, page, parameters, rooms)

    def fetch_room(self, sid: str) -> bytes:
        """``GET /v1/Rooms/{Sid}``."""
        return _json(self._room(sid, f"/v1/Rooms/{sid}").to_dict(self.base_url)).encode()

    def recordings(self, room_sid: str, status: str | None) -> Iterator[dict[str, object]]:
        """What a list shows in all its pages together, without asking for it.

        Raises:
            RefusedError: 404/20404, there is no such room.
        """
        if room_sid in _EXAMPLES:
            return iter(json.loads(_EXAMPLES[room_sid])["recordings"])
        room = self._room(room_sid, f"/v1/Rooms/{room_sid}")
        return self._recordings(room, status)

    def _recordings(self, room: RoomData, status: str | None) -> Iterator[dict[str, object]]:
        for index in range(room.total):
            own = room.recording_status(index)
            if own == status or (status is None and own != "deleted"):
                yield json.loads(room.recordings_json([index], self.base_url)[0])

    def _room(self, sid: str, path: str) -> RoomData:
        room = self.world.find_room(sid)
        if room is None:
            raise not_found(path)
        return room

    def _example(self, room_sid: str, path: str, query: Mapping[str, str]) -> bytes:
        parameters = RecordingParameters.parse(query)
        if parameters.page_token is not None:
            PageTokens(self.world.secret, path, parameters).read(parameters.page_token)
        return _EXAMPLES[room_sid]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
