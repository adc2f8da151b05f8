"""The sliding window: how many requests are admitted within any second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async.simulator.sliding_window import SlidingWindow


def test_as_many_requests_as_the_rate_are_admitted_within_a_second():
    window = SlidingWindow()
    assert [window.try_acquire(10.0 + number / 10, rate=3) for number in range(5)] == [True, True, True, False, False]


def test_a_request_leaves_the_window_a_second_after_it_was_admitted():
    window = SlidingWindow()
    assert window.try_acquire(10.0, rate=1)
    assert not window.try_acquire(10.999, rate=1)
    assert window.try_acquire(11.0, rate=1), "the refused request must not count"


@pytest.mark.parametrize("rate", [0, 0.0])
def test_a_rate_of_zero_admits_nothing(rate):
    assert not SlidingWindow().try_acquire(0.0, rate)


def test_requests_without_a_limit_count_once_there_is_one():
    window = SlidingWindow()
    assert all(window.try_acquire(5.0, rate=None) for _ in range(100))
    assert not window.try_acquire(5.5, rate=100)
    assert window.try_acquire(5.5, rate=101)


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]), max_size=40),
    rate=st.integers(1, 4),
)
def test_no_second_sees_more_than_the_rate(gaps, rate):
    window, now, admitted = SlidingWindow(), 0.0, []
    for gap in gaps:
        now += gap
        if window.try_acquire(now, rate):
            admitted.append(now)
        else:
            assert sum(now - 1 < earlier for earlier in admitted) == rate, "refused although there was room"
    for start in admitted:
        assert sum(start <= each < start + 1 for each in admitted) <= rate
