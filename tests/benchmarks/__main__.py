"""Run all benchmarks, print tables, and write a JSON file and a chart.

``python -m tests.benchmarks DIRECTORY [--quick]``

With ``--instructions``, instructions are counted instead, and a regression is a failure; ``--renew`` writes the
baseline for this version of Python. ``--quick --instructions`` does both.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from tests.benchmarks import archiving, chart, exporting, instructions, listing, media, others
from tests.benchmarks.awake import processors_awake
from tests.benchmarks.baseline import BASELINE, Baseline, Counted
from tests.benchmarks.figures import Figure

TARGETS = {
    ("1 page of 1000", "twilio 9.13.0"): "4.5",
    ("4 pages of 50", "twilio 9.13.0"): "3.7",
    ("1 page of 5", "twilio 9.13.0"): "2.0",
    ("1000, with defaults", "twilio 9.13.0"): "4.5",
    ("1 page of 1000", "by hand"): "1.18",
    ("4 pages of 50", "by hand"): "1.0",
    ("1 page of 5", "by hand"): "0.95",
}


def main(directory: Path, *, quick: bool) -> None:
    console = Console(width=110)
    measured: list[listing.Measured] = []
    with processors_awake():
        for rows in listing.measure(quick=quick):
            measured += rows
            console.print(_compared(rows))
        parts = (others, media, archiving, exporting)
        figures = [figure for part in parts for figure in part.measure(quick=quick)]
    console.print(_figures(figures))
    directory.mkdir(parents=True, exist_ok=True)
    report = {
        "python": platform.python_version(),
        "listing": [attrs.asdict(row) for row in measured],
        "others": [attrs.asdict(figure) for figure in figures],
    }
    (directory / "benchmark.json").write_text(json.dumps(report, indent=2) + "\n")
    chart.draw(measured, directory / "benchmark.svg")
    console.print(f"written: {directory / 'benchmark.json'}, {directory / 'benchmark.svg'}")


def count_instructions(*, renew: bool) -> int:
    """Print the table of instruction counts; return 1 if one has grown, or if they cannot be compared."""
    console = Console(width=110, highlight=False)
    baseline = Baseline.read()
    obstacles = [] if renew else baseline.obstacles()
    for obstacle in obstacles:
        console.print(f"instructions cannot be compared: {obstacle}")
    if obstacles:
        return 1

    rows = instructions.measure()
    console.print(_counted(rows, baseline))
    if renew:
        baseline.renew(rows)
        console.print(f"written: {BASELINE}")
        return 0
    regressions = [row for row in rows if baseline.is_regression(row)]
    for row in regressions:
        console.print(f"regression: {row.case}, {row.ratio:.3f} of by hand, {baseline.ratio(row):.3f} before")
    return 1 if regressions else 0


def _counted(rows: list[Counted], baseline: Baseline) -> Table:
    table = Table(
        title="thousand instructions: lists of so many recordings, exports of 1000, and imports over that of aiohttp",
        title_justify="left",
    )
    for heading in ("case", "roomrec_async", "by hand", "ours over by hand", "baseline"):
        table.add_column(heading, justify="right")
    for row in rows:
        before = baseline.ratio(row)
        shown = "-" if before is None else f"{before:.3f}"
        table.add_row(row.case, f"{row.ours:,.0f}", f"{row.by_hand:,.0f}", f"{row.ratio:.3f}", shown)
    return table


def _compared(rows: list[listing.Measured]) -> Table:
    table = Table(title=rows[0].case, title_justify="left")
    for heading in ("contender", "CPU us/recording", "wall us/recording", "requests/list", "CPU over ours", "target"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for row in rows:
        table.add_row(
            row.contender,
            f"{row.cpu:.2f}",
            f"{row.wall:.2f}",
            f"{row.requests:g}",
            f"{row.over_ours:.2f}x",
            TARGETS.get((row.case, row.contender), ""),
        )
    return table


def _figures(figures: list[Figure]) -> Table:
    table = Table(title="other figures", title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:,.2f} {figure.unit}".strip(), figure.target)
    return table


if __name__ == "__main__":
    if "--quick" in sys.argv or "--instructions" not in sys.argv:
        main(Path(sys.argv[1]), quick="--quick" in sys.argv)
    if "--instructions" in sys.argv:
        sys.exit(count_instructions(renew="--renew" in sys.argv))
