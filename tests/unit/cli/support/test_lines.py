"""Lines that name rooms, in the files that people have."""

from __future__ import annotations

import json

import pytest

from roomrec_async import InvalidArgumentError
from roomrec_async.cli.support.lines import LineParser

A, B = "RM" + "a1" * 16, "RM" + "B2" * 16
RECORDING = "RT" + "c3" * 16


def rooms_in(text: str) -> list[str]:
    parser = LineParser()
    parsed = [parser.parse(line) for line in text.splitlines(keepends=True)]
    return [room for room in parsed if room is not None]


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        pytest.param(f"{A}\n\n# comment\n  {B}  # the second\n", [A, B], id="plain"),
        pytest.param(f"{A}#one\n", [A], id="comment without a space"),
        pytest.param("daily standup\nteam #4\n", ["daily standup", "team"], id="names"),
        pytest.param('"team #4"\n"a ""quoted"" name"\n', ["team #4", 'a "quoted" name'], id="quoted names"),
        pytest.param("Müller, Zoë\n", ["Müller, Zoë"], id="a name with a comma"),
        pytest.param(f'"{A}"\n"{B}"\n', [A, B], id="quoted"),
        pytest.param(f"{A},2026-03-01\n{B},2026-03-02\n", [A, B], id="two columns"),
        pytest.param(f"2026-03-01;{A}\n", [A], id="the second of two columns"),
        pytest.param(f"2026-03-01\t{A}\t17\n", [A], id="tabs"),
        pytest.param(f"sid\n{A}\n", [A], id="header of one column"),
        pytest.param(f'"room_sid"\n"{A}"\n', [A], id="quoted header"),
        pytest.param(f'#TYPE Selected\n"sid","status"\n"{A}","completed"\n', [A], id="Export-Csv"),
        pytest.param(f"status;Room SID\ncompleted;{A}\n", [A], id="semicolons"),
        pytest.param(f"sid,type,room_sid\n{RECORDING},audio,{A}\n", [A], id="recordings"),
        pytest.param("date,name\n2026-03-01,daily standup\n", ["daily standup"], id="a column of names"),
        pytest.param(
            f'sid,track_name,room_sid\n{RECORDING},"two\nlines, ""quoted""",{A}\n{RECORDING},x,{B}\n',
            [A, B],
            id="a field of two lines",
        ),
        pytest.param("room\n", ["room"], id="a room named like a column"),
        pytest.param(json.dumps({"sid": A, "unique_name": "x"}) + "\n", [A], id="rooms as JSON"),
        pytest.param(json.dumps({"sid": RECORDING, "room_sid": A}) + "\n", [A], id="recordings as JSON"),
        pytest.param(
            json.dumps({"sid": RECORDING, "room_sid": None, "grouping_sids": {"room_sid": A}}) + "\n",
            [A],
            id="recordings of an account as JSON",
        ),
        pytest.param(json.dumps({"unique_name": "x"}) + "\n", ["x"], id="a name as JSON"),
    ],
)
def test_the_room_of_each_line(text: str, rooms: list[str]) -> None:
    assert rooms_in(text) == rooms


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{not json\n", "not a JSON object: '{not json'"),
        ('{"status": "completed"}\n', 'neither "room_sid" nor "sid"'),
        ("status,room_sid\ncompleted\n", "column 2 has no room"),
        ("status,room_sid\ncompleted,\n", "column 2 has no room"),
    ],
)
def test_lines_without_a_room(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        rooms_in(text)


def test_a_line_without_a_room_does_not_hide_the_next() -> None:
    parser = LineParser()
    assert parser.parse("room_sid,status\n") is None
    with pytest.raises(InvalidArgumentError):
        parser.parse(",completed\n")
    assert parser.parse(f"{A},completed\n") == A
