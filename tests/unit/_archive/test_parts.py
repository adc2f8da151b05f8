"""Names of the parts of a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomrec_async._archive.parts import is_part, part_paths


@pytest.mark.parametrize(
    "name",
    [
        "manifest.jsonl/part-000000.jsonl",
        "manifest.parquet/part-1234567.parquet",
        "some/where/manifest.jsonl/part-000003-000001.jsonl",
        "mine.JSONL/part-000000.jsonl",
    ],
)
def test_parts(name: str) -> None:
    assert is_part(name)


@pytest.mark.parametrize(
    "name",
    [
        "manifest.jsonl",
        "part-000000.jsonl",
        "manifest/part-000000.jsonl",
        "manifest.jsonl/part-000000.parquet",
        "manifest.jsonl/.part-000000.jsonl.0123456789abcdef.part",
        "manifest.jsonl/part-.jsonl",
        "manifest.jsonl/more/part-000000.jsonl",
        "manifest.jsonl/part-000000.jsonl/x",
    ],
)
def test_other_names(name: str) -> None:
    assert not is_part(name)


def test_the_parts_of_a_directory_are_in_order(tmp_path: Path) -> None:
    directory = tmp_path / "manifest.jsonl"
    assert part_paths(directory) == []
    directory.mkdir()
    for name in ("part-000010.jsonl", "part-000002.jsonl", "notes.txt"):
        (directory / name).touch()
    (directory / "part-000001.jsonl").mkdir()
    assert [path.name for path in part_paths(directory)] == ["part-000002.jsonl", "part-000010.jsonl"]
    assert part_paths(tmp_path) == part_paths(directory / "notes.txt") == []
