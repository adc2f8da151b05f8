"""What a command works with, made from the values of its options: rooms, a client, keys and destinations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roomrec_async._destinations import resolve_destination
from roomrec_async._listing.scan import DateWindow
from roomrec_async._text import safe_repr, safe_text
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.credentials import Credentials
from roomrec_async.errors import ConfigurationError

from .failures import Failures
from .input import RoomSources
from .limits import make_limited_client
from .names import RoomNames, check_no_name

if TYPE_CHECKING:
    from roomrec_async.protocols import Decryption, Destination


def make_sources(rooms: tuple[str, ...], files: tuple[str, ...], *, allow_empty: bool) -> RoomSources:
    """Return the rooms of a command that needs some.

    Raises:
        UsageError: there are neither arguments nor files.
    """
    if not rooms and not files:
        raise click.UsageError("no rooms: give room SIDs or names, --from-file FILE, or - for standard input")
    return RoomSources(rooms, files, allow_empty)


def parse_source(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    after: datetime | None,
    before: datetime | None,
    *,
    allow_empty: bool,
) -> RoomSources | DateWindow | None:
    """Return the rooms, or the window of the whole account, that the options of a command name; None for neither.

    Raises:
        UsageError: they name both, or only the end of a window.
        InvalidArgumentError: the window is empty.
    """
    if rooms or files:
        if after or before:
            raise click.UsageError("give either rooms, or --after and --before for the whole account")
        return RoomSources(rooms, files, allow_empty)
    if after is not None:
        return DateWindow(after, before)
    if before is not None:
        raise click.UsageError("--before needs --after TIME: give the time from which on, too")
    return None


def open_rooms(
    sources: RoomSources, client: RecordingsClient | None, failures: Failures
) -> AbstractAsyncContextManager[AsyncGenerator[str, None]]:
    """Open the room SIDs of a command for the time of a block; see :meth:`RoomSources.open`.

    Args:
        sources: the rooms, by SID or by name.
        client: looks up the names; None if nobody can.
        failures: prints what is wrong with the input, and counts it.
    """
    find_room = check_no_name if client is None else RoomNames(client).find
    return sources.open(find_room, failures.add_line, failures.print_repeated)


def make_client(base_url: str) -> RecordingsClient:
    """Return a client with the credentials of the environment.

    Raises:
        ConfigurationError: there are none, or the base URL cannot be used.
    """
    try:
        credentials = Credentials.from_env()
    except ConfigurationError as error:
        # Many who see this have no account, and want to try the command out.
        raise ConfigurationError(f"{error}. 'roomrec demo' needs none") from None
    return make_limited_client(credentials, base_url, proxy_url())


def make_naming_client(base_url: str) -> AbstractAsyncContextManager[RecordingsClient | None]:
    """Return a client that looks up the names of rooms for a cluster; None if only the workers have credentials.

    Raises:
        ConfigurationError: there are no credentials, and the workers have none of their own; or the base URL cannot be
            used.
    """
    if click.get_current_context().find_root().params["worker_credentials"]:
        try:
            Credentials.from_env()
        except ConfigurationError:
            return nullcontext()
    return make_client(base_url)


def proxy_url() -> str | None:
    """Return the URL that was given with ``--proxy``, before the command, or None."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None
    url: str | None = context.find_root().params.get("proxy")
    return url


def check_options(client: RecordingsClient, options: RoomOptions) -> None:
    """Check the options of the lists of rooms, before any room is read: a pipe can take its time.

    Raises:
        InvalidArgumentError: an option is out of its bounds.
    """
    # Checks its arguments at once, and sends nothing until it is iterated.
    client.stream((), **options)


def make_decryption(private_key: Path | None) -> Decryption | None:
    """Return the decryption with the key in a file, or None without a file."""
    if private_key is None:
        return None
    from roomrec_async.integrations.decryption import PrivateKey  # noqa: PLC0415  an extra of its own

    return PrivateKey.from_file(private_key)


def parse_destination(text: str) -> Path | Destination:
    """Return a directory, or the object store that a URL such as ``s3://bucket/prefix`` names.

    Raises:
        UsageError: the text is empty, or the URL names no bucket.
        InvalidArgumentError: the text has another scheme.
        ConfigurationError: the store cannot be used, or needs an extra that is not installed.
    """
    if not text.strip():
        raise click.UsageError("--output must not be empty: name a directory, or an object store such as s3://bucket")
    if text.endswith("://"):
        raise click.UsageError(f"--output {safe_repr(text)} names no bucket: give one, such as {safe_text(text)}bucket")
    destination = resolve_destination(text)
    if isinstance(destination, (str, os.PathLike)):
        return Path(destination)
    return destination


async def prepare_destination(destination: Path | Destination) -> None:
    """Create the directory, or send the store a request, so that a mistake shows before anything is downloaded.

    Raises:
        OSError: the directory cannot be created.
        MediaError: the store refuses, or does not answer.
    """
    if isinstance(destination, Path):
        await asyncio.to_thread(destination.mkdir, parents=True, exist_ok=True)
    else:
        # Any name will do: a store says whether it has it only if the credentials are good.
        await destination.size("manifest.jsonl")  # noqa: ASYNC240  no path
