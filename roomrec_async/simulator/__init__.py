"""A simulator of the recordings API, in this process and on a real socket: for tests, demonstrations and benchmarks.

    async with Simulator(rooms=3, recordings_per_room=120) as simulator, simulator.client() as client:
        recordings = await client.gather(simulator.room_sids)

In a synchronous program, ``with Simulator() as simulator:`` runs it in a thread of its own. ``pytest_plugin`` has
fixtures, and ``faults`` the faults that can be injected.
"""

from . import faults
from .account import Account
from .api import EMPTY_EXAMPLE_ROOM_SID, EXAMPLE_ROOM_SID
from .http_server import ReceivedRequest, Statistics
from .media_store import MediaStore
from .sids import LazyRoomSids
from .simulator import Simulator

__all__ = [
    "EMPTY_EXAMPLE_ROOM_SID",
    "EXAMPLE_ROOM_SID",
    "Account",
    "LazyRoomSids",
    "MediaStore",
    "ReceivedRequest",
    "Simulator",
    "Statistics",
    "faults",
]
