"""The recordings of many rooms from account-wide lists, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from roomrec_async import (
    BadRequestError,
    DateWindow,
    DecodeError,
    InvalidArgumentError,
    PaginationError,
    RateLimiter,
    Recording,
    RecordingsClient,
    RetryPolicy,
)
from roomrec_async._listing import scan as scan_module
from roomrec_async._listing.scan import scan
from roomrec_async.simulator import Simulator, faults

from .raw_server import CREDENTIALS, Request, raw_server, response

BEGINNING = datetime(2025, 12, 1, tzinfo=UTC)

UNKNOWN_ROOM = "RM" + "0" * 32


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=60, recordings_per_room=(0, 30), seed=6, reads_per_second=None, concurrency_limit=None
    ) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[RecordingsClient]:
    async with sim.client(limiter=RateLimiter(None, None, None), retry=RetryPolicy(base_delay=0)) as client:
        yield client


def everything(sim: Simulator, status: str | None = None) -> list[dict[str, Any]]:
    return [record for sid in sim.room_sids for record in sim.recordings(sid, status)]


def sids(by_room: dict[str, list[Recording]]) -> dict[str, list[str]]:
    return {room_sid: sorted(str(recording.sid) for recording in found) for room_sid, found in by_room.items()}


@pytest.mark.parametrize("shift", [-1, -0.000001, 0, 0.000001, 0.5, 1], ids=str)
async def test_bounds_between_two_seconds_ask_for_exactly_the_same_records(
    sim: Simulator, client: RecordingsClient, shift: float
) -> None:
    """The service takes whole seconds only, so that both bounds are rounded up."""
    room_sid = max(sim.room_sids, key=lambda sid: len(list(sim.recordings(sid))))
    moments = {
        record["sid"]: datetime.fromisoformat(str(record["date_created"])) for record in sim.recordings(room_sid)
    }
    bound = sorted(moments.values())[len(moments) // 2] + timedelta(seconds=shift)
    after = await client.recordings(room_sid, date_created_after=bound).to_list()
    before = await client.recordings(room_sid, date_created_before=bound).to_list()
    assert {recording.sid for recording in after} == {sid for sid, moment in moments.items() if moment >= bound}
    assert {recording.sid for recording in before} == {sid for sid, moment in moments.items() if moment < bound}


@pytest.mark.parametrize(("month", "day"), [(3, 29), (10, 25)])
async def test_a_day_on_which_the_clocks_change_is_split_without_gaps(month: int, day: int) -> None:
    midnight = datetime(2026, month, day, tzinfo=ZoneInfo("Europe/Berlin"))
    window = DateWindow(midnight, midnight + timedelta(days=1))
    begin, end = midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)
    minutes = range((end - begin) // timedelta(minutes=1))
    existing = [Recording(sid=f"RT{n:032x}", date_created=begin + timedelta(minutes=n)) for n in minutes]
    asked: list[DateWindow] = []

    class Pages:
        """A list of the recordings between two instants, five to a page."""

        def __init__(self, window: DateWindow) -> None:
            asked.append(window)
            before = (window.before or end).astimezone(UTC)
            inside = [item for item in existing if window.after.astimezone(UTC) <= item.date_created < before]
            self._pages = [inside[n : n + 5] for n in range(0, len(inside), 5)]

        async def pages(self) -> AsyncIterator[SimpleNamespace]:
            for n, items in enumerate(self._pages, start=1):
                yield SimpleNamespace(items=items, meta=SimpleNamespace(next_page_url="x" if self._pages[n:] else None))

    found = [item.sid async for items in scan(window, Pages, lambda: 4, nullcontext()) for item in items]
    assert len(asked) > 2
    assert sorted(map(str, found)) == [item.sid for item in existing]


async def test_windows_are_bounded_however_dense_the_service_says_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_MAX_WINDOWS", 3)
    window = DateWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    asked: list[DateWindow] = []

    class Dense:
        """A list whose first page always covers a second, and so seems to be one of millions."""

        def __init__(self, window: DateWindow) -> None:
            asked.append(window)
            self._window = window

        async def pages(self) -> AsyncIterator[SimpleNamespace]:
            for next_page_url in ("x", None):
                items = [Recording(sid=f"RT{len(asked):032x}", date_created=self._window.after)]
                yield SimpleNamespace(items=items, meta=SimpleNamespace(next_page_url=next_page_url))

    async for _ in scan(window, Dense, lambda: 4, nullcontext()):
        pass
    # The window and its parts, none of which is split once more.
    assert 1 < len(asked) <= 1 + scan_module._MAX_PARTS


class TestViaAccount:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"status": "completed"},
            {"status": "deleted"},
            {"date_created_before": datetime(2026, 6, 1, tzinfo=UTC)},
            {
                "date_created_after": datetime(2026, 3, 1, tzinfo=UTC),
                "date_created_before": datetime(2026, 9, 1, tzinfo=UTC),
            },
        ],
        ids=str,
    )
    async def test_it_equals_room_by_room(self, sim: Simulator, client: RecordingsClient, options: Any) -> None:
        options = {"date_created_after": BEGINNING, **options}
        rooms = list(reversed(sim.room_sids))[::2]
        by_room = await client.gather(rooms, **options)
        by_account = await client.gather(rooms, via="account", **options)
        assert list(by_account) == rooms
        assert sids(by_account) == sids(by_room)
        for found in by_account.values():
            assert [r.date_created for r in found] == sorted(r.date_created for r in found if r.date_created)
        streamed = [r.sid async for r in client.stream(rooms, via="account", **options)]
        assert sorted(map(str, streamed)) == sorted(sid for found in sids(by_room).values() for sid in found)
        results = [result async for result in client.as_completed(rooms, via="account", **options)]
        assert {result.room_sid: result.recordings for result in results} == by_account
        assert not any(result.error for result in results)

    async def test_one_track_and_a_limit(self, sim: Simulator, client: RecordingsClient) -> None:
        record = everything(sim)[0]
        found = await client.gather(
            [record["room_sid"]], via="account", date_created_after=BEGINNING, source_sid=record["source_sid"]
        )
        assert record["sid"] in [recording.sid for recording in found[record["room_sid"]]]
        limited = await client.gather(sim.room_sids, via="account", date_created_after=BEGINNING, limit=2)
        by_room = await client.gather(sim.room_sids, limit=2)
        assert {sid: [r.date_created for r in found] for sid, found in limited.items()} == {
            sid: [r.date_created for r in found] for sid, found in by_room.items()
        }
        streamed = [r async for r in client.stream(sim.room_sids, via="account", date_created_after=BEGINNING, limit=2)]
        assert len(streamed) == sum(map(len, limited.values()))

    async def test_a_room_named_twice_an_unknown_one_and_an_async_iterable(
        self, sim: Simulator, client: RecordingsClient
    ) -> None:
        async def rooms() -> AsyncIterator[str]:
            for sid in (sim.room_sids[1], UNKNOWN_ROOM, sim.room_sids[1]):
                yield sid

        found = await client.gather(rooms(), via="account", date_created_after=BEGINNING)
        assert list(found) == [sim.room_sids[1], UNKNOWN_ROOM]
        assert found[UNKNOWN_ROOM] == []

    async def test_two_spellings_of_a_sid_are_one_room(self, sim: Simulator, client: RecordingsClient) -> None:
        """The service ignores the case of a SID's digits; the caller's first spelling is the key."""
        rooms = sorted(sim.room_sids, key=lambda sid: -len(list(sim.recordings(sid))))[:4]
        upper = [f"RM{sid[2:].upper()}" for sid in rooms]
        plain = await client.gather(rooms, date_created_after=BEGINNING)
        assert sum(map(len, plain.values())) > 50
        for via in ("rooms", "account"):
            found = await client.gather([*upper, *rooms], via=via, date_created_after=BEGINNING)
            assert list(found) == upper
            assert [sids({"": found[sid]}) for sid in upper] == [sids({"": plain[sid]}) for sid in rooms]
        streamed = [r.sid async for r in client.stream([*upper, *rooms], via="account", date_created_after=BEGINNING)]
        assert sorted(map(str, streamed)) == sorted(sid for found in sids(plain).values() for sid in found)
        results = [r async for r in client.as_completed(upper, via="account", date_created_after=BEGINNING)]
        assert [(r.room_sid, len(r.recordings)) for r in results] == [
            (spelling, len(plain[sid])) for spelling, sid in zip(upper, rooms, strict=True)
        ]

    async def test_what_is_refused(self, sim: Simulator, client: RecordingsClient) -> None:
        with pytest.raises(InvalidArgumentError, match="date_created_after"):
            await client.gather(sim.room_sids, via="account")
        with pytest.raises(InvalidArgumentError, match="via"):
            client.stream(sim.room_sids, via="courier")
        with pytest.raises(InvalidArgumentError, match="page_size"):
            client.as_completed(sim.room_sids, via="account", date_created_after=BEGINNING, page_size=101)
        with pytest.raises(InvalidArgumentError, match="time zone"):
            client.stream(
                sim.room_sids, via="account", date_created_after=datetime.fromisoformat("2026-01-01T00:00:00")
            )
        with pytest.raises(InvalidArgumentError, match="room_sid"):
            await client.gather(["RM1"], via="account", date_created_after=BEGINNING)
        assert sim.stats.requests == 0

    async def test_an_error_ends_it_and_leaves_nothing(self, sim: Simulator, client: RecordingsClient) -> None:
        before = asyncio.all_tasks()
        for nth in (1, 3):
            sim.inject(faults.Respond(200, b"{}", content_type="application/json"), times=1)
            for _ in range(nth - 1):
                sim.inject(faults.StallHeaders(0), times=1)
            with pytest.raises(DecodeError):
                await client.gather(sim.room_sids, via="account", date_created_after=BEGINNING, return_exceptions=True)
        sim.inject(faults.Respond(400), times=None)
        with pytest.raises(BadRequestError):
            await client.gather(sim.room_sids, via="account", date_created_after=BEGINNING)
        sim.clear_faults()
        stream = client.stream(sim.room_sids, via="account", date_created_after=BEGINNING)
        async for _ in stream:
            break
        await stream.aclose()
        left = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}
        assert not left
        assert client.limiter.in_flight == client.limiter.waiting == 0

    async def test_a_twentieth_of_the_requests(self) -> None:
        async with (
            Simulator(5000, 4, reads_per_second=None, concurrency_limit=None) as sim,
            sim.client(limiter=RateLimiter(40, None, None)) as client,
        ):
            count = 0
            async for _ in client.stream(sim.room_sids, via="account", date_created_after=BEGINNING):
                count += 1
            assert count == 20_000
            assert sim.stats.requests <= 5000 / 20


@pytest.mark.parametrize("date_created", ["2020-01-01T00:00:00Z", "2025-12-31T23:59:58Z", "2027-01-01T00:00:01Z"])
async def test_a_service_that_ignores_the_date_filters_is_found_out_by_its_first_page(date_created: str) -> None:
    outside = {"sid": "RT" + "1" * 32, "status": "completed", "date_created": date_created}
    page = {
        "recordings": 100 * [outside],
        "meta": {"key": "recordings", "next_page_url": "https://x.example/?PageToken=n"},
    }

    async def handle(_: Request) -> bytes:
        return response(json.dumps(page).encode())

    window = DateWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    async with raw_server(handle) as server, RecordingsClient(CREDENTIALS, base_url=server.url) as client:
        with pytest.raises(PaginationError, match="the service ignores the date filters: recording RT1"):
            async for _ in client.scan(window):
                raise AssertionError("nothing lies in the window")
        assert len(server.requests) == 1
