"""Deletion of one recording at the service."""

from __future__ import annotations

from typing import Final

from roomrec_async._api.params import recording_path
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async.errors import NotFoundError
from roomrec_async.events import Operation

# The service's own code for a resource that does not exist.
_UNKNOWN_TO_THE_SERVICE: Final = 20404


async def delete_recording(transport: Transport, room_sid: str, sid: str, deadline: Deadline) -> bool:
    """Delete a recording, with its media; return False if the service does not know it, as after a deletion.

    Raises:
        InvalidArgumentError: a SID is malformed.
        NotFoundError: a 404 or 410 that is not the service's own, such as that of a gateway.
    """
    path = recording_path(room_sid, sid)
    operation = Operation("delete", path)
    with transport.notifier.notify(operation):
        try:
            await transport.delete(path, deadline, operation)
        except NotFoundError as error:
            # Only the service knows its recordings: a gateway's page with 404 says nothing about them.
            if error.code != _UNKNOWN_TO_THE_SERVICE:
                raise
            return False
    return True
