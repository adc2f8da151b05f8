"""Where an interrupted list goes on: a position, and the opaque token that carries it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from roomrec_async._api.params import Parameters, parameter_values, parse_query, requote_query
from roomrec_async.errors import InvalidArgumentError


class Position(msgspec.Struct):
    """A position in a list, between two records.

    Attributes:
        path: the path of the list, below the base URL.
        start: the query that the list began with, which holds its filters.
        query: the query of the page to read next; None at the end of the list.
        skip: how many records of that page were already delivered.
    """

    path: str
    start: str
    query: str | None
    skip: int = 0

    def token(self) -> str:
        """Return the position as printable text, safe in URLs. It holds the API's page token, and no credential."""
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def position_from(token: str, path: str, parameters: Parameters) -> Position:
    """Return the position of a token, for the list at ``path`` with the parameters that the caller gave.

    Raises:
        InvalidArgumentError: the token is malformed or belongs to another list, or the caller's parameters are not
            those of the list that it interrupts.
    """
    try:
        padded = token.encode() + b"=" * (-len(token) % 4)
        position = msgspec.json.decode(urlsafe_b64decode(padded), type=Position)
    except (ValueError, AttributeError, msgspec.MsgspecError):
        raise InvalidArgumentError("resume is not a token that this library made") from None
    if position.skip < 0:
        raise InvalidArgumentError("resume is a token that this library did not make: it skips back")
    if position.path != path:
        raise InvalidArgumentError(f"resume is a token of {position.path}, and cannot go on in {path}")

    start_parameters = parse_query(position.start)
    for name, values in parameters.items():
        before = start_parameters.get(name, ())
        now = parameter_values(values)
        if before != now:
            was = ", ".join(before) or "not set"
            raise InvalidArgumentError(f"resume is a token of a list whose {name} was {was}, not {', '.join(now)}")

    # Tokens come back from outside, where anybody can have made them.
    query = None if position.query is None else requote_query(position.query)
    return msgspec.structs.replace(position, query=query)
