"""Lists of one room, over a mocked service."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
from aioresponses import CallbackResult
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from roomrec_async import (
    Bounds,
    BoundsExceededError,
    DecodeError,
    InvalidArgumentError,
    Pager,
    PaginationError,
    RateLimiter,
    Recording,
    RecordingsClient,
    RetryPolicy,
    ServerError,
    Timeout,
)
from roomrec_async._api.codec import DecodedPage, decode_recordings
from roomrec_async._http.request import Response
from roomrec_async._http.timers import Deadline
from roomrec_async._listing.pager import ListOperation, collect
from roomrec_async._listing.resume import Position
from roomrec_async._observe import Notifier
from roomrec_async.events import Activity, Operation, Request

from ...conftest import ACCOUNT_SID, BASE_URL, LIST_URL, ROOM_SID, body, page_url, record

DecodeStrictly = Callable[[bytes], DecodedPage[Recording] | None]


def sids(recordings: Any) -> list[int]:
    return [int(recording.sid[2:], 16) for recording in recordings]


def three_pages(service: Any) -> None:
    """Records 0 to 4 on pages of 2, 2 and 1."""
    service.get(
        page_url("PageSize=1000"), body=body([record(0), record(1)], following="PageSize=1000&Page=1&PageToken=b")
    )
    second = body([record(2), record(3)], following="PageSize=1000&Page=2&PageToken=c", number=1)
    service.get(page_url("PageSize=1000&Page=1&PageToken=b"), body=second, repeat=True)
    service.get(page_url("PageSize=1000&Page=2&PageToken=c"), body=body([record(4)], number=2), repeat=True)


def sent(service: Any) -> list[str]:
    """The queries of the requests that were sent, in no order of pages but that of aioresponses."""
    return [str(url.query_string) for (_, url), calls in service.requests.items() for _ in calls]


async def test_records_come_from_all_pages_in_order(service: Any, client: RecordingsClient) -> None:
    three_pages(service)
    assert sids([recording async for recording in client.recordings(ROOM_SID)]) == [0, 1, 2, 3, 4]


async def test_the_largest_page_is_asked_for_by_default_and_no_more_than_the_limit(
    service: Any, client: RecordingsClient
) -> None:
    service.get(page_url("PageSize=7"), body=body([record(n) for n in range(7)]))
    assert len(await client.recordings(ROOM_SID, limit=7).to_list()) == 7
    assert sent(service) == ["PageSize=7"]


async def test_nothing_is_sent_before_iteration_and_each_iteration_is_a_list_of_its_own(
    service: Any, client: RecordingsClient
) -> None:
    service.get(page_url("PageSize=1000"), body=body([record(0)]), repeat=True)
    pager = client.recordings(ROOM_SID)
    assert sent(service) == []
    assert sids(await pager.to_list()) == sids([recording async for recording in pager]) == [0]
    assert len(sent(service)) == 2


async def test_limit_ends_inside_a_page_and_fetches_no_page_for_nothing(service: Any, client: RecordingsClient) -> None:
    service.get(page_url("PageSize=2"), body=body([record(0), record(1)], following="PageSize=2&PageToken=b"))
    service.get(
        page_url("PageSize=2&PageToken=b"), body=body([record(2), record(3)], following="PageSize=2&PageToken=c")
    )
    assert sids([r async for r in client.recordings(ROOM_SID, page_size=2, limit=3)]) == [0, 1, 2]
    assert len(sent(service)) == 2


async def test_limit_zero_yields_nothing_and_sends_nothing(service: Any, client: RecordingsClient) -> None:
    assert await client.recordings(ROOM_SID, limit=0).to_list() == []
    assert sent(service) == []


async def test_first_asks_for_one_record(service: Any, client: RecordingsClient) -> None:
    service.get(page_url("PageSize=1"), body=body([record(5)], following="PageSize=1&PageToken=b"))
    first = await client.recordings(ROOM_SID).first()
    assert first is not None
    assert sids([first]) == [5]
    assert sent(service) == ["PageSize=1"]


async def test_first_within_a_limit_of_zero_is_none_and_sends_nothing(service: Any, client: RecordingsClient) -> None:
    assert await client.recordings(ROOM_SID, limit=0).first() is None
    assert sent(service) == []


async def test_first_of_an_empty_room_is_none(service: Any, client: RecordingsClient) -> None:
    service.get(page_url("PageSize=1"), body=body([]))
    assert await client.recordings(ROOM_SID).first() is None


async def test_empty_pages_in_the_middle_are_passed_over_without_recursion(
    service: Any, client: RecordingsClient
) -> None:
    count = 1200
    for number in range(count):
        query = f"PageSize=1000&PageToken={number}" if number else "PageSize=1000"
        service.get(page_url(query), body=body([], following=f"PageSize=1000&PageToken={number + 1}"))
    service.get(page_url(f"PageSize=1000&PageToken={count}"), body=body([record(9)]))
    assert sids(await client.recordings(ROOM_SID).to_list()) == [9]


@pytest.mark.parametrize("prefetch", [True, False])
async def test_a_repeated_next_page_is_an_error_after_its_records(
    service: Any, client: RecordingsClient, prefetch: bool
) -> None:
    service.get(page_url("PageSize=1000"), body=body([record(0)], following="PageToken=b"))
    service.get(page_url("PageToken=b"), body=body([record(1)], following="PageSize=1000"))
    seen = []
    with pytest.raises(PaginationError, match="already read"):
        async for recording in client.recordings(ROOM_SID, prefetch=prefetch):
            seen.append(recording)
    assert sids(seen) == [0, 1]
    assert len(sent(service)) == 2


async def test_the_next_page_is_asked_of_our_own_endpoint(service: Any, client: RecordingsClient) -> None:
    elsewhere = body([record(0)], following="PageToken=b").replace(b"https://video.twilio.com", b"http://evil.example")
    service.get(page_url("PageSize=1000"), body=elsewhere)
    service.get(page_url("PageToken=b"), body=body([record(1)]))
    assert sids(await client.recordings(ROOM_SID).to_list()) == [0, 1]
    assert {url.host for _, url in service.requests} == {"video.twilio.com"}


async def test_a_next_page_cannot_smuggle_a_second_request(service: Any, client: RecordingsClient) -> None:
    smuggled = body([], following="PageToken=b HTTP/1.1\r\nHost: evil\r\n\r\n")
    service.get(page_url("PageSize=1000"), body=smuggled)
    service.get(page_url("PageToken=b%20HTTP/1.1Host:%20evil"), body=body([record(1)]))
    assert sids(await client.recordings(ROOM_SID).to_list()) == [1]


@pytest.mark.parametrize(
    "unusable", ["https://[oops?PageToken=b", "https://video.twilio.com/v1", "x?PageToken=\\ud800"]
)
async def test_an_unusable_next_page_is_an_error_after_the_records(
    service: Any, client: RecordingsClient, unusable: str
) -> None:
    whole = body([record(0), record(1)], following="PageToken=b")
    whole = whole.replace(page_url("PageToken=b").encode(), unusable.encode())
    service.get(page_url("PageSize=1000"), body=whole)
    seen = []
    with pytest.raises(PaginationError, match="next_page_url is unusable") as caught:
        async for recording in client.recordings(ROOM_SID):
            seen.append(recording)
    assert sids(seen) == [0, 1]
    service.get(page_url("PageSize=1000"), body=body([record(0), record(1), record(2)]))
    assert sids(await client.recordings(ROOM_SID, resume=caught.value.resume_token).to_list()) == [2]


class TestPages:
    async def test_a_page_has_its_items_meta_headers_and_raw_body(self, service: Any, client: RecordingsClient) -> None:
        service.get(
            page_url("PageSize=1000"), body=body([record(0, novelty=[1])]), headers={"Twilio-Request-Id": "RQ1"}
        )
        (page,) = [page async for page in client.recordings(ROOM_SID).pages()]
        assert sids(page.items) == [0]
        assert page.meta.key == "recordings"
        assert page.headers["twilio-request-id"] == "RQ1"
        recordings = page.raw["recordings"]
        assert isinstance(recordings, list)
        assert recordings[0]["novelty"] == [1]

    async def test_each_token_goes_on_after_its_page(self, service: Any, client: RecordingsClient) -> None:
        three_pages(service)
        rests = []
        async for page in client.recordings(ROOM_SID).pages():
            rests.append(sids(await client.recordings(ROOM_SID, resume=page.resume_token).to_list()))
        assert rests == [[2, 3, 4], [4], []]

    async def test_a_token_of_a_page_that_the_limit_cut_counts_its_records(
        self, service: Any, client: RecordingsClient
    ) -> None:
        service.get(page_url("PageSize=1"), body=body([record(0), record(1), record(2)]), repeat=True)
        (page,) = [page async for page in client.recordings(ROOM_SID, limit=1).pages()]
        assert sids(page.items) == [0]
        assert sids(await client.recordings(ROOM_SID, resume=page.resume_token).to_list()) == [1, 2]


class TestResume:
    @pytest.mark.parametrize("prefetch", [True, False])
    async def test_an_error_in_mid_list_carries_a_token_for_the_rest(
        self, service: Any, client: RecordingsClient, prefetch: bool
    ) -> None:
        service.get(page_url("PageSize=1000"), body=body([record(0), record(1)], following="PageToken=b"))
        service.get(page_url("PageToken=b"), status=500, repeat=5)
        seen = []
        with pytest.raises(ServerError) as caught:
            async for recording in client.recordings(ROOM_SID, prefetch=prefetch):
                seen.append(recording)
        assert sids(seen) == [0, 1]
        assert caught.value.resume_token is not None
        service.get(page_url("PageToken=b"), body=body([record(2)]))
        rest = await client.recordings(ROOM_SID, resume=caught.value.resume_token).to_list()
        assert sids(rest) == [2]

    async def test_an_error_within_a_page_counts_the_records_before_it(
        self, service: Any, client: RecordingsClient
    ) -> None:
        service.get(page_url("PageSize=1000"), body=body([record(0), record(1), record(2, size="many")]))
        seen = []
        with pytest.raises(DecodeError, match="record 2, field 'size'") as caught:
            async for recording in client.recordings(ROOM_SID):
                seen.append(recording)
        assert sids(seen) == [0, 1]
        assert caught.value.url == page_url("PageSize=1000")
        mended = body([record(0), record(1), record(2), record(3)])
        service.get(page_url("PageSize=1000"), body=mended)
        assert sids(await client.recordings(ROOM_SID, resume=caught.value.resume_token).to_list()) == [2, 3]

    async def test_a_failed_first_page_resumes_at_the_beginning(self, service: Any, client: RecordingsClient) -> None:
        service.get(page_url("Status=completed&PageSize=1000"), status=500, repeat=5)
        with pytest.raises(ServerError) as caught:
            await client.recordings(ROOM_SID, status="completed").to_list()
        service.get(page_url("Status=completed&PageSize=1000"), body=body([record(0)]))
        token = caught.value.resume_token
        assert sids(await client.recordings(ROOM_SID, resume=token).to_list()) == [0]

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"status": "failed"}, "Status was completed, not failed"),
            ({"page_size": 3}, "PageSize was 1000, not 3"),
            ({"source_sid": "MT" + "0" * 32}, "SourceSid was not set"),
        ],
    )
    async def test_a_token_refuses_other_filters(
        self, service: Any, client: RecordingsClient, changed: Any, message: str
    ) -> None:
        service.get(page_url("Status=completed&PageSize=1000"), body=body([record(0)]))
        (page,) = [page async for page in client.recordings(ROOM_SID, status="completed").pages()]
        client.recordings(ROOM_SID, resume=page.resume_token, status="completed")
        with pytest.raises(InvalidArgumentError, match=message):
            client.recordings(ROOM_SID, resume=page.resume_token, **changed)

    async def test_a_token_refuses_another_room(self, service: Any, client: RecordingsClient) -> None:
        service.get(page_url("PageSize=1000"), body=body([record(0)]))
        (page,) = [page async for page in client.recordings(ROOM_SID).pages()]
        with pytest.raises(InvalidArgumentError, match="cannot go on in"):
            client.recordings("RM" + "2" * 32, resume=page.resume_token)

    @pytest.mark.parametrize("token", ["", "nonsense", "e30", "bnVsbA", "ü", 5])
    def test_what_is_no_token_is_refused(self, credentials: Any, token: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="not a token"):
            RecordingsClient(credentials).recordings(ROOM_SID, resume=token)

    async def test_a_forged_token_cannot_smuggle_a_second_request(self, service: Any, client: RecordingsClient) -> None:
        path = f"/v1/Rooms/{ROOM_SID}/Recordings"
        forged = Position(path, "PageSize=1000", "PageToken=b HTTP/1.1\r\nHost: evil\r\n\r\nü").token()
        service.get(page_url("PageToken=b%20HTTP/1.1%0D%0AHost:%20evil%0D%0A%0D%0A%C3%BC"), body=body([record(1)]))
        assert sids(await client.recordings(ROOM_SID, resume=forged).to_list()) == [1]

    def test_a_forged_token_cannot_skip_back(self, credentials: Any) -> None:
        path = f"/v1/Rooms/{ROOM_SID}/Recordings"
        with pytest.raises(InvalidArgumentError, match="skips back"):
            RecordingsClient(credentials).recordings(ROOM_SID, resume=Position(path, "", "", skip=-1).token())


class TestPrefetch:
    async def test_one_page_is_fetched_while_the_caller_works_on_the_present_one(
        self, service: Any, client: RecordingsClient
    ) -> None:
        three_pages(service)
        pages = client.recordings(ROOM_SID).pages()
        await anext(pages)
        await asyncio.sleep(0.05)
        assert len(sent(service)) == 2
        await pages.aclose()

    async def test_it_can_be_switched_off(self, service: Any, client: RecordingsClient) -> None:
        three_pages(service)
        pages = client.recordings(ROOM_SID, prefetch=False).pages()
        await anext(pages)
        await asyncio.sleep(0.05)
        assert len(sent(service)) == 1
        await pages.aclose()

    async def test_leaving_the_loop_leaves_no_task_behind(self, service: Any, client: RecordingsClient) -> None:
        service.get(page_url("PageSize=1000"), body=body([record(0)], following="PageToken=b"))
        service.get(page_url("PageToken=b"), callback=a_minute)
        async for _ in client.recordings(ROOM_SID):
            break
        async with asyncio.timeout(5):
            while asyncio.all_tasks() != {asyncio.current_task()}:
                await asyncio.sleep(0)


async def a_minute(*_: object, **__: object) -> None:
    await asyncio.sleep(60)


PREFETCH = pytest.mark.parametrize("prefetch", [True, False], ids=["prefetch", "one by one"])


def serve(service: Any, *pages: list[int], first: str = "PageSize=1000") -> None:
    """Pages of the given records; the second is at ``PageToken=1``, and so on."""
    queries = [first, *(f"PageToken={number}" for number in range(1, len(pages)))]
    for query, numbers, following in zip(queries, pages, [*queries[1:], None], strict=True):
        records = [record(number) for number in numbers]
        service.get(page_url(query), body=body(records, following=following), repeat=True)


async def until_error(recordings: Pager[Recording], error: type[Exception]) -> tuple[list[int], Any]:
    """The records that a loop sees before the error, and the error."""
    seen: list[Recording] = []
    with pytest.raises(error) as caught:
        async for recording in recordings:
            seen.append(recording)
    return sids(seen), caught.value


# How many are asked for


@pytest.mark.parametrize(("limit", "asked"), [(1, 1), (2, 2), (999, 999), (1000, 1000), (1001, 1000), (None, 1000)])
async def test_a_page_of_a_room_is_as_large_as_needed_and_no_larger_than_allowed(
    service: Any, client: RecordingsClient, limit: int | None, asked: int
) -> None:
    serve(service, [0], first=f"PageSize={asked}")
    assert sids(await client.recordings(ROOM_SID, limit=limit).to_list()) == [0]


@pytest.mark.parametrize(("limit", "asked"), [(1, 1), (99, 99), (100, 100), (101, 100), (None, 100)])
async def test_a_page_of_the_account_has_no_more_than_100(
    service: Any, client: RecordingsClient, limit: int | None, asked: int
) -> None:
    service.get(f"{BASE_URL}/v1/Recordings?PageSize={asked}", body=body([record(0)]))
    assert sids(await client.account_recordings(limit=limit).to_list()) == [0]


async def test_a_page_size_that_was_given_is_kept(service: Any, client: RecordingsClient) -> None:
    serve(service, [0, 1], first="PageSize=7")
    assert sids(await client.recordings(ROOM_SID, page_size=7, limit=1).to_list()) == [0]


async def test_the_first_of_a_list_with_a_limit_is_its_first(service: Any, client: RecordingsClient) -> None:
    serve(service, [3, 4], first="PageSize=1")
    first = await client.recordings(ROOM_SID, limit=5).first()
    assert first is not None
    assert sids([first]) == [3]


@PREFETCH
async def test_nothing_is_fetched_beyond_a_limit_that_ends_with_a_page(
    service: Any, client: RecordingsClient, prefetch: bool
) -> None:
    serve(service, [0, 1], [2, 3], [4], first="PageSize=4")
    seen = []
    async for recording in client.recordings(ROOM_SID, limit=4, prefetch=prefetch):
        seen.append(recording)
        await asyncio.sleep(0.01)
    assert sids(seen) == [0, 1, 2, 3]
    assert sorted(sent(service)) == ["PageSize=4", "PageToken=1"]


@PREFETCH
async def test_nothing_is_fetched_beyond_the_last_page(service: Any, client: RecordingsClient, prefetch: bool) -> None:
    serve(service, [0, 1], [2], [])
    pages = []
    async for page in client.recordings(ROOM_SID, prefetch=prefetch).pages():
        pages.append(sids(page.items))
        await asyncio.sleep(0.01)
    assert pages == [[0, 1], [2], []]
    assert sorted(sent(service)) == ["PageSize=1000", "PageToken=1", "PageToken=2"]


# Records that move while a list is read


@PREFETCH
@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([[0, 1, 2], [2, 3]], id="one was added"),
        pytest.param([[0, 1, 2], [1, 2, 3]], id="two were added"),
        pytest.param([[0, 1], [1, 2], [2, 3]], id="one was added twice"),
        pytest.param([[0, 1], [0, 1, 2], [3]], id="a page begins with all of the one before"),
        pytest.param([[0, 1], [1], [2, 3]], id="a page brings nothing new"),
        pytest.param([[0, 1], [], [2, 3]], id="an empty page between"),
    ],
)
async def test_records_that_move_to_the_next_page_are_given_once(
    service: Any, client: RecordingsClient, pages: list[list[int]], prefetch: bool
) -> None:
    serve(service, *pages)
    each_once = sorted({number for page in pages for number in page})
    recordings = client.recordings(ROOM_SID, prefetch=prefetch)
    assert sids([each async for each in recordings]) == each_once
    items = [sids(page.items) async for page in recordings.pages()]
    assert len(items) == len(pages), "an empty page is a page too"
    assert [number for numbers in items for number in numbers] == each_once


async def test_records_that_moved_do_not_count_for_the_limit(service: Any, client: RecordingsClient) -> None:
    serve(service, [0, 1, 2], [1, 2, 3, 4], first="PageSize=4")
    assert sids(await client.recordings(ROOM_SID, limit=4).to_list()) == [0, 1, 2, 3]


async def test_a_list_goes_on_behind_the_records_that_moved(service: Any, client: RecordingsClient) -> None:
    serve(service, [0, 1, 2], [1, 2, 3, 4, 5], first="PageSize=4")
    pages = [page async for page in client.recordings(ROOM_SID, limit=4).pages()]
    assert [sids(page.items) for page in pages] == [[0, 1, 2], [3]]
    assert sids(await client.recordings(ROOM_SID, resume=pages[-1].resume_token).to_list()) == [4, 5]


@pytest.mark.parametrize(
    ("pages", "given"),
    [
        pytest.param([[0, 1, 2], [1, 3]], [0, 1, 2, 3], id="followed by another than before"),
        pytest.param([[0, 1, 2], [0, 3]], [0, 1, 2, 3], id="from the beginning of the page before"),
        pytest.param([[0], [0], [1]], [0, 1], id="one a page"),
        pytest.param([[n] for n in range(12) for _ in range(2)], list(range(12)), id="every second page"),
        pytest.param([[0, 1], [2, 3], [0, 1], [2, 3], [4]], [0, 1, 2, 3, 4], id="by more than a page"),
        pytest.param([[0, 1, 2], [3, 2]], [0, 1, 2, 3, 2], id="in the middle of the page"),
    ],
)
async def test_what_is_only_like_a_move_loses_no_record(
    service: Any, client: RecordingsClient, pages: list[list[int]], given: list[int]
) -> None:
    serve(service, *pages)
    assert sids(await client.recordings(ROOM_SID).to_list()) == given


async def test_records_without_a_sid_are_never_taken_for_the_same(service: Any, client: RecordingsClient) -> None:
    anonymous = [record(0, sid=None), record(1, sid=None)]
    service.get(page_url("PageSize=1000"), body=body(anonymous, following="PageToken=1"))
    service.get(page_url("PageToken=1"), body=body(anonymous))
    sizes = [recording.size for recording in await client.recordings(ROOM_SID).to_list()]
    assert sizes == [1000, 1001, 1000, 1001]


# Lists that would never end


@PREFETCH
async def test_a_page_that_comes_again_and_again_is_an_error_and_its_records_are_given_once(
    service: Any, client: RecordingsClient, prefetch: bool
) -> None:
    serve(service, [0, 1], *(11 * [[2, 3]]), [4])
    seen, error = await until_error(client.recordings(ROOM_SID, prefetch=prefetch), PaginationError)
    assert seen == [0, 1, 2, 3]
    assert str(error) == f"{page_url('PageToken=11')}: 10 pages have brought nothing new"
    assert len(sent(service)) == 12
    assert sids(await client.recordings(ROOM_SID, resume=error.resume_token).to_list()) == [4]


async def test_pages_that_bring_nothing_new_are_no_error_where_the_list_ends(
    service: Any, client: RecordingsClient
) -> None:
    serve(service, [0, 1], *(10 * [[0, 1]]))
    assert sids(await client.recordings(ROOM_SID).to_list()) == [0, 1]
    assert len(sent(service)) == 11


@pytest.mark.parametrize("records", [200_000 * [{"sid": "RT"}], 5_000 * [{"sid": "RT", "duration": "10"}]])
async def test_many_times_the_records_of_a_page_are_not_decoded(
    service: Any, client: RecordingsClient, records: list[dict[str, object]]
) -> None:
    service.get(page_url("PageSize=50"), body=body(records))
    with pytest.raises(BoundsExceededError, match="records"):
        await client.recordings(ROOM_SID, page_size=50).to_list()


async def test_a_service_that_ignores_the_page_size_is_listed(service: Any, client: RecordingsClient) -> None:
    service.get(page_url("PageSize=5"), body=body([record(number) for number in range(1000)]))
    assert len(await client.recordings(ROOM_SID, page_size=5).to_list()) == 1000


@pytest.mark.parametrize(
    ("queries", "last"),
    [
        pytest.param(["PageToken=b", "PageToken=c", "PageToken=b"], "PageToken=c", id="the second page"),
        pytest.param(["PageToken=b", "PageToken=b"], "PageToken=b", id="itself"),
        pytest.param(["PageSize=1000&Page=0"], "PageSize=1000", id="the first, in other words"),
        pytest.param(["A=1&PageToken=b", "PageToken=b&A=1"], "A=1&PageToken=b", id="in another order"),
    ],
)
@PREFETCH
async def test_a_next_page_that_was_read_before_is_an_error_after_the_records(
    service: Any, client: RecordingsClient, queries: list[str], last: str, prefetch: bool
) -> None:
    for number, (query, following) in enumerate(zip(["PageSize=1000", *queries], queries, strict=False)):
        service.get(page_url(query), body=body([record(number)], following=following))
    seen, error = await until_error(client.recordings(ROOM_SID, prefetch=prefetch), PaginationError)
    assert seen == list(range(len(queries)))
    assert str(error) == f"{page_url(last)}: the next page is one that was already read"
    assert len(sent(service)) == len(queries)
    # Resumed once the service has recovered, the list goes on behind what was delivered.
    service.get(page_url(last), body=body([record(len(queries) - 1)], following="PageToken=new"))
    service.get(page_url("PageToken=new"), body=body([record(9)]))
    assert sids(await client.recordings(ROOM_SID, resume=error.resume_token).to_list()) == [9]


async def test_a_list_without_an_end_is_no_error_before_its_records_are_wanted(
    service: Any, client: RecordingsClient
) -> None:
    service.get(page_url("PageSize=2"), body=body([record(0), record(1)], following="PageSize=2"), repeat=True)
    assert sids(await client.recordings(ROOM_SID, limit=2).to_list()) == [0, 1]
    seen, _ = await until_error(client.recordings(ROOM_SID, page_size=2, limit=3), PaginationError)
    assert seen == [0, 1]


@pytest.fixture
async def bounded(credentials: Any) -> AsyncIterator[RecordingsClient]:
    """A client that reads no more than two pages of a list."""
    unlimited = RateLimiter(None, None, None)
    async with RecordingsClient(credentials, limiter=unlimited, bounds=Bounds(max_pages=2)) as client:
        yield client


@PREFETCH
async def test_a_list_of_more_pages_than_the_bound_is_an_error_after_the_records(
    service: Any, bounded: RecordingsClient, prefetch: bool
) -> None:
    serve(service, [0], [1], [2])
    seen, error = await until_error(bounded.recordings(ROOM_SID, prefetch=prefetch), BoundsExceededError)
    assert seen == [0, 1]
    assert str(error) == f"{page_url('PageToken=1')}: the list has more than 2 pages; see Bounds"
    assert sorted(sent(service)) == ["PageSize=1000", "PageToken=1"]
    assert sids(await bounded.recordings(ROOM_SID, resume=error.resume_token).to_list()) == [2]


async def test_a_list_of_as_many_pages_as_the_bound_is_whole(service: Any, bounded: RecordingsClient) -> None:
    serve(service, [0], [1])
    assert sids(await bounded.recordings(ROOM_SID).to_list()) == [0, 1]


async def test_a_limit_that_is_reached_within_the_bound_is_no_error(service: Any, bounded: RecordingsClient) -> None:
    serve(service, [0], [1], [2], first="PageSize=2")
    assert sids(await bounded.recordings(ROOM_SID, limit=2).to_list()) == [0, 1]


async def test_large_numbers_of_pages_can_be_read(service: Any, credentials: Any) -> None:
    def endless(url: URL, **_: object) -> CallbackResult:
        return CallbackResult(body=body([], following=f"PageToken={int(url.query.get('PageToken', 0)) + 1}"))

    service.get(re.compile("."), callback=endless, repeat=True)
    async with RecordingsClient(
        credentials, limiter=RateLimiter(None, None, None), bounds=Bounds(max_pages=1000)
    ) as many:
        with pytest.raises(BoundsExceededError, match="more than 1,000 pages"):
            await many.recordings(ROOM_SID).to_list()


# Lists that break off


async def test_a_bad_record_beyond_the_limit_is_not_told_of(service: Any, client: RecordingsClient) -> None:
    page = body([record(0), record(1), record(2, size="many")], following="PageToken=1")
    service.get(page_url("PageSize=2"), body=page, repeat=True)
    assert sids(await client.recordings(ROOM_SID, limit=2).to_list()) == [0, 1]
    service.get(page_url("PageSize=3"), body=page)
    seen, _ = await until_error(client.recordings(ROOM_SID, limit=3), DecodeError)
    assert seen == [0, 1]


@PREFETCH
async def test_nothing_is_fetched_after_a_bad_record(service: Any, client: RecordingsClient, prefetch: bool) -> None:
    page = body([record(0), record(1, size="many"), record(2)], following="PageToken=1")
    service.get(page_url("PageSize=1000"), body=page)
    seen = []
    with pytest.raises(DecodeError):
        async for recording in client.recordings(ROOM_SID, prefetch=prefetch):
            seen.append(recording)
            await asyncio.sleep(0.01)
    assert sids(seen) == [0]
    assert sent(service) == ["PageSize=1000"]


@PREFETCH
async def test_a_list_goes_on_past_records_that_cannot_be_read(
    service: Any, client: RecordingsClient, prefetch: bool
) -> None:
    bad = record(9, size="large")
    service.get(
        page_url("PageSize=1000"),
        body=body([bad, record(0), record(1), bad, bad], following="PageToken=1"),
        repeat=True,
    )
    service.get(page_url("PageToken=1"), body=body([record(2), record(3, sid=None), bad, record(4), bad]), repeat=True)
    seen: list[int | None] = []
    errors: list[DecodeError] = []
    token: str | None = None
    while True:
        try:
            async for recording in client.recordings(ROOM_SID, resume=token, prefetch=prefetch):
                seen.append(recording.sid and int(recording.sid[2:], 16))
            break
        except DecodeError as error:
            errors.append(error)
            token = error.skip_token
            with pytest.raises(DecodeError) as again:
                await client.recordings(ROOM_SID, resume=error.resume_token).to_list()
            assert (again.value.index, again.value.skip_token) == (error.index, token)
    assert seen == [0, 1, 2, None, 4]
    assert [(error.index, error.field) for error in errors] == [(index, "size") for index in (0, 3, 4, 2, 4)]
    assert pickle.loads(pickle.dumps(errors[0])).skip_token == errors[0].skip_token


@PREFETCH
async def test_a_page_that_is_none_names_its_url_and_can_be_read_again(
    service: Any, client: RecordingsClient, prefetch: bool
) -> None:
    service.get(page_url("PageSize=1000"), body=body([record(0)], following="PageToken=1"), repeat=True)
    service.get(page_url("PageToken=1"), body=b"<html>")
    seen, error = await until_error(client.recordings(ROOM_SID, prefetch=prefetch), DecodeError)
    assert seen == [0]
    assert error.url == page_url("PageToken=1")
    # No single record is to blame.
    assert error.skip_token is None
    service.get(page_url("PageToken=1"), body=body([record(1)]))
    assert sids(await client.recordings(ROOM_SID, resume=error.resume_token).to_list()) == [1]


async def test_a_list_that_is_resumed_within_a_page_and_breaks_off_again_goes_on_behind_both(
    service: Any, client: RecordingsClient
) -> None:
    whole = [record(number) for number in range(5)]
    service.get(page_url("PageSize=1000"), body=body([*whole[:2], record(2, size="many")]))
    _, error = await until_error(client.recordings(ROOM_SID), DecodeError)
    service.get(page_url("PageSize=1000"), body=body([*whole[:4], record(4, size="many")]))
    seen, error = await until_error(client.recordings(ROOM_SID, resume=error.resume_token), DecodeError)
    assert seen == [2, 3]
    service.get(page_url("PageSize=1000"), body=body(whole))
    assert sids(await client.recordings(ROOM_SID, resume=error.resume_token).to_list()) == [4]


async def test_a_next_page_without_a_query_is_told_with_the_page_that_named_it(
    service: Any, client: RecordingsClient
) -> None:
    page = body([record(0)], following="x").replace(b"?x", b"")
    service.get(page_url("PageSize=1000"), body=page)
    seen, error = await until_error(client.recordings(ROOM_SID), PaginationError)
    assert seen == [0]
    assert str(error) == (
        f"{page_url('PageSize=1000')}: the list cannot go on, its next_page_url is unusable: it has no query"
    )


async def test_records_before_an_error_are_kept_by_whoever_collects_them(
    service: Any, client: RecordingsClient
) -> None:
    service.get(page_url("PageSize=1000"), body=body([record(0), record(1)], following="PageToken=1"))
    service.get(page_url("PageToken=1"), status=500, repeat=True)
    kept: list[Recording] = []
    with pytest.raises(ServerError):
        await collect(client.recordings(ROOM_SID), kept)
    assert sids(kept) == [0, 1]


# What shows itself


async def test_a_page_says_which_it_is_and_how_much_it_has(service: Any, client: RecordingsClient) -> None:
    service.get(page_url("PageSize=1000"), body=body([record(0), record(1)], number=3))
    (page,) = [page async for page in client.recordings(ROOM_SID).pages()]
    assert repr(page) == "<Page 3 of recordings: 2 records>"


async def test_pages_can_be_kept_in_sets(service: Any, client: RecordingsClient) -> None:
    serve(service, [0], [1])
    pager = client.recordings(ROOM_SID)
    pages = [page async for page in pager.pages()] + [page async for page in pager.pages()]
    assert len({*pages, *pages}) == 4, "each is one of its own, also where its records are the same"


async def test_a_pager_says_how_to_use_it(client: RecordingsClient) -> None:
    assert repr(client.recordings(ROOM_SID)) == (
        f"<Pager of /v1/Rooms/{ROOM_SID}/Recordings: fetch it with 'async for' or 'await'>"
    )


async def test_all_records_as_dictionaries(service: Any, client: RecordingsClient) -> None:
    serve(service, [0], [1])
    rows = await client.recordings(ROOM_SID).to_rows()
    assert [(row["sid"], row["size"]) for row in rows] == [(f"RT{0:032x}", 1000), (f"RT{1:032x}", 1001)]


@PREFETCH
async def test_an_observer_is_told_how_many_records_were_delivered(
    service: Any, credentials: Any, prefetch: bool
) -> None:
    ended: list[Activity] = []

    class Ended:
        def started(self, activity: Activity) -> None: ...

        def ended(self, activity: Activity) -> None:
            ended.append(activity)

    serve(service, [0, 1], [1, 2, 3], first="PageSize=3")
    limiter, retry = RateLimiter(None, None, None), RetryPolicy(max_attempts=1)
    service.get(page_url("PageSize=9"), status=500)
    async with RecordingsClient(credentials, limiter=limiter, retry=retry, observers=[Ended()]) as client:
        await client.recordings(ROOM_SID, limit=3, prefetch=prefetch).to_list()
        with pytest.raises(ServerError):
            await client.recordings(ROOM_SID, page_size=9, prefetch=prefetch).to_list()
    operations = [activity for activity in ended if isinstance(activity, Operation)]
    path = f"/v1/Rooms/{ROOM_SID}/Recordings"
    assert [(each.name, each.path, each.records) for each in operations] == [
        ("recordings", path, 3),
        ("recordings", path, 0),
    ]
    requests = [activity for activity in ended if isinstance(activity, Request)]
    assert [each.operation for each in requests] == [operations[0], operations[0], operations[1]]
    assert operations[0].error is None
    assert isinstance(operations[1].error, ServerError)


# How long it may take


@attrs.define
class Patient:
    """Three pages of one record each in memory; it remembers by which deadline each was asked for."""

    notifier: Notifier = attrs.field(factory=Notifier)
    deadlines: list[Deadline] = attrs.field(factory=list)
    account_sid: str = ACCOUNT_SID

    async def request(
        self, path: str, query: str, deadline: Deadline, operation: Operation, decode: DecodeStrictly
    ) -> Response[DecodedPage[Recording]]:
        self.deadlines.append(deadline)
        await asyncio.sleep(0.001)
        number = len(self.deadlines)
        page = body([record(number)], following=f"PageToken={number}" if number < 3 else None)
        return Response(URL(LIST_URL), 200, page, CIMultiDictProxy(CIMultiDict()), decode(page))

    def list(self, *, prefetch: bool) -> Pager[Recording]:
        transport: Any = self
        timeout = Timeout(total=7)
        return Pager(ListOperation("recordings", transport, "/list", {}, decode_recordings, timeout, prefetch=prefetch))


@PREFETCH
async def test_each_page_of_a_loop_has_the_whole_time(prefetch: bool) -> None:
    patient = Patient()
    assert [each.size async for each in patient.list(prefetch=prefetch)] == [1001, 1002, 1003]
    assert {deadline.timeout.total for deadline in patient.deadlines} == {7}
    first, second, third = (deadline.at for deadline in patient.deadlines)
    assert first < second < third


@PREFETCH
@pytest.mark.parametrize("name", ["to_list", "to_rows", "first"])
async def test_a_list_that_is_read_at_once_has_one_time_for_all_its_pages(name: str, prefetch: bool) -> None:
    patient = Patient()
    await getattr(patient.list(prefetch=prefetch), name)()
    assert len(patient.deadlines) == (1 if name == "first" else 3)
    assert len({deadline.at for deadline in patient.deadlines}) == 1
    assert patient.deadlines[0].timeout.total == 7


# Records of another account


async def test_records_of_another_account_are_logged_once_and_shown_to_observers(
    service: Any, credentials: Any, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = "AC" + "f" * 32
    service.get(page_url("PageSize=1000"), body=body([record(0, account_sid=foreign)]), repeat=True)
    operations: list[Operation] = []

    class Operations:
        def started(self, activity: Activity) -> None: ...

        def ended(self, activity: Activity) -> None:
            if isinstance(activity, Operation):
                operations.append(activity)

    async with RecordingsClient(credentials, observers=[Operations()]) as client:
        for _ in range(3):
            await client.recordings(ROOM_SID).to_list()
    assert [operation.foreign_account_sid for operation in operations] == 3 * [foreign]
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert foreign in line.getMessage()


@pytest.mark.parametrize("account_sid", [None, "own", "OWN"])
async def test_records_of_the_own_account_or_of_none_are_nothing_special(
    service: Any, client: RecordingsClient, caplog: pytest.LogCaptureFixture, account_sid: str | None
) -> None:
    if account_sid is not None:
        account_sid = client._transport.account_sid if account_sid == "own" else client._transport.account_sid.upper()
    service.get(page_url("PageSize=1000"), body=body([record(0, account_sid=account_sid)]))
    await client.recordings(ROOM_SID).to_list()
    assert caplog.records == []
