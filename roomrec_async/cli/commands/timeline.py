"""``roomrec timeline``: when each recording of a room was made, as a page or a drawing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Protocol

import click

from roomrec_async._files import whole_file
from roomrec_async._text import safe_repr, safe_text
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.options import base_url_option, client_from, room_argument
from roomrec_async.cli.support.tables import counted
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.models import Recording, RecordingStatus

_EXAMPLES: Final = """\b
Examples:
  roomrec timeline RM0123456789abcdef0123456789abcdef -o room.html
  roomrec timeline RM0123456789abcdef0123456789abcdef -o room.svg
"""

_ENDINGS: Final = (".html", ".svg")


class _Drawing(Protocol):
    def __call__(self, recordings: list[Recording], *, title: str) -> str: ...


@click.command("timeline", epilog=_EXAMPLES, short_help="Draw when each recording of a room was made.")
@room_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file: .html for a page to look around in, .svg for a drawing. One that is there is replaced.",
)
@base_url_option
def timeline(room: str, output: Path, base_url: str) -> int:
    """Draw when each recording of a room was made: a lane for each participant, with audio, video and data apart.

    Recordings that are still being captured, that failed, and those that were deleted in the last 30 days are in it,
    and look different. The file stands alone: whoever opens it needs no network and no credentials.

    ROOM is a room SID, RM and 32 hexadecimal digits. The credentials are those of the environment, as for
    'roomrec list'.
    """
    drawing = _drawing_for(output)
    return asyncio.run(_draw(client_from(base_url), room, output, drawing))


def _drawing_for(output: Path) -> _Drawing:
    """What draws into a file of this name.

    Raises:
        InvalidArgumentError: the name asks for nothing that can be drawn.
        ConfigurationError: the extra is not installed.
    """
    ending = output.suffix.lower()
    if ending not in _ENDINGS:
        raise InvalidArgumentError(
            f"a timeline's file must end in {' or '.join(_ENDINGS)}, not {safe_repr(output.name)}"
        )
    from roomrec_async.integrations.html import timeline_html, timeline_svg  # noqa: PLC0415  an extra of its own

    return timeline_html if ending == ".html" else timeline_svg


async def _draw(client: RecordingsClient, room: str, output: Path, drawing: _Drawing) -> int:
    # The file first: a directory that is not there is found out before anything is sent.
    with whole_file(output) as file:
        async with client:
            recordings = await _recordings(client, room)
        file.write(drawing(recordings, title=f"Room {room}").encode())
    participants = len({recording.participant_sid for recording in recordings} - {None})
    told = f"{counted(len(recordings), 'recording')} of {counted(participants, 'participant')}"
    Failures().say(f"{safe_text(str(output))}: {told}")
    return 0


async def _recordings(client: RecordingsClient, room: str) -> list[Recording]:
    """All of a room, with those that were deleted: these are listed only when asked for.

    In this order: what is deleted in between is then in both lists, the second of which knows better; the other way
    round it would be in none.
    """
    listed = await client.recordings(room).to_list()
    deleted = await client.recordings(room, status=RecordingStatus.DELETED).to_list()
    gone = {recording.sid for recording in deleted if recording.sid is not None}
    return [recording for recording in listed if recording.sid not in gone] + deleted
