"""Tables for terminals, with text from a service that may be hostile."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from roomrec_async import Recording, Room
from roomrec_async._format import format_size
from roomrec_async._text import safe_text
from roomrec_async.cli.support.tables import Column, Table, render_lines, room_heading

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
    row = Table.for_recordings(120).row(a_recording()).plain
    assert row.split() == f"RT{'2' * 32} audio completed 2026-02-28 23:00 1:02:03 2.0 MB microphone".split()


@pytest.mark.parametrize("number", [-1, 10**15, 10**400])
def test_absurd_numbers_and_dates_fit_their_columns(number: int) -> None:
    date = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    row = Table.for_recordings(120).row(a_recording(duration=number, size=number, date_created=date)).plain
    assert cell_len(row) <= 120
    assert "0001-01-01 00:00" in row


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (20, ["type", "size"], ["recording", "status", "started (UTC)", "length", "track", "participant"]),
        (40, ["recording"], ["type", "status", "started (UTC)", "length", "size", "track", "participant"]),
        (80, ["recording", "type", "started", "(UTC)", "size", "track"], ["status", "length", "participant"]),
        (100, ["recording", "type", "started", "(UTC)", "length", "size", "track"], ["status", "participant"]),
        (
            160,
            ["recording", "type", "status", "started", "(UTC)", "length", "size", "track", "participant"],
            [],
        ),
        (
            None,
            ["recording", "type", "status", "started", "(UTC)", "length", "size", "track", "participant"],
            [],
        ),
    ],
)
def test_a_narrow_terminal_has_the_most_important_columns(
    width: int | None, shown: list[str], left_out: list[str]
) -> None:
    table = Table.for_recordings(width)
    assert (table.header().plain.split(), table.left_out) == (shown, left_out)
    assert table.format_left_out() == (f"not shown for lack of width: {', '.join(left_out)}" if left_out else "")
    if width is not None:
        assert cell_len(table.row(a_recording(track_name="x" * 99)).plain) <= width


def test_rows_that_are_not_grouped_have_their_room() -> None:
    table = Table.for_recordings(None, with_room=True)
    assert table.header().plain.split()[-1] == "room"
    assert table.row(a_recording()).plain.split()[-1] == ROOM_SID


@pytest.mark.parametrize("name", ["麦克风" * 30, "🎤" * 60, "e\u0301" * 80, "x" * 500, HOSTILE])
@pytest.mark.parametrize("width", [80, 110, 120, 200])
def test_no_row_is_wider_than_the_terminal(name: str, width: int) -> None:
    row = on_a_terminal(Table.for_recordings(width).row(a_recording(track_name=name, status="s" * 99)))
    assert row.count("\n") == 1
    assert cell_len(row.rstrip("\n")) <= width


@pytest.mark.parametrize("field", ["sid", "status", "type", "track_name"])
def test_hostile_text_neither_steers_the_terminal_nor_is_markup(field: str) -> None:
    shown = on_a_terminal(Table.for_recordings(200).row(a_recording(**{field: HOSTILE})))
    assert all(char.isprintable() for char in shown.rstrip("\n"))
    if field in ("sid", "track_name"):
        assert "[red]" in shown


def test_a_hostile_room_cannot_steer_the_terminal() -> None:
    [title] = on_a_terminal(room_heading(HOSTILE)).splitlines()
    assert safe_text(HOSTILE) in title
    assert "\x07" not in title


def test_an_empty_record_is_a_row_too() -> None:
    assert set(Table.for_recordings(200).row(Recording()).plain.split()) == {"-"}


def test_a_column_is_as_wide_as_it_says_and_numbers_are_aligned_right() -> None:
    track = Column("track", "track_name", 12)
    size = Column("size", "size", 8, format_size, align_right=True)
    assert [track.heading(), size.heading()] == ["track       ", "    size"]
    assert [track.cell(a_recording()), size.cell(a_recording())] == ["microphone  ", "  2.0 MB"]
    assert track.cell(a_recording(track_name="a very long name")) == "a very long "
    assert size.cell(a_recording(size=None)) == "       -"


def test_rooms_have_columns_of_their_own() -> None:
    room = Room(
        sid=ROOM_SID,
        status="completed",
        date_created=datetime(2026, 3, 1, tzinfo=UTC),
        duration=59,
        type="group",
        unique_name="stand-up",
    )
    table = Table.for_rooms(140)
    assert table.header().plain.split() == ["room", "status", "created", "(UTC)", "length", "type", "name"]
    assert table.row(room).plain.split() == f"{ROOM_SID} completed 2026-03-01 00:00 0:00:59 group stand-up".split()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_name_of_a_room_can_be_copied(width: int) -> None:
    room = Room(sid=ROOM_SID, status="completed", unique_name="customer-call-2026-03")
    row = Table.for_rooms(width).row(room).plain
    assert "customer-call-2026-03" in row
    assert cell_len(row) <= width


def test_lines_are_rendered_whole_however_narrow_the_console() -> None:
    console = Console(file=io.StringIO(), width=10)
    assert render_lines(console, Text("a" * 30), Text("b")) == "a" * 30 + "\nb\n"
