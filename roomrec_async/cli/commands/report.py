"""``roomrec report``: what the account has recorded, as a page or as numbers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import click

from roomrec_async._asyncio import map_concurrently
from roomrec_async._files import whole_file
from roomrec_async._listing.scan import DateWindow, split_window
from roomrec_async._text import safe_repr, safe_text
from roomrec_async._views.totals import Overview, utc_day
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.options import base_url_option, client_from, window_options
from roomrec_async.cli.support.table_reader import reader_for
from roomrec_async.cli.support.tables import counted, length_told, pace_told, progress_shown, size_told
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.models import Recording, RecordingStatus

_EXAMPLES: Final = """\b
Examples:
  roomrec report --after 2026-03-01T00:00:00Z --before 2026-04-01T00:00:00Z -o march.html
  roomrec report --manifest archive/manifest.jsonl -o archive.html
  roomrec report --after 2026-03-01T00:00:00Z --json | jq .by_day
"""

_ENDINGS: Final = (".html", ".json")
# What an overview looks at.
_FIELDS: Final = ("sid", "room_sid", "type", "status", "date_created", "duration", "size", "track_name")
# Both lists of so many parts of the window are under way at once; and their SIDs in memory.
_PARTS: Final = 64
_PARTS_AT_ONCE: Final = 16
_DAY: Final = timedelta(days=1)

_Told: TypeAlias = Callable[[Overview], str]
"""Makes the text of an overview."""


@click.command("report", epilog=_EXAMPLES, short_help="Sum up what was recorded: by day, type, status and room.")
@window_options("recordings of the whole account that started")
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="Sum up this file instead and ask no service: an archive's manifest or the output of 'roomrec list -o', "
    ".jsonl or .parquet.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file: .html for a page to look at, .json for the numbers. One that is there is replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON instead.")
@base_url_option
def report(
    after: datetime | None,
    before: datetime | None,
    manifest: Path | None,
    output: Path | None,
    as_json: bool,
    base_url: str,
) -> int:
    """Sum up what the account has recorded, or what an archive holds: recordings, bytes and minutes by day, by type
    and by status, the rooms with the most bytes, and which recordings failed.

    Recordings that are still being captured, that failed, and those that were deleted in the last 30 days are in it.
    The page stands alone: whoever opens it needs no network and no credentials.

    The credentials are those of the environment, as for 'roomrec list'; --manifest needs none.
    """
    if (output is None) is not as_json:
        raise click.UsageError("give either -o FILE or --json")
    if manifest is not None:
        if after or before:
            raise click.UsageError("--manifest goes with neither --after nor --before: all of the file is summed up")
        told = _told_in(output, f"Recordings in {manifest}")
        return _Reporting(output, told, Overview()).of_file(reader_for(manifest, _FIELDS))
    if after is None:
        raise click.UsageError("nothing to sum up: give --after INSTANT for the whole account, or --manifest FILE")
    window = DateWindow(after, before)
    reporting = _Reporting(output, _told_in(output, _title(window)), Overview(_days(window)))
    return asyncio.run(reporting.of_account(client_from(base_url), window))


def _title(window: DateWindow) -> str:
    after, before = (each and f"{each:%Y-%m-%d %H:%M} {each.tzname()}" for each in (window.after, window.before))
    return f"Recordings from {after} to {before}" if before else f"Recordings since {after}"


def _days(window: DateWindow) -> tuple[date, date] | None:
    """The days of a window that has an end."""
    if window.before is None or window.before == window.after:
        return None
    first, last = utc_day(window.after), utc_day(window.before - timedelta(microseconds=1))
    return None if first is None or last is None else (first, last)


def _page(title: str) -> _Told:
    from roomrec_async.integrations.report import report_html  # noqa: PLC0415  an extra of its own

    return partial(report_html, title=title)


def _numbers(overview: Overview) -> str:
    return json.dumps(overview.to_dict(), indent=1) + "\n"


def _told_in(output: Path | None, title: str) -> _Told:
    """What makes the text for a file of this name.

    Raises:
        InvalidArgumentError: the name asks for nothing that can be made.
        ConfigurationError: the extra is not installed.
    """
    ending = ".json" if output is None else output.suffix.lower()
    if ending not in _ENDINGS:
        name = "" if output is None else safe_repr(output.name)
        raise InvalidArgumentError(f"a report's file must end in {' or '.join(_ENDINGS)}, not {name}")
    return _numbers if ending == ".json" else _page(title)


@attrs.frozen
class _Reporting:
    """One run of the command.

    Attributes:
        output: the file; None for standard output.
        told: what makes its text.
        overview: what has been counted.
    """

    output: Path | None
    told: _Told
    overview: Overview
    failures: Failures = attrs.field(factory=Failures)

    def of_file(self, recordings: Callable[[], Iterator[Recording]]) -> int:
        """Sum up the recordings in a file. The result is the exit code."""
        with self._written(), self._progress(lambda: ""):
            for recording in recordings():
                self.overview.add(recording)
        return self._end()

    async def of_account(self, client: RecordingsClient, window: DateWindow) -> int:
        """Sum up those of the account in a window. The result is the exit code."""
        with self._written(), self._progress(lambda: f" · {client.limiter.in_flight} in flight"):
            async with client, aclosing(_all_recordings(client, window)) as lists:
                async for recordings in lists:
                    for recording in recordings:
                        self.overview.add(recording)
        return self._end()

    @contextmanager
    def _written(self) -> Iterator[None]:
        """What is counted meanwhile, in the file. The file first: what cannot be written is found out before anything
        is sent.
        """
        if self.output is None:
            yield
            return
        with whole_file(self.output) as file:
            yield
            file.write(self.told(self.overview).encode())

    def _progress(self, more: Callable[[], str]) -> AbstractContextManager[object]:
        def tell(elapsed: float) -> str:
            return f"{pace_told(self.overview.all.recordings, elapsed)}{more()} · {length_told(elapsed)}"

        return progress_shown(self.failures.console, tell)

    def _end(self) -> int:
        if self.output is None:
            click.echo(self.told(self.overview), nl=False)
            return 0
        overview = self.overview
        told = f"{counted(overview.all.recordings, 'recording')} of {counted(overview.rooms, 'room')}"
        failed = f", {overview.failed:,} failed" if overview.failed else ""
        self.failures.say(f"{safe_text(str(self.output))}: {told}, {size_told(overview.all.size)}{failed}")
        return 0


async def _all_recordings(client: RecordingsClient, window: DateWindow) -> AsyncGenerator[list[Recording], None]:
    """All of the account in a window, each once, with those that were deleted: these are listed only when asked for.

    The window is cut into parts, so that no more than the SIDs of some of them are in memory.
    """

    async def list_part(part: DateWindow) -> AsyncGenerator[list[Recording], None]:
        # In this order: what is deleted in between is then in both lists; the other way round it would be in none.
        listed: set[str | None] = set()
        async with aclosing(client.scan(part)) as lists:
            async for recordings in lists:
                listed.update(recording.sid for recording in recordings)
                yield recordings
        listed.discard(None)
        async with aclosing(client.scan(part, status=RecordingStatus.DELETED)) as lists:
            async for recordings in lists:
                yield [recording for recording in recordings if recording.sid not in listed]

    async with aclosing(map_concurrently(_parts(window), list_part, lambda: _PARTS_AT_ONCE)) as lists:
        async for recordings in lists:
            yield recordings


async def _parts(window: DateWindow) -> AsyncGenerator[DateWindow, None]:
    """A day each, or longer ones if these were too many."""
    length = (window.before or datetime.now(UTC)) - window.after
    for part in split_window(window, min(_PARTS, max(1, math.ceil(length / _DAY)))):
        yield part
