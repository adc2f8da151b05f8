# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.5.1"]
# ///
"""The project's gates. ``nox -l`` lists them; ``nox`` runs the ones that every change must pass."""

import os
import shutil
import subprocess
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
BOUNDED = ["cli", "crypto", "html", "otel", "parquet", "redis", "stores"]
PYPROJECT = nox.project.load_toml("pyproject.toml")
SUITES = [*PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"], "tests/cli", "tests/examples"]

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]


def _offer_pyenv_interpreters() -> None:
    """Interpreters that pyenv has are on the PATH only by name: they run when they are listed here."""
    pyenv = shutil.which("pyenv")
    if pyenv is None or "PYENV_VERSION" in os.environ:
        return
    listed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False)
    wanted = tuple(f"{python}." for python in PYTHONS)
    versions = [version for version in listed.stdout.split() if version.startswith(wanted)]
    os.environ["PYENV_VERSION"] = ":".join([*versions, "system"])


_offer_pyenv_interpreters()


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, name))


def _install_wheel(session: nox.Session) -> None:
    """Install the built wheel with all extras, and what the tests need."""
    session.install(".[all]", *_group("test"))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the installed wheel; a warning or a leaked resource is a failure."""
    _install_wheel(session)
    session.run("pytest", *session.posargs)


@nox.session
def cli(session: nox.Session) -> None:
    """Run the command line: in processes of its own, on terminals, with pipes and signals."""
    _install_wheel(session)
    session.run("pytest", "tests/cli", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples as they stand, and hang up on them, kill them and start them again."""
    _install_wheel(session)
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run every operation under every fault, and print what each gave."""
    _install_wheel(session)
    session.run("pytest", "tests/faults", "--verbose", "-o", "verbosity_test_cases=0", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Look at pages in a real browser (Debian: chromium, chromium-driver)."""
    _install_wheel(session)
    session.install(*_group("browser"))
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Let a real Dask cluster of processes work, and kill its workers."""
    _install_wheel(session)
    session.run("pytest", "tests/cluster", *session.posargs)


@nox.session
def fleet(session: nox.Session) -> None:
    """Let several processes share a limit through a real Redis (Debian: redis-server), and take it away from them."""
    _install_wheel(session)
    session.install(*_group("fleet"))
    session.run("pytest", "tests/fleet", *session.posargs)


@nox.session
def mux(session: nox.Session) -> None:
    """Put real recordings together by a real ffmpeg (Debian: ffmpeg), and look at every frame."""
    _install_wheel(session)
    session.run("pytest", "tests/mux", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """Run the example notebook in a real kernel."""
    session.install(".[simulator]", *_group("notebook"), *_group("test"))
    session.run("pytest", "tests/notebook", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Put a million mutated bodies through the codec; ``-- 20000`` does fewer."""
    session.install(".[simulator]")
    session.run("python", "-m", "tests.endurance.fuzz", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run for 30 minutes at full rate under random faults; ``-- 0.5`` for half a minute."""
    session.install(".[simulator]")
    session.run("python", "-m", "tests.endurance.soak", *session.posargs)


@nox.session
def lower_bounds(session: nox.Session) -> None:
    """Run the tests with the oldest versions that the package says it works with."""
    _install_wheel(session)
    project = PYPROJECT["project"]
    declared = [
        *project["dependencies"],
        *(each for name in BOUNDED for each in project["optional-dependencies"][name]),
    ]
    # An SDK works with the API of its own version.
    declared += [requirement for requirement in _group("test") if requirement.startswith("opentelemetry-sdk")]
    session.install(*(requirement.replace(">=", "==") for requirement in declared))
    session.run("pytest", *SUITES, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure the branches that the tests take, and print what they do not."""
    _install_wheel(session)
    session.run("coverage", "erase")
    session.run("coverage", "run", str(Path(session.bin) / "pytest"), *SUITES, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def contract(session: nox.Session) -> None:
    """Hold requests and the simulator's answers against the provider's published description."""
    _install_wheel(session)
    session.run("pytest", "tests/contract", *session.posargs, env={"CI": "true"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, and that imports run downwards."""
    session.install(*_group("lint"), ".")
    session.run("ruff", "check", "--output-format=concise")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")
    session.run("zizmor", "--offline", "--no-progress", ".github/workflows")


@nox.session
def api(session: nox.Session) -> None:
    """Look for breaking changes of the public API since the latest release; ``-- REF`` since another reference."""
    session.install(*_group("api"))
    session.run("python", "-m", "tests.compatibility", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, of the examples, and of the public API as its users see it."""
    session.install(*_group("types"), ".[all]")
    session.run("mypy")


@nox.session
def bare(session: nox.Session) -> None:
    """Install the package without extras, import it, list a room, and ask for the command that is not there."""
    session.install(".")
    session.run("python", "-c", _LIST_A_ROOM, env={"PYTHONWARNINGS": "error"})
    session.run("roomrec", "--version", success_codes=[2])


@nox.session
def build(session: nox.Session) -> None:
    """Build what is published, and look at what is in it."""
    session.install("build>=1.2", "twine>=6.0")
    target = session.create_tmp()
    session.run("python", "-m", "build", "--outdir", target)
    files = sorted(str(path) for path in Path(target).glob("roomrec_async-*"))
    session.run("twine", "check", "--strict", *files)
    session.run("python", "-c", _LOOK_AT_WHEEL, next(name for name in files if name.endswith(".whl")))


@nox.session
def lock(session: nox.Session) -> None:
    """Resolve what development needs anew, with hashes: ``requirements.lock``."""
    session.install("uv>=0.9")
    groups = [f"--group={name}" for name in PYPROJECT["dependency-groups"]]
    index = "--default-index=https://pypi.org/simple"
    options = ["--all-extras", *groups, "--universal", "--python-version=3.11", "--generate-hashes", index]
    quiet = ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    session.run("uv", "pip", "compile", "pyproject.toml", *options, *quiet, "--output-file=requirements.lock")


@nox.session
def demo(session: nox.Session) -> None:
    """Run the README's first command's demo."""
    session.install(".[cli]")
    session.run("roomrec", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with the official client and with loops by hand; ``-- --quick`` only proves that it runs."""
    session.install(".[all]", *_group("bench"))
    session.run("python", "-m", "tests.benchmarks", "bench", *session.posargs)


_LIST_A_ROOM = """
import asyncio
import roomrec_async
from roomrec_async.simulator import Simulator

async def main():
    async with Simulator(rooms=1, recordings_per_room=7) as simulator, simulator.client() as client:
        assert len(await client.recordings(simulator.room_sids[0]).to_list()) == 7

asyncio.run(main())
"""

_LOOK_AT_WHEEL = """
import sys, zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
assert "roomrec_async/py.typed" in names
assert "roomrec_async/simulator/examples/one_recording.json" in names
assert not [name for name in names if name.startswith("tests")]
"""

if __name__ == "__main__":
    nox.main()
