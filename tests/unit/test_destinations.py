"""What a user names as a destination: a path, a URL of a store, or something else that has a scheme."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from roomrec_async import InvalidArgumentError
from roomrec_async._destinations import local_path, resolve_destination
from roomrec_async.integrations.stores import ObjectStore


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")


PATHS = [
    "media",
    "media/",
    "/srv/media/",
    "C:\\x",
    "c:/x",
    "/s3:/b",
    "10:30",
    "a b:c",
    "rooms:2026",
    "~/x",
    "x/s3://",
]


@pytest.mark.parametrize("text", PATHS)
def test_a_path_stays_as_it_is(text: str) -> None:
    # A slash at the end says that it is a directory.
    assert resolve_destination(text) == text
    assert resolve_destination(Path(text)) == Path(text)
    assert local_path("output", text) == Path(text)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/media", "/srv/media"),
        ("file:///srv/media/", "/srv/media/"),
        ("FILE://localhost/a%20b/%23c", "/a b/#c"),
        (" file:///srv ", "/srv"),
        ("file:///srv/%C3%A4%FF", os.fsdecode(b"/srv/\xc3\xa4\xff")),
    ],
)
def test_a_file_url_is_a_path(url: str, path: str) -> None:
    assert resolve_destination(url) == path
    assert local_path("output", url) == Path(path)


@pytest.mark.parametrize(
    "url", ["file://media/x", "file://", "file:///x?y", "file:///x#y", "file:///a%00b", "file://user:secret@host/x"]
)
def test_a_file_url_of_another_machine_or_with_more_than_a_path_is_refused(url: str) -> None:
    for refuse in (resolve_destination, lambda text: local_path("output", text)):
        with pytest.raises(InvalidArgumentError, match="file:///") as caught:
            refuse(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "store", "location"),
    [
        ("s3://bucket/rooms/2026", S3Store, "s3://bucket/rooms/2026/x"),
        ("S3://bucket", S3Store, "s3://bucket/x"),
        ("gs://bucket/rooms", GCSStore, "gs://bucket/rooms/x"),
        ("az://bucket/rooms", AzureStore, "az://bucket/rooms/x"),
    ],
)
def test_a_url_of_a_store_is_a_store(url: str, store: type, location: str) -> None:
    resolved = resolve_destination(url)
    assert isinstance(resolved, ObjectStore)
    assert isinstance(resolved._store, store)
    assert resolved.location("x") == location


@pytest.mark.parametrize(
    "text", ["ftp://host/x", "memory:///", "sftp://user:secret@host/x", "x-y.1://a", "s3n://b", "http://host/x"]
)
def test_another_scheme_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"{text.partition(':')[0]}://.*s3://, gs:// or az://") as caught:
        resolve_destination(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["s3:/bucket/x", "s3:bucket", "file:/x", "gs:", "az:container", "ftp:/host"])
def test_a_url_with_too_few_slashes_is_refused(text: str) -> None:
    scheme = text.partition(":")[0]
    for refuse in (resolve_destination, lambda text: local_path("output", text)):
        with pytest.raises(InvalidArgumentError, match=rf"{scheme}:// for a URL; .* absolute"):
            refuse(text)


@pytest.mark.parametrize("url", ["s3://bucket/x", "file:///srv/x", "ftp://host/x"])
def test_a_path_object_made_of_a_url_is_refused(url: str) -> None:
    # It has lost a slash.
    for refuse in (resolve_destination, lambda path: local_path("output", path)):
        with pytest.raises(InvalidArgumentError, match=r"://.*text"):
            refuse(Path(url))


@pytest.mark.parametrize(
    "url", ["s3://bucket/out.csv", "gs://b/x", "az://b/x", "https://b.s3.amazonaws.com/x", "ftp://h/x"]
)
def test_a_local_file_is_no_object(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"output must be a local path.*copy it"):
        local_path("output", url)


def test_a_destination_of_the_caller_stays_as_it_is() -> None:
    class Store:
        def location(self) -> None: ...
        def size(self) -> None: ...
        def write(self) -> None: ...

    store = Store()
    assert resolve_destination(store) is store


def test_without_obstore_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["obstore"] = None
from roomrec_async import ConfigurationError
from roomrec_async._destinations import resolve_destination
assert resolve_destination("media/") == "media/"
try:
    resolve_destination("s3://bucket/x")
except ConfigurationError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'roomrec-async[stores]'" in result.stdout
