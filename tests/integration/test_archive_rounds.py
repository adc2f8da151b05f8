"""Whatever breaks, is killed or changes: each recording that an archive deleted has a copy, and the manifest says so.

``python -m tests.endurance.archiving`` runs more of these rounds, with seeds of its own.
"""

from __future__ import annotations

import pytest

from ..endurance.archiving import run_round
from .conftest import S3Server


async def check_round(seed: int, s3: S3Server | None) -> None:
    running = await run_round(seed, s3)
    assert running.problems == [], f"seed {seed}"
    # It has something to say.
    assert running.events["deleted"] > 0
    assert running.events["killed"] > 0


@pytest.mark.parametrize("seed", [1])
async def test_into_a_directory(seed: int) -> None:
    await check_round(seed, None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 10))
async def test_into_a_directory_again(seed: int) -> None:
    await check_round(seed, None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 18))
async def test_into_an_s3_server(seed: int, s3: S3Server) -> None:
    await check_round(seed, s3)
