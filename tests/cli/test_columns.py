"""``--columns``, ``--wide`` and ``--sort``, and the files of ``roomrec rooms``."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from roomrec_async import Room, from_dict, to_dict
from roomrec_async.simulator import Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

from .conftest import (
    Command,
    Record,
    completed,
    expected_list,
    hostile,
    names_in,
    plain_rooms,
    run_on_terminal,
    screen,
)


def all_rooms(simulator: Simulator) -> list[Record]:
    served = [simulator.account.room(index).to_dict(simulator.base_url) for index in range(len(simulator.room_sids))]
    return [to_dict(from_dict(Room, room)) for room in served]


def completed_rooms(simulator: Simulator) -> list[Record]:
    return [room for room in all_rooms(simulator) if room["status"] == "completed"]


@attrs.frozen
class RoomRefused:
    """Answers the request for one room, and not that for its recordings."""

    room_sid: str
    status: int
    body: bytes

    async def handle(self, exchange: Exchange) -> web.StreamResponse:
        if exchange.request.path.endswith(self.room_sid):
            return web.Response(status=self.status, body=self.body, content_type="application/json")
        return await exchange.get_response()


def recordings(simulator: Simulator) -> list[Record]:
    return [
        {**record, "participant_sid": record["grouping_sids"]["participant_sid"]}
        for record in expected_list(simulator, *simulator.room_sids)
    ]


def in_any_order(records: list[Record]) -> list[str]:
    return sorted(json.dumps(record) for record in records)


CHOICES = [
    ("sid,size", ["sid", "size"]),
    ("size,sid", ["size", "sid"]),
    ("recording, Track ,STARTED", ["sid", "track_name", "date_created"]),
    ("participant_sid,room,length", ["participant_sid", "room_sid", "duration"]),
    ("links,links,codec", ["links", "codec"]),
]


class TestColumns:
    @pytest.mark.parametrize(("text", "fields"), CHOICES)
    def test_of_recordings_as_json(self, text: str, fields: list[str], simulator: Simulator, roomrec: Command) -> None:
        outcome = roomrec("list", *simulator.room_sids, "--columns", text)
        assert (outcome.code, outcome.err) == (0, "")
        expected = [{field: record[field] for field in fields} for record in recordings(simulator)]
        assert in_any_order([json.loads(line) for line in outcome.lines]) == in_any_order(expected)

    @pytest.mark.parametrize(("text", "fields"), CHOICES)
    def test_of_recordings_in_a_file(
        self, text: str, fields: list[str], simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        path = tmp_path / "out.csv"
        assert roomrec("list", *simulator.room_sids, "--columns", text, "-o", path).code == 0
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == fields
        assert len(rows) == len(recordings(simulator))
        index = fields.index("sid") if "sid" in fields else None
        if index is not None:
            assert sorted(row[index] for row in rows) == sorted(record["sid"] for record in recordings(simulator))

    def test_of_a_table_have_no_headings_and_are_whole(self, simulator: Simulator, roomrec: Command) -> None:
        outcome = roomrec("list", *simulator.room_sids, "--table", "--columns", "room_sid,participant_sid,sid")
        header, *rows = (line.split() for line in outcome.lines)
        assert header == ["room", "participant", "recording"]
        expected = [[each["room_sid"], each["participant_sid"], each["sid"]] for each in recordings(simulator)]
        assert sorted(rows) == sorted(expected)

    @pytest.mark.parametrize("field", ["links", "audio_only", "video_codecs", "date_updated", "max_participants"])
    def test_of_rooms_that_are_in_no_table_by_default(self, field: str, simulator: Simulator, roomrec: Command) -> None:
        header, *rows = roomrec("rooms", "--table", "--columns", f"sid,{field}").lines
        assert header.split() == ["room", field]
        assert len(rows) == len(completed_rooms(simulator))
        printed = [json.loads(line) for line in roomrec("rooms", "--json", "--columns", f"{field}").lines]
        assert in_any_order(printed) == in_any_order([{field: room[field]} for room in completed_rooms(simulator)])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["list", "RM", "--columns", "sid,nonsense"], "there is no column 'nonsense': choose from sid, url"),
            (["list", "--columns", ""], "there is no column ''"),
            (["rooms", "--columns", "track_name"], "there is no column 'track_name': choose from sid, account_sid"),
            (["rooms", "--sort", "nonsense"], "there is no column 'nonsense'"),
            (["rooms", "--wide"], "--wide is for a table"),
            (["rooms", "--table", "--wide", "--columns", "sid"], "--wide cannot be used with --columns"),
            (["rooms", "--sids", "--columns", "sid"], "--sids cannot be used with"),
            (["rooms", "--sids", "-o", "out.csv"], "--output cannot be used with --sids"),
            (["rooms", "--json", "-o", "out.csv"], "--output cannot be used with --sids, --json or --table"),
            (["rooms", "-o", "out.txt"], "must end in one of .jsonl, .csv, .parquet"),
        ],
    )
    def test_mistakes(
        self,
        arguments: list[str],
        message: str,
        simulator: Simulator,
        roomrec: Command,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        before = simulator.stats.requests
        assert message in roomrec.fails(*arguments)
        assert (names_in(tmp_path), simulator.stats.requests) == ([], before)


class TestRoomName:
    """The column that is in no record: each room is asked once for its name."""

    def names(self, simulator: Simulator) -> dict[str, Any]:
        return {room["sid"]: room["unique_name"] for room in all_rooms(simulator)}

    def expected(self, simulator: Simulator) -> list[Record]:
        names = self.names(simulator)
        return [{"sid": each["sid"], "room_name": names[each["room_sid"]]} for each in recordings(simulator)]

    def test_of_rooms(self, simulator: Simulator, roomrec: Command) -> None:
        before = simulator.stats.requests
        outcome = roomrec("list", *simulator.room_sids, "--columns", "sid,room_name")
        assert (outcome.code, outcome.err) == (0, "")
        assert in_any_order([json.loads(line) for line in outcome.lines]) == in_any_order(self.expected(simulator))
        named = {each["room_sid"] for each in recordings(simulator)}
        assert simulator.stats.requests - before == len(simulator.room_sids) + len(named)

    @pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
    def test_in_a_file(self, extension: str, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        path = tmp_path / f"out.{extension}"
        assert roomrec("list", *simulator.room_sids, "--columns", "room_name,sid", "-o", path).code == 0
        table = ds.dataset(path, format="json" if extension == "jsonl" else extension).to_table()
        assert table.column_names == ["room_name", "sid"]
        assert in_any_order(table.select(["sid", "room_name"]).to_pylist()) == in_any_order(self.expected(simulator))

    def test_in_a_table_of_the_account(self, simulator: Simulator, roomrec: Command) -> None:
        outcome = roomrec("list", "--after", "2020-01-01", "--table", "--columns", "sid,room_name")
        header, *rows = (line.split(maxsplit=1) for line in outcome.lines)
        assert header == ["recording", "room_name"]
        known = {each["sid"]: each["room_name"] for each in self.expected(simulator)}
        assert rows
        assert all(known[sid].startswith(name.strip()) for sid, name in rows)

    def test_with_a_room_that_does_not_answer(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        broken = recordings(simulator)[0]["room_sid"]
        simulator.inject(RoomRefused(broken, 400, b"{}"), times=None)
        outcome = roomrec("list", *simulator.room_sids, "--columns", "sid,room_name", "-o", tmp_path / "out.csv")
        assert outcome.code == 1
        assert f"{broken}: " in outcome.err
        assert names_in(tmp_path) == []

    def test_with_a_room_that_the_service_does_not_know_any_more(self, simulator: Simulator, roomrec: Command) -> None:
        gone = recordings(simulator)[0]["room_sid"]
        body = b'{"code": 20404, "message": "The requested resource was not found", "status": 404}'
        simulator.inject(RoomRefused(gone, 404, body), times=None)
        outcome = roomrec("list", *simulator.room_sids, "--columns", "room_sid,room_name")
        assert (outcome.code, outcome.err) == (0, "")
        names = {line["room_sid"]: line["room_name"] for line in map(json.loads, outcome.lines)}
        assert [sid for sid, name in names.items() if name is None] == [gone]

    def test_is_not_sorted_by(self, simulator: Simulator, roomrec: Command) -> None:
        before = simulator.stats.requests
        assert "sort by room_sid" in roomrec.fails("list", simulator.room_sids[0], "--sort", "-room_name")
        assert simulator.stats.requests == before


class TestSort:
    @pytest.mark.parametrize(
        ("text", "key", "descending"),
        [
            ("size", lambda record: record["size"], False),
            ("-size", lambda record: record["size"], True),
            ("started", lambda record: datetime.fromisoformat(record["date_created"]), False),
            ("-track", lambda record: record["track_name"].casefold(), True),
            ("participant_sid", lambda record: record["participant_sid"].casefold(), False),
        ],
    )
    def test_recordings(
        self, text: str, key: Callable[[Record], Any], descending: bool, simulator: Simulator, roomrec: Command
    ) -> None:
        outcome = roomrec("list", *simulator.room_sids, "--sort", text)
        by_sid = {record["sid"]: record for record in recordings(simulator)}
        printed = [key(by_sid[json.loads(line)["sid"]]) for line in outcome.lines]
        assert (outcome.code, outcome.err) == (0, "")
        assert printed == sorted((key(record) for record in by_sid.values()), reverse=descending)

    @pytest.mark.parametrize("text", ["size", "-size"])
    def test_records_without_the_field_come_last(self, text: str, simulator: Simulator, roomrec: Command) -> None:
        room_sid = next(sid for sid in simulator.room_sids if len(expected_list(simulator, sid)) > 2)
        simulator.inject(faults.Replace(without_first_size))
        sizes = [json.loads(line)["size"] for line in roomrec("list", room_sid, "--sort", text).lines]
        assert sizes[-1] is None
        assert sizes[:-1] == sorted(sizes[:-1], reverse=text.startswith("-"))

    def test_a_limit_holds_for_what_is_sorted(self, simulator: Simulator, roomrec: Command) -> None:
        by_size = sorted((each["size"] for each in recordings(simulator)), reverse=True)
        outcome = roomrec("list", "--after", "2020-01-01T00Z", "--sort", "-size", "--limit", "3")
        assert [json.loads(line)["size"] for line in outcome.lines] == by_size[:3]
        outcome = roomrec("list", *simulator.room_sids, "--sort", "-size", "--limit", "1")
        largest = [
            max(each["size"] for each in expected_list(simulator, sid))
            for sid in simulator.room_sids
            if expected_list(simulator, sid)
        ]
        assert [json.loads(line)["size"] for line in outcome.lines] == sorted(largest, reverse=True)
        longest = sorted((room["duration"] for room in completed_rooms(simulator)), reverse=True)
        outcome = roomrec("rooms", "--sort", "-length", "--limit", "2")
        assert [json.loads(line)["duration"] for line in outcome.lines] == longest[:2]
        assert roomrec("rooms", "--sort", "length", "--limit", "0") == (0, "", "")

    def test_rooms_in_a_file(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        path = tmp_path / "rooms.jsonl"
        assert roomrec("rooms", "--sort", "-created", "-o", path).code == 0
        written = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert written == completed_rooms(simulator)[::-1]


def without_first_size(body: bytes) -> bytes:
    page = json.loads(body)
    page["recordings"][0]["size"] = None
    return json.dumps(page).encode()


class TestRoomFiles:
    def test_csv(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        path = tmp_path / "rooms.csv"
        rooms = completed_rooms(simulator)
        assert roomrec("rooms", "-o", path) == (0, "", f"{path}: {len(rooms)} rooms\n")
        with path.open(encoding="utf-8", newline="") as file:
            written = list(csv.DictReader(file))
        assert [row["sid"] for row in written] == [room["sid"] for room in rooms]
        assert {row["enable_turn"] for row in written} == {"true"}
        assert list(written[0]) == list(rooms[0])
        # It is input for other commands.
        outcome = roomrec("list", "--from-file", path)
        assert outcome.code == 0
        assert len(outcome.lines) == len(expected_list(simulator, *(room["sid"] for room in rooms)))

    def test_parquet(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        path = tmp_path / "rooms.parquet"
        columns = "sid,name,duration,audio_only,created"
        assert roomrec("rooms", "-o", path, "--columns", columns).code == 0
        expected = [
            {
                "sid": room["sid"],
                "unique_name": room["unique_name"],
                "duration": room["duration"],
                "audio_only": room["audio_only"],
                "date_created": datetime.fromisoformat(room["date_created"]),
            }
            for room in completed_rooms(simulator)
        ]
        assert pq.read_table(path).to_pylist() == expected

    def test_a_name_that_is_a_formula(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room = next(room for room in completed_rooms(simulator) if room["unique_name"] != room["sid"])
        name = room["unique_name"].encode()
        simulator.inject(faults.Replace(lambda body: body.replace(b'"' + name, b'"=1+' + name)))
        assert roomrec("rooms", "-o", tmp_path / "rooms.csv", "--columns", "name").code == 0
        assert f"'=1+{room['unique_name']}" in (tmp_path / "rooms.csv").read_text("utf-8").splitlines()

    def test_a_list_that_fails_leaves_no_file(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "rooms.csv").write_text("of yesterday", "utf-8")
        simulator.inject(faults.Respond(400))
        assert "HTTP 400" in roomrec.fails("rooms", "-o", tmp_path / "rooms.csv", code=1)
        assert (names_in(tmp_path), (tmp_path / "rooms.csv").read_text("utf-8")) == (["rooms.csv"], "of yesterday")


class TestTables:
    def test_a_narrow_one_says_what_it_leaves_out(self, simulator: Simulator) -> None:
        room_sid = next(sid for sid in simulator.room_sids if expected_list(simulator, sid))
        shown = screen(run_on_terminal("list", room_sid))
        assert shown[1].split() == ["recording", "type", "started", "(UTC)", "size", "track"]
        assert all(len(line) <= 80 for line in shown)
        assert "not shown for lack of width: status, length, participant (--wide shows all)" in shown
        assert "not shown for lack of width: status, length, type (--wide shows all)" in screen(
            run_on_terminal("rooms")
        )

    @pytest.mark.parametrize("command", [["list"], ["delete"]])
    def test_a_wide_one_leaves_nothing_out(
        self, command: list[str], simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room_sid = next(sid for sid in simulator.room_sids if expected_list(simulator, sid))
        for columns, note in (("160", False), ("80", True)):
            monkeypatch.setenv("COLUMNS", columns)
            arguments = ["--table"] if command == ["list"] else []
            assert ("not shown" in roomrec(*command, room_sid, *arguments).err) is note
        assert "not shown" not in roomrec("list", room_sid, "--table", "--wide").err
        assert "not shown" not in roomrec("rooms", "--table", "--wide").err

    def test_of_the_account_has_the_room_of_each_row(self, simulator: Simulator, roomrec: Command) -> None:
        header, *rows = roomrec("list", "--after", "2020-01-01T00Z", "--table", "--wide").lines
        assert header.split()[-1] == "room"
        assert sorted(row.split()[-1] for row in rows) == sorted(each["room_sid"] for each in recordings(simulator))

    def test_hostile_values_do_not_steer_the_terminal(self, simulator: Simulator, roomrec: Command) -> None:
        simulator.inject(hostile("media_region"))
        outcome = roomrec("rooms", "--table", "--columns", "media_region,links")
        assert len(outcome.lines) > 1
        assert all(char.isprintable() for line in outcome.lines for char in line)


class TestJson:
    @pytest.mark.parametrize("command", ["list", "rooms", "download", "delete", "archive", "report", "timeline", "mux"])
    def test_every_command_that_prints_has_the_option(self, command: str, roomrec: Command) -> None:
        assert "--json" in roomrec(command, "--help").out

    def test_what_would_be_deleted(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        expected = [each for each in expected_list(simulator, *simulator.room_sids) if each["status"] == "completed"]
        shown = roomrec("delete", *simulator.room_sids, "--json")
        assert in_any_order([json.loads(line) for line in shown.lines]) == in_any_order(expected)
        shown = roomrec("archive", *simulator.room_sids, "-o", tmp_path, "--delete", "--json")
        stored = [record for record in expected if record["media_external_location"] is None]
        assert in_any_order([json.loads(line) for line in shown.lines]) == in_any_order(stored)

    def test_what_was_deleted(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        expected = sorted(record["sid"] for record in completed(fresh, room_sid))
        outcome = roomrec("delete", room_sid, "--yes", "--json")
        assert (outcome.code, sorted(json.loads(line)["sid"] for line in outcome.lines)) == (0, expected)

    def test_what_was_archived(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("archive", room_sid, "-o", tmp_path / "archive", "--json")
        report = json.loads(outcome.out)
        assert (outcome.code, report["archived"], report["failed"], report["failures"]) == (
            0,
            len(completed(simulator, room_sid)),
            0,
            {},
        )
        assert report["manifest"] == [str(tmp_path / "archive" / "manifest.jsonl")]

    def test_what_was_drawn(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("timeline", room_sid, "-o", tmp_path / "out.svg", "--json")
        drawn = json.loads(outcome.out)
        records = expected_list(simulator, room_sid)
        assert drawn["file"] == str(tmp_path / "out.svg")
        assert drawn["media"] == 0
        assert drawn["recordings"] >= len(records) > 0
        assert drawn["participants"] >= len({each["grouping_sids"]["participant_sid"] for each in records})
