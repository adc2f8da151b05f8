"""``roomrec archive``: copy, verify, list, and delete at the source if asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import click

from roomrec_async._archive.report import ArchiveProgress, ArchiveReport
from roomrec_async._listing.scan import DateWindow
from roomrec_async._tables import TableFormat
from roomrec_async._text import safe_text
from roomrec_async.cli.support.cluster import archive_on_cluster, cluster_asked_for
from roomrec_async.cli.support.failures import Failures
from roomrec_async.cli.support.input import RoomSources
from roomrec_async.cli.support.options import (
    base_url_option,
    client_from,
    decryption_from,
    destination_from,
    downloads_option,
    files_option,
    private_key_option,
    rooms_argument,
    window_options,
)
from roomrec_async.cli.support.tables import counted, size_told, transfers_shown
from roomrec_async.protocols import Destination

_FAILURES_SHOWN: Final = 20
_EXAMPLES: Final = """\b
Examples:
  roomrec archive --after 2026-03-01T00:00:00Z --before 2026-04-01T00:00:00Z -o archive/
  roomrec archive --from-file rooms.txt -o s3://bucket/rooms --ledger rooms.sqlite3 --delete
  roomrec --dask tls://scheduler:8786 archive --from-file rooms.txt -o /shared/archive
"""


@click.command("archive", epilog=_EXAMPLES, short_help="Copy recordings, verified, and delete them at the source.")
@rooms_argument
@files_option
@window_options("recordings of the whole account that started")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR|URL",
    help="A directory, or an object store such as s3://bucket/prefix (its credentials are in the environment).",
)
@click.option("--delete", is_flag=True, help="Delete each recording at the source, once its copy is verified.")
@click.option(
    "--ledger",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The SQLite file that says what is done; needed with an object store. By default it is in the directory. With "
    "'roomrec --dask', a directory, for one of each shard.",
)
@click.option(
    "--manifest",
    type=click.Choice(["jsonl", "parquet"]),
    multiple=True,
    default=["jsonl"],
    show_default=True,
    help="A format for the list of what is there; may be repeated. Parquet needs the extra 'parquet'.",
)
@downloads_option
@private_key_option
@base_url_option
def archive(
    rooms: tuple[str, ...],
    files: tuple[str, ...],
    after: datetime | None,
    before: datetime | None,
    output: str,
    delete: bool,
    ledger: Path | None,
    manifest: tuple[TableFormat, ...],
    downloads: int,
    private_key: Path | None,
    base_url: str,
) -> int:
    """Archive the completed recordings of rooms, or all those of the account that started after an instant.

    Each recording is copied and verified, and only then, with --delete, deleted at the source. It may be interrupted
    at any time: run the same command again, and it goes on where it was. At the end, a manifest lists all of it.

    ROOM is a room SID; - stands for room SIDs on standard input, one a line. The credentials are those of the
    environment, as for 'roomrec list'.
    """
    by_room = bool(rooms or files)
    if by_room and (after or before):
        raise click.UsageError("give either rooms, or --after and --before for the whole account")
    if not by_room and after is None:
        raise click.UsageError("nothing to archive: give rooms, or --after INSTANT for the whole account")
    address = cluster_asked_for()
    _check_place(ledger, after, on_cluster=address is not None)
    archiving = _Archiving(
        source=RoomSources(rooms, files) if after is None else DateWindow(after, before),
        destination=destination_from(output),
        delete=delete,
        private_key=private_key,
        ledger=ledger,
        manifest=manifest,
        downloads=downloads,
        base_url=base_url,
    )
    return asyncio.run(archiving.run(address))


def _check_place(ledger: Path | None, after: datetime | None, *, on_cluster: bool) -> None:
    if on_cluster and after is not None:
        raise click.UsageError("--dask goes with rooms, not with --after and --before: list the rooms first")
    if ledger is not None and ledger.exists() and ledger.is_dir() is not on_cluster:
        what = "a file, and with --dask it must be a directory" if on_cluster else "a directory, and it must be a file"
        raise click.UsageError(f"--ledger {str(ledger)!r} is {what}")


@attrs.frozen
class _Archiving:
    """One run of the command."""

    source: RoomSources | DateWindow
    destination: Path | Destination
    delete: bool
    private_key: Path | None
    ledger: Path | None
    manifest: tuple[TableFormat, ...]
    downloads: int
    base_url: str
    progress: ArchiveProgress = attrs.field(factory=ArchiveProgress)
    failures: Failures = attrs.field(factory=Failures)

    async def run(self, cluster: str | None) -> int:
        """Archive everything, here or on the cluster at this address. The result is the exit code."""
        with transfers_shown(self.failures.console, self._amounts, self._told):
            async with aclosing(self._room_sids()) as room_sids:
                report = await (self._archive(room_sids) if cluster is None else self._archive_on(cluster, room_sids))
        self._tell(report)
        return 1 if report.failed else self.failures.exit_code

    async def _archive(self, room_sids: AsyncGenerator[str, None]) -> ArchiveReport:
        decryption = decryption_from(self.private_key)
        async with client_from(self.base_url) as client:
            return await client.archive(
                self.source if isinstance(self.source, DateWindow) else room_sids,
                self.destination,
                delete=self.delete,
                decryption=decryption,
                ledger=self.ledger,
                manifest=self.manifest,
                downloads=self.downloads,
                progress=self.progress,
            )

    async def _archive_on(self, cluster: str, room_sids: AsyncGenerator[str, None]) -> ArchiveReport:
        return await archive_on_cluster(
            cluster,
            self.base_url,
            room_sids,
            self.destination,
            delete=self.delete,
            private_key=self.private_key,
            ledgers=self.ledger,
            manifest=self.manifest,
            downloads=self.downloads,
            progress=self.progress,
        )

    async def _room_sids(self) -> AsyncGenerator[str, None]:
        if isinstance(self.source, RoomSources):
            async with aclosing(self.source.sids(self.failures.of_line)) as sids:
                async for sid in sids:
                    yield sid

    def _amounts(self) -> tuple[int, int]:
        return self.progress.bytes, self.progress.expected_bytes

    def _told(self, _: float) -> str:
        progress = self.progress
        more = "+" if progress.listing else ""
        deleted = f" · {progress.deleted:,} deleted" if self.delete else ""
        failed = f" · {progress.failed:,} failed" if progress.failed else ""
        return f"{progress.archived:,} of {progress.found:,}{more} copied{deleted}{failed}"

    def _tell(self, report: ArchiveReport) -> None:
        for sid, reason in list(report.failures.items())[:_FAILURES_SHOWN]:
            self.failures.say(f"{safe_text(sid)}: {safe_text(reason)}")
        if report.failed > _FAILURES_SHOWN:
            self.failures.say(f"and {report.failed - _FAILURES_SHOWN:,} more")
        parts = [
            f"{counted(report.archived, 'recording')} in the archive, {size_told(report.bytes)}",
            f"{report.deleted:,} of them deleted at the source" if report.deleted else "",
            f"{report.external:,} more are in a bucket of your own" if report.external else "",
            f"{report.failed:,} failed: run it again to try them again" if report.failed else "",
            f"listed in {' and '.join(report.manifest)}",
        ]
        self.failures.say("; ".join(part for part in parts if part))
