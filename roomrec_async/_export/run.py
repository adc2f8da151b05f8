"""A run of an export: plan it, write its units, and close it when all shards are done.

A run may be killed at any instant and started again. A unit's part has a name of its own and is replaced as a whole;
the unit counts as done only when the state says so. What a killed process has written without saying so is written
again, to the same name: nothing is in two parts.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import ceil
from secrets import token_hex
from typing import Final, TypeAlias

import attrs

from roomrec_async._api.codec import decode_recording
from roomrec_async._api.params import account_recording_path
from roomrec_async._asyncio import map_concurrently, run_in_thread
from roomrec_async._http.timers import Deadline
from roomrec_async._http.transport import Transport
from roomrec_async._listing.fanout import OpenRoom, RoomSids
from roomrec_async._listing.fanout import stream as stream_rooms
from roomrec_async._listing.identities import ListParticipants
from roomrec_async._listing.lists import Lists
from roomrec_async._listing.scan import DateWindow, estimate_pages, scan, split_window
from roomrec_async._media.delete import check_unknown, is_unknown
from roomrec_async._tables import TableFormat, check_formats
from roomrec_async._validate import check_choice
from roomrec_async.config import Timeout
from roomrec_async.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InvalidArgumentError,
    NotFoundError,
)
from roomrec_async.events import Operation
from roomrec_async.models import Recording, RoomResult
from roomrec_async.protocols import Destination

from .identities import Identities, UnfinishedError
from .parts import Selection, write_part
from .report import MAX_FAILURES, ExportProgress, ExportReport
from .rooms import SortedRooms, open_sorted_rooms
from .shard import Shard
from .state import (
    SCHEMA_VERSION,
    Export,
    Latest,
    Manifest,
    Outcome,
    Plan,
    RoomsPlan,
    Seen,
    Settings,
    State,
    check_settings,
    run_name,
    show,
    state_name,
)
from .store import open_store, unlocked_store

Source: TypeAlias = RoomSids | DateWindow
"""Records to export: those of some rooms, or of all recordings that began in a window of time."""

EXPORT_FORMATS: Final = ("parquet", "jsonl")

OVERLAP: Final = timedelta(hours=1)
"""How long before its end a run is listed again by the next one: so late may a recording appear in the lists."""

# Units: so much is asked for again after a kill, for each unit that was under way.
_PAGES_PER_WINDOW: Final = 32
# Units of a run, of which each is a file: with more of them, they become larger.
_MAX_UNITS: Final = 10_000
_WINDOWS_PER_SHARD: Final = 4
_ROOMS_PER_UNIT: Final = 200
_PENDING_PER_UNIT: Final = 200
# Fewer are asked for one by one: a list may have many others between them.
_LEAST_PENDING_LISTED: Final = 10
# Units under way at once. Each of them lists as much at once as the limiter allows; the next one begins while the last
# lists of one come. With more, a process that is killed would lose more.
_UNITS_AT_ONCE: Final = 2
# Objects of the state that are read at once: thousands of them, one after another, would take minutes in a store.
_READS_AT_ONCE: Final = 16
# The service keeps what it knows of a deleted recording for so long.
_KEPT_BY_SERVICE: Final = timedelta(days=30)


@attrs.frozen
class Pending:
    """Recordings that were still processing when the run before this one looked at them."""

    recordings: list[Seen]


@attrs.frozen
class Unit:
    """A piece of work, and its key, which is the same in each attempt."""

    key: str
    work: DateWindow | dict[str, str | None] | Pending


@attrs.frozen(kw_only=True)
class ExportOperation:
    """One call of an export.

    Args:
        transport: sends the requests.
        lists: opens the lists of rooms and windows.
        timeout: bounds each request.
        source: the rooms, or the window; None for that of the export that there is.
        destination: a directory, or a store.
        format: the format of the parts.
        since_last: True to start another run if the last one is complete.
        shard: the shard to write.
        list_participants: lists the participants of a room, for a column with their identities; None for none.
        open_room: opens the list of a room, with the filters.
        filters: what leaves recordings of rooms out, which every call for one destination must have in common.
        progress: kept up to date.

    Raises:
        InvalidArgumentError: an argument is out of its bounds.
        ConfigurationError: the destination cannot hold an export, or an extra is missing.
    """

    transport: Transport
    lists: Lists
    timeout: Timeout
    source: Source | None
    destination: str | os.PathLike[str] | Destination
    format: TableFormat
    since_last: bool
    shard: Shard
    list_participants: ListParticipants | None
    open_room: OpenRoom
    filters: Mapping[str, str]
    progress: ExportProgress

    def __attrs_post_init__(self) -> None:
        check_choice("format", self.format, EXPORT_FORMATS)
        check_formats([self.format])
        if self.source is None and not self.since_last:
            raise InvalidArgumentError("source must be rooms or a DateWindow, unless since_last is True")
        if self.since_last and not (self.source is None or isinstance(self.source, DateWindow)):
            raise ConfigurationError(
                "since_last is for a window of the account's recordings: give a DateWindow (--after TIME on the "
                "command line), not rooms"
            )

    async def run(self) -> ExportReport:
        """Write what is not yet written, and close the run if all shards are done.

        Raises:
            ConfigurationError: the destination holds an export with other settings.
            BusyError: another process writes the same shard.
            MediaError: the store did not answer, or refused a request.
            AuthenticationError: the credentials were refused.
            RoomRecError: a window could not be listed. What was written before that stays.
            OSError: the disk is full, or cannot be written.
        """
        async with self._open_run() as run:
            outcome = await run.write()
            return run.report(outcome, await run.close())

    async def write_shard(self) -> ExportReport:
        """Write what is not yet written, and leave the run open, for a caller that closes it after the last shard.

        Each shard that looks for the others takes time, where there are thousands. Raises as :meth:`run` does.
        """
        async with self._open_run() as run:
            return run.report(await run.write(), None)

    async def prepare(self) -> str:
        """Make the plan of the run, which all shards follow, and return the ID of the export.

        Raises:
            ConfigurationError: the destination holds an export with other settings.
        """
        return (await self._find_run(State(unlocked_store(self.destination)))).export_id

    async def close(self) -> str | None:
        """Close the run if all shards are done, and return the location of its manifest; None if they are not."""
        run = await self._find_run(State(unlocked_store(self.destination)))
        return await run.close()

    @asynccontextmanager
    async def _open_run(self) -> AsyncGenerator[_Run, None]:
        """Open the run for the time of a block, in which no other process writes the shard."""
        async with open_store(self.destination, self.shard.name()) as store:
            yield await self._find_run(State(store))

    async def _find_run(self, state: State) -> _Run:
        """Return the run to write; the first call makes its plan."""
        operation = self
        if self.source is None:
            operation = attrs.evolve(self, source=await find_window(state))
        export = await operation._open(state)
        plan = await operation._choose_run(state, export.settings.after)
        return _Run(operation, state, export.id, plan)

    async def _open(self, state: State) -> Export:
        settings = Settings(
            account_sid=self.transport.account_sid,
            source="account" if isinstance(self.source, DateWindow) else "rooms",
            after=self.source.after.astimezone(UTC) if isinstance(self.source, DateWindow) else None,
            format=self.format,
            shards=self.shard.count,
            identities=self.list_participants is not None,
            filters=dict(self.filters),
        )
        export = await state.load("export", Export)
        if export is None:
            export = await state.create("export", Export(token_hex(4), settings))
        began = export.settings.after
        if self.since_last and began is not None and settings.after is not None and settings.after > began:
            # As that of a nightly job which names the last seven days. What is new is new since the last run.
            settings = attrs.evolve(settings, after=began)
        check_settings(state.store.location(""), export.settings, settings)
        return export

    async def _choose_run(self, state: State, began: datetime | None) -> Plan:
        """Return the plan of the run to write: the last one, or with ``since_last`` another if that one is complete.

        Args:
            state: the state.
            began: the beginning of the first run's window, if it has one.
        """
        last = await find_last_plan(state)
        if last is None:
            return await self._plan(state, 1, began, None)
        if self.since_last:
            manifest = await state.load(run_name(last.run, "manifest"), Manifest)
            if manifest is None:
                return last
            check_clock(state.store.location(""), last)
            return await self._plan(state, last.run + 1, began, last)
        if isinstance(self.source, DateWindow) and last.requested_before != utc(self.source.before):
            raise ConfigurationError(
                f"{state.store.location('')} holds an export with a window to {show(last.requested_before or 'now')}, "
                f"and not to {show(self.source.before or 'now')}: give the same, since_last (--since-last), or another "
                "destination"
            )
        return last

    async def _plan(self, state: State, run: int, began: datetime | None, last: Plan | None) -> Plan:
        """Return the plan of a new run: that of the shard which is the first to make one."""
        plan = Plan(run)
        if isinstance(self.source, DateWindow) and began is not None:
            plan = await self._plan_window(run, DateWindow(began, self.source.before), last)
        return await state.create(run_name(run, "plan"), plan)

    async def _plan_window(self, run: int, source: DateWindow, last: Plan | None) -> Plan:
        # What begins in the present second may not be in the lists yet.
        before = current_time()
        requested = utc(source.before)
        if requested is not None:
            before = min(before, requested)
        after = source.after.astimezone(UTC)
        if last is not None and last.before is not None:
            before = max(before, last.before)
            after = max(after, last.before - OVERLAP)
        before = max(before, after)
        windows = 0
        if after < before:
            windows = await self._count_windows(DateWindow(after, before))
        return Plan(run, after, before, requested, windows)

    async def _count_windows(self, window: DateWindow) -> int:
        """Return into how many windows to divide one, from its first page."""
        least = 1
        if self.shard.count > 1:
            least = min(_MAX_UNITS, self.shard.count * _WINDOWS_PER_SHARD)
        pages = await self.count_pages(window)
        return max(least, min(_MAX_UNITS, ceil(pages / _PAGES_PER_WINDOW)))

    async def count_pages(self, window: DateWindow) -> float:
        """Return about how many pages the lists of a window have, from the first of them."""
        async with aclosing(self.lists.window_opener()(window).pages()) as pages:
            page = await anext(pages)
        return estimate_pages(window, page.items) if page.meta.next_page_url else 1.0


class _Run:
    """A run, as far as one shard writes it.

    Attributes:
        export_id: the ID of the export.
    """

    def __init__(self, operation: ExportOperation, state: State, export_id: str, plan: Plan) -> None:
        self._operation = operation
        self._state = state
        self.export_id = export_id
        self._plan = plan
        self._shard = operation.shard
        self._progress = operation.progress
        # Of units that are not done: rooms that may be listed the next time.
        self._failures: dict[str, str] = {}
        self._known: frozenset[str] = frozenset()

    async def write(self) -> Outcome:
        """Write the units of the shard that are not yet written, and return the outcome of all of them."""
        source = self._operation.source
        if source is not None and not isinstance(source, DateWindow):
            return await self._write_rooms(source)
        done = await self._state.load(self._name(self._shard.name()), Outcome)
        if done is not None:
            self._progress.recordings = done.recordings
            return done
        carried = await self._carried()
        self._known = frozenset(seen.sid for seen in (*carried.pending, *carried.recent))
        owned = [unit for unit in self._window_units(carried) if self._shard.owns(unit.key)]
        return await self._write_units(owned, len(owned))

    def report(self, outcome: Outcome, manifest: str | None) -> ExportReport:
        """Return the report, with the location of the manifest, if the run is closed."""
        failures = outcome.failures | self._failures
        return ExportReport(
            run=self._plan.run,
            complete=manifest is not None,
            recordings=outcome.recordings,
            parts=len(outcome.parts),
            bytes=sum(part.bytes for part in outcome.parts),
            pending=len(outcome.pending),
            before=self._plan.before,
            failures=dict(islice(failures.items(), MAX_FAILURES)),
            failed=len(failures),
            manifest=manifest,
        )

    async def _carried(self) -> Outcome:
        """Return what the run before this one has left for it."""
        carried = None
        if self._plan.run > 1:
            carried = await self._state.load(run_name(self._plan.run - 1, "carry"), Outcome)
        return carried or Outcome()

    def _window_units(self, carried: Outcome) -> Iterable[Unit]:
        plan = self._plan
        if plan.windows and plan.after is not None:
            for index, window in enumerate(split_window(DateWindow(plan.after, plan.before), plan.windows)):
                yield Unit(f"window-{index:06d}", window)
        for start in range(0, len(carried.pending), _PENDING_PER_UNIT):
            yield Unit(f"pending-{start:06d}", Pending(carried.pending[start : start + _PENDING_PER_UNIT]))

    async def _write_rooms(self, room_sids: RoomSids) -> Outcome:
        with open_sorted_rooms() as rooms:
            await rooms.fill(room_sids, self._shard)
            count, digest = await run_in_thread(rooms.summarize)
            given = RoomsPlan(count, digest, self._rooms_per_unit(count))
            plan = await self._state.create(self._name(f"{self._shard.name()}-rooms"), given)
            self._check_rooms(plan, given)
            done = await self._state.load(self._name(self._shard.name()), Outcome)
            if done is not None:
                self._progress.recordings = done.recordings
                return done
            units = self._room_units(rooms, plan.rooms_per_unit)
            return await self._write_units(units, ceil(plan.rooms / plan.rooms_per_unit))

    def _rooms_per_unit(self, rooms: int) -> int:
        """Return how many of the shard's rooms belong to a unit."""
        return max(_ROOMS_PER_UNIT, ceil(rooms * self._shard.count / _MAX_UNITS))

    def _check_rooms(self, plan: RoomsPlan, given: RoomsPlan) -> None:
        if (plan.rooms, plan.digest) != (given.rooms, given.digest):
            raise ConfigurationError(
                f"{self._state.store.location('')} holds an export of {plan.rooms:,} rooms, and these {given.rooms:,} "
                "are not the same: give the same rooms, in any order, or another destination"
            )

    def _room_units(self, rooms: SortedRooms, rooms_per_unit: int) -> Iterable[Unit]:
        for index, batch in enumerate(rooms.batches(rooms_per_unit)):
            yield Unit(f"rooms-{self._shard.index:05d}-{index:06d}", batch)

    async def _write_units(self, units: Iterable[Unit], count: int) -> Outcome:
        """Write all units, and record the shard as done if none of them has to be tried again."""
        self._progress.units = count
        total = Outcome()
        unfinished = False

        async def source() -> AsyncGenerator[Unit, None]:
            for unit in units:
                yield unit

        async with aclosing(map_concurrently(source(), self._write_unit, lambda: _UNITS_AT_ONCE)) as outcomes:
            async for outcome in outcomes:
                if outcome is None:
                    unfinished = True
                    continue
                total.add(outcome)
                self._progress.finished += 1
                self._progress.recordings += outcome.recordings
        if unfinished:
            return total
        # By name, so that every attempt writes the same.
        total.parts.sort(key=lambda part: part.name)
        return await self._state.create(self._name(self._shard.name()), total)

    async def _write_unit(self, unit: Unit) -> AsyncGenerator[Outcome | None, None]:
        """Yield the outcome of a unit, written now or earlier; None if it has to be tried again."""
        name = self._name(f"units/{unit.key}")
        outcome = await self._state.load(name, Outcome)
        if outcome is None:
            outcome = await self._write_part(unit)
            if outcome is not None:
                # If two processes took each other for dead, the first of them to say so.
                outcome = await self._state.create(name, outcome)
        yield outcome

    async def _write_part(self, unit: Unit) -> Outcome | None:
        outcome = Outcome()
        failed: dict[str, str] = {}
        before = self._plan.before
        selection = Selection(
            outcome,
            known=frozenset() if isinstance(unit.work, Pending) else self._known,
            recent_after=None if before is None else before - OVERLAP,
            keep_pending=before is not None,
            room_names=unit.work if isinstance(unit.work, dict) else {},
        )
        name = f"part-{self.export_id}-{self._plan.run:05d}-{unit.key}.{self._operation.format}"
        try:
            recordings = self._list(unit, outcome, failed)
            await write_part(
                self._state.store, name, self._operation.format, recordings, selection, self._identities(failed)
            )
        except UnfinishedError:
            self._failures.update(failed)
            self._progress.failed += len(failed)
            return None
        return outcome

    def _identities(self, failed: dict[str, str]) -> Identities | None:
        operation = self._operation
        if operation.list_participants is None:
            return None
        scope = operation.transport.operation_scope
        return Identities(operation.list_participants, operation.lists.max_rooms, scope, failed)

    def _list(self, unit: Unit, outcome: Outcome, failed: dict[str, str]) -> AsyncGenerator[list[Recording], None]:
        if isinstance(unit.work, DateWindow):
            return self._list_window(unit.work)
        if isinstance(unit.work, Pending):
            return self._list_pending(unit.work.recordings, outcome)
        return self._list_rooms(unit.work, outcome, failed)

    async def _list_window(self, window: DateWindow) -> AsyncGenerator[list[Recording], None]:
        lists = self._operation.lists
        scope = self._operation.transport.operation_scope()
        async with aclosing(scan(window, lists.window_opener(), lists.max_rooms, scope)) as batches:
            async for recordings in batches:
                yield [recording for recording in recordings if is_in_window(recording, window)]

    async def _list_rooms(
        self, room_sids: Collection[str], outcome: Outcome, failed: dict[str, str]
    ) -> AsyncGenerator[list[Recording], None]:
        lists = self._operation.lists

        def on_error(result: RoomResult) -> None:
            if isinstance(result.error, AuthenticationError):
                raise result.error
            # Asking again would give the same answer.
            is_final = isinstance(result.error, BadRequestError) or (
                result.error is not None and is_unknown(result.error)
            )
            (outcome.failures if is_final else failed)[result.room_sid] = str(result.error)

        scope = self._operation.transport.operation_scope()
        stream = stream_rooms(room_sids, self._operation.open_room, lists.max_rooms, scope, on_error=on_error)
        async with aclosing(stream) as recordings:
            async for recording in recordings:
                yield [recording]
        self._progress.failed += len(outcome.failures)
        if failed:
            raise UnfinishedError

    async def _list_pending(self, pending: list[Seen], outcome: Outcome) -> AsyncGenerator[list[Recording], None]:
        """Yield recordings that were processing: from lists where that takes fewer requests, the others one by one."""
        missing = {seen.sid: seen for seen in pending}
        window = await self._window_of(pending)
        if window is not None:
            async with aclosing(self._list_window(window)) as batches:
                async for recordings in batches:
                    yield [each for each in recordings if each.sid and missing.pop(each.sid, None)]
        async with aclosing(self._fetch_pending(list(missing.values()), outcome)) as batches:
            async for recordings in batches:
                yield recordings

    async def _window_of(self, pending: list[Seen]) -> DateWindow | None:
        """Return the window that recordings began in; None if its lists have more pages than there are recordings."""
        created = [seen.created for seen in pending if seen.created is not None]
        if len(created) < max(len(pending), _LEAST_PENDING_LISTED):
            return None
        window = DateWindow(min(created), max(created) + timedelta(seconds=1))
        return window if await self._operation.count_pages(window) < len(pending) else None

    async def _fetch_pending(self, pending: list[Seen], outcome: Outcome) -> AsyncGenerator[list[Recording], None]:
        async def source() -> AsyncGenerator[Seen, None]:
            for seen in pending:
                yield seen

        async def fetch(seen: Seen) -> AsyncGenerator[Recording, None]:
            recording = await self._fetch(seen.sid)
            if recording is not None:
                yield recording
            elif seen.created is not None and current_time() - seen.created < _KEPT_BY_SERVICE:
                # A 404 need not be the last word; and one request a run is little.
                outcome.pending.append(seen)

        transport = self._operation.transport
        limit = self._operation.lists.max_rooms
        async with aclosing(map_concurrently(source(), fetch, limit, transport.operation_scope())) as recordings:
            async for recording in recordings:
                yield [recording]

    async def _fetch(self, sid: str) -> Recording | None:
        """Return a recording, or None if the service does not know it."""
        transport = self._operation.transport
        path = account_recording_path(sid)
        operation = Operation("recording", path)
        with transport.notifier.notify(operation):
            try:
                response = await transport.get(path, "", Deadline.start(self._operation.timeout), operation)
            except NotFoundError as error:
                check_unknown(error)
                return None
            operation.records = 1
            return decode_recording(response.body, sid)

    async def close(self) -> str | None:
        """Write the manifest if all shards are done, and return its location; None if they are not."""
        name = self._name("manifest")
        if await self._state.store.exists(state_name(name)):
            return self._state.store.location(state_name(name))
        total = await self._load_shards()
        if total is None:
            return None
        await self._write_carry(total)
        await self._state.create(
            name,
            Manifest(
                run=self._plan.run,
                before=self._plan.before,
                recordings=total.recordings,
                pending=len(total.pending),
                schema_version=SCHEMA_VERSION,
                parts=sorted(total.parts, key=lambda part: part.name),
            ),
        )
        await self._state.replace("latest", Latest(self._plan.run))
        return self._state.store.location(state_name(name))

    async def _load_shards(self) -> Outcome | None:
        """Return what all shards have done, without their failures; None if one of them is not done."""
        count = self._shard.count
        total = Outcome()

        async def source() -> AsyncGenerator[Shard, None]:
            for index in range(1, count + 1):
                yield Shard(index, count)

        async def load(shard: Shard) -> AsyncGenerator[Outcome | None, None]:
            yield await self._state.load(self._name(shard.name()), Outcome)

        async with aclosing(map_concurrently(source(), load, lambda: _READS_AT_ONCE)) as outcomes:
            async for outcome in outcomes:
                if outcome is None:
                    return None
                # The manifest does not list them, and there may be millions.
                total.add(attrs.evolve(outcome, failures={}))
        return total

    async def _write_carry(self, total: Outcome) -> None:
        """Write what the next run has to know, before the manifest, which lets it start."""
        if self._plan.before is None:
            return
        recent_after = self._plan.before - OVERLAP
        # If runs follow each other quickly, also what those before this one have written.
        earlier = [
            seen for seen in (await self._carried()).recent if seen.created is None or seen.created >= recent_after
        ]
        recent = sorted({*earlier, *total.recent}, key=lambda seen: seen.sid)
        # By date: those of a unit are near each other in the lists.
        pending = sorted({*total.pending}, key=lambda seen: seen.sid)
        pending.sort(key=lambda seen: seen.created.timestamp() if seen.created else 0.0)
        await self._state.create(self._name("carry"), Outcome(pending=pending, recent=recent))

    def _name(self, name: str) -> str:
        return run_name(self._plan.run, name)


async def find_window(state: State) -> DateWindow:
    """Return the window of the export that there is, without an end.

    Raises:
        ConfigurationError: there is none, or its source are rooms.
    """
    export = await state.load("export", Export)
    if export is None or export.settings.after is None:
        raise ConfigurationError(
            f"{state.store.location('')} holds no export of the account: say when the first run begins "
            "(--after TIME on the command line)"
        )
    return DateWindow(export.settings.after)


def check_clock(location: str, last: Plan) -> None:
    """Check that another run has a window that is not yet to come.

    Raises:
        ConfigurationError: it has not: the clock of this machine, or that of the last run, is wrong. What has begun
            since then would be in no run's window.
    """
    if last.before is not None and current_time() < last.before - OVERLAP:
        raise ConfigurationError(
            f"{location} holds an export up to {show(last.before)}, which is yet to come: correct the clock of this "
            "machine; if that of the last run was wrong, export to another destination"
        )


async def find_last_plan(state: State) -> Plan | None:
    """Return the plan of the last run that was started, or None if none was."""
    latest = await state.load("latest", Latest)
    run = 1 if latest is None else latest.run
    last = None
    while (plan := await state.load(run_name(run, "plan"), Plan)) is not None:
        last = plan
        run += 1
    return last


def is_in_window(recording: Recording, window: DateWindow) -> bool:
    """Return True if a recording began in a window. The service's filters have whole seconds."""
    created = recording.date_created
    return created is None or (window.after <= created and (window.before is None or created < window.before))


def current_time() -> datetime:
    """Return the present in UTC, in whole seconds, as the dates of the service are."""
    return datetime.now(UTC).replace(microsecond=0)


def utc(instant: datetime | None) -> datetime | None:
    """Return an instant in UTC."""
    return None if instant is None else instant.astimezone(UTC)
