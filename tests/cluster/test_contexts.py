"""Secrets: the scheduler has none, in what it holds and in what it logs, and the logs of the workers have none."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
from distributed import Client, Scheduler, Worker

from roomrec_async import ConfigurationError, Credentials
from roomrec_async.integrations.dask import WorkerCredentials, as_completed_on, contexts, export_on, jobs
from roomrec_async.integrations.dask.contexts import JobContext, Sealed, seal, send_context
from roomrec_async.integrations.dask.slots import SlotPool
from roomrec_async.integrations.dask.stopping import Stopper
from roomrec_async.simulator import Simulator

from ..integration.conftest import S3Server, s3
from .conftest import assert_each_once, collect, settings
from .processes import Commands

__all__ = ["s3"]

# Many start processes, which takes long where others do as well.
pytestmark = pytest.mark.timeout(300)

_ENVIRONMENT = {"DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": "2s"}


async def found_in_scheduler(cluster: Client, *secrets: str) -> list[str]:
    """Return a description of each text and each run of bytes that the scheduler holds, anywhere, with a secret."""

    def search(patterns: list[str], dask_scheduler: Scheduler) -> list[str]:
        found, seen, queue = [], set(), [dask_scheduler, *gc.get_objects()]
        texts, data = ([re.compile(encode(each)) for each in patterns] for encode in (str, str.encode))
        while queue:
            value = queue.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            expressions = texts if isinstance(value, str) else data
            if isinstance(value, (str, bytes, bytearray)):
                found += [f"{type(value)} {value[:80]!r}" for each in expressions if each.search(value)]
            elif isinstance(value, memoryview):
                found += [f"memoryview {bytes(value)[:80]!r}" for each in data if each.search(bytes(value))]
            else:
                queue += gc.get_referents(value)
        return found

    # In classes of one character, so that the search does not find itself.
    patterns = ["".join(f"[{character}]" for character in secret) for secret in secrets]
    return list(await cluster.run_on_scheduler(search, patterns))


async def not_in_scheduler(cluster: Client, *secrets: str) -> None:
    """Wait until the scheduler holds no secret: a message may be on its way through it."""
    async with asyncio.timeout(60):
        while await found_in_scheduler(cluster, *secrets):
            await asyncio.sleep(0.1)


async def used_by_both_workers(cluster: Client) -> None:
    """Wait until there are two workers, and both have the context of a job."""

    def contexts(dask_worker: Worker) -> int:
        stopper = dask_worker.plugins.get("roomrec-stopper")
        return 0 if stopper is None else len(stopper.contexts)

    async with asyncio.timeout(120):
        while list((await cluster.run(contexts, on_error="ignore")).values()) != [1, 1]:
            await asyncio.sleep(0.1)


async def test_no_secret_is_in_the_scheduler_or_in_a_log(tmp_path: Path) -> None:
    commands = Commands(tmp_path, _ENVIRONMENT)
    with ExitStack() as processes:
        processes.enter_context(commands.scheduler())
        first = processes.enter_context(commands.worker("first"))
        async with (
            Simulator(12, 1, concurrency_limit=None) as simulator,
            Client(scheduler_file=str(commands.file), asynchronous=True) as cluster,
        ):
            secrets = simulator.credentials.password, simulator.credentials.authorization.split()[1]
            # The search finds what is there.
            other_task = cluster.submit(len, "another-canary", key="other", pure=False)
            assert await other_task == len("another-canary")
            assert await found_in_scheduler(cluster, "another-canary")

            searched = asyncio.Event()

            async def rooms() -> AsyncIterator[str]:
                """Yield all rooms again and again, so that there are tasks until the search is over."""
                while not searched.is_set():
                    for room_sid in simulator.room_sids:
                        yield room_sid

            options = settings(simulator, rooms_per_shard=1)
            running = asyncio.create_task(collect(as_completed_on(cluster, rooms(), settings=options)))
            await cluster.wait_for_workers(1)
            async with asyncio.timeout(120):
                while not simulator.stats.requests:
                    await asyncio.sleep(0.1)
            await not_in_scheduler(cluster, *secrets)
            processes.enter_context(commands.worker("second"))
            await cluster.wait_for_workers(2)
            await used_by_both_workers(cluster)
            await not_in_scheduler(cluster, *secrets)
            # What ran on a worker that dies runs elsewhere, and is told to the one that joins then.
            first.kill()
            processes.enter_context(commands.worker("third"))
            await used_by_both_workers(cluster)
            await not_in_scheduler(cluster, *secrets)
            assert await cluster.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
            searched.set()
            results = await running
            assert {result.room_sid for result in results if result.error is None} == {*simulator.room_sids}
            assert await found_in_scheduler(cluster, *secrets) == []
            # Also not in the events that it keeps of workers and clients.
            events = str(await cluster.get_events())
            assert not any(secret in events for secret in secrets)
    for log in ("scheduler.log", "first.log", "second.log", "third.log"):
        text = (tmp_path / log).read_text()
        assert "INFO" in text
        assert not any(secret in text for secret in secrets)


async def test_no_secret_of_an_export_to_a_store_is_in_the_scheduler_or_in_a_log(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those of the caller nor those of a worker, nor the destination."""
    commands = Commands(tmp_path, _ENVIRONMENT)
    s3.bucket("canary-bucket")
    store = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    with ExitStack() as processes:
        processes.enter_context(commands.scheduler())
        workers = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "canary-of-the-worker"}
        processes.enter_context(commands.worker("worker", **store, **workers))
        # Only now, so that it is not in the environment of the scheduler.
        for name, value in {**store, **workers, "AWS_SECRET_ACCESS_KEY": "canary-of-the-caller"}.items():
            monkeypatch.setenv(name, value)
        async with (
            Simulator(4000, 1, reads_per_second=10, concurrency_limit=None) as simulator,
            Client(scheduler_file=str(commands.file), asynchronous=True) as cluster,
        ):
            options = settings(simulator, rooms_per_shard=2)
            exporting = asyncio.create_task(
                export_on(cluster, simulator.room_sids, "s3://canary-bucket/nightly", settings=options)
            )
            async with asyncio.timeout(120):
                while not any("part-" in name for name in s3.objects("canary-bucket")):
                    await asyncio.sleep(0.1)
            secrets = (
                *(simulator.credentials.password, simulator.credentials.authorization.split()[1]),
                *("canary-of-the-worker", "canary-of-the-caller", "canary-bucket"),
            )
            await not_in_scheduler(cluster, *secrets)
            # The search finds what is there: the tasks under way.
            assert await found_in_scheduler(cluster, "roomrec-export-")
            assert not exporting.done()
            events = str(await cluster.get_events())
            assert not any(secret in events for secret in secrets)
            exporting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exporting
            assert await found_in_scheduler(cluster, *secrets) == []
    for log in ("scheduler.log", "worker.log"):
        text = (tmp_path / log).read_text()
        assert "INFO" in text
        assert not any(secret in text for secret in secrets[:4])


async def test_workers_that_joined_later_get_it_and_all_forget_it_at_the_end(cluster: Client) -> None:
    def contexts(dask_worker: Worker) -> list[str]:
        return list(dask_worker.plugins["roomrec-stopper"].contexts)

    async with Simulator(12, 1) as simulator:
        options = settings(simulator, rooms_per_shard=1)
        assert_each_once(await collect(as_completed_on(cluster, simulator.room_sids, settings=options)), simulator)
    assert list((await cluster.run(contexts)).values()) == [[], []]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_is_gone_before_it_was_told_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal_number: signal.Signals
) -> None:
    """Also if it was the last one: the shard waits for one that joins."""
    commands = Commands(tmp_path, _ENVIRONMENT)
    sent: list[bool] = []
    with ExitStack() as processes:
        processes.enter_context(commands.scheduler())
        victim = processes.enter_context(commands.worker("victim"))

        async def send_after_the_signal(*arguments: Any) -> bool:
            if not sent:
                victim.send_signal(signal_number)
            sent.append(await send_context(*arguments))
            if len(sent) == 1:
                processes.enter_context(commands.worker("other"))
                # One that was only stopped goes on, and gets the shard a second time.
                victim.send_signal(signal.SIGCONT)
            return sent[-1]

        monkeypatch.setattr(contexts, "_SEND_TIMEOUT", 3.0)
        monkeypatch.setattr(jobs, "send_context", send_after_the_signal)
        async with (
            Simulator(12, 1) as simulator,
            Client(scheduler_file=str(commands.file), asynchronous=True) as cluster,
        ):
            await cluster.wait_for_workers(1)
            options = settings(simulator, rooms_per_shard=12)
            assert_each_once(await collect(as_completed_on(cluster, simulator.room_sids, settings=options)), simulator)
    assert sent[0] is False


async def test_a_worker_that_nobody_can_reach_is_named(cluster: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_never_sent(*_: object) -> bool:
        return False

    monkeypatch.setattr(jobs, "send_context", is_never_sent)
    async with Simulator(1, 1) as simulator:
        results = await collect(as_completed_on(cluster, simulator.room_sids, settings=settings(simulator)))
        assert simulator.stats.requests == 0
    assert re.match("tcp://127.* and others do not answer the scheduler", str(results[0].error))


async def test_callers_that_were_killed_leave_few_contexts_behind() -> None:
    stopper = Stopper()
    for number in range(1000):
        stopper.keep_context(str(number), None)
    assert 1 < len(stopper.contexts) < 100
    assert "999" in stopper.contexts


class TestWorkerCredentials:
    """Workers that have the credentials themselves: nobody else has them."""

    async def test_they_are_sent_to_nobody(self, tmp_path: Path) -> None:
        commands = Commands(tmp_path, _ENVIRONMENT)
        with ExitStack() as processes:
            processes.enter_context(commands.scheduler())
            async with (
                Simulator(12, 1) as simulator,
                Client(scheduler_file=str(commands.file), asynchronous=True) as cluster,
            ):
                credentials = simulator.credentials
                variables = {"TWILIO_ACCOUNT_SID": credentials.account_sid, "TWILIO_AUTH_TOKEN": credentials.password}
                processes.enter_context(commands.worker("worker", **variables))
                options = attrs.evolve(settings(simulator), credentials=WorkerCredentials(credentials.account_sid))
                results = await collect(as_completed_on(cluster, simulator.room_sids, settings=options))
                assert_each_once(results, simulator)
                assert await found_in_scheduler(cluster, credentials.password) == []
                assert credentials.password.encode() not in seal(JobContext(SlotPool(options, 1, "30s"), collect)).data

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({}, "has no credentials that it can use: no credentials: set TWILIO_ACCOUNT_SID"),
            ({"TWILIO_ACCOUNT_SID": "AC"}, "has no credentials that it can use: the account SID must be"),
            ({"TWILIO_ACCOUNT_SID": "AC" + 32 * "0"}, "has credentials of AC0{32}, not of AC"),
        ],
    )
    async def test_a_worker_that_has_none_is_named(
        self, tmp_path: Path, variables: dict[str, str], message: str
    ) -> None:
        commands = Commands(tmp_path, _ENVIRONMENT)
        if variables:
            variables = {**variables, "TWILIO_AUTH_TOKEN": "secret"}
        with commands.scheduler(), commands.worker("worker", **variables):
            async with (
                Simulator(1, 1) as simulator,
                Client(scheduler_file=str(commands.file), asynchronous=True) as cluster,
            ):
                credentials = WorkerCredentials(simulator.credentials.account_sid)
                options = attrs.evolve(settings(simulator), credentials=credentials)
                with pytest.raises(ConfigurationError, match=f"the worker tcp://127.* {message}"):
                    await collect(as_completed_on(cluster, simulator.room_sids, settings=options))
                assert simulator.stats.requests == 0


async def test_what_a_worker_cannot_load_is_told_without_its_content(cluster: Client) -> None:
    worker = next(iter(await cluster.nthreads()))
    with pytest.raises(ConfigurationError, match=f"the worker {worker} cannot load what the job needs"):
        await send_context(cluster, "job", Sealed(b"canary-in-a-context"), worker)
    assert "canary-in-a-context" not in str([await cluster.get_worker_logs(), await cluster.get_scheduler_logs()])


async def test_a_context_shows_nothing() -> None:
    async with Simulator(1, 1) as simulator:
        options = settings(simulator)
        assert isinstance(options.credentials, Credentials)
        context = JobContext(SlotPool(options, 1, "30s"), collect)
        secret = simulator.credentials.password
    assert secret not in repr(context)
    assert repr(seal(context)) == "Sealed()"
