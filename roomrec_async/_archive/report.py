"""Progress of an archive run, and the report at its end. Importing this does not load SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs


@attrs.define
class ArchiveProgress:
    """Progress of an archive, to be looked at while it runs.

    Attributes:
        found: recordings that the source of this run names, including those that earlier runs have found.
        archived: recordings copied and verified in this run.
        deleted: recordings deleted at the source in this run.
        failed: recordings and rooms that failed in this run, or in earlier ones and were not tried again yet.
        bytes: bytes received in this run.
        expected_bytes: bytes to receive in this run, those already received included, for the recordings found in it.
        listing: True while there may be more recordings to find.
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
    """Contents of an archive after a run.

    Attributes:
        archived: recordings with a verified copy, from this and earlier runs.
        bytes: number of bytes of these copies.
        deleted: number of these recordings that are deleted at the source.
        external: recordings in the account's own bucket: listed in the manifest, neither copied nor deleted.
        failures: error messages by the SID of the recording or room that failed, for the first 1,000, including those
            that failed in earlier runs and were not tried again in this one. Runs of the same source retry them, ever
            more rarely.
        failed: number of recordings and rooms that failed.
        manifest: paths or URLs of the manifests.
        left_alone: recordings with a copy from earlier runs that are still at the source, and that the source of this
            run does not name: their copies were not looked at, and none of them was deleted.
        postponed: number of recordings that failed in earlier runs and were not tried again in this one.
        next_tries: the time in UTC from which on a recording of ``failures`` is tried again, by its SID. Those that are
            not here are tried by the next run, or as soon as the key that they need is given.
    """

    archived: int
    bytes: int
    deleted: int
    external: int
    failures: Mapping[str, str]
    failed: int
    manifest: tuple[str, ...]
    left_alone: int = 0
    postponed: int = 0
    next_tries: Mapping[str, datetime] = attrs.field(factory=dict)
