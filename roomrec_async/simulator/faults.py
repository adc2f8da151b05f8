"""Faults to inject: what networks, gateways and overloaded services do to an answer.

``simulator.inject(fault)`` lets the next request meet one of these instead of its normal answer. A fault of one's own
is any object with the method of :class:`Fault`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol

import attrs
from aiohttp import web

from .http_exchange import Exchange, body_of

_TICK = 0.02


class Fault(Protocol):
    """What happens to a request instead of its normal answer."""

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse | None:
        """Answer the request.

        Args:
            exchange: the request, and what there is to answer it with.

        Returns:
            The response, sent or not (the simulator sends what is not); None if there is none to be had.
        """


@attrs.frozen
class Respond:
    """Answer with this, without looking at the request, as a gateway in front of the API does.

    Args:
        status: the HTTP status.
        body: the body.
        headers: further response headers.
        content_type: the ``Content-Type``.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    content_type: str = "text/html"

    async def answer(self, _: Exchange, /) -> web.Response:
        """Answer with what was given."""
        return web.Response(
            status=self.status, body=self.body, headers={**self.headers, "Content-Type": self.content_type}
        )


@attrs.frozen
class Reset:
    """Reset the connection before any header is sent."""

    async def answer(self, exchange: Exchange, /) -> None:
        """Reset the connection."""
        exchange.reset()


@attrs.frozen
class ResetMidBody:
    """Reset the connection in the middle of the body.

    Args:
        after: how many bytes of the body are sent first.
    """

    after: int

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send a part, then reset."""
        response, body = await exchange.begin()
        await response.write(body[: self.after])
        await exchange.flush()
        exchange.reset()
        return response


@attrs.frozen
class Truncate:
    """Close the connection, in good order, before the body has the length that its header says.

    Args:
        after: how many bytes of the body are sent.
    """

    after: int

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send a part, then close."""
        response, body = await exchange.begin()
        await response.write(body[: self.after])
        exchange.close()
        return response


@attrs.frozen
class StallHeaders:
    """Be silent for a time, then answer normally.

    Args:
        seconds: for how long.
    """

    seconds: float

    async def answer(self, exchange: Exchange, /) -> web.Response:
        """Wait, then answer."""
        await asyncio.sleep(self.seconds)
        return await exchange.produce()


@attrs.frozen
class StallBody:
    """Fall silent in the middle of the body for a time, then send the rest.

    Args:
        after: how many bytes of the body are sent first.
        seconds: for how long to be silent.
    """

    after: int
    seconds: float

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send a part, wait, send the rest."""
        response, body = await exchange.begin()
        await response.write(body[: self.after])
        await asyncio.sleep(self.seconds)
        await response.write(body[self.after :])
        return response


@attrs.frozen
class SlowDrip:
    """Send the body in small pieces, so that no silence is long, but the whole is.

    Args:
        bytes_per_second: how fast.
    """

    bytes_per_second: float

    async def answer(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send the body piece by piece."""
        response, body = await exchange.begin()
        piece = max(1, int(self.bytes_per_second * _TICK))
        for start in range(0, len(body), piece):
            await response.write(body[start : start + piece])
            await asyncio.sleep(piece / self.bytes_per_second)
        return response


@attrs.frozen
class Replace:
    """Change the body of a normal 200; other answers pass unchanged.

    Args:
        function: the body that the API would send in, the body to send out; both without compression.
    """

    function: Callable[[bytes], bytes]

    async def answer(self, exchange: Exchange, /) -> web.Response:
        """Answer with the changed body."""
        response = await exchange.produce()
        if response.status == HTTPStatus.OK:
            response.body = self.function(await body_of(response))
            # A body that was to be sent piece by piece had announced its length.
            response.headers.pop("Content-Length", None)
        return response


@attrs.frozen
class CloseConnection:
    """Answer normally, then close the connection without having said so: a reused connection that is gone."""

    async def answer(self, exchange: Exchange, /) -> web.Response:
        """Answer, then close."""
        response = await exchange.produce()
        await exchange.send(response)
        exchange.close()
        return response
