"""``roomrec archive``: copy recordings, verify the copies, and delete the originals if asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Final

import attrs
import click
from rich.console import Console

from roomrec_async._archive.report import ArchiveProgress, ArchiveReport
from roomrec_async._dates import format_iso8601
from roomrec_async._format import format_count, format_size
from roomrec_async._listing.scan import DateWindow
from roomrec_async._media.delete import refusal
from roomrec_async._tables import TableFormat, check_formats
from roomrec_async._text import safe_text
from roomrec_async.cli.support.cluster import cluster_address, connect_cluster
from roomrec_async.cli.support.columns import format_json
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import ExitCode
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.limits import given_timeout, make_cluster_settings
from roomrec_async.cli.support.options import (
    LocalPath,
    account_sid_option,
    base_url_option,
    downloads_option,
    limit_options,
    private_key_option,
    source_options,
)
from roomrec_async.cli.support.output import LineWriter
from roomrec_async.cli.support.places import check_directory_place
from roomrec_async.cli.support.progress import show_transfers
from roomrec_async.cli.support.resources import (
    make_client,
    make_decryption,
    make_naming_client,
    open_rooms,
    parse_destination,
    parse_source,
)
from roomrec_async.cli.support.signals import run_async
from roomrec_async.cli.support.tables import Table
from roomrec_async.client import RecordingsClient
from roomrec_async.credentials import Credentials
from roomrec_async.models import Recording, RecordingStatus
from roomrec_async.protocols import Decryption, Destination

_MAX_FAILURES_SHOWN: Final = 20

_EXAMPLES: Final = """\b
Examples:
  roomrec archive --from-file rooms.txt -o archive/
  roomrec archive --after 2026-03-01T00:00:00Z \\
      --before 2026-04-01T00:00:00Z -o archive/
  roomrec archive --from-file rooms.txt -o s3://bucket/rooms \\
      --delete --yes
  roomrec --dask local archive --from-file rooms.txt -o archive/
"""


@click.command("archive", cls=RoomrecCommand, epilog=_EXAMPLES)
@source_options
@click.option(
    "--delete",
    is_flag=True,
    help="Delete each recording at the service once its copy is verified. It needs --yes: without that, only show "
    "what would be copied and deleted.",
)
@click.option("--yes", is_flag=True, help="Really copy and delete, with --delete.")
@account_sid_option
@click.option(
    "--ledger",
    metavar="FILE",
    type=LocalPath(),
    help="SQLite file that records what is done. By default it is in the directory; an object store keeps it as "
    "objects. With 'roomrec --dask', a directory for the ledgers of all shards, required with an object store.",
)
@click.option(
    "--manifest",
    type=click.Choice(["jsonl", "parquet"]),
    multiple=True,
    default=["jsonl"],
    show_default=True,
    help="Format of the list of all archived recordings; may be repeated. Parquet needs the extra 'parquet'.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what is in the archive, and what failed, as a JSON object. With --delete but not --yes: the "
    "recordings, one per line.",
)
@downloads_option
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Try all recordings that failed in earlier runs. By default, runs try what keeps failing ever more rarely.",
)
@private_key_option
@base_url_option
@limit_options
def archive(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    allow_empty: bool,
    after: datetime | None,
    before: datetime | None,
    output: str,
    delete: bool,
    yes: bool,
    account_sid: str | None,
    ledger: Path | None,
    manifest: tuple[TableFormat, ...],
    as_json: bool,
    downloads: int,
    retry_failed: bool,
    private_key: Path | None,
    base_url: str,
) -> int:
    """Archive the completed recordings of rooms, or of the whole account since a given time.

    Each recording is copied and the copy verified; then, with --delete --yes, the recording is deleted at the
    service. With --delete alone, nothing is copied or deleted, only shown. If this is interrupted, run the same
    command again: it resumes. At the end, a manifest lists all archived recordings; with more than 1,000 of them, it is
    a directory of parts.

    ROOM is a room SID or a unique name; - reads rooms from standard input, as from a file. The credentials come from
    the environment, as for 'roomrec list'.
    """
    source = parse_source(rooms, files, after, before, allow_empty=allow_empty)
    if source is None:
        raise click.UsageError("nothing to archive: give rooms, or --after TIME for the whole account")
    address = cluster_address()
    if address is not None and after is not None:
        raise click.UsageError("--dask needs rooms instead of --after and --before: list the rooms first")
    if address is not None and given_timeout() is not None:
        raise click.UsageError("--timeout does not work with --dask: the workers have timeouts of their own")
    check_ledger(ledger, on_cluster=address is not None)
    if not delete and (yes or account_sid is not None):
        option = "--yes" if yes else "--account-sid"
        raise click.UsageError(f"{option} is for --delete: without that, nothing is deleted")

    job = ArchiveRun(
        source=source,
        destination=parse_destination(output),
        delete=delete,
        account_sid=account_sid,
        private_key=private_key,
        decryption=make_decryption(private_key),
        ledger=ledger,
        manifest=manifest,
        downloads=downloads,
        retry_failed=retry_failed,
        as_json=as_json,
        base_url=base_url,
    )
    job.check(on_cluster=address is not None)
    if delete and not yes:
        return run_async(job.preview())
    return run_async(job.run(address))


def check_ledger(ledger: Path | None, *, on_cluster: bool) -> None:
    """Check that the ledger, if it exists, is a file, or a directory where a cluster does the work.

    Raises:
        UsageError: it is not.
    """
    if ledger is None or not ledger.exists():
        return
    if on_cluster and not ledger.is_dir():
        raise click.UsageError(f"--ledger {str(ledger)!r} is a file, and with --dask it must be a directory")
    if not on_cluster and ledger.is_dir():
        raise click.UsageError(f"--ledger {str(ledger)!r} is a directory, and it must be a file")


@attrs.frozen
class ArchiveRun:
    """One run of the command. The other fields are the values of the options.

    Attributes:
        decryption: decrypts with the private key, or None.
        progress: counts what is done so far.
        failures: the rooms and recordings that failed.
    """

    source: RoomSources | DateWindow
    destination: Path | Destination
    delete: bool
    account_sid: str | None
    private_key: Path | None
    decryption: Decryption | None
    ledger: Path | None
    manifest: tuple[TableFormat, ...]
    downloads: int
    retry_failed: bool
    as_json: bool
    base_url: str
    progress: ArchiveProgress = attrs.field(factory=ArchiveProgress)
    failures: Failures = attrs.field(factory=Failures)

    def check(self, *, on_cluster: bool) -> None:
        """Check what the library would refuse, too, but only once the names of rooms are looked up.

        Raises:
            ConfigurationError: a format of the manifest, or a cluster, needs an extra that is not installed.
            OSError: nothing can be written to the directory.
        """
        check_formats(self.manifest)
        # On a cluster, each worker has a ledger, and the directory is the workers'.
        if on_cluster:
            import_module("roomrec_async.integrations.dask")
            return
        check_directory_place(self.destination)

    async def run(self, cluster: str | None) -> int:
        """Archive all recordings and return the exit code.

        Args:
            cluster: the address of the cluster that does it, or None for this process.
        """
        with show_transfers(self.failures.console, self._byte_counts, self._format_progress):
            report = await (self._archive() if cluster is None else self._archive_on(cluster))

        self._print_summary(report)
        if self.as_json:
            click.echo(json.dumps(report_values(report)))
        return ExitCode.FAILURE if report.failed else self.failures.exit_code

    async def _archive(self) -> ArchiveReport:
        async with make_client(self.base_url) as client, self._open_room_sids(client) as room_sids:
            return await client.archive(
                self.source if isinstance(self.source, DateWindow) else room_sids,
                self.destination,
                delete=self.delete,
                account_sid=self.account_sid,
                decryption=self.decryption,
                ledger=self.ledger,
                manifest=self.manifest,
                downloads=self.downloads,
                retry_failed=self.retry_failed,
                progress=self.progress,
            )

    async def _archive_on(self, address: str) -> ArchiveReport:
        from roomrec_async.integrations.dask import archive_on  # noqa: PLC0415  an extra of its own

        settings = make_cluster_settings(self.base_url)
        decryption = None
        if self.private_key is not None:
            from roomrec_async.integrations.decryption import PrivateKey  # noqa: PLC0415  an extra of its own

            # Keys are not sent to the workers, which read the file themselves.
            decryption = partial(PrivateKey.from_file, self.private_key.absolute())

        async with (
            make_naming_client(self.base_url) as client,
            self._open_room_sids(client) as room_sids,
            connect_cluster(address) as cluster,
        ):
            return await archive_on(
                cluster,
                room_sids,
                self.destination,
                settings=settings,
                delete=self.delete,
                account_sid=self.account_sid,
                decryption=decryption,
                ledgers=self.ledger,
                manifest=self.manifest,
                downloads=self.downloads,
                retry_failed=self.retry_failed,
                progress=self.progress,
            )

    async def preview(self) -> int:
        """Show the recordings that a run would copy and delete, and return the exit code."""
        console = Console(highlight=False)
        table = Table.for_recordings(console.width)
        account_sid = self.account_sid or Credentials.from_env().account_sid
        count = size = external = staying = 0
        async with (
            make_client(self.base_url) as client,
            self._open_room_sids(client) as room_sids,
            aclosing(self._list(client, room_sids)) as recordings,
            LineWriter(self.failures.console) as output,
        ):
            async for recording in recordings:
                if recording.media_external_location:
                    external += 1
                    continue
                if refusal(recording, account_sid) is not None:
                    staying += 1
                    continue
                count += 1
                size += recording.size or 0
                await output.write(format_json(recording) if self.as_json else table.row(recording).plain)
            if count and table.left_out and not self.as_json:
                self.failures.print(table.format_left_out())

        would = f"--yes would copy {format_count(count, 'recording')}, {format_size(size)}, and delete them"
        kept = f"; {staying:,} more would be copied only" if staying else ""
        if external:
            kept += f"; {external:,} more in a bucket of your own"
        self.failures.print(
            f"nothing was copied or deleted: {would} at the service{kept}{self.failures.format_suffix()}"
        )
        return self.failures.exit_code

    async def _list(
        self, client: RecordingsClient, room_sids: AsyncGenerator[str, None]
    ) -> AsyncGenerator[Recording, None]:
        """Yield the recordings that a run would find."""
        status = RecordingStatus.COMPLETED
        if isinstance(self.source, DateWindow):
            async with aclosing(client.scan(self.source, status=status)) as lists:
                async for recordings in lists:
                    for recording in recordings:
                        yield recording
            return
        async with aclosing(client.stream(room_sids, on_error=self.failures.add_room, status=status)) as stream:
            async for recording in stream:
                yield recording

    def _open_room_sids(
        self, client: RecordingsClient | None
    ) -> AbstractAsyncContextManager[AsyncGenerator[str, None]]:
        # A window has no rooms.
        sources = self.source if isinstance(self.source, RoomSources) else RoomSources((), ())
        return open_rooms(sources, client, self.failures)

    def _byte_counts(self) -> tuple[int, int]:
        return self.progress.bytes, self.progress.expected_bytes

    def _format_progress(self) -> str:
        progress = self.progress
        # More are to be found while the rooms are still listed.
        found = f"{progress.found:,}+" if progress.listing else f"{progress.found:,}"
        parts = [f"{progress.archived:,} of {found} copied"]
        if self.delete:
            parts.append(f"{progress.deleted:,} deleted")
        if progress.failed:
            parts.append(f"{progress.failed:,} failed")
        return " · ".join(parts)

    def _print_summary(self, report: ArchiveReport) -> None:
        # A report has up to 1,000 failures: too many for a terminal.
        for sid, reason in islice(report.failures.items(), _MAX_FAILURES_SHOWN):
            self.failures.print(f"{safe_text(sid)}: {safe_text(reason)}")
        if report.failed > _MAX_FAILURES_SHOWN:
            self.failures.print(f"and {report.failed - _MAX_FAILURES_SHOWN:,} more")

        parts = [f"{format_count(report.archived, 'recording')} in the archive, {format_size(report.bytes)}"]
        if report.deleted:
            parts.append(f"{report.deleted:,} of them deleted at the service")
        if self.delete and report.left_alone:
            parts.append(f"{report.left_alone:,} from earlier runs left alone")
        if report.external:
            parts.append(f"{report.external:,} more in a bucket of your own")
        if report.failed:
            parts.append(f"{report.failed:,} failed{format_next_try(report)}")
        parts.append(f"listed in {' and '.join(report.manifest)}")
        self.failures.print("; ".join(parts))


def format_next_try(report: ArchiveReport) -> str:
    """Return when what has failed is tried again, for a summary."""
    if not report.next_tries:
        return ": run the command again to retry them"
    first = f"{min(report.next_tries.values()):%Y-%m-%d %H:%M} UTC"
    return f", {len(report.next_tries):,} of them not to be tried again before {first}: --retry-failed tries all now"


def report_values(report: ArchiveReport) -> dict[str, object]:
    """Return a report as JSON has it."""
    tries = {sid: format_iso8601(when) for sid, when in report.next_tries.items()}
    return attrs.asdict(report) | {"next_tries": tries}
