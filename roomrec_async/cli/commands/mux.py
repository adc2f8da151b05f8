"""``roomrec mux``: a room's recordings as one film."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from roomrec_async._text import safe_text
from roomrec_async._views.film import Size
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.options import (
    base_url_option,
    client_from,
    decryption_from,
    private_key_option,
    room_argument,
)
from roomrec_async.cli.support.tables import counted, length_told
from roomrec_async.client import RecordingsClient
from roomrec_async.protocols import Decryption

_EXAMPLES: Final = """\b
Examples:
  roomrec mux RM0123456789abcdef0123456789abcdef -o room.mkv
  roomrec mux RM0123456789abcdef0123456789abcdef -o room.mp4 --media media/ --size 1920x1080
"""

_SIZE: Final = re.compile(r"(\d{2,4})x(\d{2,4})")


def _size(_: click.Context, __: click.Parameter, text: str) -> Size:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise click.BadParameter("must be WIDTHxHEIGHT in pixels, such as 1280x720")
    return Size(int(match[1]), int(match[2]))


@click.command("mux", epilog=_EXAMPLES, short_help="Put a room's recordings together.")
@room_argument
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file: .mkv or .mp4. One that is there is replaced.",
)
@click.option(
    "--media",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where downloads are kept, and looked for; by default they are deleted at the end.",
)
@click.option(
    "--size",
    default="1280x720",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    callback=_size,
    help="The size of the picture in pixels, both even.",
)
@click.option(
    "--print", "printed", is_flag=True, help="Print the command that would be run, and download and run nothing."
)
@private_key_option
@base_url_option
def mux(
    room: str, output: Path, media: Path | None, size: Size, printed: bool, private_key: Path | None, base_url: str
) -> int:
    """Put the completed audio and video of a room together, by ffmpeg: everyone heard and seen, in sync.

    The picture is a grid that changes as participants come and go. What is missing is downloaded first.

    ROOM is a room SID, RM and 32 hexadecimal digits. The credentials are those of the environment, as for
    'roomrec list'.
    """
    if printed:
        return asyncio.run(_print(client_from(base_url), room, output, media or Path(), size))
    return asyncio.run(_mux(client_from(base_url), room, output, media, size, decryption_from(private_key)))


async def _print(client: RecordingsClient, room: str, output: Path, media: Path, size: Size) -> int:
    from roomrec_async.integrations.ffmpeg import planned  # noqa: PLC0415  with nothing that is not needed

    async with client:
        click.echo(shlex.join(await planned(client, room, output, media=media, size=size)))
    return 0


async def _mux(
    client: RecordingsClient, room: str, output: Path, media: Path | None, size: Size, decryption: Decryption | None
) -> int:
    from roomrec_async.integrations.ffmpeg import mux as put_together  # noqa: PLC0415

    failures = Failures()
    console = failures.console
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        async with client:
            film = await put_together(
                client,
                room,
                output,
                media=media,
                size=size,
                decryption=decryption,
                on_progress=lambda done, of: progress.update(task, completed=done, total=of),
            )
    left_out = f", {counted(film.left_out, 'recording')} left out" if film.left_out else ""
    tracks = f"{counted(film.videos, 'video')} and {counted(film.audios, 'audio track')}"
    failures.say(f"{safe_text(str(film.path))}: {length_told(film.seconds)} of {tracks}{left_out}")
    return 0
