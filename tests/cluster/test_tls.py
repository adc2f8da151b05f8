"""Encrypted clusters: certificates of Dask's own configuration, and what is said about those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs
import pyarrow.parquet as pq
import pytest
import trustme

from roomrec_async.simulator import Simulator

from .conftest import expected
from .processes import Commands
from .test_cluster import rooms, run_roomrec, simulator

# Each starts processes, which takes long where others do as well.
pytestmark = pytest.mark.timeout(300)
__all__ = ["rooms", "simulator"]

_TLS = "DASK_DISTRIBUTED__COMM__TLS__"


def certificates(directory: Path) -> dict[str, str]:
    """Write certificates of a new authority, and return the variables that Dask reads their files from."""
    directory.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    pair = directory / "pair.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pair)
    sides = [f"{_TLS}{side}__{file}" for side in ("CLIENT", "SCHEDULER", "WORKER") for file in ("CERT", "KEY")]
    return {f"{_TLS}CA_FILE": str(directory / "ca.pem"), **dict.fromkeys(sides, str(pair))}


@attrs.frozen
class Encrypted:
    """A cluster that is encrypted, the variables that let a program use it, and its address."""

    commands: Commands
    variables: dict[str, str]
    address: str


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    directory = tmp_path_factory.mktemp("encrypted")
    variables = certificates(directory / "certificates")
    commands = Commands(directory, variables, ("--protocol", "tls"))
    with commands.scheduler(), commands.worker():
        address = json.loads(commands.file.read_text("utf-8"))["address"]
        assert address.startswith("tls://")
        yield Encrypted(commands, variables, address)


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_an_export_on_an_encrypted_cluster(
    encrypted: Encrypted, simulator: Simulator, rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, encrypted.variables)
    on_cluster = ("--dask", encrypted.address, "export", "--from-file", rooms, "-o", tmp_path / "new")
    code, _, messages = run_roomrec(*on_cluster)
    assert (code, len(messages)) == (0, 1), messages
    assert sorted(row["sid"] for row in pq.read_table(tmp_path / "new").to_pylist()) == expected(simulator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CA_FILE": ""}, "needs Dask's certificates: set distributed.comm.tls.ca-file"),
        ({"CLIENT__CERT": ""}, "needs Dask's certificates: set distributed.comm.tls.ca-file"),
        ({"CA_FILE": "no.pem"}, "there is no file no.pem, which Dask's configuration has as distributed.comm.tls.ca-"),
        (
            {"CLIENT__CERT": "no.pem"},
            "there is no file no.pem, which Dask's configuration has as distributed.comm.tls.",
        ),
        ({"CLIENT__KEY": "no.pem"}, "there is no file no.pem, which Dask's configuration has as distributed.comm.tls."),
        ({"CA_FILE": "{empty}"}, "not a certificate and its key in PEM format: {empty}, "),
        ({"CLIENT__CERT": "{empty}"}, "not a certificate and its key in PEM format: "),
        ({"CLIENT__KEY": "BEGIN\ncanary"}, "not a certificate and its key in PEM format: "),
        ({"MIN_VERSION": "1.9"}, "cannot be used: distributed.comm.tls.min-version=1.9 is not supported"),
    ],
)
def test_certificates_that_cannot_be_used(
    encrypted: Encrypted,
    simulator: Simulator,
    rooms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    message: str,
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    set_variables(monkeypatch, encrypted.variables)
    for name, value in changes.items():
        if value:
            monkeypatch.setenv(f"{_TLS}{name}", value.format(empty=empty))
        else:
            monkeypatch.delenv(f"{_TLS}{name}")
    on_cluster = ("--dask", encrypted.address, "export", "--from-file", rooms, "-o", tmp_path / "new")
    code, _, messages = run_roomrec(*on_cluster)
    assert (code, len(messages)) == (2, 1), messages
    assert message.format(empty=empty) in messages[0]
    assert "canary" not in messages[0]
    assert simulator.stats.requests == 0


def test_certificates_of_another_authority(
    encrypted: Encrypted, simulator: Simulator, rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, certificates(tmp_path / "other"))
    on_cluster = ("--dask", encrypted.address, "export", "--from-file", rooms, "-o", tmp_path / "new")
    code, _, messages = run_roomrec(*on_cluster)
    assert (code, len(messages)) == (1, 1), messages
    assert "TLS certificate does not match" in messages[0]


def test_an_address_with_the_wrong_scheme(
    encrypted: Encrypted, simulator: Simulator, rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, encrypted.variables)
    address = encrypted.address.replace("tls://", "tcp://")
    exporting = ("export", "--from-file", rooms, "-o", tmp_path / "new")
    code, _, messages = run_roomrec("--dask", address, *exporting)
    assert (code, len(messages)) == (2, 1), messages
    assert f"there is no scheduler at {address} that answers: does the address begin with tls://?" in messages[0]
    plain = Commands(tmp_path)
    with plain.scheduler():
        address = json.loads(plain.file.read_text("utf-8"))["address"].replace("tcp://", "tls://")
        code, _, messages = run_roomrec("--dask", address, *exporting)
    assert (code, len(messages)) == (2, 1), messages
    assert f"there is no scheduler at {address} that answers: does the address begin with tcp://?" in messages[0]
