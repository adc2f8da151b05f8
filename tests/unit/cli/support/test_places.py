"""Checks of the places that commands write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roomrec_async.cli.support.places import check_directory_place, check_file_place
from roomrec_async.errors import InvalidArgumentError


@pytest.mark.parametrize("name", ["new", "new/er/est", "here", "."])
def test_a_directory_that_can_be_written_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "here").mkdir()
    check_directory_place(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_a_file_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    check_file_place(path)
    assert not path.exists()
    path.write_text("old")
    check_file_place(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "error"), [("file", FileExistsError), ("file/x", NotADirectoryError), ("link", FileExistsError)]
)
def test_a_place_that_is_no_directory(tmp_path: Path, name: str, error: type[OSError]) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with pytest.raises(error) as raised:
        check_directory_place(tmp_path / name)
    assert raised.value.filename == str(tmp_path / name)


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgumentError):
        check_file_place(tmp_path / "pipe")
