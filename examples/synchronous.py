"""Synchronous code that needs recordings: one asyncio.run around all that is to be fetched at once.

A client belongs to the event loop that it was first used in, and asyncio.run makes a new one each time. So the client
is opened within, and the more rooms one call is given, the faster it is. Try it with the simulator::

    roomrec simulate --rooms 200 --write-rooms rooms.txt -- python examples/synchronous.py rooms.txt
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from roomrec_async import Recording, RecordingsClient, RoomRecError


def recordings_of(room_sids: Sequence[str]) -> dict[str, list[Recording]]:
    """The completed recordings of rooms, for callers that know nothing of asyncio."""

    async def fetch() -> dict[str, list[Recording]]:
        async with RecordingsClient.from_env() as client:
            return await client.gather(room_sids, status="completed")

    return asyncio.run(fetch())


def main(rooms: Path) -> None:
    for room_sid, recordings in recordings_of(rooms.read_text().split()).items():
        minutes = sum(recording.duration or 0 for recording in recordings) / 60
        print(f"{room_sid} {len(recordings)} recordings, {minutes:.1f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", type=Path, help="a file of room SIDs")
    try:
        main(parser.parse_args().rooms)
    except (RoomRecError, OSError) as error:
        sys.exit(f"synchronous.py: {error}")
