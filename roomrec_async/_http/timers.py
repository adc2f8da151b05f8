"""Ends what takes too long: one timer of the event loop for everything that a client has under way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Alarms:
    """Makes :class:`Alarm` blocks, and rings those that are due.

    :func:`asyncio.timeout` and aiohttp's time-outs set and cancel a timer for each request and for each piece of a
    response: more work than reading a small page. Here entering a block is an entry in a set, and a timer that comes
    too early, because the block has ended or was put off, is set anew for the next one that is due.
    """

    def __init__(self) -> None:
        self._set: set[Alarm] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def at(self, when: float) -> Alarm:
        """A block that ends by then, in the time of the event loop; infinity for never."""
        return Alarm(self, when, 0.0)

    def after(self, seconds: float) -> Alarm:
        """A block that ends after so many seconds; infinity for never."""
        return Alarm(self, asyncio.get_running_loop().time() + seconds, seconds)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The seconds that the present task's blocks may take begin anew when this block is left."""
        task = asyncio.current_task()
        held = [alarm for alarm in self._set if alarm.task is task and alarm.seconds]
        for alarm in held:
            alarm.when = math.inf
        try:
            yield
        finally:
            for alarm in held:
                alarm.put_off(alarm.seconds)

    def close(self) -> None:
        """Leave no timer behind. Blocks that go on nevertheless are not ended any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = math.inf

    def _come_by(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        """Have a timer for then, or for earlier."""
        if when < self._due or self._loop is not loop:
            self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.close()
        self._loop = loop
        self._due = min((alarm.when for alarm in self._set), default=math.inf)
        if self._due < math.inf:
            self._timer = loop.call_at(self._due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for alarm in [alarm for alarm in self._set if alarm.when <= now]:
            self._set.discard(alarm)
            alarm.ring()
        self._set_timer(loop)


class Alarm:
    """A ``with`` block that is cancelled when it is due and then raises TimeoutError, as an :class:`asyncio.Timeout`.

    Attributes:
        when: when it is due, in the time of the event loop.
        seconds: the time that it was set or put off for; 0 for one that is due at a given time.
        task: whose block it is; known inside the block.
        rung: whether it was cancelled.
    """

    __slots__ = ("_alarms", "_cancelling", "rung", "seconds", "task", "when")

    task: asyncio.Task[object]

    def __init__(self, alarms: Alarms, when: float, seconds: float) -> None:
        self._alarms = alarms
        self.when = when
        self.seconds = seconds
        self.rung = False

    def put_off(self, seconds: float) -> None:
        """It is due after so many seconds from now, and neither before nor later."""
        loop = asyncio.get_running_loop()
        self.when = loop.time() + seconds
        self.seconds = seconds
        self._alarms._come_by(self.when, loop)

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("time-outs need a task: await this in a coroutine that runs as one")
        self.task = task
        self._cancelling = task.cancelling()
        self._alarms._set.add(self)
        self._alarms._come_by(self.when, loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._alarms._set.discard(self)
        # Who else has cancelled the task must see it cancelled.
        if self.rung and self.task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def ring(self) -> None:
        """Cancel it."""
        self.rung = True
        self.task.cancel()
