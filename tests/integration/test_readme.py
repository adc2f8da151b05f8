"""Tests that run the code blocks of the README exactly as they are."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import uvicorn
from aiohttp.test_utils import unused_port
from twilio.request_validator import RequestValidator

from roomrec_async import RetryPolicy, RoomRecError, SignatureError, Timeout, errors
from roomrec_async.simulator import Simulator, faults

README = Path(__file__).parents[2] / "README.md"
PROGRAM, OUTPUT = re.findall(
    r"^```python\n([^`]*^asyncio\.run.*?)^```$.*?^```text\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
)[0]


@pytest.fixture
def readme() -> dict[str, Any]:
    """Run the README's Python blocks one after the other; return the names that they define."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL):
        # tests/cluster runs that block: importing distributed changes how exceptions are copied in the whole process.
        # The program has an event loop of its own.
        if "distributed" not in block and block != PROGRAM:
            exec(compile(block, README.name, "exec"), names)
    return names


@pytest.fixture
async def account(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    """Run a simulator, and put its credentials into the environment."""
    async with Simulator(rooms=3, recordings_per_room=30) as simulator:
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", simulator.credentials.username)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", simulator.credentials.password)
        monkeypatch.setenv("ROOMREC_BASE_URL", simulator.base_url)
        yield simulator


def test_the_first_two_blocks_are_one_command_line_each() -> None:
    demo, tests = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[:2]
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.rstrip().endswith("roomrec demo")
    assert re.search(r"pytest -n \d$", tests.rstrip())


async def test_the_program_prints_what_it_says() -> None:
    async with Simulator(rooms=20, recordings_per_room=(0, 120), seed=0) as simulator:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", PROGRAM),
            env=os.environ | simulator.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (process.returncode, err.decode(), out.decode()) == (0, "", OUTPUT)


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    table = re.findall(r"^\| ((?:&nbsp;)*)`(\w+)`", README.read_text(), re.MULTILINE)
    in_table = [(name, len(indent) // len("&nbsp;&nbsp;")) for indent, name in table if hasattr(errors, name)]
    ancestors: list[type] = []
    for name, depth in in_table:
        error_class = getattr(errors, name)
        ancestors = [*ancestors[:depth], error_class]
        assert error_class.__bases__[0] is (ancestors[-2] if depth else Exception)
    classes = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, RoomRecError)}
    assert {name for name, _ in in_table} == classes


async def test_the_defaults_are_as_it_says(readme: dict[str, Any], account: Simulator) -> None:
    block = next(
        each
        for each in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
        if "patient" in each
    )
    given = [ast.literal_eval(value) for value in re.findall(r"[a-z_]+=([\d.]+)", block)]
    timeout, retry = Timeout(), RetryPolicy()
    assert given == [
        *(timeout.total, timeout.connect, timeout.read),
        *(retry.max_attempts, retry.base_delay, retry.max_retry_after, retry.budget),
    ]
    async with readme["patient"]() as client:
        assert await client.recordings(account.room_sids[0]).first() is not None


async def test_a_callback_is_received(readme: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with Simulator(rooms=1, recordings_per_room=3, seed=3, media_size=1000) as sim, sim.client() as client:
        recording = completed(sim)[0]
        event = {"StatusCallbackEvent": "recording-completed", "RoomSid": str(recording["room_sid"])}
        event |= {"RecordingSid": str(recording["sid"]), "AccountSid": sim.credentials.account_sid}
        url = "https://app.example/recordings"
        signed = RequestValidator("token").compute_signature(url, event)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signed}
        await readme["on_callback"](client, url, urlencode(event).encode(), headers, "token")
        assert [path.stem for path in (tmp_path / "media").iterdir()] == [recording["sid"]]
        with pytest.raises(SignatureError):
            await readme["on_callback"](client, url, urlencode(event).encode(), headers, "other")


async def test_one_room(readme: dict[str, Any], account: Simulator) -> None:
    recorded = account.recordings(account.room_sids[0], "completed")
    seconds = sum(int(str(record["duration"] or 0)) for record in recorded)
    assert await readme["minutes"](account.room_sids[0]) == pytest.approx(seconds / 60)


async def test_an_interrupted_list_resumes(readme: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with Simulator(rooms=1, recordings_per_room=2500) as sim, sim.client() as client:
        sim.inject(faults.Respond(403), path_contains="Page=2")
        sids = await readme["all_of_it"](client, sim.room_sids[0])
        assert sids == [record["sid"] for record in sim.recordings(sim.room_sids[0])]
    assert "interrupted: GET http" in capsys.readouterr().out


async def test_many_rooms(readme: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with Simulator(rooms=3, recordings_per_room=4) as sim, sim.client() as client:
        await readme["three_ways"](client, list(sim.room_sids), sim.room_sids)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 12


async def test_the_lists_of_the_account_give_the_same(readme: dict[str, Any]) -> None:
    async with Simulator(rooms=60, recordings_per_room=3) as sim, sim.client() as client:
        found = await readme["of_march"](client, sim.room_sids)
        listed = [record for sid in sim.room_sids for record in sim.recordings(sid)]
        of_march = [record["sid"] for record in listed if str(record["date_created"]).startswith("2026-03")]
        assert of_march
        assert sorted(recording.sid for each in found.values() for recording in each) == sorted(of_march)


async def test_media_are_downloaded_and_deleted(
    readme: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Simulator(rooms=1, recordings_per_room=3, seed=3, media_size=1000) as sim, sim.client() as client:
        truth = {record["sid"]: b"".join(sim.media(str(record["sid"]))) for record in completed(sim)}
        await readme["keep_and_delete"](client, sim.room_sids[0])
        assert {path.stem: path.read_bytes() for path in (tmp_path / "media").iterdir()} == truth
        assert completed(sim) == []
    assert len(capsys.readouterr().out.splitlines()) == len(truth) > 0


async def test_what_was_there_already_is_not_deleted(
    readme: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Simulator(rooms=1, recordings_per_room=3, seed=3, media_size=1000) as sim, sim.client() as client:
        first, *_ = completed(sim)
        (tmp_path / "media").mkdir()
        (tmp_path / "media" / f"{first['sid']}.{first['container_format']}").write_bytes(bytes(1000))
        await readme["keep_and_delete"](client, sim.room_sids[0])
        assert completed(sim) == [first]


async def test_media_go_into_a_store(readme: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(Simulator().private_key_pem)
    async with Simulator(rooms=80, recordings_per_room=3, media_size=1000) as sim, sim.client() as client:
        encrypted = [
            recording
            async for recording in client.stream(sim.room_sids, status="completed")
            if recording.encryption_key and not recording.media_external_location
        ]
        url, key_file = f"file://{tmp_path}", str(tmp_path / "key.pem")
        download = await readme["into_a_bucket"](client, encrypted[0], url, key_file)
        assert Path(download.location).read_bytes() == b"".join(sim.media(str(encrypted[0].sid)))


async def test_an_archive(readme: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Simulator(rooms=10, recordings_per_room=3, media_size=1000) as sim, sim.client() as client:
        await readme["archive_2026"](client, str(tmp_path))
    assert "deleted at the source" in capsys.readouterr().out
    assert (tmp_path / "manifest.parquet").exists()


async def test_a_web_app(readme: dict[str, Any], account: Simulator) -> None:
    port = unused_port()
    server = uvicorn.Server(uvicorn.Config(readme["app"], port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as browser:
        async with browser.get(f"/rooms/{account.room_sids[0]}") as answer:
            assert await answer.json() == [record["sid"] for record in account.recordings(account.room_sids[0])]
    server.should_exit = True
    await serving


async def test_a_batch_job(readme: dict[str, Any], account: Simulator, tmp_path: Path) -> None:
    (tmp_path / "rooms.txt").write_text("\n".join(account.room_sids))
    await readme["export"](tmp_path / "rooms.txt", tmp_path / "recordings.jsonl")
    sids = [json.loads(line)["sid"] for line in (tmp_path / "recordings.jsonl").read_text().splitlines()]
    truth = [record["sid"] for room_sid in account.room_sids for record in account.recordings(room_sid, "completed")]
    assert sorted(sids) == sorted(truth)


async def test_a_bot(readme: dict[str, Any], account: Simulator) -> None:
    durations = [int(str(record["duration"])) for record in account.recordings(account.room_sids[0], "completed")]
    async with account.client() as client:
        reply = await readme["answer"](client, f" {account.room_sids[0]}\n")
        assert reply == f"{len(durations)} recordings, {sum(durations) // 60} minutes"
        assert (await readme["answer"](client, "hello")).startswith("Which room?")
        assert await readme["answer"](client, "RM" + "0" * 32) == "No answer: There is no such room"


async def test_a_timeline(readme: dict[str, Any], account: Simulator, tmp_path: Path) -> None:
    async with account.client() as client:
        await readme["see"](client, account.room_sids[0], tmp_path / "room.html")
    page = (tmp_path / "room.html").read_text("utf-8")
    assert all(str(record["sid"]) in page for record in account.recordings(account.room_sids[0]))


async def test_an_observer(readme: dict[str, Any], account: Simulator) -> None:
    account.inject(faults.Respond(429))
    refusals = readme["Refusals"]()
    async with readme["watched"](refusals) as client:
        await client.recordings(account.room_sids[0]).to_list()
    assert refusals.count == 1


def completed(sim: Simulator) -> list[dict[str, object]]:
    return list(sim.recordings(sim.room_sids[0], "completed"))


async def test_the_test(readme: dict[str, Any]) -> None:
    await readme["test_my_code_survives_a_restart"]()
