"""What commands make from the values of their options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from roomrec_async import ConfigurationError, InvalidArgumentError
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.resources import (
    make_client,
    make_decryption,
    make_sources,
    parse_destination,
    prepare_destination,
)
from roomrec_async.integrations.stores import ObjectStore

ROOM_SID = "RM" + "1" * 32


def test_rooms_are_needed_from_arguments_or_files() -> None:
    assert make_sources((ROOM_SID,), (), allow_empty=False) == RoomSources((ROOM_SID,), ())
    assert make_sources((), ("rooms.txt",), allow_empty=True) == RoomSources((), ("rooms.txt",), allow_empty=True)
    with pytest.raises(
        click.UsageError, match="no rooms: give room SIDs or names, --from-file FILE, or - for standard input"
    ):
        make_sources((), (), allow_empty=True)


async def test_the_client_has_the_credentials_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_API_KEY", "TWILIO_API_SECRET", "TWILIO_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "0" * 32)
    with pytest.raises(ConfigurationError, match=r"set TWILIO_AUTH_TOKEN .* in the environment\. 'roomrec demo' needs"):
        make_client("https://example.com")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "token")
    async with make_client("https://example.com"):
        pass


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    assert make_decryption(None) is None
    (tmp_path / "key.pem").write_text("no key", "utf-8")
    with pytest.raises(ConfigurationError, match="PEM"):
        make_decryption(tmp_path / "key.pem")


def test_destinations_are_directories_or_urls(tmp_path: Path) -> None:
    assert parse_destination("media/rooms") == Path("media/rooms")
    assert parse_destination(f"file://{tmp_path}/") == tmp_path
    assert isinstance(parse_destination("s3://bucket/rooms"), ObjectStore)
    with pytest.raises(InvalidArgumentError, match="ftp"):
        parse_destination("ftp://host/rooms")


async def test_a_directory_is_created(tmp_path: Path) -> None:
    for _ in range(2):
        await prepare_destination(tmp_path / "new" / "media")
    assert (tmp_path / "new" / "media").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        await prepare_destination(tmp_path / "file")


async def test_a_store_is_asked_before_anything_else() -> None:
    class Store:
        def __init__(self) -> None:
            self.asked: list[str] = []

        async def size(self, name: str) -> int | None:
            self.asked.append(name)
            return None

    store = Store()
    await prepare_destination(store)
    assert len(store.asked) == 1
