"""``roomrec --dask``: run a command on a Dask cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLError
from typing import TYPE_CHECKING, Final

import click

from roomrec_async.errors import ConfigurationError, InvalidArgumentError

if TYPE_CHECKING:
    from distributed import Client

# Dask's settings for the client's side of a connection: names of files, or their content.
_CERTIFICATES: Final = (
    "distributed.comm.tls.ca-file",
    "distributed.comm.tls.client.cert",
    "distributed.comm.tls.client.key",
)
# The address that stands for a cluster on this machine.
_LOCAL: Final = "local"


def cluster_address() -> str | None:
    """Return the address that was given with ``--dask``, or None.

    Raises:
        ConfigurationError: it was given, and the extra is missing.
    """
    address: str | None = click.get_current_context().find_root().params["dask"]
    if address is not None:
        # Before a command says that it has started.
        import roomrec_async.integrations.dask  # noqa: F401, PLC0415  an extra of its own
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
