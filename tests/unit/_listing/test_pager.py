"""Lists of one room, over a mocked service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roomrec_async import (
    DecodeError,
    InvalidArgumentError,
    PaginationError,
    RecordingsClient,
    ServerError,
)
from roomrec_async._listing.resume import Position

from ...conftest import ROOM_SID, body, page_url, record


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
