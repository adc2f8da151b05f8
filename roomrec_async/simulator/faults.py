"""Faults to inject: what networks, gateways and overloaded services do to a response.

``simulator.inject(fault)`` makes one of these happen to the next request, instead of its normal response. A fault of
your own is any object with the method of :class:`Fault`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol, TypeVar

import attrs
from aiohttp import web

from roomrec_async._validate import (
    INT64_MAX,
    check_bytes,
    check_callable,
    check_integer,
    check_rate,
    check_seconds,
    check_text,
    check_text_map,
)

from .http_exchange import Exchange, read_body

_Value = TypeVar("_Value")

# Seconds between two pieces of a body that is sent slowly.
_DRIP_INTERVAL = 0.02


def _checked(check: Callable[..., object], **bounds: int) -> Callable[[object, attrs.Attribute[_Value], _Value], None]:
    """Return the validator of a field that calls a check of arguments."""

    def validate(_: object, attribute: attrs.Attribute[_Value], value: _Value) -> None:
        check(attribute.name, value, **bounds)

    return validate


class Fault(Protocol):
    """Handles a request instead of the API."""

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse | None:
        """Handle a request.

        Args:
            exchange: the request, with the normal response to it and the means to send one.

        Returns:
            The response, sent or not (the simulator sends what is not); None if there is no response.
        """


@attrs.frozen
class Respond:
    """Send a given response without looking at the request, as a gateway in front of the API does.

    Args:
        status: the HTTP status.
        body: the body.
        headers: further response headers.
        content_type: the ``Content-Type``.
    """

    status: int = attrs.field(validator=_checked(check_integer, minimum=200, maximum=599))
    body: bytes = attrs.field(default=b"", validator=_checked(check_bytes))
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=_checked(check_text_map))
    content_type: str = attrs.field(default="text/html", validator=_checked(check_text))

    async def handle(self, _: Exchange, /) -> web.Response:
        """Return the given response."""
        return web.Response(
            status=self.status, body=self.body, headers={**self.headers, "Content-Type": self.content_type}
        )


@attrs.frozen
class Reset:
    """Reset the connection before any header is sent."""

    async def handle(self, exchange: Exchange, /) -> None:
        """Reset the connection."""
        exchange.reset()


@attrs.frozen
class ResetMidBody:
    """Reset the connection in the middle of the body.

    Args:
        after: number of bytes of the body that are sent first.
    """

    after: int = attrs.field(validator=_checked(check_integer, minimum=0))

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send a part of the body, then reset the connection."""
        response, body = await exchange.start_response()
        await response.write(body[: self.after])
        # A reset discards what is still in the send buffer.
        await exchange.flush()
        exchange.reset()
        return response


@attrs.frozen
class Truncate:
    """Close the connection in good order, but before the body has the length that its header announced.

    Args:
        after: number of bytes of the body that are sent.
    """

    after: int = attrs.field(validator=_checked(check_integer, minimum=0))

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send a part of the body, then close the connection."""
        response, body = await exchange.start_response()
        await response.write(body[: self.after])
        exchange.close()
        return response


@attrs.frozen
class StallHeaders:
    """Send nothing for a time, then respond normally.

    Args:
        seconds: the time.
    """

    seconds: float = attrs.field(validator=_checked(check_seconds))

    async def handle(self, exchange: Exchange, /) -> web.Response:
        """Wait, then return the normal response."""
        await asyncio.sleep(self.seconds)
        return await exchange.get_response()


@attrs.frozen
class StallBody:
    """Send nothing for a time in the middle of the body, then send the rest.

    Args:
        after: number of bytes of the body that are sent first.
        seconds: the time.
    """

    after: int = attrs.field(validator=_checked(check_integer, minimum=0))
    seconds: float = attrs.field(validator=_checked(check_seconds))

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send a part of the body, wait, then send the rest."""
        response, body = await exchange.start_response()
        await response.write(body[: self.after])
        await asyncio.sleep(self.seconds)
        await response.write(body[self.after :])
        return response


@attrs.frozen
class SlowDrip:
    """Send the body in small pieces: no pause is long, but the whole response takes long.

    Args:
        bytes_per_second: the speed.
    """

    bytes_per_second: float = attrs.field(validator=_checked(check_rate, maximum=INT64_MAX))

    async def handle(self, exchange: Exchange, /) -> web.StreamResponse:
        """Send the body piece by piece."""
        response, body = await exchange.start_response()
        piece_size = max(1, int(self.bytes_per_second * _DRIP_INTERVAL))
        for start in range(0, len(body), piece_size):
            await response.write(body[start : start + piece_size])
            await asyncio.sleep(piece_size / self.bytes_per_second)
        return response


@attrs.frozen
class Replace:
    """Change the body of a normal 200; other responses are sent unchanged.

    Args:
        function: takes the body of the API, and returns the body to send; both are uncompressed.
    """

    function: Callable[[bytes], bytes] = attrs.field(validator=_checked(check_callable))

    async def handle(self, exchange: Exchange, /) -> web.Response:
        """Return the normal response with the changed body."""
        response = await exchange.get_response()
        if response.status == HTTPStatus.OK:
            response.body = self.function(await read_body(response))
            # Streamed bodies come with a Content-Length, which may be wrong now. aiohttp sets the right one.
            response.headers.pop("Content-Length", None)
        return response


@attrs.frozen
class CloseConnection:
    """Respond normally, then close the connection without announcing it: the client may reuse a dead connection."""

    async def handle(self, exchange: Exchange, /) -> web.Response:
        """Send the normal response, then close the connection."""
        response = await exchange.get_response()
        await exchange.send(response)
        exchange.close()
        return response
