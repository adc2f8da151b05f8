"""Many rooms at once: gather, as_completed and stream, on one engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable
from contextlib import aclosing
from typing import Final, Generic, TypeAlias, TypeVar

from roomrec_async._api.params import room_sid_checked
from roomrec_async._asyncio import cancelled
from roomrec_async.errors import InvalidArgumentError, RoomRecError, RoomsFailedError
from roomrec_async.models import Recording, RoomResult

from .pager import Pager, collect
from .records import Records

_Work = TypeVar("_Work")
_Item = TypeVar("_Item")

RoomSids: TypeAlias = Iterable[str] | AsyncIterable[str]
"""Where the rooms come from; pulled from one by one, as there is capacity for them."""

OpenRoom: TypeAlias = Callable[[str], Pager[Recording]]
"""How a room is listed."""

AtOnce: TypeAlias = Callable[[], int]
"""How many rooms may be under way; asked again and again, because the limiter's bound may move."""

OnError: TypeAlias = Callable[[RoomResult], object]
"""What is told of a room that failed."""

_WORKERS_FOR_A_PLACE: Final = 4


def room_sids_checked(room_sids: RoomSids) -> RoomSids:
    """The rooms, if they are an iterable of strings and not one string."""
    if isinstance(room_sids, (str, bytes)) or not isinstance(room_sids, (Iterable, AsyncIterable)):
        raise InvalidArgumentError(f"room_sids must be an iterable of room SIDs, not {type(room_sids).__name__}")
    return room_sids


async def gather(
    room_sids: RoomSids, open_room: OpenRoom, at_once: AtOnce, *, return_exceptions: bool
) -> dict[str, list[Recording] | RoomRecError]:
    """The recordings of each room, in the order given; a room that is named twice is fetched once."""
    if isinstance(room_sids, Collection) and not return_exceptions:
        for room_sid in room_sids:
            room_sid_checked(room_sid)
    by_room: dict[str, list[Recording] | RoomRecError] = {}
    results = as_completed(_entered_once(room_sids, by_room), open_room, at_once)
    async with aclosing(results):
        async for result in results:
            if result.error is not None and not return_exceptions:
                raise result.error
            by_room[result.room_sid] = result.error or result.recordings
    return by_room


def as_completed(room_sids: RoomSids, open_room: OpenRoom, at_once: AtOnce) -> AsyncGenerator[RoomResult, None]:
    """One result a room, as rooms finish."""

    async def list_room(room_sid: str) -> AsyncGenerator[RoomResult, None]:
        recordings: Records[Recording] = Records()
        error: RoomRecError | None = None
        try:
            await collect(open_room(room_sid), recordings)
        except RoomRecError as failure:
            error = failure
        yield RoomResult(room_sid, recordings, error)

    return Flow(pulled(room_sids), list_room, at_once).items()


async def stream(
    room_sids: RoomSids, open_room: OpenRoom, at_once: AtOnce, *, on_error: OnError | None
) -> AsyncGenerator[Recording, None]:
    """The recordings of all rooms, page by page as they come."""
    failed: list[RoomResult] = []
    report = on_error or failed.append

    async def list_room(room_sid: str) -> AsyncGenerator[RoomResult, None]:
        try:
            async with aclosing(open_room(room_sid).pages()) as pages:
                async for page in pages:
                    yield RoomResult(room_sid, page.items)
        except RoomRecError as failure:
            yield RoomResult(room_sid, [], failure)

    async with aclosing(Flow(pulled(room_sids), list_room, at_once).items()) as results:
        async for result in results:
            if result.error is not None:
                report(result)
            for recording in result.recordings:
                yield recording
    errors = {result.room_sid: result.error for result in failed if result.error is not None}
    if errors:
        raise RoomsFailedError(errors)


class Flow(Generic[_Work, _Item]):
    """What ``produce`` gives for each piece of work, from up to ``at_once()`` pieces at a time.

    A worker that has an item goes on at once, so that the consumer finds many where many came together: to wait for it
    each time would cost turns of the event loop. Where the consumer is slow, workers wait, and nothing more is pulled,
    fetched or kept than what they are at, and for every four of them one item that is ready or in the consumer's hands.
    """

    def __init__(
        self,
        work: AsyncGenerator[_Work, None],
        produce: Callable[[_Work], AsyncGenerator[_Item, None]],
        at_once: AtOnce,
    ) -> None:
        self._work = work
        self._produce = produce
        self._at_once = at_once
        self._pulling = asyncio.Lock()
        self._places = asyncio.Semaphore(0)
        self._ready: asyncio.Queue[tuple[_Item] | None] = asyncio.Queue()
        self._workers = 0

    async def items(self) -> AsyncGenerator[_Item, None]:
        """The items, as they are ready."""
        workers = asyncio.create_task(self._run_workers())
        try:
            while (ready := await self._ready.get()) is not None:
                yield ready[0]
                self._places.release()
            await workers
        finally:
            await cancelled(workers)
            await self._work.aclose()

    async def _run_workers(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._hire(group, 1)
        except BaseExceptionGroup as failures:
            # The first one is what went wrong; the others are its consequences.
            raise failures.exceptions[0] from None
        finally:
            self._ready.put_nowait(None)

    def _hire(self, group: asyncio.TaskGroup, number: int) -> None:
        for _ in range(min(number, self._at_once() - self._workers)):
            if self._workers % _WORKERS_FOR_A_PLACE == 0:
                self._places.release()
            self._workers += 1
            group.create_task(self._run_worker(group))

    async def _retire(self) -> None:
        self._workers -= 1
        if self._workers % _WORKERS_FOR_A_PLACE == 0:
            await self._places.acquire()

    async def _run_worker(self, group: asyncio.TaskGroup) -> None:
        """Take piece after piece, while there are any and this worker is not one too many.

        A worker that finds work hires the next two, so that little work needs few of them and much work has them soon.
        """
        while self._workers <= self._at_once() and (found := await self._next()) is not None:
            self._hire(group, 2)
            async with aclosing(self._produce(found[0])) as items:
                async for item in items:
                    await self._places.acquire()
                    self._ready.put_nowait((item,))
        await self._retire()

    async def _next(self) -> tuple[_Work] | None:
        async with self._pulling:
            async for piece in self._work:
                return (piece,)
        return None


async def pulled(room_sids: RoomSids) -> AsyncGenerator[str, None]:
    """The rooms, one by one, whatever gives them."""
    if isinstance(room_sids, AsyncIterable):
        async for room_sid in room_sids:
            yield _text(room_sid)
    else:
        for room_sid in room_sids:
            yield _text(room_sid)


def _text(room_sid: str) -> str:
    # A malformed SID is a failure of that room; something else than a string is a mistake in the program.
    if not isinstance(room_sid, str):
        raise InvalidArgumentError(f"room_sids must give strings, not {room_sid!r}")
    return room_sid


async def _entered_once(
    room_sids: RoomSids, by_room: dict[str, list[Recording] | RoomRecError]
) -> AsyncGenerator[str, None]:
    """Each room once. Its place in the dictionary is taken when it is pulled, so that the order is the one given."""
    async with aclosing(pulled(room_sids)) as each:
        async for room_sid in each:
            if room_sid not in by_room:
                by_room[room_sid] = []
                yield room_sid
