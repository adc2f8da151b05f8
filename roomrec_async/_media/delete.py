"""Deletion of one recording at the service."""

from __future__ import annotations

from typing import Final

from roomrec_async._api.codec import decode_recording
from roomrec_async._api.params import account_recording_path, recording_path
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async._text import safe_text
from roomrec_async.errors import NotFoundError, RoomRecError
from roomrec_async.events import Operation
from roomrec_async.models import Recording, RecordingStatus

# The service's own code for a resource that does not exist.
_UNKNOWN_TO_THE_SERVICE: Final = 20404
_MAX_SID_LENGTH: Final = 40


async def delete_recording(transport: Transport, room_sid: str | None, sid: str, deadline: Deadline) -> bool:
    """Delete a recording, with its media; return False if the service does not know it, as after a deletion.

    Args:
        transport: sends the request.
        room_sid: the room that the recording must be of; None for any room.
        sid: the recording's SID.
        deadline: the end of all attempts.

    Raises:
        InvalidArgumentError: a SID is malformed.
        NotFoundError: a 404 or 410 that is not the service's own, such as that of a gateway.
    """
    path = account_recording_path(sid) if room_sid is None else recording_path(room_sid, sid)
    operation = Operation("delete", path)
    with transport.notifier.notify(operation):
        try:
            await transport.delete(path, deadline, operation)
        except NotFoundError as error:
            check_unknown(error)
            return False
    return True


async def is_deleted(transport: Transport, sid: str, deadline: Deadline) -> bool:
    """Return True if the account has no such recording, in whatever room, or has it as deleted.

    Raises:
        NotFoundError: a 404 or 410 that is not the service's own.
    """
    path = account_recording_path(sid)
    operation = Operation("recording", path)
    with transport.notifier.notify(operation):
        try:
            response = await transport.get(path, "", deadline, operation)
        except NotFoundError as error:
            check_unknown(error)
            return True
        operation.records = 1
        return decode_recording(response.body, sid).status is RecordingStatus.DELETED


def check_unknown(error: NotFoundError) -> None:
    """Raise the error, unless it is the service's own: a gateway's page with 404 says nothing about its recordings."""
    if not is_unknown(error):
        raise error


def is_unknown(error: RoomRecError) -> bool:
    """Return True if the service itself says that it does not have what was asked for."""
    return isinstance(error, NotFoundError) and error.code == _UNKNOWN_TO_THE_SERVICE


def foreign_account(recording: Recording, account_sid: str) -> str | None:
    """Return why a recording is not deleted because of its account, or None if it is not of another one.

    A parent's API key with a subaccount's SID reaches the parent's recordings: nobody named those.
    """
    owner = recording.account_sid
    if owner is None or owner.lower() == account_sid.lower():
        return None
    return f"it belongs to account {safe_text(owner, _MAX_SID_LENGTH)}, and not to {account_sid}"


def refusal(recording: Recording, account_sid: str) -> str | None:
    """Return why an archive does not delete a recording whatever its copy is, or None.

    Args:
        recording: the recording.
        account_sid: the account whose recordings may be deleted.
    """
    if recording.size is None:
        return "the service announced no size, so that no copy is a proof"
    if recording.media_external_location:
        return "its media are in the account's own bucket"
    # The list asks for completed ones, but a gateway may drop the filter: media that still grow are not all of them.
    if recording.status not in (None, RecordingStatus.COMPLETED):
        return f"it is not completed, but {safe_text(recording.status, _MAX_SID_LENGTH)}"
    return foreign_account(recording, account_sid)
