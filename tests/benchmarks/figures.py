"""A measured figure, and what it should be."""

from __future__ import annotations

import attrs


@attrs.frozen
class Figure:
    """One figure, and what it should be."""

    name: str
    value: float
    unit: str
    target: str
