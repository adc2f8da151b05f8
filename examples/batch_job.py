"""A batch job that exports the recordings of many rooms to JSON lines. It can be killed at any time and resumed.

A journal next to the output records which rooms are complete, and where in the output each of them ends. The next run
truncates the output after the last complete room, skips the rooms that are done, and continues with the others. Never
run two jobs with the same output at once. Try it with the simulator::

    roomrec simulate --rooms 500 --write-rooms rooms.txt -- python examples/batch_job.py rooms.txt recordings.jsonl
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from roomrec_async import Recording, RecordingsClient, to_json_lines


class Output:
    """The file of recordings and its journal.

    The journal has one line for each complete room: its SID, and the size of the output after it.

    Attributes:
        done: the SIDs of the rooms that are complete.
    """

    def __init__(self, path: Path) -> None:
        journal = Path(f"{path}.journal")
        if path.exists() and path.stat().st_size and not journal.exists():
            sys.exit(f"{path} is not empty and has no {journal.name}: this job did not write it, and leaves it alone")

        # The journal is created first, so that an output of this job always has one.
        self._journal = journal.open("a+b")
        self._output = path.open("ab")
        self.done: set[str] = set()

    def __enter__(self) -> Self:
        self._journal.seek(0)
        journal_end = 0
        output_end = 0
        size = self._output.seek(0, os.SEEK_END)
        for line in self._journal:
            if not line.endswith(b"\n"):  # the job was killed while writing this line
                break
            room_sid, offset = line.split()
            if int(offset) > size:  # the output was deleted, or lost its end in a power failure
                break
            self.done.add(room_sid.decode())
            journal_end += len(line)
            output_end = int(offset)

        # Whatever follows belongs to rooms that are not complete.
        self._journal.truncate(journal_end)
        self._output.truncate(output_end)
        self._output.seek(0, os.SEEK_END)
        return self

    def add(self, room_sid: str, recordings: list[Recording]) -> None:
        """Write a room: first the recordings, then the journal, which must never name a room that is incomplete."""
        self._output.write(to_json_lines(recordings))
        self._output.flush()
        self._journal.write(f"{room_sid} {self._output.tell()}\n".encode())
        self._journal.flush()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._output.close()
        self._journal.close()


def remaining_rooms(path: Path, done: set[str]) -> Iterator[str]:
    """Yield the room SIDs of a file that are not done, one per line, each of them once."""
    seen = set(done)
    with path.open() as lines:
        for line in lines:
            room_sid = line.strip()
            if room_sid and room_sid not in seen:
                seen.add(room_sid)
                yield room_sid


async def main(rooms: Path, recordings: Path) -> int:
    """Export the rooms; return the exit code."""
    failed = 0
    with Output(recordings) as output:
        async with RecordingsClient.from_env() as client:
            async for result in client.as_completed(remaining_rooms(rooms, output.done)):
                if result.error is None:
                    output.add(result.room_sid, result.recordings)
                else:
                    # The room is not in the journal, so the next run retries it.
                    failed += 1
                    print(f"{result.room_sid}: {result.error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(f"usage: {sys.argv[0]} ROOMS RECORDINGS")
    sys.exit(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]))))
