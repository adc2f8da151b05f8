"""``roomrec timeline``: draw the recordings of a room on a time axis, as a page that can play them or as a drawing."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import click

from roomrec_async._archive.kept import KeptRoom, open_kept
from roomrec_async._asyncio import map_concurrently, run_in_thread
from roomrec_async._files import atomic_write
from roomrec_async._format import format_count
from roomrec_async._listing.identities import list_identities
from roomrec_async._listing.records import merge_listings
from roomrec_async._media.locate import media_name
from roomrec_async._text import safe_repr, safe_text
from roomrec_async._views.timeline import TrackFile
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.names import RoomNames
from roomrec_async.cli.support.options import LocalPath, base_url_option, identities_option, limit_options
from roomrec_async.cli.support.resources import make_client
from roomrec_async.cli.support.room_source import RoomSource, room_source_arguments
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError, MediaError
from roomrec_async.models import Recording, RecordingStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXAMPLES: Final = """\b
Examples:
  roomrec timeline RM2cfaa189a9cc4a80b935caff592db30c -o room.html
  roomrec timeline RM2cfaa189a9cc4a80b935caff592db30c -o room.html \\
      --film room.mp4
  roomrec timeline RM2cfaa189a9cc4a80b935caff592db30c -o room.svg \\
      --media media/
  roomrec timeline archive/RM2cfaa189a9cc4a80b935caff592db30c -o room.html
"""

_FILE_EXTENSIONS: Final = (".html", ".svg")
# Files that a browser plays.
_FILM_EXTENSIONS: Final = (".mp4", ".mkv", ".webm")
# ffprobe reads whole files, and waits for the disk most of the time.
_MAX_PROBES: Final = 4


class Renderer(Protocol):
    """Draws recordings, and returns the text of a file."""

    def __call__(
        self, recordings: list[Recording], *, title: str, names: Mapping[str, str], files: Mapping[str, TrackFile]
    ) -> str:
        """Draw recordings."""


@click.command("timeline", cls=RoomrecCommand, epilog=_EXAMPLES)
@room_source_arguments
@click.option(
    "-o",
    "--output",
    required=True,
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="File to write: .html for an interactive page, .svg for a drawing. An existing one is replaced.",
)
@click.option(
    "--film",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Film of the room, made by 'roomrec mux', for the page to play. All browsers play .mp4, some play .mkv.",
)
@click.option(
    "--media",
    type=LocalPath(file_okay=False),
    metavar="DIR",
    help="Directory of the room's media, as 'roomrec download' leaves it. They place tracks to the millisecond; "
    "without --film the page plays them, in browsers that play Matroska.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as a JSON object.")
@identities_option
@base_url_option
@limit_options
def timeline(
    source: str,
    room: str | None,
    output: Path,
    film: Path | None,
    media: Path | None,
    as_json: bool,
    identities: bool,
    base_url: str,
) -> int:
    """Draw the recordings of a room on a time axis, with a lane for each participant, and audio, video and data apart.

    It includes recordings that are still in progress, that failed, or that were deleted in the last 30 days, and marks
    them. The file opens without network or credentials. A page that plays a film or media names them relative to
    itself: move them together. Without --media, tracks are placed by the dates of their recordings, and marked "about".

    ROOM is a room SID, RM and 32 hexadecimal digits, or a unique name. The credentials come from the environment, as
    for 'roomrec list'.

    SOURCE is what was kept of a room, which needs no account: an archive, its manifest, a room's folder in it, or a
    folder of 'roomrec download'. An archive may be in a store. If there are several rooms in it, ROOM follows.
    """
    of = RoomSource.parse(source, room)
    if of.kept is not None:
        of.refuse_options("--identities")
    drawing = Drawing(output, check_media_directory(media), renderer_for(output, film), identities, as_json)
    if of.kept is not None:
        return run_async(drawing.run_on_kept(of.kept, of.room))
    return run_async(drawing.run(make_client(base_url), source))


def renderer_for(output: Path, film: Path | None) -> Renderer:
    """Return the renderer for the extension of a file.

    Raises:
        InvalidArgumentError: there is none, it cannot play the film, or there is no film.
        ConfigurationError: it needs an extra that is not installed.
    """
    extension = output.suffix.lower()
    if extension not in _FILE_EXTENSIONS:
        raise InvalidArgumentError(
            f"a timeline's file must end in {' or '.join(_FILE_EXTENSIONS)}, not {safe_repr(output.name)}"
        )
    if film is not None:
        check_film(film, output)

    from roomrec_async.integrations.html import timeline_html, timeline_svg  # noqa: PLC0415  an extra of its own

    if extension == ".svg":
        return timeline_svg
    return partial(timeline_html, film=film, directory=output.parent)


def check_film(film: Path, page: Path) -> None:
    """Check that a page can play a film.

    Raises:
        InvalidArgumentError: it cannot, or there is no film.
    """
    if page.suffix.lower() != ".html":
        raise InvalidArgumentError(f"--film needs a page: {safe_repr(page.name)} must end in .html")
    if film.suffix.lower() not in _FILM_EXTENSIONS:
        raise InvalidArgumentError(
            f"--film must be a file that ends in {', '.join(_FILM_EXTENSIONS)}, not {safe_repr(film.name)}: "
            "make one with 'roomrec mux'"
        )
    if not film.is_file():
        raise InvalidArgumentError(f"there is no film {safe_text(str(film))}: make it with 'roomrec mux'")


def check_media_directory(media: Path | None) -> Path | None:
    """Return the directory of the media.

    Raises:
        InvalidArgumentError: there is no such directory.
    """
    if media is not None and not media.is_dir():
        raise InvalidArgumentError(f"there is no directory {safe_text(str(media))}: fill it with 'roomrec download'")
    return media


@attrs.frozen
class Drawing:
    """One run of the command.

    Attributes:
        output: the file to write.
        media: directory of the media, or None.
        render: draws the recordings.
        identities: True to show the names of participants.
        as_json: True to print what was drawn as JSON.
        failures: the media files that cannot be read.
    """

    output: Path
    media: Path | None
    render: Renderer
    identities: bool
    as_json: bool
    failures: Failures = attrs.field(factory=Failures)

    async def run(self, client: RecordingsClient, room: str) -> int:
        """Write the file for a room, and return the exit code."""
        # The file is opened first: if that is impossible, nothing is sent.
        with atomic_write(self.output) as file:
            async with client:
                room_sid = await RoomNames(client).find(room)
                recordings = await list_all(client, room_sid)
                names = await list_identities(client.participants, room_sid) if self.identities else {}
            found = [] if self.media is None else await run_in_thread(partial(find_media, recordings, self.media))
            files = await self._probe_all(found)
            file.write(self.render(recordings, title=f"Room {safe_text(room)}", names=names, files=files).encode())
        self._print_summary(recordings, files)
        return self.failures.exit_code

    async def run_on_kept(self, source: str, room_sid: str | None) -> int:
        """Write the file for what was kept of a room, and return the exit code."""
        with atomic_write(self.output) as file:
            room = await open_kept(source, room_sid)
            recordings = [kept.recording for kept in room.recordings]
            found = await run_in_thread(partial(find_kept_media, room, self.media))
            files = await self._probe_all(found)
            file.write(self.render(recordings, title=f"Room {room.room_sid}", names={}, files=files).encode())
        self._print_summary(recordings, files)
        return self.failures.exit_code

    def _print_summary(self, recordings: Sequence[Recording], files: Mapping[str, TrackFile]) -> None:
        participants = {recording.participant_sid for recording in recordings} - {None}
        counts = f"{format_count(len(recordings), 'recording')} of {format_count(len(participants), 'participant')}"
        if self.as_json:
            numbers = {"recordings": len(recordings), "participants": len(participants), "media": len(files)}
            click.echo(json.dumps({"file": str(self.output), **numbers}))
        with_media = f", {len(files):,} with media" if files or self.media else ""
        self.failures.print(f"{safe_text(str(self.output))}: {counts}{with_media}{self.failures.format_suffix()}")

    async def _probe_all(self, found: Sequence[tuple[str, Path]]) -> dict[str, TrackFile]:
        """Return media files by recording SID, measured; those that cannot be read are failures."""

        async def iterate() -> AsyncGenerator[tuple[str, Path], None]:
            for each in found:
                yield each

        async with aclosing(map_concurrently(iterate(), self._probe, lambda: _MAX_PROBES)) as probed:
            return {sid: file async for sid, file in probed}

    async def _probe(self, found: tuple[str, Path]) -> AsyncGenerator[tuple[str, TrackFile], None]:
        from roomrec_async.integrations.ffmpeg.probing import probe  # noqa: PLC0415  for --media only

        sid, path = found
        try:
            measured = await probe(path)
            if not measured.has_frames:
                raise MediaError(f"{safe_text(str(path))} has nothing to play")
        except MediaError as error:
            self.failures.add(sid, error)
            return
        yield sid, TrackFile(path, measured.start, measured.length)


def find_media(recordings: list[Recording], media: Path) -> list[tuple[str, Path]]:
    """Return the SID of each recording that has a file in a directory, and the file."""
    named = [(recording.sid, media / media_name(recording)) for recording in recordings if recording.sid]
    return [(sid, path) for sid, path in named if path.is_file()]


def find_kept_media(room: KeptRoom, media: Path | None) -> list[tuple[str, Path]]:
    """Return the SID of each recording with a file: in a directory if one is given, or else where it was kept."""
    if media is not None:
        return find_media([kept.recording for kept in room.recordings], media)
    # Those in a store would have to be copied first: 'roomrec mux --media' does.
    if not isinstance(room.location, Path):
        return []
    named = [(kept.recording.sid, room.location / kept.name) for kept in room.recordings]
    return [(sid, path) for sid, path in named if sid and path.is_file()]


async def list_all(client: RecordingsClient, room: str) -> list[Recording]:
    """Return all recordings of a room. Deleted ones take a request of their own."""
    # In this order: a recording that is deleted in between is then in both listings, and not in neither.
    listed = await client.recordings(room).to_list()
    deleted = await client.recordings(room, status=RecordingStatus.DELETED).to_list()
    return merge_listings(listed, deleted)
