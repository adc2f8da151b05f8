"""Wrong uses of all commands: each ends with one message and the right exit code, before anything is sent."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from roomrec_async.simulator import Simulator

from .conftest import CREDENTIALS, UNKNOWN_ROOM, UNLIMITED, Command, run_process

ROOM = UNKNOWN_ROOM
SINCE = ("--after", "2026-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(rooms=1, **UNLIMITED) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command run in a directory with a file, a directory, a list of rooms, and a key that is none."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a recording")
    Path("directory").mkdir()
    with closing(sqlite3.connect("rooms.sqlite3")) as database:
        database.execute("CREATE TABLE rooms (sid TEXT)")
    Path("rooms.txt").write_text(f"{ROOM}\n")
    Path("key.pem").write_text("-----BEGIN NOTHING-----")


class Wrong(NamedTuple):
    """A command line, and what its message must say: what is wrong, and where or what to do."""

    arguments: tuple[str, ...]
    says: tuple[str, ...]

    @property
    def id(self) -> str:
        """Name of the test."""
        return " ".join(self.arguments)[:70]


def wrong(line: str, *says: str) -> Wrong:
    return Wrong(tuple(line.replace("ROOM", ROOM).replace("SINCE", " ".join(SINCE)).split()), says)


NO_DIRECTORY = ("there is no directory 'no'", "create it, or name another place")
A_FILE = ("'file' is a file, not a directory", "name another place")

WRONG_USES = (
    # The command itself.
    wrong("lsit ROOM", "lsit", "list"),
    wrong("--nonsense", "--nonsense", "roomrec --help"),
    wrong("--dask local rooms", "--dask works with archive and export only, not with rooms"),
    wrong("--dask local list ROOM -o x", "not with list: 'export' writes recordings to a directory or store"),
    wrong("--dask local --proxy http://x export ROOM -o x", "--proxy does not work with --dask"),
    wrong("--dask local export SINCE -o x", "--dask needs rooms"),
    wrong("--dask local export ROOM --since-last -o x", "give either rooms, or --since-last for the whole account"),
    wrong("--dask local export ROOM --shard 1/2 -o x", "--shard cannot be used with --dask, which does all shards"),
    wrong("export SINCE --status completed -o x", "--status is for rooms: of the whole account, all recordings are"),
    wrong("export SINCE --source-sid MT -o x", "--source-sid is for rooms"),
    wrong("--proxy socks5://x rooms", "proxy must be the URL of an HTTP proxy"),
    wrong("--proxy", "--proxy", "requires an argument"),
    wrong("list ROOM --since 2026-01-01T00:00:00Z", "Did you mean '--after'?"),
    wrong("list ROOM --until 2026-01-01T00:00:00Z", "Did you mean '--before'?"),
    wrong("list ROOM --outptu x.csv", "Did you mean '--output'?"),
    wrong("list ROOM --proxy http://x", "it goes before the command, as in 'roomrec --proxy ... list'"),
    wrong("-q list ROOM", "it goes after the command, as in 'roomrec list -q ...'"),
    wrong("--after 7d export -o x", "it goes after the command, as in 'roomrec export --after ...'"),
    wrong("--proxy http://x --sonic list ROOM", "No such option '--sonic'", "see 'roomrec --help'"),
    wrong("list ROOM -o", "requires an argument", "see 'roomrec list --help'"),
    # Rooms.
    wrong("list", "no rooms: give"),
    wrong("download -o x", "no rooms: give"),
    wrong("delete", "no rooms: give"),
    wrong("archive -o x", "nothing to archive", "--after TIME"),
    wrong("report -o x.html", "nothing to sum up", "--after TIME"),
    wrong("timeline -o x.html", "Missing argument", "ROOM|SOURCE"),
    wrong("mux -o x.mkv", "Missing argument", "ROOM|SOURCE"),
    wrong("list --from-file missing.txt", "missing.txt", "does not exist"),
    wrong("list --from-file directory", "directory", "is a directory"),
    wrong("list --from-file rooms.sqlite3", "rooms.sqlite3 is not text", "a room on each line"),
    wrong("download --from-file rooms.sqlite3 -o x", "rooms.sqlite3 is not text"),
    wrong("archive ROOM SINCE -o x", "either rooms, or --after and --before"),
    wrong("timeline ROOM ROOM -o x.html", "give one room"),
    wrong("mux ROOM ROOM -o x.mkv", "give one room"),
    # Values.
    wrong("list ROOM --status done", "--status", "done", "processing"),
    wrong("list ROOM --limit many", "--limit", "many"),
    wrong("list ROOM --limit -1", "--limit", "-1"),
    wrong("list ROOM --page-size 1001", "--page-size", "1001"),
    wrong("list ROOM --page-size 0", "--page-size", "0"),
    wrong("list ROOM --after someday", "--after", "someday"),
    wrong("list ROOM --after 2026-02-30T00:00:00Z", "--after", "2026-02-30"),
    wrong("list ROOM --max-concurrency 0", "--max-concurrency", "0"),
    wrong("list ROOM --max-concurrency few", "--max-concurrency", "few"),
    wrong("list ROOM --reads-per-second 0", "--reads-per-second must be", "not 0.0"),
    wrong("list ROOM --reads-per-second fast", "--reads-per-second", "fast"),
    wrong("list ROOM --timeout -1", "--timeout: total must be", "not -1.0"),
    wrong("list ROOM --timeout soon", "--timeout", "soon"),
    wrong("list ROOM --source-sid XX1", "--source-sid", "XX1"),
    wrong("list ROOM --redis http://x", "--redis must be a Redis URL", "redis://"),
    wrong("list ROOM --base-url ftp://x", "--base-url must be 'https://host'"),
    wrong("list ROOM --base-url video.twilio.com", "--base-url must be 'https://host'"),
    wrong("list ROOM SINCE --before 2025-01-01T00:00:00Z", "2025-01-01"),
    wrong("rooms --status done", "--status", "done", "completed"),
    wrong("rooms --sids --json", "--sids cannot be used with --json"),
    wrong("rooms --limit -1", "--limit", "-1"),
    wrong("download ROOM -o x --type sound", "--type", "sound", "audio"),
    wrong("download ROOM -o x --at-once 0", "--at-once", "0"),
    wrong("download ROOM -o x --wait -1", "--wait", "-1"),
    wrong("download ROOM -o ftp://host/x", "ftp", "give a directory, or an object store"),
    wrong("archive ROOM -o x --yes", "--yes is for --delete"),
    wrong("archive ROOM -o x --account-sid AC1 --delete", "--account-sid", "AC1"),
    wrong("archive ROOM -o x --manifest csv", "--manifest", "csv", "jsonl"),
    wrong("archive ROOM -o x --ledger directory", "--ledger", "directory", "it must be a file"),
    wrong("delete ROOM --status deleted", "--status", "deleted"),
    wrong("delete ROOM --account-sid 1", "--account-sid"),
    wrong("report SINCE -o x.pdf", "x.pdf", ".html or .json"),
    wrong("report --manifest rooms.txt SINCE --json", "--manifest cannot be used with --after"),
    wrong("report --manifest missing.jsonl --json", "missing.jsonl", "does not exist"),
    wrong("report --manifest file --json", "file", ".jsonl"),
    wrong("timeline ROOM -o x.png", "x.png", ".html"),
    wrong("timeline ROOM -o x.html --media missing", "missing"),
    wrong("timeline ROOM -o x.html --media file", "--media", "file"),
    wrong("timeline ROOM -o x.html --film missing.mp4", "missing.mp4"),
    wrong("timeline ROOM -o x.html --film file", "--film", "'file'", ".mp4", "roomrec mux"),
    wrong("timeline directory -o x.html", "directory"),
    wrong("mux ROOM -o x.avi", "x.avi", ".mkv"),
    wrong("mux ROOM -o x.mkv --size large", "--size", "WIDTHxHEIGHT"),
    wrong("mux ROOM -o x.mkv --size 641x480", "641", "even"),
    wrong("mux ROOM -o x.mkv --from noon", "--from", "noon", "1:30"),
    wrong("mux ROOM -o x.mkv --from 10 --to 5", "the end of a film (5 s) must be after its start (10 s)"),
    wrong("mux ROOM -o x.mkv --format wav", "--format is for --per participant"),
    wrong("mux ROOM -o x.mkv --camera-off-after -1", "--camera-off-after", "-1"),
    wrong("mux ROOM -o directory --print --per participant", "a script makes one film"),
    wrong("mux ROOM -o x.avi --print", "x.avi", ".mkv"),
    wrong("mux ROOM -o x.mkv --print --from 10 --to 5", "the end of a film (5 s) must be after its start (10 s)"),
    wrong("mux directory -o x.mkv --print", "--print is for a room of the account"),
    wrong("demo --rooms -1", "--rooms must be an integer from 0"),
    wrong("demo --latency slow", "--latency", "slow"),
    wrong("simulate --port 65536 -- true", "--port", "65536"),
    wrong("simulate --rooms -1 -- true", "--rooms must be an integer from 0"),
    wrong("simulate --media-size big -- true", "--media-size", "big"),
    wrong(
        "report SINCE --before 2026-01-01T00:00:00Z --json",
        *("the window is empty: it begins and ends at 2026-01-01T00:00:00Z", "for a whole day, end it a day later"),
    ),
    # Options that contradict each other.
    wrong("list ROOM --allow-partial", "--allow-partial needs --output FILE"),
    wrong("list ROOM --json -o x.csv", "--output cannot be used with --json"),
    wrong("list ROOM -o x.csv --failed-rooms x.csv", "name the same file"),
    wrong("list ROOM -q -v", "--verbose, --quiet and --log-level"),
    # Places.
    wrong("list ROOM -o no/x.csv", "'no/x.csv'", *NO_DIRECTORY),
    wrong("list ROOM -o file/x.csv", "'file/x.csv'", *A_FILE),
    wrong("list ROOM -o directory", "'directory' is a directory"),
    wrong("list ROOM -o x.xlsx", "x.xlsx", ".csv"),
    wrong("list ROOM --failed-rooms no/x", "'no/x'", *NO_DIRECTORY),
    wrong("list ROOM --failed-rooms directory", "directory"),
    wrong("list ROOM --log-file no/x", "--log-file cannot be written", *NO_DIRECTORY),
    wrong("list ROOM --log-file directory", "--log-file", "directory"),
    wrong("report SINCE -o no/x.html", *NO_DIRECTORY),
    wrong("report SINCE -o file/x.html", *A_FILE),
    wrong("report SINCE -o directory", "directory"),
    wrong("timeline ROOM -o no/x.html", *NO_DIRECTORY),
    wrong("timeline ROOM -o file/x.svg", *A_FILE),
    wrong("timeline ROOM -o directory", "directory"),
    wrong("mux ROOM -o no/x.mkv", "there is no directory no for x.mkv"),
    wrong("mux ROOM -o file/x.mkv", "there is no directory file for x.mkv"),
    wrong("mux ROOM -o directory", "directory"),
    wrong("mux ROOM -o x.mkv --media file", "--media", "file"),
    wrong("download ROOM -o file", "'file'", "it exists, and is not a directory"),
    wrong("download ROOM -o file/x", "'file/x'", *A_FILE),
    wrong("archive ROOM -o file", "'file'", "not a directory"),
    wrong("archive ROOM -o file/x", *A_FILE),
    wrong("archive ROOM -o file --delete", "'file'", "not a directory"),
    wrong("simulate --write-rooms no/x -- true", *NO_DIRECTORY),
    wrong("simulate --write-rooms directory -- true", "directory"),
    wrong("export ROOM -o file", "'file'", "it exists, and is not a directory"),
    wrong("export ROOM -o file/x", "'file/x'", *A_FILE),
    wrong("export ROOM -o x --shard 5/4", "--shard must be an integer from 1 to 4, not 5"),
    wrong("export ROOM -o x --shard half", "--shard must be a part such as '3/40', the third of 40, not 'half'"),
    wrong("export ROOM -o x --format xml", "--format", "xml", "parquet"),
    wrong("export ROOM SINCE -o x", "give either rooms, or --after"),
    wrong("export -o x", "nothing to export", "--after TIME"),
    wrong("export --before 2026-01-01 -o x", "--before needs --after TIME"),
    wrong("export ROOM -o x --since-last", "give either rooms"),
    wrong("rooms -o no/x.csv", *NO_DIRECTORY),
    wrong("rooms -o x.txt", "x.txt", ".csv"),
    wrong("download ROOM -o s3://", "names no bucket", "s3://bucket"),
    wrong("archive ROOM -o gs://", "names no bucket", "gs://bucket"),
    wrong("export ROOM -o s3://", "names no bucket"),
    # Numbers and names of options.
    wrong("list ROOM --limit x", "--limit", "'x' is not a whole number"),
    wrong("list ROOM --limit -7", "--limit", "it must be 0 or more, not -7"),
    wrong("list ROOM --page-size 1001", "--page-size", "it must be from 1 to 1000, not 1001"),
    wrong("download ROOM -o x --wait soon", "--wait", "'soon' is not a number"),
    wrong("download ROOM -o x --at-once many", "--at-once", "'many' is not a whole number"),
    wrong("simulate --port http -- true", "--port", "'http' is not a whole number"),
    wrong("demo --seed x", "--seed", "'x' is not a whole number"),
    wrong("list ROOM --base-url http://example.com", "--base-url http://example.com is not https"),
    wrong(
        "list ROOM --after 2026-03-02T00:00:00Z --before 2026-03-01T00:00:00Z",
        *("--after (2026-03-02T00:00:00+00:00) is later than --before", "2026-03-01"),
    ),
    wrong(
        "archive ROOM -o x --delete --account-sid ROOM", "--account-sid", "it must be 'AC' and 32 hexadecimal digits"
    ),
    # Keys.
    wrong("archive ROOM -o x --delete --private-key key.pem", "key.pem", "not a private key in PEM format"),
    wrong("archive ROOM -o x --private-key missing.pem", "missing.pem", "does not exist"),
    wrong("download ROOM -o x --private-key missing.pem", "missing.pem", "does not exist"),
    wrong("download ROOM -o x --private-key directory", "directory", "is a directory"),
    wrong("download ROOM -o x --private-key key.pem", "key.pem", "not a private key in PEM format"),
    wrong("archive ROOM -o x --private-key key.pem", "key.pem", "not a private key in PEM format"),
    wrong("mux ROOM -o x.mkv --private-key key.pem", "key.pem", "not a private key in PEM format"),
)


@pytest.mark.parametrize("use", WRONG_USES, ids=lambda use: use.id)
def test_a_wrong_use_ends_with_one_message_before_anything_is_sent(
    simulator: Simulator, roomrec: Command, use: Wrong
) -> None:
    sent = simulator.stats.requests
    before = everything_here()
    line = roomrec.fails(*use.arguments)
    assert [text for text in use.says if text not in line] == []
    assert "Errno" not in line
    assert simulator.stats.requests == sent
    assert everything_here() == before


@pytest.mark.parametrize(
    "command",
    [
        ("list", ROOM, "-o", ""),
        ("list", ROOM, "--failed-rooms", ""),
        ("list", ROOM, "--log-file", ""),
        ("rooms", "-o", ""),
        ("download", ROOM, "-o", ""),
        ("archive", ROOM, "-o", ""),
        ("archive", ROOM, "-o", "x", "--ledger", ""),
        ("export", ROOM, "-o", " "),
        ("report", *SINCE, "-o", ""),
        ("timeline", ROOM, "-o", ""),
        ("mux", ROOM, "-o", ""),
        ("mux", ROOM, "-o", "x.mkv", "--media", ""),
        ("simulate", "--write-rooms", "", "--", "true"),
    ],
)
def test_an_empty_path_is_not_the_present_directory(
    simulator: Simulator, roomrec: Command, command: tuple[str, ...]
) -> None:
    sent = simulator.stats.requests
    before = everything_here()
    assert "must not be empty" in roomrec.fails(*command)
    assert simulator.stats.requests == sent
    assert everything_here() == before


def test_the_name_of_a_room_is_not_empty(roomrec: Command) -> None:
    assert roomrec.fails("rooms", "--name", "").startswith("roomrec: --name must be")


@pytest.mark.parametrize("use", [use for use in WRONG_USES if ROOM in use.arguments], ids=lambda use: use.id)
def test_nothing_is_sent_to_look_up_a_name_either(simulator: Simulator, roomrec: Command, use: Wrong) -> None:
    sent = simulator.stats.requests
    first = use.arguments.index(ROOM)
    outcome = roomrec(*use.arguments[:first], "daily-standup", *use.arguments[first + 1 :])
    assert (outcome.code, outcome.out) == (2, "")
    assert [text for text in use.says if text not in outcome.err] == []
    assert simulator.stats.requests == sent


def everything_here() -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in Path().rglob("*")}


@pytest.mark.parametrize(
    ("variables", "arguments", "code", "says"),
    [
        ({"ROOMREC_BASE_URL": "ftp://x"}, ("list", ROOM), 2, "$ROOMREC_BASE_URL must be 'https://host'"),
        ({"ROOMREC_REDIS_URL": "http://x"}, ("rooms",), 2, "$ROOMREC_REDIS_URL must be a Redis URL"),
        ({"TWILIO_ACCOUNT_SID": "AC1"}, ("list", ROOM), 2, "the account SID must be 'AC' and 32 hexadecimal digits"),
        ({"TWILIO_ACCOUNT_SID": ""}, ("rooms",), 2, "set TWILIO_ACCOUNT_SID"),
        ({"TWILIO_AUTH_TOKEN": ""}, ("delete", ROOM), 2, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_API_KEY": "SK" + "0" * 32}, ("rooms",), 2, "TWILIO_API_SECRET"),
        ({"HTTP_PROXY": "socks5://x"}, ("rooms",), 2, "proxy"),
    ],
)
def test_a_mistake_in_the_environment(
    simulator: Simulator,
    roomrec: Command,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    sent = simulator.stats.requests
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert says in roomrec.fails(*arguments, code=code)
    assert simulator.stats.requests == sent


@pytest.mark.parametrize(
    "command", [("list", "-"), ("download", "-", "-o", "x"), ("archive", "-", "-o", "x"), ("delete", "-")]
)
def test_standard_input_with_nothing_in_it(simulator: Simulator, command: tuple[str, ...]) -> None:
    sent = simulator.stats.requests
    outcome = run_process(*command)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.errors
    assert line.startswith("roomrec: there is nothing on standard input")
    assert simulator.stats.requests == sent


@pytest.mark.parametrize(
    ("module", "line", "extra"),
    [
        ("pyarrow", "list daily-standup -o x.parquet", "parquet"),
        ("pyarrow", "rooms -o x.parquet", "parquet"),
        ("pyarrow", "export daily-standup -o x", "parquet"),
        ("pyarrow", "archive daily-standup -o x --manifest parquet", "parquet"),
        ("pyarrow", "archive daily-standup -o x --manifest parquet --delete", "parquet"),
        ("obstore", "download daily-standup -o s3://bucket/x", "stores"),
        ("obstore", "archive daily-standup -o s3://bucket/x --ledger l.sqlite3", "stores"),
        ("obstore", "export daily-standup -o s3://bucket/x --format jsonl", "stores"),
        ("cryptography", "download daily-standup -o x --private-key key.pem", "crypto"),
        ("cryptography", "archive daily-standup -o x --private-key key.pem", "crypto"),
        ("cryptography", "mux daily-standup -o x.mkv --private-key key.pem", "crypto"),
        ("jinja2", "timeline daily-standup -o x.html", "html"),
        ("jinja2", "report SINCE -o x.html", "html"),
        ("redis", "list daily-standup --redis redis://127.0.0.1:1", "redis"),
        ("distributed", "--dask local export daily-standup -o x", "dask"),
        ("distributed", "--dask local archive daily-standup -o x", "dask"),
    ],
)
def test_an_extra_that_is_missing_is_named_before_anything_is_sent(
    simulator: Simulator, module: str, line: str, extra: str
) -> None:
    sent = simulator.stats.requests
    before = everything_here()
    program = f"import sys; sys.modules[{module!r}] = None; from roomrec_async.cli import main; main()"
    arguments = line.replace("SINCE", " ".join(SINCE)).split()
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("roomrec: ")
    assert f"pip install 'roomrec-async[{extra}]'" in last
    assert simulator.stats.requests == sent
    assert everything_here() == before


def test_no_credentials_at_all(simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    for command in (("list", ROOM), ("rooms",), ("download", ROOM, "-o", "x"), ("timeline", ROOM, "-o", "x.html")):
        assert "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN" in roomrec.fails(*command)


def test_a_port_of_another_program(roomrec: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        line = roomrec.fails("simulate", "--port", other.getsockname()[1], "--", "true")
    assert line == (
        "roomrec: --port: cannot listen on it, because another program does: choose another port, or leave --port out "
        "for a free one"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is Linux's")
@pytest.mark.parametrize("command", [("list", ROOM, "-o"), ("report", *SINCE, "-o"), ("timeline", ROOM, "-o")])
def test_a_place_where_nobody_may_write(simulator: Simulator, roomrec: Command, command: tuple[str, ...]) -> None:
    sent = simulator.stats.requests
    extension = ".csv" if command[0] == "list" else ".html"
    line = roomrec.fails(*command, f"/sys/x{extension}")
    assert line.startswith(f"roomrec: '/sys/x{extension}': ")
    assert "name another place" in line
    assert simulator.stats.requests == sent


def test_nothing_is_suggested_that_is_not_meant(roomrec: Command) -> None:
    assert "Did you mean" not in roomrec.fails("list", ROOM, "--sonic")
