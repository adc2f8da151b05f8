"""The limiter under arbitrary arrivals, holds and cancellations: in its bounds, fair, and all given back in the end."""

from __future__ import annotations

import asyncio

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from roomrec_async import RateLimiter

EXAMPLES = settings(max_examples=150, deadline=None)


@attrs.frozen
class Arrival:
    """A request: when it comes, which lane, how long it holds its permit, and when it gives up, if it does."""

    at: float
    is_write: bool
    holds: float
    gives_up_after: float | None


@attrs.define
class Seen:
    """What happened."""

    started: list[tuple[float, bool]] = attrs.field(factory=list)
    order: dict[bool, list[int]] = attrs.field(factory=lambda: {False: [], True: []})
    in_flight: int = 0
    peak: int = 0


seconds = st.floats(0, 3).map(lambda value: round(value, 3))
arrivals = st.lists(
    st.builds(Arrival, seconds, st.booleans(), seconds.map(lambda value: value / 4), st.none() | seconds), max_size=40
)


async def run(limiter: RateLimiter, number: int, arrival: Arrival, seen: Seen) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(arrival.at)
    async with limiter.write() if arrival.is_write else limiter.read():
        seen.started.append((loop.time(), arrival.is_write))
        seen.order[arrival.is_write].append(number)
        seen.in_flight += 1
        seen.peak = max(seen.peak, seen.in_flight)
        try:
            await asyncio.sleep(arrival.holds)
        finally:
            seen.in_flight -= 1


async def give_up(task: asyncio.Task[None], arrival: Arrival) -> None:
    if arrival.gives_up_after is not None:
        await asyncio.sleep(arrival.at + arrival.gives_up_after)
        task.cancel()


@EXAMPLES
@given(arrivals, st.integers(1, 6), st.sampled_from([None, 0.5, 2, 7]), st.sampled_from([None, 1, 5]))
async def test_within_its_bounds_and_fair(
    requests: list[Arrival], bound: int, reads: float | None, writes: float | None
) -> None:
    limiter, seen = RateLimiter(bound, reads, writes), Seen()
    tasks = [asyncio.create_task(run(limiter, number, each, seen)) for number, each in enumerate(requests)]
    canceller = asyncio.gather(*(give_up(task, each) for task, each in zip(tasks, requests, strict=True)))
    # All that is asked for, at the slowest rate, one by one, and then some.
    patience = 10 + sum(each.holds for each in requests) + len(requests) / 0.5 * 1.1 + len(requests)
    async with asyncio.timeout(patience):
        await asyncio.gather(*tasks, return_exceptions=True)
        await canceller
    assert all(task.cancelled() or task.exception() is None for task in tasks)
    assert seen.peak <= bound
    assert limiter.in_flight == limiter.waiting == seen.in_flight == 0
    for is_write, rate in ((False, reads), (True, writes)):
        starts = [at for at, kind in seen.started if kind is is_write]
        if rate is not None:
            window, most = (1.0, int(rate)) if rate >= 1 else (1 / rate, 1)
            assert all(sum(at <= other < at + window for other in starts) <= most for at in starts)
        # First come, first served: whoever came earlier, and did not give up, has started earlier.
        came = sorted(seen.order[is_write], key=lambda number: (requests[number].at, number))
        assert [requests[number].at for number in seen.order[is_write]] == [requests[number].at for number in came]
    finished = [task for task, each in zip(tasks, requests, strict=True) if each.gives_up_after is None]
    assert not any(task.cancelled() for task in finished), "somebody was never served"
