"""``roomrec demo``: what the library does, shown on a simulated account."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import Final, Protocol

import attrs
import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from roomrec_async._text import safe_text
from roomrec_async.cli.support.input import recordings_option, seed_option
from roomrec_async.cli.support.tables import counted, failure_told, hours_told, pace_told, progress_shown, size_told
from roomrec_async.cli.support.totals import RoomSum, Sum, Totals
from roomrec_async.client import RecordingsClient
from roomrec_async.models import RoomResult
from roomrec_async.simulator import Simulator

# Small enough that rooms have several pages, as large rooms of a real account have.
_PAGE_SIZE: Final = 50


@click.command(short_help="Show what it does, on a simulated account.")
@click.option("--rooms", type=int, default=200, show_default=True, metavar="N", help="Rooms to list.")
@recordings_option
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=120,
    show_default=True,
    metavar="MS",
    help="How long an answer takes on average, in milliseconds.",
)
@seed_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: one for each room, then the summary.")
def demo(rooms: int, recordings: int, latency: float, seed: int, as_json: bool) -> int:
    """List the recordings of 200 rooms at once, in five seconds. No account is needed, nothing leaves this machine.

    A service with the API's answers, pages, quotas and delays is started in this process; the library asks it for the
    recordings of all its rooms concurrently, as fast as the account's quota of requests allows.
    """
    simulator = Simulator(rooms, (0, recordings), seed, latency=spread(latency))
    return asyncio.run(_Demonstration(simulator, _JsonReport() if as_json else _TableReport(), latency / 1000).run())


def spread(milliseconds: float) -> tuple[float, float]:
    """The shortest and the longest time, in seconds, of answers that take so long on average."""
    return milliseconds * 2 / 3 / 1000, milliseconds * 4 / 3 / 1000


@attrs.frozen
class _Effort:
    """What the demonstration took.

    Attributes:
        requests: requests sent.
        refused: how many of them were over the quota; they were sent again.
        quota: requests a second that the service admits.
        latency: seconds that an answer takes on average.
        seconds: wall time.
    """

    requests: int
    refused: int
    quota: float
    latency: float
    seconds: float

    @property
    def ideal(self) -> float:
        """The least time that the quota leaves for so many requests."""
        return self.requests / self.quota + self.latency if self.requests else 0.0

    @property
    def one_by_one(self) -> float:
        """The time that the requests would have taken one after another."""
        return self.requests * self.latency


class _Report(Protocol):
    """How the demonstration is told."""

    def room(self, result: RoomResult, room: RoomSum) -> None:
        """A room is done."""

    def summary(self, totals: Totals, effort: _Effort) -> None:
        """Everything is done."""


@attrs.frozen
class _Demonstration:
    simulator: Simulator
    report: _Report
    latency: float
    totals: Totals = attrs.field(factory=Totals)

    async def run(self) -> int:
        """List all rooms. The result is the exit code."""
        async with self.simulator as simulator, simulator.client() as client:
            started = time.perf_counter()
            await self._list(client)
            seconds = time.perf_counter() - started
        stats = simulator.stats
        quota = simulator.reads_per_second or float("inf")
        self.report.summary(self.totals, _Effort(stats.requests, stats.refused, quota, self.latency, seconds))
        return 1 if self.totals.failed else 0

    async def _list(self, client: RecordingsClient) -> None:
        def tell(elapsed: float) -> str:
            listed = self.totals.all.recordings
            return f"rooms · {pace_told(listed, elapsed)} · {client.limiter.in_flight} in flight · {elapsed:.1f} s"

        rooms = self.simulator.room_sids
        with progress_shown(Console(stderr=True), tell, rooms=len(rooms)) as one_done:
            async with aclosing(client.as_completed(rooms, page_size=_PAGE_SIZE)) as results:
                async for result in results:
                    self.report.room(result, self.totals.add(result))
                    one_done()


class _JsonReport:
    """One JSON object a line."""

    def room(self, result: RoomResult, room: RoomSum) -> None:
        """A room is done."""
        click.echo(json.dumps({**_plain_room(room), "error": None if result.error is None else str(result.error)}))

    def summary(self, totals: Totals, effort: _Effort) -> None:
        """Everything is done."""
        summary = {
            "rooms": totals.rooms,
            "failed": totals.failed,
            **_plain_sum(totals.all),
            "by_type": {kind: _plain_sum(own) for kind, own in totals.by_type.items()},
            "largest": [_plain_room(room) for room in totals.largest],
            "requests": effort.requests,
            "refused": effort.refused,
            "seconds": round(effort.seconds, 3),
            "ideal_seconds": round(effort.ideal, 3),
        }
        click.echo(json.dumps({"summary": summary}))


def _plain_room(room: RoomSum) -> dict[str, object]:
    return {
        "room_sid": room.room_sid,
        "recordings": room.recordings,
        "size": room.size,
        "duration": room.duration,
    }


def _plain_sum(own: Sum) -> dict[str, object]:
    return {
        "recordings": own.recordings,
        "size": own.size,
        "duration": own.duration,
        "by_status": dict(own.by_status),
    }


class _TableReport:
    """Tables for people."""

    def __init__(self) -> None:
        self._errors = Console(stderr=True, highlight=False)

    def room(self, result: RoomResult, room: RoomSum) -> None:
        """A room is done. Only failures are worth a line."""
        if result.error is not None:
            self._errors.print(Text(f"{safe_text(room.room_sid)}: {failure_told(result.error)}"), soft_wrap=True)

    def summary(self, totals: Totals, effort: _Effort) -> None:
        """Everything is done."""
        console = Console(highlight=False)
        console.print(Group(_by_type(totals), Text(), _largest(totals), Text()))
        console.print(Text(_effort_told(totals, effort)))
        console.print(Text(_NEXT))


_NEXT: Final = """
With an account of your own:
  export TWILIO_ACCOUNT_SID=AC... TWILIO_AUTH_TOKEN=...
  roomrec list RM..."""


def _effort_told(totals: Totals, effort: _Effort) -> str:
    refused = f" ({effort.refused:,} refused and sent again)" if effort.refused else ""
    return (
        f"{counted(totals.rooms, 'room')}, {counted(effort.requests, 'request')}{refused} in {effort.seconds:.1f} s.\n"
        f"Ideal, at the account's quota of {effort.quota:g} requests a second: {effort.ideal:.1f} s. "
        f"One by one: {effort.one_by_one:.0f} s."
    )


def _by_type(totals: Totals) -> Table:
    statuses = [status for status, _ in totals.all.by_status.most_common()]
    table = _table("recordings", *statuses, "together", "size", "media")
    for kind, own in (*sorted(totals.by_type.items()), ("all", totals.all)):
        table.add_row(Text(safe_text(kind)), *(f"{own.by_status[status]:,}" for status in statuses), *_sums_told(own))
    return table


def _largest(totals: Totals) -> Table:
    table = _table("largest rooms", "recordings", "size", "media")
    for room in totals.largest:
        table.add_row(Text(safe_text(room.room_sid)), *_sums_told(room))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first)
    for title in others:
        table.add_column(Text(safe_text(title)), justify="right")
    return table


def _sums_told(sums: Sum | RoomSum) -> tuple[str, str, str]:
    return f"{sums.recordings:,}", size_told(sums.size), hours_told(sums.duration)
