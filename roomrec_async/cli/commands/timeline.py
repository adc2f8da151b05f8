"""``roomrec timeline``: draw the recordings of a room on a time axis, as an HTML page or an SVG drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import click

from roomrec_async._files import atomic_write
from roomrec_async._format import format_count
from roomrec_async._listing.records import merge_listings
from roomrec_async._text import safe_repr, safe_text
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.options import LocalPath, base_url_option, room_argument
from roomrec_async.cli.support.resources import make_client
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.models import Recording, RecordingStatus

_EXAMPLES: Final = """\b
Examples:
  roomrec timeline RM0123456789abcdef0123456789abcdef -o room.html
  roomrec timeline RM0123456789abcdef0123456789abcdef -o room.svg
"""

_FILE_EXTENSIONS: Final = (".html", ".svg")


class Renderer(Protocol):
    """Draws recordings, and returns the text of a file."""

    def __call__(self, recordings: list[Recording], *, title: str) -> str:
        """Draw recordings."""


@click.command("timeline", epilog=_EXAMPLES, short_help="Draw the recordings of a room on a time axis.")
@room_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="File to write: .html for an interactive page, .svg for a drawing. An existing one is replaced.",
)
@base_url_option
def timeline(room: str, output: Path, base_url: str) -> int:
    """Draw the recordings of a room on a time axis, with a lane for each participant, and audio, video and data apart.

    It includes recordings that are still in progress, that failed, or that were deleted in the last 30 days, and marks
    them. The file is self-contained: it opens without network or credentials.

    ROOM is a room SID: RM and 32 hexadecimal digits. The credentials come from the environment, as for
    'roomrec list'.
    """
    render = renderer_for(output)
    return run_async(draw(make_client(base_url), room, output, render))


def renderer_for(output: Path) -> Renderer:
    """Return the renderer for the extension of a file.

    Raises:
        InvalidArgumentError: there is none.
        ConfigurationError: it needs an extra that is not installed.
    """
    extension = output.suffix.lower()
    if extension not in _FILE_EXTENSIONS:
        raise InvalidArgumentError(
            f"a timeline's file must end in {' or '.join(_FILE_EXTENSIONS)}, not {safe_repr(output.name)}"
        )
    from roomrec_async.integrations.html import timeline_html, timeline_svg  # noqa: PLC0415  an extra of its own

    return timeline_html if extension == ".html" else timeline_svg


async def draw(client: RecordingsClient, room: str, output: Path, render: Renderer) -> int:
    """Write the file for a room, and return the exit code."""
    # The file is opened first: if that is impossible, nothing is sent.
    with atomic_write(output) as file:
        async with client:
            recordings = await list_all(client, room)
        file.write(render(recordings, title=f"Room {room}").encode())

    participants = {recording.participant_sid for recording in recordings} - {None}
    counts = f"{format_count(len(recordings), 'recording')} of {format_count(len(participants), 'participant')}"
    Failures().print(f"{safe_text(str(output))}: {counts}")
    return ExitCode.SUCCESS


async def list_all(client: RecordingsClient, room: str) -> list[Recording]:
    """Return all recordings of a room. Deleted ones take a request of their own."""
    # In this order: a recording that is deleted in between is then in both listings, and not in neither.
    listed = await client.recordings(room).to_list()
    deleted = await client.recordings(room, status=RecordingStatus.DELETED).to_list()
    return merge_listings(listed, deleted)
