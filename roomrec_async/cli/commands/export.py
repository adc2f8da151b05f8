"""``roomrec export``: records of rooms, or of the whole account, as tables in a directory or an object store."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import attrs
import click

from roomrec_async._dates import format_iso8601
from roomrec_async._export.report import ExportProgress, ExportReport
from roomrec_async._export.shard import Shard
from roomrec_async._export.words import window_of_words
from roomrec_async._format import format_count, format_size
from roomrec_async._listing.scan import DateWindow
from roomrec_async._tables import check_formats
from roomrec_async._text import safe_text
from roomrec_async.cli.support.cluster import cluster_address, connect_cluster
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.dates import words_of_window
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.limits import given_timeout, make_cluster_settings
from roomrec_async.cli.support.options import (
    base_url_option,
    limit_options,
    source_options,
)
from roomrec_async.cli.support.places import check_directory_place
from roomrec_async.cli.support.progress import show_progress
from roomrec_async.cli.support.resources import (
    make_client,
    make_naming_client,
    open_rooms,
    parse_destination,
    parse_source,
)
from roomrec_async.cli.support.signals import run_async
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.models import RecordingStatus

if TYPE_CHECKING:
    from roomrec_async.protocols import Destination

_MAX_FAILURES_SHOWN: Final = 20

_EXAMPLES: Final = """\b
Examples:
  roomrec export --after 2026-03-01 -o recordings/
  roomrec export --after 2026-03-01 --since-last -o s3://bucket/recordings
  roomrec export --from-file rooms.txt --shard 3/40 -o rooms/
  roomrec --dask local export --from-file rooms.txt -o cluster/
"""


@click.command(
    "export",
    cls=RoomrecCommand,
    epilog=_EXAMPLES,
    short_help="Write records as Parquet or JSON lines, night after night.",
)
@source_options
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "jsonl"]),
    default="parquet",
    show_default=True,
    help="Format of the files. Parquet needs the extra 'parquet'.",
)
@click.option(
    "--since-last",
    is_flag=True,
    help="Take up where the last complete run ended; the first run needs --after. Recordings that were still "
    "processing then are taken when they are done.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Do only this part of the work, such as 3/40, from 1/40 to 40/40 or from 0/40 to 39/40; in any "
    "order, at once or again.",
)
@click.option(
    "--identities",
    is_flag=True,
    help="Add the column participant_identity: the names that the application gave to participants. One more request "
    "for each room.",
)
@click.option(
    "--status",
    type=click.Choice([status.value for status in RecordingStatus], case_sensitive=False),
    help="Of rooms, only recordings with this status.",
)
@click.option("--source-sid", metavar="SID", help="Of rooms, only recordings of this track (MT...).")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@base_url_option
@limit_options
def export(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    allow_empty: bool,
    after: datetime | None,
    before: datetime | None,
    output: str,
    file_format: Literal["parquet", "jsonl"],
    since_last: bool,
    shard: str | None,
    identities: bool,
    status: str | None,
    source_sid: str | None,
    as_json: bool,
    base_url: str,
) -> int:
    """Write the records of rooms, or of the whole account since a given time, to part-* files in a directory or store.

    If this is interrupted, run the same command again: it resumes. The state is in the folder _roomrec, which readers
    of the files pass over.

    Of the whole account, recordings that are still processing are left for the next run with --since-last.

    ROOM is a room SID or a unique name; - reads rooms from standard input, as from a file. The credentials come from
    the environment, as for 'roomrec list'.
    """
    source = parse_source(rooms, files, after, before, allow_empty=allow_empty)
    if source is None and not since_last:
        raise click.UsageError("nothing to export: give rooms, or --after TIME for the whole account")
    if isinstance(source, RoomSources) and since_last:
        raise click.UsageError("give either rooms, or --since-last for the whole account")
    options = room_options(status, source_sid)
    if options and not isinstance(source, RoomSources):
        option = next(iter(options)).replace("_", "-")
        raise click.UsageError(f"--{option} is for rooms: of the whole account, all recordings are written")
    address = cluster_address()
    if address is not None:
        check_on_cluster(source, shard)
    job = ExportRun(
        source=source,
        destination=parse_destination(output),
        file_format=file_format,
        since_last=since_last,
        shard=shard,
        identities=identities,
        options=options,
        as_json=as_json,
        output=output,
    )
    Shard.parse(shard)
    check_formats([file_format])
    check_directory_place(job.destination)
    return run_async(job.run(base_url, address))


def room_options(status: str | None, source_sid: str | None) -> RoomOptions:
    """Return the filters of rooms that were given."""
    options = RoomOptions()
    if status is not None:
        options["status"] = status
    if source_sid is not None:
        options["source_sid"] = source_sid
    return options


def check_on_cluster(source: RoomSources | DateWindow | None, shard: str | None) -> None:
    """Check that a cluster can do what was asked for.

    Raises:
        UsageError: it cannot.
    """
    if not isinstance(source, RoomSources):
        raise click.UsageError("--dask needs rooms: the whole account takes a twentieth of the requests without it")
    if shard is not None:
        raise click.UsageError("--shard cannot be used with --dask, which does all shards")


@attrs.frozen
class ExportRun:
    """One run of the command. The other fields are the values of the options.

    Attributes:
        progress: counts what is done so far.
        failures: the lines and rooms that failed.
    """

    source: RoomSources | DateWindow | None
    destination: Path | Destination
    file_format: Literal["parquet", "jsonl"]
    since_last: bool
    shard: str | None
    identities: bool
    options: RoomOptions
    as_json: bool
    output: str
    progress: ExportProgress = attrs.field(factory=ExportProgress)
    failures: Failures = attrs.field(factory=Failures)

    async def run(self, base_url: str, address: str | None) -> int:
        """Export everything and return the exit code.

        Args:
            base_url: the endpoint of the API.
            address: the address of the cluster that does it, or None for this process.
        """
        with show_progress(self.failures.console, self._format_progress):
            if address is None:
                report = await self._export(base_url)
            else:
                report = await self._export_on(address, base_url)

        self._print_summary(report)
        return ExitCode.FAILURE if report.failed else self.failures.exit_code

    async def _export(self, base_url: str) -> ExportReport:
        async with make_client(base_url) as client, self._open_rooms(client) as room_sids:
            return await client.export(
                room_sids if isinstance(self.source, RoomSources) else await self._window(),
                self.destination,
                format=self.file_format,
                since_last=self.since_last,
                shard=self.shard,
                identities=self.identities,
                progress=self.progress,
                **self.options,
            )

    async def _export_on(self, address: str, base_url: str) -> ExportReport:
        from roomrec_async.integrations.dask import export_on  # noqa: PLC0415  an extra of its own

        settings = make_cluster_settings(base_url)
        # The workers make their clients themselves: the timeout goes with each call. They also open a store themselves.
        timeout = given_timeout()
        options = self.options if timeout is None else RoomOptions(**self.options, timeout=timeout)
        destination = self.destination if isinstance(self.destination, Path) else self.output
        async with (
            make_naming_client(base_url) as client,
            self._open_rooms(client) as room_sids,
            connect_cluster(address) as cluster,
        ):
            return await export_on(
                cluster,
                room_sids,
                destination,
                settings=settings,
                format=self.file_format,
                identities=self.identities,
                progress=self.progress,
                **options,
            )

    def _open_rooms(self, client: RecordingsClient | None) -> AbstractAsyncContextManager[AsyncGenerator[str, None]]:
        # A window has no rooms.
        sources = self.source if isinstance(self.source, RoomSources) else RoomSources((), ())
        return open_rooms(sources, client, self.failures)

    async def _window(self) -> DateWindow | None:
        """Return the window; if it is in words, the one that they stood for when the run to resume began."""
        if not isinstance(self.source, DateWindow):
            return None
        words = words_of_window(self.source.after, self.source.before)
        if words is None:
            return self.source
        window = await window_of_words(self.destination, self.source, words)
        if window != self.source:
            began = format_iso8601(window.after)
            self.failures.print(f"{safe_text(self.output)}: resuming a run whose window began at {began}")
        return window

    def _format_progress(self, _: float) -> str:
        progress = self.progress
        failed = f" · {progress.failed:,} failed" if progress.failed else ""
        return (
            f"{format_count(progress.recordings, 'recording')} · {progress.finished:,} of "
            f"{format_count(progress.units, 'part')}{failed}"
        )

    def _print_summary(self, report: ExportReport) -> None:
        for sid, reason in islice(report.failures.items(), _MAX_FAILURES_SHOWN):
            self.failures.print(f"{safe_text(sid)}: {safe_text(reason)}")
        if report.failed > _MAX_FAILURES_SHOWN:
            self.failures.print(f"and {report.failed - _MAX_FAILURES_SHOWN:,} more")
        self.failures.print(f"{safe_text(self.output)}: {format_summary(report)}")
        if self.as_json:
            before = None if report.before is None else format_iso8601(report.before)
            click.echo(json.dumps({**attrs.asdict(report), "before": before}))


def format_summary(report: ExportReport) -> str:
    """Return what a run has written, in a line."""
    written = f"{format_count(report.recordings, 'recording')} in {format_count(report.parts, 'file')}"
    parts = [f"run {report.run}: {written}, {format_size(report.bytes)}"]
    if report.before is not None:
        parts.append(f"up to {format_iso8601(report.before)}")
    if report.pending:
        parts.append(f"{report.pending:,} still processing, left for --since-last")
    if report.failed:
        parts.append(f"{format_count(report.failed, 'room')} failed")
    if not report.complete:
        parts.append("not complete: run the same again" if report.failed else "complete once the other shards are")
    return "; ".join(parts)
