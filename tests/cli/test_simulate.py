"""``roomrec simulate``, as a process with commands and signals."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from roomrec_async.simulator import Simulator

from .conftest import (
    ROOMREC,
    Command,
    expected_list,
    parse_lines,
    run_process,
    start_process,
)


class TestSimulate:
    @pytest.mark.parametrize(
        "another_account",
        [
            {"TWILIO_API_KEY": "SK" + "0" * 32, "TWILIO_API_SECRET": "another-account"},
            {"TWILIO_API_KEY_SID": "SK" + "0" * 32, "TWILIO_API_KEY_SECRET": "another-account"},
            {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "example.com"},
            {"http_proxy": "http://127.0.0.1:9"},
        ],
    )
    def test_a_command_gets_the_environment_and_gives_the_exit_code(
        self, tmp_path: Path, another_account: dict[str, str]
    ) -> None:
        rooms = tmp_path / "rooms.txt"
        listing = shlex.join([*ROOMREC, "list", "--from-file", str(rooms)])
        result = run_process(
            "simulate", "--rooms", "3", "--seed", "8", "--unlimited", "--write-rooms", str(rooms), "--",
            "sh", "-c", f"{listing} && exit 41",
            **another_account,
        )  # fmt: skip
        assert (result.code, result.err) == (41, "")
        with Simulator(3, seed=8) as simulator:
            assert rooms.read_text().split() == list(simulator.room_sids)
            expected = [record["sid"] for record in expected_list(simulator, *simulator.room_sids)]
        assert [record["sid"] for record in parse_lines(result.out)] == expected

    @pytest.mark.parametrize(
        ("command", "code", "message"),
        [
            (["/no/such/program"], 127, "roomrec: /no/such/program: not found\n"),
            ([os.devnull], 126, f"roomrec: {os.devnull}: not executable\n"),
            (["sh", "-c", "kill -9 $$"], 137, ""),
        ],
    )
    def test_exit_codes_of_a_shell(self, command: list[str], code: int, message: str) -> None:
        result = run_process("simulate", "--", *command)
        assert (result.code, result.err) == (code, message)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_are_forwarded(self, number: signal.Signals) -> None:
        program = (
            "import signal, sys, time\n"
            f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
            "print('ready', flush=True)\n"
            "time.sleep(20)"
        )
        process = start_process("simulate", sys.executable, "-c", program, start_new_session=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=40) == ("", "")
        assert process.returncode == 7

    def test_serves_until_ctrl_c(self) -> None:
        process = start_process("simulate", "--rooms", "2")
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(12)]
        exports = [line.removeprefix("export ").rstrip("\n") for line in lines if line.startswith("export ")]
        variables = dict(line.split("=", 1) for line in exports)
        room_sid = lines[-1].split()[-1]
        result = run_process("list", room_sid, **variables)
        assert (result.code, result.err) == (0, "")
        assert {record["room_sid"] for record in parse_lines(result.out)} == {room_sid}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)
        assert (process.returncode, out) == (130, "")
        assert err.splitlines()[-1] == "roomrec: interrupted"

    @pytest.mark.parametrize(
        ("shell", "variable", "empty", "comment"),
        [
            ("sh", r"export TWILIO_ACCOUNT_SID=(AC\w{32})", "export TWILIO_API_KEY=", "# 2 rooms"),
            ("powershell", r"\$env:TWILIO_ACCOUNT_SID = '(AC\w{32})'", "$env:TWILIO_API_KEY = ''", "# 2 rooms"),
            ("cmd", r'set "TWILIO_ACCOUNT_SID=(AC\w{32})"', 'set "TWILIO_API_KEY="', "rem 2 rooms"),
        ],
    )
    def test_variables_for_each_shell(self, shell: str, variable: str, empty: str, comment: str) -> None:
        process = start_process("simulate", "--rooms", "2", "--shell", shell)
        assert process.stdout
        lines = [process.stdout.readline().rstrip("\n") for _ in range(12)]
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert re.fullmatch(variable, lines[0])
        assert empty in lines
        assert [line for line in lines if line.startswith(comment)] != []

    def test_a_file_of_rooms_that_cannot_be_written(self, roomrec: Command) -> None:
        line = roomrec.fails("simulate", "--write-rooms", "/no/such/folder/x", "true")
        assert "/no/such/folder/x" in line
