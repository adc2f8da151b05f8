"""A month of nightly exports against an account in which recordings are late, take long, and are deleted."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import attrs
import pyarrow.dataset as ds
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from roomrec_async import ConfigurationError, Credentials, DateWindow, RateLimiter, RecordingsClient

START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = 30 * 24 * 60
ACCOUNT = "AC" + "0" * 32


@attrs.frozen
class Track:
    """A recording; all times are minutes from the start of the month."""

    created: int
    late: int
    processing: int
    deleted_after: int | None

    def is_done(self, now: int) -> bool:
        """Return True if an export at this time finds the recording, and finds it done."""
        seen = self.created < now and self.created + self.late <= now
        return seen and self.created + self.processing <= now and not self.is_deleted(now)

    def is_deleted(self, now: int) -> bool:
        return self.deleted_after is not None and now >= self.created + self.processing + self.deleted_after

    def status(self, now: int) -> str:
        if self.is_deleted(now):
            return "deleted"
        return "completed" if self.created + self.processing <= now else "processing"


@attrs.define
class Account:
    tracks: list[Track]
    now: int = 0
    lists: int = 0
    fetches: int = 0

    def record(self, index: int) -> dict[str, object]:
        track = self.tracks[index]
        created = START + timedelta(minutes=track.created)
        return {
            "sid": f"RT{index:032x}",
            "room_sid": f"RM{index:032x}",
            "status": track.status(self.now),
            "date_created": created.isoformat(),
        }

    async def list(self, request: web.Request) -> web.Response:
        self.lists += 1
        after = datetime.fromisoformat(request.query["DateCreatedAfter"])
        before = datetime.fromisoformat(request.query["DateCreatedBefore"])
        found = [
            self.record(index)
            for index, track in enumerate(self.tracks)
            if track.created + track.late <= self.now
            and not track.is_deleted(self.now)
            and after <= START + timedelta(minutes=track.created) < before
        ]
        return web.json_response({"recordings": found, "meta": {"key": "recordings", "next_page_url": None}})

    async def fetch(self, request: web.Request) -> web.Response:
        self.fetches += 1
        return web.json_response(self.record(int(request.match_info["sid"][2:], 16)))

    def time(self) -> datetime:
        return START + timedelta(minutes=self.now)


@st.composite
def months(draw: st.DrawFn) -> tuple[list[Track], list[int]]:
    """Return recordings, and the times of runs: many recordings begin within the hour before a run."""
    runs = sorted(draw(st.lists(st.integers(60, 2 * MONTH), min_size=1, max_size=8, unique=True)))
    shortly_before = st.builds(lambda run, minutes: run - minutes, st.sampled_from(runs), st.integers(0, 60))
    track = st.builds(
        Track,
        created=st.integers(0, MONTH) | shortly_before,
        late=st.integers(0, 60),
        processing=st.integers(0, 120) | st.integers(0, MONTH),
        deleted_after=st.none() | st.integers(0, MONTH),
    )
    return draw(st.lists(track, max_size=30)), runs


async def export_nightly(account: Account, runs: list[int], shards: int, directory: Path) -> list[str]:
    """Export at these times, and return the SIDs in all parts."""
    app = web.Application()
    app.router.add_get("/v1/Recordings", account.list)
    app.router.add_get("/v1/Recordings/{sid}", account.fetch)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        unlimited = RateLimiter(None, None, None)
        async with RecordingsClient(Credentials(ACCOUNT, "token"), base_url=url, limiter=unlimited) as client:
            for now in runs:
                account.now = now
                for index in range(shards, 0, -1):
                    await client.export(DateWindow(START), directory, since_last=True, shard=(index, shards))
    if not [*directory.glob("part-*")]:
        return []
    sids: list[str] = ds.dataset(directory).to_table()["sid"].to_pylist()
    return sids


@settings(max_examples=12)
@given(months(), st.sampled_from([1, 2]))
def test_nothing_twice_and_nothing_missed(month: tuple[list[Track], list[int]], shards: int) -> None:
    tracks, runs = month
    account = Account(tracks)
    with (
        tempfile.TemporaryDirectory() as directory,
        patch("roomrec_async._export.run.current_time", account.time),
    ):
        found = asyncio.run(export_nightly(account, runs, shards, Path(directory)))
    expected = [f"RT{index:032x}" for index, track in enumerate(tracks) if any(map(track.is_done, runs))]
    assert Counter(found) == Counter(expected)


@pytest.mark.parametrize(
    ("spread", "shards", "lists", "fetches"),
    [
        # Those of a busy minute: a list of that minute has them all.
        (1, 1, 15, 0),
        (1, 3, 30, 0),
        # One in a day or so: a list of the months between has many others, and costs as much.
        (MONTH, 1, 5, 5),
    ],
)
async def test_recordings_that_were_processing_are_listed_where_that_takes_fewer_requests(
    tmp_path: Path, spread: int, shards: int, lists: int, fetches: int
) -> None:
    count = 1000 if fetches == 0 else fetches
    first, second = 2 * MONTH, 2 * MONTH + 24 * 60
    began = [first - 90 - index * spread // count for index in range(count)]
    tracks = [Track(created=each, late=0, processing=first + 10 - each, deleted_after=None) for each in began]
    account = Account(tracks)
    with patch("roomrec_async._export.run.current_time", account.time):
        assert await export_nightly(account, [first], shards, tmp_path) == []
        account.lists = 0
        found = await export_nightly(account, [second], shards, tmp_path)
    assert sorted(found) == [f"RT{index:032x}" for index in range(count)]
    assert account.lists <= lists
    assert account.fetches == fetches


async def test_one_that_is_not_in_the_list_is_asked_for(tmp_path: Path) -> None:
    first = 2 * MONTH
    tracks = [Track(created=first - 90, late=0, processing=200, deleted_after=None) for _ in range(50)]
    account = Account(tracks)
    with patch("roomrec_async._export.run.current_time", account.time):
        await export_nightly(account, [first], 1, tmp_path)
        # A page that is a little behind.
        account.tracks[7] = attrs.evolve(tracks[7], late=10 * MONTH)
        found = await export_nightly(account, [first + 24 * 60], 1, tmp_path)
    assert len(found) == 50
    assert account.fetches == 1


class TestAClockThatWasAhead:
    """The next run begins an hour before the end of the last one: what has begun before that is in no run."""

    async def run_ahead(self, account: Account, minutes: int, directory: Path) -> None:
        with patch("roomrec_async._export.run.current_time", lambda: account.time() + timedelta(minutes=minutes)):
            assert await export_nightly(account, [MONTH], 1, directory) == []

    async def test_by_an_hour_misses_nothing(self, tmp_path: Path) -> None:
        account = Account([Track(created=MONTH + 1, late=0, processing=0, deleted_after=None)])
        await self.run_ahead(account, 60, tmp_path)
        with patch("roomrec_async._export.run.current_time", account.time):
            assert await export_nightly(account, [MONTH, MONTH + 2], 1, tmp_path) == [f"RT{0:032x}"]

    async def test_by_more_is_an_error(self, tmp_path: Path) -> None:
        account = Account([Track(created=MONTH + 1, late=0, processing=0, deleted_after=None)])
        await self.run_ahead(account, 365 * 24 * 60, tmp_path)
        with patch("roomrec_async._export.run.current_time", account.time):
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"up to 2027-.* which is yet to come: correct the clock"):
                    await export_nightly(account, [MONTH + 2], 1, tmp_path)
