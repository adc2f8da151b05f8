"""Pager and Page: one list operation, record by record or page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, NoReturn, Self
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDictProxy

from roomrec_async._api.codec import DecodedPage, PageDecoder, decode_raw
from roomrec_async._api.params import (
    MAX_PAGE_SIZE,
    PageKey,
    Parameters,
    page_key,
    query_string,
    requote_query,
)
from roomrec_async._asyncio import cancel_and_wait, task_result
from roomrec_async._http.request import Response
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async.config import Bounds, Timeout
from roomrec_async.errors import BoundsExceededError, DecodeError, PaginationError, RoomRecError
from roomrec_async.events import Operation, OperationName
from roomrec_async.models import Model, PageMeta, Participant, Recording, Room

from .async_only import AsyncOnly, only_async
from .records import Records
from .resume import Position, position_from

# Pages whose records are recognised when they come again; and how many pages may bring nothing new, one after the
# other, where many records are added to a list while it is read.
_RECENT_PAGES: Final = 10
_MAX_REPEATED_PAGES: Final = 10
# Bytes of a body: the largest page has about half as many. To count the objects in a smaller body would take a tenth of
# the time of decoding it, and save less than half a second in the worst case.
_LARGE_BODY: Final = 2 * 2**20
# JSON objects in a body: a record is one, and has two maps. A service that ignores PageSize, and sends the largest page
# there is with a few maps more, is no attack.
_MAX_OBJECTS: Final = 8 * MAX_PAGE_SIZE


class Page(msgspec.Struct, Generic[Model], frozen=True, eq=False, weakref=True):
    """One page of a list.

    Attributes:
        items: its records, in the service's order.
        meta: its ``meta`` block.
        headers: the headers of its response, case-insensitive; ``Twilio-Request-Id`` among them.
    """

    items: list[Model]
    meta: PageMeta
    headers: CIMultiDictProxy[str]
    _body: bytes
    _next_position: Position

    @property
    def resume_token(self) -> str:
        """Token to resume the list after this page. After the last page, a list that is resumed is empty."""
        return self._next_position.token()

    @property
    def raw(self) -> dict[str, object]:
        """Body as the service sent it, with the fields that the models do not know. Parsed at each access."""
        return decode_raw(self._body)

    if not TYPE_CHECKING:
        # Only pydantic calls these, and needs what they import.

        @classmethod
        def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
            from roomrec_async._pydantic import page_schema  # noqa: PLC0415

            return page_schema(cls, source, handler, PageMeta, Recording | Room | Participant)

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> object:
            from roomrec_async._pydantic import object_json_schema  # noqa: PLC0415

            return object_json_schema(cls, schema, handler)

        # Called by a plain "for", and by web frameworks for a response that is not annotated.
        def __getitem__(self, index: object) -> NoReturn:
            raise TypeError("a Page has its records in page.items; to respond with it, annotate it as Page[Recording]")

    def __repr__(self) -> str:
        return f"<Page {self.meta.page} of {self.meta.key}: {len(self.items)} records>"


class ListOperation(msgspec.Struct, Generic[Model]):
    """A list: what is asked for, checked, and how it is carried out.

    Attributes:
        name: the method of the client.
        transport: sends the requests.
        path: the path of the list, below the base URL.
        parameters: the query parameters that the caller gave, by the API's names.
        decode: turns a body into records.
        timeout: bounds each page, or the list as a whole.
        limit: maximum number of records, or None for all.
        resume: a resume token, or None to start at the beginning.
        prefetch: True to fetch the next page while the caller works on the present one.
        max_page_size: the largest ``PageSize`` of this list.
        max_pages: maximum number of pages.
    """

    name: OperationName
    transport: Transport
    path: str
    parameters: Parameters
    decode: PageDecoder[Model]
    timeout: Timeout
    limit: int | None = None
    resume: str | None = None
    prefetch: bool = True
    max_page_size: int = MAX_PAGE_SIZE
    max_pages: int = Bounds().max_pages

    def start(self) -> Position:
        """Return the position where the list starts.

        Raises:
            InvalidArgumentError: the resume token is malformed, or belongs to another list.
        """
        if self.resume is not None:
            return position_from(self.resume, self.path, self.parameters)

        parameters = self.parameters
        if "PageSize" not in parameters:
            # As many records a page as allowed and needed: quotas count requests.
            page_size = self.max_page_size if self.limit is None else min(self.max_page_size, self.limit)
            parameters = {**parameters, "PageSize": str(page_size)}
        query = query_string(parameters)
        return Position(self.path, query, query)

    def decode_strictly(self, body: bytes) -> DecodedPage[Model] | None:
        """Return the page in a body in which all is as it should be; None for any other."""
        return None if _has_too_many_records(body) else self.decode.strictly(body)


class Pager(AsyncOnly, Generic[Model]):
    """The records of a list, fetched page by page as they are asked for.

    Nothing is sent until it is iterated, and each iteration is a list of its own::

        async for recording in pager: ...
        async for page in pager.pages(): ...
        recordings = await pager  # the same as await pager.to_list()
        newest = await pager.first()

    The API promises no snapshot: what is added or deleted while a list is read may or may not be in it. A record that
    was there all the time is in it, and once, unless more than ten pages of others are added meanwhile.

    An error in the middle of a list has a ``resume_token``. A loop that is left early stops the fetching in the next
    turn of the event loop; ``async with contextlib.aclosing(aiter(pager)) as records:`` stops it at once.

    Raises:
        APIError: the service answered with an error.
        TransportError: no complete response arrived, or not in time.
        DecodeError: a response is not what the reference describes. The records before the first bad one are
            delivered before it is raised; its ``skip_token`` resumes the list after the bad one.
        PaginationError: the next page is one that was already read, or its URL is unusable.
        BoundsExceededError: a response or the list is larger than the client's bounds.
    """

    _how_to_iterate = "read a Pager with 'async for', or 'await' it: (await pager) is a list, for 'for' and indexes"
    _how_to_count = "a Pager does not know its records before they are fetched: len(await pager), await pager.first()"
    _how_to_enter = "a Pager is no context manager: read it with 'async for', or 'await' it, inside that of the client"

    def __init__(self, operation: ListOperation[Model]) -> None:
        self._operation: ListOperation[Model] = operation
        self._start = operation.start()

    def __repr__(self) -> str:
        return f"<Pager of {self._operation.path}: fetch it with 'async for' or 'await'>"

    def __await__(self) -> Generator[object, None, Records[Model]]:
        return self.to_list().__await__()

    if not TYPE_CHECKING:

        def __anext__(self) -> NoReturn:
            raise TypeError("a Pager starts from the beginning each time: anext(aiter(pager)), or await pager.first()")

    def __aiter__(self) -> AsyncGenerator[Model, None]:  # noqa: PYI058  callers may want to close it
        return self._records()

    def pages(self) -> AsyncGenerator[Page[Model], None]:
        """Yield the pages of the list, empty ones included.

        With a record that cannot be decoded, the page ends before it, and the error comes in place of the next page.
        """
        return only_async(self._pages())

    async def _pages(self) -> AsyncGenerator[Page[Model], None]:
        async with _PageIterator(self._operation, self._start, None) as pages:
            while pages.has_next():
                fetched = await pages.next()
                yield fetched.page(pages.position)

    async def to_list(self) -> Records[Model]:
        """Return all records, within one deadline. Notebooks and rich show the list as a table."""
        records: Records[Model] = Records()
        await collect(self, records)
        return records

    async def to_rows(self) -> list[dict[str, object]]:
        """Return all records as dictionaries, for a data frame; see :meth:`Records.to_rows`."""
        return (await self.to_list()).to_rows()

    async def first(self) -> Model | None:
        """Return the first record, or None if there is none, within one deadline."""
        # A limit of 0 stays one.
        limit = 1 if self._operation.limit is None else min(1, self._operation.limit)
        records = await Pager(msgspec.structs.replace(self._operation, limit=limit)).to_list()
        return next(iter(records), None)

    async def _records(self) -> AsyncGenerator[Model, None]:
        async with _PageIterator(self._operation, self._start, None) as pages:
            while pages.has_next():
                for record in (await pages.next()).items:
                    yield record


class _PageIterator(Generic[Model]):
    """One iteration of a list: its position, and the page that is prefetched.

    It is not a generator: one that the caller's own iterates would cost as much as checking and decoding a page.

    Attributes:
        position: where the list goes on.
    """

    def __init__(self, operation: ListOperation[Model], start: Position, deadline: Deadline | None) -> None:
        self._operation: ListOperation[Model] = operation
        # What observers see, and the block in which they see it.
        self._event = Operation(operation.name, operation.path)
        self._notification = operation.transport.notifier.notify(self._event)
        # The deadline of all pages; None where each page has its own.
        self._deadline = deadline
        self.position = start
        # Records that the limit still allows; None for all.
        self._remaining = operation.limit
        # The pages so far; None before the second one.
        self._seen: _SeenPages | None = None
        # The prefetch that is to start in the next turn of the event loop, and the one that is under way.
        self._prefetch_handle: asyncio.Handle | None = None
        self._prefetch: asyncio.Task[_FetchedPage[Model]] | None = None
        # Raised in place of the next page.
        self._failure: RoomRecError | None = None

    async def __aenter__(self) -> Self:
        self._notification.__enter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._prefetch_handle is not None:
                self._prefetch_handle.cancel()
            if self._prefetch is not None:
                await cancel_and_wait(self._prefetch)
        finally:
            self._notification.__exit__(exc_type, exc, traceback)

    def has_next(self) -> bool:
        """Return True if there is a next page, or an error in place of one."""
        return self._remaining != 0 and (self.position.query is not None or self._failure is not None)

    async def next(self) -> _FetchedPage[Model]:
        """Return the next page up to the limit."""
        try:
            if self._failure is not None:
                raise self._failure
            if self._prefetch_handle is not None:
                self._prefetch_handle.cancel()
                self._prefetch_handle = None
            if self._prefetch is None:
                fetched = await self._fetch()
            else:
                fetched = await task_result(self._prefetch)
                self._prefetch = None
            return self._take(fetched)
        except RoomRecError as error:
            error.resume_token = self.position.token()
            if isinstance(error, DecodeError) and error.index is not None:
                behind = msgspec.structs.replace(self.position, skip=error.index + 1)
                error.skip_token = behind.token()
            raise

    def _take(self, fetched: _FetchedPage[Model]) -> _FetchedPage[Model]:
        """Cut a page down to what the caller gets of it, move on behind it, and start the prefetch of the next one."""
        records = fetched.decoded.items
        position = self.position

        # Records were delivered already where the list is resumed inside a page, or where they moved to this page.
        repeated = 0 if self._seen is None else self._seen.count_repeated(records)
        skip = max(position.skip, repeated)
        items = records[skip:]
        if self._remaining is not None:
            items = items[: self._remaining]
            self._remaining -= len(items)
        fetched.items = items
        self._event.records += len(items)
        if items and items[0].account_sid != self._operation.transport.account_sid:
            self._report_account(items[0].account_sid)

        self._failure = fetched.error
        self.position = fetched.position_after(skip + len(items), position)
        if self.position.query is not None:
            if self._seen is None:
                self._seen = _SeenPages(position.query or "", self._operation.max_pages)
            self._failure = fetched.error or self._seen.add(fetched, repeated, self.position.query)
            if fetched.error is not None:
                # A next page that was already read would be delivered again: the list can go on from this one.
                self.position = fetched.position_after(skip + len(items), position)
            self._schedule_prefetch()
        return fetched

    def _report_account(self, account_sid: str | None) -> None:
        """Report records of another account than that of the credentials; the first of a page stands for all."""
        transport = self._operation.transport
        if account_sid is not None and transport.is_foreign(account_sid):
            self._event.foreign_account_sid = account_sid
            transport.warn_of_account(account_sid)

    def _schedule_prefetch(self) -> None:
        """Prefetch the next page in the next turn of the event loop, if the caller leaves time for it.

        A caller that comes back before that turn has waited for nothing, and a task would not have begun: there the
        page is fetched without one, which costs less.
        """
        if self._operation.prefetch and self._failure is None and self._remaining != 0:
            self._prefetch_handle = asyncio.get_running_loop().call_soon(self._start_prefetch)

    def _start_prefetch(self) -> None:
        self._prefetch_handle = None
        self._prefetch = asyncio.create_task(self._fetch())

    async def _fetch(self) -> _FetchedPage[Model]:
        operation = self._operation
        position = self.position
        deadline = self._deadline or Deadline.start(operation.timeout)
        response = await operation.transport.request(
            position.path, position.query or "", deadline, self._event, operation.decode_strictly
        )
        decoded = response.content
        if decoded is None:
            decoded = _decode_leniently(response, operation.decode, position.skip)

        if decoded.error is not None:
            decoded.error.url = str(response.url)
            return _FetchedPage(response, decoded, None, decoded.error)
        try:
            return _FetchedPage(response, decoded, _next_query(decoded.meta), None)
        except ValueError as error:
            message = f"{response.url}: the list cannot go on, its next_page_url is unusable: {error}"
            return _FetchedPage(response, decoded, None, PaginationError(message))


class _SeenPages:
    """The pages of a list so far: to recognise records that come again, and a list that goes in circles.

    Args:
        query: the query of the first page.
        max_pages: maximum number of pages.
    """

    def __init__(self, query: str, max_pages: int) -> None:
        self._max_pages = max_pages
        self._keys: set[PageKey] = {page_key(query)}
        # The SIDs on each of the last pages.
        self._recent_sids: tuple[frozenset[str | None], ...] = ()
        # Pages one after the other that brought nothing new.
        self._repeated_pages = 0

    def count_repeated(self, records: list[Model]) -> int:
        """Return how many records at the start of a page were on recent pages already.

        Records that are added to a list while it is read move others from the end of one page to the start of the
        next: as many as were added.
        """
        count = 0
        for record in records:
            if record.sid is None or not any(record.sid in sids for sids in self._recent_sids):
                break
            count += 1
        return count

    def add(self, fetched: _FetchedPage[Model], repeated: int, next_query: str) -> RoomRecError | None:
        """Add a page that another one follows; return the error for a list that would never end, or None.

        Args:
            fetched: the page; the error becomes its own if it names a page that was already read.
            repeated: how many records at its start were on recent pages already.
            next_query: the query of the next page.
        """
        url = fetched.response.url
        records = fetched.decoded.items
        self._recent_sids = (*self._recent_sids, frozenset([record.sid for record in records]))[-_RECENT_PAGES:]
        self._repeated_pages = self._repeated_pages + 1 if repeated and repeated == len(records) else 0
        if self._repeated_pages >= _MAX_REPEATED_PAGES:
            return PaginationError(f"{url}: {self._repeated_pages} pages have brought nothing new")

        next_page = page_key(next_query)
        if next_page in self._keys:
            fetched.error = PaginationError(f"{url}: the next page is one that was already read")
            return fetched.error
        if len(self._keys) >= self._max_pages:
            return BoundsExceededError(f"{url}: the list has more than {len(self._keys):,} pages; see Bounds")
        self._keys.add(next_page)
        return None


class _FetchedPage(msgspec.Struct, Generic[Model]):
    """A page as it was fetched, and what the caller gets of it.

    Attributes:
        response: its response.
        decoded: all of its records.
        next_query: the query of the next page; None on the last one.
        error: why the list cannot go on after this page, or None.
        items: the records for the caller: what the limit and a resumed position leave.
    """

    response: Response[DecodedPage[Model]]
    decoded: DecodedPage[Model]
    next_query: str | None
    error: RoomRecError | None
    items: list[Model] = []

    def position_after(self, delivered: int, position: Position) -> Position:
        """Return where the list goes on when so many records of this page were delivered."""
        if self.error is not None or delivered < len(self.decoded.items):
            return Position(position.path, position.start, position.query, delivered)
        return Position(position.path, position.start, self.next_query)

    def page(self, next_position: Position) -> Page[Model]:
        """Return the page as the caller sees it."""
        return Page(self.items, self.decoded.meta, self.response.headers, self.response.body, next_position)


def _decode_leniently(
    response: Response[DecodedPage[Model]], decode: PageDecoder[Model], skip: int
) -> DecodedPage[Model]:
    """Return the page in a response of which not all is as it should be.

    Args:
        response: the response.
        decode: decodes its body.
        skip: how many records at the start were delivered already.

    Raises:
        DecodeError: it is not a page.
        BoundsExceededError: it has many times the records that a page may have.
    """
    if _has_too_many_records(response.body):
        raise BoundsExceededError(
            f"GET {response.url}: the response has many times the {MAX_PAGE_SIZE:,} records that a page may have"
        )
    try:
        return decode(response.body, skip)
    except DecodeError as error:
        error.url = str(response.url)
        raise


def _has_too_many_records(body: bytes) -> bool:
    """Return True for a body with many times the records of the largest page.

    A few kilobytes of gzip can be a million records, whose decoding would block the event loop for seconds.
    """
    return len(body) > _LARGE_BODY and body.count(b"{") > _MAX_OBJECTS


def _next_query(meta: PageMeta) -> str | None:
    """Return the query of the next page, or None after the last one.

    Only the query: the list goes on at the client's own endpoint, whatever host, path or scheme the service names.

    Raises:
        ValueError: the URL is not one, or has no query. Without one, the list would start again.
    """
    if not meta.next_page_url:
        return None
    query = requote_query(urlsplit(meta.next_page_url).query)
    if not query:
        raise ValueError("it has no query")
    return query


async def collect(pager: Pager[Model], records: list[Model]) -> None:
    """Append all records of a list, within one deadline. Those before an error are there when it is raised."""
    deadline = Deadline.start(pager._operation.timeout)
    async with _PageIterator(pager._operation, pager._start, deadline) as pages:
        while pages.has_next():
            records += (await pages.next()).items
