"""Public API as a type checker of its users sees it. Checked with mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import assert_type

from multidict import CIMultiDictProxy

from roomrec_async import (
    APIError,
    Codec,
    Credentials,
    DecodeError,
    Download,
    Limiter,
    MediaType,
    Page,
    PageMeta,
    Pager,
    Participant,
    RateLimiter,
    Recording,
    RecordingsClient,
    RecordingStatus,
    Records,
    RetryPolicy,
    Room,
    RoomRecError,
    RoomResult,
    RoomsFailedError,
    Timeout,
    TransportError,
    from_dict,
    to_dict,
)

ROOM = "RM" + "0" * 32


def clients() -> None:
    credentials = Credentials("AC" + "0" * 32, "token")
    assert_type(Credentials.api_key("AC" + "0" * 32, "SK" + "0" * 32, "secret"), Credentials)
    limiter = RateLimiter("auto", reads_per_second=None, writes_per_second=20)
    RateLimiter(max_concurrency=None)
    assert_type(limiter.max_concurrency, int | None)
    assert_type(Credentials.from_env(), Credentials)
    assert_type(credentials.username, str)
    RecordingsClient(credentials, limiter=limiter, retry=RetryPolicy(max_attempts=3), timeout=30)
    assert_type(RecordingsClient.from_env(timeout=Timeout(total=None, connect=5)), RecordingsClient)
    assert_type(RecordingsClient.from_env({"TWILIO_ACCOUNT_SID": "AC"}, limiter=limiter), RecordingsClient)
    RecordingsClient.from_env(token="x")  # type: ignore[call-arg]
    RecordingsClient("token")  # type: ignore[arg-type]
    RateLimiter("some")  # type: ignore[arg-type]


async def opened_and_closed() -> None:
    async with RecordingsClient.from_env() as client:
        assert_type(client, RecordingsClient)
        assert_type(client.limiter, Limiter)
    assert_type(await client.aclose(), None)


async def one_room(client: RecordingsClient) -> None:
    pager = client.recordings(ROOM, status=RecordingStatus.COMPLETED, date_created_after=datetime.now(UTC), limit=5)
    assert_type(pager, Pager[Recording])
    async with aclosing(aiter(pager)) as records:
        assert_type(records, AsyncGenerator[Recording, None])
    async for recording in pager:
        assert_type(recording, Recording)
        assert_type(recording.codec, Codec | None)
        assert_type(recording.type, MediaType | None)
        assert_type(recording.size, int | None)
        assert_type(recording.date_created, datetime | None)
        assert_type(recording.grouping_sids, Mapping[str, object] | None)
        assert_type(recording.media_url, str | None)
        assert_type(await client.delete(recording, account_sid="AC"), bool)
        assert_type(await client.delete(ROOM, "RT", timeout=5), bool)
        await client.delete(ROOM)  # type: ignore[call-overload]
        await client.delete(recording, "RT")  # type: ignore[call-overload]
        recording.size = 5  # type: ignore[misc]
    async for page in pager.pages():
        assert_type(page, Page[Recording])
        assert_type(page.items, list[Recording])
        assert_type(page.meta, PageMeta)
        assert_type(page.headers, CIMultiDictProxy[str])
        assert_type(page.raw, dict[str, object])
        assert_type(page.resume_token, str)
    assert_type(await pager.to_list(), Records[Recording])
    assert_type(await pager.first(), Recording | None)
    assert_type(await client.participants(ROOM, identity="alice").to_list(), Records[Participant])
    client.recordings(ROOM, page_size="50")  # type: ignore[arg-type]
    client.recordings(ROOM, pagesize=50)  # type: ignore[call-arg]


async def many_rooms(client: RecordingsClient, endless: AsyncIterator[str]) -> None:
    assert_type(await client.gather([ROOM], status="completed"), dict[str, Records[Recording]])
    assert_type(await client.gather([ROOM], return_exceptions=False), dict[str, Records[Recording]])
    assert_type(
        await client.gather(endless, return_exceptions=True, limit=5), dict[str, Records[Recording] | RoomRecError]
    )
    flag = bool(ROOM)
    assert_type(await client.gather([ROOM], return_exceptions=flag), dict[str, Records[Recording] | RoomRecError])
    await client.gather([ROOM], pagesize=5)  # type: ignore[call-overload]
    results = client.as_completed(endless, page_size=100)
    assert_type(results, AsyncGenerator[RoomResult, None])
    async for result in results:
        assert_type(result.room_sid, str)
        assert_type(result.recordings, list[Recording])
        assert_type(result.error, RoomRecError | None)

    def failed(result: RoomResult) -> None:
        str(result.error)

    async for recording in client.stream((ROOM for _ in range(5)), on_error=failed, timeout=Timeout()):
        assert_type(recording, Recording)
    assert_type(client.stream([ROOM]), AsyncGenerator[Recording, None])
    client.stream([ROOM], resume="token")  # type: ignore[call-arg]


async def rooms_to_recordings_to_deletions(client: RecordingsClient) -> None:
    async for room in client.rooms(status="completed"):
        assert_type(await client.wait_for_recordings(room, timeout=60), Records[Recording])
        async for recording in client.recordings(room):
            assert_type(await client.recording(recording), Recording)
            assert_type(await client.download(recording, "media/"), Download)
            assert_type(await client.download(room, "RT", "media/"), Download)
            assert_type(await client.download(ROOM, "RT", destination="media/", wait=5), Download)
            await client.download(room, "media/")  # type: ignore[call-overload]
            assert_type(await client.signed_media_url(recording), str)
            assert_type(await client.signed_media_url(room, "RT"), str)
            assert_type(await client.delete(recording), bool)
        await client.participants(room)
        await client.delete(room, "RT")
        await client.delete(room)  # type: ignore[call-overload]
    assert_type(await client.gather(client.rooms()), dict[str, Records[Recording]])
    assert_type(await client.gather(await client.rooms()), dict[str, Records[Recording]])
    client.stream(client.rooms())
    client.as_completed([ROOM, Room(sid=ROOM)])
    client.stream(client.recordings(ROOM))  # type: ignore[arg-type]


async def misused(client: RecordingsClient) -> None:
    pager = client.recordings(ROOM)
    assert_type(await pager, Records[Recording])
    len(pager)  # type: ignore[arg-type]
    pager[0]  # type: ignore[index]
    await anext(pager)  # type: ignore[call-overload]
    for _ in pager:  # type: ignore[attr-defined]
        pass
    async with pager:  # type: ignore[attr-defined]
        pass
    await client.stream([ROOM])  # type: ignore[misc]
    with client:  # type: ignore[attr-defined]
        pass


def errors(error: RoomRecError) -> None:
    assert_type(error.message, str)
    assert_type(error.resume_token, str | None)
    if isinstance(error, APIError):
        assert_type(error.status, int)
        assert_type(error.code, int | None)
        assert_type(error.detail, str)
        assert_type(error.more_info, str | None)
        assert_type(error.method, str)
        assert_type(error.url, str)
        assert_type(error.attempts, int)
        assert_type(error.request_id, str | None)
        assert_type(error.retry_after, float | None)
    if isinstance(error, TransportError):
        assert_type(error.message, str)
        assert_type(error.method, str)
        assert_type(error.url, str)
        assert_type(error.transient, bool)
        assert_type(error.attempts, int)
    if isinstance(error, DecodeError):
        assert_type(error.message, str)
        assert_type(error.url, str | None)
        assert_type(error.index, int | None)
        assert_type(error.field, str | None)
    if isinstance(error, RoomsFailedError):
        assert_type(error.errors, dict[str, RoomRecError])


def export(recording: Recording) -> None:
    assert_type(to_dict(recording), dict[str, object])
    assert_type(from_dict(Recording, {"sid": "RT1"}), Recording)
