"""The events that observers receive."""

from __future__ import annotations

import weakref

import pytest
from yarl import URL

from roomrec_async.events import Attempt, Operation, Request

ROOM_SID = "RM" + "0aF9" * 8
RECORDING_SID = "RT" + "Be01" * 8


@pytest.mark.parametrize("change", [str, lambda sid: sid[:2] + sid[2:].lower(), lambda sid: sid[:2] + sid[2:].upper()])
def test_an_operation_knows_its_room_and_recording_in_either_case(change: type[str]) -> None:
    room_sid, recording_sid = change(ROOM_SID), change(RECORDING_SID)
    operation = Operation("recording", f"/v1/Rooms/{room_sid}/Recordings/{recording_sid}")
    assert operation.room_sid == room_sid
    assert operation.recording_sid == recording_sid


@pytest.mark.parametrize("path", ["/v1/Recordings", "/v1/Rooms", "/v1/Rooms/RM123/Recordings"])
def test_an_operation_on_no_room_has_none(path: str) -> None:
    assert Operation("rooms", path).room_sid is None
    assert Operation("rooms", path).recording_sid is None


def test_a_request_shows_its_url_without_the_query() -> None:
    request = Request(Operation("rooms", "/v1/Rooms"), "GET", URL("https://video.example/v1/Rooms?PageToken=secret"))
    assert str(request.url) == "https://video.example/v1/Rooms"


def test_an_attempt_of_media_waited_for_no_permit() -> None:
    request = Request(Operation("download", "/v1/Rooms"), "GET", URL("https://store.example/x"))
    assert (Attempt(request, 1).waited, Attempt(request, 1).status, Attempt(request, 1).error) == (None, None, None)


def test_an_observer_can_tell_activities_apart_and_keep_things_with_them() -> None:
    first, second = Operation("rooms", "/v1/Rooms"), Operation("rooms", "/v1/Rooms")
    assert first != second
    assert len({first, second}) == 2
    spans = weakref.WeakKeyDictionary({first: "a span"})
    assert spans[first] == "a span"
    vars(second)["span"] = "another"
    assert second.span == "another"  # type: ignore[attr-defined]
