"""``roomrec mux``: combine a room's recordings into one video file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from roomrec_async._format import format_count, format_duration
from roomrec_async._text import safe_text
from roomrec_async._views.film import Size
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.options import LocalPath, base_url_option, private_key_option, room_argument
from roomrec_async.cli.support.resources import make_client, make_decryption
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient
from roomrec_async.protocols import Decryption

_EXAMPLES: Final = """\b
Examples:
  roomrec mux RM0123456789abcdef0123456789abcdef -o room.mkv
  roomrec mux RM0123456789abcdef0123456789abcdef -o room.mp4 --media media/ --size 1920x1080
"""

_SIZE: Final = re.compile(r"(\d{2,4})x(\d{2,4})")


def parse_size(_: click.Context, __: click.Parameter, text: str) -> Size:
    """Return the size of the picture.

    Raises:
        BadParameter: the text is not two numbers with an x between them.
        InvalidArgumentError: a number is odd, or out of bounds.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise click.BadParameter("must be WIDTHxHEIGHT in pixels, such as 1280x720")
    return Size(int(match[1]), int(match[2]))


@click.command("mux", epilog=_EXAMPLES, short_help="Combine a room's recordings into one video file.")
@room_argument
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=LocalPath(dir_okay=False),
    help="File to write: .mkv or .mp4. An existing one is replaced.",
)
@click.option(
    "--media",
    metavar="DIR",
    type=LocalPath(file_okay=False),
    help="Directory to keep downloads in, and to find earlier ones in. Without it, they are deleted at the end.",
)
@click.option(
    "--size",
    default="1280x720",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    callback=parse_size,
    help="Size of the picture in pixels; both must be even.",
)
@click.option("--print", "print_only", is_flag=True, help="Only print the ffmpeg command; download and run nothing.")
@private_key_option
@base_url_option
def mux(
    room: str, output: Path, media: Path | None, size: Size, print_only: bool, private_key: Path | None, base_url: str
) -> int:
    """Combine the completed audio and video of a room into one file with ffmpeg: everyone seen and heard, in sync.

    The picture is a grid that changes as participants come and go. Missing media are downloaded first.

    ROOM is a room SID: RM and 32 hexadecimal digits. The credentials come from the environment, as for
    'roomrec list'.
    """
    if print_only:
        return run_async(print_command(make_client(base_url), room, output, media or Path(), size))
    return run_async(mux_room(make_client(base_url), room, output, media, size, make_decryption(private_key)))


async def print_command(client: RecordingsClient, room: str, output: Path, media: Path, size: Size) -> int:
    """Print the ffmpeg command for a room, and return the exit code."""
    from roomrec_async.integrations.ffmpeg import planned  # noqa: PLC0415  for this command only

    async with client:
        click.echo(shlex.join(await planned(client, room, output, media=media, size=size)))
    return ExitCode.SUCCESS


async def mux_room(
    client: RecordingsClient, room: str, output: Path, media: Path | None, size: Size, decryption: Decryption | None
) -> int:
    """Combine the recordings of a room, and return the exit code."""
    from roomrec_async.integrations.ffmpeg import mux  # noqa: PLC0415  for this command only

    failures = Failures()
    console = failures.console
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        async with client:
            film = await mux(
                client,
                room,
                output,
                media=media,
                size=size,
                decryption=decryption,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )

    tracks = f"{format_count(film.videos, 'video')} and {format_count(film.audios, 'audio track')}"
    left_out = f", {format_count(film.left_out, 'recording')} left out" if film.left_out else ""
    failures.print(f"{safe_text(str(film.path))}: {format_duration(film.seconds)} of {tracks}{left_out}")
    return ExitCode.SUCCESS
