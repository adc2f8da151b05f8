"""The examples of ``--help`` that start a cluster, run as they stand under ``roomrec simulate --``."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..cli.test_examples import COMMANDS, examples, put_on_the_path, run_simulated

__all__ = ["put_on_the_path"]


@pytest.mark.timeout(300)
def test_examples_with_a_cluster_run_too() -> None:
    lines = [each for name in COMMANDS for each in examples(name) if "--dask " in each]
    assert len(lines) == 2
    run_simulated(["roomrec rooms --sids > rooms.txt", *lines])
    assert list(Path("cluster").glob("*.parquet")) != []
    assert list(Path("archive").glob("*/*.mka")) != []
