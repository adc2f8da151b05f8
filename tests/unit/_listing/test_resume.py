"""Positions in a list, and the tokens that carry them."""

from __future__ import annotations

import base64
import json
import re

import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async._listing.resume import Position, position_from

PATH = "/v1/Rooms/RM1/Recordings"


def encoded(value: object) -> str:
    """A token made by somebody else, in the form that ours have."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("skip", [0, 1, 999])
@pytest.mark.parametrize("query", [None, "PageSize=50&PageToken=abc%20d"])
def test_a_token_carries_a_position_unchanged(skip: int, query: str | None) -> None:
    position = Position(PATH, "PageSize=50", query, skip)
    token = position.token()
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert position_from(token, PATH, {}) == position


def test_the_callers_parameters_may_be_repeated() -> None:
    query = "Status=completed&PageSize=50&Page=1&PageToken=x"
    token = Position(PATH, "Status=completed&PageSize=50", query).token()
    assert position_from(token, PATH, {"Status": "completed"}).query == query
    assert position_from(token, PATH, {}).query == query


def test_the_service_may_spell_a_filter_otherwise() -> None:
    sid = "MT" + "a" * 32
    start = f"SourceSid={sid}&DateCreatedAfter=2026-03-01T00%3A00%3A00Z"
    query = f"SourceSid={sid.upper()}&DateCreatedAfter=2026-03-01T01%3A00%3A00%2B01%3A00&PageToken=x"
    given = {"SourceSid": sid, "DateCreatedAfter": "2026-03-01T00:00:00Z"}
    assert position_from(Position(PATH, start, query).token(), PATH, given).query == query


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Status": "failed"}, "a list whose Status was completed, not failed"),
        ({"SourceSid": "MT1"}, "a list whose SourceSid was not set, not MT1"),
        ({"GroupingSid": ("RM1", "RM3")}, "a list whose GroupingSid was RM1, RM2, not RM1, RM3"),
    ],
)
def test_changed_parameters_are_refused_by_name(parameters: dict[str, str], message: str) -> None:
    token = Position(PATH, "Status=completed&GroupingSid=RM1&GroupingSid=RM2", "PageToken=x").token()
    with pytest.raises(InvalidArgumentError, match=message):
        position_from(token, PATH, parameters)


@pytest.mark.parametrize(
    "query",
    [
        "PageSize=50",
        "PageToken=x",
        "Status=failed&PageToken=x",
        "Status=completed&Status=failed",
        "Status=",
        "status=completed",
    ],
)
def test_a_forged_query_cannot_lift_a_filter(query: str) -> None:
    """What counts is what will be sent, and not what the token says that the list began with."""
    forged = Position(PATH, "Status=completed", query).token()
    with pytest.raises(InvalidArgumentError, match=r"Status was .*, not completed"):
        position_from(forged, PATH, {"Status": "completed"})


def test_a_token_at_the_end_of_a_list_sends_nothing() -> None:
    token = Position(PATH, "Status=completed", None).token()
    assert position_from(token, PATH, {"Status": "completed"}).query is None


def test_two_spellings_of_a_sid_are_one_list() -> None:
    path = "/v1/Rooms/RM{}/Recordings"
    token = Position(path.format("A" * 32), "", "Page=1").token()
    assert position_from(token, path.format("a" * 32), {}).path == path.format("a" * 32)


def test_a_token_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"a token of /v1/Rooms, and cannot go on in /v1/Recordings"):
        position_from(Position("/v1/Rooms", "", "Page=1").token(), "/v1/Recordings", {})


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "====",
        "\N{SNOWMAN}",
        encoded({}),
        encoded([]),
        encoded({"path": PATH, "start": 1, "query": None}),
        None,
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not a token that this library made"):
        position_from(token, PATH, {})


def test_a_token_that_would_go_back_is_refused() -> None:
    forged = encoded({"path": PATH, "start": "", "query": "Page=1", "skip": -1})
    with pytest.raises(InvalidArgumentError, match="skips back"):
        position_from(forged, PATH, {})


def test_a_forged_query_cannot_end_the_request_line() -> None:
    forged = encoded({"path": PATH, "start": "", "query": "Page=1 HTTP/1.1\r\nX: y#z"})
    query = position_from(forged, PATH, {}).query
    assert query is not None
    assert not {" ", "\r", "\n", "#"} & set(query)
