"""Tests that run the examples in separate processes, against the simulator, and the bots against fakes of the chats."""

from __future__ import annotations

import asyncio
import base64
import hmac
import importlib.util
import json
import os
import random
import re
import signal
import socket
import sys
import warnings
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from openapi_spec_validator import validate as validate_openapi

from roomrec_async import (
    AuthenticationError,
    ConnectionFailedError,
    DecodeError,
    InvalidArgumentError,
    NotFoundError,
    Recording,
    RecordingsClient,
    RequestTimeoutError,
    RoomRecError,
    ServerError,
    from_dict,
    to_dict,
    to_json_lines,
)
from roomrec_async.simulator import Simulator, faults

EXAMPLES = Path(__file__).parents[2] / "examples"
UNKNOWN = "RM" + "9" * 32


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=20, recordings_per_room=(0, 120), reads_per_second=None, concurrency_limit=None
    ) as simulator:
        yield simulator


def truth(sim: Simulator, room_sid: str, status: str | None = None) -> list[Recording]:
    """Return the recordings that a complete list of a room must have."""
    return [from_dict(Recording, record) for record in sim.recordings(room_sid, status)]


def parse_lines(lines: bytes) -> list[Recording]:
    return [from_dict(Recording, json.loads(line)) for line in lines.splitlines()]


def import_example(example: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{example}", EXAMPLES / f"{example}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def spoil_an_offset(body: bytes) -> bytes:
    return body.replace(b'"offset":', b'"offset":"soon","was":', 1)


async def run(sim: Simulator, example: str, *arguments: str, **environment: str) -> Process:
    """Start an example whose environment leads to the simulator."""
    credentials = {
        "TWILIO_ACCOUNT_SID": sim.credentials.username,
        "TWILIO_AUTH_TOKEN": sim.credentials.password,
        "TWILIO_API_KEY": "",
        "TWILIO_API_SECRET": "",
        "ROOMREC_BASE_URL": sim.base_url,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / example),
        *arguments,
        env={**os.environ, **credentials, **environment},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )


async def stop(process: Process) -> None:
    """Stop a process gracefully."""
    process.send_signal(signal.SIGTERM)
    await wait_for_clean_exit(process)


async def wait_for_clean_exit(process: Process) -> None:
    """Wait for the end of a process; fail if it leaked something or printed a traceback."""
    _, stderr = await process.communicate()
    for complaint in (b"Traceback", b"Warning", b"Unclosed", b"never retrieved"):
        assert complaint not in stderr, stderr.decode()


def errors() -> list[tuple[RoomRecError, int]]:
    """Return errors, each with the HTTP status that the web app must answer."""
    api: Any = {"message": "no", "method": "GET", "url": "https://video.twilio.com/v1/Rooms"}
    transport: Any = {"method": "GET", "url": "https://video.twilio.com/v1/Rooms"}
    return [
        (InvalidArgumentError("no"), 400),
        (NotFoundError(status=404, **api), 404),
        (AuthenticationError(status=401, **api), 502),
        (ServerError(status=503, **api), 502),
        (ConnectionFailedError("reset", **transport), 502),
        (RequestTimeoutError("late", **transport), 504),
        (DecodeError("odd"), 502),
    ]


async def get_json(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as response:
        assert response.status == 200
        return await response.json()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, which another process brings about."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


class Held:
    """A fault that holds a response back until the test releases it."""

    def __init__(self) -> None:
        # Set when a request has arrived.
        self.arrived = asyncio.Event()
        # Set by the test, to let the response go.
        self.released = asyncio.Event()

    async def handle(self, exchange: faults.Exchange, /) -> web.Response:
        self.arrived.set()
        await self.released.wait()
        return await exchange.get_response()


def is_listening(port: int) -> bool:
    """Return True if a local server accepts connections on the port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


async def server_url(process: Process) -> str:
    """Wait until uvicorn reports the URL of a web app, and return it."""
    assert process.stderr is not None
    log = ""
    while (running := re.search(r"running on (http://\S+)", log)) is None:
        line = await process.stderr.readline()
        assert line, log
        log += line.decode()
    return running.group(1)


class TestWebhooks:
    PUBLIC_URL = "https://app.example/recordings"

    def signature(self, sim: Simulator, text: str) -> dict[str, str]:
        key = sim.credentials.password
        signature = base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha1")).decode()
        return {"X-Twilio-Signature": signature}

    def signed(self, sim: Simulator, **fields: str) -> dict[str, Any]:
        """Return the arguments of a POST request with the fields and the service's signature."""
        text = self.PUBLIC_URL + "".join(name + fields[name] for name in sorted(fields))
        return {"data": fields, "headers": self.signature(sim, text)}

    async def test_a_room_that_has_ended_is_reported_by_get_too(self, tmp_path: Path) -> None:
        async with Simulator(rooms=1, recordings_per_room=4, seed=3) as sim:
            room = sim.room_sids[0]
            query = f"?RoomSid={room}&StatusCallbackEvent=room-ended"
            process = await run(sim, "webhooks.py", PUBLIC_URL=self.PUBLIC_URL, MEDIA_DIRECTORY=str(tmp_path), PORT="0")
            try:
                url = f"{await server_url(process)}/recordings{query}"
                headers = self.signature(sim, self.PUBLIC_URL + query)
                async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
                    assert response.status == 204
                await until(lambda: sim.stats.requests == 1)
                assert room in str(sim.requests[0])
            finally:
                await stop(process)

    async def test_a_completed_recording_is_downloaded_and_a_forged_callback_is_rejected(self, tmp_path: Path) -> None:
        async with Simulator(rooms=3, recordings_per_room=4, seed=3, media_size=20_000) as sim:
            recording = next(record for sid in sim.room_sids for record in sim.recordings(sid, "completed"))
            truth = b"".join(sim.media(str(recording["sid"])))
            process = await run(sim, "webhooks.py", PUBLIC_URL=self.PUBLIC_URL, MEDIA_DIRECTORY=str(tmp_path), PORT="0")
            try:
                url = f"{await server_url(process)}/recordings"
                event = {
                    "StatusCallbackEvent": "recording-completed",
                    "RecordingSid": str(recording["sid"]),
                    "RoomSid": str(recording["room_sid"]),
                    "Container": str(recording["container_format"]),
                    "Size": "20000",
                }
                sim.inject(faults.Respond(404), path_contains="/Media")
                async with aiohttp.ClientSession() as session:
                    for request, status in (
                        (self.signed(sim, **event), 204),
                        (self.signed(sim, **event, Duration="soon"), 400),
                        ({"data": event, "headers": {"X-Twilio-Signature": "forged"}}, 403),
                        ({"data": event}, 403),
                        (self.signed(sim, StatusCallbackEvent="recording-started"), 204),
                    ):
                        async with session.post(url, **request) as response:
                            assert response.status == status
                    file = tmp_path / f"{recording['sid']}.{recording['container_format']}"
                    await until(file.exists)
                    assert file.read_bytes() == truth
                    assert sim.store.stats.requests == 1
            finally:
                await stop(process)

    async def test_without_its_public_url_it_says_so(self, sim: Simulator) -> None:
        process = await run(sim, "webhooks.py")
        _, stderr = await process.communicate()
        assert process.returncode == 1
        assert stderr.decode().startswith("PUBLIC_URL is not set")


class TestWebApp:
    @asynccontextmanager
    async def serving(self, sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
        process = await run(sim, "web_app.py", "--port", "0")
        url = await server_url(process)
        try:
            async with aiohttp.ClientSession(url) as session:
                yield session
        finally:
            await stop(process)

    async def test_it_streams_rooms(self) -> None:
        async with Simulator(rooms=3, recordings_per_room=(1200, 2200)) as sim, self.serving(sim) as session:
            for room_sid in sim.room_sids:
                async with session.get(f"/rooms/{room_sid}/recordings") as response:
                    assert response.status == 200
                    assert response.content_type == "application/x-ndjson"
                    assert parse_lines(await response.read()) == truth(sim, room_sid)
            async with session.get(f"/rooms/{room_sid}/recordings?status=completed") as response:
                assert parse_lines(await response.read()) == truth(sim, room_sid, "completed")

    async def test_a_bad_request_has_its_status(self, sim: Simulator) -> None:
        async with self.serving(sim) as session:
            for path, status, message in (
                (f"/rooms/{UNKNOWN}/recordings", 404, "There is no such room"),
                ("/rooms/nonsense/recordings", 400, "room_sid must be"),
                (f"/rooms/{UNKNOWN}/recordings?status=strange", 400, "status must be"),
                (f"/rooms/{UNKNOWN}/recordings?resume=forged", 400, "resume is not a token"),
            ):
                async with session.get(path) as response:
                    assert response.status == status
                    assert message in (await response.json())["error"]
            assert sim.stats.requests == 1

    async def test_an_error_of_the_service_is_a_bad_gateway(self, sim: Simulator) -> None:
        sim.inject(faults.Respond(403, b'{"code": 20403, "message": "suspended"}', content_type="application/json"))
        async with self.serving(sim) as session:
            path = f"/rooms/{sim.room_sids[0]}/recordings"
            async with session.get(path) as response:
                assert response.status == 502
                assert (await response.json())["error"] == "The account is not allowed to do this"
            async with session.get(path) as response:
                assert response.status == 200

    @pytest.mark.parametrize(("error", "status"), errors(), ids=lambda value: type(value).__name__)
    async def test_each_error_has_its_status(self, error: RoomRecError, status: int) -> None:
        response = await import_example("web_app").error_response(None, error)
        assert response.status_code == status
        assert json.loads(response.body) == {"error": error.message}

    async def test_an_error_in_mid_stream_has_a_token_to_resume_from(self) -> None:
        async with Simulator(rooms=1, recordings_per_room=2500, reads_per_second=None) as large:
            room = large.room_sids[0]
            large.inject(faults.Replace(spoil_an_offset), path_contains="Page=1")
            async with self.serving(large) as session:
                async with session.get(f"/rooms/{room}/recordings") as response:
                    *before, last = (await response.read()).splitlines(keepends=True)
                error = json.loads(last)
                assert "record 0" in error["error"]
                async with session.get(f"/rooms/{room}/recordings", params={"resume": error["resume"]}) as response:
                    rest = await response.read()
            assert len(before) == 1000
            assert parse_lines(b"".join(before) + rest) == truth(large, room)

    @pytest.mark.parametrize("lines_read", [0, 1, 1500])
    async def test_a_browser_that_disconnects_ends_the_fetching(self, lines_read: int) -> None:
        async with Simulator(rooms=1, recordings_per_room=100_000, reads_per_second=None) as endless:
            # With 0 lines read, the first response must still be under way when the browser disconnects.
            endless.latency = 0.05
            async with self.serving(endless) as session:
                asking = asyncio.create_task(session.get(f"/rooms/{endless.room_sids[0]}/recordings"))
                await until(lambda: endless.stats.requests)
                if lines_read:
                    response = await asking
                    for _ in range(lines_read):
                        await response.content.readline()
                    response.close()
                else:
                    asking.cancel()
                await self.wait_until_idle(session, endless)
                requested = self.pages_requested(endless)
                await self.wait_until_idle(session, endless)
                assert self.pages_requested(endless) == requested
                # Of 100 pages: those that were read, and what fits into the buffers on the way.
                assert requested < 50

    async def wait_until_idle(self, session: aiohttp.ClientSession, sim: Simulator) -> None:
        """Send other requests to the app for longer than a page takes, and wait until the service is idle."""
        for _ in range(5):
            async with session.get(f"/rooms/{UNKNOWN}/recordings") as response:
                assert response.status == 404
        await until(lambda: not sim.stats.in_flight)

    def pages_requested(self, sim: Simulator) -> int:
        return sum(sim.room_sids[0] in request.path for request in sim.requests)


class TestAiohttpApp:
    async def test_it_reports_rooms_and_errors_and_stops_when_a_browser_disconnects(self, sim: Simulator) -> None:
        port = unused_port()
        process = await run(sim, "aiohttp_app.py", "--port", str(port))
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                await until(lambda: is_listening(port))
                recordings = truth(sim, sim.room_sids[0], "completed")
                async with session.get(f"/rooms/{sim.room_sids[0]}") as response:
                    assert await response.json() == {
                        "recordings": len(recordings),
                        "minutes": sum(recording.duration or 0 for recording in recordings) / 60,
                        "bytes": sum(recording.size or 0 for recording in recordings),
                    }
                for path, status in (("/rooms/nonsense", 400), (f"/rooms/{UNKNOWN}", 404)):
                    async with session.get(path) as response:
                        assert response.status == status
                sim.inject(faults.Respond(403))
                async with session.get(f"/rooms/{sim.room_sids[0]}") as response:
                    assert response.status == 502
                sim.latency = 60
                asking = asyncio.create_task(session.get(f"/rooms/{sim.room_sids[0]}"))
                await until(lambda: sim.stats.in_flight)
                asking.cancel()
                await until(lambda: not sim.stats.in_flight)
        finally:
            await stop(process)


class TestFastAPI:
    @asynccontextmanager
    async def serving(self, sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
        port = unused_port()
        process = await run(sim, "fastapi_app.py", PORT=str(port))
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                await until(lambda: is_listening(port))
                yield session
        finally:
            await stop(process)

    async def test_it_answers_with_typed_recordings(self, sim: Simulator) -> None:
        async with self.serving(sim) as session:
            for room_sid in sim.room_sids:
                got = await get_json(session, f"/rooms/{room_sid}/recordings?limit=1000")
                assert got == [to_dict(each) for each in truth(sim, room_sid)]

    async def test_its_document_describes_its_answers(self, sim: Simulator) -> None:
        room_sid = max(sim.room_sids, key=lambda room: len(truth(sim, room)))
        path = f"/rooms/{room_sid}/recordings"
        async with self.serving(sim) as session:
            document = await get_json(session, "/openapi.json")
            many = await get_json(session, path)
            one = await get_json(session, f"{path}/{many[0]['sid']}")
        validate_openapi(document)
        for route, answer in (("/rooms/{room_sid}/recordings", many), ("/rooms/{room_sid}/recordings/{sid}", one)):
            schema = document["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            assert "#/components/schemas/Recording" in (schema.get("$ref"), schema.get("items", {}).get("$ref"))
            jsonschema.validate(answer, {**schema, "components": document["components"]})

    async def test_each_error_has_its_status(self, sim: Simulator) -> None:
        room_sid = sim.room_sids[0]
        sid = truth(sim, room_sid)[0].sid
        async with self.serving(sim) as session:
            for path, status in (
                (f"/rooms/{room_sid}/recordings/{sid}", 200),
                (f"/rooms/{UNKNOWN}/recordings", 404),
                ("/rooms/nonsense/recordings", 400),
                (f"/rooms/{room_sid}/recordings?limit=0", 422),
            ):
                async with session.get(path) as response:
                    assert response.status == status
            sim.inject(faults.Respond(403))
            async with session.get(f"/rooms/{room_sid}/recordings") as response:
                assert response.status == 502
                assert await response.json() == {"detail": "The account is not allowed to do this"}

    def test_each_error_of_the_package_has_a_status(self) -> None:
        statuses = import_example("fastapi_app").STATUSES
        for error, status in errors():
            assert statuses.get(type(error), 502) == status


class Interaction:
    """What a command of a Discord bot sees of Discord."""

    def __init__(self, recordings_client: RecordingsClient) -> None:
        self.client = SimpleNamespace(recordings_client=recordings_client)
        self.response = SimpleNamespace(defer=self._defer)
        self.followup = SimpleNamespace(send=self._send)
        self.said: list[str] = []

    async def _defer(self, *, thinking: bool) -> None:
        assert thinking
        self.said.append("thinking")

    async def _send(self, text: str, *, allowed_mentions: object) -> None:
        assert allowed_mentions is not None
        self.said.append(text)


async def test_a_discord_bot_answers(sim: Simulator) -> None:
    with warnings.catch_warnings():
        # discord.py imports audioop, which Python 3.13 no longer has.
        warnings.simplefilter("ignore", DeprecationWarning)
        command = import_example("discord_bot").recordings.callback
    room_sid = sim.room_sids[0]
    found = truth(sim, room_sid, "completed")
    minutes = sum(each.duration or 0 for each in found) / 60
    async with sim.client() as client:
        for asked, reply in (
            (room_sid, f"{len(found)} recordings, {minutes:.0f} minutes."),
            (UNKNOWN, f"There is no room {UNKNOWN}."),
            ("@everyone", "That is no SID of a room: RM and 32 hexadecimal digits."),
        ):
            interaction = Interaction(client)
            await command(interaction, asked)
            assert interaction.said == ["thinking", reply]


class TestSynchronous:
    async def test_it_prints_a_line_for_each_room(self, sim: Simulator, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        rooms.write_text("\n".join(sim.room_sids))
        script = await run(sim, "synchronous.py", str(rooms))
        out, err = await script.communicate()
        assert (script.returncode, err) == (0, b"")
        lines = [f"{sid} {len(truth(sim, sid, 'completed'))} recordings, " for sid in sim.room_sids]
        assert all(got.startswith(line) for got, line in zip(out.decode().splitlines(), lines, strict=True))

    async def test_an_error_is_one_line(self, sim: Simulator, tmp_path: Path) -> None:
        (tmp_path / "rooms.txt").write_text(UNKNOWN)
        for rooms, message in ((tmp_path / "rooms.txt", UNKNOWN), (tmp_path / "missing.txt", "missing.txt")):
            script = await run(sim, "synchronous.py", str(rooms))
            out, err = await script.communicate()
            assert (script.returncode, out) == (1, b"")
            (line,) = err.decode().splitlines()
            assert line.startswith("synchronous.py: ")
            assert message in line


class TestBatchJob:
    def exported(self, output: Path) -> dict[str | None, list[Recording]]:
        """Return the recordings in an output file, by room."""
        by_room: dict[str | None, list[Recording]] = {}
        for recording in parse_lines(output.read_bytes()):
            by_room.setdefault(recording.room_sid, []).append(recording)
        return by_room

    def expected(self, sim: Simulator) -> dict[str | None, list[Recording]]:
        return {room: recordings for room in sim.room_sids if (recordings := truth(sim, room))}

    async def test_it_exports_every_room_once(self, sim: Simulator, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        output = tmp_path / "recordings.jsonl"
        rooms.write_text("\n".join([*sim.room_sids, "", sim.room_sids[0]]))
        job = await run(sim, "batch_job.py", str(rooms), str(output))
        assert await job.communicate() == (b"", b"")
        assert job.returncode == 0
        assert self.exported(output) == self.expected(sim)

    async def test_it_resumes_after_being_killed_again_and_again(self, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        output = tmp_path / "recordings.jsonl"
        journal = Path(f"{output}.journal")
        instants = random.Random(1)
        async with Simulator(rooms=40, recordings_per_room=(0, 400), reads_per_second=None) as sim:
            rooms.write_text("\n".join(sim.room_sids))
            sim.latency = (0.05, 0.6)
            done = 0
            # Kill each run once it has completed a few more rooms.
            for _ in range(5):
                enough = done + instants.randint(1, 6)
                job = await run(sim, "batch_job.py", str(rooms), str(output))
                await until(lambda job=job, enough=enough: job.returncode is not None or lines_in(journal) >= enough)
                assert job.returncode is None
                job.kill()
                await job.communicate()
                done = lines_in(journal)
            assert 5 <= done < 40

            # Let the last run finish.
            sim.latency = 0
            requests = sim.stats.requests
            job = await run(sim, "batch_job.py", str(rooms), str(output))
            assert await job.communicate() == (b"", b"")
            assert job.returncode == 0
            # Rooms that were complete are not requested again.
            assert sim.stats.requests == requests + 40 - done
            assert self.exported(output) == self.expected(sim)

    def test_it_resumes_after_a_write_that_was_cut_short(self, sim: Simulator, tmp_path: Path) -> None:
        """Cut the journal at every byte and the output at many, as a job does that is killed while it writes."""
        output_class = import_example("batch_job").Output
        output = tmp_path / "recordings.jsonl"
        journal = Path(f"{output}.journal")
        full = [room for room in sim.room_sids if truth(sim, room)]
        by_room = {full[0]: truth(sim, full[0])[:1], full[1]: [], full[2]: truth(sim, full[2])[:2]}
        on_disk = b""
        journalled = b""
        # Content of the output, content of the journal, and the number of rooms that are complete.
        states = [(b"", b"", 0)]
        for done, (room, recordings) in enumerate(by_room.items()):
            added = to_json_lines(recordings)
            states += [(on_disk + added[:cut], journalled, done) for cut in (*range(0, len(added), 97), len(added))]
            on_disk += added
            line = f"{room} {len(on_disk)}\n".encode()
            states += [(on_disk, journalled + line[:cut], done) for cut in range(len(line))]
            journalled += line
            states.append((on_disk, journalled, done + 1))

        for state_of_output, state_of_journal, done in states:
            output.write_bytes(state_of_output)
            journal.write_bytes(state_of_journal)
            with output_class(output) as resumed:
                assert resumed.done == set(list(by_room)[:done])
                for room in list(by_room)[done:]:
                    resumed.add(room, by_room[room])
                    # Nothing may stay in a buffer: a room is safe as soon as it is added.
                    assert journal.read_bytes().endswith(f"{room} {output.stat().st_size}\n".encode())
            assert output.read_bytes() == on_disk
            assert journal.read_bytes() == journalled

    async def test_without_its_output_it_starts_again(self, sim: Simulator, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        output = tmp_path / "recordings.jsonl"
        rooms.write_text("\n".join(sim.room_sids))
        for _ in range(2):
            job = await run(sim, "batch_job.py", str(rooms), str(output))
            assert await job.communicate() == (b"", b"")
            assert self.exported(output) == self.expected(sim)
            output.unlink()

    async def test_it_does_not_touch_a_file_that_it_did_not_write(self, sim: Simulator, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        other = tmp_path / "other.txt"
        rooms.write_text("\n".join(sim.room_sids))
        other.write_text("precious")
        job = await run(sim, "batch_job.py", str(rooms), str(other))
        _, stderr = await job.communicate()
        assert job.returncode == 1
        assert stderr.decode().count("\n") == 1
        assert "other.txt is not empty" in stderr.decode()
        assert other.read_text() == "precious"
        assert sim.stats.requests == 0

    async def test_a_failed_room_is_reported_and_retried_by_the_next_run(self, sim: Simulator, tmp_path: Path) -> None:
        rooms = tmp_path / "rooms.txt"
        output = tmp_path / "recordings.jsonl"
        rooms.write_text("\n".join([UNKNOWN, *sim.room_sids]))
        for _ in range(2):
            requests = sim.stats.requests
            job = await run(sim, "batch_job.py", str(rooms), str(output))
            _, stderr = await job.communicate()
            assert job.returncode == 1
            assert stderr.decode().startswith(f"{UNKNOWN}: ")
            assert self.exported(output) == self.expected(sim)
        assert sim.stats.requests == requests + 1


class Telegram:
    """Fake of Telegram's Bot API, with the methods that a polling bot needs."""

    TOKEN = "1:token"

    def __init__(self) -> None:
        # Updates that the bot has not polled yet.
        self._updates: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        # Number of messages sent to the bot; also the identifier of the last one.
        self._count = 0
        # Messages from the bot.
        self.replies: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._call)
        return app

    def write(self, text: str, *, kind: str = "message") -> None:
        """Send the bot a message."""
        self._count += 1
        command = {"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}
        chat = {"id": 7, "type": "private"}
        message = {"message_id": self._count, "date": 1_700_000_000, "chat": chat, "text": text, "entities": [command]}
        self._updates.put_nowait({"update_id": self._count, kind: message})

    async def reply(self) -> str:
        """Wait for the bot's next message, which must be plain text for the same chat; return its text."""
        async with asyncio.timeout(10):
            reply = await self.replies.get()
        assert reply["chat_id"] == "7"
        assert "parse_mode" not in reply
        assert "entities" not in reply
        return reply["text"]

    async def ask(self, text: str) -> str:
        self.write(text)
        return await self.reply()

    async def _call(self, request: web.Request) -> web.Response:
        """Answer a call of a method."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        method = request.match_info["method"]
        if request.match_info["token"] != self.TOKEN:
            refusal = {"ok": False, "error_code": 401, "description": "Unauthorized"}
            return web.json_response(refusal, status=401)
        result: object = True
        if method == "getMe":
            result = {"id": 1, "is_bot": True, "first_name": "Recorder", "username": "recorder_bot"}
        elif method == "getUpdates":
            result = await self._next_updates(float(form.get("timeout", 0)))
        elif method == "sendMessage":
            self.replies.put_nowait(form)
            result = {"message_id": 1000, "date": 1_700_000_000, "chat": {"id": 7, "type": "private"}}
        return web.json_response({"ok": True, "result": result})

    async def _next_updates(self, seconds: float) -> list[dict[str, Any]]:
        """Wait for an update, as long as the bot asks for but at most half a second, so that tests end soon."""
        try:
            async with asyncio.timeout(min(seconds, 0.5)):
                return [await self._updates.get()]
        except TimeoutError:
            return []


class TestBot:
    @pytest.fixture
    async def telegram(self) -> Telegram:
        return Telegram()

    @asynccontextmanager
    async def started(self, sim: Simulator, telegram: Telegram, **environment: str) -> AsyncIterator[Process]:
        async with TestServer(telegram.app()) as server:
            base_url = str(server.make_url("")).rstrip("/")
            variables = {"TELEGRAM_BOT_TOKEN": Telegram.TOKEN, "TELEGRAM_BASE_URL": base_url, **environment}
            bot = await run(sim, "bot.py", **variables)
            try:
                yield bot
            finally:
                if bot.returncode is None:
                    await stop(bot)

    async def test_it_answers(self, sim: Simulator, telegram: Telegram) -> None:
        room = max(sim.room_sids, key=lambda room: len(truth(sim, room)))
        completed = truth(sim, room, "completed")
        kinds = {kind: sum(recording.type == kind for recording in completed) for kind in ("audio", "data", "video")}
        assert all(kinds.values())
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        minutes = sum(recording.duration or 0 for recording in completed) / 60
        summary = f"Recordings: {len(completed)} ({listed}), {minutes:.0f} minutes."
        async with self.started(sim, telegram):
            assert await telegram.ask(f"/recordings {room}") == summary
            telegram.write(f"/recordings {room}", kind="edited_message")
            assert await telegram.reply() == summary
            assert await telegram.ask(f"/recordings {UNKNOWN}") == "There is no such room."
            for nonsense in ("/recordings", "/recordings *bold*", "/recordings <b>RM</b> more"):
                assert (await telegram.ask(nonsense)).startswith("Which room?")
            sim.inject(faults.Respond(403))
            assert await telegram.ask(f"/recordings {room}") == "The account is not allowed to do this."

    async def test_a_slow_answer_does_not_delay_others(self, sim: Simulator, telegram: Telegram) -> None:
        room = sim.room_sids[0]
        held = Held()
        sim.inject(held, path_contains=room)
        async with self.started(sim, telegram):
            telegram.write(f"/recordings {room}")
            await held.arrived.wait()
            assert await telegram.ask(f"/recordings {UNKNOWN}") == "There is no such room."
            held.released.set()
            assert "ecordings" in await telegram.reply()

    async def test_it_finishes_answers_under_way_before_it_stops(self, sim: Simulator, telegram: Telegram) -> None:
        held = Held()
        sim.inject(held)
        async with self.started(sim, telegram) as bot:
            telegram.write(f"/recordings {sim.room_sids[0]}")
            await held.arrived.wait()
            bot.terminate()
            held.released.set()
            assert "ecordings" in await telegram.reply()
            await wait_for_clean_exit(bot)
            assert bot.returncode == 0

    @pytest.mark.parametrize(
        ("environment", "last_line"),
        [
            ({"TELEGRAM_BOT_TOKEN": "1:wrong"}, "InvalidToken"),
            ({"TWILIO_ACCOUNT_SID": ""}, "ConfigurationError"),
        ],
    )
    async def test_a_bot_that_cannot_start_says_why(
        self, sim: Simulator, telegram: Telegram, environment: dict[str, str], last_line: str
    ) -> None:
        async with self.started(sim, telegram, **environment) as bot:
            _, stderr = await bot.communicate()
            assert bot.returncode == 1
            assert last_line in stderr.decode().splitlines()[-1]


class Slack:
    """Fake of Slack, with what a bot in Socket Mode needs: two methods of its API, a WebSocket, and response URLs."""

    TOKENS: ClassVar = {"auth.test": "xoxb-token", "apps.connections.open": "xapp-token"}

    def __init__(self) -> None:
        self.url = ""
        # Commands that were not sent to the bot yet.
        self._commands: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        # Identifiers of the commands that the bot has acknowledged, and its answers by the path of their URL.
        self.acknowledged: asyncio.Queue[str] = asyncio.Queue()
        self.replies: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/socket", self._serve_socket)
        app.router.add_post("/respond/{name}", self._respond)
        return app

    def write(self, name: str, text: str) -> None:
        """Send the bot a command with a name, which its acknowledgement and its reply have, too."""
        ids = {"team_id": "T1", "channel_id": "C1", "user_id": "U1", "trigger_id": "1.2", "api_app_id": "A1"}
        response_url = f"{self.url}/respond/{name}"
        self._commands.put_nowait(
            {"name": name, "command": "/recordings", "text": text, "response_url": response_url, **ids}
        )

    async def ask(self, name: str, text: str) -> str:
        self.write(name, text)
        assert await self.acknowledged.get() == name
        replied, reply = await self.replies.get()
        assert replied == name
        return reply

    async def _call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if request.headers["Authorization"] != f"Bearer {self.TOKENS[method]}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        ids = {"team_id": "T1", "user_id": "U2", "bot_id": "B1", "team": "T", "user": "recorder"}
        return web.json_response({"ok": True, "url": f"{self.url.replace('http', 'ws', 1)}/socket", **ids})

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello"})
        sender = asyncio.create_task(self._send_commands(socket))
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT and message.data.startswith("{"):
                self.acknowledged.put_nowait(message.json()["envelope_id"])
        sender.cancel()
        return socket

    async def _send_commands(self, socket: web.WebSocketResponse) -> None:
        while True:
            command = await self._commands.get()
            await socket.send_json(
                {"type": "slash_commands", "envelope_id": command["name"], "accepts_response_payload": True}
                | {"payload": command}
            )

    async def _respond(self, request: web.Request) -> web.Response:
        body = await request.json()
        # Without a type, only the person who asked sees the answer.
        assert body.keys() == {"text"}
        self.replies.put_nowait((request.match_info["name"], body["text"]))
        return web.Response(text="ok")


class TestSlackBot:
    @asynccontextmanager
    async def started(self, sim: Simulator, **environment: str) -> AsyncIterator[tuple[Slack, Process]]:
        slack = Slack()
        async with TestServer(slack.app()) as server:
            slack.url = str(server.make_url("")).rstrip("/")
            variables = {
                "SLACK_BOT_TOKEN": slack.TOKENS["auth.test"],
                "SLACK_APP_TOKEN": slack.TOKENS["apps.connections.open"],
                "SLACK_API_URL": f"{slack.url}/api/",
            }
            bot = await run(sim, "slack_bot.py", **(variables | environment))
            try:
                yield slack, bot
            finally:
                if bot.returncode is None:
                    bot.send_signal(signal.SIGINT)
                    await wait_for_clean_exit(bot)

    async def test_it_answers(self, sim: Simulator) -> None:
        room = max(sim.room_sids, key=lambda room: len(truth(sim, room)))
        completed = truth(sim, room, "completed")
        minutes = sum(recording.duration or 0 for recording in completed) / 60
        async with self.started(sim) as (slack, _):
            assert await slack.ask("first", f" {room} ") == f"{len(completed)} recordings, {minutes:.0f} minutes."
            assert await slack.ask("second", UNKNOWN) == "There is no such room."
            for nonsense in ("", "<!channel>", f"{room} more"):
                assert (await slack.ask("third", nonsense)).startswith("Which room?")
            sim.inject(faults.Respond(403))
            assert await slack.ask("fourth", room) == "The account is not allowed to do this."

    async def test_a_slow_answer_is_acknowledged_and_does_not_delay_others(self, sim: Simulator) -> None:
        held = Held()
        sim.inject(held, path_contains=sim.room_sids[0])
        async with self.started(sim) as (slack, _):
            slack.write("slow", sim.room_sids[0])
            assert await slack.acknowledged.get() == "slow"
            await held.arrived.wait()
            assert await slack.ask("quick", UNKNOWN) == "There is no such room."
            held.released.set()
            name, reply = await slack.replies.get()
            assert name == "slow"
            assert "recordings" in reply

    async def test_without_credentials_it_says_why_it_cannot_start(self, sim: Simulator) -> None:
        async with self.started(sim, TWILIO_ACCOUNT_SID="") as (_, bot):
            _, stderr = await bot.communicate()
            assert bot.returncode == 1
            assert "ConfigurationError" in stderr.decode().splitlines()[-1]
