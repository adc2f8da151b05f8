"""``roomrec report`` against a simulator on a real socket: its numbers are those of the account."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roomrec_async import Participant
from roomrec_async.simulator import Simulator, faults

from .conftest import (
    UNLIMITED,
    Command,
    Record,
    interrupt,
    point_to,
    run_on_terminal,
    screen,
    start_process,
)

STATUSES = ("processing", "completed", "deleted", "failed")
YEAR = ("--after", "2026-01-01T00:00:00Z", "--before", "2027-01-01T00:00:00Z")
QUARTER = ("--after", "2026-02-10T12:30:00Z", "--before", "2026-05-10T06:00:00+02:00")

Sums = dict[str, int]


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(60, (0, 60), 3, **UNLIMITED) as simulator:
        yield simulator


def printed_numbers(roomrec: Command, *arguments: object) -> Record:
    """Return the numbers that the command prints."""
    outcome = roomrec("report", *arguments, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    return json.loads(outcome.out)


def truth(simulator: Simulator, statuses: tuple[str, ...] = STATUSES) -> list[Record]:
    """Return all recordings of the account, room by room, as the simulator has them."""
    return [
        record
        for room_sid in simulator.room_sids
        for status in statuses
        for record in simulator.recordings(room_sid, status)
    ]


def within(records: list[Record], first: str, end: str) -> list[Record]:
    return [record for record in records if first <= record["date_created"] < end]


def sums(records: list[Record]) -> Sums:
    return {
        "recordings": len(records),
        "size": sum(record["size"] or 0 for record in records),
        "duration": sum(record["duration"] or 0 for record in records),
    }


def grouped(records: list[Record], key: Callable[[Record], str]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return groups


def by(records: list[Record], key: Callable[[Record], str]) -> dict[str, Sums]:
    return {name: sums(own) for name, own in grouped(records, key).items()}


def assert_sums_up(numbers: Record, records: list[Record]) -> None:
    assert sums(records) == {name: numbers[name] for name in ("recordings", "size", "duration")}
    assert numbers["rooms"] == len({record["room_sid"] for record in records})
    assert numbers["by_type"] == by(records, lambda record: record["type"])
    assert numbers["by_status"] == by(records, lambda record: record["status"])
    days = grouped(records, lambda record: record["date_created"][:10])
    assert numbers["by_day"] == [
        {"day": day, **sums(own), "by_type": by(own, lambda record: record["type"])}
        for day, own in sorted(days.items())
    ]
    rooms = [{"room_sid": sid, **own} for sid, own in by(records, lambda record: record["room_sid"]).items()]
    assert numbers["largest_rooms"] == sorted(rooms, key=lambda room: -room["size"])[:10]
    failed = sorted((each["date_created"], each["sid"]) for each in records if each["status"] == "failed")
    assert numbers["failed"] == len(failed)
    assert [each["sid"] for each in numbers["latest_failures"]] == [sid for _, sid in reversed(failed)][:100]
    assert numbers["undated"]["recordings"] == 0


def table(page: str, name: str) -> list[list[str]]:
    """Return the texts of the cells in the body of a table."""
    found = re.search(f'<table id="{name}".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert found is not None
    rows = re.findall(r"<tr.*?</tr>", found[1], re.DOTALL)
    return [
        [re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows
    ]


class TestOnATerminal:
    def test_it_prints_the_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Simulator(12, (1, 9), 3, **UNLIMITED) as small:
            point_to(small, monkeypatch)
            records = truth(small)
            shown = screen(run_on_terminal("report", *YEAR))
        assert all(len(line) <= 80 for line in shown)
        rows = [line.split() for line in shown]
        assert rows[0][:2] == ["Recordings", "from"]
        assert ["all,", "of", f"{len({each['room_sid'] for each in records}):,}", "rooms", f"{len(records):,}"] in [
            row[:5] for row in rows
        ]
        for field in ("type", "status"):
            for value, count in Counter(each[field] for each in records).items():
                assert [value, f"{count:,}"] in [row[:2] for row in rows]
        largest = [row for row in rows if row[0].startswith("RM")]
        assert len(largest) == min(10, len({each["room_sid"] for each in records}))
        counts = Counter(each["room_sid"] for each in records)
        assert all(row[1] == f"{counts[row[0]]:,}" for row in largest)

    def test_elsewhere_it_prints_json(self, roomrec: Command) -> None:
        assert roomrec("report", *QUARTER) == roomrec("report", *QUARTER, "--json")


class TestNumbers:
    def test_of_a_whole_year_are_those_of_the_account(self, simulator: Simulator, roomrec: Command) -> None:
        records = truth(simulator)
        assert {record["status"] for record in records} == {*STATUSES}
        assert_sums_up(printed_numbers(roomrec, *YEAR), records)

    def test_of_a_window_end_before_its_end(self, simulator: Simulator, roomrec: Command) -> None:
        records = within(truth(simulator), "2026-02-10T12:30:00Z", "2026-05-10T04:00:00Z")
        assert 100 < len(records) < len(truth(simulator)) / 2
        assert_sums_up(printed_numbers(roomrec, *QUARTER), records)

    def test_need_no_end(self, simulator: Simulator, roomrec: Command) -> None:
        assert_sums_up(printed_numbers(roomrec, "--after", "2025-12-31T23:00:00-01:00"), truth(simulator))

    def test_of_nothing(self, roomrec: Command) -> None:
        window = ("--after", "2026-02-10T12:30:00Z", "--before", "2026-02-10T12:30:01Z")
        assert_sums_up(printed_numbers(roomrec, *window), [])

    def test_of_a_busy_day(self, monkeypatch: pytest.MonkeyPatch, roomrec: Command) -> None:
        # Windows with so many pages are split.
        with Simulator(1, 3_000, 1, **UNLIMITED) as busy:
            point_to(busy, monkeypatch)
            records = truth(busy)
            assert len({record["date_created"][:10] for record in records}) <= 2
            assert_sums_up(printed_numbers(roomrec, *YEAR), records)
            assert busy.stats.requests > 2 * 64

    def test_what_is_deleted_meanwhile_is_counted_once_as_deleted(self, simulator: Simulator, roomrec: Command) -> None:
        records = truth(simulator)
        deleted = next(record for record in records if record["status"] == "deleted")
        day = date.fromisoformat(deleted["date_created"][:10])
        that_day = within(records, f"{day}", f"{day + timedelta(1)}")
        gone = next(record for record in that_day if record["status"] == "completed")
        # The list of deleted recordings has one that the other list had, too.
        simulator.inject(
            faults.Replace(lambda body: body.replace(deleted["sid"].encode(), gone["sid"].encode())),
            path_contains="/v1/Recordings",
            times=2,
        )
        asked = simulator.stats.requests
        numbers = printed_numbers(roomrec, "--after", f"{day}T00:00:00Z", "--before", f"{day + timedelta(1)}T00:00:00Z")
        assert simulator.stats.requests == asked + 2
        assert_sums_up(numbers, [record for record in that_day if record is not gone])


class TestFiles:
    def test_a_page_has_the_numbers(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        file, records = tmp_path / "out.html", truth(simulator)
        outcome = roomrec("report", *QUARTER, "-o", file)
        records = within(records, "2026-02-10T12:30:00Z", "2026-05-10T04:00:00Z")
        failed = sorted(((r["date_created"], r["sid"]) for r in records if r["status"] == "failed"), reverse=True)
        rooms = by(records, lambda record: record["room_sid"])
        assert outcome[:2] == (0, "")
        assert re.fullmatch(
            rf"{file}: {len(records):,} recordings of {len(rooms)} rooms, [0-9.]+ [GT]B, "
            rf"{len(failed)} of them with status failed\n",
            outcome.err,
        )
        page = file.read_text("utf-8")
        assert "<h1>Recordings from 2026-02-10 12:30 UTC to 2026-05-10 06:00 UTC+02:00</h1>" in page
        days = by(records, lambda record: record["date_created"][:10])
        shown = {row[0]: int(row[4].replace(",", "")) for row in table(page, "periods")}
        assert list(shown) == [f"{date(2026, 2, 10) + timedelta(day)}" for day in range(90)]
        assert {day: count for day, count in shown.items() if count} == {
            day: own["recordings"] for day, own in days.items()
        }
        largest = sorted(rooms, key=lambda sid: -rooms[sid]["size"])[:10]
        assert [row[0] for row in table(page, "largest")] == largest
        assert [row[0] for row in table(page, "failed")] == [sid for _, sid in failed]
        assert [path.name for path in tmp_path.iterdir()] == ["out.html"]

    def test_people_are_those_of_the_rooms_by_identity(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        records = within(truth(simulator), "2026-02-10T12:30:00Z", "2026-05-10T04:00:00Z")
        room_sids = {record["room_sid"] for record in records}

        async def list_participants() -> list[Participant]:
            async with simulator.client() as client:
                return [each for sid in room_sids async for each in client.participants(sid)]

        participants = asyncio.run(list_participants())
        identities = {each.sid: each.identity for each in participants}
        asked = simulator.stats.requests
        people = printed_numbers(roomrec, *QUARTER, "--identities")["people"]
        with_people = simulator.stats.requests - asked
        people_of = grouped(records, lambda record: identities[record["grouping_sids"]["participant_sid"]])
        expected = [
            {"identity": name, "rooms": len({record["room_sid"] for record in own}), **sums(own)}
            for name, own in people_of.items()
        ]
        assert (
            people == sorted(expected, key=lambda person: (person["duration"], person["identity"]), reverse=True)[:25]
        )

        asked = simulator.stats.requests
        assert roomrec("report", *QUARTER, "-o", tmp_path / "plain.html").code == 0
        # One request for each room, and one more for those of whom some have left, and some are still connected.
        in_progress = {each.room_sid for each in participants if each.status != "disconnected"}
        assert with_people - (simulator.stats.requests - asked) == len(room_sids) + len(in_progress)
        assert 'id="people"' not in (tmp_path / "plain.html").read_text("utf-8")
        assert roomrec("report", *QUARTER, "--identities", "-o", tmp_path / "out.html").code == 0
        page = (tmp_path / "out.html").read_text("utf-8")
        assert [html.unescape(row[0]) for row in table(page, "people")] == [person["identity"] for person in people]

    def test_a_room_whose_participants_cannot_be_listed_is_named(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        simulator.inject(faults.Respond(404), path_contains="/Participants", times=1)
        outcome = roomrec("report", *QUARTER, "--identities", "-o", tmp_path / "out.html")
        assert outcome.code == 1
        assert re.search(r"^RM[0-9a-f]{32}: ", outcome.err, re.MULTILINE)
        assert len(table((tmp_path / "out.html").read_text("utf-8"), "people")) > 1

    def test_json_is_what_is_printed(self, roomrec: Command, tmp_path: Path) -> None:
        file = tmp_path / "out.JSON"
        assert roomrec("report", *QUARTER, "-o", file).code == 0
        assert json.loads(file.read_text()) == printed_numbers(roomrec, *QUARTER)

    @pytest.mark.parametrize("ending", ["html", "json"])
    def test_is_replaced_only_by_success(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, ending: str
    ) -> None:
        file = tmp_path / f"out.{ending}"
        file.write_text("of yesterday")
        simulator.inject(faults.Respond(400), path_contains="/v1/Recordings", times=1)
        assert "HTTP 400" in roomrec.fails("report", *QUARTER, "-o", file, code=1)
        assert (file.read_text(), len([*tmp_path.iterdir()])) == ("of yesterday", 1)
        assert roomrec("report", *QUARTER, "-o", file).code == 0
        assert file.read_text() != "of yesterday"

    def test_refused_credentials(self, monkeypatch: pytest.MonkeyPatch, roomrec: Command, tmp_path: Path) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-token")
        assert "wrong-token" not in roomrec.fails("report", *QUARTER, "-o", tmp_path / "out.html", code=3)
        assert [*tmp_path.iterdir()] == []


class TestProcesses:
    def test_a_terminal_sees_how_far_it_is(self, simulator: Simulator, tmp_path: Path) -> None:
        file = tmp_path / "out.html"
        shown = run_on_terminal("report", *YEAR, "-o", file, env={**os.environ, "COLUMNS": "200", "TERM": "xterm"})
        assert "in flight" in shown
        assert f"{file}: {len(truth(simulator)):,} recordings of" in shown.splitlines()[-1]

    def test_ctrl_c_leaves_nothing(self, simulator: Simulator, tmp_path: Path) -> None:
        file = tmp_path / "out.html"
        file.write_text("of yesterday")
        asked = simulator.stats.requests
        simulator.inject(faults.StallHeaders(60), path_contains="/v1/Recordings", times=1_000)
        process = start_process("report", *YEAR, "-o", file)
        outcome = interrupt(process, lambda: simulator.stats.requests > asked)
        assert outcome == (130, "", "roomrec: interrupted\n")
        assert (file.read_text(), len([*tmp_path.iterdir()])) == ("of yesterday", 1)


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
class TestManifests:
    def test_of_an_archive_say_the_same_as_the_list(
        self, monkeypatch: pytest.MonkeyPatch, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        with Simulator(6, (0, 6), 14, media_size=(0, 2_000), **UNLIMITED) as simulator:
            point_to(simulator, monkeypatch)
            key = tmp_path / "key.pem"
            key.write_bytes(simulator.private_key_pem)
            options = ("--manifest", format_, "--private-key", key)
            assert roomrec("archive", *YEAR, "-o", tmp_path / "archive", *options).code == 0
            records = truth(simulator, ("completed",))
        asked = simulator.stats.requests
        assert len(records) > 5
        manifest = tmp_path / "archive" / f"manifest.{format_}"
        assert_sums_up(printed_numbers(roomrec, "--manifest", manifest), records)
        # That of a large archive is a directory of parts.
        part = manifest.rename(tmp_path / "part")
        manifest.mkdir()
        part.rename(manifest / f"part-000000.{format_}")
        assert_sums_up(printed_numbers(roomrec, "--manifest", manifest), records)
        assert simulator.stats.requests == asked

    def test_so_do_the_files_of_list(
        self, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, roomrec: Command, tmp_path: Path, format_: str
    ) -> None:
        file = tmp_path / f"all.{format_}"
        assert roomrec("list", *simulator.room_sids, "-o", file).code == 0
        for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
            monkeypatch.delenv(name)
        numbers = printed_numbers(roomrec, "--manifest", file)
        assert_sums_up(numbers, truth(simulator, ("processing", "completed", "failed")))
        outcome = roomrec("report", "--manifest", file, "-o", tmp_path / "out.html")
        assert outcome.code == 0
        assert f"<h1>Recordings in {file}</h1>" in (tmp_path / "out.html").read_text("utf-8")

    def test_of_something_else(self, roomrec: Command, tmp_path: Path, format_: str) -> None:
        file = tmp_path / f"rooms.{format_}"
        if format_ == "jsonl":
            file.write_text('{"sid": "RM1", "status": "completed"}\n')
        else:
            pq.write_table(pa.table({"sid": ["RM1"], "status": ["completed"]}), file)
        line = roomrec.fails("report", "--manifest", file, "-o", tmp_path / "out.html")
        assert str(file) in line
        assert "room_sid" in line
        assert [path.name for path in tmp_path.iterdir()] == [file.name]

    def test_that_are_damaged(self, roomrec: Command, tmp_path: Path, format_: str) -> None:
        file = tmp_path / f"damaged.{format_}"
        file.write_bytes(b"PAR1\x00\x00")
        line = roomrec.fails("report", "--manifest", file, "-o", tmp_path / "out.html")
        assert str(file) in line
        assert [path.name for path in tmp_path.iterdir()] == [file.name]

    def test_in_an_archive_that_was_named_instead(self, roomrec: Command, tmp_path: Path, format_: str) -> None:
        manifest = tmp_path / f"manifest.{format_}"
        manifest.touch()
        line = roomrec.fails("report", "--manifest", tmp_path, "--json")
        assert line.endswith(f": give {manifest}")


GOOD = {"sid": "RT1", "room_sid": "RM1", "type": "audio", "status": "completed", "date_created": None,
        "duration": 1, "size": 1, "track_name": None}  # fmt: skip


def test_a_line_of_a_manifest_that_is_not_a_recording(roomrec: Command, tmp_path: Path) -> None:
    file = tmp_path / "manifest.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n{{\n")
    assert f"{file}, line 2: it is not JSON" in roomrec.fails("report", "--manifest", file, "--json")


class TestMistakes:
    """Each has its exit code and one clear line on stderr, and nothing is asked of the service."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-o", "out.html"], "give --after TIME for the whole account, or --manifest FILE"),
            ([*QUARTER, "-o", "out.html", "--json"], "-o cannot be used with --json"),
            ([*QUARTER, "-o", "out.pdf"], "a report's file must end in .html or .json, not 'out.pdf'"),
            ([*QUARTER, "-o", "no/such/folder/out.html"], "there is no directory 'no'"),
            (["--after", "2026-02-10 09:30", "--json"], "has no time zone"),
            (["--after", QUARTER[3], "--before", QUARTER[1], "--json"], "ends before that"),
            (["--manifest", "manifest.csv", "--json"], "a manifest's file must end in .jsonl or .parquet"),
            (["--manifest", "missing.jsonl", "--json"], "does not exist"),
            (["--manifest", "manifest.jsonl", *QUARTER[:2], "--json"], "cannot be used with --after or --before"),
            (["--manifest", "manifest.jsonl", "--identities", "--json"], "cannot be used with --identities"),
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
        for name in ("manifest.csv", "manifest.jsonl"):
            Path(name).touch()
        asked = simulator.stats.requests
        assert message in roomrec.fails("report", *arguments)
        assert simulator.stats.requests == asked
        assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.csv", "manifest.jsonl"]

    @pytest.mark.parametrize(("arguments", "extra"), [(["-o", "out.html"], "html"), (["--json"], "parquet")])
    def test_an_extra_that_is_missing(
        self,
        simulator: Simulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        roomrec: Command,
        arguments: list[str],
        extra: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("manifest.parquet").touch()
        for module in ("jinja2", "pyarrow"):
            monkeypatch.setitem(sys.modules, module, None)
        for module in ("html", "report"):
            monkeypatch.delitem(sys.modules, f"roomrec_async.integrations.{module}", raising=False)
        source = ("--manifest", "manifest.parquet") if extra == "parquet" else QUARTER
        assert f"pip install 'roomrec-async[{extra}]'" in roomrec.fails("report", *source, *arguments)
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.parquet"]
