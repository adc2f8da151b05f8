"""``roomrec list`` against a simulator on a real socket: on standard output, as a table, and into files."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import attrs
import pyarrow.parquet as pq
import pytest

from roomrec_async import Recording
from roomrec_async.cli.support import input as input_module
from roomrec_async.simulator import Simulator, faults

from .conftest import (
    ROOMREC,
    UNKNOWN_ROOM,
    UNLIMITED,
    Command,
    Record,
    assert_harmless,
    by_sid,
    expected_list,
    interrupt,
    names_in,
    parse_lines,
    point_to,
    read_terminal,
    run_on_terminal,
    run_process,
    start_process,
    wait_until,
    without_progress,
)

FORMATS = ("jsonl", "csv", "parquet")
INTEGERS = ("size", "duration", "offset")
INSTANTS = ("date_created", "date_updated", "date_deleted")
MAPS = ("grouping_sids", "links")


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(rooms=6, seed=3, **UNLIMITED) as simulator:
        yield simulator


class TestList:
    def test_prints_each_recording_as_a_line_of_json(self, simulator: Simulator) -> None:
        result = run_process("list", *simulator.room_sids)
        assert (result.code, result.err) == (0, "")
        assert parse_lines(result.out) == expected_list(simulator, *simulator.room_sids)

    def test_reads_standard_input_and_files(self, simulator: Simulator, tmp_path: Path) -> None:
        argument, of_file, *others = simulator.room_sids
        (tmp_path / "rooms.txt").write_text(f"\ufeff# of today\n\n  {of_file}  # the second\n", encoding="utf-8")
        result = run_process(
            "list", argument, "-", "--from-file", str(tmp_path / "rooms.txt"), given="\r\n".join(others)
        )
        assert (result.code, result.err) == (0, "")
        assert parse_lines(result.out) == expected_list(simulator, *simulator.room_sids)

    def test_rooms_that_fail_do_not_stop_the_others(self, simulator: Simulator) -> None:
        first, second = simulator.room_sids[:2]
        result = run_process("list", first, "-", given=f"{UNKNOWN_ROOM}\nnonsense\x1b[2J\n# {UNKNOWN_ROOM}\n{second}\n")
        assert result.code == 1
        assert parse_lines(result.out) == expected_list(simulator, first, second)
        malformed, unknown = sorted(result.err.splitlines(), key=lambda line: line.startswith("RM"))
        assert malformed.startswith("standard input:2: a room SID must be")
        assert unknown.startswith(f"{UNKNOWN_ROOM}: HTTP 404, code 20404: ")
        assert "\x1b" not in result.err

    def test_filters_are_sent(self, simulator: Simulator, roomrec: Command) -> None:
        room_sid = simulator.room_sids[0]
        everything = expected_list(simulator, room_sid)
        some = everything[len(everything) // 2]
        options = ["--status", "COMPLETED", "--source-sid", str(some["source_sid"])]
        options += ["--after", str(some["date_created"]), "--before", "2027-01-01T00:00:00+01:00", "--page-size", "1"]
        outcome = roomrec("list", room_sid, *options)
        assert outcome.code == 0
        expected = [
            record
            for record in expected_list(simulator, room_sid, status="completed")
            if record["source_sid"] == some["source_sid"] and str(record["date_created"]) >= str(some["date_created"])
        ]
        assert parse_lines(outcome.out) == expected

    def test_the_limit_is_per_room(self, simulator: Simulator, roomrec: Command) -> None:
        outcome = roomrec("list", "--limit", 2, *simulator.room_sids)
        assert outcome.code == 0
        rooms = Counter(record["room_sid"] for record in parse_lines(outcome.out))
        assert set(rooms.values()) <= {1, 2}
        assert 2 in rooms.values()

    def test_input_is_read_no_faster_than_rooms_are_listed(self, simulator: Simulator) -> None:
        process = start_process("list", "-", "--limit", "1", stdin=subprocess.PIPE)
        assert process.stdin
        assert process.stdout
        for room_sid in simulator.room_sids[:2]:
            process.stdin.write(f"{room_sid}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["room_sid"] == room_sid
        out, err = process.communicate()
        assert (out, without_progress(err)) == ("", "")
        assert process.returncode == 0

    def test_nothing_to_list_is_no_error(self) -> None:
        result = run_process("list", "-", given="# nothing\n")
        assert (result.code, result.out, result.err) == (0, "", "")

    def test_a_table_survives_hostile_track_names(self, simulator: Simulator) -> None:
        room_sid = simulator.room_sids[0]
        hostile = json.dumps("\x1b]0;owned\x07[red]boo[/red]")
        with_hostile = faults.Replace(
            lambda body: (
                json.dumps(
                    {**json.loads(body), "recordings": [{**json.loads(body)["recordings"][0], "track_name": "?"}]}
                )
                .replace('"?"', hostile)
                .encode()
            )
        )
        simulator.inject(with_hostile)
        result = run_process("list", "--table", room_sid, COLUMNS="160")
        assert (result.code, result.err) == (0, "")
        title, _, row = result.out.splitlines()
        assert title == f"Room {room_sid}"
        assert row.startswith("RT")
        assert "]0;owned\N{REPLACEMENT CHARACTER}[red]boo[/red]" in row
        assert all(char.isprintable() for char in row)

    def test_a_pager_that_waits_lets_nothing_time_out(self, large: Simulator) -> None:
        process = start_process("list", "--page-size", "5", "--timeout", "2", *large.room_sids)
        time.sleep(3)
        out, err = process.communicate(timeout=40)
        assert (process.returncode, without_progress(err)) == (0, "")
        assert parse_lines(out) == expected_list(large, *large.room_sids)

    def test_a_terminal_gets_a_table_and_its_sum(self, simulator: Simulator) -> None:
        ours, theirs = pty.openpty()
        process = start_process(
            "list",
            "--limit",
            "1",
            *simulator.room_sids[:2],
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "80"},
        )
        os.close(theirs)
        shown = read_terminal(ours)
        assert process.wait(40) == 0
        assert shown.count("Room") == 2
        assert "2 recordings of 2 rooms" in shown.splitlines()[-1]

    def test_progress_goes_to_the_terminal(self, simulator: Simulator, tmp_path: Path) -> None:
        ours, theirs = pty.openpty()
        with (tmp_path / "out.jsonl").open("w") as out:
            process = start_process("list", *simulator.room_sids, stdout=out, stderr=theirs)
        os.close(theirs)
        assert "in flight" in read_terminal(ours)
        assert process.wait(40) == 0
        assert parse_lines((tmp_path / "out.jsonl").read_text()) == expected_list(simulator, *simulator.room_sids)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "no rooms: give room SIDs or names, --from-file FILE, or - for standard input"),
            (
                ["RM123"],
                "Invalid value for ROOM: a room SID must be 'RM' and 32 hexadecimal digits, not 'RM123'",
            ),
            (["-", "--after", "2026-03-01T09:30:00"], "has no time zone: for UTC write 2026-03-01T09:30:00Z"),
            (["-", "--before", "last week"], "'last week' is not a time such as 7d, 36h, yesterday"),
            (["-", "--before", "3m"], "write min for minutes, and days for months"),
            (["-", "--after", "2026-03-02T00Z", "--before", "2026-03-01T00Z"], "is later than"),
            (["-", "--page-size", "0"], "'--page-size': it must be from 1 to 1000, not 0"),
            (["-", "--page-size", "1001"], "'--page-size': it must be from 1 to 1000, not 1001"),
            (["-", "--limit", "-1"], "'--limit': it must be 0 or more, not -1"),
            (["-", "--status", "done"], "'done' is not one of"),
            (["-", "--source-sid", "x"], "--source-sid must be"),
            (["-", "--timeout", "0"], "must be a positive number of seconds"),
            (["-", "--base-url", "http://["], "--base-url must be 'https://host'"),
            (
                ["-", "--base-url", "http://example.com"],
                "credentials go unencrypted only to a loopback address",
            ),
            (["--from-file", "/no/such/file"], "'/no/such/file' does not exist"),
        ],
    )
    def test_mistakes(self, simulator: Simulator, roomrec: Command, arguments: list[str], message: str) -> None:
        sent = simulator.stats.requests
        assert message in roomrec.fails("list", *arguments)
        assert simulator.stats.requests == sent


def read_file(path: Path) -> list[Record]:
    """Return the recordings in a file of any format, as ``to_dict`` gives them, sorted by SID."""
    if path.suffix == ".jsonl":
        return parse_lines(path.read_text("utf-8"))
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return sorted((from_csv(row) for row in csv.DictReader(file, strict=True)), key=by_sid)
    return sorted((from_parquet(row) for row in pq.read_table(path).to_pylist()), key=by_sid)


def from_csv(row: dict[str, str]) -> Record:
    values: Record = {name: text or None for name, text in row.items()}
    numbers_and_maps = {name: json.loads(row[name]) for name in (*INTEGERS, *MAPS) if row[name]}
    return {**values, **numbers_and_maps}


def from_parquet(row: Record) -> Record:
    maps = {name: json.loads(str(row[name])) for name in MAPS if row[name] is not None}
    instants = {name: iso8601(row[name]) for name in INSTANTS}
    return {**row, **maps, **instants}


def iso8601(value: object) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else None


def page(*records: Record) -> faults.Replace:
    """Return a fault that makes a page of these recordings: the fields given, the others from its first recording."""

    def replaced(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["recordings"] = [{**answer["recordings"][0], **record} for record in records]
        answer["meta"]["next_page_url"] = None
        return json.dumps(answer).encode()

    return faults.Replace(replaced)


@pytest.mark.parametrize("format_", FORMATS)
class TestEachFormat:
    def test_has_what_the_account_has(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        path = tmp_path / f"out.{format_}"
        expected = expected_list(simulator, *simulator.room_sids)
        outcome = roomrec("list", *simulator.room_sids, "-o", path)
        assert outcome == (0, "", f"{path}: {len(expected)} recordings of 6 rooms\n")
        assert read_file(path) == expected
        assert names_in(tmp_path) == [path.name]

    def test_takes_files_filters_and_limits(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        path, rooms = tmp_path / f"out.{format_}", tmp_path / "rooms.txt"
        rooms.write_text("\n".join(simulator.room_sids))
        everything = expected_list(simulator, *simulator.room_sids, status="completed")
        arguments = ["list", "--from-file", rooms, "--status", "completed", "-o", path]
        assert roomrec(*arguments).code == 0
        assert read_file(path) == everything
        assert roomrec(*arguments, "--limit", "1").code == 0
        one_per_room = read_file(path)
        assert sorted(record["room_sid"] for record in one_per_room) == sorted(
            {record["room_sid"] for record in everything}
        )
        assert {record["status"] for record in one_per_room} == {"completed"}

    def test_keeps_what_the_service_invents(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        odd = [
            {"sid": f"RT{1:032x}", "status": "archiving", "type": "hologram", "codec": "AV1", "size": None},
            {"sid": f"RT{2:032x}", "links": {"media": None, "more": [1, {"é": True}]}, "grouping_sids": {}},
            {"sid": f"RT{3:032x}", "track_name": 'a "quoted", name\r\nof two lines \N{GRINNING FACE}'},
            {"sid": f"RT{4:032x}", "date_created": None, "links": None, "track_name": None},
        ]
        simulator.inject(page(*odd))
        path = tmp_path / f"out.{format_}"
        assert roomrec("list", simulator.room_sids[0], "-o", path).code == 0
        for given, found in zip(odd, read_file(path), strict=True):
            assert {**found, **given} == found

    def test_survives_names_that_are_no_unicode(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        simulator.inject(page({"track_name": "half \ud83d of it"}, {"track_name": "whole"}))
        path = tmp_path / f"out.{format_}"
        assert roomrec("list", simulator.room_sids[0], "-o", path).code == 0
        names = {record["track_name"] for record in read_file(path)}
        assert names == {"half \ud83d of it" if format_ == "jsonl" else "half \\ud83d of it", "whole"}

    def test_is_not_written_when_rooms_failed(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        path, rooms = tmp_path / f"out.{format_}", tmp_path / "rooms.txt"
        first, second = simulator.room_sids[:2]
        rooms.write_text(f"nonsense\n{UNKNOWN_ROOM}\n{second}\n")
        expected = expected_list(simulator, first, second)
        for before in (None, "of yesterday"):
            if before is not None:
                path.write_text(before)
            outcome = roomrec("list", first, "--from-file", rooms, "-o", path)
            assert (outcome.code, outcome.out) == (1, "")
            *failures, last = outcome.errors
            assert last == (
                f"{path} was not written: 2 of 4 rooms failed. Run this again, or add --allow-partial to write the "
                f"{len(expected)} recordings that were listed"
            )
            assert sorted(line.split(":")[0] for line in failures) == sorted([UNKNOWN_ROOM, str(rooms)])
            assert sorted(names_in(tmp_path)) == sorted(["rooms.txt", *([path.name] if before else [])])
        assert path.read_text() == "of yesterday"

    def test_has_what_there_is_if_that_is_allowed(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        path, failed = tmp_path / f"out.{format_}", tmp_path / "failed.txt"
        first, second = simulator.room_sids[:2]
        path.write_text("of yesterday")
        options = ("--allow-partial", "--failed-rooms", failed)
        outcome = roomrec("list", first, UNKNOWN_ROOM, second, "-o", path, *options)
        expected = expected_list(simulator, first, second)
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.errors[-1] == f"{path}: {len(expected)} recordings of 3 rooms, 1 failed"
        assert read_file(path) == expected
        assert failed.read_text() == f"{UNKNOWN_ROOM}\n"

    def test_of_nothing_is_a_file_all_the_same(self, roomrec: Command, tmp_path: Path, format_: str) -> None:
        path = tmp_path / f"out.{format_}"
        outcome = roomrec("list", "--from-file", os.devnull, "-o", path)
        assert outcome == (0, "", f"{path}: 0 recordings of 0 rooms\n")
        assert read_file(path) == []
        names = [field.name for field in attrs.fields(Recording)]
        if format_ == "csv":
            assert path.read_text() == ",".join(names) + "\n"
        if format_ == "parquet":
            assert pq.read_schema(path).names == names

    def test_is_replaced_only_by_success(
        self,
        simulator: Simulator,
        roomrec: Command,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        format_: str,
    ) -> None:
        path = tmp_path / f"out.{format_}"
        path.write_text("of yesterday")
        with monkeypatch.context() as patched:
            patched.setenv("TWILIO_AUTH_TOKEN", "wrong")
            line = roomrec.fails("list", *simulator.room_sids, "-o", path, code=3)
        assert "HTTP 401, code 20003" in line
        assert "wrong" not in line
        assert (path.read_text(), names_in(tmp_path)) == ("of yesterday", [path.name])
        assert roomrec("list", *simulator.room_sids, "-o", path).code == 0
        assert read_file(path) == expected_list(simulator, *simulator.room_sids)

    def test_ctrl_c_leaves_nothing(self, tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / f"out.{format_}"
        path.write_text("of yesterday")
        # More than 10,000 recordings: so many are written at once, and then a part of them is on the disk.
        with Simulator(14, 1_000, 3, **UNLIMITED) as large:
            point_to(large, monkeypatch)
            process = start_process("list", *large.room_sids, "-", "-o", path, stdin=subprocess.PIPE)
            wait_until(lambda: any(part.stat().st_size for part in tmp_path.glob(".out.*.part")))
            process.send_signal(signal.SIGINT)
            assert process.wait(40) == 130
            out, err = process.communicate()
            assert (out, without_progress(err)) == ("", "roomrec: interrupted\n")
        assert (path.read_text(), names_in(tmp_path)) == ("of yesterday", [path.name])

    def test_a_disk_that_is_full_at_the_end(self, simulator: Simulator, tmp_path: Path, format_: str) -> None:
        assert_disk_full(tmp_path / f"out.{format_}", 1_000, simulator.room_sids[:1])


def test_a_disk_that_is_full_while_rooms_are_listed(large: Simulator, tmp_path: Path) -> None:
    assert_disk_full(tmp_path / "out.csv", 100_000, large.room_sids)


def assert_disk_full(path: Path, size: int, room_sids: Sequence[str]) -> None:
    """Assert that nothing but one line is left where no file can have more bytes than this."""
    # The measurement of coverage could not write its own file.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(
        [*ROOMREC, "list", *room_sids, "-o", path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environ,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    reason = "the file is larger than the system allows: write to another file system, or raise 'ulimit -f'"
    message = f"roomrec: '{path}': {reason}\n"
    assert (result.returncode, result.stdout, without_progress(result.stderr)) == (1, "", message)
    assert names_in(path.parent) == []


def test_json_lines_are_those_on_standard_output(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    path = tmp_path / "out.JSONL"
    printed = roomrec("list", *simulator.room_sids).out
    assert roomrec("list", *simulator.room_sids, "-o", path).code == 0
    assert sorted(path.read_text().splitlines()) == sorted(printed.splitlines())


def test_only_csv_disarms_formulas(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    hostile = "=cmd|'/c calc'!A1"
    names = {}
    for format_ in FORMATS:
        simulator.inject(page({"track_name": hostile}))
        assert roomrec("list", simulator.room_sids[0], "-o", tmp_path / f"out.{format_}").code == 0
        names[format_] = read_file(tmp_path / f"out.{format_}")[0]["track_name"]
    assert names == {"jsonl": hostile, "csv": f"'{hostile}", "parquet": hostile}


def test_csv_has_the_text_of_each_value(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    path = tmp_path / "out.CSV"
    assert roomrec("list", *simulator.room_sids, "-o", path).code == 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=by_sid)
    assert rows == [
        {name: csv_text(value) for name, value in record.items()}
        for record in expected_list(simulator, *simulator.room_sids)
    ]


def csv_text(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else str(value)


def test_hostile_names_of_files_do_not_steer_the_terminal(
    simulator: Simulator, roomrec: Command, tmp_path: Path
) -> None:
    outcome = roomrec("list", simulator.room_sids[0], "-o", tmp_path / "x\x1b[2J.csv")
    assert outcome.code == 0
    assert_harmless(outcome.err)


@pytest.mark.parametrize("format_", FORMATS)
def test_ctrl_c_while_the_first_rooms_are_listed_leaves_nothing(
    simulator: Simulator, tmp_path: Path, format_: str
) -> None:
    first, second = simulator.room_sids[:2]
    simulator.inject(faults.StallHeaders(20), path_contains=second)
    sent = simulator.stats.requests
    process = start_process("list", first, second, "-o", tmp_path / f"out.{format_}")
    assert interrupt(process, lambda: simulator.stats.requests >= sent + 2) == (130, "", "roomrec: interrupted\n")
    assert names_in(tmp_path) == []


def test_a_terminal_shows_progress_while_a_file_is_written(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    shown = run_on_terminal(
        "list", *simulator.room_sids, "-o", path, env={**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    )
    assert "in flight" in shown
    expected = expected_list(simulator, *simulator.room_sids)
    assert f"{path}: {len(expected)} recordings of 6 rooms" in shown.splitlines()[-1]
    assert read_file(path) == expected


def test_an_outage_leaves_the_file_of_yesterday(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    path, failed = tmp_path / "out.jsonl", tmp_path / "failed.txt"
    path.write_text("of yesterday")
    simulator.inject(faults.Respond(403), times=None)
    outcome = roomrec("list", *simulator.room_sids, "-o", path, "--failed-rooms", failed)
    assert outcome.code == 1
    assert "6 of 6 rooms failed" in outcome.errors[-1]
    assert path.read_text() == "of yesterday"

    # The rooms that failed are what the next run reads; when none fails, none is left.
    assert sorted(failed.read_text().splitlines()) == sorted(simulator.room_sids)
    simulator.clear_faults()
    assert roomrec("list", "--from-file", failed, "-o", path, "--failed-rooms", failed).code == 0
    assert read_file(path) == expected_list(simulator, *simulator.room_sids)
    assert failed.read_text() == ""
    assert sorted(names_in(tmp_path)) == ["failed.txt", "out.jsonl"]


def test_failed_rooms_of_a_list_on_standard_output(simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
    first, failed = simulator.room_sids[0], tmp_path / "failed.txt"
    outcome = roomrec("list", first, UNKNOWN_ROOM, "--failed-rooms", failed)
    assert outcome.code == 1
    assert parse_lines(outcome.out) == expected_list(simulator, first)
    assert failed.read_text() == f"{UNKNOWN_ROOM}\n"


def test_failed_rooms_are_not_written_by_a_run_that_ends_early(
    roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = tmp_path / "failed.txt"
    failed.write_text(f"{UNKNOWN_ROOM}\n")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong")
    roomrec.fails("list", "--from-file", failed, "--failed-rooms", failed, code=3)
    assert (failed.read_text(), names_in(tmp_path)) == (f"{UNKNOWN_ROOM}\n", ["failed.txt"])


class TestNothingOnStandardInput:
    @pytest.mark.parametrize("given", ["", "\n \r\n"])
    @pytest.mark.parametrize(
        "arguments",
        [
            ("list", "-"),
            ("list", "--from-file", "-"),
            ("list", "-", "-o", "out.jsonl", "--allow-partial", "--failed-rooms", "failed.txt"),
            ("download", "-", "-o", "media"),
            ("delete", "-", "--yes"),
            ("archive", "-", "-o", "archive"),
        ],
    )
    def test_is_a_mistake(
        self,
        simulator: Simulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        roomrec: Command,
        arguments: tuple[str, ...],
        given: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        requests = simulator.stats.requests
        monkeypatch.setattr(input_module, "open_stdin", lambda: io.StringIO(given))
        line = roomrec.fails(*arguments)
        assert line.startswith("roomrec: there is nothing on standard input: ")
        assert "--allow-empty" in line
        assert (simulator.stats.requests, names_in(tmp_path)) == (requests, [])

    @pytest.mark.parametrize(
        "arguments",
        [
            ("list", "-", "-o", "out.jsonl"),
            ("download", "-", "-o", "media"),
            ("delete", "-"),
            ("archive", "-", "-o", "archive"),
        ],
    )
    def test_is_accepted_if_it_is_meant(
        self,
        simulator: Simulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        roomrec: Command,
        arguments: tuple[str, ...],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        requests = simulator.stats.requests
        monkeypatch.setattr(input_module, "open_stdin", lambda: io.StringIO(""))
        assert roomrec(*arguments, "--allow-empty").code == 0
        assert simulator.stats.requests == requests

    def test_so_a_pipe_fails_when_its_first_half_fails(self, simulator: Simulator, tmp_path: Path) -> None:
        (tmp_path / "out.jsonl").write_text("of yesterday")
        command = shlex.join(ROOMREC)
        pipe = f"{command} rooms --sids --status in-progress | {command} list - -o out.jsonl"
        simulator.inject(faults.Respond(403), path_contains="/v1/Rooms")
        result = subprocess.run(["sh", "-c", pipe], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert result.returncode == 2
        assert (tmp_path / "out.jsonl").read_text() == "of yesterday"


class TestMistakesWithFiles:
    """Each has its exit code and one clear line on stderr, and nothing is asked of the service."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-o", "out.txt"], "a table's file must end in one of .jsonl, .csv, .parquet, not 'out.txt'"),
            (["-o", "csv"], "a table's file must end in one of .jsonl, .csv, .parquet, not 'csv'"),
            (["-o", "-"], "a table's file must end in one of .jsonl, .csv, .parquet, not '-'"),
            (["-o", "out.csv", "--table"], "--output cannot be used with --json or --table"),
            (["-o", "out.csv", "--json"], "--output cannot be used with --json or --table"),
            (["-o", "out.\x1b[2Jx"], "a table's file must end in"),
            (["-o", "folder.csv"], "'folder.csv' is a directory"),
            (["-o", "."], "is a directory"),
            (["--allow-partial"], "--allow-partial needs --output FILE"),
            (["-o", "out.csv", "--failed-rooms", "out.csv"], "--failed-rooms and --output name the same file"),
            (["-o", "out.csv", "--failed-rooms", "./out.csv"], "--failed-rooms and --output name the same file"),
            (["-o", "out.csv", "--failed-rooms", "link/out.csv"], "--failed-rooms and --output name the same file"),
            (["-o", "out.csv", "--failed-rooms", "no/failed.txt"], "'no/failed.txt': there is no directory 'no'"),
            (["-o", "file/out.csv"], "'file/out.csv': 'file' is a file, not a directory"),
            (["-o", "no/such/folder/out.csv"], "'no/such/folder/out.csv': there is no directory 'no'"),
            (["-o", "/proc/out.csv"], "'/proc/out.csv'"),
        ],
    )
    def test_of_usage(
        self,
        simulator: Simulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        roomrec: Command,
        arguments: list[str],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder.csv").mkdir()
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(".")
        sent = simulator.stats.requests
        line = roomrec.fails("list", simulator.room_sids[0], *arguments)
        assert message in line
        assert "\x1b" not in line
        assert simulator.stats.requests == sent
        assert sorted(names_in(tmp_path)) == ["file", "folder.csv", "link"]

    def test_parquet_without_its_extra(self, simulator: Simulator, tmp_path: Path) -> None:
        program = "import sys; sys.modules['pyarrow'] = None; from roomrec_async.cli import main; main()"
        arguments = ("list", simulator.room_sids[0], "-o", str(tmp_path / "out.parquet"))
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "roomrec: Parquet needs pyarrow: pip install 'roomrec-async[parquet]'\n"
        assert names_in(tmp_path) == []

    def test_other_formats_need_no_extra(self, simulator: Simulator, tmp_path: Path) -> None:
        program = "import sys; sys.modules['pyarrow'] = None; from roomrec_async.cli import main; main()"
        path = tmp_path / "out.csv"
        arguments = ("list", simulator.room_sids[0], "-o", str(path))
        subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)
        assert read_file(path) == expected_list(simulator, simulator.room_sids[0])
