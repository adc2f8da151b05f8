"""The state of an export: small JSON objects beside the parts, each written once."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeVar

import attrs
import cattrs

from roomrec_async._tables import TableFormat
from roomrec_async.errors import ConfigurationError

from .store import STATE_FOLDER, ExportStore

SCHEMA_VERSION: Final = 1
"""Version of the columns of the parts, and of the state."""

_Value = TypeVar("_Value")

_converter: Final = cattrs.Converter(forbid_extra_keys=False)
_converter.register_unstructure_hook(datetime, datetime.isoformat)
_converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))


@attrs.frozen
class Settings:
    """What every call for one destination must have in common.

    Attributes:
        account_sid: the account.
        source: ``rooms`` or ``account``.
        after: the beginning of the account's window; None for rooms.
        format: the format of the parts.
        shards: number of shards.
        schema_version: version of the columns.
        identities: True if the parts have the identities of participants.
        filters: what leaves recordings of rooms out: query parameters of their lists, and ``Limit``.
    """

    account_sid: str
    source: str
    after: datetime | None
    format: TableFormat
    shards: int
    schema_version: int = SCHEMA_VERSION
    identities: bool = False
    filters: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Export:
    """The first object of an export.

    Attributes:
        id: random text that is in the names of its parts, so that they are nobody else's.
        settings: what all calls must have in common.
    """

    id: str
    settings: Settings


@attrs.frozen
class Plan:
    """How a run is divided. All shards follow the plan of the first of them.

    Attributes:
        run: number of the run, from 1.
        after: the beginning of the window that is listed; None for rooms.
        before: its end, which is never in the future; None for rooms.
        requested_before: the end that was asked for; None for the present.
        windows: number of windows.
    """

    run: int
    after: datetime | None = None
    before: datetime | None = None
    requested_before: datetime | None = None
    windows: int = 0


@attrs.frozen
class RoomsPlan:
    """The rooms of one shard.

    Attributes:
        rooms: number of rooms.
        digest: SHA-256 of their SIDs.
        rooms_per_unit: number of rooms in each unit but the last: another attempt has to make the same units.
    """

    rooms: int
    digest: str
    rooms_per_unit: int = 200


@attrs.frozen
class Part:
    """A file with records. The digest is its SHA-256."""

    name: str
    recordings: int
    bytes: int
    sha256: str


@attrs.frozen
class Seen:
    """A recording that the next run has to know.

    Attributes:
        sid: its SID.
        room_sid: the SID of its room.
        created: when it began.
    """

    sid: str
    room_sid: str | None
    created: datetime | None


@attrs.frozen
class Outcome:
    """What was done: that of a unit, of a shard, or of a run.

    Attributes:
        parts: the files written.
        pending: recordings that were still processing.
        recent: recordings written that the next run may list again.
        failures: error messages by the SID of a room, of rooms that cannot be listed.
    """

    parts: list[Part] = attrs.field(factory=list)
    pending: list[Seen] = attrs.field(factory=list)
    recent: list[Seen] = attrs.field(factory=list)
    failures: dict[str, str] = attrs.field(factory=dict)

    def add(self, other: Outcome) -> None:
        """Add what was done elsewhere."""
        self.parts.extend(other.parts)
        self.pending.extend(other.pending)
        self.recent.extend(other.recent)
        self.failures.update(other.failures)

    @property
    def recordings(self) -> int:
        """Number of recordings written."""
        return sum(part.recordings for part in self.parts)


@attrs.frozen
class Manifest:
    """The parts of a complete run.

    Attributes:
        run: number of the run.
        before: the end of its window; None for rooms.
        recordings: number of recordings in all parts.
        pending: number of recordings that were still processing.
        schema_version: version of the columns.
        parts: the files.
    """

    run: int
    before: datetime | None
    recordings: int
    pending: int
    schema_version: int
    parts: list[Part]


@attrs.frozen
class Latest:
    """The number of the last complete run: where the search for the present one starts."""

    run: int


@attrs.frozen
class State:
    """Reads and writes the state of an export."""

    store: ExportStore

    async def load(self, name: str, cls: type[_Value]) -> _Value | None:
        """Return a value of the state, or None if there is none.

        Raises:
            ConfigurationError: it is damaged.
        """
        data = await self.store.read(state_name(name))
        if data is None:
            return None
        try:
            return _converter.structure(json.loads(data), cls)
        except (ValueError, TypeError, KeyError, cattrs.BaseValidationError):
            location = self.store.location(state_name(name))
        raise ConfigurationError(f"{location} is damaged, or not of this version: export to another destination")

    async def create(self, name: str, value: _Value) -> _Value:
        """Write a value if there is none, and return the one that is there: that of whoever was first."""
        if await self.store.create(state_name(name), encode(value)):
            return value
        existing = await self.load(name, type(value))
        return value if existing is None else existing

    async def replace(self, name: str, value: object) -> None:
        """Write a value."""
        await self.store.replace(state_name(name), io.BytesIO(encode(value)))


def encode(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(_converter.unstructure(value), separators=(",", ":")).encode() + b"\n"


def state_name(name: str) -> str:
    """Return the name of an object of the state in the destination."""
    return f"{STATE_FOLDER}/{name}.json"


def run_name(run: int, name: str) -> str:
    """Return the name of what belongs to one run."""
    return f"run-{run:05d}/{name}"


def check_settings(location: str, existing: Settings, given: Settings) -> None:
    """Check that a call has the settings of the export.

    Raises:
        ConfigurationError: one of them differs.
    """
    for field in attrs.fields(Settings):
        was = getattr(existing, field.name)
        now = getattr(given, field.name)
        if was != now:
            instead = "since_last (--since-last), or another destination" if field.name == "after" else ""
            raise ConfigurationError(
                f"{location} holds an export with {_NAMES[field.name]} {show(was)}, and not {show(now)}: "
                f"give the same, {instead or 'or another destination'}"
            )


_NAMES: Final[Mapping[str, str]] = {
    "account_sid": "the account",
    "source": "the source",
    "after": "a window from",
    "format": "the format",
    "shards": "this number of shards:",
    "schema_version": "version of the columns",
    "identities": "identities of participants:",
    "filters": "the filters",
}


def show(value: object) -> str:
    """Return a setting for a message."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or "none"
    return value.isoformat() if isinstance(value, datetime) else str(value)
