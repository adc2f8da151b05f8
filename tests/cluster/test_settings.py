"""The division of a quota, and settings that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from roomrec_async import ConfigurationError, Credentials, InvalidArgumentError, RoomRecError
from roomrec_async.integrations.dask import ClusterSettings, WorkerCredentials
from roomrec_async.integrations.dask.jobs import check_rooms

CREDENTIALS = Credentials("AC" + 32 * "0", "secret")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"slots": 0}, InvalidArgumentError, "slots must be an integer from 1, or None, not 0"),
        ({"slots": True}, InvalidArgumentError, "slots must be an integer from 1"),
        ({"slots": 1.0}, InvalidArgumentError, "slots must be an integer from 1"),
        ({"rooms_per_shard": 0}, InvalidArgumentError, "rooms_per_shard must be an integer from 1, not 0"),
        ({"rooms_per_shard": None}, InvalidArgumentError, "rooms_per_shard must be an integer from 1"),
        ({"reads_per_second": 0}, InvalidArgumentError, "reads_per_second must be positive"),
        ({"max_concurrency": "much"}, InvalidArgumentError, "max_concurrency must be"),
        ({"slots": 21}, ConfigurationError, "slots must be at most 20"),
        ({"slots": 4, "max_concurrency": 3}, ConfigurationError, "slots must be at most 3"),
        ({"reads_per_second": 0.5}, ConfigurationError, "slots must be at most 0"),
        ({"base_url": "http://example.com"}, ConfigurationError, "https"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], error: type[RoomRecError], message: str) -> None:
    with pytest.raises(error, match=message):
        ClusterSettings(credentials=CREDENTIALS, **options)


def test_credentials_of_the_workers_need_the_account() -> None:
    with pytest.raises(InvalidArgumentError, match="account_sid must be 'AC' and 32 hexadecimal digits"):
        WorkerCredentials("AC")


def test_with_credentials_of_the_workers_all_is_checked_before_anything_is_sent() -> None:
    credentials = WorkerCredentials(CREDENTIALS.account_sid)
    with pytest.raises(ConfigurationError, match="https"):
        ClusterSettings(credentials=credentials, base_url="http://example.com")
    with pytest.raises(InvalidArgumentError, match="limit"):
        check_rooms(ClusterSettings(credentials=credentials), ["RM" + 32 * "0"], {"limit": -1})


@pytest.mark.parametrize(
    ("options", "max_slots"),
    [
        ({}, 20),
        ({"writes_per_second": 200}, 80),
        ({"max_concurrency": 7}, 7),
        ({"max_concurrency": None}, 20),
        ({"reads_per_second": 2.9}, 2),
    ],
)
def test_each_slot_needs_a_whole_request_of_everything(options: dict[str, Any], max_slots: int) -> None:
    settings = ClusterSettings(credentials=CREDENTIALS, **options)
    assert settings.max_slots == max_slots
    ClusterSettings(credentials=CREDENTIALS, slots=max_slots, **options)


@pytest.mark.parametrize(("slots", "each"), [(1, 10), (3, 3), (10, 1)])
def test_all_slots_together_stay_within_the_concurrency_limit(slots: int, each: int) -> None:
    settings = ClusterSettings(credentials=CREDENTIALS, max_concurrency=10)
    assert settings.client(slots).limiter.max_concurrency == each


def test_each_slot_is_unlimited_where_the_account_is() -> None:
    assert ClusterSettings(credentials=CREDENTIALS, max_concurrency=None).client(4).limiter.max_concurrency is None


@pytest.mark.parametrize(
    ("options", "slots"), [({}, 4), ({"slots": 7}, 7), ({"max_concurrency": 3}, 3), ({"reads_per_second": 2.9}, 2)]
)
def test_the_number_of_slots_does_not_depend_on_the_workers(options: dict[str, Any], slots: int) -> None:
    assert ClusterSettings(credentials=CREDENTIALS, **options).slot_count() == slots


@pytest.mark.parametrize(
    ("options", "workers", "slots"),
    [({}, 2, 2), ({}, 6, 6), ({"slots": 3}, 2, 3), ({"max_concurrency": 3}, 8, 3), ({}, 64, 20)],
)
def test_a_fixed_number_of_workers_is_that_of_the_slots(options: dict[str, Any], workers: int, slots: int) -> None:
    assert ClusterSettings(credentials=CREDENTIALS, **options).slot_count(workers) == slots
