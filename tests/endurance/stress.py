"""Run random operations under faults, cancellations, closings and limits: each ends in exact data or in one error.

``python -m tests.endurance.stress [MINUTES] [SEED]`` prints what happened, and fails at the first thing that must not:
wrong data, an error of another library, an end that comes too late, a task, a permit or a connection that is left
behind, a ResourceWarning, or a call of the event loop's exception handler. A round is repeated by its seed.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from roomrec_async import RateLimiter, RecordingsClient, RetryPolicy, RoomRecError, Timeout
from roomrec_async.simulator import Simulator, faults

ROOMS = 12
OPERATIONS = 25
TOTAL = 6.0
# What an operation may take longer than its deadline, on a machine that is busy.
GRACE = 4.0
FAULTS: list[Callable[[random.Random], faults.Fault]] = [
    lambda rng: faults.Reset(),
    lambda rng: faults.ResetMidBody(after=rng.randrange(2000)),
    lambda rng: faults.Truncate(after=rng.randrange(2000)),
    lambda rng: faults.StallHeaders(rng.choice([0.01, 0.3, 3])),
    lambda rng: faults.StallBody(after=rng.randrange(500), seconds=rng.choice([0.01, 3])),
    lambda rng: faults.CloseConnection(),
    lambda rng: faults.Respond(429, headers={"Retry-After": rng.choice(["0", "0.1", "60"])}),
    lambda rng: faults.Respond(rng.choice([500, 502, 503, 504])),
    lambda rng: faults.Respond(200, b""),
    lambda rng: faults.Respond(200, b"<html>"),
    lambda rng: faults.Replace(lambda body: body[: len(body) // 2]),
]


@attrs.define
class Round:
    """One client and its operations.

    Attributes:
        rng: decides everything.
        simulator: the service, whose data are the truth.
        outcomes: how operations ended.
        problems: what must not happen, and did.
    """

    rng: random.Random
    simulator: Simulator
    outcomes: Counter[str] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)

    def truth(self, room_sid: str) -> list[object]:
        return [record["sid"] for record in self.simulator.recordings(room_sid)]

    async def list_room(self, client: RecordingsClient, _: Path) -> None:
        room_sid = self.rng.choice(self.simulator.room_sids)
        listing = client.recordings(
            room_sid, page_size=self.rng.choice([3, 20, None]), prefetch=self.rng.random() < 0.5, timeout=TOTAL
        )
        assert [recording.sid for recording in await listing.to_list()] == self.truth(room_sid)

    async def iterate(self, client: RecordingsClient, _: Path) -> None:
        room_sid = self.rng.choice(self.simulator.room_sids)
        records = aiter(client.recordings(room_sid, page_size=10, timeout=TOTAL / 4))
        stop = self.rng.randrange(60)
        seen: list[object] = []
        async with aclosing(records):
            async for recording in records:
                seen.append(recording.sid)
                if len(seen) == stop:
                    break
        assert seen == self.truth(room_sid)[: stop or None]

    async def gather(self, client: RecordingsClient, _: Path) -> None:
        rooms = self.rng.sample(list(self.simulator.room_sids), 6)
        found = await client.gather(rooms, return_exceptions=True, timeout=TOTAL)
        assert list(found) == rooms
        for room_sid, recordings in found.items():
            if not isinstance(recordings, RoomRecError):
                assert [recording.sid for recording in recordings] == self.truth(room_sid)

    async def as_completed(self, client: RecordingsClient, _: Path) -> None:
        rooms = self.rng.sample(list(self.simulator.room_sids), 6)
        stop = self.rng.randrange(1, 8)
        async with aclosing(client.as_completed(rooms, timeout=TOTAL)) as results:
            async for result in results:
                if result.error is None:
                    assert [recording.sid for recording in result.recordings] == self.truth(result.room_sid)
                stop -= 1
                if not stop:
                    break

    async def download(self, client: RecordingsClient, directory: Path) -> None:
        room_sid = self.rng.choice(self.simulator.room_sids)
        for recording in await client.recordings(room_sid, status="completed", limit=2, timeout=TOTAL / 4).to_list():
            if recording.media_external_location is None and recording.encryption_key is None:
                # A folder of its own: two downloads of one file refuse each other, as they should.
                target = directory / str(self.rng.random())
                copy = await client.download(recording, f"{target}/", timeout=TOTAL / 4)
                content = Path(copy.location).read_bytes()
                assert content == b"".join(self.simulator.media(str(recording.sid)))

    async def run_one(self, client: RecordingsClient, directory: Path) -> None:
        operation: Callable[[RecordingsClient, Path], Awaitable[None]] = self.rng.choice(
            [self.list_room, self.iterate, self.gather, self.as_completed, self.download]
        )
        task = asyncio.ensure_future(operation(client, directory))
        cancelled = self.rng.random() < 0.2
        if cancelled:
            asyncio.get_running_loop().call_later(self.rng.random(), task.cancel)
        begun = time.monotonic()
        # An iteration has a deadline for each page; nothing here has more than a dozen.
        done, _ = await asyncio.wait([task], timeout=4 * TOTAL + GRACE)
        if not done:
            self.problems.append(f"{operation.__name__} has not ended after {time.monotonic() - begun:.1f} s")
            task.cancel()
            await asyncio.wait([task], timeout=5)
            return
        self.judge(operation.__name__, task, cancelled=cancelled)

    def judge(self, name: str, task: asyncio.Future[None], *, cancelled: bool) -> None:
        if task.cancelled():
            self.outcomes["cancelled"] += 1
            if not cancelled:
                self.problems.append(f"{name} ended cancelled, and nobody cancelled it")
            return
        error = task.exception()
        self.outcomes[type(error).__name__ if error else "exact"] += 1
        if error is not None and not isinstance(error, RoomRecError):
            self.problems.append(f"{name} ended with {error!r}")

    async def inject(self) -> None:
        while True:
            for origin in (self.simulator, self.simulator.store):
                if self.rng.random() < 0.5:
                    origin.inject(self.rng.choice(FAULTS)(self.rng))
            await asyncio.sleep(self.rng.random() * 0.05)

    async def run(self) -> None:
        limiter = RateLimiter(self.rng.choice(["auto", None, 1, 5]), self.rng.choice([None, 200]), None)
        session = aiohttp.ClientSession() if self.rng.random() < 0.3 else None
        client = RecordingsClient(
            self.simulator.credentials,
            base_url=self.simulator.base_url,
            limiter=limiter,
            session=session,
            retry=RetryPolicy(base_delay=0.01, max_retry_after=self.rng.choice([0.2, 30.0])),
            timeout=Timeout(total=TOTAL, connect=1, read=self.rng.choice([0.2, 1.0])),
        )
        injecting = asyncio.ensure_future(self.inject())
        with tempfile.TemporaryDirectory() as directory:
            operations = [asyncio.ensure_future(self.run_one(client, Path(directory))) for _ in range(OPERATIONS)]
            if self.rng.random() < 0.4:
                # Closed under all of them.
                await asyncio.wait(operations, timeout=self.rng.random())
                await client.aclose()
            await asyncio.gather(*operations)
            await client.aclose()
        injecting.cancel()
        await asyncio.wait([injecting])
        if session is not None:
            await session.close()
        if limiter.in_flight or limiter.waiting:
            self.problems.append(f"{limiter.in_flight} permits are held and {limiter.waiting} requests wait")


async def run_round(seed: int) -> Round:
    """Run one round, and look for what it left behind."""
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    before = asyncio.all_tasks()
    rng = random.Random(seed)
    async with Simulator(
        ROOMS, (0, 60), media_size=(0, 200_000), reads_per_second=None, concurrency_limit=rng.choice([None, 4])
    ) as simulator:
        running = Round(rng, simulator)
        await running.run()
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)
    if left := asyncio.all_tasks() - before:
        running.problems.append(f"tasks are left behind: {left}")
    running.problems += [f"the event loop reported {context}" for context in reported]
    return running


def main(minutes: float, first_seed: int | None) -> None:
    """Run rounds, with lazy and with eager tasks, until the time is up or something is wrong."""
    unraisable: list[str] = []
    sys.unraisablehook = lambda hook: unraisable.append(f"{hook.exc_value!r} in {hook.object!r}")
    warnings.simplefilter("error", ResourceWarning)
    until = time.monotonic() + minutes * 60
    outcomes: Counter[str] = Counter()
    seed = random.SystemRandom().randrange(10**6) if first_seed is None else first_seed
    rounds = 0
    while time.monotonic() < until:
        with asyncio.Runner() as runner:
            if seed % 2 and sys.version_info >= (3, 12):
                runner.get_loop().set_task_factory(asyncio.eager_task_factory)
            running = runner.run(run_round(seed))
        gc.collect()
        outcomes += running.outcomes
        problems = running.problems + unraisable
        if problems:
            print(*problems, sep="\n")
            sys.exit(f"seed {seed}: {len(problems)} things that must not happen")
        seed += 1
        rounds += 1
    if not outcomes["exact"]:
        sys.exit("no operation has succeeded")
    print(f"{rounds} rounds, {outcomes.total()} operations:", dict(outcomes.most_common()))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(float(arguments[0]) if arguments else 3.0, int(arguments[1]) if len(arguments) > 1 else None)
