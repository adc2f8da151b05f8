"""An S3-speaking server on loopback, as a process of its own, for the tests of this folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import attrs
import pytest
from obstore.store import S3Store


@attrs.frozen
class S3Server:
    endpoint: str

    def bucket(self, name: str) -> S3Store:
        """A new bucket."""
        self.send("PUT", f"/{name}")
        return self.store(name)

    def store(self, bucket: str, secret: str = "canary-secret-key") -> S3Store:
        return S3Store(
            bucket,
            config={"access_key_id": "testing", "secret_access_key": secret, "region": "us-east-1"},
            endpoint=self.endpoint,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def unfinished_uploads(self, bucket: str) -> int:
        return self.send("GET", f"/{bucket}?uploads").count(b"<UploadId>")

    def objects(self, bucket: str) -> list[str]:
        listed = self.send("GET", f"/{bucket}?list-type=2").decode()
        return [each.partition("</Key>")[0] for each in listed.split("<Key>")[1:]]

    def content(self, bucket: str, key: str) -> bytes:
        return self.send("GET", f"/{bucket}/{quote(key)}")

    def send(self, method: str, path: str) -> bytes:
        # The server does not check signatures; it only tells requests with one from anonymous ones.
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request"}
        request = urllib.request.Request(self.endpoint + path, method=method, headers=signed)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with serving() as (server, _):
        yield server


@contextmanager
def serving() -> Iterator[tuple[S3Server, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    server = S3Server(f"http://127.0.0.1:{port}")
    try:
        _wait_for(server, process)
        yield server, process
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        assert process.poll() is None, "the S3 server did not start"
        try:
            server.send("GET", "/")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    pytest.fail("the S3 server did not answer")
