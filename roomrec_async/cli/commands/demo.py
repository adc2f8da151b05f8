"""``roomrec demo``: list the recordings of a simulated account, and show how long that took."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import attrs
import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from roomrec_async._format import format_count, format_hours, format_number, format_pace, format_size
from roomrec_async._text import safe_text
from roomrec_async._views.totals import Overview, RoomTotals, Totals, add_up
from roomrec_async.cli.support.command import RoomrecCommand
from roomrec_async.cli.support.errors import ExitCode, format_error
from roomrec_async.cli.support.progress import show_progress
from roomrec_async.cli.support.signals import run_async
from roomrec_async.cli.support.simulation import latency_option, latency_range, recordings_option, seed_option
from roomrec_async.client import RecordingsClient
from roomrec_async.models import RoomResult
from roomrec_async.simulator import Simulator

_MAX_LARGEST_ROOMS: Final = 5

# Small enough that rooms have several pages, as large rooms of a real account have.
_PAGE_SIZE: Final = 50

_NEXT_STEPS: Final = """
With an account of your own:
  export TWILIO_ACCOUNT_SID=AC... TWILIO_AUTH_TOKEN=...
  roomrec list RM..."""


@click.command(cls=RoomrecCommand)
@click.option("--rooms", type=int, default=200, show_default=True, metavar="N", help="Number of rooms to list.")
@recordings_option
@latency_option(120)
@seed_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each room, then one for the summary.")
def demo(rooms: int, recordings: int, latency: float, seed: int, as_json: bool) -> int:
    """List the recordings of 200 rooms concurrently, in about five seconds. It needs no account and no network.

    A simulated service, with the pages, quotas and delays of the API, runs in this process. The library lists all of
    its rooms, as fast as the quota allows.
    """
    simulator = Simulator(rooms, (0, recordings), seed, latency=latency_range(latency))
    reporter = JsonReporter() if as_json else TableReporter()
    return run_async(DemoRun(simulator, reporter, latency / 1000).run())


@attrs.frozen
class Performance:
    """Requests and time that the demonstration took.

    Attributes:
        requests: number of requests sent.
        refused: number of those that exceeded the quota, and were retried.
        quota: requests per second that the service admits.
        latency: average response time in seconds.
        seconds: elapsed time.
    """

    requests: int
    refused: int
    quota: float
    latency: float
    seconds: float

    @property
    def ideal_seconds(self) -> float:
        """Shortest time in which the quota admits this number of requests."""
        if not self.requests:
            return 0.0
        return self.requests / self.quota + self.latency

    @property
    def sequential_seconds(self) -> float:
        """Time that the requests would have taken one after the other."""
        return self.requests * self.latency


class Reporter(Protocol):
    """Prints the results of the demonstration."""

    def print_room(self, result: RoomResult, totals: RoomTotals) -> None:
        """Print a room that is done."""

    def print_summary(self, overview: Overview, performance: Performance) -> None:
        """Print the summary of all rooms."""


@attrs.frozen
class DemoRun:
    """One run of the command.

    Attributes:
        simulator: the service.
        reporter: prints the results.
        latency: average response time of the service in seconds.
        overview: sums up the recordings.
    """

    simulator: Simulator
    reporter: Reporter
    latency: float
    overview: Overview = attrs.field(factory=Overview)

    async def run(self) -> int:
        """List all rooms, and return the exit code."""
        async with self.simulator as simulator, simulator.client() as client:
            started = time.perf_counter()
            await self._list_rooms(client)
            seconds = time.perf_counter() - started

        stats = simulator.stats
        quota = simulator.reads_per_second or math.inf
        performance = Performance(stats.requests, stats.refused, quota, self.latency, seconds)
        self.reporter.print_summary(self.overview, performance)
        return ExitCode.FAILURE if self.overview.failed_rooms else ExitCode.SUCCESS

    async def _list_rooms(self, client: RecordingsClient) -> None:
        def format_progress(elapsed: float) -> str:
            pace = format_pace(self.overview.all.recordings, elapsed)
            return f"rooms · {pace} · {client.limiter.in_flight} in flight"

        rooms = self.simulator.room_sids
        with show_progress(Console(stderr=True), format_progress, rooms=len(rooms)) as advance:
            async with aclosing(client.as_completed(rooms, page_size=_PAGE_SIZE)) as results:
                async for result in results:
                    self.reporter.print_room(result, self.overview.add_room(result))
                    advance()


class JsonReporter:
    """Prints lines of JSON."""

    def print_room(self, result: RoomResult, totals: RoomTotals) -> None:
        """Print a room that is done."""
        error = None if result.error is None else str(result.error)
        click.echo(json.dumps({**totals.to_dict(), "error": error}))

    def print_summary(self, overview: Overview, performance: Performance) -> None:
        """Print the summary of all rooms."""
        summary = {
            "rooms": overview.rooms,
            "failed": overview.failed_rooms,
            **status_dict(overview.by_status),
            "by_type": {kind: status_dict(by_status) for kind, by_status in overview.by_type_and_status.items()},
            "largest": [room.to_dict() for room in largest_rooms(overview)],
            "requests": performance.requests,
            "refused": performance.refused,
            "seconds": round(performance.seconds, 3),
            "ideal_seconds": round(performance.ideal_seconds, 3),
        }
        click.echo(json.dumps({"summary": summary}))


class TableReporter:
    """Prints tables for people. Of single rooms, it prints only failures."""

    def __init__(self) -> None:
        self._stderr = Console(stderr=True, highlight=False)

    def print_room(self, result: RoomResult, totals: RoomTotals) -> None:
        """Print a room that failed."""
        if result.error is not None:
            line = f"{safe_text(totals.room_sid)}: {format_error(result.error)}"
            self._stderr.print(Text(line), soft_wrap=True)

    def print_summary(self, overview: Overview, performance: Performance) -> None:
        """Print the summary of all rooms."""
        console = Console(highlight=False)
        console.print(Group(type_table(overview), Text(), room_table(overview), Text()))
        console.print(Text(format_performance(overview, performance)))
        console.print(Text(_NEXT_STEPS))


def status_dict(by_status: Mapping[str, Totals]) -> dict[str, object]:
    """Return the sum of these totals, and the number of recordings by status; JSON-ready."""
    counts = {status: totals.recordings for status, totals in by_status.items()}
    return {**add_up(by_status.values()).to_dict(), "by_status": counts}


def largest_rooms(overview: Overview) -> list[RoomTotals]:
    """Return the rooms with the most recordings, largest first."""
    return overview.largest(_MAX_LARGEST_ROOMS, by="recordings")


def format_performance(overview: Overview, performance: Performance) -> str:
    """Return the requests and the time, beside what they could have been, as two lines."""
    rooms = format_count(overview.rooms, "room")
    requests = format_count(performance.requests, "request")
    if performance.refused:
        requests += f" ({performance.refused:,} refused and retried)"
    ideal = f"{performance.ideal_seconds:.1f} s"
    sequential = f"{performance.sequential_seconds:.0f} s"
    return (
        f"{rooms}, {requests} in {performance.seconds:.1f} s.\n"
        f"Ideal, at the quota of {performance.quota:g} requests per second: {ideal}. One at a time: {sequential}."
    )


def type_table(overview: Overview) -> Table:
    """Return a table of the recordings by type and status, the most frequent status first."""
    by_status = overview.by_status
    statuses = sorted(by_status, key=lambda status: by_status[status].recordings, reverse=True)
    table = make_table("recordings", *statuses, "total", "size", "duration")
    for media_type, by_own_status in sorted(overview.by_type_and_status.items()):
        table.add_row(media_type, *format_row(by_own_status, statuses))
    table.add_row("all", *format_row(by_status, statuses))
    return table


def format_row(by_status: Mapping[str, Totals], statuses: Sequence[str]) -> list[str]:
    """Return the cells of a row: counts in the order of the statuses, and the totals."""
    counts = [by_status.get(status, Totals()).recordings for status in statuses]
    return [*map(format_number, counts), *format_totals(add_up(by_status.values()))]


def room_table(overview: Overview) -> Table:
    """Return a table of the largest rooms."""
    table = make_table("largest rooms", "recordings", "size", "duration")
    for room in largest_rooms(overview):
        table.add_row(Text(safe_text(room.room_sid)), *format_totals(room.sum))
    return table


def make_table(first: str, *others: str) -> Table:
    """Return an empty table with these headings, in which all columns but the first hold numbers."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first)
    for title in others:
        table.add_column(Text(safe_text(title)), justify="right")
    return table


def format_totals(totals: Totals) -> tuple[str, str, str]:
    """Return the number of recordings, their size and their duration, as cells."""
    return format_number(totals.recordings), format_size(totals.size), format_hours(totals.duration)
