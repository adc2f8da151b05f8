"""The ``roomrec`` command as a whole: errors, signals and pipes, exit codes and help."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from roomrec_async._version import __version__
from roomrec_async.cli.app import roomrec as roomrec_group
from roomrec_async.simulator import Simulator, faults

from .conftest import (
    CREDENTIALS,
    ROOMREC,
    UNKNOWN_ROOM,
    UNLIMITED,
    Command,
    start_process,
    wait_until,
    without_progress,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(rooms=6, seed=3, **UNLIMITED) as simulator:
        yield simulator


class TestUsageErrors:
    """Each ends with exit code 2 and one clear line on stderr."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["lsit"], "No such command 'lsit'"),
            (["--nonsense"], "--nonsense"),
            (["list"], "(see 'roomrec list --help')"),
        ],
    )
    def test_are_reported(self, roomrec: Command, arguments: list[str], message: str) -> None:
        assert message in roomrec.fails(*arguments)


class TestFailures:
    """Each has its exit code and one clear line on stderr."""

    def test_no_credentials(self, roomrec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in CREDENTIALS:
            monkeypatch.delenv(name, raising=False)
        line = roomrec.fails("list", UNKNOWN_ROOM)
        assert "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or" in line
        assert "'roomrec demo' needs none" in line

    def test_wrong_credentials_end_it_at_once(
        self, simulator: Simulator, roomrec: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong-but-secret")
        line = roomrec.fails("list", *simulator.room_sids, code=3)
        assert "HTTP 401, code 20003" in line
        assert "secret" not in line

    def test_an_unreachable_host(self, roomrec: Command) -> None:
        outcome = roomrec("list", UNKNOWN_ROOM, "--base-url", "http://127.0.0.1:9", "--timeout", "0.2")
        assert (outcome.code, outcome.out) == (1, "")
        (line,) = outcome.errors
        assert line.startswith(f"{UNKNOWN_ROOM}: Cannot connect to host 127.0.0.1:9")

    def test_a_body_that_is_not_json(self, simulator: Simulator, roomrec: Command) -> None:
        simulator.inject(faults.Respond(200, b"<html>Sign in to the hotel's network</html>"))
        outcome = roomrec("list", UNKNOWN_ROOM)
        assert (outcome.code, outcome.out) == (1, "")
        (line,) = outcome.errors
        assert "the body is not JSON" in line
        assert "Sign in to the hotel's network" in line

    def test_standard_input_that_is_closed(self) -> None:
        command = shlex.join([*ROOMREC, "list", "-"])
        result = subprocess.run(["sh", "-c", f"{command} <&-"], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "roomrec: standard input is closed: give rooms as arguments, or --from-file FILE\n"

    @pytest.mark.parametrize("closing", [">&-", "2>&-"])
    def test_output_that_is_closed(self, simulator: Simulator, closing: str) -> None:
        command = shlex.join([*ROOMREC, "list", simulator.room_sids[0]])
        result = subprocess.run(["sh", "-c", f"{command} {closing}"], capture_output=True, text=True, check=False)
        assert (result.returncode, without_progress(result.stderr)) == (0, "")

    @pytest.mark.parametrize("missing", ["click", "rich"])
    def test_the_extra_is_not_installed(self, missing: str) -> None:
        program = f"import sys; sys.modules[{missing!r}] = None; from roomrec_async.cli import main; main()"
        command = [sys.executable, "-c", program, "list", UNKNOWN_ROOM]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == "roomrec needs click and rich: pip install 'roomrec-async[cli]'\n"


class TestInterruptions:
    def test_ctrl_c_while_input_and_answers_are_waited_for(self, simulator: Simulator) -> None:
        simulator.inject(faults.StallHeaders(20))
        sent = simulator.stats.requests
        process = start_process("list", "-", stdin=subprocess.PIPE)
        assert process.stdin
        process.stdin.write(f"{simulator.room_sids[0]}\n")
        process.stdin.flush()
        wait_until(lambda: simulator.stats.requests > sent)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 130
        out, err = process.communicate()
        assert (out, without_progress(err)) == ("", "roomrec: interrupted\n")

    def test_ctrl_c_while_nobody_reads_the_output(self, large: Simulator) -> None:
        process = start_process("list", *large.room_sids)
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 130
        assert without_progress(process.stderr.read()) == "roomrec: interrupted\n"
        process.communicate()

    def test_a_pipe_that_breaks_ends_it_quietly(self, large: Simulator) -> None:
        process = start_process("list", *large.room_sids)
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(40) == 0
        assert without_progress(process.stderr.read()) == ""
        process.stderr.close()


@pytest.mark.parametrize("command", [[], *([name] for name in roomrec_group.commands)])
def test_help(roomrec: Command, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = roomrec(*command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(" ".join(["Usage: roomrec", *command]))
    # The mark that keeps click from wrapping the examples.
    assert "\b" not in outcome.out


def test_help_imports_no_command() -> None:
    """It must not take longer than the package: shells call it for completion, too."""
    statements = (
        "import sys",
        "from roomrec_async.cli.app import run",
        "run(['--help'])",
        "print([name for name in sys.modules if 'cli.commands' in name or name == 'rich'], file=sys.stderr)",
    )
    process = subprocess.run([sys.executable, "-c", "\n".join(statements)], capture_output=True, text=True, check=True)
    assert process.stdout.startswith("Usage: roomrec")
    assert process.stderr == "[]\n"


def test_version(roomrec: Command) -> None:
    outcome = roomrec("--version")
    assert (outcome.code, outcome.out) == (0, f"roomrec, version {__version__}\n")


def test_without_arguments_there_is_help(roomrec: Command) -> None:
    outcome = roomrec()
    assert outcome.code == 2
    assert "Exit codes:" in outcome.err


def test_the_library_does_not_need_the_command() -> None:
    program = "import roomrec_async, sys; sys.exit(bool({'click', 'rich', 'roomrec_async.cli'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestProxies:
    """Another simulated service stands for the proxy: it answers whatever host it is asked for, and refuses us."""

    @pytest.fixture
    def proxy(self) -> Iterator[Simulator]:
        with Simulator(rooms=1, seed=99, **UNLIMITED) as simulator:
            yield simulator

    def test_a_proxy_is_given_before_the_command(self, roomrec: Command, proxy: Simulator) -> None:
        assert roomrec("--proxy", proxy.base_url, "rooms").code == 3
        assert proxy.stats.requests == 1

    def test_a_proxy_of_the_environment_is_used(
        self, roomrec: Command, proxy: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        assert roomrec("rooms").code == 3
        assert proxy.stats.requests == 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert roomrec("rooms").code == 0
        assert proxy.stats.requests == 1

    def test_a_cluster_uses_none(self, roomrec: Command, proxy: Simulator) -> None:
        assert "--proxy" in roomrec.fails("--proxy", proxy.base_url, "--dask", "tcp://127.0.0.1:1", "export", "RM")

    def test_what_is_no_proxy_is_refused(self, roomrec: Command) -> None:
        assert "proxy must be the URL of an HTTP proxy" in roomrec.fails("--proxy", "socks5://x", "rooms")
