"""The fixtures of the pytest plugin."""

import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest

from roomrec_async.simulator import Simulator

pytest_plugins = ["roomrec_async.simulator.pytest_plugin"]


def test_the_fixtures_serve_synchronous_tests(room_simulator_env, room_simulator, room_simulator_factory, monkeypatch):
    assert room_simulator_env is room_simulator
    assert room_simulator.reads_per_second is None
    other = room_simulator_factory(Simulator(rooms=1))
    assert other.base_url != room_simulator.base_url
    with pytest.raises(urllib.error.HTTPError, match="401") as refusal:
        urllib.request.urlopen(f"{other.base_url}/v1/Rooms?{urlencode({'PageSize': 1})}")
    refusal.value.close()
