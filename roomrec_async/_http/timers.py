"""Timeouts and deadlines: one timer of the event loop for everything that a client has under way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import msgspec

from roomrec_async._asyncio import running_loop
from roomrec_async.config import Timeout
from roomrec_async.errors import ClientClosedError


class Deadline(msgspec.Struct):
    """When an operation must be finished, on the clock of the event loop.

    Attributes:
        timeout: the timeouts of the operation.
        at: the instant; infinity for never.
    """

    timeout: Timeout
    at: float

    @classmethod
    def start(cls, timeout: Timeout) -> Deadline:
        """Return the deadline of an operation that begins now."""
        now = running_loop().time()
        return cls(timeout, math.inf if timeout.total is None else now + timeout.total)

    def allows(self, delay: float) -> bool:
        """Return True if there is time left after a delay of so many seconds."""
        return asyncio.get_running_loop().time() + delay < self.at


class SharedTimer:
    """Makes :class:`TimeoutScope` blocks, and ends those that are due.

    :func:`asyncio.timeout` and aiohttp's timeouts set and cancel a timer for each request and for each piece of a
    response: more work than reading a small page. Here entering a scope is an entry in a set. A timer that fires too
    early, because its scope was left or rescheduled, is set again for the next scope that is due.
    """

    def __init__(self) -> None:
        # The scopes that are entered, in no order: finding the next one is rare, entering and leaving is not.
        self._scopes: set[TimeoutScope] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        # When the handle fires; infinity when there is none.
        self._next_expiry = math.inf
        self._closed = False
        # Set when the timer is closed and no scope is left.
        self._unused = asyncio.Event()

    def scope_for(self, seconds: float | None) -> TimeoutScope:
        """Return a scope that ends after so many seconds, unless it is rescheduled; None for never."""
        scope = TimeoutScope(self, math.inf)
        scope.reschedule(seconds)
        return scope

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend this task's timeouts; each restarts in full on exit. Deadlines go on."""
        task = asyncio.current_task()
        paused = [scope for scope in self._scopes if scope.task is task and scope.when < scope.deadline]
        for scope in paused:
            scope.when = scope.deadline
        try:
            yield
        finally:
            for scope in paused:
                scope.reschedule(scope.seconds)

    def close(self) -> None:
        """End every scope with ClientClosedError. Timeouts work until the last scope is left; then no timer is left.

        May be called again.
        """
        self._closed = True
        for scope in list(self._scopes):
            scope.close()
        self._cancel_if_unused()

    async def wait_unused(self, seconds: float) -> None:
        """Wait until every scope was left, for so many seconds at most."""
        # Then there is nothing to wait for, nor need there be an event loop.
        if self._unused.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._unused.wait()

    def _cancel_if_unused(self) -> None:
        if self._closed and not self._scopes:
            self._cancel()
            self._unused.set()

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._next_expiry = math.inf

    def ensure(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        """Make sure that the timer fires by then."""
        if when < self._next_expiry or self._loop is not loop:
            self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._cancel()
        self._loop = loop
        self._next_expiry = min((scope.when for scope in self._scopes), default=math.inf)
        if self._next_expiry < math.inf:
            self._handle = loop.call_at(self._next_expiry, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for scope in [scope for scope in self._scopes if scope.when <= now]:
            self._scopes.discard(scope)
            scope.expire()
        self._set_timer(loop)


class TimeoutScope:
    """A ``with`` block that is cancelled when it is due and then raises TimeoutError, like :class:`asyncio.Timeout`.

    It is due at its deadline. Where a wait inside the block is limited, by :meth:`reschedule`, it is due before that if
    the wait takes too long; the block may then go on (:meth:`wait_expired`). It also ends, with ClientClosedError, when
    the client is closed.

    Attributes:
        deadline: the latest instant that it is due, on the clock of the event loop; infinity for never.
        when: when it is due at present.
        seconds: the time that the present or last wait may take.
        task: the task that entered it.
        expired: True once it was cancelled for being due.
        closed: True once it was cancelled because the client was closed.
    """

    __slots__ = ("_cancelling", "_timer", "closed", "deadline", "expired", "seconds", "task", "when")

    deadline: float
    when: float
    seconds: float
    task: asyncio.Task[object]
    expired: bool
    closed: bool

    def __init__(self, timer: SharedTimer, deadline: float) -> None:
        self._timer = timer
        self.deadline = deadline
        self.when = deadline
        self.expired = False
        self.closed = False

    def reschedule(self, seconds: float | None) -> None:
        """Make it due so many seconds from now, neither before nor later, or at its deadline if that comes first.

        None makes it due at its deadline.
        """
        self.when = self.deadline
        if seconds is None:
            return
        self.seconds = seconds
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if when < self.deadline:
            self.when = when
            self._timer.ensure(when, loop)

    def end_wait(self) -> None:
        """Make it due at its deadline again."""
        if self.expired:
            # Whoever was cancelled for it has met, and reports, another error.
            self.wait_expired()
        self.when = self.deadline

    @property
    def waited_too_long(self) -> bool:
        """True once it was cancelled because a wait took too long."""
        return self.expired and not self.closed and self.when != self.deadline

    def wait_expired(self) -> bool:
        """Return True if the block was cancelled because a wait took too long; it may then go on, as if it was not.

        False if it was cancelled for any other reason.
        """
        if not self.waited_too_long:
            return False
        self.expired = False
        self.when = self.deadline
        self._timer._scopes.add(self)
        self._timer.ensure(self.when, asyncio.get_running_loop())
        return self.task.uncancel() <= self._cancelling

    def __enter__(self) -> Self:
        loop = running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("timeouts need a task: await this in a coroutine that runs as one")
        timer = self._timer
        if timer._closed:
            raise closed_error()
        self.task = task
        self._cancelling = task.cancelling()
        timer._scopes.add(self)
        timer.ensure(self.when, loop)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        timer = self._timer
        timer._scopes.discard(self)
        if timer._closed:
            timer._cancel_if_unused()
        if not (self.expired or self.closed):
            return
        # Whoever else cancelled the task must see it cancelled: only our own cancellation becomes another error.
        if self.task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
            if self.closed:
                raise closed_error() from None
            raise TimeoutError from exc

    def expire(self) -> None:
        """Cancel the task inside the block, because it is due."""
        # A second cancellation would outlive the block, and look like one that the caller asked for.
        if self.expired:
            return
        self.expired = True
        if not self.closed:
            self.task.cancel()

    def close(self) -> None:
        """Cancel the task inside the block, because the client is closed."""
        if self.closed:
            return
        self.closed = True
        if not self.expired:
            self.task.cancel()


def closed_error() -> ClientClosedError:
    """Return the error for the use of a client that is closed, or was closed meanwhile."""
    return ClientClosedError("the client is closed: create a new one, or keep this one open for longer")
