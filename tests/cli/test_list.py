"""``roomrec list --output`` against a simulator on a real socket, mostly as a process of its own."""

from __future__ import annotations

import csv
import errno
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import attrs
import pyarrow.parquet as pq
import pytest

from roomrec_async import Recording, from_dict, to_dict
from roomrec_async.cli import app
from roomrec_async.simulator import Simulator, faults

ROOMREC = (sys.executable, "-W", "error", "-m", "roomrec_async.cli")
UNKNOWN_ROOM = "RM" + "0" * 32
FORMATS = ("jsonl", "csv", "parquet")
INTEGERS = ("size", "duration", "offset")
INSTANTS = ("date_created", "date_updated", "date_deleted")
MAPS = ("grouping_sids", "links")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(rooms=6, seed=3, reads_per_second=None, writes_per_second=None, concurrency_limit=None) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's; processes inherit it."""
    for name in ("TWILIO_API_KEY", "TWILIO_API_SECRET", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
    monkeypatch.setenv("ROOMREC_BASE_URL", simulator.base_url)


def run(arguments: list[str]) -> int:
    """The command within this process. In a thread: the loops that plugins have set for this one stay theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(app.run, arguments).result()


def roomrec(*arguments: str, file_size: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a process, which cannot write files of more bytes than this."""
    limit = resource.RLIM_INFINITY if file_size is None else file_size
    # Whoever measures coverage could not write its own file there.
    measured = {name for name in os.environ if name.startswith("COVERAGE_") and file_size is not None}
    return subprocess.run(
        [*ROOMREC, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={name: value for name, value in os.environ.items() if name not in measured},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def truth(simulator: Simulator, *room_sids: str, **filters: str) -> list[dict[str, object]]:
    records = [record for sid in room_sids for record in simulator.recordings(sid, **filters)]
    return by_sid([to_dict(from_dict(Recording, record)) for record in records])


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def by_sid(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(records, key=lambda record: str(record["sid"]))


def read(path: Path) -> list[dict[str, object]]:
    """The recordings of a file of any format, as ``to_dict`` gives them."""
    if path.suffix == ".jsonl":
        return by_sid([json.loads(line) for line in path.read_text().splitlines()])
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return by_sid([_of_csv(row) for row in csv.DictReader(file, strict=True)])
    return by_sid([_of_parquet(row) for row in pq.read_table(path).to_pylist()])


def _of_csv(row: dict[str, str]) -> dict[str, object]:
    values: dict[str, object] = {name: text or None for name, text in row.items()}
    numbers_and_maps = {name: json.loads(row[name]) for name in (*INTEGERS, *MAPS) if row[name]}
    return {**values, **numbers_and_maps}


def _of_parquet(row: dict[str, object]) -> dict[str, object]:
    maps = {name: json.loads(str(row[name])) for name in MAPS if row[name] is not None}
    instants = {name: _iso8601(row[name]) for name in INSTANTS}
    return {**row, **maps, **instants}


def _iso8601(value: object) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else None


def page(*records: dict[str, object]) -> faults.Replace:
    """The next answer has these recordings, each like the first one of the page but for these fields."""

    def replaced(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["recordings"] = [{**answer["recordings"][0], **record} for record in records]
        answer["meta"]["next_page_url"] = None
        return json.dumps(answer).encode()

    return faults.Replace(replaced)


@pytest.mark.parametrize("format_", FORMATS)
class TestEachFormat:
    def test_has_what_the_account_has(
        self, simulator: Simulator, tmp_path: Path, capfd: pytest.CaptureFixture[str], format_: str
    ) -> None:
        path = tmp_path / f"out.{format_}"
        expected = truth(simulator, *simulator.room_sids)
        assert run(["list", *simulator.room_sids, "-o", str(path)]) == 0
        assert capfd.readouterr() == ("", f"{path}: {len(expected)} recordings of 6 rooms\n")
        assert read(path) == expected
        assert files_in(tmp_path) == [path.name]

    def test_takes_files_filters_and_limits(self, simulator: Simulator, tmp_path: Path, format_: str) -> None:
        path, rooms = tmp_path / f"out.{format_}", tmp_path / "rooms.txt"
        rooms.write_text("\n".join(simulator.room_sids))
        everything = truth(simulator, *simulator.room_sids, status="completed")
        arguments = ["list", "--from-file", str(rooms), "--status", "completed", "-o", str(path)]
        assert run(arguments) == 0
        assert read(path) == everything
        assert run([*arguments, "--limit", "1"]) == 0
        rooms_of_it = [record["room_sid"] for record in read(path)]
        assert sorted(map(str, rooms_of_it)) == sorted({str(record["room_sid"]) for record in everything})

    def test_keeps_what_the_service_invents(self, simulator: Simulator, tmp_path: Path, format_: str) -> None:
        odd = [
            {"sid": f"RT{1:032x}", "status": "archiving", "type": "hologram", "codec": "AV1", "size": None},
            {"sid": f"RT{2:032x}", "links": {"media": None, "more": [1, {"é": True}]}, "grouping_sids": {}},
            {"sid": f"RT{3:032x}", "track_name": 'a "quoted", name\r\nof two lines \N{GRINNING FACE}'},
            {"sid": f"RT{4:032x}", "date_created": None, "links": None, "track_name": None},
        ]
        simulator.inject(page(*odd))
        path = tmp_path / f"out.{format_}"
        assert run(["list", simulator.room_sids[0], "-o", str(path)]) == 0
        for given, found in zip(odd, read(path), strict=True):
            assert {**found, **given} == found

    def test_survives_names_that_are_no_unicode(self, simulator: Simulator, tmp_path: Path, format_: str) -> None:
        simulator.inject(page({"track_name": "half \ud83d of it"}, {"track_name": "whole"}))
        path = tmp_path / f"out.{format_}"
        assert run(["list", simulator.room_sids[0], "-o", str(path)]) == 0
        names = {record["track_name"] for record in read(path)}
        assert names == {"half \ud83d of it" if format_ == "jsonl" else "half \\ud83d of it", "whole"}

    def test_is_there_when_rooms_failed(
        self, simulator: Simulator, tmp_path: Path, capfd: pytest.CaptureFixture[str], format_: str
    ) -> None:
        path, rooms = tmp_path / f"out.{format_}", tmp_path / "rooms.txt"
        first, second = simulator.room_sids[:2]
        rooms.write_text(f"nonsense\n{UNKNOWN_ROOM}\n{second}\n")
        assert run(["list", first, "--from-file", str(rooms), "-o", str(path)]) == 1
        expected = truth(simulator, first, second)
        assert read(path) == expected
        *failures, last = capfd.readouterr().err.splitlines()
        assert last == f"{path}: {len(expected)} recordings of 4 rooms, 2 failed"
        assert sorted(line.split(":")[0] for line in failures) == sorted([UNKNOWN_ROOM, str(rooms)])

    def test_of_nothing_is_a_file_all_the_same(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], format_: str
    ) -> None:
        path = tmp_path / f"out.{format_}"
        assert run(["list", "--from-file", os.devnull, "-o", str(path)]) == 0
        assert capfd.readouterr() == ("", f"{path}: 0 recordings of 0 rooms\n")
        assert read(path) == []
        names = [field.name for field in attrs.fields(Recording)]
        if format_ == "csv":
            assert path.read_text() == ",".join(names) + "\n"
        if format_ == "parquet":
            assert pq.read_schema(path).names == names

    def test_is_replaced_only_by_success(
        self, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
    ) -> None:
        path = tmp_path / f"out.{format_}"
        path.write_text("of yesterday")
        with monkeypatch.context() as patched:
            patched.setenv("TWILIO_AUTH_TOKEN", "wrong")
            assert run(["list", *simulator.room_sids, "-o", str(path)]) == 3
        assert (path.read_text(), files_in(tmp_path)) == ("of yesterday", [path.name])
        assert run(["list", *simulator.room_sids, "-o", str(path)]) == 0
        assert read(path) == truth(simulator, *simulator.room_sids)

    def test_ctrl_c_leaves_nothing(self, simulator: Simulator, tmp_path: Path, format_: str) -> None:
        path = tmp_path / f"out.{format_}"
        path.write_text("of yesterday")
        # More than 10,000 recordings: so many are written at once, and then a part of them is on the disk.
        rooms = [*(110 * [simulator.room_sids[0]]), "-"]
        process = subprocess.Popen(
            [*ROOMREC, "list", *rooms, "-o", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        part = tmp_path / f"out.{format_}.part"
        until(lambda: part.exists() and part.stat().st_size > 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.communicate() == ("", "roomrec: interrupted\n")
        assert (path.read_text(), files_in(tmp_path)) == ("of yesterday", [path.name])

    def test_a_disk_that_is_full_at_the_end(self, simulator: Simulator, tmp_path: Path, format_: str) -> None:
        assert_disk_full(tmp_path / f"out.{format_}", 1_000, simulator.room_sids[:1])


def test_a_disk_that_is_full_while_rooms_are_listed(simulator: Simulator, tmp_path: Path) -> None:
    assert_disk_full(tmp_path / "out.csv", 100_000, 30 * [simulator.room_sids[0]])


def assert_disk_full(path: Path, size: int, room_sids: Sequence[str]) -> None:
    """One line and nothing left, if no file may have more bytes than this."""
    result = roomrec("list", *room_sids, "-o", str(path), file_size=size)
    told = f"roomrec: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}: '{path}'\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", told)
    assert files_in(path.parent) == []


def test_json_lines_are_those_on_standard_output(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "out.JSONL"
    printed = roomrec("list", *simulator.room_sids).stdout
    assert run(["list", *simulator.room_sids, "-o", str(path)]) == 0
    assert sorted(path.read_text().splitlines()) == sorted(printed.splitlines())


def test_only_csv_disarms_formulas(simulator: Simulator, tmp_path: Path) -> None:
    hostile = "=cmd|'/c calc'!A1"
    names = {}
    for format_ in FORMATS:
        simulator.inject(page({"track_name": hostile}))
        assert run(["list", simulator.room_sids[0], "-o", str(tmp_path / f"out.{format_}")]) == 0
        names[format_] = read(tmp_path / f"out.{format_}")[0]["track_name"]
    assert names == {"jsonl": hostile, "csv": f"'{hostile}", "parquet": hostile}


def test_a_terminal_sees_how_far_it_is(simulator: Simulator, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    path = tmp_path / "out.csv"
    process = subprocess.Popen(
        [*ROOMREC, "list", *simulator.room_sids, "-o", str(path)],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "200", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = everything_from(ours)
    assert process.wait(10) == 0
    assert "in flight" in shown
    expected = truth(simulator, *simulator.room_sids)
    assert f"{path}: {len(expected)} recordings of 6 rooms" in shown.splitlines()[-1]
    assert read(path) == expected


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
    """Each has its exit code and one clear line on stderr, and nothing is asked of the service."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["-o", "out.txt"], "a table's file must end in one of .jsonl, .csv, .parquet, not 'out.txt'"),
            (["-o", "csv"], "a table's file must end in one of .jsonl, .csv, .parquet, not 'csv'"),
            (["-o", "-"], "a table's file must end in one of .jsonl, .csv, .parquet, not '-'"),
            (["-o", "out.csv", "--table"], "--output goes with neither --json nor --table"),
            (["-o", "out.csv", "--json"], "--output goes with neither --json nor --table"),
            (["-o", "out.\x1b[2Jx"], "a table's file must end in"),
            (["-o", "folder.csv"], "'folder.csv' is a directory"),
            (["-o", "no/such/folder/out.csv"], "No such file or directory: 'no/such/folder/out.csv.part'"),
            (["-o", "/proc/out.csv"], "/proc/out.csv.part"),
        ],
    )
    def test_of_usage(
        self,
        simulator: Simulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        arguments: list[str],
        told: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder.csv").mkdir()
        sent = simulator.stats.requests
        assert run(["list", simulator.room_sids[0], *arguments]) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n"), err[:9]) == ("", 1, "roomrec: ")
        assert told in err
        assert "\x1b" not in err
        assert simulator.stats.requests == sent
        assert files_in(tmp_path) == ["folder.csv"]

    def test_parquet_without_its_extra(self, simulator: Simulator, tmp_path: Path) -> None:
        program = "import sys; sys.modules['pyarrow'] = None; from roomrec_async.cli import main; main()"
        arguments = ("list", simulator.room_sids[0], "-o", str(tmp_path / "out.parquet"))
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "roomrec: Parquet needs pyarrow: pip install 'roomrec-async[parquet]'\n"
        assert files_in(tmp_path) == []

    def test_other_formats_need_no_extra(self, simulator: Simulator, tmp_path: Path) -> None:
        program = "import sys; sys.modules['pyarrow'] = None; from roomrec_async.cli import main; main()"
        path = tmp_path / "out.csv"
        arguments = ("list", simulator.room_sids[0], "-o", str(path))
        subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)
        assert read(path) == truth(simulator, simulator.room_sids[0])
