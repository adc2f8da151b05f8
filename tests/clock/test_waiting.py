"""Waiting until no recording of a room is being processed, on an event loop whose clock runs ahead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from aioresponses import CallbackResult

from roomrec_async import (
    InvalidArgumentError,
    NotFoundError,
    RecordingsClient,
    RecordingsNotReadyError,
    Records,
    RequestTimeoutError,
    Room,
    ServerError,
)

from ..conftest import LIST_URL, ROOM_SID, body, record

URL = re.compile(re.escape(LIST_URL))
UNKNOWN = (404, b'{"code": 20404, "message": "not found", "status": 404}')


def listing(*statuses: str) -> tuple[int, bytes]:
    return 200, body([record(number, status=status) for number, status in enumerate(statuses)])


class Service:
    """Answers each list with the next of its answers, the last one for ever; notes when it was asked."""

    def __init__(self, mocked: Any, answers: Sequence[tuple[int, bytes]]) -> None:
        self.asked: list[float] = []
        self._answers = list(answers)
        self._began = asyncio.get_running_loop().time()
        mocked.get(URL, callback=self._answer, repeat=True)

    async def _answer(self, url: object, **_: object) -> Any:
        self.asked.append(round(asyncio.get_running_loop().time() - self._began, 3))
        status, content = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not status:
            await asyncio.sleep(1000)
        return CallbackResult(status=status, body=content, content_type="application/json")


async def test_recordings_that_are_ready_are_returned_at_once(service: Any, client: RecordingsClient) -> None:
    asked = Service(service, [listing("completed", "failed")]).asked
    recordings = await client.wait_for_recordings(Room(sid=ROOM_SID))
    assert isinstance(recordings, Records)
    assert [recording.status for recording in recordings] == ["completed", "failed"]
    assert asked == [0]


async def test_it_lists_again_until_none_is_being_processed(service: Any, client: RecordingsClient) -> None:
    answers = [listing("completed", "processing")] * 7 + [listing("completed", "completed")]
    asked = Service(service, answers).asked
    recordings = await client.wait_for_recordings(ROOM_SID)
    assert [recording.status for recording in recordings] == ["completed", "completed"]
    assert asked == [0, 1, 3, 7, 15, 30, 45, 60]


@pytest.mark.parametrize("early", [listing(), UNKNOWN], ids=["no recordings", "unknown"])
async def test_a_room_that_has_just_ended_may_not_be_known_yet(
    service: Any, client: RecordingsClient, early: tuple[int, bytes]
) -> None:
    asked = Service(service, [early, early, listing("processing"), listing("completed")]).asked
    assert len(await client.wait_for_recordings(ROOM_SID)) == 1
    assert asked == [0, 1, 3, 7]


async def test_a_room_without_recordings_has_none_after_a_while(service: Any, client: RecordingsClient) -> None:
    asked = Service(service, [listing()]).asked
    assert await client.wait_for_recordings(ROOM_SID) == []
    assert asked == [0, 1, 3, 7, 15]


async def test_a_room_that_does_not_exist_is_an_error_after_a_while(service: Any, client: RecordingsClient) -> None:
    asked = Service(service, [UNKNOWN]).asked
    with pytest.raises(NotFoundError):
        await client.wait_for_recordings(ROOM_SID)
    assert asked == [0, 1, 3, 7, 15]


@pytest.mark.parametrize(("answer", "error"), [(listing(), None), (UNKNOWN, NotFoundError)], ids=["none", "unknown"])
async def test_a_short_time_is_not_exceeded_for_a_room_that_has_just_ended(
    service: Any, client: RecordingsClient, answer: tuple[int, bytes], error: type[Exception] | None
) -> None:
    asked = Service(service, [answer]).asked
    if error is None:
        assert await client.wait_for_recordings(ROOM_SID, timeout=2) == []
    else:
        with pytest.raises(error):
            await client.wait_for_recordings(ROOM_SID, timeout=2)
    assert asked == [0, 1, 2]


async def test_when_time_is_up_the_error_has_what_there_is(service: Any, client: RecordingsClient) -> None:
    asked = Service(service, [listing("completed", "processing", "failed")]).asked
    with pytest.raises(RecordingsNotReadyError) as caught:
        await client.wait_for_recordings(ROOM_SID, timeout=20)
    assert asked == [0, 1, 3, 7, 15, 20]
    assert [recording.status for recording in caught.value.recordings] == ["completed", "processing", "failed"]
    assert str(caught.value) == (
        f"room {ROOM_SID}: 1 of 3 recordings are still being processed after 20 s; error.recordings has what there is"
    )


async def test_it_waits_without_end_if_that_is_asked_for(service: Any, client: RecordingsClient) -> None:
    service_ = Service(service, [listing("processing")] * 1000 + [listing("completed")])
    assert len(await client.wait_for_recordings(ROOM_SID, timeout=None)) == 1
    assert len(service_.asked) == 1001


async def test_a_last_list_that_hangs_does_not_hide_what_there_is(service: Any, client: RecordingsClient) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    Service(service, [listing("processing"), (0, b"")])
    with pytest.raises(RecordingsNotReadyError) as caught:
        await client.wait_for_recordings(ROOM_SID, timeout=5)
    assert len(caught.value.recordings) == 1
    assert loop.time() - began == pytest.approx(11, abs=0.1)


async def test_a_service_that_never_answers_is_a_timeout(service: Any, client: RecordingsClient) -> None:
    Service(service, [(0, b"")])
    with pytest.raises(RequestTimeoutError):
        await client.wait_for_recordings(ROOM_SID, timeout=5)


async def test_an_error_of_the_service_ends_the_waiting(service: Any, client: RecordingsClient) -> None:
    Service(service, [listing("processing"), (500, b"{}")])
    with pytest.raises(ServerError):
        await client.wait_for_recordings(ROOM_SID)


async def test_it_can_be_cancelled_while_it_waits(service: Any, client: RecordingsClient) -> None:
    asked = Service(service, [listing("processing")]).asked
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(client.wait_for_recordings(ROOM_SID))
    await asyncio.sleep(5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(100)
    assert asked == [0, 1, 3]
    assert asyncio.all_tasks() == before
    assert client.limiter.in_flight == 0


@pytest.mark.parametrize("timeout", [0, -1, "600", float("nan"), True])
async def test_a_timeout_that_is_none_is_refused(client: RecordingsClient, timeout: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^timeout must be a positive number of seconds"):
        await client.wait_for_recordings(ROOM_SID, timeout=timeout)
