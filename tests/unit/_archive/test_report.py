"""The progress and the report of an archive."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest

from roomrec_async._archive.report import ArchiveProgress, ArchiveReport


def test_progress_starts_at_zero_with_more_to_list() -> None:
    progress = attrs.asdict(ArchiveProgress())
    assert progress.pop("listing") is True
    assert progress == dict.fromkeys(("found", "archived", "deleted", "failed", "bytes", "expected_bytes"), 0)


def test_a_report_is_a_value() -> None:
    report = ArchiveReport(
        archived=3, bytes=30, deleted=2, external=1, failures={"RT1": "why"}, failed=1, manifest=("/x/manifest.jsonl",)
    )
    assert report == attrs.evolve(report)
    assert report != attrs.evolve(report, deleted=3)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        report.deleted = 3


def test_importing_it_does_not_load_sqlite() -> None:
    # Whatever measures coverage may have loaded it before.
    program = (
        "import sys; sys.modules.pop('sqlite3', None); import roomrec_async._archive.report; "
        "print('sqlite3' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
