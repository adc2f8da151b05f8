"""The ``roomrec`` command against a simulator on a real socket, mostly as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from roomrec_async import Recording, from_dict, to_dict
from roomrec_async.cli import app
from roomrec_async.simulator import Simulator, faults

ROOMREC = (sys.executable, "-W", "error", "-m", "roomrec_async.cli")
UNKNOWN_ROOM = "RM" + "0" * 32
CREDENTIALS = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(rooms=6, seed=3, reads_per_second=None, writes_per_second=None, concurrency_limit=None) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's; processes inherit it."""
    for name in (*CREDENTIALS, "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
    monkeypatch.setenv("ROOMREC_BASE_URL", simulator.base_url)


def run(arguments: list[str]) -> int:
    """The same within this process. In a thread: the loops that plugins have set for this one stay theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(app.run, arguments).result()


def roomrec(*arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as a process, with ``given`` as its standard input."""
    return subprocess.run(
        [*ROOMREC, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environ},
    )


def started(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*ROOMREC, *arguments], **pipes)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def truth(simulator: Simulator, *room_sids: str, **filters: str) -> list[dict[str, object]]:
    records = [record for sid in room_sids for record in simulator.recordings(sid, **filters)]
    return sorted((to_dict(from_dict(Recording, record)) for record in records), key=by_sid)


def by_sid(record: dict[str, object]) -> str:
    return str(record["sid"])


def listed(stdout: str) -> list[dict[str, object]]:
    return sorted((json.loads(line) for line in stdout.splitlines()), key=by_sid)


class TestList:
    def test_prints_each_recording_as_a_line_of_json(self, simulator: Simulator) -> None:
        result = roomrec("list", *simulator.room_sids)
        assert (result.returncode, result.stderr) == (0, "")
        assert listed(result.stdout) == truth(simulator, *simulator.room_sids)

    def test_reads_standard_input_and_files(self, simulator: Simulator, tmp_path: Path) -> None:
        argument, of_file, *others = simulator.room_sids
        (tmp_path / "rooms.txt").write_text(f"\ufeff# of today\n\n  {of_file}  # the second\n", encoding="utf-8")
        result = roomrec("list", argument, "-", "--from-file", str(tmp_path / "rooms.txt"), given="\r\n".join(others))
        assert (result.returncode, result.stderr) == (0, "")
        assert listed(result.stdout) == truth(simulator, *simulator.room_sids)

    def test_rooms_that_fail_do_not_stop_the_others(self, simulator: Simulator) -> None:
        first, second = simulator.room_sids[:2]
        result = roomrec("list", first, "-", given=f"{UNKNOWN_ROOM}\nnonsense\x1b[2J\n# {UNKNOWN_ROOM}\n{second}\n")
        assert result.returncode == 1
        assert listed(result.stdout) == truth(simulator, first, second)
        malformed, unknown = sorted(result.stderr.splitlines(), key=lambda line: line.startswith("RM"))
        assert malformed.startswith("standard input:2: a room SID must be")
        assert unknown.startswith(f"{UNKNOWN_ROOM}: HTTP 404, code 20404: ")
        assert "\x1b" not in result.stderr

    def test_filters_are_sent(self, simulator: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
        room_sid = simulator.room_sids[0]
        everything = truth(simulator, room_sid)
        some = everything[len(everything) // 2]
        options = ["--status", "COMPLETED", "--source-sid", str(some["source_sid"])]
        options += ["--after", str(some["date_created"]), "--before", "2027-01-01T00:00:00+01:00", "--page-size", "1"]
        assert run(["list", room_sid, *options]) == 0
        expected = [
            record
            for record in truth(simulator, room_sid, status="completed")
            if record["source_sid"] == some["source_sid"] and str(record["date_created"]) >= str(some["date_created"])
        ]
        assert listed(capfd.readouterr().out) == expected

    def test_the_limit_is_each_rooms(self, simulator: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["list", "--limit", "2", *simulator.room_sids]) == 0
        rooms = Counter(record["room_sid"] for record in listed(capfd.readouterr().out))
        assert set(rooms.values()) <= {1, 2}
        assert 2 in rooms.values()

    def test_input_is_read_no_faster_than_rooms_are_listed(self, simulator: Simulator) -> None:
        process = started("list", "-", "--limit", "1", stdin=subprocess.PIPE)
        assert process.stdin
        assert process.stdout
        for room_sid in simulator.room_sids[:2]:
            process.stdin.write(f"{room_sid}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["room_sid"] == room_sid
        assert process.communicate() == ("", "")
        assert process.returncode == 0

    def test_nothing_to_list_is_no_error(self) -> None:
        result = roomrec("list", "-", given="# nothing\n")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

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
        result = roomrec("list", "--table", room_sid, COLUMNS="160")
        assert (result.returncode, result.stderr) == (0, "")
        title, _, row = result.stdout.splitlines()
        assert title == f"Room {room_sid}"
        assert row.startswith("RT")
        assert row.endswith("]0;owned\N{REPLACEMENT CHARACTER}[red]boo[/red]")
        assert all(char.isprintable() for char in row)

    def test_a_terminal_gets_a_table_and_its_sum(self, simulator: Simulator) -> None:
        ours, theirs = pty.openpty()
        process = started(
            "list",
            "--limit",
            "1",
            *simulator.room_sids[:2],
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "80"},
        )
        os.close(theirs)
        shown = everything_from(ours)
        assert process.wait(10) == 0
        assert shown.count("Room") == 2
        assert "2 recordings of 2 rooms" in shown.splitlines()[-1]

    def test_progress_goes_to_the_terminal(self, simulator: Simulator, tmp_path: Path) -> None:
        ours, theirs = pty.openpty()
        with (tmp_path / "out.jsonl").open("w") as out:
            process = started("list", *simulator.room_sids, stdout=out, stderr=theirs)
        os.close(theirs)
        assert "in flight" in everything_from(ours)
        assert process.wait(10) == 0
        assert listed((tmp_path / "out.jsonl").read_text()) == truth(simulator, *simulator.room_sids)


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


class TestMistakes:
    """Each has its exit code and one clear line on stderr."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["list"], "no room: give room SIDs, --from-file FILE, or - for standard input"),
            (
                ["list", "RM123"],
                "Invalid value for ROOM: a room SID must be 'RM' and 32 hexadecimal digits, not 'RM123'",
            ),
            (["list", "-", "--after", "2026-03-01T09:30:00"], "has no time zone: for UTC write 2026-03-01T09:30:00Z"),
            (["list", "-", "--after", "2026-03-01"], "for UTC write 2026-03-01T00:00:00Z"),
            (["list", "-", "--before", "yesterday"], "'yesterday' is no ISO 8601 date and time"),
            (["list", "-", "--after", "2026-03-02T00Z", "--before", "2026-03-01T00Z"], "is later than"),
            (["list", "-", "--page-size", "0"], "'--page-size': 0 is not in the range"),
            (["list", "-", "--page-size", "1001"], "'--page-size': 1001 is not in the range"),
            (["list", "-", "--limit", "-1"], "'--limit': -1 is not in the range"),
            (["list", "-", "--status", "done"], "'done' is not one of"),
            (["list", "-", "--source-sid", "x"], "source_sid must be"),
            (["list", "-", "--timeout", "0"], "must be a positive number of seconds"),
            (["list", "-", "--base-url", "http://["], "base_url must be 'https://host'"),
            (
                ["list", "-", "--base-url", "http://example.com"],
                "credentials go unencrypted only to a loopback address",
            ),
            (["list", "--from-file", "/no/such/file"], "'/no/such/file' does not exist"),
            (["lsit"], "No such command 'lsit'"),
            (["--nonsense"], "--nonsense"),
            (["demo", "--rooms", "-1"], "rooms must lie between"),
            (["simulate", "--write-rooms", "/no/such/folder/x", "true"], "/no/such/folder/x"),
        ],
    )
    def test_of_usage(self, arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(arguments) == 2
        assert_one_line(capfd, told)

    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        for name in CREDENTIALS:
            monkeypatch.delenv(name, raising=False)
        assert run(["list", UNKNOWN_ROOM]) == 2
        assert_one_line(capfd, "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or", "'roomrec demo' needs none")

    def test_wrong_credentials_end_it_at_once(
        self, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        assert run(["list", *simulator.room_sids]) == 3
        assert "secret" not in assert_one_line(capfd, "HTTP 401, code 20003")

    def test_an_unreachable_host(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["list", UNKNOWN_ROOM, "--base-url", "http://127.0.0.1:9", "--timeout", "0.2"]) == 1
        assert_one_line(capfd, f"{UNKNOWN_ROOM}: Cannot connect to host 127.0.0.1:9")

    def test_a_body_that_is_not_json(self, simulator: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
        simulator.inject(faults.Respond(200, b"<html>Sign in to the hotel's network</html>"))
        assert run(["list", UNKNOWN_ROOM]) == 1
        assert_one_line(capfd, "the body is not JSON", "Sign in to the hotel's network")

    def test_standard_input_that_is_closed(self) -> None:
        command = shlex.join([*ROOMREC, "list", "-"])
        result = subprocess.run(["sh", "-c", f"{command} <&-"], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "roomrec: [Errno 9] standard input is closed\n"

    def test_standard_output_that_is_closed(self, simulator: Simulator) -> None:
        command = shlex.join([*ROOMREC, "list", simulator.room_sids[0]])
        result = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, text=True, check=False)
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize("missing", ["click", "rich"])
    def test_the_extra_is_not_installed(self, missing: str) -> None:
        program = f"import sys; sys.modules[{missing!r}] = None; from roomrec_async.cli import main; main()"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "roomrec needs click and rich: pip install 'roomrec-async[cli]'\n"


def assert_one_line(capfd: pytest.CaptureFixture[str], *told: str) -> str:
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for part in told:
        assert part in err
    return err


class TestEndings:
    def test_ctrl_c_while_input_and_answers_are_waited_for(self, simulator: Simulator) -> None:
        simulator.inject(faults.StallHeaders(20))
        sent = simulator.stats.requests
        process = started("list", "-", stdin=subprocess.PIPE)
        assert process.stdin
        process.stdin.write(f"{simulator.room_sids[0]}\n")
        process.stdin.flush()
        until(lambda: simulator.stats.requests > sent)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.communicate() == ("", "roomrec: interrupted\n")

    def test_ctrl_c_while_nobody_reads_the_output(self, simulator: Simulator) -> None:
        # Much more than the buffer of a pipe.
        process = started("list", *(5 * list(simulator.room_sids)))
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == "roomrec: interrupted\n"
        process.communicate()

    def test_a_pipe_that_breaks_ends_it_quietly(self, simulator: Simulator) -> None:
        process = started("list", *(5 * list(simulator.room_sids)))
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
        process.stderr.close()

    def test_a_pager_that_waits_lets_nothing_time_out(self, simulator: Simulator) -> None:
        process = started("list", "--page-size", "5", "--timeout", "2", *(5 * list(simulator.room_sids)))
        time.sleep(3)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
        assert len(listed(out)) == 5 * len(truth(simulator, *simulator.room_sids))


class TestDemo:
    def test_its_sums_are_those_of_the_account(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["demo", "--rooms", "9", "--recordings", "70", "--latency", "2", "--seed", "5", "--json"]) == 0
        out, err = capfd.readouterr()
        *rooms, last = [json.loads(line) for line in out.splitlines()]
        summary = last["summary"]
        with Simulator(9, (0, 70), 5) as simulator:
            by_room = {sid: list(simulator.recordings(sid)) for sid in simulator.room_sids}
        records: list[dict[str, Any]] = [record for own in by_room.values() for record in own]
        assert err == ""
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
        result = roomrec("demo", "--rooms", "5", "--latency", "1")
        assert (result.returncode, result.stderr) == (0, "")
        assert "\x1b" not in result.stdout
        assert "largest rooms" in result.stdout
        assert "roomrec list RM..." in result.stdout

    def test_of_no_rooms_at_all(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["demo", "--rooms", "0"]) == 0
        assert "0 rooms, 0 requests" in capfd.readouterr().out

    def test_a_terminal_sees_how_far_it_is(self) -> None:
        ours, theirs = pty.openpty()
        process = started("demo", "--rooms", "20", stderr=theirs, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"})
        os.close(theirs)
        shown = everything_from(ours)
        process.communicate()
        assert process.returncode == 0
        assert "20/20" in shown
        assert "in flight" in shown
        assert "…" not in shown


class TestSimulate:
    def test_a_command_gets_the_environment_and_gives_the_exit_code(self, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        listing = shlex.join([*ROOMREC, "list", "--from-file", str(rooms)])
        result = roomrec(
            "simulate", "--rooms", "3", "--seed", "8", "--unlimited", "--write-rooms", str(rooms), "--",
            "sh", "-c", f"{listing} && exit 41",
            TWILIO_API_KEY="SK" + "0" * 32, TWILIO_API_SECRET="another-account",
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (41, "")
        with Simulator(3, seed=8) as simulator:
            assert rooms.read_text().split() == list(simulator.room_sids)
            expected = [record["sid"] for record in truth(simulator, *simulator.room_sids)]
        assert [record["sid"] for record in listed(result.stdout)] == expected

    @pytest.mark.parametrize(
        ("command", "code", "told"),
        [
            (["/no/such/program"], 127, "roomrec: /no/such/program: not found\n"),
            ([os.devnull], 126, f"roomrec: {os.devnull}: not executable\n"),
            (["sh", "-c", "kill -9 $$"], 137, ""),
        ],
    )
    def test_exit_codes_of_a_shell(self, command: list[str], code: int, told: str) -> None:
        result = roomrec("simulate", "--", *command)
        assert (result.returncode, result.stderr) == (code, told)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_are_forwarded(self, number: signal.Signals) -> None:
        program = (
            "import signal, sys, time\n"
            f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
            "print('ready', flush=True)\n"
            "time.sleep(20)"
        )
        process = started("simulate", sys.executable, "-c", program, start_new_session=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 7

    def test_serves_until_ctrl_c(self) -> None:
        process = started("simulate", "--rooms", "2")
        assert process.stdout
        told = [process.stdout.readline() for _ in range(8)]
        variables = dict(line.removeprefix("export ").rstrip("\n").split("=", 1) for line in told[:5])
        room_sid = told[-1].split()[-1]
        result = roomrec("list", room_sid, **variables)
        assert (result.returncode, result.stderr) == (0, "")
        assert {record["room_sid"] for record in listed(result.stdout)} == {room_sid}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out) == (130, "")
        assert err.splitlines()[-1] == "roomrec: interrupted"

    def test_a_port_that_is_taken(self, simulator: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["simulate", "--port", simulator.base_url.rpartition(":")[2], "true"]) == 2
        assert_one_line(capfd, "address already in use")


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["list", "--help"], ["simulate", "--help"]])
def test_help(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    out, err = capfd.readouterr()
    assert (out[:14], err) == ("Usage: roomrec", "")
    assert "\b" not in out


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capfd.readouterr().out.startswith("roomrec, version ")


def test_without_arguments_there_is_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Exit codes:" in capfd.readouterr().err


def test_the_library_does_not_need_the_command() -> None:
    program = "import roomrec_async, sys; sys.exit(bool({'click', 'rich', 'roomrec_async.cli'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
