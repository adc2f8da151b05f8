"""Telling observers and the log what a client does."""

from __future__ import annotations

import logging
from collections.abc import Generator

import attrs
import pytest

from roomrec_async._observe import LOGGER, Notifier
from roomrec_async.events import Activity, Operation


@attrs.define
class Recorder:
    """Remembers what it is told, and how far each activity had come at the time."""

    seen: list[tuple[str, float | None, type[BaseException] | None]] = attrs.field(factory=list)

    def started(self, activity: Activity) -> None:
        self.seen.append(("started", activity.seconds, activity.error and type(activity.error)))

    def ended(self, activity: Activity) -> None:
        self.seen.append(("ended", activity.seconds, activity.error and type(activity.error)))


class Broken:
    def started(self, activity: Activity) -> None:
        raise KeyError("started")

    def ended(self, activity: Activity) -> None:
        raise KeyError("ended")


def operation() -> Operation:
    return Operation("rooms", "/v1/Rooms")


def test_an_observer_sees_the_start_and_the_end() -> None:
    recorder = Recorder()
    with Notifier([recorder]).notify(operation()):
        assert recorder.seen == [("started", None, None)]
    (_, (name, seconds, error)) = recorder.seen
    assert (name, error) == ("ended", None)
    assert seconds is not None
    assert seconds >= 0


def test_an_observer_sees_the_exception_that_ended_an_activity() -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError), Notifier([recorder]).notify(operation()):
        raise ZeroDivisionError
    assert recorder.seen[-1][2] is ZeroDivisionError


def test_a_loop_that_is_left_early_is_a_success() -> None:
    recorder = Recorder()

    def records() -> Generator[int, None, None]:
        with Notifier([recorder]).notify(operation()):
            yield 1
            yield 2

    generator = records()
    next(generator)
    generator.close()
    assert [(name, error) for name, _, error in recorder.seen] == [("started", None), ("ended", None)]


def test_an_observer_that_fails_is_logged_and_the_next_one_still_notified(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with Notifier([Broken(), recorder]).notify(operation()):
        pass
    assert [name for name, _, _ in recorder.seen] == ["started", "ended"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert all("an observer failed" in record.getMessage() for record in caplog.records)


def test_the_level_of_the_log_may_change_while_a_program_runs(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier()
    with notifier.notify(operation()):
        pass
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, LOGGER.name)
    with notifier.notify(operation()):
        pass
    (line,) = caplog.records
    assert line.getMessage().startswith("rooms /v1/Rooms: 0 records, 0 bytes, in ")
    assert vars(line)["roomrec_operation"] == "rooms"
