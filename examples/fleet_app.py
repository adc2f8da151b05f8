"""A FastAPI app that runs in several processes, which share the account's limits through Redis.

Each worker process has its own client. The limits hold for all of them together, and for any other program that uses
the same Redis and the same name. Try it with the simulator and a Redis on this machine::

    roomrec simulate --write-rooms rooms.txt -- python examples/fleet_app.py --workers 4
    curl "http://127.0.0.1:8000/rooms/$(head -1 rooms.txt)/recordings?limit=3"
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request

from roomrec_async import Credentials, InvalidArgumentError, NotFoundError, RecordingsClient, RoomRecError
from roomrec_async.integrations.redis import RedisRateLimiter

WORKERS = "WEB_CONCURRENCY"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the limiter and the client when a worker starts, and close them when it stops."""
    account_sid = Credentials.from_env().account_sid
    async with (
        RedisRateLimiter(
            os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"),
            name=account_sid,
            processes=int(os.environ.get(WORKERS, "1")),
        ) as limiter,
        RecordingsClient.from_env(limiter=limiter, timeout=30) as client,
    ):
        app.state.client = client
        yield


def get_client(request: Request) -> RecordingsClient:
    """Return the worker's client, for ``Depends``."""
    client: RecordingsClient = request.app.state.client
    return client


app = FastAPI(lifespan=lifespan)


@app.get("/rooms/{room_sid}/recordings")
async def recordings(
    room_sid: str, client: Annotated[RecordingsClient, Depends(get_client)], limit: int = 100
) -> list[dict[str, object]]:
    """Return the first recordings of a room."""
    try:
        return await client.recordings(room_sid, limit=limit).to_rows()
    except InvalidArgumentError as error:
        raise HTTPException(400, error.message) from None
    except NotFoundError as error:
        raise HTTPException(404, error.message) from None
    except RoomRecError as error:
        raise HTTPException(502, error.message) from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    # Each worker must know how many there are, to use no more than its share of the quota while Redis is unavailable.
    os.environ[WORKERS] = str(arguments.workers)
    uvicorn.run("fleet_app:app", port=arguments.port, workers=arguments.workers, app_dir=str(Path(__file__).parent))
