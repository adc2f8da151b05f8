"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from roomrec_async._api.urls import DEFAULT_BASE_URL
from roomrec_async._destinations import local_path
from roomrec_async._validate import check_account_sid, check_room_sid
from roomrec_async.errors import InvalidArgumentError

from .dates import DateTimeType
from .input import STDIN, format_sid_error
from .names import check_room

# Where the context of a command keeps the limits that were given.
LIMITS_KEY: Final = "roomrec.limits"

# The commands that can run on a cluster.
_ON_CLUSTER: Final = ("archive", "export")

_Command = TypeVar("_Command", bound=Callable[..., object])


class ConcurrencyType(click.ParamType["int | str"]):
    """A number of requests in flight, from 1, or ``auto``."""

    name = "concurrency"

    def convert(self, value: int | str, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number that a text stands for, or "auto"."""
        if value == "auto":
            return value
        number: int = click.IntRange(1)(value, param, ctx)
        return number


class LocalPath(click.Path):
    """A local path. A URL of an object store, which would become a directory named ``s3:``, is refused."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path that a text stands for."""
        if value == "":
            self.fail("it must not be empty, as a variable that is not set", param, ctx)
        try:
            path = local_path("it", value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)
        super().convert(path, param, ctx)
        return path


def check_rooms(_: click.Context, __: click.Parameter, rooms: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ROOM arguments, each of which is a room SID, a unique name or "-"."""
    for room in rooms:
        if room != STDIN:
            parse_room(room)
    return rooms


def parse_room(room: str) -> str:
    """Return a room, given by its SID or its unique name.

    Raises:
        BadParameter: it can be neither.
    """
    try:
        return check_room(room)
    except InvalidArgumentError as error:
        raise click.BadParameter(format_sid_error(error), param_hint="ROOM") from None


def parse_room_sid(room: str) -> str:
    """Return a room SID.

    Raises:
        BadParameter: it is not one.
    """
    try:
        return check_room_sid(room)
    except InvalidArgumentError as error:
        raise click.BadParameter(format_sid_error(error), param_hint="ROOM") from None


def parse_account_sid(account_sid: str) -> str:
    """Return an account's SID.

    Raises:
        BadParameter: it is not one.
    """
    try:
        return check_account_sid(account_sid)
    except InvalidArgumentError as error:
        raise click.BadParameter(str(error).replace("account_sid", "it", 1)) from None


def check_on_cluster(
    command: str | None, address: str | None, slots: int | None, proxy: str | None, *, worker_credentials: bool
) -> None:
    """Raise for a command that cannot run on a cluster as it was asked for, and for its options without a cluster.

    Raises:
        UsageError: it cannot.
    """
    if address is None:
        if slots is not None or worker_credentials:
            option = "--worker-credentials" if slots is None else "--slots"
            raise click.UsageError(f"{option} is for a cluster: give --dask ADDRESS, too")
        return
    if command is not None and command not in _ON_CLUSTER:
        hint = ": 'export' writes recordings to a directory or store" if command == "list" else ""
        raise click.UsageError(f"--dask works with {' and '.join(_ON_CLUSTER)} only, not with {command}{hint}")
    if proxy is not None:
        raise click.UsageError("--proxy does not work with --dask: the workers send the requests, and use no proxy")


def keep_for_client(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep the value of an option that only the client needs, for :func:`.limits.given_limits`."""
    if value is not None and parameter.name is not None:
        context.meta.setdefault(LIMITS_KEY, {})[parameter.name] = value


rooms_argument: Final = click.argument("rooms", nargs=-1, metavar="[ROOM|-]...", callback=check_rooms)
files_option: Final = click.option(
    "--from-file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    help="Read rooms from a file: SIDs or unique names, one per line (# begins a comment), CSV, or JSON lines such as "
    "those of 'roomrec rooms --json'.",
)
allow_empty_option: Final = click.option(
    "--allow-empty",
    is_flag=True,
    help="Do nothing if there is nothing on standard input. Without this, that is an error.",
)
base_url_option: Final = click.option(
    "--base-url",
    envvar="ROOMREC_BASE_URL",
    default=DEFAULT_BASE_URL,
    metavar="URL",
    show_default=True,
    help="URL of the API: another one for a gateway or 'roomrec simulate'; also $ROOMREC_BASE_URL.",
)
_limit_options: Final = (
    click.option(
        "--redis",
        envvar="ROOMREC_REDIS_URL",
        metavar="URL",
        expose_value=False,
        callback=keep_for_client,
        help="Share the account's limits with other programs through this Redis, such as rediss://host:6379/0; "
        "also $ROOMREC_REDIS_URL.",
    ),
    click.option(
        "--reads-per-second",
        type=float,
        metavar="N",
        expose_value=False,
        callback=keep_for_client,
        help="Maximum number of reads in any second. By default the published quota, 80.",
    ),
    click.option(
        "--max-concurrency",
        type=ConcurrencyType(),
        metavar="N|auto",
        expose_value=False,
        callback=keep_for_client,
        help="Maximum number of requests in flight. By default 'auto': it follows the service's own limit.",
    ),
    click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        expose_value=False,
        callback=keep_for_client,
        help="Maximum time for a request, including its retries. By default 300.",
    ),
)
dask_option: Final = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Run 'export' or 'archive' on the Dask cluster at this address, such as tls://host:8786; 'local' starts one "
    "on this machine.",
)
slots_option: Final = click.option(
    "--slots",
    type=click.IntRange(min=1),
    metavar="N",
    help="Shards that run on the cluster at once, each with an equal part of the limits, however many workers there "
    "are. All jobs of an account on one cluster need the same number. By default 4; with 'local' one for each CPU.",
)
worker_credentials_option: Final = click.option(
    "--worker-credentials",
    is_flag=True,
    help="The workers of the cluster have the credentials in their own environment, in the same variables: none are "
    "sent to them. Here, TWILIO_ACCOUNT_SID is enough for rooms that are given by their SIDs.",
)
proxy_option: Final = click.option(
    "--proxy",
    metavar="URL",
    help="HTTP proxy for the API and its media. By default that of $HTTPS_PROXY or $HTTP_PROXY, "
    "without the hosts in $NO_PROXY.",
)
destination_option: Final = click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR|URL",
    help="Directory, or object store such as s3://bucket/prefix; its credentials come from the environment.",
)
private_key_option: Final = click.option(
    "--private-key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="RSA private key (PEM) to decrypt encrypted recordings with.",
)
identities_option: Final = click.option(
    "--identities",
    is_flag=True,
    help="Show participants by the identities that the application gave them: one request more.",
)
account_sid_option: Final = click.option(
    "--account-sid",
    metavar="SID",
    callback=lambda _, __, value: None if value is None else parse_account_sid(value),
    help="Account whose recordings may be deleted, by default $TWILIO_ACCOUNT_SID. With a parent account's API key and "
    "a subaccount's SID, the service lists recordings of the parent: they are deleted only if its SID is given here.",
)
downloads_option: Final = click.option(
    "--at-once",
    "downloads",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="N",
    help="Number of downloads at a time.",
)


def limit_options(command: _Command) -> _Command:
    """Add the options of every command that sends requests: ``--redis``, the limits and ``--timeout``."""
    for option in reversed(_limit_options):
        command = option(command)
    return command


def window_options(what: str) -> Callable[[_Command], _Command]:
    """Return the options ``--after`` and ``--before``.

    Args:
        what: what they choose from and by which date, such as "recordings that started".
    """

    def add(command: _Command) -> _Command:
        # Help lists options in the order of decorators, from the outside in.
        before = click.option("--before", type=DateTimeType(), metavar="TIME", help=f"Only {what} before this time.")
        after = click.option(
            "--after",
            type=DateTimeType(),
            metavar="TIME",
            help=f"Only {what} at or after this time: 2026-03-01T09:30:00Z, 2026-03-01 or yesterday (in UTC), or 7d, "
            "36h or 90min ago.",
        )
        return after(before(command))

    return add


def source_options(command: _Command) -> _Command:
    """Add the options for rooms or a window of the whole account, and for where their recordings are written."""
    window = window_options("recordings of the whole account that started")
    return rooms_argument(files_option(allow_empty_option(window(destination_option(command)))))
