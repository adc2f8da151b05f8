"""Progress of an export, and the report at its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs

MAX_FAILURES: Final = 1000
"""Failures in a report; those after them are only counted."""


@attrs.define
class ExportProgress:
    """Progress of an export, to be looked at while it runs.

    Attributes:
        units: pieces of work of this shard: some rooms each, or a part of the window; on a cluster, the shards. 0 until
            they are known.
        finished: units that are written, those of earlier calls included.
        recordings: recordings written, those of earlier calls included.
        failed: rooms that failed.
    """

    units: int = 0
    finished: int = 0
    recordings: int = 0
    failed: int = 0


@attrs.frozen
class ExportReport:
    """Result of an export: what one run has written, or the one shard of it that was asked for.

    Attributes:
        run: number of the run, from 1. Each call with ``since_last`` that finds the last run complete starts another.
        complete: True if all shards of the run are written; the manifest is there then.
        recordings: number of recordings written.
        parts: number of ``part-*`` files.
        bytes: total size of these files.
        pending: number of recordings that were still processing; the next run with ``since_last`` looks at them again.
        before: the end of the window that the run covers, in UTC; None for rooms.
        failures: error messages by the SID of the room, for the first 1,000.
        failed: number of rooms that failed.
        manifest: path or URL of the manifest, which lists all parts with their counts and digests; None before all
            shards are written.
    """

    run: int
    complete: bool
    recordings: int
    parts: int
    bytes: int
    pending: int
    before: datetime | None
    failures: Mapping[str, str]
    failed: int
    manifest: str | None
