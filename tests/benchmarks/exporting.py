"""Figures of exports: what the records of more and more rooms take, room by room and by the window of time.

Every export is a process of its own. Rooms have 8 recordings on average, some 11 % of them still processing.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from roomrec_async import DateWindow, RateLimiter, RecordingsClient
from roomrec_async._export.rooms import open_sorted_rooms
from roomrec_async._export.shard import Shard
from roomrec_async._export.store import STATE_FOLDER
from roomrec_async.simulator import Simulator
from tests.benchmarks.archiving import proc_value
from tests.benchmarks.figures import Figure

# All that the account has, of up to 100,000 rooms.
_WINDOW: Final = DateWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC))
_MEAN_RECORDINGS: Final = 8


@attrs.frozen(kw_only=True)
class Run:
    """What one export took.

    Attributes:
        cpu: CPU seconds of the call, in all threads.
        peak: largest memory of the process, in MiB.
        bytes: size of the parts.
    """

    cpu: float
    peak: float
    bytes: int


def measure(*, quick: bool) -> Iterator[Figure]:
    """Yield the figures of each size, and those of the rooms of a shard, which are sorted before the first request."""
    for rooms in (100,) if quick else (1_000, 10_000, 100_000):
        yield from asyncio.run(measure_size(rooms))
    for rooms, shards in ((1_000, 1),) if quick else ((10_000_000, 1), (10_000_000, 10), (10_000_000, 40)):
        yield from asyncio.run(measure_sorting(rooms, shards))


async def measure_size(rooms: int) -> list[Figure]:
    """Measure an export of all rooms, and one of the window that has them."""
    figures: list[Figure] = []
    async with Simulator(
        rooms, (0, 2 * _MEAN_RECORDINGS), seed=3,
        reads_per_second=None, writes_per_second=None, concurrency_limit=None,
    ) as sim:  # fmt: skip
        for source, file_format in (("rooms", "jsonl"), ("window", "jsonl"), ("window", "parquet")):
            with tempfile.TemporaryDirectory() as directory:
                figures += await figures_of(sim, Path(directory), source, file_format)
    return figures


async def figures_of(sim: Simulator, directory: Path, source: str, file_format: str) -> list[Figure]:
    """Export once, in a process of its own, and return the figures."""
    requests = sim.stats.requests
    rooms = directory / "rooms.txt"
    rooms.write_text("\n".join(sim.room_sids))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, source, file_format, str(directory),
        env=os.environ | sim.environment(), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    result = Run(**json.loads(output))
    state = sum(path.stat().st_size for path in (directory / "export" / STATE_FOLDER).rglob("*") if path.is_file())
    name = f"export of {len(sim.room_sids):,} rooms, by {source}, {file_format}"
    return [
        Figure(f"{name}: requests", sim.stats.requests - requests, "", ""),
        Figure(f"{name}: CPU", result.cpu, "s", ""),
        Figure(f"{name}: peak memory", result.peak, "MiB", ""),
        Figure(f"{name}: parts", result.bytes / 1e6, "MB", ""),
        Figure(f"{name}: state", state / 1e6, "MB", ""),
    ]


async def measure_sorting(rooms: int, shards: int) -> list[Figure]:
    """Sort rooms in a process of its own, and return the figures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, "sort", str(rooms), str(shards), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    result = Run(**json.loads(output))
    name = f"the rooms of one of {shards} shards, of {rooms:,}"
    return [
        Figure(f"{name}: CPU", result.cpu, "s", ""),
        Figure(f"{name}: peak memory", result.peak, "MiB", ""),
        Figure(f"{name}: on disk", result.bytes / 1e6, "MB", ""),
    ]


async def export(source: str, file_format: str, directory: Path) -> Run:
    """Export in this process."""
    async with RecordingsClient.from_env(limiter=RateLimiter(None, None, None)) as client:
        cpu = time.process_time()
        with (directory / "rooms.txt").open() as lines:
            report = await client.export(
                _WINDOW if source == "window" else map(str.strip, lines),
                directory / "export",
                format="parquet" if file_format == "parquet" else "jsonl",
            )
        return Run(cpu=time.process_time() - cpu, peak=proc_value("status", "VmHWM") / 1024, bytes=report.bytes)


async def sort(rooms: int, shards: int) -> Run:
    """Sort the rooms of a shard in this process."""
    cpu = time.process_time()
    with open_sorted_rooms() as sorted_rooms:
        await sorted_rooms.fill((f"RM{number:032x}" for number in range(rooms)), Shard(1, shards))
        sorted_rooms.summarize()
        return Run(cpu=time.process_time() - cpu, peak=proc_value("status", "VmHWM") / 1024, bytes=temporary_bytes())


def temporary_bytes() -> int:
    """Return the size of the files that this process has open and that have no name."""
    size = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        # The one that listed them is closed.
        with suppress(OSError):
            status = os.fstat(int(descriptor.name))
            if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                size += status.st_size
    return size


def main(kind: str, *arguments: str) -> None:
    """Export or sort, and print what it took."""
    if kind == "sort":
        result = asyncio.run(sort(*map(int, arguments)))
    else:
        result = asyncio.run(export(kind, arguments[0], Path(arguments[1])))
    print(json.dumps(attrs.asdict(result)))


if __name__ == "__main__":
    main(*sys.argv[1:])
