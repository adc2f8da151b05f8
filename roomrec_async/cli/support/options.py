"""What every command that talks to the service takes: rooms, windows of time, an endpoint; and the client for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from roomrec_async._api.urls import DEFAULT_BASE_URL
from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ConfigurationError

from .input import Instant, check_room

if TYPE_CHECKING:
    from roomrec_async.protocols import Decryption, Destination

_Command = TypeVar("_Command", bound=Callable[..., object])

rooms_argument: Final = click.argument("rooms", nargs=-1, metavar="[ROOM|-]...", callback=check_room)
room_argument: Final = click.argument(
    "room", callback=lambda context, parameter, room: check_room(context, parameter, (room,))[0]
)
files_option: Final = click.option(
    "--from-file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    help="Read room SIDs from a file, one a line; blank lines and # comments are passed over.",
)
base_url_option: Final = click.option(
    "--base-url",
    envvar="ROOMREC_BASE_URL",
    default=DEFAULT_BASE_URL,
    metavar="URL",
    show_default=True,
    help="Another endpoint, such as a gateway or 'roomrec simulate'; also $ROOMREC_BASE_URL.",
)
private_key_option: Final = click.option(
    "--private-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="The RSA private key (PEM) that encrypted recordings are decrypted with.",
)
downloads_option: Final = click.option(
    "--at-once", "downloads", type=click.IntRange(1), default=8, show_default=True, metavar="N", help="Media at a time."
)


def window_options(what: str) -> Callable[[_Command], _Command]:
    """``--after`` and ``--before``: the beginnings of what they choose from."""

    def add(command: _Command) -> _Command:
        before = click.option("--before", type=Instant(), metavar="INSTANT", help=f"Only {what} before then.")
        after = click.option(
            "--after",
            type=Instant(),
            metavar="INSTANT",
            help=f"Only {what} then or later: 2026-03-01T09:30:00Z.",
        )
        return after(before(command))

    return add


def client_from(base_url: str, timeout: float | None = None) -> RecordingsClient:
    """A client with the credentials of the environment.

    Raises:
        ConfigurationError: there are none, or the base URL cannot be used.
    """
    try:
        credentials = Credentials.from_env()
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}. 'roomrec demo' needs none") from None
    return RecordingsClient(credentials, base_url=base_url, timeout=timeout)


def decryption_from(private_key: Path | None) -> Decryption | None:
    """What decrypts with the key in a file."""
    if private_key is None:
        return None
    from roomrec_async.integrations.decryption import PrivateKey  # noqa: PLC0415  an extra of its own

    return PrivateKey.from_file(private_key)


def destination_from(place: str) -> Path | Destination:
    """A directory, or the store that a URL such as ``s3://bucket/prefix`` names."""
    if "://" not in place:
        return Path(place)
    from roomrec_async.integrations.stores import ObjectStore  # noqa: PLC0415  an extra of its own

    return ObjectStore.from_url(place)


async def prepared(destination: Path | Destination) -> None:
    """Make the directory, or ask the store whether it answers, before anything else is done.

    Raises:
        OSError: there is no such directory, and it cannot be made.
        MediaError: the store refuses, or does not answer.
    """
    if isinstance(destination, Path):
        await asyncio.to_thread(destination.mkdir, parents=True, exist_ok=True)
    else:
        await destination.size("manifest.jsonl")  # noqa: ASYNC240  no path
