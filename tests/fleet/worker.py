"""One process of a fleet, with a client of its own and the shared limiter. Its argument is its orders, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from roomrec_async import Credentials, RecordingsClient, RetryPolicy
from roomrec_async.integrations.redis import RedisRateLimiter


async def work(orders: dict[str, Any]) -> int:
    """List a room again and again, with one request each time, for some seconds; return how many times."""
    done = 0
    async with (
        RedisRateLimiter(orders["redis"], **orders["limiter"]) as limiter,
        RecordingsClient(
            Credentials(*orders["credentials"]),
            base_url=orders["base_url"],
            limiter=limiter,
            retry=RetryPolicy(max_attempts=3),
        ) as client,
    ):
        until = time.monotonic() + orders["seconds"]

        async def listing() -> None:
            nonlocal done
            while time.monotonic() < until:
                await client.recordings(orders["room_sid"]).to_list()
                done += 1

        await asyncio.gather(*(listing() for _ in range(orders["at_once"])))
    return done


def main() -> None:
    orders = json.loads(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{asyncio.run(work(orders))}\n")


if __name__ == "__main__":
    main()
