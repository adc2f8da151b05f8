"""CPU and wall time per recording of all contenders: interleaved rounds, medians, and ratios within a round.

One process of a contender can be a quarter faster than the next one, by the luck of its memory layout. So each
contender has several processes, one after another, and the median is over all of their rounds. The speed of a machine
changes from minute to minute. So ratios are computed within a round, in which contenders run right after one another.
And where the kernel is free to move them, a contender may share its processor with the server, or not, for many rounds.
So the server has one processor, and the contenders another one.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import attrs

from tests.benchmarks.contenders import CONTENDERS, OURS
from tests.benchmarks.processes import Server, Worker

PROCESSES: Final = 7
ROUNDS: Final = 5


@attrs.frozen
class Case:
    """One case: the shape of a room, and how many times it is listed in a round."""

    name: str
    pages: int
    size: int
    lists: int
    defaults: bool = False


CASES: Final = [
    Case("1 page of 1000", 1, 1000, 10),
    Case("4 pages of 50", 4, 50, 50),
    Case("1 page of 5", 1, 5, 300),
    Case("1000, with defaults", 1, 1000, 10, defaults=True),
]


@attrs.frozen
class Measured:
    """The times of a contender in a case.

    Attributes:
        cpu: microseconds of CPU time per recording, median of the rounds.
        wall: microseconds of wall time per recording, median of the rounds.
        over_ours: CPU time over that of this library in the same round, median of the rounds.
        requests: HTTP requests per list.
    """

    case: str
    contender: str
    cpu: float
    wall: float
    over_ours: float
    requests: float


def measure(*, quick: bool) -> Iterator[list[Measured]]:
    """Yield the results of all contenders, case by case."""
    processes, rounds = (1, 1) if quick else (PROCESSES, ROUNDS)
    results: dict[tuple[Case, str], list[dict[str, float]]] = {
        (case, name): [] for case in CASES for name in CONTENDERS
    }
    server_processor, contender_processor = _two_processors()
    with Server(processor=server_processor) as server:
        for _ in range(processes):
            _run_processes(server, contender_processor, rounds, results)
    for case in CASES:
        ours = results[case, OURS]
        yield [_summarize(case, name, results[case, name], ours) for name in CONTENDERS]


def _two_processors() -> tuple[int | None, int | None]:
    """Return two of the processors that this process may use; None if it has only one, or the system does not say."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1:
        return None, None
    first, second, *_ = sorted(os.sched_getaffinity(0))
    return first, second


def _run_processes(
    server: Server, processor: int | None, rounds: int, results: dict[tuple[Case, str], list[dict[str, float]]]
) -> None:
    """Run one process of each contender; they take turns."""
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker("tests.benchmarks.contenders", name, server.base_url, processor=processor))
            for name in CONTENDERS
        }
        for case in CASES:
            for number in range(rounds + 1):
                for name, worker in workers.items():
                    server.requests()
                    result = worker.call(f"{case.pages} {case.size} {int(case.defaults)} {case.lists}")
                    result["requests"] = server.requests()
                    if number:  # the first round warms up
                        results[case, name].append(result)


def _summarize(case: Case, name: str, rows: Sequence[dict[str, float]], ours: Sequence[dict[str, float]]) -> Measured:
    requests = statistics.median(row["requests"] for row in rows) / case.lists
    over_ours = statistics.median(row["cpu"] / other["cpu"] for row, other in zip(rows, ours, strict=True))
    return Measured(case.name, name, _median(rows, "cpu"), _median(rows, "wall"), over_ours, requests)


def _median(rows: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(row[key] / row["recordings"] * 1e6 for row in rows)
