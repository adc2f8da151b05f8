"""Options of the commands that run a simulator."""

from __future__ import annotations

import pytest

from roomrec_async.cli.support.simulation import latency_range


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, (0, 0)), (120, (0.08, 0.16)), (3, (0.002, 0.004))])
def test_response_times_are_spread_around_their_average(milliseconds: float, seconds: tuple[float, float]) -> None:
    shortest, longest = latency_range(milliseconds)
    assert (shortest, longest) == pytest.approx(seconds)
    assert (shortest + longest) / 2 == pytest.approx(milliseconds / 1000)
