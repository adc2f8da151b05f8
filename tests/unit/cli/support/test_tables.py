"""What people see: cells, lines and sums, with text from a service that may be hostile."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from roomrec_async import (
    AuthenticationError,
    ConnectionFailedError,
    DecodeError,
    NotFoundError,
    Recording,
    RoomRecError,
    RoomResult,
)
from roomrec_async._text import safe_text
from roomrec_async.cli.support.tables import Table, failure_told, length_told, room_heading
from roomrec_async.cli.support.totals import Totals

ROOM_SID = "RM" + "1" * 32
HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]boo[/red]\r\n\x9b31m\u202etxt"


def a_recording(**fields: Any) -> Recording:
    usual: dict[str, Any] = {
        "sid": "RT" + "2" * 32,
        "room_sid": ROOM_SID,
        "status": "completed",
        "type": "audio",
        "track_name": "microphone",
        "size": 2_000_000,
        "duration": 3_723,
        "date_created": datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))),
    }
    return Recording(**{**usual, **fields})


def on_a_terminal(text: Text) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(text, soft_wrap=True)
    return capture.get()


def test_a_wide_row_shows_everything() -> None:
    row = Table.of_recordings(120).row(a_recording()).plain
    assert row.split() == f"RT{'2' * 32} audio completed 2026-02-28 23:00 1:02:03 2.0 MB microphone".split()


@pytest.mark.parametrize(("width", "last"), [(40, "recording"), (80, "length"), (100, "size"), (104, "track")])
def test_a_narrow_terminal_has_fewer_columns(width: int, last: str) -> None:
    assert Table.of_recordings(width).titles().plain.split()[-1] == last


@pytest.mark.parametrize("name", ["麦克风" * 30, "🎤" * 60, "e\u0301" * 80, "x" * 500, HOSTILE])
@pytest.mark.parametrize("width", [80, 110, 120, 200])
def test_no_row_is_wider_than_the_terminal(name: str, width: int) -> None:
    row = on_a_terminal(Table.of_recordings(width).row(a_recording(track_name=name, status="s" * 99)))
    assert row.count("\n") == 1
    assert cell_len(row.rstrip("\n")) <= width


@pytest.mark.parametrize("field", ["sid", "status", "type", "track_name"])
def test_hostile_text_neither_steers_the_terminal_nor_is_markup(field: str) -> None:
    shown = on_a_terminal(Table.of_recordings(200).row(a_recording(**{field: HOSTILE})))
    assert all(char.isprintable() for char in shown.rstrip("\n"))
    if field in ("sid", "track_name"):
        assert "[red]" in shown


def test_a_hostile_room_cannot_steer_the_terminal() -> None:
    [title] = on_a_terminal(room_heading(HOSTILE)).splitlines()
    assert safe_text(HOSTILE) in title
    assert "\x07" not in title


def test_an_empty_record_is_a_row_too() -> None:
    assert set(Table.of_recordings(200).row(Recording()).plain.split()) == {"-"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            NotFoundError(status=404, code=20404, message="No such room", method="GET", url="u", request_id="RQ1"),
            "HTTP 404, code 20404: No such room (request id RQ1)",
        ),
        (
            AuthenticationError(status=401, message="Authenticate", method="GET", url="u"),
            f"HTTP 401: Authenticate; {AuthenticationError.hint}",
        ),
        (
            ConnectionFailedError("refused", method="GET", url="u", attempts=5),
            "refused, after 5 attempts",
        ),
        (DecodeError("the body is not JSON\x1b[2J", url="u"), "u: the body is not JSON\N{REPLACEMENT CHARACTER}[2J"),
    ],
)
def test_failures_in_a_line(error: RoomRecError, told: str) -> None:
    assert failure_told(error) == told


@pytest.mark.parametrize(("seconds", "told"), [(0, "0:00:00"), (59.9, "0:00:59"), (36_061, "10:01:01")])
def test_lengths(seconds: float, told: str) -> None:
    assert length_told(seconds) == told


def test_totals_keep_the_largest_rooms() -> None:
    totals = Totals()
    for number in range(10):
        sid = f"RM{number:032x}"
        totals.add(RoomResult(sid, [a_recording(type="data", status="new")] * number))
    totals.add(RoomResult(ROOM_SID, [Recording()], DecodeError("broken")))
    assert [room.recordings for room in totals.largest] == [9, 8, 7, 6, 5]
    assert (totals.rooms, totals.failed, totals.all.recordings) == (11, 1, 46)
    assert totals.all.by_status == {"new": 45, "unknown": 1}
    assert totals.by_type["data"].size == 45 * 2_000_000
    assert totals.by_type["unknown"].size == 0
