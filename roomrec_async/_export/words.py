"""Windows that are given in words such as "7d" before now, which stand for other instants in each attempt of a run."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import attrs

from roomrec_async._listing.scan import DateWindow
from roomrec_async.protocols import Destination

from .run import find_last_plan, utc
from .state import Manifest, State, run_name
from .store import is_export_destination, unlocked_store


@attrs.frozen
class WordedWindow:
    """The window of a run, and the words that it was given in.

    Attributes:
        words: where it begins and ends, as the first attempt or shard was given it.
        after: its beginning.
        before: its end, or None for the present of the run.
    """

    words: list[str]
    after: datetime
    before: datetime | None


async def window_of_words(
    destination: str | os.PathLike[str] | Destination, window: DateWindow, words: list[str]
) -> DateWindow:
    """Return the window that the same words stood for when the run began which is not complete, or the one given.

    A command that is given again resumes its run so, and shards that are started one by one have one window.

    Args:
        destination: where the export is written to.
        window: what the words stand for now.
        words: where the window begins and ends, in words of which one at least depends on the present.

    Raises:
        ConfigurationError: the state of the export is damaged.
        OSError: the state cannot be written.
    """
    if not isinstance(destination, (str, os.PathLike)) and not is_export_destination(destination):
        # The export itself refuses it.
        return window
    state = State(unlocked_store(destination))
    plan = await find_last_plan(state)
    if plan is not None and await state.load(run_name(plan.run, "manifest"), Manifest) is not None:
        return window
    given = WordedWindow(words, window.after.astimezone(UTC), utc(window.before))
    first = await state.create(run_name(1 if plan is None else plan.run, "words"), given)
    return DateWindow(first.after, first.before) if first.words == words else window
