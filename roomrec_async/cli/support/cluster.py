"""``roomrec --dask``: what a cluster does instead of this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import click

from roomrec_async._archive.report import ArchiveProgress, ArchiveReport
from roomrec_async._tables import TableFormat
from roomrec_async._text import safe_text
from roomrec_async.client import RoomOptions
from roomrec_async.credentials import Credentials
from roomrec_async.errors import InvalidArgumentError
from roomrec_async.protocols import Decryption, Destination

from .failures import Failures
from .input import RoomSources
from .tables import counted, length_told, pace_told, progress_shown, size_told

if TYPE_CHECKING:
    from distributed import Client

    from roomrec_async.integrations.dask import ExportProgress, ExportReport

COMMANDS: Final = ("list", "archive")
"""The commands that can be done on a cluster."""

_LOCAL: Final = "local"

dask_option: Final = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Let a Dask cluster do it, such as tls://host:8786, or 'local' for one of processes here. For 'list' with "
    "-o DIRECTORY, and 'archive'.",
)


def check_command(command: str | None, address: str | None) -> None:
    """Whether a command that is asked for on a cluster can be done there.

    Raises:
        UsageError: it cannot.
    """
    if address is not None and command is not None and command not in COMMANDS:
        raise click.UsageError(f"--dask goes with {' and '.join(COMMANDS)} only, not with {command}")


def cluster_asked_for() -> str | None:
    """The address of the cluster that the present command is to be done on; None for none."""
    address: str | None = click.get_current_context().find_root().params["dask"]
    return address


@asynccontextmanager
async def _connected(address: str) -> AsyncGenerator[Client, None]:
    """A client of the cluster at this address.

    Raises:
        InvalidArgumentError: this is no address.
        OSError: nobody answers there.
    """
    from roomrec_async.integrations.dask import local_cluster  # noqa: PLC0415  an extra of its own

    if address == _LOCAL:
        async with local_cluster() as cluster:
            yield cluster
        return
    from distributed import Client  # noqa: PLC0415  an extra of its own
    from distributed.comm.addressing import get_address_host  # noqa: PLC0415

    try:
        get_address_host(address)
    except ValueError as error:
        raise InvalidArgumentError(f"--dask must be an address such as tls://host:8786, or 'local': {error}") from None
    async with Client(address, asynchronous=True) as client:
        yield client


@attrs.frozen(kw_only=True)
class Exporting:
    """One run of ``roomrec --dask ADDRESS list``.

    Attributes:
        address: where the cluster is.
        base_url: the endpoint.
        sources: where the rooms come from.
        options: what of them is listed.
        directory: where the files go.
        with_progress: whether progress is shown, on a terminal.
    """

    address: str
    base_url: str
    sources: RoomSources
    options: RoomOptions
    directory: Path
    with_progress: bool
    failures: Failures = attrs.field(factory=Failures)

    async def run(self) -> int:
        """Export everything. The result is the exit code."""
        from roomrec_async.integrations.dask import ExportProgress  # noqa: PLC0415  an extra of its own

        progress = ExportProgress()
        tell = partial(self._told, progress)
        with progress_shown(self.failures.console, tell) if self.with_progress else nullcontext():
            report = await self._export(progress)
        self._tell(report)
        return self.failures.exit_code

    async def _export(self, progress: ExportProgress) -> ExportReport:
        from roomrec_async.integrations.dask import ClusterSettings, export_on  # noqa: PLC0415  an extra of its own

        settings = ClusterSettings(credentials=Credentials.from_env(), base_url=self.base_url)
        sids = self.sources.sids(self.failures.of_line)
        async with _connected(self.address) as cluster, aclosing(sids):
            return await export_on(cluster, sids, self.directory, settings=settings, progress=progress, **self.options)

    def _told(self, progress: ExportProgress, elapsed: float) -> str:
        failed = progress.failed + self.failures.count
        return (
            f"{counted(progress.rooms, 'room')}{f', {failed:,} failed' if failed else ''} · "
            f"{pace_told(progress.recordings, elapsed)} · {counted(progress.shards, 'file')} · {length_told(elapsed)}"
        )

    def _tell(self, report: ExportReport) -> None:
        refused = self.failures.count
        for room_sid, error in report.failures.items():
            self.failures.of(room_sid, error)
        if report.failed > len(report.failures):
            self.failures.say(f"and {report.failed - len(report.failures):,} more")
            self.failures.count = refused + report.failed
        self.failures.say(
            f"{safe_text(report.directory)}: {counted(report.recordings, 'recording')} of "
            f"{counted(report.rooms + refused, 'room')}{self.failures.told}, "
            f"in {counted(report.files, 'file')} of {size_told(report.bytes)}"
        )


async def archive_on_cluster(
    address: str,
    base_url: str,
    room_sids: AsyncGenerator[str, None],
    destination: Path | Destination,
    *,
    delete: bool,
    private_key: Path | None,
    ledgers: Path | None,
    manifest: tuple[TableFormat, ...],
    downloads: int,
    progress: ArchiveProgress,
) -> ArchiveReport:
    """Archive rooms on the cluster at this address; see :func:`roomrec_async.integrations.dask.archive_on`."""
    from roomrec_async.integrations.dask import ClusterSettings, archive_on  # noqa: PLC0415  an extra of its own

    settings = ClusterSettings(credentials=Credentials.from_env(), base_url=base_url)
    decryption = _decryption_from(private_key)
    async with _connected(address) as cluster:
        return await archive_on(
            cluster,
            room_sids,
            destination,
            settings=settings,
            delete=delete,
            decryption=decryption,
            ledgers=ledgers,
            manifest=manifest,
            downloads=downloads,
            progress=progress,
        )


def _decryption_from(private_key: Path | None) -> Callable[[], Decryption] | None:
    """What reads the key in a file where it is called. It is read here first: a wrong one is told of at once."""
    if private_key is None:
        return None
    from roomrec_async.integrations.decryption import PrivateKey  # noqa: PLC0415  an extra of its own

    from_file = partial(PrivateKey.from_file, private_key.absolute())
    from_file()
    return from_file
