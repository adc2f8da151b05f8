"""Deleting one recording: once, again, and where it is refused."""

from __future__ import annotations

import pytest
from aioresponses import aioresponses
from yarl import URL

from roomrec_async import InvalidArgumentError, NotFoundError, PermissionDeniedError, RecordingsClient, Timeout
from roomrec_async._http.timers import Deadline
from roomrec_async._media.delete import delete_recording
from roomrec_async.events import Activity, Operation

from ...conftest import LIST_URL, ROOM_SID

SID = f"RT{7:032x}"
RECORDING_URL = f"{LIST_URL}/{SID}"


async def delete(client: RecordingsClient, room_sid: str = ROOM_SID, sid: str = SID) -> bool:
    return await delete_recording(client._transport, room_sid, sid, Deadline.start(Timeout()))


async def test_a_deletion_is_true(client: RecordingsClient, service: aioresponses) -> None:
    service.delete(RECORDING_URL, status=204)
    assert await delete(client) is True
    assert list(service.requests) == [("DELETE", URL(RECORDING_URL))]


async def test_an_unknown_recording_is_false(client: RecordingsClient, service: aioresponses) -> None:
    service.delete(RECORDING_URL, status=404, payload={"code": 20404, "message": "not found", "status": 404})
    assert await delete(client) is False


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    "body", [b"<html><title>Not Found</title></html>", b"", b'{"code": 20001, "message": "no"}', b'{"code": "20404"}']
)
async def test_a_404_that_is_not_the_services_own_deletes_nothing(
    client: RecordingsClient, service: aioresponses, status: int, body: bytes
) -> None:
    service.delete(RECORDING_URL, status=status, body=body)
    with pytest.raises(NotFoundError):
        await delete(client)


async def test_a_refusal_is_an_error(client: RecordingsClient, service: aioresponses) -> None:
    service.delete(RECORDING_URL, status=403, payload={"code": 20403, "message": "suspended", "status": 403})
    with pytest.raises(PermissionDeniedError, match="suspended"):
        await delete(client)


@pytest.mark.parametrize(("room_sid", "sid"), [("", SID), (SID, SID), (ROOM_SID, ""), (ROOM_SID, "RT7")])
async def test_a_malformed_sid_is_never_sent(
    client: RecordingsClient, service: aioresponses, room_sid: str, sid: str
) -> None:
    with pytest.raises(InvalidArgumentError):
        await delete(client, room_sid, sid)
    assert not service.requests


async def test_observers_see_the_operation(credentials, service: aioresponses) -> None:
    class Seen(list[Activity]):
        def started(self, activity: Activity) -> None:
            self.append(activity)

        def ended(self, activity: Activity) -> None: ...

    seen = Seen()
    service.delete(RECORDING_URL, status=404, payload={"code": 20404})
    async with RecordingsClient(credentials, observers=[seen]) as client:
        assert await delete(client) is False
    operations = [activity for activity in seen if isinstance(activity, Operation)]
    assert [(operation.name, operation.recording_sid) for operation in operations] == [("delete", SID)]
    # Deleting again what is gone is a success.
    assert operations[0].error is None
