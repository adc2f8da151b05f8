"""What a client does with an aiohttp that has renamed the private names that it uses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from roomrec_async import RecordingsClient
from roomrec_async._http import session as session_module
from roomrec_async.simulator import Simulator

from .raw_server import CREDENTIALS, ROOM_SID, Request, page, raw_server, response

# Each starts processes, or makes whole archives.
pytestmark = pytest.mark.slow

# Serves the first of the given number of requests, and closes the connection at each later one. Prints the number of
# requests that arrived, how the second list ended, and the warnings.
PROGRAM = """
import asyncio, json, sys, warnings
import aiohttp
from roomrec_async import Credentials, RecordingsClient, RetryPolicy, RoomRecError

SERVED, ATTEMPTS = int(sys.argv[1]), int(sys.argv[2])
LENDS_A_SESSION = sys.argv[3] == "lent"
BODY = b'{"recordings": [], "meta": {"key": "recordings", "next_page_url": null}}'
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(BODY)
CREDENTIALS = Credentials("AC" + "a" * 32, "token")

requests = 0

async def serve(reader, writer):
    global requests
    first_of_connection = True
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            requests += 1
            if requests > SERVED and not (first_of_connection and SERVED):
                break
            first_of_connection = False
            writer.write(HEAD + BODY)
    except asyncio.IncompleteReadError:
        pass
    writer.close()

async def list_rooms(url, session):
    outcomes = []
    retry = RetryPolicy(max_attempts=ATTEMPTS, base_delay=0.001)
    for _ in range(2):
        async with RecordingsClient(CREDENTIALS, base_url=url, retry=retry, session=session) as client:
            for _ in range(2 if SERVED else 1):
                try:
                    await client.recordings("RM" + "1" * 32).to_list()
                    outcomes.append("listed")
                except RoomRecError as error:
                    outcomes.append(type(error).__name__)
    return outcomes

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as lent:
        outcomes = await list_rooms(url, lent if LENDS_A_SESSION else None)
    server.close()
    return outcomes

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    outcomes = asyncio.run(main())
said = [str(each.message) for each in caught if each.category is RuntimeWarning]
print(json.dumps({"requests": requests, "outcomes": outcomes, "warnings": said, "aiohttp": aiohttp.__file__}))
"""


def copy_with(renamed: dict[str, str], folder: Path) -> None:
    """Copy the installed aiohttp into a folder, with some of its names renamed."""
    source = Path(str(aiohttp.__file__)).parent
    (folder / "aiohttp").mkdir()
    for path in source.iterdir():
        copy = folder / "aiohttp" / path.name
        if path.suffix != ".py":
            if path.name != "__pycache__":
                copy.symlink_to(path)
            continue
        text = path.read_text("utf-8")
        for name, new_name in renamed.items():
            text = text.replace(name, new_name)
        copy.write_text(text, "utf-8")


async def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the program with the aiohttp in a folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", PROGRAM, *arguments),
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(out)
    assert Path(result.pop("aiohttp")).is_relative_to(folder)
    return result


NAMES = {
    "_retry_connection": "_retry_broken_connection",
    "_create_connection": "_open_connection",
    "def _get(": "def _take(",
    "self._get(": "self._take(",
}
FAILED = ["ConnectionFailedError", "ConnectionFailedError"]


class TestRenamed:
    @pytest.mark.parametrize("names", [(), ("_retry_connection",), ("_create_connection",), tuple(NAMES)])
    async def test_a_request_is_sent_once_for_each_attempt(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        copy_with({name: NAMES[name] for name in names}, tmp_path)
        result = await run(tmp_path, "0", "1", "own")
        assert (result["requests"], result["outcomes"]) == (2, FAILED)
        result = await run(tmp_path, "0", "3", "own")
        assert (result["requests"], result["outcomes"]) == (6, FAILED)

    @pytest.mark.parametrize("name", ["_create_connection", "def _get("])
    async def test_a_dead_connection_of_the_pool_uses_up_an_attempt(self, tmp_path: Path, name: str) -> None:
        get = {each: NAMES[each] for each in NAMES if "_get" in each}
        copy_with(get if name == "def _get(" else {name: NAMES[name]}, tmp_path)
        result = await run(tmp_path, "1", "1", "own")
        assert (result["requests"], result["outcomes"]) == (4, ["listed", "ConnectionFailedError"] * 2)
        result = await run(tmp_path, "1", "2", "own")
        assert (result["requests"], result["outcomes"]) == (6, ["listed"] * 4)

    async def test_each_name_is_warned_of_once(self, tmp_path: Path) -> None:
        copy_with(NAMES, tmp_path)
        hooks, switch = sorted((await run(tmp_path, "0", "1", "own"))["warnings"])
        assert hooks.startswith(f"aiohttp {aiohttp.__version__} has no _create_connection that roomrec_async")
        assert "a dead connection of the pool uses up an attempt" in hooks
        assert switch.startswith(f"aiohttp {aiohttp.__version__} has no _retry_connection that roomrec_async")
        assert all("Update roomrec_async, or install an older aiohttp" in each for each in (hooks, switch))

    async def test_a_session_that_hides_its_proxy_lists_as_before(self, tmp_path: Path) -> None:
        copy_with({"_default_proxy": "_proxy_by_default"}, tmp_path)
        result = await run(tmp_path, "1", "1", "lent")
        assert (result["outcomes"][0], result["warnings"]) == ("listed", [])

    async def test_an_aiohttp_that_has_them_is_not_warned_of(self, tmp_path: Path) -> None:
        copy_with({}, tmp_path)
        result = await run(tmp_path, "1", "1", "own")
        assert (result["requests"], result["outcomes"]) == (6, ["listed"] * 4)
        assert result["warnings"] == []
        assert (await run(tmp_path, "1", "1", "lent"))["warnings"] == []


async def test_a_hook_with_other_parameters_is_not_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    create_connection = aiohttp.TCPConnector._create_connection

    async def with_hints(self: Any, req: Any, traces: Any, timeout: Any, hints: Any = None) -> Any:
        return await create_connection(self, req, traces, timeout)

    async def handle(request: Request) -> bytes:
        return response(page())

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", with_hints)
    monkeypatch.setattr(session_module, "_warned", set())
    async with raw_server(handle) as server, RecordingsClient(CREDENTIALS, base_url=server.url) as client:
        with pytest.warns(RuntimeWarning, match="has no _create_connection that"):
            assert len(await client.recordings(ROOM_SID).to_list()) == 1


async def test_media_are_downloaded_with_a_session_that_hides_its_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session_module, "_shows_proxy", lambda session: False)
    monkeypatch.setattr(session_module, "_warned", set())
    async with (
        Simulator(rooms=1, recordings_per_room=3, seed=3, media_size=1000) as sim,
        aiohttp.ClientSession() as lent,
        sim.client(session=lent) as client,
    ):
        recording = await client.recordings(sim.room_sids[0], status="completed").first()
        assert recording is not None
        with pytest.warns(RuntimeWarning, match="media now bypass the proxy"):
            download = await client.download(recording, tmp_path)
        assert download.size == 1000


async def test_a_password_for_a_hidden_proxy_is_not_sent_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own proxy must not get the password of a proxy that the session hides."""
    monkeypatch.setattr(session_module, "_shows_proxy", lambda session: False)
    seen: list[str | None] = []

    async def handle(request: Request) -> bytes:
        seen.append(request.headers.get("proxy-authorization"))
        return response(page())

    with pytest.deprecated_call():
        password = aiohttp.BasicAuth("user", "canary")
        lent = aiohttp.ClientSession(proxy="http://127.0.0.1:9", proxy_auth=password)
    async with (
        lent,
        raw_server(handle) as server,
        RecordingsClient(CREDENTIALS, base_url=server.url, session=lent, proxy=server.url) as client,
    ):
        assert len(await client.recordings(ROOM_SID).to_list()) == 1
    assert seen == [None]
