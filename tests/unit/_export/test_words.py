"""Windows in words, and the runs that began with them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from roomrec_async import DateWindow
from roomrec_async._export.words import window_of_words
from roomrec_async.integrations.stores import ObjectStore
from roomrec_async.protocols import Destination

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ["7d", "now"]


@pytest.fixture(params=["directory", "store"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Destination:
    return tmp_path / "export" if request.param == "directory" else ObjectStore(MemoryStore())


def window(minutes: int) -> DateWindow:
    """A week, some minutes after the run began."""
    after = BEGAN + timedelta(minutes=minutes)
    return DateWindow(after, after + timedelta(days=7))


async def test_the_first_of_those_that_begin_at_once_decides_for_all(destination: Path | Destination) -> None:
    windows = await asyncio.gather(*(window_of_words(destination, window(each), WORDS) for each in range(20)))
    assert len(set(windows)) == 1


async def test_other_words_are_another_window(destination: Path | Destination) -> None:
    assert await window_of_words(destination, window(0), WORDS) == window(0)
    assert await window_of_words(destination, window(1), WORDS) == window(0)
    assert await window_of_words(destination, window(2), ["8d", "now"]) == window(2)


async def test_what_cannot_hold_an_export_is_left_to_the_export() -> None:
    class WriteOnly:
        write = location = size = delete = object()

    assert await window_of_words(WriteOnly(), window(3), WORDS) == window(3)  # type: ignore[arg-type]
