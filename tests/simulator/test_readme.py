"""The README's code, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from roomrec_async.simulator import Simulator, faults

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def readme() -> dict[str, Any]:
    """What all Python blocks of the README define, one after the other."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, README.name, "exec"), names)
    return names


def test_the_first_two_blocks_are_one_command_line_each() -> None:
    demo, tests = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[:2]
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.rstrip().endswith("roomrec demo")
    assert tests.rstrip().endswith("pytest")


async def test_one_room(readme: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(rooms=1, recordings_per_room=30) as sim:
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", sim.credentials.username)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", sim.credentials.password)
        monkeypatch.setenv("ROOMREC_BASE_URL", sim.base_url)
        seconds = sum(int(str(record["duration"] or 0)) for record in sim.recordings(sim.room_sids[0], "completed"))
        assert await readme["minutes"](sim.room_sids[0]) == pytest.approx(seconds / 60)


async def test_an_interrupted_list_goes_on(readme: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with Simulator(rooms=1, recordings_per_room=2500) as sim, sim.client() as client:
        sim.inject(faults.Respond(403), path_contains="Page=2")
        sids = await readme["all_of_it"](client, sim.room_sids[0])
        assert sids == [record["sid"] for record in sim.recordings(sim.room_sids[0])]
    assert "interrupted: GET http" in capsys.readouterr().out


async def test_many_rooms(readme: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with Simulator(rooms=3, recordings_per_room=4) as sim, sim.client() as client:
        await readme["three_ways"](client, list(sim.room_sids), sim.room_sids)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 12


async def test_the_test(readme: dict[str, Any]) -> None:
    await readme["test_my_code_survives_a_restart"]()
