"""Telling observers and the log what a client does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from types import TracebackType
from typing import Final, TypeVar

from .events import Activity, Attempt, Operation
from .protocols import Observer

LOGGER: Final = logging.getLogger("roomrec_async")
# Without a handler, Python would print the warnings of a library whose program has set up no logging.
LOGGER.addHandler(logging.NullHandler())

_Activity = TypeVar("_Activity", bound=Activity)
_Result = TypeVar("_Result")

_NOBODY: Final = nullcontext()


class Notifier:
    """Tells a client's observers, and the log where DEBUG is enabled, when activities start and end."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def notify(self, activity: Activity) -> AbstractContextManager[object]:
        """Return a ``with`` block that reports its start and its end."""
        observers = self.observers()
        return _Notification(activity, observers) if observers else _NOBODY

    def observers(self) -> tuple[Observer, ...]:
        """Return those who observe what begins now; most clients have no observers."""
        # Asked each time: programs change the level while they run.
        if LOGGER.isEnabledFor(logging.DEBUG):
            return (*self._observers, _DEBUG_LOG)
        return self._observers


async def observed(
    work: Coroutine[object, object, _Result],
    activity: _Activity,
    observers: tuple[Observer, ...],
    note_result: Callable[[_Activity, _Result], None] | None = None,
) -> _Result:
    """Do work, and report its start and its end.

    Args:
        work: the work.
        activity: what it is to the observers.
        observers: whom to tell.
        note_result: enters the result of the work into the activity.
    """
    with _Notification(activity, observers):
        result = await work
        if note_result is not None:
            note_result(activity, result)
        return result


# Observers are not awaited: where one ends cancelled, such as at the result of a task, nobody has cancelled the client.
_FAILURES: Final = (Exception, asyncio.CancelledError)


class _Notification:
    __slots__ = ("_activity", "_observers")

    def __init__(self, activity: Activity, observers: tuple[Observer, ...]) -> None:
        self._activity = activity
        self._observers = observers

    def __enter__(self) -> None:
        self._activity.began = perf_counter()
        for observer in self._observers:
            try:
                observer.started(self._activity)
            except _FAILURES:
                LOGGER.exception("an observer failed: %r", observer)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._activity.seconds = perf_counter() - self._activity.began
        # A generator that is closed was left by its consumer, who had enough of it.
        if exc is not None and not isinstance(exc, GeneratorExit):
            self._activity.error = exc

        for observer in self._observers:
            try:
                observer.ended(self._activity)
            except _FAILURES:
                LOGGER.exception("an observer failed: %r", observer)


class _DebugLog:
    """Logs a line at level DEBUG when an activity ends, with its numbers as attributes of the log record."""

    def started(self, activity: Activity) -> None:
        """Log nothing: nothing is known yet."""

    def ended(self, activity: Activity) -> None:
        """Log an operation or an attempt. A request has no line: its attempts say it all."""
        error = None if activity.error is None else type(activity.error).__name__
        common = {"roomrec_seconds": activity.seconds, "roomrec_error": error}
        if isinstance(activity, Operation):
            _log_operation(activity, common)
        elif isinstance(activity, Attempt):
            _log_attempt(activity, common)


def _log_operation(operation: Operation, common: Mapping[str, object]) -> None:
    LOGGER.debug(
        "%s %s: %d records, %d bytes, in %.3f s, %s",
        operation.name,
        operation.path,
        operation.records,
        operation.bytes,
        operation.seconds,
        common["roomrec_error"] or "done",
        extra={
            **common,
            "roomrec_operation": operation.name,
            "roomrec_room_sid": operation.room_sid,
            "roomrec_records": operation.records,
            "roomrec_bytes": operation.bytes,
        },
    )


def _log_attempt(attempt: Attempt, common: Mapping[str, object]) -> None:
    LOGGER.debug(
        "%s %s: attempt %d, %s in %.3f s",
        attempt.request.method,
        attempt.request.url,
        attempt.number,
        attempt.status or common["roomrec_error"],
        attempt.seconds,
        extra={
            **common,
            "roomrec_operation": attempt.request.operation.name,
            "roomrec_attempt": attempt.number,
            "roomrec_waited": attempt.waited,
            "http_method": attempt.request.method,
            "http_status": attempt.status,
        },
    )


_DEBUG_LOG: Final = _DebugLog()
