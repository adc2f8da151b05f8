"""What fails while a command goes on: told on stderr, and counted for the exit code."""

from __future__ import annotations

import attrs
from rich.console import Console
from rich.text import Text

from roomrec_async._text import safe_text
from roomrec_async.errors import AuthenticationError, RoomRecError
from roomrec_async.models import RoomResult

from .tables import failure_told


@attrs.define
class Failures:
    """The failures of one run.

    Attributes:
        console: standard error.
        count: how many there were.
    """

    console: Console = attrs.field(factory=lambda: Console(stderr=True, highlight=False))
    count: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code of the run."""
        return 1 if self.count else 0

    @property
    def told(self) -> str:
        """What a summary says of them; nothing, if there are none."""
        return f", {self.count:,} failed" if self.count else ""

    def of(self, sid: str | None, error: RoomRecError) -> None:
        """A room or a recording failed. Credentials that are refused end the run: it would be the same with all."""
        if isinstance(error, AuthenticationError):
            raise error
        self.count += 1
        self.say(f"{safe_text(sid or 'a recording without a SID')}: {failure_told(error)}")

    def of_room(self, result: RoomResult) -> None:
        """A room failed."""
        if result.error is not None:
            self.of(result.room_sid, result.error)

    def of_line(self, place: str, reason: str) -> None:
        """A line of the input is no room SID."""
        self.count += 1
        self.say(f"{safe_text(place)}: {safe_text(reason)}")

    def say(self, line: str) -> None:
        """A line on stderr, above the progress if there is any."""
        self.console.print(Text(line), soft_wrap=True)
