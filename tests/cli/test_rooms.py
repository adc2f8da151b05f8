"""``roomrec rooms`` against a simulator on a real socket."""

from __future__ import annotations

import json
import re

import pytest

from roomrec_async import Room, from_dict, to_dict
from roomrec_async.simulator import Simulator

from .conftest import (
    Command,
    Record,
    assert_harmless,
    by_sid,
    hostile,
    run_on_terminal,
    run_process,
    screen,
)


def rooms_of(simulator: Simulator, status: str) -> list[Record]:
    """Return the rooms with this status as they are printed, oldest first."""
    served = [simulator.account.room(index).to_dict(simulator.base_url) for index in range(len(simulator.room_sids))]
    return [to_dict(from_dict(Room, room)) for room in served if room["status"] == status]


class TestRooms:
    def test_prints_those_that_have_ended_as_lines_of_json(self, simulator: Simulator, roomrec: Command) -> None:
        outcome = roomrec("rooms")
        assert (outcome.code, outcome.err) == (0, "")
        printed = sorted(map(json.loads, outcome.lines), key=by_sid)
        assert printed == sorted(rooms_of(simulator, "completed"), key=by_sid)
        assert 0 < len(outcome.lines) < len(simulator.room_sids)

    def test_of_another_status(self, simulator: Simulator, roomrec: Command) -> None:
        outcome = roomrec("rooms", "--status", "In-Progress", "--sids")
        assert outcome.code == 0
        assert sorted(outcome.lines) == sorted(room["sid"] for room in rooms_of(simulator, "in-progress")) != []

    def test_of_a_name(self, simulator: Simulator, roomrec: Command) -> None:
        room = rooms_of(simulator, "completed")[2]
        outcome = roomrec("rooms", "--name", room["unique_name"], "--json")
        assert (outcome.code, [json.loads(line) for line in outcome.lines]) == (0, [room])
        assert roomrec("rooms", "--name", "no such name") == (0, "", "")

    def test_that_were_created_in_a_window(self, simulator: Simulator, roomrec: Command) -> None:
        second, third, fourth = rooms_of(simulator, "completed")[1:4]
        outcome = roomrec("rooms", "--sids", "--after", second["date_created"], "--before", fourth["date_created"])
        assert outcome.code == 0
        assert sorted(outcome.lines) == sorted([second["sid"], third["sid"]])

    def test_since_a_day_which_is_in_utc(self, simulator: Simulator, roomrec: Command) -> None:
        rooms = rooms_of(simulator, "completed")
        day = rooms[2]["date_created"][:10]
        outcome = roomrec("rooms", "--sids", "--after", day, "--before", "now")
        assert outcome.code == 0
        expected = [room["sid"] for room in rooms if room["date_created"] >= f"{day}T00:00:00Z"]
        assert sorted(outcome.lines) == sorted(expected) != []
        since, until = outcome.errors
        assert since == f"--after {day}: {day}T00:00:00Z (UTC)"
        assert until.startswith("--before now: ")

    def test_the_days_before_now(self, simulator: Simulator, roomrec: Command) -> None:
        for length in ("7d", "1h"):
            outcome = roomrec("rooms", "--sids", "--before", length)
            assert (outcome.code, sorted(outcome.lines)) == (
                0,
                sorted(room["sid"] for room in rooms_of(simulator, "completed")),
            )
            assert re.fullmatch(rf"--before {length}: \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(UTC\)\n", outcome.err)

    def test_the_limit(self, simulator: Simulator, roomrec: Command) -> None:
        assert len(roomrec("rooms", "--limit", "3").lines) == 3
        assert roomrec("rooms", "--limit", "0") == (0, "", "")

    def test_as_a_table(self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "140")
        outcome = roomrec("rooms", "--table")
        title, *rows = outcome.lines
        expected = rooms_of(simulator, "completed")
        assert (outcome.code, outcome.err) == (0, "")
        assert title.split()[:3] == ["room", "status", "created"]
        assert sorted(row.split()[0] for row in rows) == sorted(room["sid"] for room in expected)
        assert all("completed" in row and len(row) <= 140 for row in rows)

    def test_its_sids_are_input_for_others(self, simulator: Simulator, roomrec: Command) -> None:
        sids = roomrec("rooms", "--sids").out
        outcome = run_process("list", "-", given=sids)
        expected = [record for room in rooms_of(simulator, "completed") for record in simulator.recordings(room["sid"])]
        assert (outcome.code, outcome.err) == (0, "")
        assert sorted(json.loads(line)["sid"] for line in outcome.lines) == sorted(each["sid"] for each in expected)

    def test_hostile_names_do_not_steer_the_terminal(self, simulator: Simulator, roomrec: Command) -> None:
        simulator.inject(hostile("unique_name"))
        outcome = roomrec("rooms", "--table")
        assert outcome.code == 0
        assert outcome.lines[1:]
        assert_harmless(outcome.out)

    def test_mistakes(self, roomrec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "--sids cannot be used with --json, --table or --columns" in roomrec.fails("rooms", "--sids", "--json")
        assert "has no time zone" in roomrec.fails("rooms", "--after", "2026-03-01T09:30")
        assert "is later than" in roomrec.fails("rooms", "--after", "2026-03-02T00Z", "--before", "2026-03-01T00Z")
        assert "'over' is not one of" in roomrec.fails("rooms", "--status", "over")
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        line = roomrec.fails("rooms", code=3)
        assert "HTTP 401, code 20003" in line
        assert "secret" not in line

    def test_a_terminal_gets_a_table(self, simulator: Simulator) -> None:
        title, *rows, left_out = screen(run_on_terminal("rooms"))
        assert left_out == "not shown for lack of width: status, length, type (--wide shows all)"
        assert title.split()[0] == "room"
        assert sorted(row.split()[0] for row in rows) == sorted(
            room["sid"] for room in rooms_of(simulator, "completed")
        )
