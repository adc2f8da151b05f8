"""The bound that is found: against a service with a hidden one, on an event loop whose clock runs ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs
import pytest

from roomrec_async import RateLimiter
from roomrec_async._adaptive import AdaptiveConcurrency


@attrs.define
class Service:
    """Takes a second for a request, and refuses at once what is beyond its bound."""

    bound: int
    latency: float = 1.0
    in_flight: int = 0
    served: int = 0
    refused: int = 0

    async def answers(self) -> bool:
        if self.in_flight >= self.bound:
            self.refused += 1
            await asyncio.sleep(0.002)
            return False
        self.in_flight += 1
        await asyncio.sleep(self.latency)
        self.in_flight -= 1
        self.served += 1
        return True


async def ask(limiter: RateLimiter, service: Service) -> None:
    while True:
        async with limiter.read() as permit:
            answered = await service.answers()
            if answered:
                permit.accepted()
            else:
                permit.rate_limited()


async def used(limiters: Sequence[RateLimiter], service: Service, bounds: Sequence[int]) -> list[float]:
    """Each bound for 200 seconds: what part of it was used after it had settled."""
    tasks = [asyncio.create_task(ask(limiter, service)) for limiter in limiters for _ in range(300)]
    measured = []
    for bound in bounds:
        service.bound = bound
        await asyncio.sleep(60)
        before = service.served
        await asyncio.sleep(140)
        measured.append((service.served - before) * service.latency / 140 / bound)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return measured


async def test_it_follows_a_hidden_bound_that_moves() -> None:
    limiter = RateLimiter(reads_per_second=None)
    service = Service(100)
    assert min(await used([limiter], service, [100, 40, 160])) >= 0.95
    assert service.refused <= 0.02 * (service.served + service.refused)
    assert limiter.in_flight == limiter.waiting == 0


async def test_two_that_share_an_account_share_its_bound() -> None:
    early, late = RateLimiter(reads_per_second=None), RateLimiter(reads_per_second=None)
    service = Service(100)
    first = asyncio.create_task(used([early], service, [100, 100]))
    await asyncio.sleep(100)
    await used([late], service, [100])
    shares = early.max_concurrency, late.max_concurrency
    await first
    assert shares[0] is not None
    assert shares[1] is not None
    assert 0.5 <= shares[0] / shares[1] <= 2
    assert service.refused <= 0.02 * service.served


async def test_three_that_come_one_after_the_other_have_equal_shares_in_the_long_run() -> None:
    limiters = [RateLimiter(reads_per_second=None) for _ in range(3)]
    service, tasks = Service(100), []
    for limiter in limiters:
        tasks += [asyncio.create_task(ask(limiter, service)) for _ in range(300)]
        await asyncio.sleep(60)
    served, refused, shares = service.served, service.refused, [0.0, 0.0, 0.0]
    for _ in range(600):
        await asyncio.sleep(1)
        shares = [share + limiter.in_flight / 600 for share, limiter in zip(shares, limiters, strict=True)]
    served, refused = service.served - served, service.refused - refused
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert served / 600 >= 95
    assert refused <= 0.02 * (served + refused)
    assert max(shares) <= 1.5 * min(shares)


async def test_it_does_not_grow_while_it_is_not_reached() -> None:
    limiter = RateLimiter(reads_per_second=None)
    before = limiter.max_concurrency
    service = Service(1000)
    for _ in range(200):
        async with limiter.read() as permit:
            await service.answers()
            permit.accepted()
    assert limiter.max_concurrency == before


async def test_whoever_needs_fifty_at_once_gets_a_tenth_more() -> None:
    limiter = RateLimiter(reads_per_second=None)
    service = Service(1000)
    tasks = [asyncio.create_task(ask(limiter, service)) for _ in range(50)]
    await asyncio.sleep(600)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert limiter.max_concurrency is not None
    assert 50 <= limiter.max_concurrency <= 56


@pytest.mark.parametrize("bound", [1, 2, 5])
async def test_it_goes_down_to_the_smallest_bounds(bound: int) -> None:
    limiter = RateLimiter(reads_per_second=None)
    await used([limiter], Service(bound), [bound])
    assert limiter.max_concurrency in (bound - 1, bound, bound + 1)


def test_it_never_exceeds_its_own_bound() -> None:
    concurrency = AdaptiveConcurrency()
    for _ in range(100_000):
        concurrency.accepted(concurrency.limit)
    assert concurrency.limit == 500


def test_one_burst_of_refusals_cuts_it_once() -> None:
    concurrency = AdaptiveConcurrency()
    while concurrency.limit < 100:
        concurrency.accepted(concurrency.limit)
    for number in range(81, 101):
        concurrency.rate_limited(number)
    assert concurrency.limit == 76  # 95 % of the eighty that were admitted
