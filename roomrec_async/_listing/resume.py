"""Where an interrupted list goes on: a position, and the opaque token that carries it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec

from roomrec_async._api.params import Parameters, parameter_values, parse_query, requote_query
from roomrec_async._validate import canonical_sid
from roomrec_async.errors import InvalidArgumentError

# Parameters that select a page. All others are filters, which each page's query repeats.
_PAGE_PARAMETERS: Final = frozenset({"PageSize", "Page", "PageToken"})


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
            those of the list that it interrupts, or the next page's query lacks one of the caller's filters.
    """
    try:
        padded = token.encode() + b"=" * (-len(token) % 4)
        position = msgspec.json.decode(urlsafe_b64decode(padded), type=Position)
    except (ValueError, AttributeError, msgspec.MsgspecError):
        message = "resume is not a token that this library made: give the resume_token of a page or of an error"
        raise InvalidArgumentError(message) from None
    if position.skip < 0:
        raise InvalidArgumentError("resume is a token that this library did not make: it skips back")
    if position.path.lower() != path.lower():
        raise InvalidArgumentError(f"resume is a token of {position.path}, and cannot go on in {path}")
    _check_parameters(position.start, parameters)
    if position.query is None:
        return msgspec.structs.replace(position, path=path)

    # Tokens come back from outside, where anybody can have made them: what counts is the query that will be sent.
    filters = {name: values for name, values in parameters.items() if name not in _PAGE_PARAMETERS}
    _check_parameters(position.query, filters)
    return msgspec.structs.replace(position, path=path, query=requote_query(position.query))


def _check_parameters(query: str, parameters: Parameters) -> None:
    """Check that a query of a token has the parameters that the caller gave, with the same values.

    Raises:
        InvalidArgumentError: it has not.
    """
    in_token = parse_query(query)
    for name, values in parameters.items():
        before = in_token.get(name, ())
        now = parameter_values(values)
        if [_comparable(name, value) for value in before] != [_comparable(name, value) for value in now]:
            was = ", ".join(before) or "not set"
            raise InvalidArgumentError(f"resume is a token of a list whose {name} was {was}, not {', '.join(now)}")


def _comparable(name: str, value: str) -> str | datetime:
    """Return a parameter's value such that two spellings of one value are equal."""
    if name.endswith("Sid"):
        return canonical_sid(value)
    if name.startswith("Date"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    return value
