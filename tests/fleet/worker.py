"""One process of a fleet: its own client, and the limit that it shares. Run with its orders, as JSON, as argument."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from roomrec_async import Credentials, RecordingsClient, RetryPolicy
from roomrec_async.integrations.redis import RedisRateLimiter


async def work(orders: dict[str, Any]) -> int:
    """List rooms, one request each, for so many seconds: how many."""
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
