"""The matrix of outcomes, printed at the end of a verbose run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

# The outcome of each cell by the name of the fault, how often it happened, and the name of the operation.
Outcomes = dict[tuple[str, str, str], str]

OUTCOMES = pytest.StashKey[Outcomes]()


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """The outcomes of this run, for a test to add its own to."""
    return request.config.stash.setdefault(OUTCOMES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = terminalreporter.config.stash.get(OUTCOMES, {})
    if not outcomes or terminalreporter.config.getoption("verbose") < 1:
        return
    terminalreporter.section("outcomes by fault")
    for line in format_matrix(outcomes):
        terminalreporter.write_line(line)


def format_matrix(outcomes: Outcomes) -> Iterator[str]:
    operations = list(dict.fromkeys(operation for _, _, operation in outcomes))
    rows = list(dict.fromkeys((fault, times) for fault, times, _ in outcomes))
    yield "columns: " + ", ".join(operations)
    for fault, times in rows:
        row = [outcomes.get((fault, times, operation), "-") for operation in operations]
        counted = [f"{outcome} x{row.count(outcome)}" for outcome in dict.fromkeys(row)]
        yield f"{fault} ({times}): " + ", ".join(counted)
