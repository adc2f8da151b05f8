"""Paths that the caller and the workers share."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from roomrec_async import ConfigurationError
from roomrec_async.integrations.dask.paths import absolute_path, check_visible, marker_file


def test_relative_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_path("exports/new") == tmp_path / "exports" / "new"
    assert absolute_path(tmp_path) == tmp_path


async def test_the_marker_is_there_for_the_time_of_the_block(tmp_path: Path) -> None:
    async with marker_file(tmp_path) as first, marker_file(tmp_path) as second:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first, second])
        assert first != second
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(ZeroDivisionError):
        async with marker_file(tmp_path):
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


async def test_a_marker_that_somebody_has_removed(tmp_path: Path) -> None:
    async with marker_file(tmp_path) as name:
        (tmp_path / name).unlink()


async def test_a_worker_sees_the_marker_or_says_where_it_does_not(cluster: Client, tmp_path: Path) -> None:
    async with marker_file(tmp_path) as name:
        await cluster.submit(check_visible, tmp_path, name, pure=False)
        elsewhere = tmp_path / "elsewhere"
        with pytest.raises(ConfigurationError, match=rf"worker tcp://127\.0\.0\.1:\d+ does not see {elsewhere}: "):
            await cluster.submit(check_visible, elsewhere, name, pure=False)
