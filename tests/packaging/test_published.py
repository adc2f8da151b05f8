"""What is published: the sdist and the wheel, their metadata, and the README's first command."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://git.example/owner/roomrec_async"
PARTS = ("roomrec_async", "tests", "examples", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md")
PARTS += ("docs", "pyproject.toml", "noxfile.py", "hatch_build.py")


def copy_tree(to: Path, *, repository: str) -> Path:
    """Copy what is published, and write its address into the copy."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        else:
            to.mkdir(exist_ok=True)
            shutil.copy(source, to)
    pyproject = to / "pyproject.toml"
    contact = "recordings@example.com" if repository else ""
    text = re.sub(r'^repository = "[^"]*"', f'repository = "{repository}"', pyproject.read_text(), flags=re.MULTILINE)
    pyproject.write_text(re.sub(r'^contact = "[^"]*"', f'contact = "{contact}"', text, flags=re.MULTILINE))
    return to


def build(tree: Path) -> tuple[Path, Path]:
    """Build the wheel from the sdist, as a release does; return the paths of both."""
    run(sys.executable, "-m", "build", "--no-isolation", cwd=tree)
    (wheel,) = (tree / "dist").glob("*.whl")
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    return wheel, sdist


def run(*command: str, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("published") / "tree", repository=REPOSITORY)


@pytest.fixture(scope="module")
def built(tree: Path) -> tuple[Path, Path]:
    return build(tree)


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


def test_the_wheel_has_the_whole_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "roomrec_async").rglob("*") if path.is_file()}
    assert names == {name for name in package if "__pycache__" not in name}
    assert "roomrec_async/py.typed" in names
    assert any(name.endswith(".jinja") for name in names)


def test_the_sdist_has_what_is_needed_to_build_and_to_test(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("hatch_build.py", "noxfile.py", "tests/conftest.py", "examples/web_app.py", "CHANGELOG.md", "LICENSE"):
        assert name in names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".", "dist", "docs/_build"))]


def test_the_index_would_take_them(built: tuple[Path, Path], tree: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, built), cwd=tree)
    run(sys.executable, "-m", "check_wheel_contents", str(built[0]), cwd=tree)


def test_the_metadata_get_full_marks(tree: Path) -> None:
    assert "Final rating: 10/10" in run(sys.executable, "-m", "pyroma", "--min", "10", ".", cwd=tree)


def test_links_lead_to_the_repository(built: tuple[Path, Path]) -> None:
    metadata = metadata_of(built[0])
    version = metadata["Version"]
    readme = metadata.get_payload()
    assert isinstance(readme, str)
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", readme)
    assert links
    for image, link in links:
        if link.startswith(REPOSITORY):
            kind = "raw" if image else "blob"
            path = link.removeprefix(f"{REPOSITORY}/{kind}/v{version}/")
            assert (ROOT / path.partition("#")[0]).exists(), link
        else:
            assert link.startswith(("#", "https://")), link
    urls = dict(each.split(", ") for each in metadata.get_all("Project-URL", []))
    assert urls["Homepage"] == REPOSITORY
    assert {"Changelog", "Issues", "Security", "Source"} <= set(urls)
    assert "@example.com" in metadata["Author-email"]


def test_without_an_address_it_is_built_all_the_same(tmp_path: Path) -> None:
    """As long as there is no repository, developers and users of the source install it as ever."""
    metadata = metadata_of(build(copy_tree(tmp_path / "tree", repository=""))[0])
    assert metadata["Author"] == "The roomrec_async contributors"
    assert metadata.get_all("Project-URL", []) == []


def test_the_first_command_of_the_readme_runs(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree", repository="")
    command = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    assert "recordings" in run("bash", "-c", command, cwd=tree)
