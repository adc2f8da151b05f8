"""Millions of rooms on a Dask cluster: listed, exported to Parquet, archived. Extra ``dask``.

    >>> async with distributed.Client("tls://scheduler:8786", asynchronous=True) as cluster:
    ...     settings = ClusterSettings(credentials=Credentials.from_env())
    ...     report = await export_on(cluster, room_sids, "/shared/recordings", settings=settings)

Rooms are pulled as they are needed and split into shards. A shard is one task on the cluster, a coroutine in the event
loop of its worker, with one client. If the worker dies, the shard runs again on another one, and gives its result once.
The scheduler and the workers need this package, in the same version.

**The quota is the account's, not the cluster's.** It is divided into slots. A shard waits for a slot, under a semaphore
that all jobs of the cluster with this account share, and sends no more than its slot's part of the rate. It keeps the
slot until its requests are more than a second old, so that the next shard may use all of it at once. The slot of a
worker that died comes back after ``distributed.scheduler.locks.lease-timeout`` (30 seconds by default; the callers of
one account's jobs must agree on it), and until then nobody uses its part.

**Credentials travel with the tasks**, pickled, so that a wrong setting is refused before anything starts, and all
workers are the same caller. They are in no name, representation or log line. Dask sends tasks in clear over ``tcp://``:
between machines, let the cluster speak ``tls://``.

**What ten million rooms take**, with the quota of 80 reads a second. It does not grow with the workers; they share the
decoding, the Parquet and, above all, the bytes of an archive.

=====================================  =================================  ==================================
..                                     room by room (this module)         the account's list (``via="account"``)
=====================================  =================================  ==================================
requests, 5 recordings a room          10,000,000                         500,000, at 100 recordings a page
time at 80 a second                    34.7 hours                         1.7 hours
requests, 50 recordings a room         10,000,000                         5,000,000
time at 80 a second                    34.7 hours                         17.4 hours
requests, 100 recordings a room        10,000,000                         10,000,000: here they are even
=====================================  =================================  ==================================

The list of the account needs no cluster: ``client.archive(DateWindow(...), ...)`` and
``client.stream(..., via="account")`` go through it in one process. Room by room is for what it cannot do: rooms that
are a part of what the account has recorded in their time, errors of single rooms, and archives that are more than one
machine's network carries.

In shards of 1,000 rooms, ten million rooms are 10,000 tasks of 50 seconds each with 4 slots (20 reads a second each),
of which the second that a slot is kept is 2%. A task carries 34 KB of SIDs. The caller holds the rooms and results of
the shards under way: six with 4 slots, which is 20 MB for 5 recordings of 0.7 KB a room. A Parquet file of a shard with
5,000 recordings has about 0.6 MB; shards of 10,000 rooms make 1,000 files of 6 MB.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import pickle
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, Unpack, cast
from uuid import uuid4

import attrs

from roomrec_async.archive import ArchiveProgress, ArchiveReport
from roomrec_async.client import RecordingsClient, RoomOptions
from roomrec_async.codec import pack, to_dict, unpack
from roomrec_async.credentials import Credentials
from roomrec_async.endpoints import DEFAULT_BASE_URL
from roomrec_async.errors import AuthenticationError, ConfigurationError, InvalidArgumentError, RoomRecError, shown
from roomrec_async.events import Activity, Attempt
from roomrec_async.fanout import Flow, RoomSids, pulled, room_sids_checked
from roomrec_async.ledger import Entry, Ledger
from roomrec_async.limits import RateLimiter
from roomrec_async.manifest import write_manifest
from roomrec_async.models import Recording, RoomResult
from roomrec_async.tables import TableFormat, check_formats, open_table, recording_columns
from roomrec_async.tasks import from_thread, over

try:
    import dask.config
    from distributed import Client, KilledWorker, LocalCluster, Semaphore, WorkerPlugin, get_worker
    from distributed.client import FutureCancelledError
except ModuleNotFoundError as error:
    raise ConfigurationError("a cluster needs distributed: pip install 'roomrec-async[dask]'") from error

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Future, Worker
    from distributed.client import VersionsDict

    from roomrec_async.media import Decryption, Destination

_Result = TypeVar("_Result")

# Shards that are on the cluster beyond those that have a slot: a slot that is given back finds the next one waiting.
_AHEAD: Final = 2
# What goes wrong in a shard and is no answer of the service: a worker that cannot import, or has no memory left.
_RETRIES: Final = 2
_ROWS_AT_ONCE: Final = 1_000
_FAILURES_TOLD: Final = 1_000
# Quotas are counted by the second. The rest is for requests that took longer to arrive than the ones after them.
_SLOT_COOLS: Final = 1.1
_ASK_FOR_SLOT: Final = 2.0
# A worker that does not answer by then is not waited for.
_ENDS_WITHIN: Final = 30.0
_LEASE_TIMEOUT: Final = "distributed.scheduler.locks.lease-timeout"
_STOPPER: Final = "roomrec-stopper"
_PACKAGE: Final = "roomrec-async"
_LOCAL: Final = "127.0.0.1"


@attrs.frozen(kw_only=True)
class ClusterSettings:
    """Who calls, and how an account's quota is divided among the shards of its jobs on a cluster.

    Attributes:
        credentials: who is calling.
        base_url: another endpoint, such as a gateway, as the workers reach it.
        rooms_per_shard: how many rooms a task has.
        slots: into how many parts the quota is divided: so many shards run at once. All jobs of an account on one
            cluster must name the same number. By default one for each thread that the cluster has when the first
            job starts, as far as the quota can be divided.
        reads_per_second: the account's quota; 80 is the published one.
        writes_per_second: the account's quota for deletions; 20 is the published one.
        max_concurrency: requests in flight of all shards together; None for no bound; with "auto" each shard follows
            the service's own bound, by what is refused.

    Raises:
        ConfigurationError: a number is out of range, or the quota is too small for so many slots.
    """

    credentials: Credentials
    base_url: str = DEFAULT_BASE_URL
    rooms_per_shard: int = 1_000
    slots: int | None = None
    reads_per_second: float = 80
    writes_per_second: float = 20
    max_concurrency: int | Literal["auto"] | None = "auto"

    def __attrs_post_init__(self) -> None:
        RateLimiter(self.max_concurrency, self.reads_per_second, self.writes_per_second)
        for name, number in (("rooms_per_shard", self.rooms_per_shard), ("slots", self.slots)):
            if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
                raise ConfigurationError(f"{name} must be an integer from 1, not {shown(number)}")
        if not 1 <= (self.slots or 1) <= self.most_slots:
            raise ConfigurationError(
                f"slots must be at most {self.most_slots}: a slot's part of reads_per_second, writes_per_second and "
                "max_concurrency must be 1 at the least"
            )
        self.client(1)

    @property
    def most_slots(self) -> int:
        """Into how many parts the quota can be divided: each must have a whole request of everything."""
        bounds = [self.reads_per_second, self.writes_per_second]
        if isinstance(self.max_concurrency, int):
            bounds.append(self.max_concurrency)
        return math.floor(min(bounds))

    def client(self, slots: int, *observers: _LastRequest) -> RecordingsClient:
        """A client that keeps to one of so many parts of the quota.

        Raises:
            ConfigurationError: the base URL cannot be used.
        """
        concurrency = self.max_concurrency
        limiter = RateLimiter(
            concurrency // slots if isinstance(concurrency, int) else concurrency,
            self.reads_per_second // slots,
            self.writes_per_second // slots,
        )
        return RecordingsClient(self.credentials, base_url=self.base_url, limiter=limiter, observers=observers)


@attrs.define
class ExportProgress:
    """How far an export is, to be looked at while it runs; it moves by whole shards.

    Attributes:
        shards: files that are in their place.
        rooms: rooms that are done, those that failed included.
        recordings: recordings that were written.
        failed: rooms that failed.
    """

    shards: int = 0
    rooms: int = 0
    recordings: int = 0
    failed: int = 0


@attrs.frozen
class ExportReport:
    """What an export has written.

    Attributes:
        directory: where the files are, ``part-000000.parquet`` and so on, one a shard.
        files: how many.
        bytes: how many bytes these have.
        rooms: how many rooms there were, those that failed included.
        recordings: how many recordings were written.
        failures: why a room failed, by its SID, for the first 1,000. What it gave before that is in its file.
        failed: how many rooms failed.
    """

    directory: str
    files: int
    bytes: int
    rooms: int
    recordings: int
    failures: Mapping[str, RoomRecError]
    failed: int


def as_completed_on(
    cluster: Client, room_sids: RoomSids, *, settings: ClusterSettings, **options: Unpack[RoomOptions]
) -> AsyncGenerator[RoomResult, None]:
    """One result for each room, shard by shard as they finish: ``RecordingsClient.as_completed`` on a cluster.

    A room that fails is a result with an error. Rooms are pulled as there are slots for them, and a slow consumer
    stops the shards. Leaving the loop cancels what is on the cluster.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable. A room named twice is listed twice.
        settings: who calls, and how the quota is divided.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` and ``timeout`` are each room's.

    Raises:
        InvalidArgumentError: an argument is outside its bounds.
        ConfigurationError: the cluster cannot be used: it has no workers, other versions, or other slots.
        RoomRecError: the cluster dropped a shard.
    """
    _check_rooms(settings, room_sids, options)
    _check_cluster(cluster)
    return _as_completed(_Job(cluster, settings, "list"), room_sids, options)


async def export_on(
    cluster: Client,
    room_sids: RoomSids,
    directory: str | os.PathLike[str],
    *,
    settings: ClusterSettings,
    progress: ExportProgress | None = None,
    **options: Unpack[RoomOptions],
) -> ExportReport:
    """Write the recordings of rooms as Parquet, one file a shard: ``part-000000.parquet`` and so on.

    A file has the name of its shard, and takes its place when it is whole: a shard that runs again writes the same
    file again. Memory does not grow with the recordings of a shard. If the export fails, the files that are complete
    stay. The extras ``dask`` and ``parquet`` are needed, also on the workers.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable. A room named twice is written twice.
        directory: a directory that all workers and the caller see under this name. It is made if it is not there.
        settings: who calls, and how the quota is divided.
        progress: is kept up to date, to be looked at meanwhile.
        options: as for :meth:`roomrec_async.RecordingsClient.recordings`; ``limit`` is each room's, ``timeout`` each
            page's.

    Raises:
        InvalidArgumentError: an argument is outside its bounds, or the directory holds an earlier export.
        ConfigurationError: the cluster cannot be used, a worker does not see the directory, or an extra is missing.
        AuthenticationError: the credentials were refused.
        RoomRecError: the cluster dropped a shard.
        OSError: a file cannot be written.
    """
    _check_rooms(settings, room_sids, options)
    _check_cluster(cluster)
    check_formats(["parquet"])
    place = _path(directory)
    await from_thread(partial(_prepare_export, place))
    progress, parts = progress or ExportProgress(), _Parts()
    async with _shared(place) as token:
        exported = _Job(cluster, settings, "export").run(room_sids, partial(_export_shard, place, token, options))
        try:
            async with aclosing(exported):
                async for shard, outcome in exported:
                    parts.add(shard, outcome if isinstance(outcome, _Part) else _Part(_each(shard, outcome)))
                    _tell_export(progress, parts)
        finally:
            await from_thread(partial(_remove_leftovers, place))
    return ExportReport(
        str(place), parts.files, parts.bytes, parts.rooms, parts.recordings, parts.failures, parts.failed
    )


async def archive_on(
    cluster: Client,
    room_sids: RoomSids,
    destination: str | os.PathLike[str] | Destination,
    *,
    settings: ClusterSettings,
    delete: bool = False,
    decryption: Callable[[], Decryption] | None = None,
    ledgers: str | os.PathLike[str] | None = None,
    manifest: Collection[TableFormat] = ("jsonl", "parquet"),
    downloads: int = 8,
    progress: ArchiveProgress | None = None,
) -> ArchiveReport:
    """Archive all completed recordings of rooms: :meth:`roomrec_async.RecordingsClient.archive`, shard by shard.

    Each shard has a ledger of its own. Run it again with the same rooms, in the same order, and the same
    ``rooms_per_shard``, and it goes on where it was; otherwise recordings may be copied and listed a second time, but
    none is lost.

    Args:
        cluster: a client of the cluster, with ``asynchronous=True``.
        room_sids: any iterable or async iterable; each room once.
        destination: a directory that all workers and the caller see under this name, or a store that can be pickled,
            such as :class:`roomrec_async.integrations.stores.ObjectStore` for a bucket.
        settings: who calls, and how the quota is divided.
        delete: whether recordings are deleted at the source, each when its copy is verified and safe.
        decryption: is called for each shard, where it runs, for what encrypted media are decrypted with, such as
            ``partial(PrivateKey.from_file, "/shared/key.pem")``: private keys do not travel.
        ledgers: the directory of the ledgers, ``000000.sqlite3`` and so on, which all workers and the caller see; by
            default ``ledgers`` in the directory. It must be given with a store.
        manifest: the formats of the list of all that is in these ledgers, which is written at the end.
        downloads: how many media each shard copies at once.
        progress: is kept up to date, to be looked at meanwhile; it moves by whole shards, and counts what earlier runs
            have archived of these, too.

    Returns:
        What the archive holds of these rooms. What failed is in its ``failures``, and tried again by the next run.

    Raises:
        InvalidArgumentError: an argument is outside its bounds.
        ConfigurationError: the cluster or a ledger cannot be used, a worker does not see the directory, or an extra is
            missing.
        AuthenticationError: the credentials were refused.
        RoomRecError: the cluster dropped a shard.
        OSError: a disk is full, or cannot be written.
    """
    room_sids_checked(room_sids)
    _check_cluster(cluster)
    check_formats(manifest)
    _check_pickles(destination, decryption)
    place, books = _archive_places(destination, ledgers)
    await from_thread(partial(books.mkdir, parents=True, exist_ok=True))
    progress, reports = progress or ArchiveProgress(), _Reports()
    async with _shared(books) as token:
        copying = _ShardArchive(token, place, books, delete, decryption, downloads)
        archived = _Job(cluster, settings, "archive").run(room_sids, copying.run)
        async with aclosing(archived):
            async for shard, outcome in archived:
                reports.add(shard, outcome)
                reports.tell(progress)
    progress.listing = False
    # The manifest wants the entries of one ledger after another, and nothing else of a ledger.
    written = await write_manifest(cast("Ledger", _Ledgers(books, _ledger_place(place))), place, manifest)
    return reports.report(written)


@asynccontextmanager
async def local_cluster(workers: int | None = None) -> AsyncGenerator[Client, None]:
    """A cluster on this machine for the time of an ``async with`` block: processes of one thread each.

    It listens on the loopback interface only, its dashboard (``client.dashboard_link``, with bokeh installed) on a free
    port, and it is gone at the end. As with all that starts processes anew, a script that uses it does its work under
    ``if __name__ == "__main__":``.

    Args:
        workers: how many processes; by default one for each CPU.

    Raises:
        ConfigurationError: the number is not positive.
    """
    count = (os.cpu_count() or 1) if workers is None else workers
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigurationError(f"workers must be an integer from 1, not {shown(workers)}")
    async with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host=_LOCAL,
            dashboard_address=f"{_LOCAL}:0",
            asynchronous=True,
        ) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        await client.register_plugin(_Undisturbed())
        yield client


class _Undisturbed(WorkerPlugin):
    """The processes of a local cluster begin and end with the block that they are for, and with nothing else."""

    def setup(self, worker: Worker) -> None:  # noqa: ARG002  the plugin's signature
        """A worker begins. Ctrl-C in a terminal reaches all processes: these leave it to the one that ends them."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002  the plugin's signature
        """A worker ends. It drops its connections, and would report a heartbeat that was on one of them as an error."""
        logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


@attrs.frozen
class _Shard:
    """Some of the rooms.

    Attributes:
        number: its place, from 0, in the order of the rooms.
        room_sids: its rooms.
    """

    number: int
    room_sids: tuple[str, ...]


_Work: TypeAlias = Callable[[RecordingsClient, _Shard], Awaitable[_Result]]
"""What is done with a shard, on a worker. It is pickled, and may be done again."""


class _Job:
    """One job on the cluster, from the caller's side."""

    def __init__(self, cluster: Client, settings: ClusterSettings, name: str) -> None:
        self._cluster = cluster
        self._settings = settings
        # Two jobs with the same keys would be one to the cluster. The dashboard groups by what is before the digits.
        self._prefix = f"roomrec-{name}-{uuid4().hex[:8]}"
        self._cancelled = False

    async def run(
        self, room_sids: RoomSids, work: _Work[_Result]
    ) -> AsyncGenerator[tuple[_Shard, _Result | RoomRecError], None]:
        """The shards with what they gave, as they finish; an error where the workers died over one of them."""
        await _check_versions(self._cluster)
        slot = await self._slot()

        async def produce(shard: _Shard) -> AsyncGenerator[tuple[_Shard, _Result | RoomRecError], None]:
            yield shard, await self._outcome(slot, work, shard)

        shards = _shards(room_sids, self._settings.rooms_per_shard)
        try:
            async with aclosing(Flow(shards, produce, lambda: slot.slots + _AHEAD).items()) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        finally:
            if self._cancelled and self._cluster.status == "running":
                # The scheduler forgets at once what it cancels. The workers are still at it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ENDS_WITHIN):
                        await self._cluster.run(_ended, self._prefix, on_error="ignore")

    async def _slot(self) -> _Slot:
        """The semaphore that all jobs of the account share, made known to the cluster."""
        slots = self._settings.slots or await self._threads()
        slot = _Slot(self._settings, slots, dask.config.get(_LEASE_TIMEOUT))
        semaphore = Semaphore(slots, slot.name, self._cluster.scheduler, self._cluster.loop)
        try:
            await semaphore
        except ValueError as error:
            raise ConfigurationError(
                f"jobs of one account must name the same number of slots, here {slots}; a job on this cluster, which "
                f"may be over, has named another: {error}"
            ) from None
        return slot

    async def _threads(self) -> int:
        threads = sum(cast("dict[str, int]", await self._cluster.nthreads()).values())
        if not threads:
            raise ConfigurationError("the cluster has no workers yet: wait for them, or name the number of slots")
        return min(threads, self._settings.most_slots)

    async def _outcome(self, slot: _Slot, work: _Work[_Result], shard: _Shard) -> _Result | RoomRecError:
        key = f"{self._prefix}-{shard.number:06d}"
        future = self._cluster.submit(_run_shard, slot, work, shard, key, key=key, pure=False, retries=_RETRIES)
        try:
            outcome = await future
        except KilledWorker:
            return RoomRecError("worker after worker died over this room's shard: look into the logs of the workers")
        except FutureCancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # A CancelledError would end this job quietly, without these rooms.
            raise RoomRecError(f"the cluster has dropped {key}: {error.reason}") from None
        finally:
            await self._let_go(future)
        if isinstance(outcome, (RoomRecError, OSError)):
            raise outcome
        return cast("_Result", outcome)

    async def _let_go(self, future: Future[_Result]) -> None:
        if not future.done() and self._cluster.status == "running":
            self._cancelled = True
            await self._cluster.cancel([future], reason="the job is over")
        future.release()


@attrs.frozen
class _Slot:
    """A part of the account's quota, from the side of a shard that waits for it.

    Attributes:
        settings: what is divided.
        slots: into how many parts.
        lease_timeout: after how long the scheduler takes a slot back from a worker that is silent. It is the
            caller's, so that no worker has another opinion on how often to speak.
    """

    settings: ClusterSettings
    slots: int
    lease_timeout: str

    @property
    def name(self) -> str:
        """The name of the semaphore."""
        return f"roomrec-{self.settings.credentials.account_sid}"

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[RecordingsClient, None]:
        """A client, as soon as there is a slot for it."""
        with dask.config.set({_LEASE_TIMEOUT: self.lease_timeout}):
            semaphore = Semaphore(self.slots, self.name)
        last = _LastRequest()
        await _acquire(semaphore)
        try:
            async with self.settings.client(self.slots, last) as client:
                yield client
        finally:
            # Cancelled or not: whoever has the slot next may use a whole second's part at once.
            try:
                await asyncio.sleep(last.seconds_to_cool())
            finally:
                await semaphore.release()


async def _acquire(semaphore: Semaphore) -> None:
    """Wait for a slot. Whoever is cancelled meanwhile leaves none behind that nobody has."""
    acquired = False
    while not acquired:
        asking = asyncio.ensure_future(semaphore.acquire(timeout=_ASK_FOR_SLOT))
        try:
            await over(asking)
        except asyncio.CancelledError:
            if not asking.cancelled() and asking.exception() is None and asking.result():
                await semaphore.release()
            raise
        acquired = asking.result()


class _LastRequest:
    """An observer that knows when the last request was sent."""

    def __init__(self) -> None:
        self._sent_at = -math.inf

    def started(self, activity: Activity) -> None:
        """Something begins."""
        if isinstance(activity, Attempt):
            self._sent_at = monotonic()

    def ended(self, activity: Activity) -> None:
        """Something is over."""

    def seconds_to_cool(self) -> float:
        """How long until it no longer counts."""
        return max(0.0, self._sent_at + _SLOT_COOLS - monotonic())


class _Stopper(WorkerPlugin):
    """Stops shards that the cluster wants no longer: a coroutine that runs on a worker is not stopped otherwise."""

    def __init__(self) -> None:
        self._running: dict[Key, asyncio.Task[object]] = {}

    @classmethod
    async def of(cls, worker: Worker) -> _Stopper:
        """The one of this worker."""
        if _STOPPER not in worker.plugins:
            await worker.plugin_add(plugin=cls(), name=_STOPPER)
        return cast("_Stopper", worker.plugins[_STOPPER])

    def transition(self, key: Key, start: str, finish: str, **_: object) -> None:
        """A task on this worker goes from a state to another one."""
        if start == "executing" and finish == "released" and key in self._running:
            self._running[key].cancel()

    @contextmanager
    def over(self, worker: Worker, key: str) -> Iterator[None]:
        """Whoever runs this ``with`` block is cancelled when the cluster no longer wants this key."""
        running, known = asyncio.current_task(), worker.state.tasks.get(key)
        if running is None or known is None or known.state != "executing":
            raise asyncio.CancelledError
        self._running[key] = running
        try:
            yield
        finally:
            del self._running[key]

    async def ended(self, prefix: str) -> None:
        """Wait for the end of all whose keys begin so."""
        running = [task for key, task in self._running.items() if str(key).startswith(prefix)]
        if running:
            await asyncio.wait(running)


async def _ended(prefix: str, dask_worker: Worker) -> None:
    """Wait until nothing of a job that was cancelled runs on this worker; Dask knows the second argument's name."""
    await (await _Stopper.of(dask_worker)).ended(prefix)


async def _run_shard(slot: _Slot, work: _Work[_Result], shard: _Shard, key: str) -> _Result | RoomRecError | OSError:
    """The task: what the work gives, or why it cannot be done, which is no reason to try it again."""
    worker = get_worker()
    stopper = await _Stopper.of(worker)
    with stopper.over(worker, key):
        try:
            async with slot.client() as client:
                return await work(client, shard)
        except (RoomRecError, OSError) as error:
            return error


async def _shards(room_sids: RoomSids, size: int) -> AsyncGenerator[_Shard, None]:
    number, held = 0, list[str]()
    async with aclosing(pulled(room_sids)) as each:
        async for room_sid in each:
            held.append(room_sid)
            if len(held) == size:
                yield _Shard(number, tuple(held))
                number, held = number + 1, []
    if held:
        yield _Shard(number, tuple(held))


async def _as_completed(job: _Job, room_sids: RoomSids, options: RoomOptions) -> AsyncGenerator[RoomResult, None]:
    async with aclosing(job.run(room_sids, partial(_list_shard, options))) as listed:
        async for shard, outcome in listed:
            if isinstance(outcome, RoomRecError):
                for room_sid in shard.room_sids:
                    yield RoomResult(room_sid, [], outcome)
            else:
                # One by one, as they are wanted: a shard at once would hold up the event loop.
                for each in outcome:
                    room_sid, packed, error = pickle.loads(each)  # noqa: S301  from our own workers
                    yield RoomResult(room_sid, unpack(packed), error)


async def _list_shard(options: RoomOptions, client: RecordingsClient, shard: _Shard) -> list[bytes]:
    # Packed at once: it needs a fourth of the memory, and whatever passes it on does not look into it.
    results = client.as_completed(shard.room_sids, **options)
    async with aclosing(results):
        return [_packed(result) async for result in results]


def _packed(result: RoomResult) -> bytes:
    return pickle.dumps((result.room_sid, pack(result.recordings), result.error), pickle.HIGHEST_PROTOCOL)


@attrs.frozen
class _Part:
    """What a shard has exported."""

    failures: dict[str, RoomRecError]
    recordings: int = 0
    bytes: int = 0
    files: int = 0


async def _export_shard(
    directory: Path, token: str, options: RoomOptions, client: RecordingsClient, shard: _Shard
) -> _Part:
    check_formats(["parquet"])
    await _check_seen(directory, token)
    name, count, failures = f"part-{shard.number:06d}.parquet", 0, dict[str, RoomRecError]()

    def failed(result: RoomResult) -> None:
        if isinstance(result.error, AuthenticationError):
            raise result.error
        if result.error is not None:
            failures[result.room_sid] = result.error

    # A worker that was taken for dead may still write. Each writes its own, and the last one whole is the same.
    own = directory / f".{name}.{uuid4().hex[:8]}"
    with open_table(own, recording_columns(), "parquet") as table:
        rows: list[Recording] = []
        recordings = client.stream(shard.room_sids, on_error=failed, **options)
        async with aclosing(recordings):
            async for recording in recordings:
                rows.append(recording)
                if len(rows) >= _ROWS_AT_ONCE:
                    count += len(rows)
                    await from_thread(partial(table.write, [to_dict(row) for row in rows]))
                    rows.clear()
        count += len(rows)
        await from_thread(partial(table.write, [to_dict(row) for row in rows]))
    size = own.stat().st_size
    own.replace(directory / name)
    return _Part(failures, count, size, 1)


@attrs.define
class _Parts:
    """What all shards have exported."""

    files: int = 0
    bytes: int = 0
    rooms: int = 0
    recordings: int = 0
    failed: int = 0
    failures: dict[str, RoomRecError] = attrs.field(factory=dict)

    def add(self, shard: _Shard, part: _Part) -> None:
        """One more."""
        self.files += part.files
        self.bytes += part.bytes
        self.rooms += len(shard.room_sids)
        self.recordings += part.recordings
        self.failed += len(part.failures)
        _keep_some(self.failures, part.failures)


def _tell_export(progress: ExportProgress, parts: _Parts) -> None:
    progress.shards, progress.rooms = parts.files, parts.rooms
    progress.recordings, progress.failed = parts.recordings, parts.failed


@attrs.frozen
class _ShardArchive:
    """How a shard is archived, on its worker."""

    token: str
    destination: Path | Destination
    ledgers: Path
    delete: bool
    decryption: Callable[[], Decryption] | None
    downloads: int

    async def run(self, client: RecordingsClient, shard: _Shard) -> ArchiveReport:
        """Archive it."""
        await _check_seen(self.ledgers, self.token)
        return await client.archive(
            shard.room_sids,
            self.destination,
            delete=self.delete,
            decryption=None if self.decryption is None else await from_thread(self.decryption),
            ledger=self.ledgers / f"{shard.number:06d}.sqlite3",
            manifest=(),
            downloads=self.downloads,
        )


@attrs.define
class _Reports:
    """What all shards have archived."""

    archived: int = 0
    bytes: int = 0
    deleted: int = 0
    external: int = 0
    failed: int = 0
    failures: dict[str, str] = attrs.field(factory=dict)

    def add(self, shard: _Shard, report: ArchiveReport | RoomRecError) -> None:
        """One more."""
        if isinstance(report, RoomRecError):
            self.failed += len(shard.room_sids)
            _keep_some(self.failures, {sid: str(error) for sid, error in _each(shard, report).items()})
            return
        self.archived += report.archived
        self.bytes += report.bytes
        self.deleted += report.deleted
        self.external += report.external
        self.failed += report.failed
        _keep_some(self.failures, report.failures)

    def tell(self, progress: ArchiveProgress) -> None:
        """Put it into the progress."""
        progress.found = self.archived + self.external + self.failed
        progress.archived, progress.deleted, progress.failed = self.archived, self.deleted, self.failed
        progress.bytes = progress.expected_bytes = self.bytes

    def report(self, manifest: tuple[str, ...]) -> ArchiveReport:
        """All of it."""
        return ArchiveReport(
            self.archived, self.bytes, self.deleted, self.external, self.failures, self.failed, manifest
        )


class _Ledgers:
    """The ledgers of all shards, as if they were one."""

    def __init__(self, directory: Path, destination: str) -> None:
        self._directory = directory
        self._destination = destination

    async def entries(self) -> AsyncGenerator[list[Entry], None]:
        """All recordings, some at a time."""
        for path in await from_thread(lambda: sorted(self._directory.glob("*.sqlite3"))):
            async with Ledger(path, self._destination) as ledger, aclosing(ledger.entries()) as entries:
                async for some in entries:
                    yield some


def _check_rooms(settings: ClusterSettings, room_sids: RoomSids, options: RoomOptions) -> None:
    """Refuse here what every shard would refuse. This sends nothing."""
    settings.client(1).as_completed(room_sids, **options)


def _check_cluster(cluster: Client) -> None:
    if not isinstance(cluster, Client) or not cluster.asynchronous:
        raise ConfigurationError(
            "cluster must be a Dask client for this event loop: await distributed.Client(address, asynchronous=True)"
        )


async def _check_versions(cluster: Client) -> None:
    """The functions of this module travel by their names."""
    found = await cast("Awaitable[VersionsDict]", cluster.get_versions(packages=[_PACKAGE]))
    here, there = _version(found["client"]), {"the scheduler": found["scheduler"]}
    there |= {f"the worker {address}": versions for address, versions in found["workers"].items()}
    for where, versions in there.items():
        if _version(versions) != here:
            raise ConfigurationError(
                f"{where} has {_version(versions)}, and this program has {here}: install the same version everywhere"
            )


def _version(versions: Mapping[str, Mapping[str, str | None]]) -> str:
    version = versions["packages"].get(_PACKAGE)
    return f"{_PACKAGE} {version}" if version else f"no {_PACKAGE}"


def _check_pickles(destination: object, decryption: object) -> None:
    for name, each in (("destination", destination), ("decryption", decryption)):
        try:
            pickle.dumps(each)
        except Exception as error:  # noqa: BLE001  they raise whatever they like
            raise ConfigurationError(f"{name} cannot be sent to the workers: {error}") from None


def _archive_places(
    destination: str | os.PathLike[str] | Destination, ledgers: str | os.PathLike[str] | None
) -> tuple[Path | Destination, Path]:
    if isinstance(destination, (str, os.PathLike)):
        place = _path(destination)
        return place, _path(ledgers) if ledgers is not None else place / "ledgers"
    if ledgers is None:
        raise ConfigurationError("an archive in a store needs a directory for its ledgers, which all workers see")
    return destination, _path(ledgers)


def _path(place: str | os.PathLike[str]) -> Path:
    # The workers' own directory is another one.
    return Path(place).absolute()


def _ledger_place(destination: Path | Destination) -> str:
    return str(destination.resolve()) if isinstance(destination, Path) else destination.location("")


@asynccontextmanager
async def _shared(directory: Path) -> AsyncGenerator[str, None]:
    """A file in a directory, by which workers know that they see the same one."""
    token = f".roomrec-{uuid4().hex}"
    await from_thread((directory / token).touch)
    try:
        yield token
    finally:
        await from_thread(partial((directory / token).unlink, missing_ok=True))


async def _check_seen(directory: Path, token: str) -> None:
    if not await from_thread((directory / token).exists):
        where = get_worker().address
        raise ConfigurationError(f"worker {where} does not see {directory}: it must be a directory that all share")


def _prepare_export(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("part-*.parquet")):
        raise InvalidArgumentError(
            f"{directory} holds part-*.parquet of an earlier export: remove them, or name another directory"
        )


def _remove_leftovers(directory: Path) -> None:
    """What workers that died have left."""
    for path in directory.glob(".part-*.parquet.*"):
        path.unlink(missing_ok=True)


def _each(shard: _Shard, error: RoomRecError) -> dict[str, RoomRecError]:
    return dict.fromkeys(shard.room_sids, error)


def _keep_some(kept: dict[str, _Result], more: Mapping[str, _Result]) -> None:
    for sid, reason in more.items():
        if len(kept) >= _FAILURES_TOLD:
            return
        kept[sid] = reason
