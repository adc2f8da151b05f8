"""``roomrec demo``: its numbers are those of the simulated account."""

from __future__ import annotations

import json
import os
import pty
from collections import Counter

from roomrec_async.simulator import Simulator

from .conftest import (
    Command,
    Record,
    read_terminal,
    run_process,
    start_process,
)


class TestDemo:
    def test_its_sums_are_those_of_the_account(self, roomrec: Command) -> None:
        outcome = roomrec("demo", "--rooms", 9, "--recordings", 70, "--latency", 2, "--seed", 5, "--json")
        *rooms, last = [json.loads(line) for line in outcome.lines]
        summary = last["summary"]
        with Simulator(9, (0, 70), 5) as simulator:
            by_room = {sid: list(simulator.recordings(sid)) for sid in simulator.room_sids}
        records: list[Record] = [record for own in by_room.values() for record in own]
        assert (outcome.code, outcome.err) == (0, "")
        assert {room["room_sid"]: room["recordings"] for room in rooms} == {
            sid: len(own) for sid, own in by_room.items()
        }
        assert summary["by_status"] == Counter(record["status"] for record in records)
        assert summary["size"] == sum(record["size"] or 0 for record in records)
        assert summary["duration"] == sum(record["duration"] or 0 for record in records)
        assert (summary["rooms"], summary["failed"], summary["recordings"]) == (9, 0, len(records))
        assert {kind: own["recordings"] for kind, own in summary["by_type"].items()} == Counter(
            record["type"] for record in records
        )
        assert summary["requests"] == sum(max(1, -(-len(own) // 50)) for own in by_room.values())
        assert [room["recordings"] for room in summary["largest"]] == sorted(map(len, by_room.values()))[:-6:-1]

    def test_is_plain_where_there_is_no_terminal(self) -> None:
        result = run_process("demo", "--rooms", "5", "--latency", "1")
        assert (result.code, result.err) == (0, "")
        assert "\x1b" not in result.out
        assert "largest rooms" in result.out
        assert "roomrec list RM..." in result.out

    def test_of_no_rooms_at_all(self, roomrec: Command) -> None:
        outcome = roomrec("demo", "--rooms", 0)
        assert outcome.code == 0
        assert "0 rooms, 0 requests" in outcome.out

    def test_a_number_of_rooms_that_cannot_be(self, roomrec: Command) -> None:
        assert "rooms must be an integer from 0" in roomrec.fails("demo", "--rooms", -1)

    def test_a_terminal_sees_how_far_it_is(self) -> None:
        ours, theirs = pty.openpty()
        process = start_process(
            "demo", "--rooms", "20", stderr=theirs, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}
        )
        os.close(theirs)
        shown = read_terminal(ours)
        process.communicate()
        assert process.returncode == 0
        assert "20/20" in shown
        assert "in flight" in shown
        assert "…" not in shown
