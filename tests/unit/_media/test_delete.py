"""Deleting one recording: once, again, and where it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from aioresponses import aioresponses
from yarl import URL

from roomrec_async import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Recording,
    RecordingsClient,
    Timeout,
)
from roomrec_async._http.timers import Deadline
from roomrec_async._media.delete import delete_recording
from roomrec_async.events import Activity, Operation

from ...conftest import ACCOUNT_SID, LIST_URL, ROOM_SID

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


class TestRecordings:
    """A recording is deleted only if it belongs to the account, or to one that was named."""

    OTHER = "AC" + "f" * 32

    async def test_it_is_deleted_in_its_room(self, client: RecordingsClient, service: aioresponses) -> None:
        service.delete(RECORDING_URL, status=204)
        assert await client.delete(Recording(sid=SID, room_sid=ROOM_SID, account_sid=ACCOUNT_SID.upper())) is True

    async def test_it_is_deleted_in_whatever_room_if_it_names_none(
        self, client: RecordingsClient, service: aioresponses
    ) -> None:
        service.delete(f"https://video.twilio.com/v1/Recordings/{SID}", status=204)
        assert await client.delete(Recording(sid=SID)) is True

    async def test_one_of_another_account_is_refused(self, client: RecordingsClient, service: aioresponses) -> None:
        foreign = Recording(sid=SID, room_sid=ROOM_SID, account_sid=self.OTHER)
        with pytest.raises(InvalidArgumentError, match=f"{SID} is not deleted: it belongs to account {self.OTHER}"):
            await client.delete(foreign)
        assert not service.requests

    async def test_one_of_an_account_that_was_named(self, client: RecordingsClient, service: aioresponses) -> None:
        service.delete(RECORDING_URL, status=204)
        foreign = Recording(sid=SID, room_sid=ROOM_SID, account_sid=self.OTHER)
        assert await client.delete(foreign, account_sid=self.OTHER.upper()) is True
        with pytest.raises(InvalidArgumentError, match="and not to"):
            await client.delete(Recording(sid=SID, account_sid=ACCOUNT_SID), account_sid=self.OTHER)

    @pytest.mark.parametrize(
        ("arguments", "options"),
        [
            ((None, SID), {}),
            ((Recording(sid=SID), SID), {}),
            ((Recording(),), {}),
            ((ROOM_SID,), {}),
            ((Recording(sid=SID),), {"account_sid": "parent"}),
            ((Recording(sid=SID),), {"account_sid": ""}),
            ((ROOM_SID, SID), {"account_sid": OTHER}),
        ],
    )
    async def test_what_names_no_recording_is_refused(
        self, client: RecordingsClient, service: aioresponses, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidArgumentError):
            await client.delete(*arguments, **options)
        assert not service.requests
