"""Every operation of the client, with a result that can be compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from roomrec_async import Recording, RecordingsClient
from roomrec_async.simulator import Simulator

BEGINNING = datetime(2025, 12, 1, tzinfo=UTC)

Operation: TypeAlias = Callable[[RecordingsClient, Simulator, Path], Awaitable[object]]
"""Runs an operation; returns a value to compare with that of a run without faults."""


def sids(recordings: list[Recording]) -> list[str]:
    return [str(recording.sid) for recording in recordings]


async def iterate(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return [recording.sid async for recording in client.recordings(sim.room_sids[0], page_size=5)]


async def pages(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    # A page that repeats another one brings nothing new, and comes empty.
    return [sids(page.items) async for page in client.recordings(sim.room_sids[0], page_size=5).pages() if page.items]


async def to_list(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return sids(await client.recordings(sim.room_sids[0], page_size=5).to_list())


async def first(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return await client.recordings(sim.room_sids[0]).first()


async def gather(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    found = await client.gather(sim.room_sids, page_size=5)
    return {room_sid: sids(recordings) for room_sid, recordings in found.items()}


async def as_completed(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    found = {}
    async with aclosing(client.as_completed(sim.room_sids, page_size=5)) as results:
        async for result in results:
            if result.error is not None:
                raise result.error
            found[result.room_sid] = sids(result.recordings)
    return dict(sorted(found.items()))


async def stream(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return sorted([str(recording.sid) async for recording in client.stream(sim.room_sids, page_size=5)])


async def via_account(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    found = await client.gather(sim.room_sids, via="account", date_created_after=BEGINNING, page_size=5)
    return {room_sid: sorted(sids(recordings)) for room_sid, recordings in found.items()}


async def account_recordings(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return sids(await client.account_recordings(page_size=5).to_list())


async def rooms(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return [room.sid async for room in client.rooms(status="completed", page_size=1)]


async def recording(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return await client.recording(sim.room_sids[0], stored_recording(sim).sid or "")


async def delete(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    sid = stored_recording(sim).sid or ""
    sim.account.deletions.clear()
    await client.delete(sim.room_sids[0], sid)
    return [sim.account.recording_sids.sid(number) for number in sim.account.deletions]


async def signed_media_url(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    return (await client.signed_media_url(stored_recording(sim))).partition("?")[0]


async def download(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    done = await client.download(stored_recording(sim), directory / "media")
    return (directory / "media").read_bytes(), done.size, done.sha256


async def archive(client: RecordingsClient, sim: Simulator, directory: Path) -> object:
    report = await client.archive(sim.room_sids[:1], directory, manifest=("jsonl",))
    if report.failures:
        raise ArchiveFailedError(report.failures)
    return sorted((path.name, path.read_bytes()) for path in (directory / sim.room_sids[0]).iterdir())


class ArchiveFailedError(Exception):
    """An archive reported failed recordings."""


OPERATIONS: list[Operation] = [
    iterate, pages, to_list, first, gather, as_completed, stream, via_account, account_recordings, rooms, recording,
    delete, signed_media_url, download, archive,
]  # fmt: skip


def stored_recording(sim: Simulator) -> Recording:
    """Return a recording with media, as a list has it."""
    record = next(sim.recordings(sim.room_sids[0], "completed"))
    return Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0], size=int(str(record["size"])))
