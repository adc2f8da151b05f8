"""Who the participants of rooms are, asked of the simulator, and in an export."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from roomrec_async import ConfigurationError, DateWindow, RateLimiter, RecordingsClient, RetryPolicy
from roomrec_async._listing.identities import list_identities
from roomrec_async.simulator import Simulator, faults

FAR_BACK = DateWindow(datetime(2020, 1, 1, tzinfo=UTC))


def unpaced(simulator: Simulator) -> RecordingsClient:
    return simulator.client(limiter=RateLimiter(None, None, None), retry=RetryPolicy(max_attempts=1))


def simulated(rooms: int) -> Simulator:
    return Simulator(rooms, (1, 9), reads_per_second=None, concurrency_limit=None)


async def truth(simulator: Simulator, client: RecordingsClient, room_sids: list[str]) -> dict[str, str | None]:
    """Return the identities by recording, from the lists of participants with each status."""
    names = {}
    for room_sid in room_sids:
        for status in ("connected", "disconnected", "reconnecting"):
            async for participant in client.participants(room_sid, status=status):
                names[participant.sid] = participant.identity
    records = [record for room_sid in room_sids for record in simulator.recordings(room_sid)]
    return {str(each["sid"]): names.get(each["grouping_sids"].get("participant_sid")) for each in records}


def exported(folder: Path) -> dict[str, str | None]:
    table = ds.dataset(folder).to_table(["sid", "participant_identity"])
    return dict(zip(table["sid"].to_pylist(), table["participant_identity"].to_pylist(), strict=True))


async def test_identities_are_those_of_all_participants() -> None:
    async with Simulator(40, (2, 9), reads_per_second=None) as simulator, simulator.client() as client:
        for status, requests in (("completed", 1), ("in-progress", 2)):
            room = next(iter(await client.rooms(status=status).to_list()))
            before = simulator.stats.requests
            identities = await list_identities(client.participants, str(room.sid))
            assert simulator.stats.requests - before == requests
            recorded = {each.participant_sid for each in await client.recordings(str(room.sid)).to_list()}
            assert recorded <= identities.keys()
            assert all(identities.values())


async def test_an_export_of_rooms_asks_once_for_each(tmp_path: Path) -> None:
    async with simulated(60) as simulator, unpaced(simulator) as client:
        rooms = [str(room.sid) async for room in client.rooms(status="completed")]
        before = simulator.stats.requests
        report = await client.export(rooms, tmp_path, identities=True)
        assert (report.complete, report.failed) == (True, 0)
        # One for the recordings of a room, one for its participants.
        assert simulator.stats.requests - before == 2 * len(rooms)
        found = exported(tmp_path)
        assert found == await truth(simulator, client, rooms)
        assert any(found.values())

        before = simulator.stats.requests
        await client.export(rooms, tmp_path, identities=True)
        assert simulator.stats.requests == before


async def test_an_export_of_a_window_has_them_too(tmp_path: Path) -> None:
    async with simulated(60) as simulator, unpaced(simulator) as client:
        report = await client.export(FAR_BACK, tmp_path, identities=True)
        everything = await truth(simulator, client, list(simulator.room_sids))
        found = exported(tmp_path)
        assert len(found) == report.recordings
        assert found.items() <= everything.items()


async def test_json_lines_have_them(tmp_path: Path) -> None:
    async with simulated(5) as simulator, unpaced(simulator) as client:
        rooms = list(simulator.room_sids)
        await client.export(rooms, tmp_path, format="jsonl", identities=True)
        lines = [json.loads(line) for part in tmp_path.glob("part-*") for line in part.read_text().splitlines()]
        assert {line["sid"]: line["participant_identity"] for line in lines} == await truth(simulator, client, rooms)


@pytest.mark.parametrize("source", ["rooms", "window"])
async def test_a_room_whose_participants_fail_is_asked_again(tmp_path: Path, source: str) -> None:
    async with simulated(20) as simulator, unpaced(simulator) as client:
        rooms = list(simulator.room_sids) if source == "rooms" else FAR_BACK
        broken = next(str(each["room_sid"]) for sid in simulator.room_sids[3:] for each in simulator.recordings(sid))
        simulator.inject(faults.Respond(503), path_contains=f"{broken}/Participants", times=None)
        report = await client.export(rooms, tmp_path, identities=True)
        assert (report.complete, list(report.failures)) == (False, [broken])
        assert "503" in report.failures[broken]
        simulator.clear_faults()
        report = await client.export(rooms, tmp_path, identities=True)
        assert (report.complete, report.failed) == (True, 0)
        found = exported(tmp_path)
        assert len(found) == report.recordings
        assert found.items() <= (await truth(simulator, client, list(simulator.room_sids))).items()


@pytest.mark.parametrize("first", [True, False])
async def test_a_destination_has_them_in_all_runs_or_in_none(tmp_path: Path, first: bool) -> None:
    async with simulated(3) as simulator, unpaced(simulator) as client:
        await client.export(list(simulator.room_sids), tmp_path, identities=first)
        before = simulator.stats.requests
        with pytest.raises(ConfigurationError, match=r"identities of participants: (yes|no), and not (yes|no)"):
            await client.export(list(simulator.room_sids), tmp_path, identities=not first)
        assert simulator.stats.requests == before
