"""Failures that do not end a command: one line each, and counted."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from roomrec_async import AuthenticationError, DecodeError, NotFoundError, RoomResult
from roomrec_async.cli.support.failures import Failures, write_failed_rooms

ROOM_SID = "RM" + "1" * 32
HOSTILE = "\x1b[2J\r\nroomrec: all good"
NOT_FOUND = NotFoundError(status=404, message="No such room", method="GET", url="u")


@pytest.fixture
def failures() -> Failures:
    # Narrower than any line: lines are not wrapped.
    return Failures(Console(file=io.StringIO(), width=20))


def printed(failures: Failures) -> list[str]:
    assert isinstance(failures.console.file, io.StringIO)
    return failures.console.file.getvalue().splitlines()


def test_without_any_the_run_succeeds(failures: Failures) -> None:
    failures.add_room(RoomResult(ROOM_SID, []))
    assert (failures.exit_code, failures.format_suffix(), printed(failures)) == (0, "", [])


def test_each_is_one_line_and_counts(failures: Failures) -> None:
    failures.add("RT1", NOT_FOUND)
    failures.add(None, NOT_FOUND)
    failures.add_room(RoomResult(ROOM_SID, [], NOT_FOUND))
    failures.add_line("rooms.txt:17", "a room SID must be something else")
    assert printed(failures) == [
        "RT1: HTTP 404: No such room",
        "a recording without a SID: HTTP 404: No such room",
        f"{ROOM_SID}: HTTP 404: No such room",
        "rooms.txt:17: a room SID must be something else",
    ]
    assert (failures.count, failures.exit_code, failures.format_suffix()) == (4, 1, ", 4 failed")


def test_many_are_counted_with_separators(failures: Failures) -> None:
    failures.count = 12_345
    assert failures.format_suffix() == ", 12,345 failed"


def test_refused_credentials_end_the_run(failures: Failures) -> None:
    refused = AuthenticationError(status=401, message="Authenticate", method="GET", url="u")
    with pytest.raises(AuthenticationError):
        failures.add_room(RoomResult(ROOM_SID, [], refused))
    assert (failures.count, printed(failures)) == (0, [])


def test_hostile_text_stays_in_its_line(failures: Failures) -> None:
    failures.add(HOSTILE, DecodeError(HOSTILE, url=HOSTILE))
    failures.add_line(HOSTILE, HOSTILE)
    lines = printed(failures)
    assert len(lines) == 2
    assert all(char.isprintable() for line in lines for char in line)


def test_brackets_are_no_markup(failures: Failures) -> None:
    failures.print("[red]RT1[/red]")
    assert printed(failures) == ["[red]RT1[/red]"]


def test_failed_rooms_are_written_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "failed.txt"
    with write_failed_rooms(path) as add:
        add("RM1")
        add("RM2")
        assert not path.exists()
    assert path.read_text("utf-8") == "RM1\nRM2\n"
    with pytest.raises(ZeroDivisionError), write_failed_rooms(path) as add:
        add("RM3")
        raise ZeroDivisionError
    assert path.read_text("utf-8") == "RM1\nRM2\n"
    assert [each.name for each in tmp_path.iterdir()] == ["failed.txt"]


def test_failed_rooms_need_no_file() -> None:
    with write_failed_rooms(None) as add:
        add("RM1")
