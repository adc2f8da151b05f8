"""Options of the commands that run a simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., object])

recordings_option: Final = click.option(
    "--recordings",
    type=click.IntRange(0),
    default=120,
    show_default=True,
    metavar="N",
    help="Maximum number of recordings per room.",
)
seed_option: Final = click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Seed that the account is generated from."
)


def latency_option(default: int) -> Callable[[_Command], _Command]:
    """Return the option ``--latency`` with this default, in milliseconds."""
    return click.option(
        "--latency",
        type=click.FloatRange(0),
        default=default,
        show_default=True,
        metavar="MS",
        help="Average response time in milliseconds.",
    )


def latency_range(milliseconds: float) -> tuple[float, float]:
    """Return the shortest and the longest response time, in seconds, for an average in milliseconds."""
    seconds = milliseconds / 1000
    return seconds * 2 / 3, seconds * 4 / 3
