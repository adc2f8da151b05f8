"""Exports in shards against the simulator: by the loop, and as the pods of the Kubernetes Job do them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import yaml

from roomrec_async.simulator import Simulator, faults

EXAMPLES = Path(__file__).parents[2] / "examples"
# Each shard is a process, which takes seconds to start on a busy machine.
pytestmark = pytest.mark.timeout(300)
WINDOW = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00+01:00")


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(rooms=40, reads_per_second=None, concurrency_limit=None) as simulator:
        yield simulator


def environment(sim: Simulator) -> dict[str, str]:
    """Return variables that lead to the simulator, and to the command of this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **sim.environment(), "PATH": path}


def run_loop(
    sim: Simulator, destination: Path, *, window: tuple[str, str] = WINDOW
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "export_shards.py"), *window, str(destination)]
    return subprocess.run(command, env=environment(sim), capture_output=True, text=True, check=False)


def exported(destination: Path) -> list[str]:
    return sorted(ds.dataset(destination).to_table()["sid"].to_pylist())


def expected(sim: Simulator) -> list[str]:
    records = [record for room_sid in sim.room_sids for record in sim.recordings(room_sid)]
    return sorted(record["sid"] for record in records if record["status"] != "processing")


def is_complete(destination: Path) -> bool:
    return (destination / "_roomrec" / "run-00001" / "manifest.json").is_file()


def expand(argument: str, variables: Mapping[str, str]) -> str:
    """Expand ``$(NAME)``, as Kubernetes does in the arguments of a container."""
    for name, value in variables.items():
        argument = argument.replace(f"$({name})", value)
    assert "$(" not in argument
    return argument


def test_the_loop_exports_every_recording_once(sim: Simulator, tmp_path: Path) -> None:
    first = run_loop(sim, tmp_path)
    assert (first.returncode, first.stdout) == (0, f"{len(expected(sim))} recordings in 4 shards\n")
    assert exported(tmp_path) == expected(sim)
    assert is_complete(tmp_path)
    # Again, it does nothing.
    assert run_loop(sim, tmp_path).stdout == first.stdout
    assert exported(tmp_path) == expected(sim)


def test_the_loop_runs_a_shard_again_that_failed(sim: Simulator, tmp_path: Path) -> None:
    sim.inject(faults.Respond(403), times=2)
    assert run_loop(sim, tmp_path).returncode == 0
    assert exported(tmp_path) == expected(sim)


def test_the_loop_gives_up_after_three_attempts(sim: Simulator, tmp_path: Path) -> None:
    sim.inject(faults.Respond(403), times=None)
    loop = run_loop(sim, tmp_path)
    assert (loop.returncode, loop.stdout) == (1, "")
    assert sim.stats.requests == 3
    assert "Traceback" not in loop.stderr


@pytest.mark.parametrize(("status", "window", "code"), [(401, WINDOW, 3), (200, ("soon", "later"), 2)])
def test_the_loop_does_not_repeat_a_mistake(
    sim: Simulator, tmp_path: Path, status: int, window: tuple[str, str], code: int
) -> None:
    if status != 200:
        sim.inject(faults.Respond(status), times=None)
    loop = run_loop(sim, tmp_path, window=window)
    assert (loop.returncode, loop.stdout) == (code, "")
    assert sim.stats.requests == (1 if code == 3 else 0)
    assert "Traceback" not in loop.stderr


def test_the_pods_of_the_job_export_every_recording_once(sim: Simulator, tmp_path: Path) -> None:
    spec = yaml.safe_load((EXAMPLES / "export_job.yaml").read_text("utf-8"))["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    # Another window, a directory, and as many pods as do not take minutes here.
    pods = 5
    others = {"--after": WINDOW[0], "--before": WINDOW[1], "--output": str(tmp_path)}
    others["--shard"] = f"$(JOB_COMPLETION_INDEX)/{pods}"
    options = [argument.partition("=")[0] for argument in container["args"]]
    arguments = [f"{option}={others[option]}" for option in options]
    order = random.Random(3).sample(range(pods), pods)
    for index in order:
        expanded = [expand(argument, {"JOB_COMPLETION_INDEX": str(index)}) for argument in arguments]
        command = [*container["command"], *expanded, "--json"]
        pod = subprocess.run(command, env=environment(sim), capture_output=True, text=True, check=True)
        assert json.loads(pod.stdout)["complete"] == (index == order[-1])
    assert is_complete(tmp_path)
    assert exported(tmp_path) == expected(sim)
