"""Figures of archives that run again and again: what a run costs where nothing is new, and where something is.

The archives have 1,000, 16,000 and 200,000 recordings, which are not copied one by one: the ledger is filled as if they
had been, and each copy is an empty file. Every run is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from roomrec_async import ArchiveProgress, DateWindow, RateLimiter, Recording, RecordingsClient, from_dict, to_dict
from roomrec_async._archive.ledger import LEDGER_NAME, Ledger
from roomrec_async._archive.run import room_folder
from roomrec_async._media.locate import media_name
from roomrec_async.simulator import Simulator
from tests.benchmarks.figures import Figure

Source: TypeAlias = list[str] | tuple[float, float]
"""SIDs of rooms, or the ends of a window in seconds since 1970."""

# Nothing was recorded then.
_EMPTY: Final = (0.0, 86_400.0)
_RECORDINGS_PER_ROOM: Final = 10

_FILL: Final = """
WITH RECURSIVE numbers (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)
INSERT INTO recordings (sid, recording, state, location, bytes, sha256, archived_at, room_sid, created, size)
SELECT
    printf('RT%032x', n),
    json_set(:recording, '$.sid', printf('RT%032x', n), '$.room_sid', printf('RM%032x', n / :per_room)),
    'archived', printf('RM%032x/RT%032x', n / :per_room, n), 0, lower(hex(randomblob(32))),
    '2026-01-01T00:00:00+00:00', printf('RM%032x', n / :per_room), :created, 0
FROM numbers
"""


@attrs.frozen(kw_only=True)
class Run:
    """What one run took.

    Attributes:
        cpu: CPU seconds of the call, in all threads.
        seconds: seconds from its start to its end.
        first_copy: seconds from its start to its first copy; None if it made none.
        written: bytes written to files.
        peak: largest memory of the process, in MiB.
    """

    cpu: float
    seconds: float
    first_copy: float | None
    written: int
    peak: float


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield the figures of each size."""
    for size in (200,) if quick else (1_000, 16_000, 200_000):
        with tempfile.TemporaryDirectory() as directory:
            yield from asyncio.run(measure_size(size, Path(directory)))


async def measure_size(size: int, directory: Path) -> list[Figure]:
    """Measure runs for a window with nothing, for one with new recordings, and one that resumes behind all others."""
    async with Simulator(
        rooms=2, recordings_per_room=5, seed=3, media_size=1_000, reads_per_second=None, writes_per_second=None
    ) as sim:
        first, last = (
            [from_dict(Recording, record) for record in sim.recordings(room_sid, "completed")]
            for room_sid in sim.room_sids
        )
        account_sid = sim.credentials.account_sid
        await fill(directory, account_sid, first[0], size)
        rooms = [f"RM{number:032x}" for number in range(size // _RECORDINGS_PER_ROOM)]
        dates = [each.date_created.timestamp() for each in first if each.date_created]
        # Writes the manifest.
        await run(sim, directory, _EMPTY)
        figures = await figures_of(sim, directory, f"archive of {size:,}, empty window", _EMPTY)
        figures += await figures_of(sim, directory, f"archive of {size:,}, something new", (min(dates), max(dates) + 1))
        mark_listed(directory, rooms)
        figures += await figures_of(sim, directory, f"archive of {size:,}, resumed", [*rooms, last[0].room_sid or ""])
    return figures


async def fill(directory: Path, account_sid: str, example: Recording, count: int) -> None:
    """Fill an archive with recordings like an example, whose copies are empty."""
    recording = attrs.evolve(example, size=0, date_created=datetime(2025, 1, 1, tzinfo=UTC))
    async with Ledger(directory / LEDGER_NAME, ".", account_sid=account_sid):
        pass
    values = {
        "count": count,
        "recording": json.dumps(to_dict(recording)),
        "per_room": _RECORDINGS_PER_ROOM,
        "created": datetime(2025, 1, 1, tzinfo=UTC).timestamp(),
    }
    with closing(sqlite3.connect(directory / LEDGER_NAME)) as connection, connection:
        connection.execute(_FILL, values)
    for number in range(count):
        sids = {"sid": f"RT{number:032x}", "room_sid": f"RM{number // _RECORDINGS_PER_ROOM:032x}"}
        copied = attrs.evolve(recording, **sids)
        folder = directory / room_folder(copied)
        folder.mkdir(exist_ok=True)
        (folder / media_name(copied)).touch()


def mark_listed(directory: Path, room_sids: list[str]) -> None:
    """Let the rooms be those that an interrupted run has listed."""
    with closing(sqlite3.connect(directory / LEDGER_NAME)) as connection, connection:
        connection.executemany("INSERT INTO listed_rooms VALUES (?)", [(room_sid,) for room_sid in room_sids])


async def figures_of(sim: Simulator, directory: Path, name: str, source: Source) -> list[Figure]:
    """Run once, and return the figures."""
    before = sim.stats.requests
    result = await run(sim, directory, source)
    figures = [
        Figure(f"{name}: CPU", result.cpu, "s", ""),
        Figure(f"{name}: requests", sim.stats.requests - before, "", ""),
        Figure(f"{name}: written", result.written / 1024, "KiB", ""),
        Figure(f"{name}: peak memory", result.peak, "MiB", ""),
    ]
    if result.first_copy is not None:
        figures.append(Figure(f"{name}: first copy, of {result.seconds:.1f} s", result.first_copy, "s", ""))
    return figures


async def run(sim: Simulator, directory: Path, source: Source) -> Run:
    """Run an archive in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(directory),
        env=os.environ | sim.environment(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(json.dumps(source).encode())
    return Run(**json.loads(output))


async def archive(directory: Path, source: list[str] | DateWindow) -> Run:
    """Archive in this process."""
    limiter, progress = RateLimiter(None, None, None), ArchiveProgress()
    async with RecordingsClient.from_env(limiter=limiter) as client:
        cpu, begin, written = time.process_time(), time.perf_counter(), proc_value("io", "wchar")
        watching = asyncio.create_task(first_copy(progress))
        await client.archive(source, directory, manifest=("jsonl",), progress=progress)
        seconds = time.perf_counter() - begin
        cpu = time.process_time() - cpu
        watching.cancel()
        [copied] = await asyncio.gather(watching, return_exceptions=True)
        return Run(
            cpu=cpu,
            seconds=seconds,
            first_copy=copied - begin if isinstance(copied, float) else None,
            written=proc_value("io", "wchar") - written,
            peak=proc_value("status", "VmHWM") / 1024,
        )


async def first_copy(progress: ArchiveProgress) -> float:
    """Return when the first recording was copied."""
    while not progress.archived:
        await asyncio.sleep(0.01)
    return time.perf_counter()


def proc_value(name: str, key: str) -> int:
    """Return a number that Linux keeps of this process.

    Of the memory, ``getrusage`` would return the peak of the process that started this one, if that is larger.
    """
    lines = Path("/proc/self", name).read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[key].split()[0])


def main(directory: str) -> None:
    """Archive the source that is on standard input, and print what it took."""
    source = json.load(sys.stdin)
    if not isinstance(source[0], str):
        source = DateWindow(*(datetime.fromtimestamp(seconds, UTC) for seconds in source))
    print(json.dumps(attrs.asdict(asyncio.run(archive(Path(directory), source)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
