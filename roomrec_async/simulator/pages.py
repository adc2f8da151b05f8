"""Cutting a list into pages: page tokens, the ``meta`` block, and the body around the records."""

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

# PA: the page that begins with this record. PB: the page that ends before it.
_TOKEN = re.compile(r"P([AB])([0-9a-f]{16})[0-9a-f]{32}")


@attrs.frozen
class Page:
    """One page of a list.

    Attributes:
        indices: the records on it.
        next_token: where the next page begins; None if nothing more matches.
        previous_token: how to find the page before; None on the first.
    """

    indices: Sequence[int]
    next_token: str | None
    previous_token: str | None


@attrs.frozen
class PageTokens:
    """The page tokens of one list: they are of no use for another list, other filters or another page size.

    Args:
        secret: the key that they are signed with.
        path: the path of the list.
        parameters: the filters and the page size.
    """

    secret: bytes
    path: str
    parameters: PageParameters

    def make(self, kind: str, index: int) -> str:
        """The token of the page that begins with (``A``) or ends before (``B``) this record."""
        body = f"P{kind}{index:016x}"
        return body + self._signature(body)

    def read(self, token: str) -> tuple[str, int]:
        """What :meth:`make` was given.

        Raises:
            RefusedError: 400/20001, the token is not one of this list.
        """
        match = _TOKEN.fullmatch(token)
        if not match or not hmac.compare_digest(self._signature(token[:18]), token[18:]):
            raise bad_parameter("PageToken", token)
        return match[1], int(match[2], 16)

    def _signature(self, body: str) -> str:
        signed = json.dumps([body, self.path, self.parameters.filters, self.parameters.page_size])
        return blake2b(signed.encode(), key=self.secret, digest_size=16).hexdigest()


class Candidates(Protocol):
    """Numbers of records, in the order of a list."""

    def onwards(self, number: int | None) -> Iterator[int]:
        """From this one on, or from the first."""

    def backwards(self, number: int) -> Iterator[int]:
        """Those before this one, the nearest first."""


@attrs.frozen
class Ascending:
    """Candidates that are a range of rising numbers."""

    numbers: range

    def onwards(self, number: int | None) -> Iterator[int]:
        """From this one on, or from the first."""
        return iter(self.numbers if number is None else self.numbers[self._place(number) :])

    def backwards(self, number: int) -> Iterator[int]:
        """Those before this one, the nearest first."""
        return reversed(self.numbers[: self._place(number)])

    def _place(self, number: int) -> int:
        return max(0, -(-(number - self.numbers.start) // self.numbers.step))


def cut(candidates: Candidates, wanted: Callable[[int], bool], tokens: PageTokens) -> Page:
    """The page that the parameters ask for.

    No more of the list is looked at than the page and the one record that tells whether another page follows, so that
    the last page is never an empty one.

    Raises:
        RefusedError: 400/20001, the page token is not one of this list.
    """
    size, token = tokens.parameters.page_size, tokens.parameters.page_token
    kind, number = tokens.read(token) if token is not None else ("A", None)
    if kind == "B" and number is not None:
        before = list(islice(filter(wanted, candidates.backwards(number)), size))
        number = before[-1] if before else None
    found = list(islice(filter(wanted, candidates.onwards(number)), size + 1))
    return Page(
        indices=found[:size],
        next_token=tokens.make("A", found[size]) if len(found) > size else None,
        previous_token=_previous(tokens, number, found),
    )


def body(key: str, url: str, page: Page, parameters: PageParameters, records: Sequence[str]) -> bytes:
    """The response: the ``meta`` block, then the records, which are JSON already.

    Args:
        key: the name of the list.
        url: the absolute URL of the list, without a query.
        page: the page.
        parameters: what was asked for.
        records: the records of the page.
    """
    meta = json.dumps(_meta(key, url, page, parameters), separators=(",", ":"))
    return f'{{"meta":{meta},"{key}":[{",".join(records)}]}}'.encode()


def _meta(key: str, url: str, page: Page, parameters: PageParameters) -> dict[str, object]:
    def page_url(number: int, token: str | None) -> str:
        query = [*parameters.filters, ("PageSize", str(parameters.page_size)), ("Page", str(number))]
        return f"{url}?{urlencode(query + ([('PageToken', token)] if token else []))}"

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


def _previous(tokens: PageTokens, number: int | None, found: Sequence[int]) -> str | None:
    if tokens.parameters.page == 0:
        return None
    begins = number if number is not None else next(iter(found), 0)
    return tokens.make("B", begins)
