"""Properties of scans of time windows: nothing is lost or repeated, in whatever order the service lists it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import cast

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from roomrec_async import DateWindow, PageMeta, Recording
from roomrec_async._listing.pager import Page, Pager
from roomrec_async._listing.resume import Position
from roomrec_async._listing.scan import scan, split_window

EXAMPLES = settings(max_examples=150, deadline=None)
START = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 5
NOTHING = Position("/", "", None)

instants = st.integers(0, 400).map(lambda seconds: START + timedelta(seconds=seconds))
bursts = st.tuples(instants, st.integers(1, 120)).map(lambda burst: [burst[0]] * burst[1])
recorded = st.lists(st.one_of(instants.map(lambda instant: [instant]), bursts), max_size=60).map(
    lambda groups: [instant for group in groups for instant in group]
)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@attrs.define
class Service:
    """Lists the recordings of a window in any order, a few on each page."""

    recordings: list[Recording]
    requests: int = 0

    def list_window(self, window: DateWindow) -> Pager[Recording]:
        return cast("Pager[Recording]", _Listed(self, window))


@attrs.frozen
class _Listed:
    service: Service
    window: DateWindow

    async def pages(self) -> AsyncGenerator[Page[Recording], None]:
        found = [
            recording
            for recording in self.service.recordings
            if recording.date_created is not None
            and recording.date_created >= self.window.after
            and (self.window.before is None or recording.date_created < self.window.before)
        ]
        for start in range(0, max(1, len(found)), PAGE):
            self.service.requests += 1
            following = "https://x/?more" if start + PAGE < len(found) else None
            meta = PageMeta(key="recordings", next_page_url=following)
            yield Page(found[start : start + PAGE], meta, CIMultiDictProxy(CIMultiDict()), b"", NOTHING)


def made(instants: list[datetime], order: str, shuffled: list[int]) -> list[Recording]:
    recordings = [Recording(sid=f"RT{number:032x}", date_created=each) for number, each in enumerate(instants)]
    if order == "shuffled":
        return [recordings[number] for number in shuffled]
    return sorted(recordings, key=lambda r: r.date_created or START, reverse=order == "newest first")


@EXAMPLES
@given(recorded, st.sampled_from(["oldest first", "newest first", "shuffled"]), st.integers(1, 8), st.data())
async def test_nothing_is_lost_or_repeated(
    instants: list[datetime], order: str, at_once: int, data: st.DataObject
) -> None:
    service = Service(made(instants, order, data.draw(st.permutations(range(len(instants))))))
    after = START + timedelta(seconds=data.draw(st.integers(-10, 300)), microseconds=data.draw(st.integers(0, 999_999)))
    before = data.draw(st.none() | st.integers(0, 500).map(lambda seconds: after + timedelta(seconds=seconds)))
    found: Counter[str | None] = Counter()
    async for recordings in scan(DateWindow(after, before), service.list_window, lambda: at_once, nullcontext()):
        found.update(recording.sid for recording in recordings)
    wanted = [
        recording.sid
        for recording in service.recordings
        if recording.date_created
        and recording.date_created >= after
        and (before is None or recording.date_created < before)
    ]
    assert found == Counter(wanted)


@EXAMPLES
@given(st.sampled_from(["oldest first", "newest first"]), st.integers(1, 3000))
async def test_splitting_costs_little_where_the_service_lists_by_date(order: str, count: int) -> None:
    instants = [START + timedelta(seconds=number * 100) for number in range(count)]
    service = Service(made(instants, order, []))
    window = DateWindow(START, START + timedelta(seconds=count * 100))
    found = [len(recordings) async for recordings in scan(window, service.list_window, lambda: 4, nullcontext())]
    assert sum(found) == count
    pages = -(-count // PAGE)
    assert service.requests <= pages * 1.25 + 2


@EXAMPLES
@given(
    st.datetimes(
        datetime.fromisoformat("0001-01-03T00:00:00"), datetime.fromisoformat("9999-01-01T00:00:00"), timezones=zones
    ),
    st.timedeltas(timedelta(0), timedelta(days=3000)),
    st.integers(1, 70),
    st.booleans(),
)
def test_the_parts_of_a_window_are_the_window(after: datetime, length: timedelta, parts: int, open_ended: bool) -> None:
    before = None if open_ended else min(after + length, datetime(9999, 12, 30, tzinfo=UTC))
    now = datetime.now(UTC).replace(microsecond=0)
    split = split_window(DateWindow(after, before), parts)
    assert 1 <= len(split) <= parts + open_ended
    assert (split[0].after, split[-1].before) == (after, before)
    # What is created from now on is a part of its own.
    assert not open_ended or split[-1].after >= max(after, now)
    for one, following in pairwise(split):
        assert one.before == following.after
        assert one.after < following.after
        assert following.after.microsecond == 0 or following.after == after
