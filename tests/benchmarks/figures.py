"""A measured figure and its target."""

from __future__ import annotations

import attrs


@attrs.frozen
class Figure:
    """One measured figure, with its unit and its target as they are printed."""

    name: str
    value: float
    unit: str
    target: str
