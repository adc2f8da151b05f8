"""Properties of lists: with any pages and any interruptions, exactly their records in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from roomrec_async import Pager, Recording, ServerError, Timeout
from roomrec_async._api.codec import DecodedPage, decode_recordings
from roomrec_async._http.request import Response
from roomrec_async._http.timers import Deadline
from roomrec_async._listing.pager import ListOperation
from roomrec_async._observe import Notifier
from roomrec_async.events import Operation

from ..conftest import LIST_URL, body, record

DecodeStrictly = Callable[[bytes], DecodedPage[Recording] | None]
EXAMPLES = settings(deadline=None, max_examples=150)

PAGES = st.lists(st.integers(0, 4), min_size=1, max_size=7)
"""Number of records of each page."""


class Service:
    """Pages in memory, some of which fail the first time."""

    def __init__(self, sizes: list[int], failing: set[int]) -> None:
        self.records = [record(number) for number in range(sum(sizes))]
        self._sizes = sizes
        self._failing = set(failing)
        self.asked: list[int] = []
        self.notifier = Notifier()
        self.account_sid = record(0)["account_sid"]

    async def request(
        self, path: str, query: str, deadline: Deadline, operation: Operation, decode: DecodeStrictly
    ) -> Response[DecodedPage[Recording]]:
        number = int(query.rpartition("PageToken=")[2]) if "PageToken" in query else 0
        self.asked.append(number)
        await asyncio.sleep(0)
        if number in self._failing:
            self._failing.remove(number)
            raise ServerError(status=500, message="not now", method="GET", url=LIST_URL)
        begin = sum(self._sizes[:number])
        records = self.records[begin : begin + self._sizes[number]]
        following = f"PageToken={number + 1}" if number + 1 < len(self._sizes) else None
        page = body(records, following=following)
        return Response(URL(LIST_URL), 200, page, CIMultiDictProxy(CIMultiDict()), decode(page))

    def list(self, **options: Any) -> Pager[Recording]:
        transport: Any = self
        return Pager(ListOperation("recordings", transport, "/list", {}, decode_recordings, Timeout(), **options))

    def sids(self, limit: int | None = None) -> list[object]:
        return [record["sid"] for record in self.records[:limit]]


@EXAMPLES
@given(PAGES, st.none() | st.integers(0, 30), st.booleans(), st.booleans())
def test_any_pages_give_the_records_up_to_the_limit(
    sizes: list[int], limit: int | None, prefetch: bool, at_once: bool
) -> None:
    service = Service(sizes, set())

    async def listed() -> list[object]:
        pager = service.list(limit=limit, prefetch=prefetch)
        records = await pager.to_list() if at_once else [recording async for recording in pager]
        return [recording.sid for recording in records]

    assert asyncio.run(listed()) == service.sids(limit)
    assert len(service.asked) == len(set(service.asked)), "a page was asked for twice"


@EXAMPLES
@given(PAGES, st.sets(st.integers(0, 6)), st.none() | st.integers(1, 5), st.booleans())
def test_a_list_that_is_resumed_after_each_error_is_complete(
    sizes: list[int], failing: set[int], step: int | None, prefetch: bool
) -> None:
    """With a step, the list is also stopped and resumed after that number of records."""
    service = Service(sizes, failing)

    async def listed() -> list[object]:
        sids: list[object] = []
        token: str | None = None
        while True:
            before = len(sids)
            try:
                async for page in service.list(resume=token, limit=step, prefetch=prefetch).pages():
                    sids += [recording.sid for recording in page.items]
                    token = page.resume_token
            except ServerError as error:
                token = error.resume_token
                continue
            if step is None or len(sids) < before + step:
                return sids

    assert asyncio.run(listed()) == service.sids()


@EXAMPLES
@given(PAGES, st.booleans())
def test_each_pages_token_gives_exactly_the_rest(sizes: list[int], prefetch: bool) -> None:
    service = Service(sizes, set())

    async def check() -> None:
        count = 0
        async for page in service.list(prefetch=prefetch).pages():
            count += len(page.items)
            rest = [recording.sid async for recording in service.list(resume=page.resume_token)]
            assert rest == service.sids()[count:]

    asyncio.run(check())
