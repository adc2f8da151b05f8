# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.5.1"]
# ///
"""The project's checks. ``nox -l`` lists them; ``nox`` runs the ones that every change must pass."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
PYPROJECT = nox.project.load_toml("pyproject.toml")
# Suites of `coverage`: those of a plain `pytest`, and two that start processes of their own.
SUITES = [*PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"], "tests/cli", "tests/examples"]
# Extras whose lower bounds `lower_bounds` installs. Those of dask and simulator stay at their latest versions.
LOWER_BOUND_EXTRAS = ["cli", "crypto", "html", "otel", "parquet", "redis", "stores"]

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]


def _enable_pyenv_interpreters() -> None:
    """Let nox run the interpreters that pyenv installed.

    pyenv puts a shim for each of them on the PATH, but a shim only runs if its version is named in PYENV_VERSION.
    """
    pyenv = shutil.which("pyenv")
    if pyenv is None or "PYENV_VERSION" in os.environ:
        return
    installed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False)
    prefixes = tuple(f"{python}." for python in PYTHONS)
    versions = [version for version in installed.stdout.split() if version.startswith(prefixes)]
    os.environ["PYENV_VERSION"] = ":".join([*versions, "system"])


_enable_pyenv_interpreters()


def _group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


def _install_wheel(session: nox.Session) -> None:
    """Build and install the wheel with all extras, and install what the tests need."""
    session.install(".[all]", *_group("test"))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the installed wheel; warnings and leaked resources are failures."""
    _install_wheel(session)
    session.run("pytest", *session.posargs)


@nox.session
def cli(session: nox.Session) -> None:
    """Run the command line in separate processes: on terminals, with pipes and signals."""
    _install_wheel(session)
    session.run("pytest", "tests/cli", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples as they are; disconnect from them, kill and restart them."""
    _install_wheel(session)
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run every operation under every fault, and print each outcome."""
    _install_wheel(session)
    session.run("pytest", "tests/faults", "--verbose", "-o", "verbosity_test_cases=0", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Test the HTML pages in a real browser (Debian: chromium, chromium-driver)."""
    _install_wheel(session)
    session.install(*_group("browser"))
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Run jobs on a real Dask cluster of processes, and kill its workers."""
    _install_wheel(session)
    session.run("pytest", "tests/cluster", *session.posargs)


@nox.session
def fleet(session: nox.Session) -> None:
    """Share a limit among processes through a real Redis (Debian: redis-server), and stop Redis meanwhile.

    ``-- -m slow -n 2`` runs the tests that wait for most of their time, two at once.
    """
    _install_wheel(session)
    session.install(*_group("fleet"))
    session.run("pytest", "tests/fleet", *session.posargs)


@nox.session
def mux(session: nox.Session) -> None:
    """Mux real recordings with a real ffmpeg (Debian: ffmpeg), and check every frame."""
    _install_wheel(session)
    session.run("pytest", "tests/mux", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """Run the example notebook in a real kernel."""
    session.install(".[simulator]", *_group("notebook"), *_group("test"))
    session.run("pytest", "tests/notebook", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Feed a million mutated bodies to the codec; ``-- 20000`` feeds fewer."""
    session.install(".[simulator]")
    session.run("python", "-m", "tests.endurance.fuzz", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run at full rate under random faults for 30 minutes; ``-- 0.5`` runs for half a minute."""
    session.install(".[simulator]")
    session.run("python", "-m", "tests.endurance.soak", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take seconds each, and those that depend on the event loop once more, on uvloop."""
    _install_wheel(session)
    session.run("pytest", "-m", "slow", "tests/integration", "tests/cluster", *session.posargs)
    session.run("pytest", "tests/uvloop", *session.posargs)


@nox.session
def stress(session: nox.Session) -> None:
    """Run random operations under faults, cancellations and closings for 3 minutes; ``-- 0.5``: half a minute."""
    session.install(".[simulator]")
    session.run("python", "-m", "tests.endurance.stress", *session.posargs)


@nox.session
def archiving(session: nox.Session) -> None:
    """Archive and delete under faults, kills and changing objects for 10 minutes; ``-- 0.5``: half a minute."""
    _install_wheel(session)
    session.run("python", "-m", "tests.endurance.archiving", *session.posargs)


@nox.session(python=[python for python in PYTHONS if python != "3.11"])
def eager(session: nox.Session) -> None:
    """Run the tests once more under ``asyncio.eager_task_factory``, which Python 3.12 brought."""
    _install_wheel(session)
    session.run("pytest", "tests/eager", *session.posargs)
    session.run("pytest", "tests/integration", "tests/unit", *session.posargs, env={"ROOMREC_EAGER_TASKS": "1"})


@nox.session
def lower_bounds(session: nox.Session) -> None:
    """Run the tests with the oldest versions that the dependencies allow."""
    _install_wheel(session)
    project = PYPROJECT["project"]
    declared = list(project["dependencies"])
    for extra in LOWER_BOUND_EXTRAS:
        declared += project["optional-dependencies"][extra]
    # The SDK of OpenTelemetry only works with the API of its own version.
    declared += [requirement for requirement in _group("test") if requirement.startswith("opentelemetry-sdk")]
    session.install(*(requirement.replace(">=", "==") for requirement in declared))
    session.run("pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure branch coverage, and print the branches that no test takes."""
    _install_wheel(session)
    session.run("coverage", "erase")
    session.run("coverage", "run", str(Path(session.bin) / "pytest"), *SUITES, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def contract(session: nox.Session) -> None:
    """Check requests and the simulator's responses against the provider's OpenAPI description."""
    _install_wheel(session)
    # CI: a missing description is a failure, not a reason to skip.
    session.run("pytest", "tests/contract", *session.posargs, env={"CI": "true"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format, that imports run downwards, and the workflows."""
    session.install(*_group("lint"), ".")
    session.run("ruff", "check", "--output-format=concise")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")
    session.run("zizmor", "--offline", "--no-progress", ".github/workflows")


@nox.session
def api(session: nox.Session) -> None:
    """Find breaking changes of the public API since the latest release; ``-- REF`` compares with another revision."""
    session.install(*_group("api"))
    session.run("python", "-m", "tests.compatibility", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, of the examples, and of the public API as its users see it."""
    session.install(*_group("types"), ".[all]")
    session.run("mypy")
    for platform in ("darwin", "win32"):
        session.run("mypy", "--platform", platform, "roomrec_async")


@nox.session
def pyright(session: nox.Session) -> None:
    """Check with pyright that every public name has a known type, and the public API as its users see it."""
    session.install(".[all]", *_group("pyright"))
    session.run("basedpyright", "--verifytypes", "roomrec_async", "--ignoreexternal")
    session.run("basedpyright")


@nox.session
def next_aiohttp(session: nox.Session) -> None:
    """Run what depends on aiohttp against its next release, a pre-release included, within the allowed range."""
    _install_wheel(session)
    aiohttp = next(each for each in PYPROJECT["project"]["dependencies"] if each.startswith("aiohttp"))
    session.install("--upgrade", "--pre", aiohttp)
    session.run("pytest", "tests/integration", "tests/unit/_http", *session.posargs)


@nox.session
def bare(session: nox.Session) -> None:
    """Install the package without extras, list a room, and check that the command asks for its extra."""
    session.install(".")
    session.run("python", "-c", _LIST_A_ROOM, env={"PYTHONWARNINGS": "error"})
    session.run("roomrec", "--version", success_codes=[2])


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into ``docs/_build``, where every warning is an error, and run its programs."""
    session.install(".[all]", *_group("docs"), *_group("test"))
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html", "docs", "docs/_build")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist and the wheel, check what is in them, and run the README's first command."""
    session.install(*_group("package"))
    session.run("pytest", "-c", "tests/packaging/pytest.ini", "tests/packaging", *session.posargs)


@nox.session
def smoke(session: nox.Session) -> None:
    """Use the installed command on whatever system this is: list, download and archive a simulated account."""
    session.install(".[cli]")
    directory = Path(session.create_tmp())
    rooms = str(directory / "rooms.txt")
    simulate = ["roomrec", "simulate", "--rooms", "3", "--media-size", "5000", "--write-rooms", rooms, "--", "roomrec"]
    session.run("roomrec", "demo")
    session.run(*simulate, "list", "--from-file", rooms, "-o", str(directory / "recordings.csv"))
    session.run(*simulate, "download", "--from-file", rooms, "-o", str(directory / "media"))
    session.run(*simulate, "archive", "--after", "2026-01-01T00:00:00Z", "-o", str(directory / "archive"))


@nox.session
def release(session: nox.Session) -> None:
    """Refuse to publish what is not ready, and build the rest into ``dist``; ``-- v1.2.3`` is the release's tag."""
    _check_release(session, *session.posargs)
    shutil.rmtree("dist", ignore_errors=True)
    session.install(*_group("package"))
    session.run("python", "-m", "build", "--no-isolation")
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))


def _check_release(session: nox.Session, tag: str = "") -> None:
    """End the session if the address is not set, or if tag, version and changelog do not name the same release."""
    published = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]
    for name in ("repository", "contact"):
        if not published[name]:
            session.error(
                f"{name} is not set in pyproject.toml, [tool.hatch.metadata.hooks.custom]: nothing is published"
            )
    version = tag.removeprefix("v")
    if f'"{version}"' not in Path(PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text("utf-8"):
        session.error(f"the tag is {tag!r}, but the package has another version")
    heading = re.compile(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", re.MULTILINE)
    if not heading.search(Path("CHANGELOG.md").read_text("utf-8")):
        session.error(f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'")


@nox.session
def lock(session: nox.Session) -> None:
    """Resolve all dependencies again, with hashes, into ``pylock.toml``."""
    session.install("uv>=0.9")
    index = "--default-index=https://pypi.org/simple"
    session.run("uv", "lock", "--upgrade", "--quiet", index)
    # The standard's form, which pip and pip-audit read as well.
    options = ["--format=pylock.toml", "--all-extras", "--all-groups", "--no-emit-project", "--no-header"]
    session.run("uv", "export", "--frozen", "--quiet", *options, "--output-file=pylock.toml")
    Path("uv.lock").unlink()


@nox.session
def sbom(session: nox.Session) -> None:
    """Write what an installation with all extras has, versions and licenses, into ``sbom.json`` (CycloneDX)."""
    session.install("cyclonedx-bom>=7.0", ".[all]")
    session.run("cyclonedx-py", "environment", "--pyproject", "pyproject.toml", "--output-file", "sbom.json")


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo of the README's first command."""
    session.install(".[cli]")
    session.run("roomrec", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the official client and hand-written loops; ``-- --quick`` only shows that it runs.

    ``-- --instructions`` counts with valgrind (Debian: valgrind), and fails where ours have grown against the baseline;
    ``-- --instructions --renew`` writes the baseline for this Python, with the latest libraries.
    """
    session.install(".[all]", *_group("bench"))
    if "--instructions" in session.posargs and "--renew" not in session.posargs:
        libraries = json.loads(Path("tests/benchmarks/instructions.json").read_text("utf-8"))["libraries"]
        session.install(*(f"{name}=={version}" for name, version in libraries.items()))
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

if __name__ == "__main__":
    nox.main()
