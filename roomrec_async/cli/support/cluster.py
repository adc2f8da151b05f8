"""``roomrec --dask``: run a command on a Dask cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from ssl import SSLError
from typing import TYPE_CHECKING, Final

import attrs
import click

from roomrec_async._format import format_count, format_pace, format_size
from roomrec_async._text import safe_text
from roomrec_async.client import RoomOptions
from roomrec_async.errors import ConfigurationError, InvalidArgumentError

from .failures import Failures
from .input import RoomSources
from .limits import make_cluster_settings
from .names import RoomNames
from .progress import show_progress
from .resources import make_client

if TYPE_CHECKING:
    from distributed import Client

    from roomrec_async.integrations.dask import ExportProgress, ExportReport

# Dask's settings for the client's side of a connection: names of files, or their content.
_CERTIFICATES: Final = (
    "distributed.comm.tls.ca-file",
    "distributed.comm.tls.client.cert",
    "distributed.comm.tls.client.key",
)
# The address that stands for a cluster on this machine.
_LOCAL: Final = "local"


def cluster_address() -> str | None:
    """Return the address that was given with ``--dask``, or None."""
    address: str | None = click.get_current_context().find_root().params["dask"]
    return address


@asynccontextmanager
async def connect_cluster(address: str) -> AsyncGenerator[Client, None]:
    """Connect to the cluster at an address, or start one on this machine, for the time of a block.

    Raises:
        InvalidArgumentError: the address is malformed.
        ConfigurationError: the address is one of TLS, and Dask's configuration has no certificates for it that can be
            used; or the scheduler expects TLS, and the address is not one.
        OSError: there is no scheduler at the address, or its certificate is not trusted.
    """
    from roomrec_async.integrations.dask import local_cluster  # noqa: PLC0415  an extra of its own

    if address == _LOCAL:
        async with local_cluster() as client:
            yield client
        return

    from distributed import Client  # noqa: PLC0415  an extra of its own
    from distributed.comm.addressing import get_address_host  # noqa: PLC0415

    try:
        get_address_host(address)
    except ValueError as error:
        raise InvalidArgumentError(f"--dask must be an address such as tls://host:8786, or 'local': {error}") from None
    check_security(address)
    client = Client(address, asynchronous=True)
    try:
        await connect(client, address)
        yield client
    finally:
        await client.close()


async def connect(client: Client, address: str) -> None:
    """Connect a client to the scheduler at an address.

    Raises:
        ConfigurationError: the scheduler expects TLS and the address is not one, or the other way round.
        OSError: there is no scheduler at the address, or its certificate is not trusted.
    """
    from distributed.comm.core import CommClosedError, FatalCommClosedError  # noqa: PLC0415  an extra of its own

    try:
        await client
    except (CommClosedError, ValueError) as error:
        # With a text, it is about the certificate; without one, about a handshake with something that speaks no TLS.
        if isinstance(error, FatalCommClosedError) and str(error):
            raise
        scheme = "tcp" if address.startswith("tls://") else "tls"
        why = str(error) or error.__cause__
        message = f"there is no scheduler at {address} that answers: does the address begin with {scheme}://? ({why})"
    else:
        return
    raise ConfigurationError(message)


def check_security(address: str) -> None:
    """Check that Dask's own configuration has what an encrypted address needs.

    Raises:
        ConfigurationError: it has not.
    """
    from distributed import Security  # noqa: PLC0415  an extra of its own

    if not address.startswith(("tls://", "wss://")):
        return
    files = find_certificate_files()
    try:
        # Dask takes the settings of its configuration where none are given.
        context = Security().get_connection_args("client").get("ssl_context")
    except SSLError as error:
        raise ConfigurationError(
            f"not a certificate and its key in PEM format: {', '.join(dict.fromkeys(files))}: {error}"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Dask's certificates for {address} cannot be used: {error}") from None
    if context is None:
        raise ConfigurationError(
            f"{address} needs Dask's certificates: set distributed.comm.tls.ca-file, .client.cert and .client.key in "
            "Dask's configuration, or DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on in the environment"
        )


def find_certificate_files() -> list[str]:
    """Return the files of the client's certificates in Dask's configuration, or the settings that hold them in memory.

    Raises:
        ConfigurationError: there is no such file.
    """
    import dask.config  # noqa: PLC0415  an extra of its own

    names = []
    for name in _CERTIFICATES:
        value = dask.config.get(name, None)
        if isinstance(value, str) and "\n" not in value:
            if not Path(value).is_file():
                raise ConfigurationError(f"there is no file {value}, which Dask's configuration has as {name}")
            names.append(value)
        elif value is not None:
            names.append(name)
    return names


@attrs.frozen(kw_only=True)
class ClusterExport:
    """One run of ``roomrec --dask ADDRESS list``.

    Attributes:
        address: the address of the cluster, or "local".
        base_url: the endpoint of the API.
        sources: the rooms.
        options: filters and limits of each room's list.
        directory: the directory that the workers write to.
        with_progress: True to show progress, if stderr is a terminal.
        failures: prints and counts failures.
    """

    address: str
    base_url: str
    sources: RoomSources
    options: RoomOptions
    directory: Path
    with_progress: bool
    failures: Failures = attrs.field(factory=Failures)

    async def run(self) -> int:
        """Export all rooms, and return the exit code."""
        from roomrec_async.integrations.dask import ExportProgress  # noqa: PLC0415  an extra of its own

        progress = ExportProgress()
        display: AbstractContextManager[object] = nullcontext()
        if self.with_progress:
            display = show_progress(self.failures.console, partial(self._format_progress, progress))
        with display:
            report = await self._export(progress)
        self._print_summary(report)
        return self.failures.exit_code

    async def _export(self, progress: ExportProgress) -> ExportReport:
        from roomrec_async.integrations.dask import export_on  # noqa: PLC0415  an extra of its own

        settings = make_cluster_settings(self.base_url)
        async with (
            make_client(self.base_url) as client,
            self.sources.open(RoomNames(client).find, self.failures.add_line, self.failures.print_repeated) as sids,
            connect_cluster(self.address) as cluster,
        ):
            return await export_on(cluster, sids, self.directory, settings=settings, progress=progress, **self.options)

    def _format_progress(self, progress: ExportProgress, elapsed: float) -> str:
        rooms = format_count(progress.rooms, "room")
        failed = progress.failed + self.failures.count
        if failed:
            rooms += f", {failed:,} failed"
        pace = format_pace(progress.recordings, elapsed)
        return f"{rooms} · {pace} · {format_count(progress.shards, 'file')}"

    def _print_summary(self, report: ExportReport) -> None:
        # Until here, only lines of the input have failed: the report does not know of them.
        refused = self.failures.count
        for room_sid, error in report.failures.items():
            self.failures.add(room_sid, error)
        # A report has the first failures only.
        if report.failed > len(report.failures):
            self.failures.print(f"and {report.failed - len(report.failures):,} more")
            self.failures.count = refused + report.failed

        recordings = format_count(report.recordings, "recording")
        rooms = format_count(report.rooms + refused, "room") + self.failures.format_suffix()
        files = format_count(report.files, "file")
        self.failures.print(
            f"{safe_text(report.directory)}: {recordings} of {rooms}, in {files} of {format_size(report.bytes)}"
        )
