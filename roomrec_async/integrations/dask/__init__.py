"""List, export and archive the recordings of millions of rooms on a Dask cluster. Extra ``dask``.

    >>> async with distributed.Client("tls://scheduler:8786", asynchronous=True) as cluster:
    ...     settings = ClusterSettings(credentials=Credentials.from_env())
    ...     report = await export_on(cluster, room_sids, "s3://bucket/recordings", settings=settings)

Rooms are split into shards: of a list or an archive as they are pulled, of an export by their hash. A shard is one task
on the cluster: a coroutine in the event loop of its worker, with one client. If the worker dies, the shard runs again
on another one, and its result is delivered once. The scheduler and the workers need this package, in the same version.

**The quota is the account's, not the cluster's.** It is divided into slots. A shard waits for a slot, at a semaphore
that all jobs of this account share on the cluster, and sends no more than its slot's fraction of the rate. It keeps the
slot until its last request is more than a second old, so that the next shard can send a full second's requests at
once. The slot of a worker that died is free again after ``distributed.scheduler.locks.lease-timeout`` (30 seconds by
default; the callers of all jobs of one account must use the same), and nobody uses its fraction until then.

**Credentials are in no task**, which the scheduler would hold and show. When a worker has its first shard of a job,
the caller sends it what the job needs: the credentials, the URL of Redis, the destination. The scheduler passes that
message on and keeps nothing of it; it is in no name, representation or log line. The workers hold it in memory until
the job ends or, if the caller is killed, until they end themselves or have served some tens of other jobs. Where the
workers have the credentials in their own environment, ``credentials=WorkerCredentials(account_sid)`` sends none. An
export to the URL of a store sends none of the store's: each worker takes them from its own environment.

This does not protect against everything. Whoever can run code on the cluster can read the memory of its workers. Dask
sends messages unencrypted over ``tcp://``: between machines, use ``tls://``. With its loggers at level DEBUG, which is
not the default, Dask logs each message as a whole, credentials included. The SIDs of rooms and of the account are not
secret: the scheduler has them.

**Ten million rooms**, with the quota of 80 reads per second. More workers do not make it faster; they share the
decoding, the Parquet files and, above all, the bytes of an archive.

=====================================  =================================  ==================================
..                                     room by room (here)                the account's list (``via="account"``)
=====================================  =================================  ==================================
requests, 5 recordings per room        10,000,000                         500,000, at 100 recordings per page
time at 80 per second                  34.7 hours                         1.7 hours
requests, 50 recordings per room       10,000,000                         5,000,000
time at 80 per second                  34.7 hours                         17.4 hours
requests, 100 recordings per room      10,000,000                         10,000,000: the same
=====================================  =================================  ==================================

The account's list needs no cluster: ``client.archive(DateWindow(...), ...)`` and ``client.stream(..., via="account")``
read it in one process. Room by room is for what it cannot do: only some of the rooms that the account recorded in a
window of time, errors of single rooms, and archives that are more than one machine's network can carry.

In shards of 1,000 rooms, ten million rooms are 10,000 tasks of 50 seconds each with 4 slots (20 reads per second each),
of which the second that a slot is kept is 2%. A task carries 34 KB of SIDs. The caller holds the rooms and results of
the shards under way: six with 4 slots, which is 20 MB for 5 recordings of 0.7 KB per room. For an export, it has all
rooms in a temporary file. The Parquet files of a shard with 5,000 recordings have about 0.6 MB.
"""

from importlib import import_module

from roomrec_async.errors import ConfigurationError

try:
    import_module("distributed")
except ModuleNotFoundError as _error:
    raise ConfigurationError("a cluster needs distributed: pip install 'roomrec-async[dask]'") from _error

from .archiving import archive_on
from .exporting import export_on
from .listing import as_completed_on
from .local import local_cluster
from .settings import ClusterSettings, WorkerCredentials

__all__ = [
    "ClusterSettings",
    "WorkerCredentials",
    "archive_on",
    "as_completed_on",
    "export_on",
    "local_cluster",
]
