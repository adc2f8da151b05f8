"""The examples as processes of their own, against the simulator, and the bot against a stand-in of Telegram."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from roomrec_async.simulator import Simulator, faults

EXAMPLES = Path(__file__).parents[2] / "examples"
UNKNOWN = "RM" + "9" * 32


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        rooms=20, recordings_per_room=(0, 120), reads_per_second=None, concurrency_limit=None
    ) as simulator:
        yield simulator


def truth(sim: Simulator, room_sid: str, status: str | None = None) -> list[object]:
    return [record["sid"] for record in sim.recordings(room_sid, status)]


def spoil_an_offset(body: bytes) -> bytes:
    return body.replace(b'"offset":', b'"offset":"soon","was":', 1)


async def run(sim: Simulator, example: str, *arguments: str, **environment: str) -> Process:
    credentials = {
        "TWILIO_ACCOUNT_SID": sim.credentials.username,
        "TWILIO_AUTH_TOKEN": sim.credentials.password,
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


async def stop(process: Process) -> str:
    """End a process in good order; what it said on standard error."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    _, said = await process.communicate()
    return said.decode()


class TestWebApp:
    @asynccontextmanager
    async def serving(self, sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
        process = await run(sim, "web_app.py", "--port", "0")
        assert process.stderr is not None
        said = ""
        while (running := re.search(r"running on (http://\S+)", said)) is None:
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
        try:
            async with aiohttp.ClientSession(running.group(1)) as session:
                yield session
        finally:
            assert "Traceback" not in await stop(process)

    async def test_it_streams_a_room(self, sim: Simulator) -> None:
        async with self.serving(sim) as session:
            for room_sid in sim.room_sids[:5]:
                async with session.get(f"/rooms/{room_sid}/recordings", params={"status": "completed"}) as response:
                    assert response.status == 200
                    sids = [json.loads(line)["sid"] async for line in response.content]
                assert sids == truth(sim, room_sid, "completed")

    @pytest.mark.parametrize(
        ("path", "status", "told"),
        [
            (f"/rooms/{UNKNOWN}/recordings", 404, "20404"),
            ("/rooms/nonsense/recordings", 400, "room_sid must be"),
            (f"/rooms/{UNKNOWN}/recordings?status=strange", 400, "status must be"),
            ("/elsewhere", 404, "Not Found"),
        ],
    )
    async def test_errors_are_statuses(self, sim: Simulator, path: str, status: int, told: str) -> None:
        async with self.serving(sim) as session, session.get(path) as response:
            assert response.status == status
            assert told in await response.text()

    async def test_an_error_in_mid_stream_says_how_to_go_on(self, sim: Simulator) -> None:
        async with Simulator(rooms=1, recordings_per_room=2500, reads_per_second=None) as large:
            room = large.room_sids[0]
            large.inject(faults.Replace(spoil_an_offset), path_contains="Page=1")
            async with self.serving(large) as session:
                async with session.get(f"/rooms/{room}/recordings") as response:
                    lines = [json.loads(line) async for line in response.content]
                *before, error = lines
                assert "record 0" in error["error"]
                async with session.get(f"/rooms/{room}/recordings", params={"resume": error["resume"]}) as response:
                    rest = [json.loads(line) async for line in response.content]
            assert [record["sid"] for record in before + rest] == truth(large, room)

    async def test_whoever_hangs_up_ends_the_fetching(self) -> None:
        async with Simulator(rooms=1, recordings_per_room=100_000, reads_per_second=None) as endless:
            async with self.serving(endless) as session:
                async with session.get(f"/rooms/{endless.room_sids[0]}/recordings") as response:
                    await response.content.readline()
                    response.close()
                async with asyncio.timeout(10):
                    while endless.stats.in_flight:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)
                requests = endless.stats.requests
                await asyncio.sleep(0.2)
                assert endless.stats.requests == requests < 50


class TestBatchJob:
    def exported(self, output: Path) -> dict[str, list[object]]:
        by_room: dict[str, list[object]] = {}
        for line in output.read_text().splitlines():
            record = json.loads(line)
            by_room.setdefault(record["room_sid"], []).append(record["sid"])
        return by_room

    def expected(self, sim: Simulator) -> dict[str, list[object]]:
        return {room: sids for room in sim.room_sids if (sids := truth(sim, room))}

    async def test_everything_once(self, sim: Simulator, tmp_path: Path) -> None:
        rooms, output = tmp_path / "rooms.txt", tmp_path / "recordings.jsonl"
        rooms.write_text("\n".join([*sim.room_sids, "", sim.room_sids[0]]))
        job = await run(sim, "batch_job.py", str(rooms), str(output))
        assert await job.communicate() == (b"", b"")
        assert job.returncode == 0
        assert self.exported(output) == self.expected(sim)

    async def test_killed_and_started_again_until_it_is_done(self, sim: Simulator, tmp_path: Path) -> None:
        rooms, output = tmp_path / "rooms.txt", tmp_path / "recordings.jsonl"
        rooms.write_text("\n".join(sim.room_sids))
        sim.latency = (0.0, 0.3)
        instants = random.Random(1)
        for _ in range(6):
            requests = sim.stats.requests
            job = await run(sim, "batch_job.py", str(rooms), str(output))
            while job.returncode is None and sim.stats.requests < requests + instants.randint(1, 6):
                await asyncio.sleep(0.005)
            if job.returncode is None:
                job.kill()
            await job.communicate()
        # A torn end, as a kill in the middle of a write leaves it.
        with output.open("ab") as file:
            file.write(b'{"sid": "RT')
        with Path(f"{output}.journal").open("ab") as file:
            file.write(b"RM12")
        sim.latency = 0
        job = await run(sim, "batch_job.py", str(rooms), str(output))
        _, said = await job.communicate()
        assert job.returncode == 0, said.decode()
        assert self.exported(output) == self.expected(sim)

    async def test_a_failed_room_is_told_and_tried_again_by_the_next_run(self, sim: Simulator, tmp_path: Path) -> None:
        rooms, output = tmp_path / "rooms.txt", tmp_path / "recordings.jsonl"
        rooms.write_text("\n".join([UNKNOWN, *sim.room_sids]))
        for _ in range(2):
            requests = sim.stats.requests
            job = await run(sim, "batch_job.py", str(rooms), str(output))
            _, said = await job.communicate()
            assert job.returncode == 1
            assert said.decode().startswith(f"{UNKNOWN}: ")
            assert self.exported(output) == self.expected(sim)
        assert sim.stats.requests == requests + 1


class Telegram:
    """As much of Telegram's Bot API as a polling bot needs."""

    def __init__(self) -> None:
        self._updates: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._count = 0
        self.replies: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._called)
        return app

    async def ask(self, text: str) -> str:
        """Send the bot a message, and wait for its answer."""
        self._count += 1
        command = {"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}
        chat = {"id": 7, "type": "private"}
        message = {"message_id": self._count, "date": 1_700_000_000, "chat": chat, "text": text, "entities": [command]}
        self._updates.put_nowait({"update_id": self._count, "message": message})
        async with asyncio.timeout(10):
            reply = await self.replies.get()
        assert "parse_mode" not in reply
        return reply["text"]

    async def _called(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        method = request.match_info["method"]
        result: object = True
        if method == "getMe":
            result = {"id": 1, "is_bot": True, "first_name": "Recorder", "username": "recorder_bot"}
        elif method == "getUpdates":
            result = await self._next_updates()
        elif method == "sendMessage":
            self.replies.put_nowait(form)
            result = {"message_id": 1000, "date": 1_700_000_000, "chat": {"id": 7, "type": "private"}}
        return web.json_response({"ok": True, "result": result})

    async def _next_updates(self) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(0.5):
                return [await self._updates.get()]
        except TimeoutError:
            return []


async def test_the_bot_answers(sim: Simulator) -> None:
    telegram = Telegram()
    async with TestServer(telegram.app()) as server:
        base_url = str(server.make_url("")).rstrip("/")
        bot = await run(sim, "bot.py", TELEGRAM_BOT_TOKEN="1:token", TELEGRAM_BASE_URL=base_url)
        try:
            room = max(sim.room_sids, key=lambda room: len(truth(sim, room)))
            completed = list(sim.recordings(room, "completed"))
            answer = await telegram.ask(f"/recordings {room}")
            assert answer.startswith(f"{len(completed)} recordings (")
            assert f"{sum(record['type'] == 'audio' for record in completed)} audio" in answer
            assert await telegram.ask(f"/recordings {UNKNOWN}") == f"There is no room {UNKNOWN}."
            assert (await telegram.ask("/recordings *bold*")).startswith("Which room?")
            assert (await telegram.ask("/recordings")).startswith("Which room?")
        finally:
            said = await stop(bot)
        assert "Traceback" not in said
        assert "Unclosed" not in said
