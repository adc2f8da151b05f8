"""Use the library from synchronous code: one asyncio.run around everything that is to be fetched together.

A client belongs to the event loop in which it was first used, and each asyncio.run creates a new loop. The client is
therefore opened inside of it, and one call for many rooms is faster than many calls. Try it with the simulator::

    roomrec simulate --rooms 200 --write-rooms rooms.txt -- python examples/synchronous.py rooms.txt
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from roomrec_async import Recording, RecordingsClient, Records, RoomRecError


def fetch_recordings(room_sids: Sequence[str]) -> dict[str, Records[Recording]]:
    """Return the completed recordings of rooms; blocks until all of them are there."""

    async def fetch() -> dict[str, Records[Recording]]:
        async with RecordingsClient.from_env() as client:
            return await client.gather(room_sids, status="completed")

    return asyncio.run(fetch())


def main(rooms: Path) -> None:
    """Print a line for each room of a file."""
    for room_sid, recordings in fetch_recordings(rooms.read_text().split()).items():
        minutes = sum(recording.duration or 0 for recording in recordings) / 60
        print(f"{room_sid} {len(recordings)} recordings, {minutes:.1f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", type=Path, help="a file of room SIDs")
    try:
        main(parser.parse_args().rooms)
    except (RoomRecError, OSError) as error:
        sys.exit(f"synchronous.py: {error}")
