"""Deletion of one recording at the service."""

from __future__ import annotations

from roomrec_async._api.params import recording_path
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async.errors import NotFoundError
from roomrec_async.events import Operation


async def delete_recording(transport: Transport, room_sid: str, sid: str, deadline: Deadline) -> bool:
    """Delete a recording, with its media; return False if the service does not know it, as after a deletion.

    Raises:
        InvalidArgumentError: a SID is malformed.
    """
    path = recording_path(room_sid, sid)
    operation = Operation("delete", path)
    with transport.notifier.notify(operation):
        try:
            await transport.delete(path, deadline, operation)
        except NotFoundError:
            return False
    return True
