"""The examples of ``roomrec mux --help`` and ``roomrec timeline --help``, run as they stand under the simulator."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from roomrec_async.cli.commands import mux, timeline

ROOMREC = (sys.executable, "-m", "roomrec_async.cli")


def examples(epilog: str) -> list[str]:
    lines = epilog.partition("Examples:\n")[2].replace("\\\n", "")
    return [re.sub(" +", " ", line.strip()) for line in lines.splitlines()]


# Five films of a room, one of them large.
@pytest.mark.timeout(600)
def test_every_example_runs_under_simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "roomrec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ROOMREC)} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    lines = [*examples(mux._EXAMPLES), *examples(timeline._EXAMPLES)]
    room = next(word for word in lines[0].split() if word.startswith("RM"))
    script = "\n".join(["set -euo pipefail", f"roomrec archive {room} -o archive/", *lines])
    result = subprocess.run(
        [*ROOMREC, "simulate", "--", "bash", "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    files = ("room.mkv", "room.mp4", "talk.mp4", "voices", "room.html", "room.svg")
    assert [name for name in files if not Path(name).exists()] == []
