"""``roomrec mux``: combine a room's recordings into one video file, or into a file for each participant."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import attrs
import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from roomrec_async._format import format_count, format_duration
from roomrec_async._listing.identities import list_identities
from roomrec_async._text import safe_text
from roomrec_async._views.film import CAMERA_OFF_AFTER, Format, Layout, Size
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.log import current_log, log_progress
from roomrec_async.cli.support.names import RoomNames
from roomrec_async.cli.support.options import (
    LocalPath,
    base_url_option,
    identities_option,
    limit_options,
    private_key_option,
)
from roomrec_async.cli.support.resources import make_client, make_decryption
from roomrec_async.cli.support.room_source import RoomSource, room_source_arguments
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import RoomRecError
from roomrec_async.protocols import Decryption

if TYPE_CHECKING:
    from roomrec_async.integrations.ffmpeg import FilmOptions, LeftOut, Muxed, OnProgress, ParticipantFile, Per

_EXAMPLES: Final = """\b
Examples:
  roomrec mux RM2cfaa189a9cc4a80b935caff592db30c -o room.mkv
  roomrec mux RM2cfaa189a9cc4a80b935caff592db30c -o room.mp4 \\
      --media media/ --size 1920x1080
  roomrec mux RM2cfaa189a9cc4a80b935caff592db30c -o talk.mp4 \\
      --layout screen --from 0:05 --to 0:15
  roomrec mux archive/RM2cfaa189a9cc4a80b935caff592db30c -o room.mp4
  roomrec mux RM2cfaa189a9cc4a80b935caff592db30c \\
      --per participant --format wav -o voices/
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


_TIME: Final = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,3})?)", re.ASCII)
_MILLISECONDS: Final = 1_000


class ClockType(click.ParamType[float]):
    """A time from the start of a film: seconds, ``MINUTES:SECONDS`` or ``HOURS:MINUTES:SECONDS``."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds that a text stands for."""
        match = _TIME.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not a time such as 90, 1:30 or 1:02:30", param, ctx)
        hours, minutes, seconds = match.groups(default="0")
        return int(hours) * 3_600 + int(minutes) * 60 + float(seconds)


@click.command("mux", cls=RoomrecCommand, epilog=_EXAMPLES)
@room_source_arguments
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE|DIR",
    type=LocalPath(),
    help="File to write: .mkv or .mp4; an existing one is replaced. With --per participant, the directory of files.",
)
@click.option(
    "--per",
    type=click.Choice(["room", "participant"]),
    default="room",
    show_default=True,
    help="participant: a file for each, named after their SID, and all as long as the room, so that they stay in step.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(get_args(Format)),
    help="Format of the files of participants, by default mp4. wav has their sound alone, for transcription: mono, 16 "
    "bit, 16 kHz, silent where there is none.",
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
@click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    default="grid",
    show_default=True,
    help="grid: cells of one size. screen: a shared screen has the frame, and the cameras a strip at its right.",
)
@click.option(
    "--screen-name",
    default="screen",
    show_default=True,
    metavar="TEXT",
    help="Tracks whose names contain this are shared screens.",
)
@click.option("--from", "start", type=ClockType(), default=0.0, metavar="TIME", help="Start here: 90, 1:30 or 1:02:30.")
@click.option(
    "--to", "end", type=ClockType(), metavar="TIME", help="End here, counted from the same start of the room."
)
@click.option(
    "--camera-off-after",
    type=click.FloatRange(0),
    default=CAMERA_OFF_AFTER / _MILLISECONDS,
    show_default=True,
    metavar="SECONDS",
    help="A camera without a new frame for so long is off: its cell has an initial while its participant is heard.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until no recording of the room is being processed, however long that takes.",
)
@click.option("--strict", is_flag=True, help="Make no film unless every recording can be in it, whole.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made, and what was left out, as a JSON object.")
@click.option(
    "--print", "print_only", is_flag=True, help="Print a shell script that does it; download and run nothing."
)
@identities_option
@private_key_option
@base_url_option
@limit_options
def mux(
    source: str,
    room: str | None,
    output: Path,
    per: Per,
    file_format: Format | None,
    media: Path | None,
    size: Size,
    layout: Layout,
    screen_name: str,
    start: float,
    end: float | None,
    camera_off_after: float,
    wait: bool,
    strict: bool,
    as_json: bool,
    print_only: bool,
    identities: bool,
    private_key: Path | None,
    base_url: str,
) -> int:
    """Combine the audio and video of a room into one file with ffmpeg: everyone seen and heard, in sync.

    The picture changes as participants come and go. Missing media are downloaded first. Recordings that cannot be used
    are left out and named, and the exit code is 1. If this is killed, run the same command again: finished scenes are
    not made again. With --per participant, there is a file for each participant instead, which begins and ends with the
    room.

    ROOM is a room SID, RM and 32 hexadecimal digits, or a unique name. The credentials come from the environment, as
    for 'roomrec list'.

    SOURCE is what was kept of a room, which needs no account: an archive, its manifest, a room's folder in it, or a
    folder of 'roomrec download'. An archive may be in a store. If there are several rooms in it, ROOM follows.
    """
    of = RoomSource.parse(source, room)
    options: FilmOptions = {
        "per": per,
        "format": file_format,
        "size": size,
        "layout": layout,
        "screen_name": screen_name,
        "start": start,
        "end": end,
        "camera_off_after": camera_off_after,
    }
    if of.kept is not None:
        of.refuse_options("--print", "--wait", "--identities", "--private-key")
    job = MuxRun(output, media, make_decryption(private_key), math.inf if wait else 0.0, strict, as_json, identities)
    if of.kept is not None:
        return run_async(job.run_on_kept(of.kept, of.room, options))
    if print_only:
        return run_async(job.print_script(make_client(base_url), source, options))
    return run_async(job.run(make_client(base_url), source, options))


@attrs.frozen
class MuxRun:
    """One run of the command.

    Attributes:
        output: the file to write.
        media: directory to keep downloads in, or None.
        decryption: decrypts encrypted media, or None.
        wait: seconds to wait for recordings that are being processed.
        strict: True to make no film unless everything is in it.
        as_json: True to print JSON.
        identities: True to show the names of participants.
        failures: what is printed on stderr.
    """

    output: Path
    media: Path | None
    decryption: Decryption | None
    wait: float
    strict: bool
    as_json: bool
    identities: bool
    failures: Failures = attrs.field(factory=Failures)

    async def print_script(self, client: RecordingsClient, room: str, options: FilmOptions) -> int:
        """Print the script for a room, and return the exit code."""
        from roomrec_async.integrations.ffmpeg import check_script, make_script  # noqa: PLC0415  for this command only

        async with client:
            check_script(self.output, options)
            room_sid = await RoomNames(client).find(room)
            await self._add_names(client, room_sid, options)
            script = await make_script(client, room_sid, self.output, media=self.media or Path(), **options)
        click.echo(script, nl=False)
        return ExitCode.SUCCESS

    async def run(self, client: RecordingsClient, room: str, options: FilmOptions) -> int:
        """Combine the recordings of a room, and return the exit code."""
        from roomrec_async.integrations.ffmpeg import check_film  # noqa: PLC0415  for this command only
        from roomrec_async.integrations.ffmpeg import mux as make_film  # noqa: PLC0415  for this command only

        async def make(on_progress: OnProgress) -> Muxed:
            async with client:
                await check_film(self.output, options)
                room_sid = await RoomNames(client).find(room)
                await self._add_names(client, room_sid, options)
                return await make_film(
                    client,
                    room_sid,
                    self.output,
                    media=self.media,
                    decryption=self.decryption,
                    wait=self.wait,
                    strict=self.strict,
                    on_progress=on_progress,
                    **options,
                )

        return await self._run(make)

    async def run_on_kept(self, source: str, room: str | None, options: FilmOptions) -> int:
        """Combine what was kept of a room, and return the exit code."""
        from roomrec_async.integrations.ffmpeg import mux_kept  # noqa: PLC0415  for this command only

        async def make(on_progress: OnProgress) -> Muxed:
            return await mux_kept(
                source,
                self.output,
                room_sid=room,
                media=self.media,
                strict=self.strict,
                on_progress=on_progress,
                **options,
            )

        return await self._run(make)

    async def _add_names(self, client: RecordingsClient, room: str, options: FilmOptions) -> None:
        """Add the identities of a room's participants to the options, if they are asked for."""
        if self.identities:
            options["names"] = await list_identities(client.participants, room)

    async def _run(self, make: Callable[[OnProgress], Awaitable[Muxed]]) -> int:
        try:
            film = await self._show_progress(make)
        except (RoomRecError, OSError) as error:
            for note in getattr(error, "__notes__", ()):
                self.failures.print(safe_text(note))
            raise
        self._print(film)
        return ExitCode.FAILURE if film.left_out else ExitCode.SUCCESS

    async def _show_progress(self, make: Callable[[OnProgress], Awaitable[Muxed]]) -> Muxed:
        console = self.failures.console
        if not current_log().draws_on(console):
            return await self._log_progress(make)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=current_log().is_quiet) as progress:
            task = progress.add_task("getting media", total=None)

            def on_progress(done: int, total: int) -> None:
                progress.update(task, description="making the film", completed=done, total=total)

            return await make(on_progress)

    async def _log_progress(self, make: Callable[[OnProgress], Awaitable[Muxed]]) -> Muxed:
        state = "getting media"

        def on_progress(done: int, total: int) -> None:
            nonlocal state
            state = f"making the film, {done / max(total, 1):.0%}"

        with log_progress(lambda _: state):
            return await make(on_progress)

    def _print(self, film: Muxed) -> None:
        """Print what is in a film, and what is not."""
        for left_out in film.left_out:
            self.failures.print(f"left out: {safe_text(left_out.reason)}")
        for recording in film.truncated:
            self.failures.print(f"truncated: the media of {recording.sid} break off; they are in it as far as they go")
        for recording in film.about:
            self.failures.print(f"about: {recording.sid} has no offset, and is placed by its date, to the second")
        for file in film.files:
            self.failures.print(f"{safe_text(str(file.path))}: {format_file(file)}")
        self.failures.print(f"{safe_text(str(film.path))}: {format_film(film)}")
        if self.as_json:
            click.echo(json.dumps(film_values(film)))


def format_file(file: ParticipantFile) -> str:
    """Return a line about what is in the file of a participant."""
    return format_tracks(file) or "silent, because no audio of this participant can be used"


def format_tracks(made: Muxed | ParticipantFile) -> str:
    """Return the number of tracks of each kind, without a kind that is not there."""
    counts = ((made.videos, "video"), (made.audios, "audio track"))
    return " and ".join(format_count(count, noun) for count, noun in counts if count)


def format_film(film: Muxed) -> str:
    """Return a line about what is in a film, or in the files of participants."""
    files = f" in {format_count(len(film.files), 'file')}" if film.files else ""
    left_out = f", {format_count(len(film.left_out), 'recording')} left out" if film.left_out else ""
    data = f", {format_count(film.data_tracks, 'data track')} ignored" if film.data_tracks else ""
    return f"{format_duration(film.seconds)} of {format_tracks(film) or 'silence'}{files}{left_out}{data}"


def film_values(film: Muxed) -> dict[str, object]:
    """Return a film as JSON values."""
    return {
        "path": str(film.path),
        "seconds": film.seconds,
        "videos": film.videos,
        "audios": film.audios,
        "left_out": [left_out_values(each) for each in film.left_out],
        "truncated": [recording.sid for recording in film.truncated],
        "about": [recording.sid for recording in film.about],
        "data_tracks": film.data_tracks,
        "files": [file_values(file) for file in film.files],
    }


def left_out_values(left_out: LeftOut) -> dict[str, object]:
    """Return a recording that was left out as JSON values."""
    recording = left_out.recording
    return {"sid": recording.sid, "participant_sid": recording.participant_sid, "reason": left_out.reason}


def file_values(file: ParticipantFile) -> dict[str, object]:
    """Return the file of a participant as JSON values."""
    return {
        "path": str(file.path),
        "participant_sid": file.participant_sid,
        "name": file.name,
        "videos": file.videos,
        "audios": file.audios,
    }
