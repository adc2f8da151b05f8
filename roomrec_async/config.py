"""How long an operation may take."""

from __future__ import annotations

import asyncio
import math
import sys

import aiohttp
import attrs
import msgspec

from .errors import InvalidArgumentError, shown


@attrs.frozen
class Timeout:
    """How long an operation may take, in seconds; None lifts a bound.

    Args:
        total: the deadline of the whole operation: waiting for the limiter, every try, every wait between tries. One
            operation is one page when a list is iterated, and the whole list for ``to_list()``, ``first()`` and each
            room of many.
        connect: to establish a connection.
        read: until the response begins, and between two pieces of it. With an aiohttp session of the caller's own,
            its beginning may take ``connect`` longer.

    Raises:
        InvalidArgumentError: a value is not positive.
    """

    total: float | None = 300.0
    connect: float | None = 10.0
    read: float | None = 30.0
    _of_aiohttp: aiohttp.ClientTimeout = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        for name, value in (("total", self.total), ("connect", self.connect), ("read", self.read)):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value <= sys.float_info.max):
                raise InvalidArgumentError(f"timeout: {name} must be a positive number of seconds, not {shown(value)}")
        # Made once, and not for each request. Only the time of connecting is left to aiohttp.
        object.__setattr__(self, "_of_aiohttp", aiohttp.ClientTimeout(total=None, sock_connect=self.connect))

    @property
    def reading(self) -> float:
        """Seconds until more of a response must be there; infinity for no bound."""
        return math.inf if self.read is None else self.read

    @property
    def connecting(self) -> float:
        """Seconds until there must be a connection; infinity for no bound."""
        return math.inf if self.connect is None else self.connect

    @classmethod
    def of(cls, value: Timeout | float | None, default: Timeout) -> Timeout:
        """The time-outs that a caller means: a number is the deadline, None the default."""
        if value is None or isinstance(value, Timeout):
            return value or default
        return attrs.evolve(default, total=value)

    def start(self) -> Deadline:
        """The deadline of an operation that begins now."""
        at = math.inf if self.total is None else asyncio.get_running_loop().time() + self.total
        return Deadline(self, at)


class Deadline(msgspec.Struct):
    """When an operation must be over, in the time of the event loop."""

    timeout: Timeout
    at: float

    def allows(self, delay: float) -> bool:
        """Whether there is time left after a wait of so many seconds."""
        return asyncio.get_running_loop().time() + delay < self.at
