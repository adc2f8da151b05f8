"""The matrix of what each cell gave, printed at the end if it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

Cells = dict[tuple[str, str, str], str]

CELLS = pytest.StashKey[Cells]()


@pytest.fixture
def record_cell(request: pytest.FixtureRequest) -> Cells:
    """Where a cell's outcome goes: fault, how often, operation."""
    return request.config.stash.setdefault(CELLS, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    cells = terminalreporter.config.stash.get(CELLS, {})
    if not cells or terminalreporter.config.getoption("verbose") < 1:
        return
    operations = list(dict.fromkeys(operation for _, _, operation in cells))
    terminalreporter.section("faults and what they gave")
    for line in _lines(cells, operations):
        terminalreporter.write_line(line)


def _lines(cells: Cells, operations: list[str]) -> Iterator[str]:
    rows = list(dict.fromkeys((fault, times) for fault, times, _ in cells))
    yield "columns: " + ", ".join(operations)
    for fault, times in rows:
        outcomes = [cells.get((fault, times, operation), "-") for operation in operations]
        yield f"{fault} ({times}): " + ", ".join(_counted(outcomes))


def _counted(outcomes: list[str]) -> Iterator[str]:
    for outcome in dict.fromkeys(outcomes):
        yield f"{outcome} x{outcomes.count(outcome)}"
