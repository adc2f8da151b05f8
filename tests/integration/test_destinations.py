"""Downloads and archives to destinations that are given as text: real sockets, and a server that speaks S3."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from roomrec_async import (
    Credentials,
    InvalidArgumentError,
    Recording,
    RecordingsClient,
    RecordingStatus,
)
from roomrec_async.simulator import Simulator

from .conftest import S3Server

Operation = Callable[[RecordingsClient, Recording, str], Awaitable[object]]

OPERATIONS: dict[str, Operation] = {
    "download": lambda client, recording, url: client.download(recording, url),
    "archive": lambda client, recording, url: client.archive(
        [recording.room_sid or ""], url, delete=True, ledger="ledger.sqlite3", manifest=["jsonl"]
    ),
}


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a new bucket, which the environment leads to."""
    name = tmp_path.name.replace("_", "-")
    s3.bucket(name)
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return name


async def first_recording(client: RecordingsClient, simulator: Simulator) -> Recording:
    recording = await client.recordings(simulator.room_sids[0], status=RecordingStatus.COMPLETED).first()
    assert recording is not None
    return recording


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_a_url_of_a_store_leads_into_the_store(
    s3: S3Server, bucket: str, tmp_path: Path, operation: Operation
) -> None:
    async with Simulator(rooms=1, recordings_per_room=1, seed=3, media_size=1000) as sim, sim.client() as client:
        recording = await first_recording(client, sim)
        content = b"".join(sim.media(str(recording.sid)))
        await operation(client, recording, f"s3://{bucket}/x")
        (key,) = [key for key in s3.objects(bucket) if recording.sid and recording.sid in key]
        assert s3.content(bucket, key) == content
    assert not [path for path in tmp_path.iterdir() if "ledger" not in path.name]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("url", ["ftp://host/x", "s3:/bucket/x", "file://host/x", "memory:///"])
async def test_other_schemes_are_refused_before_anything_is_sent(
    tmp_path: Path, operation: Operation, url: str
) -> None:
    async with Simulator(rooms=1, recordings_per_room=1, seed=3, media_size=1000) as sim, sim.client() as client:
        recording = await first_recording(client, sim)
        requests = sim.stats.requests
        with pytest.raises(InvalidArgumentError):
            await operation(client, recording, url)
        assert sim.stats.requests == requests
    assert list(tmp_path.iterdir()) == []


async def test_a_ledger_is_a_local_path(tmp_path: Path) -> None:
    async with RecordingsClient(Credentials("AC" + "0" * 32, "token")) as client:
        with pytest.raises(InvalidArgumentError, match="ledger must be a local path, which s3:// is not"):
            await client.archive(["RM" + "0" * 32], tmp_path, ledger="s3://bucket/ledger.sqlite3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_a_file_url_is_a_directory_if_it_ends_in_a_slash(tmp_path: Path, operation: Operation) -> None:
    async with Simulator(rooms=1, recordings_per_room=1, seed=3, media_size=1000) as sim, sim.client() as client:
        recording = await first_recording(client, sim)
        content = b"".join(sim.media(str(recording.sid)))
        await operation(client, recording, f"file://{tmp_path}/new%20one/")
    (path,) = (tmp_path / "new one").rglob(f"{recording.sid}.*")
    assert path.read_bytes() == content
