"""Pager and Page: one list operation, record by record or page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Generic, Self
from urllib.parse import urlsplit

import attrs
import msgspec
from multidict import CIMultiDictProxy

from roomrec_async._api.codec import DecodedPage, RawBody, decode_raw
from roomrec_async._api.params import MAX_PAGE_SIZE, PageKey, Parameters, page_key, query_string, requoted
from roomrec_async._asyncio import cancelled
from roomrec_async._http.transport import Response, Transport
from roomrec_async.bounds import Bounds
from roomrec_async.config import Deadline, Timeout
from roomrec_async.errors import BoundsExceededError, DecodeError, PaginationError, RoomRecError
from roomrec_async.events import Operation, OperationName
from roomrec_async.models import PageMeta

from .records import Model, Records
from .resume import Position, position_from


@attrs.frozen(eq=False)
class Page(Generic[Model]):
    """One page of a list.

    Attributes:
        items: its records, in the service's order.
        meta: its ``meta`` block.
        headers: the headers of its response, case-insensitive; ``Twilio-Request-Id`` among them.
    """

    items: list[Model]
    meta: PageMeta
    headers: CIMultiDictProxy[str]
    _body: RawBody
    _after: Position

    @property
    def resume_token(self) -> str:
        """Where the list goes on after this page. After the last page, a list that is resumed is empty."""
        return self._after.token()

    @property
    def raw(self) -> dict[str, object]:
        """The body as the service sent it, with the fields that the models do not know. Parsed at each access."""
        return decode_raw(self._body)

    def __repr__(self) -> str:
        return f"<Page {self.meta.page} of {self.meta.key}: {len(self.items)} records>"


class ListOperation(msgspec.Struct, Generic[Model]):
    """What a list asks for, checked, and how it is carried out.

    Attributes:
        name: the method of the client that it is of.
        transport: what sends.
        path: the path of the list, below the base URL.
        parameters: the query parameters that the caller gave, by the API's names.
        decode: how a body becomes records.
        timeout: how long it may take.
        limit: how many records it gives at the most; None for all.
        resume: a token, to go on in an interrupted list.
        prefetch: whether the next page is fetched while the caller works on the present one.
        max_page_size: the largest ``PageSize`` of this list.
        max_pages: how many pages it may have.
    """

    name: OperationName
    transport: Transport
    path: str
    parameters: Parameters
    decode: Callable[[RawBody], DecodedPage[Model]]
    timeout: Timeout
    limit: int | None = None
    resume: str | None = None
    prefetch: bool = True
    max_page_size: int = MAX_PAGE_SIZE
    max_pages: int = Bounds().pages

    def begin(self) -> Position:
        """Where the list begins.

        Raises:
            InvalidArgumentError: the resume token is not one, or not one of this list.
        """
        if self.resume is not None:
            return position_from(self.resume, self.path, self.parameters)
        page_size = self.max_page_size if self.limit is None else min(self.max_page_size, self.limit)
        query = query_string({**self.parameters, "PageSize": self.parameters.get("PageSize", str(page_size))})
        return Position(self.path, query, query)


class Pager(Generic[Model]):
    """The records of a list, fetched page by page as they are asked for.

    Nothing is sent until it is iterated, and each iteration is a list of its own::

        async for recording in pager: ...
        async for page in pager.pages(): ...
        recordings = await pager.to_list()
        newest = await pager.first()

    An error in the middle of a list has a ``resume_token``. A loop that is left early stops the fetching in the next
    turn of the event loop; ``async with contextlib.aclosing(aiter(pager)) as records:`` stops it at once.

    Every method raises:
        APIError: the service answered with an error.
        TransportError: no complete response arrived, or not in time.
        DecodeError: a response is not what the reference describes. The records before the first bad one are
            delivered before it is raised.
        PaginationError: the next page is one that was already read, or its URL is unusable.
        BoundsExceededError: a response or the list is larger than the client's bounds.
    """

    def __init__(self, operation: ListOperation[Model]) -> None:
        self._operation: ListOperation[Model] = operation
        self._begin = operation.begin()

    def __repr__(self) -> str:
        return f"<Pager of {self._operation.path}: 'async for', or 'await' its to_list(), to fetch it>"

    def at(self, path: str) -> Pager[Model]:
        """The same list at another path below the base URL."""
        return Pager(msgspec.structs.replace(self._operation, path=path))

    def __aiter__(self) -> AsyncGenerator[Model, None]:  # noqa: PYI058  callers may want to close it
        return self._records()

    async def pages(self) -> AsyncGenerator[Page[Model], None]:
        """The pages of the list, empty ones included.

        With a record that cannot be decoded, the page ends before it, and the error comes in place of the next page.
        """
        async with _Reading(self._operation, self._begin, None) as reading:
            while (fetched := await reading.next()) is not None:
                yield fetched.page(reading.position)

    async def to_list(self) -> Records[Model]:
        """All records, within one deadline. The list shows itself as a table in notebooks and with rich."""
        records: Records[Model] = Records()
        await collect(self, records)
        return records

    async def to_dicts(self) -> list[dict[str, object]]:
        """All records as dictionaries, for a data frame; see :meth:`Records.to_dicts`."""
        return (await self.to_list()).to_dicts()

    async def first(self) -> Model | None:
        """The first record, or None if there is none, within one deadline."""
        limit = 1 if self._operation.limit is None else min(1, self._operation.limit)
        records = await Pager(msgspec.structs.replace(self._operation, limit=limit)).to_list()
        return records[0] if records else None

    async def _records(self) -> AsyncGenerator[Model, None]:
        async with _Reading(self._operation, self._begin, None) as reading:
            while (fetched := await reading.next()) is not None:
                for record in fetched.given:
                    yield record


class _Reading(Generic[Model]):
    """One iteration of a list: where it is, and the page that is fetched ahead.

    It is no generator: one that is iterated by the caller's own would cost as much as checking and decoding a page.

    Args:
        operation: the list.
        begin: where it begins.
        deadline: when all of its pages must be there; without one, each page has its own.

    Attributes:
        position: where the list goes on.
    """

    def __init__(self, operation: ListOperation[Model], begin: Position, deadline: Deadline | None) -> None:
        self._operation: ListOperation[Model] = operation
        self._watched = Operation(operation.name, operation.path)
        self._watching = operation.transport.watch.over(self._watched)
        self._deadline = deadline
        self.position = begin
        self._left = operation.limit
        self._seen: set[PageKey] = set()
        self._before: list[Model] = []
        self._next_turn: asyncio.Handle | None = None
        self._ahead: asyncio.Task[_Fetched[Model]] | None = None
        self._failure: RoomRecError | None = None

    async def __aenter__(self) -> Self:
        self._watching.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._next_turn is not None:
                self._next_turn.cancel()
            if self._ahead is not None:
                await cancelled(self._ahead)
        finally:
            self._watching.__exit__(kind, error, traceback)

    async def next(self) -> _Fetched[Model] | None:
        """The next page up to the limit; None after the last one."""
        try:
            if self._left == 0:
                return None
            if self._failure is not None:
                raise self._failure
            if self.position.query is None:
                return None
            if self._next_turn is not None:
                self._next_turn.cancel()
                self._next_turn = None
            fetched = await (self._ahead or self._fetch())
            self._ahead = None
            return self._take(fetched)
        except RoomRecError as error:
            error.resume_token = self.position.token()
            raise

    def _take(self, fetched: _Fetched[Model]) -> _Fetched[Model]:
        """What the caller gets of a page. What comes after it is known then, and begins to be fetched."""
        records, read = fetched.decoded.items, self.position
        given_twice = _given_twice(self._before, records) if self._before else 0
        skip = max(read.skip, given_twice)
        given = fetched.given = records[skip : None if self._left is None else skip + self._left]
        self._left = None if self._left is None else self._left - len(given)
        self.position = fetched.after(skip + len(given), read)
        self._failure = fetched.error or self._endless(fetched, given_twice, read)
        self._before = records
        self._watched.records += len(given)
        if self._operation.prefetch and self._failure is None and self._left != 0 and self.position.query is not None:
            self._next_turn = asyncio.get_running_loop().call_soon(self._begin_ahead)
        return fetched

    def _endless(self, fetched: _Fetched[Model], given_twice: int, read: Position) -> RoomRecError | None:
        """Why a list cannot go on that would never end."""
        url = fetched.response.url
        if given_twice and len(self._before) == len(fetched.decoded.items) == given_twice:
            return PaginationError(f"{url}: the page is the same as the one before it")
        if self.position.query is None:
            return None
        if not self._seen:
            self._seen.add(page_key(read.query or ""))
        following = page_key(self.position.query)
        if following in self._seen:
            return PaginationError(f"{url}: the next page is one that was already read")
        if len(self._seen) >= self._operation.max_pages:
            return BoundsExceededError(f"{url}: the list has more than {len(self._seen):,} pages; see Bounds")
        self._seen.add(following)
        return None

    def _begin_ahead(self) -> None:
        """Fetch the next page while the caller works on the present one, now that its work leaves time for it.

        A caller that comes back before the event loop's next turn has waited for nothing, and a task would not have
        begun: there the page is fetched without one, which costs less.
        """
        self._next_turn = None
        self._ahead = asyncio.create_task(self._fetch())

    async def _fetch(self) -> _Fetched[Model]:
        operation, position = self._operation, self.position
        deadline = self._deadline or operation.timeout.start()
        response = await operation.transport.get(position.path, position.query or "", deadline, self._watched)
        try:
            decoded = operation.decode(response.body)
        except DecodeError as error:
            error.url = str(response.url)
            raise
        if decoded.error is not None:
            decoded.error.url = str(response.url)
            return _Fetched(response, decoded, None, decoded.error)
        try:
            return _Fetched(response, decoded, _next_query(decoded.meta), None)
        except ValueError as error:
            told = f"{response.url}: the list cannot go on, its next_page_url is unusable: {error}"
            return _Fetched(response, decoded, None, PaginationError(told))


class _Fetched(msgspec.Struct, Generic[Model]):
    """A page as it came, and what the caller is given of it: what the limit and a resumed position leave."""

    response: Response
    decoded: DecodedPage[Model]
    following: str | None
    error: RoomRecError | None
    given: list[Model] = []

    def after(self, delivered: int, position: Position) -> Position:
        """Where the list goes on after so many records of this page."""
        if self.error is not None or delivered < len(self.decoded.items):
            return Position(position.path, position.start, position.query, delivered)
        return Position(position.path, position.start, self.following)

    def page(self, after: Position) -> Page[Model]:
        """What the caller sees of it."""
        return Page(self.given, self.decoded.meta, self.response.headers, self.response.body, after)


def _given_twice(before: list[Model], items: list[Model]) -> int:
    """How many records at the beginning of a page are those at the end of the page before: what was added to a list
    while it was read has moved them there.
    """
    first = items[0].sid if items else None
    sids = [record.sid for record in before]
    if first is None or first not in sids:
        return 0
    again = sids[sids.index(first) :]
    return len(again) if again == [record.sid for record in items[: len(again)]] else 0


def _next_query(meta: PageMeta) -> str | None:
    """The query of the next page. Only the query: the list goes on at the client's own endpoint, whatever host, path
    or scheme the service names.

    Raises:
        ValueError: the URL is none, or has no query. Without one, the list would begin anew.
    """
    if not meta.next_page_url:
        return None
    query = requoted(urlsplit(meta.next_page_url).query)
    if not query:
        raise ValueError("it has no query")
    return query


async def collect(pager: Pager[Model], into: list[Model]) -> None:
    """Append all records of a list, within one deadline. Those before an error are there when it is raised."""
    async with _Reading(pager._operation, pager._begin, pager._operation.timeout.start()) as reading:
        while (fetched := await reading.next()) is not None:
            into += fetched.given
