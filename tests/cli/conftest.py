"""Shared by the tests of the ``roomrec`` command: it runs in this process or in its own, against a simulator."""

from __future__ import annotations

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
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from roomrec_async import Recording, from_dict, to_dict
from roomrec_async.cli import app
from roomrec_async.simulator import Simulator, faults

ROOMREC = (sys.executable, "-W", "error", "-m", "roomrec_async.cli")
CREDENTIALS = (
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_API_KEY",
    "TWILIO_API_KEY_SID",
    "TWILIO_API_SECRET",
    "TWILIO_API_KEY_SECRET",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
UNKNOWN_ROOM = "RM" + "0" * 32
UNLIMITED: dict[str, Any] = {"reads_per_second": None, "writes_per_second": None, "concurrency_limit": None}

Record = dict[str, Any]


class Outcome(NamedTuple):
    """Exit code, standard output and standard error of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of standard output."""
        return self.out.splitlines()

    @property
    def errors(self) -> list[str]:
        """Lines of standard error."""
        return self.err.splitlines()


class Command:
    """Runs the command within this process, in a thread: it runs an event loop of its own."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: object) -> Outcome:
        self._capfd.readouterr()
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(app.run, [str(argument) for argument in arguments]).result()
        out, err = self._capfd.readouterr()
        return Outcome(code, out, without_progress(err))

    def fails(self, *arguments: object, code: int = 2) -> str:
        """Return the only line on stderr of a command that ends with this code and prints nothing else."""
        outcome = self(*arguments)
        assert (outcome.code, outcome.out) == (code, "")
        (line,) = outcome.errors
        assert line.startswith("roomrec: ")
        return line


@pytest.fixture
def roomrec(capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(capfd)


def media_account(**options: Any) -> Simulator:
    """Return ten rooms: three have not ended, the recordings of one are encrypted, and those of two are in a bucket."""
    return Simulator(10, (0, 5), 14, **UNLIMITED | {"media_size": (0, 200_000)} | options)


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    """Serve the account of a module's tests, which do not change it. Modules may have another one."""
    with media_account() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def simulator(shared: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Point the command to the shared account. Processes inherit the environment."""
    for name in (*CREDENTIALS, *PROXIES, "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)
    point_to(shared, monkeypatch)
    yield shared
    shared.clear_faults()
    shared.store.clear_faults()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Serve an account of its own, for a test that deletes."""
    with media_account() as simulator:
        point_to(simulator, monkeypatch)
        yield simulator


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Serve an account whose list is much longer than the buffer of a pipe."""
    with Simulator(100, (20, 30), 14, **UNLIMITED) as simulator:
        point_to(simulator, monkeypatch)
        yield simulator


def point_to(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not its own environment(), which would hide what the command does with proxies.
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
    monkeypatch.setenv("ROOMREC_BASE_URL", simulator.base_url)


def run_process(*arguments: object, given: str = "", **environ: str) -> Outcome:
    """Run the command as a process, with ``given`` as its standard input."""
    ended = subprocess.run(
        [*ROOMREC, *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environ},
    )
    return Outcome(ended.returncode, ended.stdout, without_progress(ended.stderr))


def without_progress(errors: str) -> str:
    """Return the lines on stderr but those that tell of the start, the progress and the end of a command."""
    return re.sub(
        r"^roomrec \w+: (started at|running after|stopped after|done after) .*\n", "", errors, flags=re.MULTILINE
    )


def start_process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*ROOMREC, *map(str, arguments)], **pipes)


def interrupt(process: subprocess.Popen[str], when: Callable[[], bool]) -> Outcome:
    """Press Ctrl-C as soon as a condition holds, and wait for the end of the process."""
    with process:
        try:
            wait_until(when)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=40)
        finally:
            process.kill()
    return Outcome(process.returncode, out, without_progress(err))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_on_terminal(*arguments: object, interrupt: Callable[[], bool] | None = None, **options: Any) -> str:
    """Return all that a terminal of 80 columns gets from the command.

    Args:
        arguments: the command's.
        interrupt: when to press Ctrl-C; by default never.
        options: of the process; its standard output is the terminal, too, unless they say otherwise.
    """
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = start_process(*arguments, **{"stdout": theirs, "stderr": theirs, "env": environ} | options)
    os.close(theirs)
    with ThreadPoolExecutor(1) as pool:
        shown = pool.submit(read_terminal, ours)
        try:
            if interrupt is not None:
                wait_until(interrupt)
                process.send_signal(signal.SIGINT)
            assert process.wait(40) == 130 if interrupt else process.wait(40) in {0, 1}
        finally:
            process.kill()
        return shown.result()


def read_terminal(terminal: int) -> str:
    """Return all that is written to a terminal until its other end is closed."""
    shown = b""
    while True:
        try:
            more = os.read(terminal, 65_536)
        except OSError:
            # So Linux reports that the other end is closed.
            more = b""
        if not more:
            os.close(terminal)
            return shown.decode()
        shown += more


def screen(shown: str) -> list[str]:
    """Return the lines that are left on a terminal, without the empty ones."""
    lines, row, column = [""], 0, 0
    for up, erase, move, text in re.findall(r"\x1b\[(\d+)A|(\x1b\[2K)|([\r\n])|([^\x1b\r\n]+)", without_colors(shown)):
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


def without_colors(shown: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m|\x1b\[\?25[hl]", "", shown)


def expected_list(simulator: Simulator, *room_sids: str, **filters: str) -> list[Record]:
    """Return what a list of these rooms must give, sorted by SID."""
    records = [record for sid in room_sids for record in simulator.recordings(sid, **filters)]
    return sorted((to_dict(from_dict(Recording, record)) for record in records), key=by_sid)


def completed(simulator: Simulator, *room_sids: str) -> list[Record]:
    """Return the completed recordings of rooms, by default of all rooms."""
    return [record for sid in room_sids or simulator.room_sids for record in simulator.recordings(sid, "completed")]


def is_plain(record: Record) -> bool:
    """Return True if a recording can be downloaded without a key."""
    return record["media_external_location"] is None and record["encryption_key"] is None


def plain_rooms(simulator: Simulator) -> list[str]:
    """Return the rooms that have recordings, all of which can be downloaded without a key."""
    found = [(sid, completed(simulator, sid)) for sid in simulator.room_sids]
    return [sid for sid, records in found if records and all(map(is_plain, records))]


def room_with(simulator: Simulator, field: str) -> str:
    """Return a room whose recordings have this field."""
    return next(sid for sid in simulator.room_sids if any(record[field] for record in completed(simulator, sid)))


def large_recording(simulator: Simulator) -> tuple[str, Record]:
    """Return a recording of more than 100,000 bytes that can be downloaded without a key, after the SID of its room."""
    records = completed(simulator, *plain_rooms(simulator))
    record = next(record for record in records if record["size"] > 100_000)
    return record["room_sid"], record


def media_files(simulator: Simulator, records: list[Record]) -> dict[str, bytes]:
    """Return the files that a download of these recordings must give."""
    return {f"{each['sid']}.{each['container_format']}": b"".join(simulator.media(each["sid"])) for each in records}


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def media_in(directory: Path) -> dict[str, bytes]:
    """Return the files of a folder of downloads, without the records beside the media."""
    return {name: content for name, content in files_in(directory).items() if not name.endswith(".json")}


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def deletions(simulator: Simulator) -> list[str]:
    """Return the paths of the deletions that the service was asked for."""
    return [request.path for request in simulator.requests if request.method == "DELETE"]


def without_store_credentials(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the credentials of object stores, also where the machines of cloud providers find theirs."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", simulator.base_url)


def by_sid(record: Record) -> str:
    return str(record["sid"])


def parse_lines(text: str) -> list[Record]:
    """Return lines of JSON, sorted by SID."""
    return sorted((json.loads(line) for line in text.splitlines()), key=by_sid)


def hostile(field: str) -> faults.Replace:
    """Return a fault that puts what would clear a screen, and rename the window, into this field of all records."""
    before = f'"{field}":"'
    return faults.Replace(
        lambda body: body.replace(before.encode(), before.encode() + b"\\u001b[2J\\u001b]0;x\\u0007[red]")
    )


def assert_harmless(text: str) -> None:
    assert text
    assert all(char.isprintable() or char == "\n" for char in text)
