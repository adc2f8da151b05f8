"""The commands that list rooms and move media, against a simulator on real sockets."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roomrec_async import Recording, Room, from_dict, to_dict
from roomrec_async.cli import app
from roomrec_async.simulator import Simulator, faults
from roomrec_async.simulator.http_exchange import Exchange

ROOMREC = (sys.executable, "-W", "error", "-m", "roomrec_async.cli")
CREDENTIALS = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET")
UNKNOWN_ROOM = "RM" + "0" * 32

Record = dict[str, Any]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def told(self) -> list[str]:
        return self.err.splitlines()


class Command:
    """The command within this process. In a thread: the loops that plugins have set for this one stay theirs."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: object) -> Outcome:
        self._capfd.readouterr()
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(app.run, [str(argument) for argument in arguments]).result()
        return Outcome(code, *self._capfd.readouterr())

    def refuses(self, *arguments: object, code: int = 2) -> str:
        """What it says, all of it one line, when it ends with this code and has printed nothing."""
        outcome = self(*arguments)
        assert (outcome.code, outcome.out) == (code, "")
        (line,) = outcome.told
        assert line.startswith("roomrec: ")
        return line


@pytest.fixture
def roomrec(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


def simulated(**options: Any) -> Simulator:
    """Ten rooms: three are not over, the recordings of one are encrypted, and those of two are in a bucket."""
    unlimited = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}
    return Simulator(10, (0, 5), 14, **unlimited | {"media_size": (0, 200_000)} | options)


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with simulated() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def simulator(shared: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Nothing is deleted in this one. Processes inherit the environment."""
    for name in (*CREDENTIALS, "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)
    point_to(shared, monkeypatch)
    yield shared
    shared.clear_faults()
    shared.store.clear_faults()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """The same account, for a test that deletes."""
    with simulated() as simulator:
        point_to(simulator, monkeypatch)
        yield simulator


def point_to(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
    monkeypatch.setenv("ROOMREC_BASE_URL", simulator.base_url)


def process(*arguments: object, given: str = "", **environ: str) -> Outcome:
    """The command as a process, with ``given`` as its standard input."""
    ended = subprocess.run(
        [*ROOMREC, *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environ},
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def started(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*ROOMREC, *map(str, arguments)], **pipes)


def interrupted(running: subprocess.Popen[str], when: Callable[[], bool]) -> Outcome:
    """How it ends after Ctrl-C at that moment."""
    with running:
        try:
            until(when)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=10)
        finally:
            running.kill()
    return Outcome(running.returncode, out, err)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def completed(simulator: Simulator, *room_sids: str) -> list[Record]:
    """What is recorded in rooms, in all of them by default."""
    return [record for sid in room_sids or simulator.room_sids for record in simulator.recordings(sid, "completed")]


def is_plain(record: Record) -> bool:
    """Whether its media can be had without a key."""
    return record["media_external_location"] is None and record["encryption_key"] is None


def plain_rooms(simulator: Simulator) -> list[str]:
    """The rooms with recordings, the media of all of which can be had without a key."""
    found = [(sid, completed(simulator, sid)) for sid in simulator.room_sids]
    return [sid for sid, records in found if records and all(map(is_plain, records))]


def room_with(simulator: Simulator, field: str) -> str:
    """A room whose recordings have this field."""
    return next(sid for sid in simulator.room_sids if any(record[field] for record in completed(simulator, sid)))


def media(simulator: Simulator, records: list[Record]) -> dict[str, bytes]:
    """The files that a download of these must give."""
    return {f"{each['sid']}.{each['container_format']}": b"".join(simulator.media(each["sid"])) for each in records}


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def rooms_of(simulator: Simulator, status: str) -> list[Record]:
    """The rooms with this status as they are printed, oldest first."""
    served = [simulator.world.room(index).to_dict(simulator.base_url) for index in range(len(simulator.room_sids))]
    return [to_dict(from_dict(Room, room)) for room in served if room["status"] == status]


def by_sid(record: Record) -> str:
    return str(record["sid"])


def hostile(field: str) -> faults.Replace:
    """A list whose records have in this field what would clear a screen, and rename the window."""
    before = f'"{field}":"'
    return faults.Replace(
        lambda body: body.replace(before.encode(), before.encode() + b"\\u001b[2J\\u001b]0;x\\u0007[red]")
    )


def assert_harmless(text: str) -> None:
    assert text
    assert all(char.isprintable() or char == "\n" for char in text)


class TestRooms:
    def test_prints_those_that_are_over_as_lines_of_json(self, simulator: Simulator, roomrec: Command) -> None:
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

    def test_at_most_so_many(self, simulator: Simulator, roomrec: Command) -> None:
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
        outcome = process("list", "-", given=sids)
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
        assert "--sids goes with neither --json nor --table" in roomrec.refuses("rooms", "--sids", "--json")
        assert "has no time zone" in roomrec.refuses("rooms", "--after", "2026-03-01")
        assert "is later than" in roomrec.refuses("rooms", "--after", "2026-03-02T00Z", "--before", "2026-03-01T00Z")
        assert "'over' is not one of" in roomrec.refuses("rooms", "--status", "over")
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        line = roomrec.refuses("rooms", code=3)
        assert "HTTP 401, code 20003" in line
        assert "secret" not in line


class TestDownload:
    def test_files_are_those_of_the_rooms(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sids = plain_rooms(simulator)
        expected = media(simulator, completed(simulator, *room_sids))
        outcome = roomrec("download", *room_sids, "-o", tmp_path / "new" / "media")
        assert outcome.code == 0
        assert files(tmp_path / "new" / "media") == expected
        assert sorted(outcome.lines) == sorted(str(tmp_path / "new" / "media" / name) for name in expected)
        (told,) = outcome.told
        assert told.startswith(f"{len(expected)} of {len(expected)} recordings, ")

    def test_what_is_there_is_not_fetched_again(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sids = plain_rooms(simulator)
        first = roomrec("download", *room_sids, "-o", tmp_path)
        fetched, downloaded = simulator.store.stats.requests, files(tmp_path)
        again = roomrec("download", *room_sids, "-o", tmp_path)
        count = len(downloaded)
        assert (again.code, sorted(again.lines)) == (0, sorted(first.lines))
        assert again.told == [f"{count} of {count} recordings ({count} were there), 0 bytes"]
        assert (simulator.store.stats.requests, files(tmp_path)) == (fetched, downloaded)

    def test_rooms_come_from_standard_input_and_files(self, simulator: Simulator, tmp_path: Path) -> None:
        of_input, of_file = plain_rooms(simulator)[:2]
        (tmp_path / "rooms.txt").write_text(f"# one\n{of_file}\n", "utf-8")
        rooms = ("-", "--from-file", tmp_path / "rooms.txt")
        outcome = process("download", *rooms, "-o", tmp_path / "media", given=f"nonsense\n{of_input}\n")
        assert outcome.code == 1
        assert outcome.told[0].startswith("standard input:1: a room SID must be")
        assert files(tmp_path / "media") == media(simulator, completed(simulator, of_input, of_file))

    @pytest.mark.parametrize("kind", ["audio", "VIDEO"])
    def test_of_one_type(self, simulator: Simulator, roomrec: Command, tmp_path: Path, kind: str) -> None:
        room_sids = plain_rooms(simulator)
        outcome = roomrec("download", *room_sids, "-o", tmp_path, "--type", kind)
        wanted = [record for record in completed(simulator, *room_sids) if record["type"] == kind.lower()]
        assert 0 < len(wanted) < len(completed(simulator, *room_sids))
        assert outcome.code == 0
        assert files(tmp_path) == media(simulator, wanted)

    def test_that_started_in_a_window(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        records = completed(simulator, room_sid)
        after, before = (max(record["date_created"] for record in records), "2027-01-01T00:00:00+01:00")
        assert roomrec("download", room_sid, "-o", tmp_path, "--after", after, "--before", before).code == 0
        assert files(tmp_path) == media(simulator, [each for each in records if each["date_created"] == after])
        assert len(files(tmp_path)) < len(records)

    def test_lines_of_json_say_what_happened(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        expected = media(simulator, completed(simulator, room_sid))
        for already_there in (False, True):
            outcome = roomrec("download", room_sid, "-o", tmp_path, "--json")
            told = {Path(each["location"]).name: each for each in map(json.loads, outcome.lines)}
            assert (outcome.code, told.keys()) == (0, expected.keys())
            for name, content in expected.items():
                digest = None if already_there else hashlib.sha256(content).hexdigest()
                assert name.startswith(told[name]["recording_sid"])
                assert (told[name]["size"], told[name]["sha256"]) == (len(content), digest)
                assert told[name]["already_there"] is already_there

    def test_into_a_store(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("download", room_sid, "-o", f"file://{tmp_path}/")
        assert outcome.code == 0
        assert files(tmp_path) == media(simulator, completed(simulator, room_sid))

    def test_at_most_so_many_at_once(self, fresh: Simulator, roomrec: Command, tmp_path: Path) -> None:
        fresh.store.inject(faults.StallHeaders(0.02), times=None)
        assert roomrec("download", *plain_rooms(fresh)[:2], "-o", tmp_path, "--at-once", "2").code == 0
        assert fresh.store.stats.peak_in_flight == 2

    def test_media_that_are_not_there_yet_are_waited_for(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        record = completed(simulator, plain_rooms(simulator)[0])[0]
        arguments = ("download", record["room_sid"], "-o", tmp_path)
        simulator.inject(faults.Respond(404), path_contains=f"{record['sid']}/Media")
        outcome = roomrec(*arguments)
        assert outcome.code == 1
        assert outcome.told[0].startswith(f"{record['sid']}: HTTP 404")
        simulator.inject(faults.Respond(404), path_contains=f"{record['sid']}/Media")
        assert roomrec(*arguments, "--wait", "10").code == 0
        assert files(tmp_path) == media(simulator, completed(simulator, record["room_sid"]))

    def test_recordings_that_fail_do_not_stop_the_others(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        external = completed(simulator, room_with(simulator, "media_external_location"))
        room_sids = [*plain_rooms(simulator), external[0]["room_sid"]]
        expected = media(simulator, [record for record in completed(simulator, *room_sids) if is_plain(record)])
        outcome = roomrec("download", *room_sids, UNKNOWN_ROOM, "-o", tmp_path)
        assert outcome.code == 1
        assert files(tmp_path) == expected
        *failures, last = outcome.told
        assert sorted(line.partition(":")[0] for line in failures) == sorted(
            [UNKNOWN_ROOM, *(record["sid"] for record in external)]
        )
        found, failed = len(expected) + len(external), len(failures)
        assert last.startswith(f"{len(expected)} of {found} recordings, {failed} failed, ")

    def test_it_says_of_a_bucket_of_ones_own_that_it_is_one(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        outcome = roomrec("download", room_with(simulator, "media_external_location"), "-o", tmp_path)
        assert outcome.code == 1
        assert all("bucket" in line for line in outcome.told[:-1])

    def test_a_key_decrypts(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_bytes(simulator.private_key_pem)
        room_sid = room_with(simulator, "encryption_key")
        arguments = ("download", room_sid, "-o", tmp_path / "media", "--private-key", tmp_path / "key.pem")
        expected = media(simulator, completed(simulator, room_sid))
        assert roomrec(*arguments).code == 0
        assert files(tmp_path / "media") == expected
        assert f"({len(expected)} were there)" in roomrec(*arguments).err

    def test_without_the_key_nothing_is_left_behind(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = room_with(simulator, "encryption_key")
        outcome = roomrec("download", room_sid, "-o", tmp_path)
        assert (outcome.code, outcome.out, files(tmp_path)) == (1, "", {})
        assert len(outcome.told) == len(completed(simulator, room_sid)) + 1
        assert all("are encrypted" in line for line in outcome.told[:-1])

    def test_without_the_key_it_names_the_option(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        outcome = roomrec("download", room_with(simulator, "encryption_key"), "-o", tmp_path)
        assert all("--private-key" in line for line in outcome.told[:-1])

    def test_another_key(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        key = generate_private_key(public_exponent=65_537, key_size=2_048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "key.pem").write_bytes(pem)
        arguments = ("-o", tmp_path / "media", "--private-key", tmp_path / "key.pem")
        outcome = roomrec("download", room_with(simulator, "encryption_key"), *arguments)
        assert (outcome.code, outcome.out, files(tmp_path / "media")) == (1, "", {})
        assert all("the private key is not the one" in line for line in outcome.told[:-1])

    def test_after_ctrl_c_it_goes_on(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid, record = large(simulator)
        simulator.store.inject(faults.SlowDrip(100_000), path_contains=record["sid"])
        name = f"{record['sid']}.{record['container_format']}"
        part = tmp_path / f"{name}.part"
        running = started("download", room_sid, "-o", tmp_path)
        outcome = interrupted(running, lambda: part.exists() and part.stat().st_size > 0)
        assert (outcome.code, outcome.err) == (130, "roomrec: interrupted\n")
        assert name not in files(tmp_path)
        again = roomrec("download", room_sid, "-o", tmp_path, "--json")
        assert again.code == 0
        assert files(tmp_path) == media(simulator, completed(simulator, room_sid))
        (resumed,) = [each for each in map(json.loads, again.lines) if each["recording_sid"] == record["sid"]]
        assert 0 < resumed["resumed_at"] < record["size"]

    def test_hostile_fields_neither_steer_the_terminal_nor_name_files(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = plain_rooms(simulator)[0]
        expected = media(simulator, completed(simulator, room_sid))
        for field in ("track_name", "codec", "container_format"):
            directory = tmp_path / field
            simulator.inject(hostile(field))
            outcome = roomrec("download", room_sid, "-o", directory)
            assert outcome.code == 0
            assert_harmless(outcome.out + outcome.err)
            assert sorted(name.partition(".")[0] for name in files(directory)) == sorted(
                name.partition(".")[0] for name in expected
            )

    def test_hostile_sids_and_messages(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        count = len(completed(simulator, room_sid))
        simulator.inject(faults.Replace(lambda body: body.replace(b'"sid":"RT', b'"sid":"../\\u001b[2J')))
        outcome = roomrec("download", room_sid, "-o", tmp_path / "media")
        assert (outcome.code, outcome.out, len(outcome.told)) == (1, "", count + 1)
        assert_harmless(outcome.err)
        assert not files(tmp_path)
        message = json.dumps({"code": 20003, "message": "\x1b]0;owned\x07\nroomrec: all good", "status": 403})
        simulator.inject(faults.Respond(403, message.encode(), content_type="application/json"), path_contains="/Media")
        outcome = roomrec("download", room_sid, "-o", tmp_path / "media")
        assert (outcome.code, len(outcome.told)) == (1, 2)
        assert_harmless(outcome.err)

    def test_wrong_credentials_end_it_at_once(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator.inject(faults.Respond(401), path_contains="/Media")
        outcome = roomrec("download", *plain_rooms(simulator), "-o", tmp_path)
        assert outcome.code == 3
        (line,) = outcome.told
        assert line.startswith("roomrec: HTTP 401")
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        line = roomrec.refuses("download", *simulator.room_sids, "-o", tmp_path, code=3)
        assert "HTTP 401, code 20003" in line
        assert "secret" not in line

    def test_where_nothing_can_be_written(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        (tmp_path / "file").touch()
        assert str(tmp_path / "file") in roomrec.refuses("download", room_sid, "-o", tmp_path / "file")
        assert str(tmp_path / "file") in roomrec.refuses("download", room_sid, "-o", tmp_path / "file" / "media")
        (name,) = list(media(simulator, completed(simulator, room_sid)))[:1]
        (tmp_path / "media" / f"{name}.part").mkdir(parents=True)
        outcome = roomrec("download", room_sid, "-o", tmp_path / "media", "--at-once", "1")
        assert outcome.code == 2
        (line,) = outcome.told
        assert line.startswith("roomrec: ")
        assert name in line

    @pytest.mark.parametrize(
        ("url", "told"), [("s3://bucket/rooms", "credentials"), ("az://container/rooms", "Account must be specified")]
    )
    def test_a_store_without_credentials(
        self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch, url: str, told: str
    ) -> None:
        without_stores(simulator, monkeypatch)
        outcome = roomrec("download", plain_rooms(simulator)[0], "-o", url)
        assert outcome.code in {1, 2}
        (line,) = outcome.told
        assert line.startswith("roomrec: ")
        assert url.rpartition("/")[0] in line
        assert told in line

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["-o", "x"], "no room: give room SIDs, --from-file FILE, or - for standard input"),
            (["RM123", "-o", "x"], "a room SID must be"),
            ([UNKNOWN_ROOM], "Missing option '-o'"),
            ([UNKNOWN_ROOM, "-o", "x", "--type", "text"], "'text' is not one of"),
            ([UNKNOWN_ROOM, "-o", "x", "--at-once", "0"], "'--at-once': 0 is not in the range"),
            ([UNKNOWN_ROOM, "-o", "x", "--wait", "-1"], "'--wait': -1.0 is not in the range"),
            ([UNKNOWN_ROOM, "-o", "x", "--private-key", "/no/such/key"], "'/no/such/key' does not exist"),
            ([UNKNOWN_ROOM, "-o", "x", "--private-key", __file__], "is no private key in PEM format"),
            ([UNKNOWN_ROOM, "-o", "ftp://host/x"], "cannot be used"),
            ([UNKNOWN_ROOM, "-o", "https://host/x"], "is no object store"),
            ([UNKNOWN_ROOM, "-o", "s3://key:secret@bucket/x"], "holds no credentials"),
        ],
    )
    def test_mistakes(
        self, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        line = roomrec.refuses("download", *arguments)
        assert told in line
        assert "secret" not in line
        assert not list(tmp_path.iterdir())


def without_stores(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of object stores, and nothing where the machines of cloud providers find theirs."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", simulator.base_url)


def large(simulator: Simulator) -> tuple[str, Record]:
    """A recording with more than 100,000 bytes that can be had without a key, after the SID of its room."""
    records = completed(simulator, *plain_rooms(simulator))
    record = next(record for record in records if record["size"] > 100_000)
    return record["room_sid"], record


class TestDelete:
    def test_without_yes_it_only_shows(self, fresh: Simulator, roomrec: Command) -> None:
        records = completed(fresh)
        outcome = roomrec("delete", *fresh.room_sids)
        assert outcome.code == 0
        assert sorted(line.split()[0] for line in outcome.lines) == sorted(record["sid"] for record in records)
        (told,) = outcome.told
        assert told.startswith(f"nothing was deleted: --yes would delete {len(records)} recordings, ")
        assert not deletions(fresh)
        assert completed(fresh) == records

    def test_with_yes_they_are_gone(self, fresh: Simulator, roomrec: Command) -> None:
        gone, kept = fresh.room_sids[:2], fresh.room_sids[2:]
        sids, others = [record["sid"] for record in completed(fresh, *gone)], completed(fresh, *kept)
        outcome = roomrec("delete", *gone, "--yes")
        assert (outcome.code, sorted(outcome.lines)) == (0, sorted(sids))
        (told,) = outcome.told
        assert told.startswith(f"{len(sids)} recordings, ")
        assert told.endswith(" deleted")
        assert (completed(fresh, *gone), completed(fresh, *kept)) == ([], others)
        again = roomrec("delete", *gone, "--yes")
        assert again == (0, "", "0 recordings, 0 bytes deleted\n")
        assert len(deletions(fresh)) == len(sids)

    def test_only_what_was_asked_for(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        before = completed(fresh, room_sid)
        last = max(record["date_created"] for record in before)
        assert roomrec("delete", room_sid, "--before", last, "--yes").code == 0
        after = completed(fresh, room_sid)
        assert after == [record for record in before if record["date_created"] == last]
        assert len(after) < len(before)
        others = [record for sid in fresh.room_sids for record in fresh.recordings(sid, "processing")]
        outcome = roomrec("delete", *fresh.room_sids, "--status", "processing", "--yes")
        assert (outcome.code, sorted(outcome.lines)) == (0, sorted(record["sid"] for record in others))
        assert completed(fresh, room_sid) == after

    def test_rooms_come_from_standard_input(self, fresh: Simulator) -> None:
        room_sid = plain_rooms(fresh)[0]
        outcome = process("delete", "-", "--yes", given=f"nonsense\n{room_sid}\n")
        assert outcome.code == 1
        assert outcome.told[0].startswith("standard input:1: a room SID must be")
        assert completed(fresh, room_sid) == []

    def test_those_that_fail_do_not_stop_the_others(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        refused, *others = completed(fresh, room_sid)
        fresh.inject(faults.Respond(403), path_contains=refused["sid"])
        outcome = roomrec("delete", room_sid, UNKNOWN_ROOM, "--yes")
        assert outcome.code == 1
        assert sorted(outcome.lines) == sorted(record["sid"] for record in others)
        *failures, last = outcome.told
        assert sorted(line.partition(": HTTP")[0] for line in failures) == sorted([refused["sid"], UNKNOWN_ROOM])
        assert last.endswith(" deleted, 2 failed")
        assert completed(fresh, room_sid) == [refused]

    def test_what_is_gone_already_is_counted(self, fresh: Simulator, roomrec: Command) -> None:
        room_sid = plain_rooms(fresh)[0]
        first, second, *_ = records = completed(fresh, room_sid)
        fresh.inject(DeletedElsewhere(), path_contains=first["sid"])
        # The answers to the others come before and after.
        fresh.inject(faults.StallHeaders(0.3), path_contains=second["sid"])
        outcome = roomrec("delete", room_sid, "--yes")
        assert (outcome.code, len(outcome.lines), completed(fresh, room_sid)) == (0, len(records), [])
        assert outcome.told[0].endswith(" deleted (1 gone already)")

    def test_hostile_fields_do_not_steer_the_terminal(
        self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        for field in ("track_name", "sid", "type", "status"):
            simulator.inject(hostile(field))
            outcome = roomrec("delete", plain_rooms(simulator)[0])
            assert (outcome.code, len(outcome.told)) == (0, 1)
            assert_harmless(outcome.out)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "no room: give room SIDs, --from-file FILE, or - for standard input"),
            (["RM123"], "a room SID must be"),
            ([UNKNOWN_ROOM, "--status", "deleted"], "'deleted' is not one of"),
            ([UNKNOWN_ROOM, "--before", "2026-03-01"], "has no time zone"),
            ([UNKNOWN_ROOM, "--no-such-option"], "No such option"),
        ],
    )
    def test_mistakes(self, fresh: Simulator, roomrec: Command, arguments: list[str], told: str) -> None:
        assert told in roomrec.refuses("delete", "--yes", *arguments)
        assert not fresh.requests

    def test_wrong_credentials(self, fresh: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        assert "secret" not in roomrec.refuses("delete", *fresh.room_sids, "--yes", code=3)
        assert not deletions(fresh)


class DeletedElsewhere:
    """Another program was quicker."""

    async def answer(self, exchange: Exchange, /) -> web.Response:
        await exchange.produce()
        return await exchange.produce()


def deletions(simulator: Simulator) -> list[str]:
    """The paths of the deletions that the service was asked for."""
    return [request.path for request in simulator.requests if request.method == "DELETE"]


class TestArchive:
    def test_of_rooms(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sids, count = plain_rooms(simulator), len(completed(simulator, *plain_rooms(simulator)))
        outcome = roomrec("archive", *room_sids, "-o", tmp_path)
        assert (outcome.code, outcome.out) == (0, "")
        (told,) = outcome.told
        assert told.startswith(f"{count} recordings in the archive, ")
        assert told.endswith(f"; listed in {tmp_path / 'manifest.jsonl'}")
        assert archived(tmp_path) == places(simulator, completed(simulator, *room_sids))
        assert [row["state"] for row in manifest(tmp_path)] == ["archived"] * count

    def test_it_is_run_again(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        first = roomrec("archive", *plain_rooms(simulator)[:2], "-o", tmp_path)
        fetched, stored = simulator.store.stats.requests, archived(tmp_path)
        assert roomrec("archive", *plain_rooms(simulator)[:2], "-o", tmp_path) == first
        assert (simulator.store.stats.requests, archived(tmp_path)) == (fetched, stored)

    def test_of_a_window_of_the_account(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_bytes(simulator.private_key_pem)
        everything = sorted(record["date_created"] for record in completed(simulator))
        external = completed(simulator, room_with(simulator, "media_external_location"))
        after, before = everything[len(everything) // 4], max(record["date_created"] for record in external)
        window = ("--after", after, "--before", before, "--private-key", tmp_path / "key.pem", "--at-once", "2")
        outcome = roomrec("archive", *window, "-o", tmp_path / "archive")
        wanted = [record for record in completed(simulator) if after <= record["date_created"] < before]
        stored = [record for record in wanted if record["media_external_location"] is None]
        assert 0 < len(stored) < len(wanted) < len(everything)
        assert any(record["encryption_key"] for record in stored)
        assert outcome.code == 0
        assert archived(tmp_path / "archive") == places(simulator, stored)
        assert sorted(row["sid"] for row in manifest(tmp_path / "archive")) == sorted(each["sid"] for each in wanted)
        assert f"; {len(wanted) - len(stored)} more are in a bucket of your own; " in outcome.err

    def test_what_is_copied_is_deleted(self, fresh: Simulator, roomrec: Command, tmp_path: Path) -> None:
        expected, others = places(fresh, [*filter(is_plain, completed(fresh))]), [*others_than_plain(fresh)]
        arguments = ("archive", *fresh.room_sids, "-o", tmp_path, "--delete")
        outcome = roomrec(*arguments)
        encrypted = [record for record in others if record["encryption_key"]]
        # What failed is not deleted.
        assert outcome.code == 1
        *failures, last = outcome.told
        assert sorted(line.partition(":")[0] for line in failures) == sorted(record["sid"] for record in encrypted)
        assert f"{len(expected)} of them deleted at the source" in last
        assert f"{len(encrypted)} failed: run it again to try them again" in last
        assert archived(tmp_path) == expected
        assert completed(fresh) == others
        (tmp_path / "key.pem").write_bytes(fresh.private_key_pem)
        again = roomrec(*arguments, "--private-key", tmp_path / "key.pem")
        assert again.code == 0
        assert len(archived(tmp_path)) == len(expected) + len(encrypted)
        assert all(record["media_external_location"] for record in completed(fresh))
        assert len(deletions(fresh)) == len(expected) + len(encrypted)

    def test_after_ctrl_c_it_goes_on(self, fresh: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid, record = large(fresh)
        expected = places(fresh, completed(fresh, room_sid))
        fresh.store.inject(faults.StallBody(80_000, 20), path_contains=record["sid"])
        running = started("archive", room_sid, "-o", tmp_path, "--delete")
        outcome = interrupted(running, lambda: len(deletions(fresh)) == len(expected) - 1)
        assert outcome == (130, "", "roomrec: interrupted\n")
        assert record in completed(fresh, room_sid)
        again = roomrec("archive", room_sid, "-o", tmp_path, "--delete")
        assert again.code == 0
        assert archived(tmp_path) == expected
        assert completed(fresh, room_sid) == []

    def test_its_manifest_as_parquet(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("archive", room_sid, "-o", tmp_path, "--manifest", "parquet", "--manifest", "jsonl")
        assert outcome.code == 0
        assert f"listed in {tmp_path / 'manifest.parquet'} and {tmp_path / 'manifest.jsonl'}" in outcome.err
        sids = pq.read_table(tmp_path / "manifest.parquet")["sid"].to_pylist()
        assert sids == [row["sid"] for row in manifest(tmp_path)]
        assert sorted(sids) == sorted(record["sid"] for record in completed(simulator, room_sid))

    def test_what_is_no_ledger_stays_as_it_is(self, roomrec: Command, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("not a database " * 100, "utf-8")
        arguments = ("-o", tmp_path / "archive", "--ledger", tmp_path / "notes.txt")
        assert "notes.txt" in roomrec.refuses("archive", UNKNOWN_ROOM, *arguments)
        assert (tmp_path / "notes.txt").read_text("utf-8") == "not a database " * 100

    def test_into_a_store(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        room_sid, url = plain_rooms(simulator)[0], f"file://{tmp_path}/"
        assert "ledger" in roomrec.refuses("archive", room_sid, "-o", url)
        assert roomrec("archive", room_sid, "-o", url, "--ledger", tmp_path / "ledger.sqlite3").code == 0
        assert archived(tmp_path) == places(simulator, completed(simulator, room_sid))

    def test_a_store_without_credentials(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_stores(simulator, monkeypatch)
        ledger = ("--ledger", tmp_path / "ledger.sqlite3")
        outcome = roomrec("archive", plain_rooms(simulator)[0], "-o", "s3://bucket/rooms", *ledger)
        assert outcome.code in {1, 2}
        (line,) = outcome.told
        assert line.startswith("roomrec: s3://bucket")
        assert "credentials" in line

    def test_rooms_that_fail_do_not_stop_the_others(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = plain_rooms(simulator)[0]
        (tmp_path / "rooms.txt").write_text(f"nonsense\n{UNKNOWN_ROOM}\n{room_sid}\n", "utf-8")
        outcome = roomrec("archive", "--from-file", tmp_path / "rooms.txt", "-o", tmp_path / "archive")
        assert outcome.code == 1
        malformed, unknown, last = outcome.told
        assert malformed.startswith(f"{tmp_path / 'rooms.txt'}:1: a room SID must be")
        assert unknown.startswith(f"{UNKNOWN_ROOM}: ")
        assert "HTTP 404, code 20404" in unknown
        assert "1 failed" in last
        assert archived(tmp_path / "archive") == places(simulator, completed(simulator, room_sid))

    def test_hostile_fields_and_messages(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        refused, *others = completed(simulator, plain_rooms(simulator)[0])
        message = json.dumps({"code": 20003, "message": "\x1b]0;owned\x07\nroomrec: all good", "status": 403})
        refusal = faults.Respond(403, message.encode(), content_type="application/json")
        for field in ("track_name", "container_format"):
            simulator.inject(hostile(field))
            simulator.inject(refusal, path_contains=f"{refused['sid']}/Media")
            outcome = roomrec("archive", refused["room_sid"], "-o", tmp_path / field)
            assert (outcome.code, len(outcome.told)) == (1, 2)
            assert outcome.told[0].startswith(f"{refused['sid']}: ")
            assert_harmless(outcome.err)
            names = {name.partition(".")[0] for name in archived(tmp_path / field)}
            assert names == {f"{record['room_sid']}/{record['sid']}" for record in others}

    @pytest.mark.parametrize("field", ["sid", "room_sid"])
    def test_hostile_sids_lead_nowhere(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, field: str
    ) -> None:
        before, after = f'"{field}":"'.encode(), f'"{field}":"../../\\u001b[2J'.encode()
        simulator.inject(faults.Replace(lambda body: body.replace(before, after)))
        outcome = roomrec("archive", plain_rooms(simulator)[0], "-o", tmp_path / "a" / "b" / "archive")
        assert outcome.code == 1
        assert_harmless(outcome.err)
        assert {name for name in files(tmp_path) if not name.startswith("a/b/archive/")} == set()
        assert not any("RT" in name for name in files(tmp_path))

    def test_wrong_credentials(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        for source in (plain_rooms(simulator), ["--after", "2026-01-01T00Z"]):
            line = roomrec.refuses("archive", *source, "-o", tmp_path, code=3)
            assert "HTTP 401, code 20003" in line
            assert "secret" not in line

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "nothing to archive: give rooms, or --after INSTANT for the whole account"),
            (["--before", "2026-03-01T00Z"], "nothing to archive"),
            ([UNKNOWN_ROOM, "--after", "2026-03-01T00Z"], "give either rooms, or --after and --before"),
            (["--after", "2026-03-02T00Z", "--before", "2026-03-01T00Z"], "2026-03-0"),
            (["--after", "2026-03-01"], "has no time zone"),
            ([UNKNOWN_ROOM, "--manifest", "xlsx"], "'xlsx' is not one of"),
            ([UNKNOWN_ROOM, "--at-once", "0"], "'--at-once': 0 is not in the range"),
            ([UNKNOWN_ROOM, "--ledger", "."], "is a directory"),
            ([UNKNOWN_ROOM, "-o", __file__], __file__),
            ([UNKNOWN_ROOM, "-o", f"{__file__}/archive"], __file__),
            ([UNKNOWN_ROOM, "-o", "s3://bucket/rooms"], "needs a ledger"),
        ],
    )
    def test_mistakes(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, arguments: list[str], told: str
    ) -> None:
        asked = simulator.stats.requests
        assert told in roomrec.refuses("archive", "-o", tmp_path / "archive", *arguments)
        assert simulator.stats.requests == asked


def others_than_plain(simulator: Simulator) -> list[Record]:
    return [record for record in completed(simulator) if not is_plain(record)]


def places(simulator: Simulator, records: list[Record]) -> dict[str, bytes]:
    """What an archive of these must hold."""
    return {
        f"{record['room_sid']}/{name}": content
        for record in records
        for name, content in media(simulator, [record]).items()
    }


def archived(directory: Path) -> dict[str, bytes]:
    """What is in the folders of an archive's rooms."""
    return {name: content for name, content in files(directory).items() if name.startswith("RM")}


def manifest(directory: Path) -> list[Record]:
    return [json.loads(line) for line in (directory / "manifest.jsonl").read_text("utf-8").splitlines()]


class TestListIntoAFile:
    def test_json_lines(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        outcome = roomrec("list", *simulator.room_sids, "-o", tmp_path / "all.jsonl")
        expected = listed(simulator, *simulator.room_sids)
        assert (outcome.code, outcome.out) == (0, "")
        assert outcome.told == [f"{tmp_path / 'all.jsonl'}: {len(expected)} recordings of 10 rooms"]
        lines = (tmp_path / "all.jsonl").read_text("utf-8").splitlines()
        assert sorted(map(json.loads, lines), key=by_sid) == expected

    def test_csv(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        assert roomrec("list", *simulator.room_sids, "-o", tmp_path / "all.CSV").code == 0
        with (tmp_path / "all.CSV").open(encoding="utf-8", newline="") as file:
            rows = sorted(csv.DictReader(file), key=by_sid)
        assert rows == [
            {name: "" if value is None else told_in_csv(value) for name, value in record.items()}
            for record in listed(simulator, *simulator.room_sids)
        ]

    def test_parquet(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        assert roomrec("list", *simulator.room_sids, "-o", tmp_path / "all.parquet").code == 0
        table = pq.read_table(tmp_path / "all.parquet")
        expected = listed(simulator, *simulator.room_sids)
        assert table.column_names == list(expected[0])
        for row, record in zip(sorted(table.to_pylist(), key=by_sid), expected, strict=True):
            for name, value in record.items():
                assert row[name] == of_parquet(value, row[name])

    def test_filters_and_limits_hold(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        arguments = ("--status", "completed", "--limit", "1", "-o", tmp_path / "some.jsonl")
        assert roomrec("list", *simulator.room_sids, *arguments).code == 0
        rows = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text("utf-8").splitlines()]
        rooms = [sid for sid in simulator.room_sids if completed(simulator, sid)]
        assert sorted(row["room_sid"] for row in rows) == sorted(rooms)
        assert {row["status"] for row in rows} == {"completed"}

    def test_rooms_that_fail_do_not_stop_the_others(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path
    ) -> None:
        room_sid = plain_rooms(simulator)[0]
        outcome = roomrec("list", UNKNOWN_ROOM, room_sid, "-o", tmp_path / "some.jsonl")
        assert outcome.code == 1
        failure, last = outcome.told
        assert failure.startswith(f"{UNKNOWN_ROOM}: HTTP 404, code 20404: ")
        assert last.endswith(" of 2 rooms, 1 failed")
        lines = (tmp_path / "some.jsonl").read_text("utf-8").splitlines()
        assert sorted(map(json.loads, lines), key=by_sid) == listed(simulator, room_sid)

    def test_after_ctrl_c_there_is_what_was_before(self, simulator: Simulator, tmp_path: Path) -> None:
        (tmp_path / "old.jsonl").write_text("of yesterday", "utf-8")
        for name in ("old.jsonl", "new.csv", "new.parquet"):
            first, second = plain_rooms(simulator)[:2]
            simulator.inject(faults.StallHeaders(20), path_contains=second)
            asked = simulator.stats.requests
            running = started("list", first, second, "-o", tmp_path / name)
            outcome = interrupted(running, lambda asked=asked: simulator.stats.requests >= asked + 2)
            assert outcome == (130, "", "roomrec: interrupted\n")
        assert files(tmp_path) == {"old.jsonl": b"of yesterday"}

    def test_wrong_credentials(
        self, simulator: Simulator, roomrec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        line = roomrec.refuses("list", *simulator.room_sids, "-o", tmp_path / "all.csv", code=3)
        assert "HTTP 401, code 20003" in line
        assert not files(tmp_path)

    def test_hostile_fields(self, simulator: Simulator, roomrec: Command, tmp_path: Path) -> None:
        simulator.inject(
            faults.Replace(lambda body: body.replace(b'"track_name":"', b'"track_name":"=HYPERLINK(A1)\\u001b[2J')),
            times=None,
        )
        outcome = roomrec("list", plain_rooms(simulator)[0], "-o", tmp_path / "x\x1b[2J.csv")
        simulator.clear_faults()
        assert outcome.code == 0
        assert_harmless(outcome.err)
        (text,) = files(tmp_path).values()
        names = [row["track_name"] for row in csv.DictReader(text.decode().splitlines())]
        assert names
        assert all(name.startswith("'=HYPERLINK(A1)") for name in names)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["-o", "x.xlsx"], "must end in one of .jsonl, .csv, .parquet, not 'x.xlsx'"),
            (["-o", "x"], "must end in one of"),
            (["-o", "x.csv", "--json"], "--output goes with neither --json nor --table"),
            (["-o", "x.csv", "--table"], "--output goes with neither --json nor --table"),
            (["-o", "."], "is a directory"),
            (["-o", "file/x.csv"], "file"),
        ],
    )
    def test_mistakes(
        self,
        simulator: Simulator,
        roomrec: Command,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        told: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        assert told in roomrec.refuses("list", plain_rooms(simulator)[0], *arguments)
        assert files(tmp_path) == {"file": b""}


def listed(simulator: Simulator, *room_sids: str) -> list[Record]:
    """What a list of these rooms must give."""
    records = [record for sid in room_sids for record in simulator.recordings(sid)]
    return sorted((to_dict(from_dict(Recording, record)) for record in records), key=by_sid)


def told_in_csv(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else str(value)


def of_parquet(value: object, found: object) -> object:
    """What this value of a record is in Parquet, where instants are instants and the rest of JSON is text."""
    if isinstance(found, datetime):
        return datetime.fromisoformat(str(value))
    return told_in_csv(value) if isinstance(value, dict) else value


class TestOnATerminal:
    def test_a_download_shows_how_far_it_is(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large(simulator)
        count = len(completed(simulator, room_sid))
        simulator.store.inject(faults.SlowDrip(150_000), path_contains=record["sid"])
        with (tmp_path / "out.txt").open("w") as out:
            shown = shown_by("download", room_sid, "-o", tmp_path / "media", stdout=out)
        amounts, rate, left = r"[\d.]+/[\d.]+ [kM]B", r"[\d.]+ [kM]B/s", r"\d:\d\d:\d\d"
        assert re.search(f"{amounts} {rate} {left} \\d of {count} recordings", without_colours(shown))
        assert "\N{HORIZONTAL ELLIPSIS}" not in shown
        (line,) = screen(shown)
        assert line.startswith(f"{count} of {count} recordings, ")
        assert len((tmp_path / "out.txt").read_text("utf-8").splitlines()) == count

    def test_an_archive_shows_how_far_it_is(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large(simulator)
        count = len(completed(simulator, room_sid))
        simulator.store.inject(faults.SlowDrip(250_000), path_contains=record["sid"])
        shown = shown_by("archive", room_sid, "-o", tmp_path)
        assert re.search(r"\d [kM]B/s", shown)
        assert f" of {count} copied" in shown
        (line,) = screen(shown)
        assert line.startswith(f"{count} recordings in the archive, ")

    def test_lines_stay_whole_beside_the_progress(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large(simulator)
        expected = media(simulator, completed(simulator, room_sid))
        simulator.store.inject(faults.SlowDrip(400_000), path_contains=record["sid"])
        *lines, last = screen(shown_by("download", room_sid, "-o", tmp_path))
        assert sorted(lines) == sorted(str(tmp_path / name) for name in expected)
        assert last.startswith(f"{len(expected)} of {len(expected)} recordings, ")

    def test_failures_stay_above_the_progress(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large(simulator)
        simulator.store.inject(faults.SlowDrip(400_000), path_contains=record["sid"])
        with (tmp_path / "out.txt").open("w") as out:
            shown = shown_by("download", UNKNOWN_ROOM, room_sid, "-o", tmp_path / "media", stdout=out)
        failure, last = screen(shown)
        assert failure.startswith(f"{UNKNOWN_ROOM}: HTTP 404")
        assert last.endswith("B")

    def test_ctrl_c_leaves_a_clean_line(self, simulator: Simulator, tmp_path: Path) -> None:
        room_sid, record = large(simulator)
        simulator.store.inject(faults.SlowDrip(100_000), path_contains=record["sid"])
        part = tmp_path / f"{record['sid']}.{record['container_format']}.part"
        with (tmp_path / "out.txt").open("w") as out:
            shown = shown_by("download", room_sid, "-o", tmp_path, stdout=out, interrupt=part.exists)
        assert screen(shown) == ["roomrec: interrupted"]
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")

    def test_what_is_deleted_stays_whole_beside_the_progress(self, fresh: Simulator) -> None:
        room_sids = plain_rooms(fresh)[:2]
        sids = [record["sid"] for record in completed(fresh, *room_sids)]
        *lines, last = screen(shown_by("delete", *room_sids, "--yes"))
        assert sorted(lines) == sorted(sids)
        assert last.startswith(f"{len(sids)} recordings, ")

    def test_rooms_are_a_table(self, simulator: Simulator) -> None:
        title, *rows = screen(shown_by("rooms"))
        assert title.split()[0] == "room"
        assert sorted(row.split()[0] for row in rows) == sorted(
            room["sid"] for room in rooms_of(simulator, "completed")
        )


def shown_by(*arguments: object, interrupt: Callable[[], bool] | None = None, **options: Any) -> str:
    """All that a terminal of 80 columns gets from the command, its standard output included unless it goes elsewhere.

    Args:
        arguments: the command's.
        interrupt: when to press Ctrl-C; by default never.
        options: of the process.
    """
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    running = started(*arguments, **{"stdout": theirs, "stderr": theirs, "env": environ} | options)
    os.close(theirs)
    with ThreadPoolExecutor(1) as pool:
        shown = pool.submit(everything_from, ours)
        try:
            if interrupt is not None:
                until(interrupt)
                running.send_signal(signal.SIGINT)
            assert running.wait(10) == 130 if interrupt else running.wait(10) in {0, 1}
        finally:
            running.kill()
        return shown.result()


def everything_from(terminal: int) -> str:
    shown = b""
    while True:
        try:
            more = os.read(terminal, 65_536)
        except OSError:  # what Linux says when the other end is closed
            more = b""
        if not more:
            os.close(terminal)
            return shown.decode()
        shown += more


def screen(shown: str) -> list[str]:
    """The lines that are left on a terminal, without the empty ones."""
    lines, row, column = [""], 0, 0
    for up, erase, move, text in re.findall(r"\x1b\[(\d+)A|(\x1b\[2K)|([\r\n])|([^\x1b\r\n]+)", without_colours(shown)):
        if up:
            row = max(0, row - int(up))
        elif erase:
            lines[row] = ""
        elif move == "\r":
            column = 0
        elif move:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines if line.strip()]


def without_colours(shown: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m|\x1b\[\?25[hl]", "", shown)
