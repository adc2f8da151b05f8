"""A batch job: the recordings of all rooms in a file, to JSON lines. Stop it however you like, and start it again.

Beside the output, a journal says which rooms are whole in it, and where the last of them ends. The next run (one at a
time) cuts off what comes after that, passes over the rooms that are done, and goes on. Try it with the simulator::

    roomrec simulate --rooms 500 --write-rooms rooms.txt -- python examples/batch_job.py rooms.txt recordings.jsonl
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from roomrec_async import Recording, RecordingsClient, to_dict


class Output:
    """The file of recordings, and its journal: a line with room SID and end of file for each room that is whole."""

    def __init__(self, path: Path) -> None:
        journal = Path(f"{path}.journal")
        if path.exists() and path.stat().st_size and not journal.exists():
            sys.exit(f"{path} is not empty and has no {journal.name} beside it: it is not this job's to cut")
        self._journal = journal.open("a+b")  # before the output, which is never there without it
        self._output = path.open("ab")
        self.done: set[str] = set()

    def __enter__(self) -> Self:
        self._journal.seek(0)
        end_of_journal = end_of_output = 0
        size = self._output.seek(0, os.SEEK_END)
        for line in self._journal:
            if not line.endswith(b"\n"):  # killed while it was written
                break
            room_sid, offset = line.split()
            if int(offset) > size:  # the output was deleted, or lost its end with the machine's power
                break
            self.done.add(room_sid.decode())
            end_of_journal += len(line)
            end_of_output = int(offset)
        self._journal.truncate(end_of_journal)
        self._output.truncate(end_of_output)
        self._output.seek(0, os.SEEK_END)
        return self

    def add(self, room_sid: str, recordings: list[Recording]) -> None:
        """Write a room: the journal only after the recordings, so that it never promises too much."""
        self._output.write(b"".join(json.dumps(to_dict(recording)).encode() + b"\n" for recording in recordings))
        self._output.flush()
        self._journal.write(f"{room_sid} {self._output.tell()}\n".encode())
        self._journal.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._output.close()
        self._journal.close()


def rooms_to_do(path: Path, done: set[str]) -> Iterator[str]:
    """The rooms of a file, line by line, each once."""
    taken = set(done)
    with path.open() as lines:
        for line in lines:
            room_sid = line.strip()
            if room_sid and room_sid not in taken:
                taken.add(room_sid)
                yield room_sid


async def main(rooms: Path, recordings: Path) -> int:
    failed = 0
    with Output(recordings) as output:
        async with RecordingsClient.from_env() as client:
            async for result in client.as_completed(rooms_to_do(rooms, output.done)):
                if result.error is None:
                    output.add(result.room_sid, result.recordings)
                else:  # not in the journal: the next run tries it again
                    failed += 1
                    print(f"{result.room_sid}: {result.error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(f"usage: {sys.argv[0]} ROOMS RECORDINGS")
    sys.exit(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]))))
