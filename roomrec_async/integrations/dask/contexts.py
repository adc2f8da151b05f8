"""What the shards of a job have in common, with its secrets: it is sent to the workers, and is in no task.

The scheduler holds the arguments of tasks for as long as there are tasks, and shows them. So a task says only which job
it belongs to. A worker that does not know the job yet, because it has joined later for instance, says so, and the
caller sends it the context: a message that the scheduler passes on and does not keep.
"""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Final, Generic

import attrs
from distributed import Client
from distributed.protocol.pickle import dumps

from roomrec_async.errors import ConfigurationError, RoomRecError

from .shards import Result, ShardFunction
from .slots import SlotPool
from .stopping import Stopper

if TYPE_CHECKING:
    from distributed import Worker

# Maximum number of seconds to send a context. A worker that was killed or stopped would keep the caller waiting until
# the scheduler counts it as dead, which takes minutes.
_SEND_TIMEOUT: Final = 10.0


@attrs.frozen(repr=False)
class JobContext(Generic[Result]):
    """What the shards of a job have in common.

    Attributes:
        pool: the slots, with the settings and so the credentials.
        function: called for each shard; it can hold the destination, which can have credentials of its own.
    """

    pool: SlotPool
    function: ShardFunction[Result]


@attrs.frozen
class Sealed:
    """A pickled context. Dask logs what it cannot unpickle, and the arguments of what fails: here it finds nothing."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class Unprepared:
    """The result of a shard whose worker does not have the context of its job.

    Attributes:
        worker: the address of the worker.
    """

    worker: str


def seal(context: JobContext[Result]) -> Sealed:
    """Return a context as it is sent."""
    return Sealed(dumps(context))


async def send_context(cluster: Client, job: str, sealed: Sealed, worker: str) -> bool:
    """Send the context of a job to a worker, and return True; return False if the worker is gone or does not answer.

    Raises:
        RoomRecError: the worker cannot use it.
    """
    try:
        async with asyncio.timeout(_SEND_TIMEOUT):
            answers = await cluster.run(receive_context, job, sealed, workers=[worker], on_error="return")
    except TimeoutError:
        return False
    answer = answers.get(worker)
    if isinstance(answer, RoomRecError):
        raise answer
    # What else is returned instead is an error of the connection.
    return answer is True


async def receive_context(job: str, sealed: Sealed, dask_worker: Worker) -> bool:
    """Keep the context of a job on this worker, and return True; Dask passes ``dask_worker`` by its name.

    Raises:
        ConfigurationError: it cannot be unpickled here.
    """
    stopper = await Stopper.of_worker(dask_worker)
    try:
        context = pickle.loads(sealed.data)  # noqa: S301  from our own caller
    except Exception as error:  # noqa: BLE001  objects may raise anything when they are unpickled
        message = f"the worker {dask_worker.address} cannot load what the job needs: {error}"
    else:
        stopper.keep_context(job, context)
        return True
    raise ConfigurationError(message)
