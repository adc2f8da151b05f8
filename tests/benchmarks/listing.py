"""CPU and wall time for each recording, side by side: interleaved rounds, medians, and ratios within the run."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import attrs

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.processes import Server, Worker

ROUNDS: Final = 15


@attrs.frozen
class Case:
    """One thing to measure: a room's shape, and how many times it is listed in a round."""

    name: str
    pages: int
    size: int
    lists: int
    defaults: bool = False


CASES: Final = [
    Case("1 page of 1000", 1, 1000, 10),
    Case("4 pages of 50", 4, 50, 25),
    Case("1 page of 5", 1, 5, 100),
    Case("1000, with defaults", 1, 1000, 10, defaults=True),
]


@attrs.frozen
class Measured:
    """What a contender needed in a case.

    Attributes:
        cpu: microseconds of CPU time for a recording, median of the rounds.
        wall: microseconds of wall time for a recording, median of the rounds.
        requests: HTTP requests for a list.
    """

    case: str
    contender: str
    cpu: float
    wall: float
    requests: float


def measure(rounds: int = ROUNDS) -> Iterator[list[Measured]]:
    """All contenders in one case after the other."""
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        workers = {
            name: stack.enter_context(Worker("tests.benchmarks.contenders", name, server.base_url))
            for name in CONTENDERS
        }
        for case in CASES:
            yield _measured(case, server, workers, rounds)


def _measured(case: Case, server: Server, workers: dict[str, Worker], rounds: int) -> list[Measured]:
    command = f"{case.pages} {case.size} {int(case.defaults)} {case.lists}"
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    requests: dict[str, int] = {}
    for number in range(rounds + 1):
        for name, worker in workers.items():
            server.requests()
            answer = worker.ask(command)
            requests[name] = server.requests()
            if number:  # the first round warms up
                answers[name].append(answer)
    return [
        Measured(case.name, name, _median(rows, "cpu"), _median(rows, "wall"), requests[name] / case.lists)
        for name, rows in answers.items()
    ]


def _median(rows: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(row[key] / row["recordings"] * 1e6 for row in rows)
