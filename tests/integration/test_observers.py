"""What observers and logs receive of what a client does."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roomrec_async import NotFoundError, Recording, RecordingsClient, RetryPolicy, ServerError
from roomrec_async.events import Activity, Attempt, Operation, Request
from roomrec_async.simulator import Simulator, faults

UNKNOWN_ROOM = "RM" + 32 * "f"


class Recorder:
    """Everything that began and ended, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Activity]] = []

    def started(self, activity: Activity) -> None:
        self.events.append(("started", activity))

    def ended(self, activity: Activity) -> None:
        self.events.append(("ended", activity))

    def of(self, kind: type) -> list[Activity]:
        """Those of a kind that are over."""
        return [activity for event, activity in self.events if event == "ended" and isinstance(activity, kind)]

    @property
    def operations(self) -> list[Operation]:
        return [activity for activity in self.of(Operation) if isinstance(activity, Operation)]

    @property
    def attempts(self) -> list[Attempt]:
        return [activity for activity in self.of(Attempt) if isinstance(activity, Attempt)]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(3, 7, seed=3, media_size=200_000) as simulator:
        yield simulator


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def client(sim: Simulator, recorder: Recorder) -> AsyncIterator[RecordingsClient]:
    async with RecordingsClient(
        sim.credentials, base_url=sim.base_url, retry=RetryPolicy(base_delay=0.001), observers=[recorder]
    ) as client:
        yield client


class TestObservers:
    async def test_a_list_is_an_operation_with_a_request_for_each_page(
        self, client: RecordingsClient, sim: Simulator, recorder: Recorder
    ) -> None:
        room_sid = sim.room_sids[0]
        recordings = await client.recordings(room_sid, page_size=3).to_list()
        (operation,) = recorder.operations
        assert (operation.name, operation.room_sid, operation.error) == ("recordings", room_sid, None)
        assert operation.records == len(recordings) > 3
        pages = -(-len(recordings) // 3)
        assert len(recorder.of(Request)) == len(recorder.attempts) == pages
        assert {attempt.status for attempt in recorder.attempts} == {200}
        assert recorder.events[0] == ("started", operation)
        assert recorder.events[-1] == ("ended", operation)

    async def test_a_try_that_failed_is_reported_with_its_error(
        self, client: RecordingsClient, sim: Simulator, recorder: Recorder
    ) -> None:
        sim.inject(faults.Respond(503))
        sim.inject(faults.ResetMidBody(after=100))
        await client.recordings(sim.room_sids[0]).to_list()
        (request,) = recorder.of(Request)
        assert [(attempt.number, attempt.status) for attempt in recorder.attempts] == [(1, 503), (2, None), (3, 200)]
        assert isinstance(recorder.attempts[0].error, ServerError)
        assert request.error is None
        assert all(attempt.request is request for attempt in recorder.attempts)

    async def test_what_ends_in_an_error_is_reported_with_it(
        self, client: RecordingsClient, recorder: Recorder
    ) -> None:
        with pytest.raises(NotFoundError) as caught:
            await client.recordings(UNKNOWN_ROOM).to_list()
        assert [activity.error for _, activity in recorder.events[-3:]] == 3 * [caught.value]

    async def test_a_request_for_media_that_fails_is_reported_with_its_error(
        self, client: RecordingsClient, sim: Simulator, recorder: Recorder, tmp_path: Path
    ) -> None:
        record = next(sim.recordings(sim.room_sids[0], "completed"))
        sim.store.inject(faults.Respond(503))
        await client.download(Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0]), tmp_path)
        located, failed, succeeded = recorder.of(Request)
        assert isinstance(failed.error, ServerError)
        assert located.error is succeeded.error is None

    async def test_each_method_is_an_operation(
        self, client: RecordingsClient, sim: Simulator, recorder: Recorder, tmp_path: Path
    ) -> None:
        record = next(sim.recordings(sim.room_sids[0], "completed"))
        recording = Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0])
        await client.rooms(status="completed").to_list()
        await client.account_recordings(limit=1).to_list()
        await client.recording(sim.room_sids[0], str(record["sid"]))
        await client.signed_media_url(recording)
        await client.download(recording, tmp_path)
        await client.delete(sim.room_sids[0], str(record["sid"]))
        await client.gather(sim.room_sids)
        names = [
            "rooms",
            "account_recordings",
            "recording",
            "signed_media_url",
            "download",
            "delete",
            *3 * ["recordings"],
        ]
        assert [operation.name for operation in recorder.operations] == names
        assert {operation.recording_sid for operation in recorder.operations[2:6]} == {record["sid"]}
        assert recorder.operations[4].bytes == record["size"]

    async def test_urls_are_reported_without_their_queries(
        self, client: RecordingsClient, sim: Simulator, recorder: Recorder, tmp_path: Path
    ) -> None:
        record = next(sim.recordings(sim.room_sids[0], "completed"))
        await client.download(Recording(sid=str(record["sid"]), room_sid=sim.room_sids[0]), tmp_path)
        await client.recordings(sim.room_sids[0], page_size=2).to_list()
        assert all(not attempt.request.url.query_string for attempt in recorder.attempts)
        of_the_store = [attempt for attempt in recorder.attempts if attempt.waited is None]
        assert [str(attempt.request.url.origin()) for attempt in of_the_store] == [sim.store.base_url]

    async def test_whatever_begins_ends(self, client: RecordingsClient, sim: Simulator, recorder: Recorder) -> None:
        async for _ in client.recordings(sim.room_sids[0], page_size=1):
            break
        task = asyncio.create_task(client.gather(sim.room_sids, page_size=1))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        for _ in range(5):
            await asyncio.sleep(0)
        started = [activity for event, activity in recorder.events if event == "started"]
        assert len(started) == len(recorder.events) / 2
        assert {id(activity) for activity in started} == {id(activity) for activity in recorder.of(object)}
        assert recorder.operations[0].error is None
        assert {type(operation.error) for operation in recorder.operations[1:]} <= {asyncio.CancelledError, type(None)}

    async def test_waiting_for_the_limiter_is_reported(self, sim: Simulator, recorder: Recorder) -> None:
        async with (
            sim.client(limiter=None) as other,
            RecordingsClient(
                sim.credentials, base_url=sim.base_url, limiter=other.limiter, observers=[recorder]
            ) as client,
        ):
            async with asyncio.TaskGroup() as group:
                for room_sid in 8 * [sim.room_sids[0]]:
                    group.create_task(client.recordings(room_sid).to_list())
        assert 0 < (recorder.attempts[-1].waited or 0) < (recorder.attempts[-1].request.seconds or 0)

    @pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError()], ids=repr)
    async def test_an_observer_that_fails_is_logged_and_harms_nobody(
        self, sim: Simulator, recorder: Recorder, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        class Broken:
            def started(self, activity: Activity) -> None:
                raise error

            def ended(self, activity: Activity) -> None:
                raise error

        async with RecordingsClient(sim.credentials, base_url=sim.base_url, observers=[Broken(), recorder]) as client:
            assert await client.recordings(sim.room_sids[0]).to_list()
        assert len(recorder.operations) == 1
        assert {record.name for record in caplog.records} == {"roomrec_async"}
        assert len(caplog.records) == len(recorder.events)


class TestLogs:
    async def test_at_debug_there_is_a_line_for_each_attempt_and_operation(
        self, client: RecordingsClient, sim: Simulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "roomrec_async")
        await client.recordings(sim.room_sids[0]).to_list()
        attempt, operation = caplog.records
        assert attempt.getMessage().startswith(
            f"GET {sim.base_url}/v1/Rooms/{sim.room_sids[0]}/Recordings: attempt 1, 200 in 0."
        )
        assert vars(attempt)["http_status"] == 200
        assert vars(operation)["roomrec_room_sid"] == sim.room_sids[0]
        assert f": {vars(operation)['roomrec_records']} records, 0 bytes, in 0." in operation.getMessage()

    async def test_at_info_there_is_a_line_for_each_retry_and_pause(
        self, client: RecordingsClient, sim: Simulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "roomrec_async")
        sim.inject(faults.Respond(503))
        sim.inject(faults.Respond(429, headers={"Retry-After": "0.01"}))
        await client.recordings(sim.room_sids[0]).to_list()
        lines = [record.getMessage() for record in caplog.records]
        assert re.fullmatch(r"retrying in 0\.00 s \(attempt 2 of 5\): GET .* answered HTTP 503: .*", lines[0])
        assert lines[1] == "rate limited: pausing all requests for 0.0 s (Retry-After)"
        assert lines[2].startswith("retrying in ")
        assert len(lines) == 3

    def test_a_program_without_logging_prints_nothing(self, tmp_path: Path) -> None:
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("7\n", "")


_PROGRAM = """
import asyncio
from roomrec_async.simulator import Simulator, faults

async def main():
    async with Simulator(1, 7) as simulator, simulator.client() as client:
        simulator.inject(faults.Respond(503))
        print(len(await client.recordings(simulator.room_sids[0]).to_list()))

asyncio.run(main())
"""
