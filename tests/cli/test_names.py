"""Rooms by their unique names, and in the files that people have, for all commands that take rooms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roomrec_async.simulator import Simulator, faults

from .conftest import UNKNOWN_ROOM, Command, completed, deletions, expected_list, parse_lines, plain_rooms, run_process

OTHER = "RM" + "0f" * 16


def name_of(simulator: Simulator, room_sid: str) -> str:
    (name,) = (room["unique_name"] for room in all_rooms(simulator) if room["sid"] == room_sid)
    return str(name)


def all_rooms(simulator: Simulator) -> list[dict[str, Any]]:
    count = len(simulator.room_sids)
    return [simulator.account.room(index).to_dict(simulator.base_url) for index in range(count)]


def a_named_room(simulator: Simulator, status: str = "completed") -> dict[str, Any]:
    return next(
        room for room in all_rooms(simulator) if room["status"] == status and room["unique_name"] != room["sid"]
    )


def changed_rooms(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> faults.Replace:
    """Return a fault that changes the rooms of a list."""

    def replace(body: bytes) -> bytes:
        page = json.loads(body)
        return json.dumps(page | {"rooms": change(page["rooms"])}).encode()

    return faults.Replace(replace)


# The arguments of every command that takes a room, after which nothing is written outside the directory.
COMMANDS = [
    ["list"],
    ["list", "-o", "out.csv"],
    ["download", "-o", "media"],
    ["delete"],
    ["delete", "--yes"],
    ["archive", "-o", "archive"],
    ["archive", "-o", "archive", "--delete"],
    ["timeline", "-o", "out.html"],
    ["mux", "-o", "out.mkv"],
    ["mux", "-o", "out.mkv", "--print"],
]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
class TestEachCommand:
    def test_a_name_that_no_room_has(
        self, command: list[str], simulator: Simulator, roomrec: Command, directory: Path
    ) -> None:
        line = roomrec.fails(*command, "no such room")
        assert line == (
            "roomrec: no room is named 'no such room', neither one in progress nor one that has ended or failed"
        )
        assert not any(path.is_file() for path in directory.rglob("*"))
        assert deletions(simulator) == []

    def test_a_name_that_several_rooms_have(
        self, command: list[str], simulator: Simulator, roomrec: Command, directory: Path
    ) -> None:
        room = a_named_room(simulator)
        older = room | {"sid": OTHER, "date_created": "2025-01-02T03:04:05Z"}
        simulator.inject(changed_rooms(lambda rooms: [older, *rooms]), path_contains="Status=completed")
        line = roomrec.fails(*command, room["unique_name"])
        created = room["date_created"][:16].replace("T", " ")
        assert line == (
            f"roomrec: 2 rooms are named '{room['unique_name']}', give a SID instead: "
            f"{room['sid']} (completed, created {created} UTC); {OTHER} (completed, created 2025-01-02 03:04 UTC)"
        )
        assert not any(path.is_file() for path in directory.rglob("*"))
        assert deletions(simulator) == []

    @pytest.mark.parametrize(
        "room", ["RM", "RM123", UNKNOWN_ROOM[:-1], f"{UNKNOWN_ROOM}0", UNKNOWN_ROOM.lower(), "", " "]
    )
    def test_a_mistyped_sid_is_no_name(
        self, command: list[str], room: str, simulator: Simulator, roomrec: Command
    ) -> None:
        before = simulator.stats.requests
        assert "a room SID must be 'RM' and 32 hexadecimal digits" in roomrec.fails(*command, room)
        assert simulator.stats.requests == before


class TestList:
    @pytest.mark.parametrize("status", ["completed", "in-progress"])
    def test_of_a_name(self, status: str, simulator: Simulator, roomrec: Command) -> None:
        room = a_named_room(simulator, status)
        outcome = roomrec("list", room["unique_name"])
        assert (outcome.code, outcome.err) == (0, "")
        assert parse_lines(outcome.out) == expected_list(simulator, room["sid"])

    def test_a_room_that_ends_while_it_is_looked_up_is_one_room(self, simulator: Simulator, roomrec: Command) -> None:
        room = a_named_room(simulator)
        in_progress = room | {"status": "in-progress"}
        simulator.inject(changed_rooms(lambda _: [in_progress]), path_contains="Status=in-progress")
        outcome = roomrec("list", room["unique_name"])
        assert (outcome.code, outcome.err) == (0, "")

    def test_a_gateway_that_drops_the_filter(self, simulator: Simulator, roomrec: Command) -> None:
        other = a_named_room(simulator)
        simulator.inject(changed_rooms(lambda _: [other]), path_contains="Status=completed")
        assert "no room is named 'no such room'" in roomrec.fails("list", "no such room")

    def test_names_beside_sids_and_in_files(self, simulator: Simulator, directory: Path) -> None:
        named = a_named_room(simulator)
        other = next(sid for sid in simulator.room_sids if sid != named["sid"])
        (directory / "rooms.txt").write_text(f"{named['unique_name']}  # by name\nno such room\n", "utf-8")
        outcome = run_process("list", "-", "--from-file", "rooms.txt", given=f"{other}\n{named['sid'].lower()[2:]}\n")
        assert outcome.code == 1
        assert parse_lines(outcome.out) == expected_list(simulator, other, named["sid"])
        assert [line.partition(": ")[0] for line in outcome.errors] == ["standard input:2", "rooms.txt:2"]

    def test_a_name_is_asked_for_once(self, simulator: Simulator, roomrec: Command, directory: Path) -> None:
        name = a_named_room(simulator)["unique_name"]
        (directory / "rooms.txt").write_text(f"{name}\n" * 5, "utf-8")
        before = simulator.stats.requests
        outcome = roomrec("list", name, "--from-file", "rooms.txt")
        assert (outcome.code, outcome.errors) == (0, ["5 repeated rooms skipped: each room is taken once"])
        # One for each status of a room, and one for the recordings.
        assert simulator.stats.requests - before == 4

    @pytest.mark.parametrize("file", ["rooms.jsonl", "recordings.jsonl", "recordings.csv"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_what_another_command_wrote(
        self, file: str, encoding: str, simulator: Simulator, roomrec: Command, directory: Path
    ) -> None:
        rooms = plain_rooms(simulator)
        roomrec("list", *rooms, "-o", "recordings.csv")
        roomrec("list", *rooms, "-o", "recordings.jsonl")
        listed = [json.dumps(room) for room in all_rooms(simulator) if room["sid"] in rooms]
        (directory / "rooms.jsonl").write_text("\n".join(listed), "utf-8")
        path = directory / file
        path.write_bytes(path.read_bytes().decode().encode(encoding))
        outcome = roomrec("list", "--from-file", path)
        assert outcome.code == 0
        assert parse_lines(outcome.out) == expected_list(simulator, *rooms)
        repeated = sum(len(expected_list(simulator, sid)) - 1 for sid in rooms) if "recordings" in file else 0
        assert outcome.errors == ([f"{repeated} repeated rooms skipped: each room is taken once"] if repeated else [])

    def test_of_the_whole_account(self, simulator: Simulator, roomrec: Command, directory: Path) -> None:
        everything = {record["sid"] for record in expected_list(simulator, *simulator.room_sids)}
        first = min(record["date_created"] for record in completed(simulator))
        for window in (("--after", "2020-01-01T00Z"), ("--before", "2100-01-01T00Z")):
            outcome = roomrec("list", *window)
            assert (outcome.code, outcome.err) == (0, "")
            assert {json.loads(line)["sid"] for line in outcome.lines} == everything
        assert roomrec("list", "--before", "2020-01-01T00Z") == (0, "", "")
        assert len(roomrec("list", "--after", first, "--limit", "3").lines) == 3
        outcome = roomrec("list", "--after", first, "--status", "completed", "-o", "out.jsonl")
        assert outcome == (0, "", f"out.jsonl: {len(completed(simulator))} recordings of the account\n")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--failed-rooms", "failed.txt"], "--failed-rooms needs rooms"),
            (["--page-size", "101"], "--page-size must be an integer from 1 to 100, not 101"),
        ],
    )
    def test_mistakes_with_the_whole_account(self, arguments: list[str], message: str, roomrec: Command) -> None:
        assert message in roomrec.fails("list", "--after", "2026-01-01T00Z", *arguments)


class TestOtherCommands:
    def test_timeline(self, simulator: Simulator, roomrec: Command, directory: Path) -> None:
        room = a_named_room(simulator)
        assert roomrec("timeline", room["unique_name"], "-o", "out.svg").code == 0
        assert f"Room {room['unique_name']}" in (directory / "out.svg").read_text("utf-8")

    def test_mux_prints_the_script_of_a_room(self, simulator: Simulator, roomrec: Command) -> None:
        room_sid = next(sid for sid in plain_rooms(simulator) if name_of(simulator, sid) != sid)
        by_sid = roomrec("mux", room_sid, "-o", "out.mkv", "--print")
        assert roomrec("mux", name_of(simulator, room_sid), "-o", "out.mkv", "--print") == by_sid

    def test_a_missing_path_is_no_name(self, simulator: Simulator, roomrec: Command) -> None:
        before = simulator.stats.requests
        assert "a room SID must be" in roomrec.fails("timeline", "archve/rooms", "-o", "out.html")
        assert simulator.stats.requests == before

    def test_rooms_of_a_name_in_any_status(self, simulator: Simulator, roomrec: Command) -> None:
        ended, running = a_named_room(simulator), a_named_room(simulator, "in-progress")
        for room in (ended, running):
            assert roomrec("rooms", "--name", room["unique_name"], "--sids").lines == [room["sid"]]
        again = ended | {"sid": OTHER, "status": "in-progress"}
        for arguments, sids in (([], [OTHER, ended["sid"]]), (["--limit", "1"], [OTHER])):
            simulator.inject(changed_rooms(lambda _: [again]), path_contains="Status=in-progress")
            assert roomrec("rooms", "--name", ended["unique_name"], "--sids", *arguments).lines == sids
        assert roomrec("rooms", "--name", ended["unique_name"], "--status", "in-progress") == (0, "", "")
