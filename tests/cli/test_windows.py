"""The package and its command line without what Windows lacks, and with what it refuses, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Everything is imported twice, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)

# Imports everything, so that the other packages and the standard library have what they need of this system; takes
# away what Windows lacks; imports this package again, and runs the command line.
PROGRAM = r"""
import importlib, os, pkgutil, signal, socket, sys
from pathlib import Path

def import_everything():
    package = importlib.import_module("roomrec_async")
    for each in pkgutil.walk_packages(package.__path__, "roomrec_async."):
        if not each.name.endswith("__main__"):
            importlib.import_module(each.name)

import_everything()
for name in [name for name in sys.modules if name.partition(".")[0] == "roomrec_async"]:
    del sys.modules[name]

for name in ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
WINDOWS_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
for name in [name for name in dir(signal) if name.startswith("SIG") and name[3:4].isalpha()]:
    if name not in WINDOWS_SIGNALS:
        delattr(signal, name)
for name in ("alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt", "sigpending", "sigwait"):
    delattr(signal, name)
for name in (
    "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "POSIX_FADV_DONTNEED", "chown", "confstr", "ctermid",
    "fchmod", "fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid", "getpgrp", "getuid", "killpg", "mkfifo",
    "nice", "openpty", "posix_fadvise", "posix_fallocate", "pread", "pwrite", "sched_getaffinity", "setpgid", "setsid",
    "sync", "sysconf", "tcgetpgrp", "uname", "wait3", "wait4",
):
    delattr(os, name)

class Refused(PermissionError):
    pass

def refuse_if_open(*paths):
    names = {os.path.abspath(path) for path in paths}
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            opened = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if opened in names:
            raise Refused(13, f"{opened} is open in this process")

def refusing(function, count):
    def call(*arguments, **options):
        refuse_if_open(*arguments[:count])
        return function(*arguments, **options)
    return call

for name, count in (("rename", 2), ("replace", 2), ("unlink", 1), ("remove", 1)):
    setattr(os, name, refusing(getattr(os, name), count))

open_descriptor = os.open
def open_no_directory(path, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "is a directory", str(path))
    return open_descriptor(path, *arguments, **options)
os.open = open_no_directory

import_everything()
from roomrec_async.cli.app import run

for command in sys.argv[1].splitlines():
    code = run(command.split())
    if code:
        sys.exit(code)
"""


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("windows") / "roomrec.py"
    program.write_text(PROGRAM)
    return program


def roomrec(program: Path, *commands: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one command after the other in one process."""
    return subprocess.run(
        [sys.executable, "-P", str(program), "\n".join(commands)], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_the_command_starts(windows: Path, tmp_path: Path) -> None:
    result = roomrec(windows, "--help", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "simulate" in result.stdout


def test_a_simulated_account_is_listed_downloaded_and_archived(windows: Path, tmp_path: Path) -> None:
    script = tmp_path / "commands.sh"
    script.write_text(f"""exec {sys.executable} -P {windows} "$(cat commands.txt)" """)
    (tmp_path / "commands.txt").write_text(
        "list --from-file rooms.txt -o list.jsonl\n"
        "download --from-file rooms.txt -o media/\n"
        "archive --after 2026-01-01T00:00:00Z -o archive/\n"
    )
    options = "--rooms 2 --recordings 4 --media-size 5000 --write-rooms rooms.txt"
    result = roomrec(windows, f"simulate {options} -- bash {script}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    listed = [json.loads(line) for line in (tmp_path / "list.jsonl").read_text().splitlines()]
    with_media = {each["sid"] for each in listed if each["status"] == "completed"}
    assert with_media
    for folder in ("media", "archive"):
        kept = {path.stem for path in (tmp_path / folder).rglob("RT*.mk?")}
        assert with_media == kept
        assert not list((tmp_path / folder).rglob("*.part*"))
