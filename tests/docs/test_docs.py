"""The site: its programs run, its names and messages are those of the package."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

import roomrec_async
from roomrec_async.simulator import Simulator

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = Path(__file__).parents[2] / "roomrec_async"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, program in enumerate(BLOCK.findall(page.read_text("utf-8")), 1)
]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_program_runs_as_it_stands(program: str, tmp_path: Path) -> None:
    async with Simulator(rooms=5, recordings_per_room=8, media_size=2000) as simulator:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-W", "error", "-c", program),
            cwd=tmp_path,
            env=os.environ | simulator.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert out.strip()


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"auto\w+:: roomrec_async\.(\w+)$", reference, re.MULTILINE))
    assert set(roomrec_async.__all__) - documented == {"__version__"}


def test_messages_of_the_troubleshooting_are_those_of_the_package() -> None:
    headings = re.findall(r"^## (.*)$", (DOCS / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)
    quoted = [text for heading in headings for text in re.findall(r'"([^"]+)"', heading)]
    source = " ".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    source = re.sub(r'"\s+f?"', "", source)
    assert quoted
    for text in quoted:
        # What a message says about a name or a number is filled in.
        pieces = re.sub(r"_retry_connection|roomrec_async|TWILIO_ACCOUNT_SID", "|", text).split("|")
        assert all(piece in source for piece in pieces), text


def test_links_to_classes_in_the_errors_page_exist() -> None:
    names = re.findall(r"autoexception:: roomrec_async\.(\w+)", (DOCS / "reference" / "errors.md").read_text("utf-8"))
    public = {name: getattr(roomrec_async, name) for name in roomrec_async.__all__}
    classes = {name for name, each in public.items() if isinstance(each, type) and issubclass(each, Exception)}
    assert set(names) == classes


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_a_guide_shows_an_example_that_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"literalinclude} (\S+)", text):
        assert (page.parent / name).resolve().is_file()
    if page.stem != "index":
        assert "```" in text
