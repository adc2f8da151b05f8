"""How far an archive is, and its contents after a run. Importing it does not load SQLite."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.define
class ArchiveProgress:
    """How far an archive is, to be looked at while it runs.

    Attributes:
        found: recordings that are in the ledger, those of earlier runs included.
        archived: recordings that were copied and verified in this run.
        deleted: recordings that were deleted at the source in this run.
        failed: recordings and rooms that failed in this run.
        bytes: bytes that have arrived in this run.
        expected_bytes: bytes that were or are to arrive in this run, of what was found in it.
        listing: whether there may be more to be found.
    """

    found: int = 0
    archived: int = 0
    deleted: int = 0
    failed: int = 0
    bytes: int = 0
    expected_bytes: int = 0
    listing: bool = True


@attrs.frozen
class ArchiveReport:
    """What an archive holds after a run.

    Attributes:
        archived: recordings with a verified copy in it, from this and earlier runs.
        bytes: how many bytes these have.
        deleted: how many of these are deleted at the source.
        external: recordings that are in a bucket of the account's own: in the manifest, neither copied nor deleted.
        failures: why a recording or a room failed, by its SID, for the first 1,000; the next run tries them again.
        failed: how many failed.
        manifest: where the manifests are.
    """

    archived: int
    bytes: int
    deleted: int
    external: int
    failures: Mapping[str, str]
    failed: int
    manifest: tuple[str, ...]
