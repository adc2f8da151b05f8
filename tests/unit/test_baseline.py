"""The comparison that lets a build fail where instructions have grown."""

from __future__ import annotations

import pytest

from tests.benchmarks.baseline import Baseline, Counted, interpreter


@pytest.mark.parametrize(
    ("ours", "is_regression"),
    [(900.0, False), (1100.0, False), (1122.0, False), (1132.9, False), (1133.1, True), (1134.0, True), (2200.0, True)],
)
def test_growth_of_more_than_three_percent_is_a_regression(ours: float, is_regression: bool) -> None:
    baseline = Baseline({}, {interpreter(): {"5": 1.1}})
    assert baseline.is_regression(Counted("5", ours, by_hand=1000.0)) is is_regression


def test_the_ratio_counts_and_not_the_instructions() -> None:
    baseline = Baseline({}, {interpreter(): {"5": 1.1}})
    assert not baseline.is_regression(Counted("5", ours=2200.0, by_hand=2000.0))
    assert baseline.is_regression(Counted("5", ours=1100.0, by_hand=900.0))


def test_each_case_is_compared_with_its_own_ratio() -> None:
    baseline = Baseline({}, {interpreter(): {"5": 1.1, "import": 2.0}})
    assert not baseline.is_regression(Counted("import", ours=2000.0, by_hand=1000.0))
    assert baseline.is_regression(Counted("5", ours=2000.0, by_hand=1000.0))


def test_a_case_without_a_baseline_is_no_regression() -> None:
    baseline = Baseline({}, {interpreter(): {"5": 1.1}, "2.7": {"12": 0.1}})
    assert not baseline.is_regression(Counted("12", ours=9000.0, by_hand=1000.0))


def test_the_baseline_in_the_repository_can_be_read() -> None:
    baseline = Baseline.read()
    assert all(ratio > 0 for ratios in baseline.ratios.values() for ratio in ratios.values())
    assert {"5", "12", "50", "200", "1000", "import"} <= set(baseline.ratios["3.11"])
