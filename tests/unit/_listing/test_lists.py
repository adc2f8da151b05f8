"""How the lists of a client are opened, and how many rooms are under way."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from roomrec_async import InvalidArgumentError, Timeout
from roomrec_async._listing.lists import Lists


@attrs.define
class Limits:
    max_concurrency: int | None


@attrs.define
class Transport:
    limiter: Limits
    backing_off: int = 0


def lists(permits: int | None, backing_off: int = 0) -> Lists:
    transport: Any = Transport(Limits(permits), backing_off)
    return Lists(transport, Timeout(total=9), max_pages=3)


@pytest.mark.parametrize(
    ("permits", "backing_off", "rooms"),
    [
        pytest.param(None, 0, 100, id="no limit"),
        pytest.param(None, 50, 100, id="no limit and an outage"),
        pytest.param(1, 0, 2, id="one permit"),
        pytest.param(7, 7, 14, id="few permits"),
        pytest.param(8, 0, 8, id="a room for each permit"),
        pytest.param(100, 30, 130, id="and one for each that backs off"),
        pytest.param(100, 500, 200, id="but not without bound"),
    ],
)
def test_there_is_a_room_for_each_permit(permits: int | None, backing_off: int, rooms: int) -> None:
    assert lists(permits, backing_off).max_rooms() == rooms


def test_rooms_share_their_options_and_differ_in_their_path() -> None:
    open_room = lists(10).room_opener(status="completed", limit=5)
    first, second = open_room("RM" + "1" * 32), open_room("RM" + "2" * 32)
    assert first._operation.path == f"/v1/Rooms/RM{'1' * 32}/Recordings"
    assert second._operation.path == f"/v1/Rooms/RM{'2' * 32}/Recordings"
    for pager in (first, second):
        assert pager._operation.parameters == {"Status": "completed"}
        assert (pager._operation.limit, pager._operation.prefetch, pager._operation.max_pages) == (5, False, 3)
        assert pager._operation.timeout == Timeout(total=9)


def test_options_are_checked_before_any_room_is_known() -> None:
    with pytest.raises(InvalidArgumentError, match="page_size"):
        lists(10).room_opener(page_size=0)
    with pytest.raises(InvalidArgumentError, match="limit"):
        lists(10).room_opener(limit=-1)


def test_an_option_that_does_not_exist_is_refused() -> None:
    options: Any = {"staus": "completed"}
    with pytest.raises(TypeError, match="staus"):
        lists(10).room_opener(**options)


def test_a_malformed_room_is_refused_when_it_is_opened() -> None:
    with pytest.raises(InvalidArgumentError, match="room_sid must be 'RM' and 32 hexadecimal digits"):
        lists(10).room_opener()("a room")
