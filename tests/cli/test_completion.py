"""``roomrec completion``: in a real bash, and by the protocol of the scripts for zsh and fish."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOMREC, Command

# Completes the last word of a line, as bash does when Tab is pressed.
BASH = """
roomrec() {{ {roomrec} "$@"; }}
eval "$(roomrec completion bash)"
COMP_WORDS=({line})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p roomrec | sed 's/.* -F \\([^ ]*\\) .*/\\1/') {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("roomrec li", ["list"]),
        ("roomrec list --aft", ["--after"]),
        ("roomrec list --status pro", ["processing"]),
        ("roomrec completion ", ["bash", "fish", "zsh"]),
        ("roomrec mux --layout s", ["screen"]),
    ],
)
def test_the_script_for_bash(tmp_path: Path, line: str, expected: list[str]) -> None:
    program = tmp_path / "roomrec"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ROOMREC)} "$@"\n')
    program.chmod(0o755)
    words = [*line.split(), *([] if not line.endswith(" ") else ["''"])]
    script = BASH.format(roomrec=shlex.quote(str(program)), line=" ".join(words), program=shlex.quote(str(program)))
    result = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False)
    assert (sorted(result.stdout.split()), result.stderr) == (expected, "")


@pytest.mark.parametrize(("shell", "word"), [("zsh", "2"), ("fish", "--aft")])
def test_what_the_other_scripts_ask_for(roomrec: Command, shell: str, word: str) -> None:
    script = roomrec("completion", shell)
    assert script.code == 0
    assert f"_ROOMREC_COMPLETE={shell}_complete" in script.out
    environ = {"_ROOMREC_COMPLETE": f"{shell}_complete", "COMP_WORDS": "roomrec list --aft", "COMP_CWORD": word}
    asked = subprocess.run(ROOMREC, capture_output=True, text=True, check=True, env={**os.environ, **environ})
    assert "--after" in asked.stdout


def test_another_shell_is_refused(roomrec: Command) -> None:
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in roomrec.fails("completion", "tcsh")
