"""The chart of the README: CPU time per recording, by contender and page size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

from tests.benchmarks.listing import Measured

_COLORS = {"roomrec_async": "#0b7285", "twilio 9.13.0": "#e8590c", "by hand": "#868e96", "bytes only": "#ced4da"}


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Write the chart as an SVG for light and dark pages, with selectable text."""
    cases = list(dict.fromkeys(row.case for row in measured))
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "roomrec_async", "font.size": 9}):
        figure, axes = plt.subplots(1, len(cases), figsize=(10, 2.6))
        for axis, case in zip(axes, cases, strict=True):
            rows = [row for row in measured if row.case == case]
            bars = axis.barh(
                [row.contender for row in rows],
                [row.cpu for row in rows],
                color=[_COLORS[row.contender] for row in rows],
            )
            axis.bar_label(bars, fmt="%.1f", padding=3)
            axis.set_title(case, fontsize=9)
            axis.invert_yaxis()
            axis.margins(x=0.25)
            axis.set_xticks([])
            axis.spines[["top", "right", "bottom"]].set_visible(False)
            if axis is not axes[0]:
                axis.set_yticks([])
        figure.suptitle("CPU time for each recording, in microseconds (less is better)", fontsize=10)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        plt.close(figure)
