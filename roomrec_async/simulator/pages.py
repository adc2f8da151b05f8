"""Pages of a list: page tokens, the ``meta`` block, and the body around the records."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Protocol
from urllib.parse import urlencode

import attrs

from .errors import bad_parameter
from .parameters import PageParameters

# A letter, the number of a record, and a signature. A: the page that starts with this record. B: the page that ends
# before it.
_TOKEN = re.compile(r"P([AB])([0-9a-f]{16})[0-9a-f]{32}")
_SIGNED_LENGTH = len("PA") + 16


@attrs.frozen
class Page:
    """One page of a list.

    Attributes:
        numbers: the records on it.
        next_token: token of the next page; None on the last one.
        previous_token: token of the page before; None on the first one.
    """

    numbers: Sequence[int]
    next_token: str | None
    previous_token: str | None


@attrs.frozen
class PageTokens:
    """The page tokens of one list: not valid for another list, other filters or another page size.

    Args:
        secret: the key that they are signed with.
        path: the path of the list.
        parameters: the filters and the page size.
    """

    secret: bytes
    path: str
    parameters: PageParameters

    def make(self, kind: str, number: int) -> str:
        """Return the token of the page that starts with (``A``) or ends before (``B``) a record."""
        signed = f"P{kind}{number:016x}"
        return signed + self._signature(signed)

    def read(self, token: str) -> tuple[str, int]:
        """Return the kind and the number that :meth:`make` was given.

        Raises:
            ServiceError: 400/20001, the token is not one of this list.
        """
        match = _TOKEN.fullmatch(token)
        if not match or not hmac.compare_digest(self._signature(token[:_SIGNED_LENGTH]), token[_SIGNED_LENGTH:]):
            raise bad_parameter("PageToken", token)
        return match[1], int(match[2], 16)

    def _signature(self, signed: str) -> str:
        context = json.dumps([signed, self.path, self.parameters.filters, self.parameters.page_size])
        return blake2b(context.encode(), key=self.secret, digest_size=16).hexdigest()


class Candidates(Protocol):
    """The numbers of the records that a list may show, in the order of the list."""

    def forward(self, start: int | None) -> Iterator[int]:
        """Yield the numbers from ``start`` on or from the first one."""

    def backward(self, end: int) -> Iterator[int]:
        """Yield the numbers before ``end``, the nearest first."""


@attrs.frozen
class RangeCandidates:
    """Candidates that are a range of ascending numbers."""

    numbers: range

    def forward(self, start: int | None) -> Iterator[int]:
        """Yield the numbers from ``start`` on or from the first one."""
        if start is None:
            return iter(self.numbers)
        return iter(self.numbers[self._index(start) :])

    def backward(self, end: int) -> Iterator[int]:
        """Yield the numbers before ``end``, the nearest first."""
        return reversed(self.numbers[: self._index(end)])

    def _index(self, number: int) -> int:
        """Return the index of the first number that is not below this one, which need not be in the range."""
        # Integer division rounds down; two signs make it round up.
        return max(0, -(-(number - self.numbers.start) // self.numbers.step))


def find_page(candidates: Candidates, matches: Callable[[int], bool], tokens: PageTokens) -> Page:
    """Return the page that the parameters ask for.

    Looks only at the records of the page and at the one after it, which decides whether another page follows: the last
    page is never an empty one.

    Args:
        candidates: the records that the list may show.
        matches: returns True for the records that it does show.
        tokens: the page tokens of the list, with its parameters.

    Raises:
        ServiceError: 400/20001, the page token is not one of this list.
    """
    parameters = tokens.parameters
    size = parameters.page_size
    start: int | None = None
    if parameters.page_token is not None:
        kind, start = tokens.read(parameters.page_token)
        if kind == "B":
            # Go back by a page to find where it starts.
            before = list(islice(filter(matches, candidates.backward(start)), size))
            start = before[-1] if before else None

    found = list(islice(filter(matches, candidates.forward(start)), size + 1))
    return Page(
        numbers=found[:size],
        next_token=tokens.make("A", found[size]) if len(found) > size else None,
        previous_token=_previous_token(tokens, start, found),
    )


def list_body(key: str, url: str, page: Page, parameters: PageParameters, records: Sequence[str]) -> bytes:
    """Return the body of the response: the ``meta`` block, then the records.

    Args:
        key: the name of the list.
        url: the absolute URL of the list, without a query.
        page: the page.
        parameters: the parameters of the request.
        records: the records of the page, as JSON.
    """
    meta = json.dumps(_meta(key, url, page, parameters), separators=(",", ":"))
    return f'{{"meta":{meta},"{key}":[{",".join(records)}]}}'.encode()


def _meta(key: str, url: str, page: Page, parameters: PageParameters) -> dict[str, object]:
    def page_url(number: int, token: str | None) -> str:
        query = [*parameters.filters, ("PageSize", str(parameters.page_size)), ("Page", str(number))]
        if token:
            query.append(("PageToken", token))
        return f"{url}?{urlencode(query)}"

    number = parameters.page
    return {
        "key": key,
        "url": page_url(number, parameters.page_token),
        "page": number,
        "page_size": parameters.page_size,
        "next_page_url": page_url(number + 1, page.next_token) if page.next_token else None,
        "first_page_url": page_url(0, None),
        "previous_page_url": page_url(number - 1, page.previous_token) if page.previous_token else None,
    }


def _previous_token(tokens: PageTokens, start: int | None, found: Sequence[int]) -> str | None:
    if tokens.parameters.page == 0:
        return None
    # Without a start, the page starts with the first record of the list, if there is one.
    if start is None:
        start = next(iter(found), 0)
    return tokens.make("B", start)
