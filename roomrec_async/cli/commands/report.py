"""``roomrec report``: sum up the recordings of an account or an archive, as an HTML page or as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import click

from roomrec_async._archive.reader import make_reader
from roomrec_async._asyncio import map_concurrently
from roomrec_async._files import atomic_write
from roomrec_async._format import format_count, format_duration, format_pace, format_size
from roomrec_async._listing.identities import list_identities
from roomrec_async._listing.records import merge_listings
from roomrec_async._listing.scan import DateWindow, split_window
from roomrec_async._text import safe_repr, safe_text
from roomrec_async._views.totals import Overview, Totals, utc_day
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.options import LocalPath, base_url_option, limit_options, window_options
from roomrec_async.cli.support.progress import show_progress
from roomrec_async.cli.support.resources import make_client
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient
from roomrec_async.errors import InvalidArgumentError, RoomRecError
from roomrec_async.models import Recording, RecordingStatus

_EXAMPLES: Final = """\b
Examples:
  roomrec report --after 7d
  roomrec report --after 2026-03-01 --before 2026-04-01 -o march.html
  roomrec report --manifest archive/manifest.jsonl -o archive.html
  roomrec report --after 2026-03-01T00:00:00Z --json > report.json
  roomrec report --after 2026-03-01T00:00:00Z --identities -o people.html
"""

_FILE_EXTENSIONS: Final = (".html", ".json")

# Fields that an overview reads.
_FIELDS: Final = ("sid", "room_sid", "type", "status", "date_created", "duration", "size", "track_name")

# Maximum number of parts that a window is split into, one a day if these are enough.
_MAX_PARTS: Final = 64
# Parts of the window that are listed at once; their recordings are in memory meanwhile.
_MAX_CONCURRENT_PARTS: Final = 16

# Rooms whose participants are listed at once; the client's limits may allow fewer.
_MAX_CONCURRENT_ROOMS: Final = 64

_DAY: Final = timedelta(days=1)

Renderer: TypeAlias = Callable[[Overview], str]
"""Returns the text of a report."""


@click.command("report", cls=RoomrecCommand, epilog=_EXAMPLES)
@window_options("recordings of the whole account that started")
@click.option(
    "--manifest",
    type=click.Path(exists=True, readable=True, path_type=Path),
    metavar="FILE",
    help="Sum up this file instead of the account: the manifest of an archive, which may be a directory of parts, or "
    "the output of 'roomrec list -o'; .jsonl or .parquet.",
)
@click.option(
    "-o",
    "--output",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="File to write: .html for a page, .json for the numbers. An existing one is replaced.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the numbers as JSON. That is the default where there is no terminal."
)
@click.option(
    "--identities",
    is_flag=True,
    help="Also list the people with the most recorded time, by the identities that the application gave them: one "
    "request for each room.",
)
@base_url_option
@limit_options
def report(
    after: datetime | None,
    before: datetime | None,
    manifest: Path | None,
    output: Path | None,
    as_json: bool,
    identities: bool,
    base_url: str,
) -> int:
    """Sum up what the account has recorded, or what an archive contains: recordings, bytes and minutes by day, type
    and status, the rooms with the most bytes, and the recordings that failed.

    It includes recordings that are still in progress, that failed, or that were deleted in the last 30 days. On a
    terminal, the numbers are printed as tables. The page is self-contained: it opens without network or credentials.

    The credentials come from the environment, as for 'roomrec list'; --manifest needs none.
    """
    if output is not None and as_json:
        raise click.UsageError("-o cannot be used with --json: its file extension sets the format")
    as_text = output is None and not as_json and sys.stdout.isatty()
    if manifest is not None:
        if after or before:
            raise click.UsageError("--manifest cannot be used with --after or --before: the whole file is summed up")
        if identities:
            raise click.UsageError("--manifest cannot be used with --identities: only the account knows them")
        render = renderer_for(output, f"Recordings in {manifest}", as_text=as_text)
        return ReportRun(output, render, Overview()).run_on_file(make_reader(manifest, _FIELDS))

    if after is None:
        raise click.UsageError("nothing to sum up: give --after TIME for the whole account, or --manifest FILE")
    window = DateWindow(after, before)
    overview = Overview(days_of(window), participants=identities)
    job = ReportRun(output, renderer_for(output, format_title(window), as_text=as_text), overview)
    return run_async(job.run_on_account(make_client(base_url), window))


def format_title(window: DateWindow) -> str:
    """Return the title of a report on a window."""
    after = format_local(window.after)
    if window.before is None:
        return f"Recordings since {after}"
    return f"Recordings from {after} to {format_local(window.before)}"


def format_local(instant: datetime) -> str:
    """Return a date and time in the time zone that it was given in."""
    return f"{instant:%Y-%m-%d %H:%M} {instant.tzname()}"


def days_of(window: DateWindow) -> tuple[date, date] | None:
    """Return the first and the last UTC day of a window, or None if it has no end or is empty."""
    if window.before is None or window.before == window.after:
        return None
    first = utc_day(window.after)
    # The end itself does not belong to the window.
    last = utc_day(window.before - timedelta(microseconds=1))
    if first is None or last is None:
        return None
    return first, last


def renderer_for(output: Path | None, title: str, *, as_text: bool) -> Renderer:
    """Return the renderer for the extension of a file, or for standard output: text for a terminal, or JSON.

    Raises:
        InvalidArgumentError: there is none.
        ConfigurationError: it needs an extra that is not installed.
    """
    if output is None:
        return partial(render_text, title=title) if as_text else render_json
    extension = output.suffix.lower()
    if extension not in _FILE_EXTENSIONS:
        raise InvalidArgumentError(
            f"a report's file must end in {' or '.join(_FILE_EXTENSIONS)}, not {safe_repr(output.name)}"
        )
    if extension == ".json":
        return render_json
    from roomrec_async.integrations.report import report_html  # noqa: PLC0415  an extra of its own

    return partial(report_html, title=title)


def render_json(overview: Overview) -> str:
    """Return the numbers as JSON."""
    return json.dumps(overview.to_dict(), indent=1) + "\n"


def render_text(overview: Overview, *, title: str) -> str:
    """Return the numbers as tables for a terminal of 80 columns."""
    periods = overview.periods()
    largest = {safe_text(room.room_sid): room.sum for room in overview.largest()}
    by_period = {period.start.isoformat(): period.all for period in periods.each if period.all.recordings}
    sections: list[tuple[str, Mapping[str, Totals]]] = [
        ("type", overview.by_type),
        ("status", overview.by_status),
        (f"{periods.unit} (UTC)", by_period),
        ("room, largest first", largest),
    ]
    lines = [
        safe_text(title),
        "",
        format_heading(""),
        format_totals(f"all, of {format_count(overview.rooms, 'room')}", overview.all),
    ]
    for heading, rows in sections:
        if rows:
            lines += ["", format_heading(heading), *(format_totals(name, totals) for name, totals in rows.items())]
    return "".join(f"{line}\n" for line in lines)


def format_heading(title: str) -> str:
    """Return the line above the rows of a table of totals."""
    return f"{title:<36}{'recordings':>12}{'size':>12}{'length':>20}"


def format_totals(name: str, totals: Totals) -> str:
    """Return totals as a row of a table."""
    return f"{name:<36}{totals.recordings:>12,}{format_size(totals.size):>12}{format_duration(totals.duration):>20}"


@attrs.frozen
class ReportRun:
    """One run of the command.

    Attributes:
        output: the file to write, or None for standard output.
        render: makes its text.
        overview: sums up the recordings.
        failures: rooms whose participants could not be listed.
    """

    output: Path | None
    render: Renderer
    overview: Overview
    failures: Failures = attrs.field(factory=Failures)

    def run_on_file(self, read: Callable[[], Iterator[Recording]]) -> int:
        """Report on the recordings in a file, and return the exit code."""
        with self._write_output(), self._show_progress(lambda: ""):
            for recording in read():
                self.overview.add(recording)
        self._print_summary()
        return ExitCode.SUCCESS

    async def run_on_account(self, client: RecordingsClient, window: DateWindow) -> int:
        """Report on the recordings of the account in a window, and return the exit code."""
        with self._write_output(), self._show_progress(lambda: f" · {client.limiter.in_flight} in flight"):
            async with client:
                async with aclosing(scan_all(client, window, self._fields)) as lists:
                    async for recordings in lists:
                        for recording in recordings:
                            self.overview.add(recording)
                await self._add_identities(client)
        self._print_summary()
        return self.failures.exit_code

    @property
    def _fields(self) -> tuple[str, ...]:
        return (*_FIELDS, "grouping_sids") if self.overview.has_people else _FIELDS

    async def _add_identities(self, client: RecordingsClient) -> None:
        """Fetch the identities of all rooms with participants. A room that fails is named, and left out."""

        async def iterate() -> AsyncGenerator[str, None]:
            for room_sid in self.overview.unidentified_rooms:
                yield room_sid

        async def add(room_sid: str) -> AsyncGenerator[None, None]:
            try:
                self.overview.add_identities(room_sid, await list_identities(client.participants, room_sid))
            except RoomRecError as error:
                self.failures.add(room_sid, error)
            yield

        async with aclosing(map_concurrently(iterate(), add, lambda: _MAX_CONCURRENT_ROOMS)) as rooms:
            async for _ in rooms:
                pass

    @contextmanager
    def _write_output(self) -> Iterator[None]:
        """Write the file at the end of the block. It is opened first: if that is impossible, nothing is sent."""
        if self.output is None:
            yield
            return
        with atomic_write(self.output) as file:
            yield
            file.write(self.render(self.overview).encode())

    def _show_progress(self, format_details: Callable[[], str]) -> AbstractContextManager[object]:
        def format_progress(elapsed: float) -> str:
            pace = format_pace(self.overview.all.recordings, elapsed)
            return f"{pace}{format_details()}"

        return show_progress(self.failures.console, format_progress)

    def _print_summary(self) -> None:
        """Print what is in the file or, without one, the report itself."""
        overview = self.overview
        if self.output is None:
            click.echo(self.render(overview), nl=False)
            return

        counts = f"{format_count(overview.all.recordings, 'recording')} of {format_count(overview.rooms, 'room')}"
        # Not of this command, which says "failed" of what it could not do.
        failed = f", {overview.failed:,} of them with status failed" if overview.failed else ""
        self.failures.print(f"{safe_text(str(self.output))}: {counts}, {format_size(overview.all.size)}{failed}")


async def scan_all(
    client: RecordingsClient, window: DateWindow, fields: Sequence[str]
) -> AsyncGenerator[list[Recording], None]:
    """Yield all recordings of the account in a window, each once; deleted ones are listed only on request.

    The window is split into parts, so that the recordings of only some of them are in memory, with only these fields.
    """

    async def list_part(part: DateWindow) -> AsyncGenerator[list[Recording], None]:
        # In this order: a recording that is deleted in between is then in both listings, and not in neither.
        listed = await collect_scan(client.scan(part), fields)
        deleted = await collect_scan(client.scan(part, status=RecordingStatus.DELETED), fields)
        yield merge_listings(listed, deleted)

    async with aclosing(map_concurrently(split_by_day(window), list_part, lambda: _MAX_CONCURRENT_PARTS)) as lists:
        async for recordings in lists:
            yield recordings


async def collect_scan(lists: AsyncGenerator[list[Recording], None], fields: Sequence[str]) -> list[Recording]:
    """Return all recordings of a scan with only the fields that an overview reads: a third of the memory."""
    async with aclosing(lists):
        return [
            Recording(**{name: getattr(recording, name) for name in fields})
            async for recordings in lists
            for recording in recordings
        ]


async def split_by_day(window: DateWindow) -> AsyncGenerator[DateWindow, None]:
    """Yield the parts of a window: about a day each, or longer ones if those would be too many."""
    length = (window.before or datetime.now(UTC)) - window.after
    days = max(1, math.ceil(length / _DAY))
    for part in split_window(window, min(_MAX_PARTS, days)):
        yield part
