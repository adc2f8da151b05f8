"""What can be watched: operations, the requests that they send, and each try of one. For hooks, logs and telemetry."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from types import TracebackType
from typing import Final, Literal, Protocol, TypeAlias

import attrs
from yarl import URL

LOGGER: Final = logging.getLogger("roomrec_async")
# Without a handler, Python would print warnings of a library whose program has set up no logging.
LOGGER.addHandler(logging.NullHandler())

OperationName: TypeAlias = Literal[
    "recordings", "account_recordings", "rooms", "recording", "delete", "media_url", "download"
]
"""The methods of :class:`RecordingsClient` that an operation can be of; many rooms are many ``recordings``."""

_ROOM_SID: Final = re.compile("RM[0-9a-f]{32}")
_RECORDING_SID: Final = re.compile("RT[0-9a-f]{32}")


class Activity:
    """Something that begins and ends: an :class:`Operation`, a :class:`Request` or an :class:`Attempt`.

    Attributes:
        began: when it began, on the clock of :func:`time.perf_counter`.
        seconds: how long it took; None while it goes on.
        error: what it ended in; None while it goes on, and if it was a success.
    """

    began: float = 0.0
    seconds: float | None = None
    error: BaseException | None = None


@attrs.define(eq=False, slots=False)
class Operation(Activity):
    """One call of a method, or one iteration of a list.

    Attributes:
        name: the method's name.
        path: the path of the API below the base URL; the SIDs are in it.
        records: recordings or rooms that were delivered so far.
        bytes: bytes of media that arrived so far.

    The time of whoever consumes a list is in ``seconds``. To leave a loop early is a success.
    """

    name: OperationName
    path: str
    records: int = 0
    bytes: int = 0

    @property
    def room_sid(self) -> str | None:
        """The room it is about, if it is about one."""
        found = _ROOM_SID.search(self.path)
        return found[0] if found else None

    @property
    def recording_sid(self) -> str | None:
        """The recording it is about, if it is about one."""
        found = _RECORDING_SID.search(self.path)
        return found[0] if found else None


@attrs.define(eq=False, slots=False)
class Request(Activity):
    """One request with all its tries: a page of a list, for one; or media that are asked for.

    Attributes:
        operation: what it belongs to.
        method: ``GET`` or ``DELETE``.

    The time of waiting for the limiter, and between tries, is in ``seconds``.
    """

    operation: Operation
    method: str
    _url: URL

    @property
    def url(self) -> URL:
        """Where it goes, without the query: page tokens are nobody's business, and the URLs of media are secrets."""
        return self._url.with_query(None)


@attrs.define(eq=False, slots=False)
class Attempt(Activity):
    """One try of a request, from its permit to the last byte of its response; where media are read, to the headers.

    Attributes:
        request: what it is a try of.
        number: 1 for the first try.
        waited: seconds before it began, waiting for the limiter's permit; None for media, which need none.
        status: the status of the response; None if there was none.
    """

    request: Request
    number: int
    waited: float | None = None
    status: int | None = None


class Observer(Protocol):
    """What is told of everything that a client does, in the event loop, while it is done: return soon.

    What an observer raises is logged, and the client goes on.

    Example:
        >>> class Refusals:
        ...     count = 0
        ...
        ...     def started(self, activity: Activity) -> None: ...
        ...
        ...     def ended(self, activity: Activity) -> None:
        ...         self.count += isinstance(activity, Attempt) and activity.status == 429
        >>> client = RecordingsClient(credentials, observers=[Refusals()])
    """

    def started(self, activity: Activity) -> None:
        """It begins."""

    def ended(self, activity: Activity) -> None:
        """It is over, well or not."""


_NOBODY: Final = nullcontext()


class Watch:
    """Whom a client tells of what it does: its observers, and the log where that is wanted."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def over(self, activity: Activity) -> AbstractContextManager[object]:
        """Tell of the beginning and the end of a ``with`` block."""
        # Asked each time: programs change their levels while they run.
        if LOGGER.isEnabledFor(logging.DEBUG):
            return _Watched(activity, (*self._observers, _LOG))
        return _Watched(activity, self._observers) if self._observers else _NOBODY


class _Watched:
    __slots__ = ("_activity", "_observers")

    def __init__(self, activity: Activity, observers: tuple[Observer, ...]) -> None:
        self._activity = activity
        self._observers = observers

    def __enter__(self) -> None:
        self._activity.began = perf_counter()
        for observer in self._observers:
            try:
                observer.started(self._activity)
            except Exception:
                LOGGER.exception("an observer failed: %r", observer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._activity.seconds = perf_counter() - self._activity.began
        if error is not None and not isinstance(error, GeneratorExit):
            self._activity.error = error
        for observer in self._observers:
            try:
                observer.ended(self._activity)
            except Exception:
                LOGGER.exception("an observer failed: %r", observer)


class _Log:
    """A line at level DEBUG when something is over, with its numbers as attributes of the log record."""

    def started(self, activity: Activity) -> None:
        """Nothing is known yet."""

    def ended(self, activity: Activity) -> None:
        """The line. A request has none: its tries say it all."""
        error = None if activity.error is None else type(activity.error).__name__
        about = {"roomrec_seconds": activity.seconds, "roomrec_error": error}
        if isinstance(activity, Operation):
            _log_operation(activity, about)
        elif isinstance(activity, Attempt):
            _log_attempt(activity, about)


def _log_operation(operation: Operation, about: Mapping[str, object]) -> None:
    LOGGER.debug(
        "%s %s: %d records, %d bytes, in %.3f s, %s",
        operation.name,
        operation.path,
        operation.records,
        operation.bytes,
        operation.seconds,
        about["roomrec_error"] or "done",
        extra={
            **about,
            "roomrec_operation": operation.name,
            "roomrec_room_sid": operation.room_sid,
            "roomrec_records": operation.records,
            "roomrec_bytes": operation.bytes,
        },
    )


def _log_attempt(attempt: Attempt, about: Mapping[str, object]) -> None:
    LOGGER.debug(
        "%s %s: try %d, %s in %.3f s",
        attempt.request.method,
        attempt.request.url,
        attempt.number,
        attempt.status or about["roomrec_error"],
        attempt.seconds,
        extra={
            **about,
            "roomrec_operation": attempt.request.operation.name,
            "roomrec_attempt": attempt.number,
            "roomrec_waited": attempt.waited,
            "http_method": attempt.request.method,
            "http_status": attempt.status,
        },
    )


_LOG: Final = _Log()
