"""Exports what the account recorded in a window of time, shard by shard, as a workflow manager such as Airflow does.

Each shard is a task of its own: it may run on any machine, in any order, and again after a failure, for it resumes. The
task that ends last writes the manifest. Try it with the simulator::

    roomrec simulate -- python examples/export_shards.py 2026-01-01T00:00:00Z 2027-01-01T00:00:00Z recordings/

One process uses the account's whole quota: shards at once are for more recordings than one machine is to hold, and need
one limit, with ROOMREC_REDIS_URL in their environment. In Airflow, the loop of this program becomes::

    @dag(schedule=CronDataIntervalTimetable("@monthly", timezone="UTC"), start_date=datetime(2026, 1, 1, tzinfo=UTC))
    def export_recordings():
        @task(retries=3, max_active_tis_per_dagrun=4)
        def shard(index, data_interval_start=None, data_interval_end=None):
            month = f"s3://bucket/recordings/{data_interval_start:%Y-%m}"
            return export_shard(index, data_interval_start.isoformat(), data_interval_end.isoformat(), month)

        shard.expand(index=list(range(SHARDS)))
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SHARDS = 4
ATTEMPTS = 3
# Mistakes in the arguments, and credentials that are refused: trying again does not help.
MISTAKES = (2, 3)


def export_shard(index: int, after: str, before: str, destination: str) -> dict[str, Any]:
    """Write one shard of the export, and return its summary.

    Args:
        index: the shard, from 0.
        after: start of the window in ISO 8601, with a time zone.
        before: its end. All shards need the same window.
        destination: a directory that all machines see, or a URL such as ``s3://bucket/prefix``.

    Returns:
        What ``roomrec export --json`` prints: numbers of recordings, files and bytes, and whether all shards are done.

    Raises:
        subprocess.CalledProcessError: it failed; run it again to resume, unless its ``returncode`` is in MISTAKES.
    """
    command = ["roomrec", "export", "--after", after, "--before", before, "--shard", f"{index}/{SHARDS}"]
    command += ["--output", destination, "--json"]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603  no shell; the program's own arguments
    summary: dict[str, Any] = json.loads(process.stdout)
    return summary


def export_with_retries(index: int, after: str, before: str, destination: str) -> dict[str, Any]:
    """Do what a workflow manager does with a task: run it again if it fails."""
    for _ in range(ATTEMPTS - 1):
        try:
            return export_shard(index, after, before, destination)
        except subprocess.CalledProcessError as error:
            if error.returncode in MISTAKES:
                raise
    return export_shard(index, after, before, destination)


def main() -> None:
    """Export all shards, one after the other."""
    after, before, destination = sys.argv[1:]
    try:
        summaries = [export_with_retries(index, after, before, destination) for index in range(SHARDS)]
    except subprocess.CalledProcessError as error:
        # The command has said why.
        sys.exit(error.returncode)
    print(f"{sum(each['recordings'] for each in summaries)} recordings in {SHARDS} shards")


if __name__ == "__main__":
    main()
