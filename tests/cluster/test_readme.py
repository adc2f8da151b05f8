"""The README's code for a cluster, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from roomrec_async.integrations.dask import ClusterSettings
from roomrec_async.simulator import Simulator

README = Path(__file__).parents[2] / "README.md"


async def test_the_readme(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"^```python\n([^`]*export_on.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, README.name, "exec"), names)
    async with Simulator(rooms=20, recordings_per_room=3, seed=105) as simulator:
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.username)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
        monkeypatch.setitem(names, "ClusterSettings", lambda **given: settings_for(simulator, given))
        written = await names["export_all"](address, list(simulator.room_sids), str(tmp_path / "recordings"))
        truth = sum(1 for room_sid in simulator.room_sids for _ in simulator.recordings(room_sid, "completed"))
    assert written == truth > 0
    assert list((tmp_path / "recordings").glob("part-*.parquet"))


def settings_for(simulator: Simulator, given: dict[str, Any]) -> Any:
    """The README's settings, for the simulator's endpoint and not the provider's."""
    return ClusterSettings(base_url=simulator.base_url, **given)
